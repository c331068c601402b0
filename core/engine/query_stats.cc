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
  totals.shards_asked += static_cast<int64_t>(cost.shards.size());
  if (cost.shards.size() > 1) ++totals.scatter_calls;
  for (const ShardCost& shard : cost.shards) {
    QueryShapeTotals::OfShard& of_shard = totals.shards[shard.shard];
    ++of_shard.calls;
    of_shard.rows += shard.rows;
    of_shard.time += shard.time;
  }
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
    of_shard.time += of_part.time;
  }
}

}  // namespace

QueryStats::QueryStats(size_t loops, size_t shapes_max, size_t shard_totals_max)
    : shapes_max_(std::max<size_t>(1, shapes_max)), shard_totals_max_(shard_totals_max) {
  for (size_t i = 0; i < loops; ++i) tables_.push_back(std::make_unique<Table>());
}

bool QueryStats::DropLeast(Table& table, uint64_t kept) {
  auto least = table.entries.end();
  const auto rank = [](const Entry& entry) { return std::make_pair(entry.totals.calls, entry.last_use); };
  for (auto entry = table.entries.begin(); entry != table.entries.end(); ++entry) {
    if (entry->first == kept) continue;
    if (least == table.entries.end() || rank(entry->second) < rank(least->second)) least = entry;
  }
  if (least == table.entries.end()) return false;
  table.shard_totals -= least->second.totals.shards.size();
  table.entries.erase(least);
  return true;
}

void QueryStats::Record(size_t loop, const QueryShape& shape, const QueryCost& cost,
                        const std::function<std::shared_ptr<const QueryExample>()>& make_example) {
  Table& table = *tables_[loop];
  bool wants_example = !cost.failed && make_example != nullptr;
  {
    absl::MutexLock lock(&table.mutex);
    auto found = table.entries.find(shape.id);
    if (found == table.entries.end()) {
      if (table.entries.size() >= shapes_max_) DropLeast(table, shape.id);
      found = table.entries.emplace(shape.id, Entry()).first;
      found->second.totals.shape = shape;
    }
    Entry& entry = found->second;
    const size_t shards_before = entry.totals.shards.size();
    Add(cost, entry.totals);
    entry.last_use = ++table.uses;
    wants_example = wants_example && entry.example == nullptr;
    table.shard_totals += entry.totals.shards.size() - shards_before;
    while (table.shard_totals > shard_totals_max_ && DropLeast(table, shape.id)) {
    }
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
