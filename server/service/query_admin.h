// What AdminService tells of queries. Everything given outlives the returned Async.
#pragma once

#include "absl/status/status.h"
#include "core/base/async.h"
#include "core/engine/query_stats.h"
#include "quarry/v1/admin.pb.h"
#include "server/loop/rpc_table.h"

namespace quarry {

Async<absl::Status> Explain(const QueryStats* stats, const v1::ExplainRequest& request, v1::ExplainResponse& response,
                            CallScope& scope);
Async<absl::Status> ListTopQueries(const QueryStats* stats, const v1::ListTopQueriesRequest& request,
                                   v1::ListTopQueriesResponse& response, CallScope& scope);

}  // namespace quarry
