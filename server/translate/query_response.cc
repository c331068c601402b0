#include "server/translate/query_response.h"

#include <algorithm>

#include "core/base/rpc_status.h"
#include "server/translate/response.h"
#include "server/translate/value.h"

namespace quarry {
namespace {

// Sorted by the shard's name.
template <typename Item, typename ShardOf>
std::vector<std::pair<std::string, const Item*>> ByName(const std::vector<Item>& items, const Topology& topology,
                                                        ShardOf shard_of) {
  std::vector<std::pair<std::string, const Item*>> named;
  named.reserve(items.size());
  for (const Item& item : items) named.emplace_back(topology.name(shard_of(item)), &item);
  std::sort(named.begin(), named.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  return named;
}

using Failures = std::vector<std::pair<ShardId, absl::Status>>;

template <typename Wire>
void FillFailed(const Failures& failed, const Topology& topology, Wire* wire) {
  const auto shard_of = [](const Failures::value_type& failure) { return failure.first; };
  for (const auto& [name, failure] : ByName(failed, topology, shard_of)) {
    FillShardStatus(name, failure->second, wire->add_failed_shards());
  }
}

template <typename Wire>
void FillRows(std::vector<Row>& rows, Wire* wire) {
  wire->mutable_rows()->Reserve(static_cast<int>(rows.size()));
  for (Row& row : rows) {
    FillRow(row, wire->add_rows());
    Row().swap(row);  // Both forms of a large page at once would be twice its memory.
  }
}

template <typename Wire>
void FillBulkWrite(const BulkWriteResult& result, const Topology& topology, Wire* wire) {
  int64_t rows = 0;
  const auto shard_of = [](const BulkWriteResult::Part& part) { return part.shard; };
  for (const auto& [name, part] : ByName(result.parts, topology, shard_of)) {
    v1::ShardWrites* writes = wire->add_shards();
    writes->set_shard(name);
    writes->set_rows(part->rows);
    writes->set_batches(part->batches);
    *writes->mutable_status() = ToRpcStatus(part->status);
    rows += part->rows;
  }
  wire->set_rows(rows);
  wire->set_replayed(result.replayed);
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
}

}  // namespace

void FillResponse(ListResult& result, const Topology& topology, v1::ListResponse* wire) {
  FillHeader(result.header, wire->mutable_header());
  FillRows(result.rows, wire);
  wire->set_next_page_token(result.next_page_token);
  wire->set_previous_page_token(result.previous_page_token);
  for (IncludedRows& included : result.included) {
    v1::IncludedRows* out = wire->add_included();
    out->set_relation(included.relation);
    FillHeader(included.header, out->mutable_header());
    FillRows(included.rows, out);
    out->mutable_parents()->Assign(included.parents.begin(), included.parents.end());
  }
  FillFailed(result.failed, topology, wire);
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
}

void FillResponse(AggregateResult& result, const Topology& topology, v1::AggregateResponse* wire) {
  FillHeader(result.header, wire->mutable_header());
  FillRows(result.rows, wire);
  FillFailed(result.failed, topology, wire);
  FillServedBy(result.served_by, topology, wire->mutable_served_by());
}

void FillResponse(const BulkWriteResult& result, const Topology& topology, v1::UpdateWhereResponse* wire) {
  FillBulkWrite(result, topology, wire);
}

void FillResponse(const BulkWriteResult& result, const Topology& topology, v1::DeleteWhereResponse* wire) {
  FillBulkWrite(result, topology, wire);
}

void FillSummary(const QuerySummary& summary, int64_t sent, const Topology& topology, v1::QuerySummary* wire) {
  wire->set_rows(sent);
  const auto shard_of = [](const std::pair<ShardId, int64_t>& rows) { return rows.first; };
  for (const auto& [name, read] : ByName(summary.rows_read, topology, shard_of)) {
    v1::ShardRows* rows = wire->add_rows_by_shard();
    rows->set_shard(name);
    rows->set_rows(read->second);
  }
  FillFailed(summary.failed, topology, wire);
  FillServedBy(summary.served_by, topology, wire->mutable_served_by());
}

void FillResponse(const Explanation& explanation, bool analyzed, const Topology& topology, v1::ExplainResponse* wire) {
  for (const ShardId shard : explanation.route.shards) wire->add_shards(topology.name(shard));
  std::sort(wire->mutable_shards()->begin(), wire->mutable_shards()->end());
  wire->set_reason(explanation.route.words);
  ServedBy served_by;
  served_by.epoch = topology.epoch();
  const auto shard_of = [](const Explanation::ShardSql& sql) { return sql.shard; };
  for (const auto& [name, sql] : ByName(explanation.shards, topology, shard_of)) {
    v1::ShardQuery* query = wire->add_shard_queries();
    query->set_shard(name);
    query->set_sql(sql->sql);
    if (!analyzed) continue;
    query->set_rows(sql->rows);
    FillDuration(sql->time, query->mutable_duration());
    query->set_database_plan(sql->database_plan);
    *query->mutable_status() = ToRpcStatus(sql->status);
    served_by.asked.push_back(sql->shard);
    if (sql->status.ok()) served_by.answered.push_back(sql->shard);
  }
  wire->set_merge(explanation.merge);
  for (const std::string& warning : explanation.warnings) wire->add_warnings(warning);
  FillServedBy(served_by, topology, wire->mutable_served_by());
}

void FillDuration(absl::Duration duration, google::protobuf::Duration* wire) {
  const int64_t nanos = absl::ToInt64Nanoseconds(duration);
  wire->set_seconds(nanos / 1'000'000'000);
  wire->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

}  // namespace quarry
