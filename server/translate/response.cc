#include "server/translate/response.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "server/translate/record_bytes.h"

namespace quarry {
namespace {

std::vector<std::string> SortedNames(const std::vector<ShardId>& shards, const Topology& topology) {
  std::vector<std::string> names;
  names.reserve(shards.size());
  for (const ShardId shard : shards) names.push_back(topology.name(shard));
  std::sort(names.begin(), names.end());
  return names;
}

template <typename Names, typename Field>
void CopyNames(const Names& names, Field* field) {
  for (const std::string& name : names) *field->Add() = name;
}

void AddSortedNames(const std::vector<ShardId>& shards, const Topology& topology,
                    google::protobuf::RepeatedPtrField<std::string>* field) {
  if (shards.size() == 1) {
    *field->Add() = topology.name(shards.front());
  } else {
    CopyNames(SortedNames(shards, topology), field);
  }
}

v1::TableKind ToWire(TableKind kind) {
  switch (kind) {
    case TableKind::kSharded:
      return v1::TABLE_KIND_SHARDED;
    case TableKind::kReference:
      return v1::TABLE_KIND_REFERENCE;
    case TableKind::kSingle:
      return v1::TABLE_KIND_SINGLE;
  }
  return v1::TABLE_KIND_UNSPECIFIED;
}

void FillShardsOf(const Table& table, const Snapshot& snapshot, v1::Table* wire) {
  std::vector<std::string> names;
  const TableDeclaration& declaration = table.declaration();
  const auto resolver = snapshot.resolvers.find(declaration.resolver);
  if (table.kind() == TableKind::kSingle) {
    names.push_back(declaration.shard);
  } else if (table.kind() == TableKind::kSharded && resolver != snapshot.resolvers.end()) {
    names = SortedNames(resolver->second->shards(), snapshot.topology);
  } else {
    for (const Shard& shard : snapshot.topology.shards()) names.push_back(shard.name);
    std::sort(names.begin(), names.end());
  }
  CopyNames(names, wire->mutable_shards());
}

}  // namespace

namespace {

v1::ReadLevel ToWire(ReadLevel level) {
  switch (level) {
    case ReadLevel::kNone:
      break;
    case ReadLevel::kPerShard:
      return v1::READ_LEVEL_PER_SHARD;
    case ReadLevel::kReadYourWrites:
      return v1::READ_LEVEL_READ_YOUR_WRITES;
    case ReadLevel::kSnapshot:
      return v1::READ_LEVEL_SNAPSHOT;
    case ReadLevel::kStrictSnapshot:
      return v1::READ_LEVEL_STRICT_SNAPSHOT;
  }
  return v1::READ_LEVEL_UNSPECIFIED;
}

}  // namespace

void FillTime(absl::Time time, google::protobuf::Timestamp* wire) {
  const timespec spec = absl::ToTimespec(time);
  wire->set_seconds(spec.tv_sec);
  wire->set_nanos(static_cast<int32_t>(spec.tv_nsec));
}

void FillServedBy(const ServedBy& served_by, const Topology& topology, v1::ServedBy* wire) {
  AddSortedNames(served_by.asked, topology, wire->mutable_shards_asked());
  AddSortedNames(served_by.answered, topology, wire->mutable_shards_answered());
  if (!served_by.asked.empty()) wire->set_role(v1::ROLE_PRIMARY);
  wire->set_epoch(static_cast<int64_t>(served_by.epoch));
  wire->set_level(ToWire(served_by.level));
  if (served_by.age.has_value()) {
    absl::Duration rest;
    wire->mutable_answer_age()->set_seconds(absl::IDivDuration(*served_by.age, absl::Seconds(1), &rest));
    wire->mutable_answer_age()->set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  }
}

void FillServedByGateway(const Topology& topology, v1::ServedBy* wire) {
  wire->set_epoch(static_cast<int64_t>(topology.epoch()));
}

void FillShardStatus(const std::string& shard, const absl::Status& status, v1::ShardStatus* wire) {
  wire->set_shard(shard);
  *wire->mutable_status() = ToRpcStatus(status);
}

absl::Status FillResponse(const std::string& table, const ReadResult& result, const Topology& topology,
                          v1::GetResponse* wire, std::string* bytes) {
  if (result.found.empty()) {
    return MakeError(absl::StatusCode::kNotFound, reason::kRowNotFound,
                     absl::StrCat("table ", table, " has no row with this key"), {{"table", table}});
  }
  const Row& row = result.found.front().row;
  if (bytes != nullptr) {
    AppendRecord(v1::GetResponse::kRecordFieldNumber, result.header, row, *bytes);
  } else {
    FillRecord(result.header, row, wire->mutable_record());
  }
  wire->set_etag(result.found.front().etag);
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
  return absl::OkStatus();
}

void FillResponse(const ReadResult& result, const Topology& topology, v1::BatchGetResponse* wire,
                  std::string* bytes) {
  for (const KeyedRow& found : result.found) {
    if (bytes != nullptr) {
      AppendFoundRow(v1::BatchGetResponse::kFoundFieldNumber, result.header, found, *bytes);
      continue;
    }
    v1::FoundRow* row = wire->add_found();
    row->set_index(static_cast<int32_t>(found.item));
    FillRecord(result.header, found.row, row->mutable_record());
    row->set_etag(found.etag);
  }
  for (const uint32_t item : result.missing) wire->add_missing(static_cast<int32_t>(item));
  for (const uint32_t item : result.unanswered) wire->add_unanswered(static_cast<int32_t>(item));
  std::vector<std::pair<std::string, absl::Status>> failed;
  for (const auto& [shard, status] : result.failed) failed.emplace_back(topology.name(shard), status);
  std::sort(failed.begin(), failed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [name, status] : failed) FillShardStatus(name, status, wire->add_failed_shards());
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
}

void FillResponse(const WriteResult& result, const Topology& topology, v1::BatchWriteResponse* wire) {
  for (const MutationResult& mutation : result.mutations) {
    v1::BatchWriteResult* out = wire->add_results();
    if (mutation.status.ok()) {
      FillMutation(mutation, out->mutable_applied());
    } else {
      *out->mutable_error() = ToRpcStatus(mutation.status);
    }
    out->set_replayed(mutation.replayed);
  }
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
  wire->set_replayed(result.replayed);
  if (result.unfinished) wire->set_unfinished_transaction_id(result.transaction_id);
}

void FillResponse(const WriteResult& result, const Topology& topology, v1::CommitResponse* wire) {
  for (const MutationResult& mutation : result.mutations) FillMutation(mutation, wire->add_results());
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
  wire->set_replayed(result.replayed);
  wire->set_transaction_id(result.transaction_id);
  wire->set_unfinished(result.unfinished);
}

void FillSummary(const Table& table, v1::TableSummary* wire) {
  wire->set_name(table.name());
  wire->set_kind(ToWire(table.kind()));
  for (const size_t column : table.shard_key()) wire->add_shard_key(table.columns()[column].name);
  wire->set_resolver(table.declaration().resolver);
}

void FillTable(const Table& table, const Snapshot& snapshot, v1::Table* wire) {
  wire->set_name(table.name());
  wire->set_kind(ToWire(table.kind()));
  for (const Column& column : table.columns()) {
    v1::Column* out = wire->add_columns();
    out->set_name(column.name);
    FillType(column.type, out->mutable_type());
    out->set_nullable(column.nullable);
    out->set_has_default(column.has_default);
    out->set_generated(column.generated);
  }
  CopyNames(table.schema().primary_key, wire->mutable_primary_key());
  for (const UniqueConstraint& unique : table.schema().unique_constraints) {
    v1::UniqueConstraint* out = wire->add_unique_constraints();
    out->set_name(unique.name);
    CopyNames(unique.columns, out->mutable_columns());
  }
  for (const ForeignKey& foreign : table.schema().foreign_keys) {
    v1::ForeignKey* out = wire->add_foreign_keys();
    out->set_name(foreign.name);
    CopyNames(foreign.columns, out->mutable_columns());
    out->set_referenced_table(foreign.referenced_table);
    CopyNames(foreign.referenced_columns, out->mutable_referenced_columns());
  }
  for (const size_t column : table.shard_key()) wire->add_shard_key(table.columns()[column].name);
  wire->set_resolver(table.declaration().resolver);
  for (const auto& [name, other] : snapshot.catalog.tables()) {
    // Tables of one resolver have shard keys of the same types, and a resolver is a function of the key.
    if (table.kind() != TableKind::kSharded || name == table.name()) continue;
    if (other.declaration().resolver == table.declaration().resolver) wire->add_colocated_with(name);
  }
  FillShardsOf(table, snapshot, wire);
}

v1::TransactionState ToWire(TransactionState state) {
  switch (state) {
    case TransactionState::kActive:
      return v1::TRANSACTION_STATE_ACTIVE;
    case TransactionState::kCommitted:
      return v1::TRANSACTION_STATE_COMMITTED;
    case TransactionState::kRolledBack:
      return v1::TRANSACTION_STATE_ROLLED_BACK;
    case TransactionState::kInDoubt:
      return v1::TRANSACTION_STATE_IN_DOUBT;
  }
  return v1::TRANSACTION_STATE_UNSPECIFIED;
}

}  // namespace quarry
