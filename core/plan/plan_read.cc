#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/planner.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

// Rows of a batch are recognised by the bytes of their keys. Text under a collation that is not by bytes, padded
// text, intervals and json come back in other words than they were asked for.
bool EqualsByBytes(const Column& column) {
  const std::string& declared = column.type.native_name;
  switch (column.type.kind) {
    case TypeKind::kText:
      return !column.type.array && column.deterministic_text && declared != "bpchar" && declared != "character" &&
             !absl::StartsWith(declared, "character(");
    case TypeKind::kInterval:
    case TypeKind::kJson:
    case TypeKind::kNative:
      return false;
    default:
      return !column.type.array;
  }
}

// A key array binds one value per key and column: arrays and a backend's native types have no array form.
bool CanBatch(const Table& table, Dialect dialect, size_t keys) {
  if (dialect != Dialect::kPostgres || keys < 2) return false;
  return std::all_of(table.primary_key().begin(), table.primary_key().end(),
                     [&table](size_t column) { return EqualsByBytes(table.columns()[column]); });
}

Statement ReadStatement(const LoweredSql& lowered, std::vector<Value> params) {
  Statement statement;
  statement.sql = lowered.sql;
  statement.param_types = lowered.param_types;
  statement.result_types = lowered.result_types;
  statement.params = std::move(params);
  statement.returns_rows = true;
  return statement;
}

// What is read: the asked columns, then the key columns that are not among them.
struct ReadColumns {
  std::vector<size_t> read;
  ReadMerge merge;
};

ReadColumns ColumnsToRead(const Table& table, std::vector<size_t> asked) {
  ReadColumns columns;
  std::vector<size_t> all(table.columns().size());
  std::iota(all.begin(), all.end(), size_t{0});
  columns.merge.with_etag = asked == all;
  if (columns.merge.with_etag) {
    columns.merge.header = table.header();
  } else {
    std::vector<ColumnHeader> header;
    for (const size_t column : asked) header.push_back((*table.header())[column]);
    columns.merge.header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
  }
  const size_t asked_count = asked.size();
  columns.read = std::move(asked);
  for (const size_t key_column : table.primary_key()) {
    const auto at = std::find(columns.read.begin(), columns.read.end(), key_column);
    columns.merge.key_positions.push_back(static_cast<size_t>(at - columns.read.begin()));
    if (at == columns.read.end()) columns.read.push_back(key_column);
  }
  if (columns.read.size() > asked_count) {
    columns.merge.projection.resize(asked_count);
    std::iota(columns.merge.projection.begin(), columns.merge.projection.end(), size_t{0});
  }
  return columns;
}

}  // namespace

void Planner::Follow(const std::shared_ptr<const Snapshot>& snapshot) {
  if (followed_ == snapshot) return;
  lowering_.Clear();
  followed_ = snapshot;
}

void Planner::AddReadSteps(const Table& table, const std::vector<size_t>& columns, Dialect dialect,
                           const std::vector<std::pair<uint32_t, Key>>& keys, Task& task, ReadTaskMerge& merge) {
  std::vector<size_t> key_positions(table.primary_key().size());
  std::iota(key_positions.begin(), key_positions.end(), size_t{0});
  if (!CanBatch(table, dialect, keys.size())) {
    std::vector<uint32_t>& items = merge.items_by_key[""];
    const LoweredSql& lowered = lowering_.PointRead(table, dialect, columns, false);
    for (const auto& [item, key] : keys) {
      Step step;
      step.item = item;
      step.statements.push_back(ReadStatement(lowered, key));
      task.steps.push_back(std::move(step));
      items.push_back(item);
    }
    return;
  }
  merge.batched = true;
  std::vector<std::vector<Value>> arrays(key_positions.size());
  for (const auto& [item, key] : keys) {
    std::vector<uint32_t>& items = merge.items_by_key[KeyBytes(key, key_positions)];
    items.push_back(item);
    if (items.size() > 1) continue;
    for (size_t i = 0; i < key.size(); ++i) arrays[i].push_back(key[i]);
  }
  std::vector<Value> params;
  for (std::vector<Value>& array : arrays) params.push_back(Value::Array(std::move(array)));
  Step step;
  step.statements.push_back(ReadStatement(lowering_.BatchRead(table, columns), std::move(params)));
  task.steps.push_back(std::move(step));
}

absl::StatusOr<ReadPlan> Planner::PlanRead(const ReadOperation& op, const std::shared_ptr<const Snapshot>& snapshot,
                                           std::optional<ShardId> pinned, ShardId spread) {
  Follow(snapshot);
  QUARRY_ASSIGN_OR_RETURN(const Table* table, FindTable(*snapshot, op.table));
  if (static_cast<int64_t>(op.keys.size()) > limits_.batch_items_max) {
    return InvalidField("keys", absl::StrCat("has ", op.keys.size(), " keys; at most ", limits_.batch_items_max,
                                             " are read at once, so split the call"));
  }
  QUARRY_ASSIGN_OR_RETURN(std::vector<size_t> asked, CheckColumns(*table, op.columns, "columns"));
  ReadColumns columns = ColumnsToRead(*table, std::move(asked));

  ShardSet targets;
  if (!op.target.empty()) {
    QUARRY_ASSIGN_OR_RETURN(targets, ShardsOfTarget(op.target, *snapshot));
  }
  ReadPlan plan;
  // A reference table is everywhere: the named shard, the transaction's, or any.
  std::optional<ShardId> everywhere;
  if (table->kind() == TableKind::kReference) {
    everywhere = targets.empty() ? pinned.value_or(spread) : targets.front();
    if (targets.empty() && !pinned.has_value()) {
      for (const Shard& shard : snapshot->topology.shards()) {
        if (shard.id != spread) plan.alternates.push_back(shard.id);
      }
    }
  }
  std::map<ShardId, std::vector<std::pair<uint32_t, Key>>> by_shard;
  std::vector<FieldViolation> violations;
  for (uint32_t item = 0; item < op.keys.size(); ++item) {
    const std::string path = op.keys.size() == 1 ? "key" : absl::StrCat("keys[", item, "]");
    absl::StatusOr<Key> key = CheckKey(*table, op.keys[item], path);
    if (!key.ok()) {
      const ErrorDetail detail = DetailOf(key.status());
      violations.insert(violations.end(), detail.violations.begin(), detail.violations.end());
      continue;
    }
    ShardId shard = everywhere.value_or(ShardId{0});
    if (!everywhere.has_value()) {
      const absl::StatusOr<ShardId> placed = ShardOfRow(*table, *key, *snapshot);
      if (ReasonOf(placed.status()) == reason::kKeyNotMapped) {
        plan.unplaced = true;
        continue;
      }
      if (!placed.ok()) return placed.status();
      shard = *placed;
      if (!targets.empty() && !std::binary_search(targets.begin(), targets.end(), shard)) {
        return InvalidField("target", absl::StrCat("does not hold the row: ", path, " lives on shard ",
                                                   snapshot->topology.name(shard)));
      }
    }
    by_shard[shard].emplace_back(item, *std::move(key));
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  columns.merge.items = static_cast<uint32_t>(op.keys.size());
  for (const auto& [shard, keys] : by_shard) {
    Task task;
    task.shard = shard;
    AddReadSteps(*table, columns.read, snapshot->topology.shard(shard).dialect, keys, task,
                 columns.merge.tasks.emplace_back());
    plan.tasks.push_back(std::move(task));
  }
  plan.merge = std::move(columns.merge);
  return plan;
}

}  // namespace quarry
