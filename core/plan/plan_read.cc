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

Statement PointStatement(const ReadShape& shape, Dialect dialect, Key key) {
  const LoweredSql& lowered = shape.point_for(dialect);
  Statement statement;
  statement.sql = lowered.sql;
  statement.param_types = lowered.param_types;
  statement.result_types = lowered.result_types;
  statement.params = std::move(key);
  statement.returns_rows = true;
  statement.many = shape.many_for(dialect);
  return statement;
}

// One statement for all keys; a key that is asked twice is read once.
Statement ManyKeysStatement(const ReadShape& shape, Dialect dialect, std::vector<std::pair<uint32_t, Key>>& keys,
                            ReadTaskMerge& merge) {
  merge.batched = true;
  merge.items_by_key.reserve(keys.size());
  std::vector<size_t> positions(shape.table->primary_key().size());
  std::iota(positions.begin(), positions.end(), size_t{0});
  std::vector<std::vector<Value>> arrays(positions.size());
  for (auto& [item, key] : keys) {
    std::vector<uint32_t>& items = merge.items_by_key[KeyBytes(key, positions)];
    items.push_back(item);
    if (items.size() > 1) continue;
    for (size_t i = 0; i < key.size(); ++i) arrays[i].push_back(std::move(key[i]));
  }
  Statement statement;
  statement.sql = shape.many_for(dialect)->sql;
  statement.result_types = shape.point_for(dialect).result_types;
  statement.returns_rows = true;
  for (std::vector<Value>& array : arrays) statement.params.push_back(Value::Array(std::move(array)));
  return statement;
}

void AddReadSteps(const ReadShape& shape, Dialect dialect, std::vector<std::pair<uint32_t, Key>> keys, Task& task,
                  ReadTaskMerge& merge) {
  if (keys.size() > 1 && shape.many_for(dialect) != nullptr) {
    task.steps.emplace_back().statements.push_back(ManyKeysStatement(shape, dialect, keys, merge));
    return;
  }
  task.steps.reserve(keys.size());
  merge.items.reserve(keys.size());
  for (auto& [item, key] : keys) {
    Step& step = task.steps.emplace_back();
    step.item = item;
    step.statements.push_back(PointStatement(shape, dialect, std::move(key)));
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
  std::stable_sort(placed.begin(), placed.end(),
                   [](const PlacedKey& a, const PlacedKey& b) { return a.shard < b.shard; });
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

absl::StatusOr<ReadPlan> Planner::PlanRead(const ReadOperation& op, const std::shared_ptr<const Snapshot>& snapshot,
                                           std::optional<ShardId> pinned, ShardId spread) {
  Follow(snapshot);
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<const ReadShape> shape, shapes_.Find(op.table, op.columns, *snapshot));
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
  return plan;
}

}  // namespace quarry
