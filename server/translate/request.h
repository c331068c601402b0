// Requests to operations. What is wrong with the message itself is reported here, every field at once; what needs the
// catalog or the topology is the engine's to check.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/model/operation.h"
#include "core/txn/transactions.h"
#include "google/protobuf/message.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/shard.pb.h"
#include "quarry/v1/transaction.pb.h"

namespace quarry {

absl::StatusOr<ReadOperation> ToOperation(const v1::GetRequest& request);
absl::StatusOr<ReadOperation> ToOperation(const v1::BatchGetRequest& request);
absl::StatusOr<WriteOperation> ToOperation(const v1::InsertRequest& request);
absl::StatusOr<WriteOperation> ToOperation(const v1::UpdateRequest& request);
absl::StatusOr<WriteOperation> ToOperation(const v1::UpsertRequest& request);
absl::StatusOr<WriteOperation> ToOperation(const v1::DeleteRequest& request);
absl::StatusOr<WriteOperation> ToOperation(const v1::BatchWriteRequest& request);
// One-shot: with mutations. A request with both, or neither, is refused.
absl::StatusOr<WriteOperation> ToOperation(const v1::CommitRequest& request);
absl::StatusOr<RawSqlOperation> ToOperation(const v1::OnShardRequest& request);
absl::StatusOr<RawSqlOperation> ToOperation(const v1::OnAllShardsRequest& request);
absl::StatusOr<BeginOptions> ToBeginOptions(const v1::BeginRequest& request);
absl::StatusOr<KeyInput> ToKey(const v1::ResolveKeyRequest& request);
absl::StatusOr<KeyInput> ToKey(const v1::MapKeyRequest& request);

// Of everything in the request but its fields request_id and fence (a retry under a newer token of the lock is the same
// request), with its type: the same for equal requests, whatever the order of their maps.
uint64_t RequestHash(const google::protobuf::Message& request);

}  // namespace quarry
