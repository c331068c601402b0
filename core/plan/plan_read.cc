#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/key_bytes.h"
#include "core/plan/planner.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

Statement ReadStatement(const LoweredSql& lowered, std::vector<Value> params) {
  Statement statement;
  statement.sql = lowered.sql;
  statement.param_types = lowered.param_types;
  statement.result_types = lowered.result_types;
  statement.params = std::move(params);
  statement.returns_rows = true;
  return statement;
}

// Which items ask for which key; leaves each key once.
std::vector<Key> DistinctKeys(std::vector<std::pair<uint32_t, Key>> asked, ReadTaskMerge& merge) {
  merge.batched = true;
  merge.items_by_key.reserve(asked.size());
  std::vector<Key> keys;
  keys.reserve(asked.size());
  std::vector<size_t> positions(asked.front().second.size());
  std::iota(positions.begin(), positions.end(), size_t{0});
  for (auto& [item, key] : asked) {
    std::vector<uint32_t>& items = merge.items_by_key[KeyBytes(key, positions)];
    items.push_back(item);
    if (items.size() == 1) keys.push_back(std::move(key));
  }
  return keys;
}

// One statement, an array for each column of the key.
void AddArrayStep(const ReadShape& shape, std::vector<Key> keys, Task& task) {
  std::vector<std::vector<Value>> arrays(keys.front().size());
  for (Key& key : keys) {
    for (size_t i = 0; i < key.size(); ++i) arrays[i].push_back(std::move(key[i]));
  }
  std::vector<Value> params;
  for (std::vector<Value>& array : arrays) params.push_back(Value::Array(std::move(array)));
  Statement statement = ReadStatement(shape.point_for(Dialect::kPostgres), std::move(params));
  statement.sql = shape.arrays->sql;
  statement.param_types = nullptr;
  task.steps.emplace_back().statements.push_back(std::move(statement));
}

// As few lists as their sizes allow; the last key fills the last list up.
void AddListSteps(const ReadShape& shape, const std::vector<Key>& keys, Task& task) {
  for (size_t first = 0; first < keys.size();) {
    size_t size = 0;
    while (size + 1 < shape.lists.size() && ReadShape::kListSizes[size] < keys.size() - first) ++size;
    std::vector<Value> params;
    params.reserve(ReadShape::kListSizes[size] * keys.front().size());
    for (size_t i = first; i < first + ReadShape::kListSizes[size]; ++i) {
      const Key& key = keys[std::min(i, keys.size() - 1)];
      params.insert(params.end(), key.begin(), key.end());
    }
    task.steps.emplace_back().statements.push_back(ReadStatement(shape.lists[size], std::move(params)));
    first += ReadShape::kListSizes[size];
  }
}

void AddReadSteps(const ReadShape& shape, Dialect dialect, std::vector<std::pair<uint32_t, Key>> keys, Task& task,
                  ReadTaskMerge& merge) {
  if (keys.size() > 1 && shape.batches_on(dialect)) {
    std::vector<Key> distinct = DistinctKeys(std::move(keys), merge);
    if (dialect == Dialect::kPostgres) {
      AddArrayStep(shape, std::move(distinct), task);
    } else {
      AddListSteps(shape, distinct, task);
    }
    return;
  }
  task.steps.reserve(keys.size());
  merge.items.reserve(keys.size());
  for (auto& [item, key] : keys) {
    Step& step = task.steps.emplace_back();
    step.item = item;
    Statement& statement = step.statements.emplace_back(ReadStatement(shape.point_for(dialect), std::move(key)));
    if (dialect == Dialect::kPostgres) statement.many = shape.arrays;
    merge.items.push_back(item);
  }
}

struct PlacedKey {
  ShardId shard{};
  uint32_t item = 0;
  Key key;
};

absl::StatusOr<ShardId> ShardOfKey(const ReadShape& shape, const Key& key, const Snapshot& snapshot) {
  if (shape.resolver == nullptr) return snapshot.topology.Find(shape.table->declaration().shard);
  return ShardOfRow(*shape.table, *shape.resolver, key);
}

// One task for each shard, ascending.
void AddReadTasks(const ReadShape& shape, const Snapshot& snapshot, std::vector<PlacedKey> placed, ReadPlan& plan) {
  const auto by_shard = [](const PlacedKey& a, const PlacedKey& b) { return a.shard < b.shard; };
  if (placed.size() > 1) std::stable_sort(placed.begin(), placed.end(), by_shard);
  for (auto first = placed.begin(); first != placed.end();) {
    const ShardId shard = first->shard;
    std::vector<std::pair<uint32_t, Key>> keys;
    for (; first != placed.end() && first->shard == shard; ++first) keys.emplace_back(first->item, std::move(first->key));
    Task& task = plan.tasks.emplace_back();
    task.shard = shard;
    AddReadSteps(shape, snapshot.topology.shard(shard).dialect, std::move(keys), task, plan.merge.tasks.emplace_back());
  }
}

}  // namespace

void Planner::Follow(const std::shared_ptr<const Snapshot>& snapshot) {
  if (followed_ == snapshot) return;
  lowering_.Clear();
  shapes_.Clear();
  followed_ = snapshot;
}

namespace {

void MarkLocking(ReadPlan& plan) {
  for (Task& task : plan.tasks) {
    for (Step& step : task.steps) {
      for (Statement& statement : step.statements) statement.locks = true;
    }
  }
}

}  // namespace

absl::StatusOr<ReadPlan> Planner::PlanRead(const ReadOperation& op, const std::shared_ptr<const Snapshot>& snapshot,
                                           std::optional<ShardId> pinned, ShardId spread) {
  Follow(snapshot);
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<const ReadShape> shape, shapes_.Find(op.table, op.columns, op.lock, *snapshot));
  const Table& table = *shape->table;
  if (static_cast<int64_t>(op.keys.size()) > limits_.batch_items_max) {
    return InvalidField("keys", absl::StrCat("has ", op.keys.size(), " keys; at most ", limits_.batch_items_max,
                                             " are read at once, so split the call"));
  }
  ShardSet targets;
  if (!op.target.empty()) {
    QUARRY_ASSIGN_OR_RETURN(targets, ShardsOfTarget(op.target, *snapshot));
  }
  ReadPlan plan;
  // A reference table is everywhere: the named shard, the transaction's, or any.
  std::optional<ShardId> everywhere;
  if (table.kind() == TableKind::kReference) {
    everywhere = targets.empty() ? pinned.value_or(spread) : targets.front();
    if (targets.empty() && !pinned.has_value()) {
      for (const Shard& shard : snapshot->topology.shards()) {
        if (shard.id != spread) plan.alternates.push_back(shard.id);
      }
    }
  }
  std::vector<PlacedKey> placed;
  placed.reserve(op.keys.size());
  std::vector<FieldViolation> violations;
  for (uint32_t item = 0; item < op.keys.size(); ++item) {
    const std::string path = op.keys.size() == 1 ? "key" : absl::StrCat("keys[", item, "]");
    absl::StatusOr<Key> key = CheckKey(table, op.keys[item], path);
    if (!key.ok()) {
      const ErrorDetail detail = DetailOf(key.status());
      violations.insert(violations.end(), detail.violations.begin(), detail.violations.end());
      continue;
    }
    ShardId shard = everywhere.value_or(ShardId{0});
    if (!everywhere.has_value()) {
      const absl::StatusOr<ShardId> found = ShardOfKey(*shape, *key, *snapshot);
      if (!found.ok() && ReasonOf(found.status()) == reason::kKeyNotMapped) {
        plan.unplaced = true;
        continue;
      }
      if (!found.ok()) return found.status();
      shard = *found;
      if (!targets.empty() && !std::binary_search(targets.begin(), targets.end(), shard)) {
        return InvalidField("target", absl::StrCat("does not hold the row: ", path, " lives on shard ",
                                                   snapshot->topology.name(shard)));
      }
    }
    placed.push_back({shard, item, *std::move(key)});
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  plan.merge.layout = shape->layout;
  plan.merge.items = static_cast<uint32_t>(op.keys.size());
  AddReadTasks(*shape, *snapshot, std::move(placed), plan);
  if (op.lock != RowLock::kNone) MarkLocking(plan);
  return plan;
}

}  // namespace quarry
