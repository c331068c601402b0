// What AdminService does about transactions over several shards. Everything given outlives the returned Async.
#pragma once

#include "absl/status/status.h"
#include "core/base/async.h"
#include "quarry/v1/admin.pb.h"
#include "server/loop/rpc_table.h"

namespace quarry {

Async<absl::Status> ListInDoubtTransactions(const v1::ListInDoubtTransactionsRequest& request,
                                            v1::ListInDoubtTransactionsResponse& response, CallScope& scope);
Async<absl::Status> ResolveTransaction(const v1::ResolveTransactionRequest& request,
                                       v1::ResolveTransactionResponse& response, CallScope& scope);
Async<absl::Status> InitShard(const v1::InitShardRequest& request, v1::InitShardResponse& response, CallScope& scope);

}  // namespace quarry
