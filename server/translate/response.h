// Results to replies.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model/operation.h"
#include "core/plan/snapshot.h"
#include "core/txn/transactions.h"
#include "google/protobuf/timestamp.pb.h"
#include "quarry/v1/common.pb.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/transaction.pb.h"
#include "server/translate/value.h"

namespace quarry {

void FillTime(absl::Time time, google::protobuf::Timestamp* wire);
void FillServedBy(const ServedBy& served_by, const Topology& topology, v1::ServedBy* wire);
// Answered by the gateway itself: no shard.
void FillServedByGateway(const Topology& topology, v1::ServedBy* wire);
void FillShardStatus(const std::string& shard, const absl::Status& status, v1::ShardStatus* wire);

// Rows go into `bytes` where it is not null, as fields of the same reply, which costs half of what messages cost.
// The one row of a Get; kNotFound ROW_NOT_FOUND when there is none.
absl::Status FillResponse(const std::string& table, const ReadResult& result, const Topology& topology,
                          v1::GetResponse* wire, std::string* bytes = nullptr);
void FillResponse(const ReadResult& result, const Topology& topology, v1::BatchGetResponse* wire,
                  std::string* bytes = nullptr);
void FillResponse(const WriteResult& result, const Topology& topology, v1::BatchWriteResponse* wire);
void FillResponse(const WriteResult& result, const Topology& topology, v1::CommitResponse* wire);

// `wire`: a reply of one mutation, or a v1::WriteResult.
template <typename Wire>
void FillMutation(const MutationResult& result, Wire* wire) {
  if (!result.key.empty()) FillKey(result.key, wire->mutable_key());
  if (result.header != nullptr) FillRecord(result.header, result.row, wire->mutable_record());
  wire->set_etag(result.etag);
}

// The reply of Insert, Update, Upsert or Delete. `result` has one mutation.
template <typename Wire>
void FillResponse(const WriteResult& result, const Topology& topology, Wire* wire) {
  FillMutation(result.mutations.front(), wire);
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
  wire->set_replayed(result.replayed);
  if (result.unfinished) wire->set_unfinished_transaction_id(result.transaction_id);
}

void FillSummary(const Table& table, v1::TableSummary* wire);
void FillTable(const Table& table, const Snapshot& snapshot, v1::Table* wire);
v1::TransactionState ToWire(TransactionState state);

}  // namespace quarry
