#include "core/engine/query_stats.h"

#include <algorithm>

namespace quarry {
namespace {

void Add(const QueryCost& cost, QueryShapeTotals& totals) {
  ++totals.calls;
  if (cost.failed) ++totals.errors;
  totals.rows += cost.rows;
  totals.time += cost.time;
  totals.time_max = std::max(totals.time_max, cost.time);
  totals.shards_asked += static_cast<int64_t>(cost.asked.size());
  if (cost.asked.size() > 1) ++totals.scatter_calls;
  for (const ShardId shard : cost.asked) {
    QueryShapeTotals::OfShard& of_shard = totals.shards[shard];
    ++of_shard.calls;
    if (cost.asked.size() > 1) continue;
    of_shard.time_alone += cost.time;
    if (cost.rows_by_shard.empty()) of_shard.rows += cost.rows;
  }
  for (const auto& [shard, rows] : cost.rows_by_shard) totals.shards[shard].rows += rows;
}

void Add(const QueryShapeTotals& part, QueryShapeTotals& totals) {
  totals.calls += part.calls;
  totals.errors += part.errors;
  totals.rows += part.rows;
  totals.time += part.time;
  totals.time_max = std::max(totals.time_max, part.time_max);
  totals.scatter_calls += part.scatter_calls;
  totals.shards_asked += part.shards_asked;
  totals.has_example = totals.has_example || part.has_example;
  for (const auto& [shard, of_part] : part.shards) {
    QueryShapeTotals::OfShard& of_shard = totals.shards[shard];
    of_shard.calls += of_part.calls;
    of_shard.rows += of_part.rows;
    of_shard.time_alone += of_part.time_alone;
  }
}

}  // namespace

QueryStats::QueryStats(size_t loops, size_t shapes_max) : shapes_max_(std::max<size_t>(1, shapes_max)) {
  for (size_t i = 0; i < loops; ++i) tables_.push_back(std::make_unique<Table>());
}

// The least called goes; of equals the one that was not used for longest.
void QueryStats::MakeRoom(absl::flat_hash_map<uint64_t, Entry>& entries, size_t shapes_max) {
  if (entries.size() < shapes_max) return;
  auto least = entries.begin();
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    const auto rank = std::make_pair(entry->second.totals.calls, entry->second.last_use);
    if (rank < std::make_pair(least->second.totals.calls, least->second.last_use)) least = entry;
  }
  entries.erase(least);
}

void QueryStats::Record(size_t loop, const QueryShape& shape, const QueryCost& cost,
                        const std::function<std::shared_ptr<const QueryExample>()>& make_example) {
  Table& table = *tables_[loop];
  bool wants_example = !cost.failed && make_example != nullptr;
  {
    absl::MutexLock lock(&table.mutex);
    auto found = table.entries.find(shape.id);
    if (found == table.entries.end()) {
      MakeRoom(table.entries, shapes_max_);
      found = table.entries.emplace(shape.id, Entry()).first;
      found->second.totals.shape = shape;
    }
    Entry& entry = found->second;
    Add(cost, entry.totals);
    entry.last_use = ++table.uses;
    wants_example = wants_example && entry.example == nullptr;
  }
  if (!wants_example) return;
  std::shared_ptr<const QueryExample> example = make_example();
  if (example == nullptr) return;
  absl::MutexLock lock(&table.mutex);
  const auto found = table.entries.find(shape.id);
  if (found == table.entries.end()) return;
  found->second.example = std::move(example);
  found->second.totals.has_example = true;
}

std::vector<QueryShapeTotals> QueryStats::Read() const {
  std::map<uint64_t, QueryShapeTotals> all;
  for (const std::unique_ptr<Table>& table : tables_) {
    absl::MutexLock lock(&table->mutex);
    for (const auto& [id, entry] : table->entries) {
      QueryShapeTotals& totals = all[id];
      totals.shape = entry.totals.shape;
      Add(entry.totals, totals);
    }
  }
  std::vector<QueryShapeTotals> list;
  list.reserve(all.size());
  for (auto& [id, totals] : all) list.push_back(std::move(totals));
  return list;
}

std::shared_ptr<const QueryExample> QueryStats::FindExample(uint64_t id) const {
  for (const std::unique_ptr<Table>& table : tables_) {
    absl::MutexLock lock(&table->mutex);
    const auto found = table->entries.find(id);
    if (found != table->entries.end() && found->second.example != nullptr) return found->second.example;
  }
  return nullptr;
}

}  // namespace quarry
