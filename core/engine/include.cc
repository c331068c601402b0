#include "core/engine/include.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/catalog/coerce.h"
#include "core/model/check.h"
#include "core/model/key_bytes.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

// The rows of one step, each with its place among the parents.
struct StepRows {
  std::vector<uint32_t> parents;
  std::vector<PlacedRow> rows;
};

// The distinct keys of one shard's parents.
struct ShardKeys {
  std::vector<Key> keys;
  std::map<std::string, size_t> known;  // Key bytes -> index in `keys`.
};

bool HasNull(const Row& row, const std::vector<size_t>& positions) {
  return std::any_of(positions.begin(), positions.end(), [&row](size_t at) { return row[at].is_null(); });
}

Key Part(const Row& row, const std::vector<size_t>& positions) {
  Key key;
  key.reserve(positions.size());
  for (const size_t at : positions) key.push_back(row[at]);
  return key;
}

// A column may hold what the related one cannot, as a wider integer does: no row has such a key, and databases take it for a mistake.
bool MayHaveRows(const IncludeStep& step, const Row& parent) {
  for (size_t i = 0; i < step.key_positions.size(); ++i) {
    const Column& related = step.related->columns()[step.columns[step.join_positions[i]]];
    const Value& value = parent[step.key_positions[i]];
    if (value.is_null() || !Coerce(related, value).ok()) return false;
  }
  return true;
}

std::map<ShardId, ShardKeys> KeysByShard(const IncludeStep& step, const std::vector<PlacedRow>& parents) {
  std::map<ShardId, ShardKeys> by_shard;
  for (const PlacedRow& parent : parents) {
    if (!MayHaveRows(step, parent.row)) continue;
    ShardKeys& keys = by_shard[step.by_key ? ShardId{0} : parent.shard];
    const bool added = keys.known.emplace(KeyBytes(parent.row, step.key_positions), keys.keys.size()).second;
    if (added) keys.keys.push_back(Part(parent.row, step.key_positions));
  }
  return by_shard;
}

// Related rows by shard and join key; a relation read by key has them all under shard 0.
using Found = std::map<ShardId, absl::flat_hash_map<std::string, std::vector<PlacedRow>>>;

absl::Status TooMany(const IncludeStep& step, absl::string_view what, int64_t most) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("include ", step.path, " has more than ", most, " ", what,
                                "; ask for a smaller page, raise the include's max_rows, or list the related table by itself"),
                   {{"relation", step.path}});
}

// Gives every parent its rows, in order.
absl::StatusOr<StepRows> Join(const IncludeStep& step, const std::vector<PlacedRow>& parents, Found found,
                              int64_t rows_max) {
  StepRows joined;
  for (uint32_t parent = 0; parent < parents.size(); ++parent) {
    if (HasNull(parents[parent].row, step.key_positions)) continue;
    const auto shard = found.find(step.by_key ? ShardId{0} : parents[parent].shard);
    if (shard == found.end()) continue;
    const auto rows = shard->second.find(KeyBytes(parents[parent].row, step.key_positions));
    if (rows == shard->second.end()) continue;
    if (static_cast<int64_t>(rows->second.size()) > step.rows_per_parent) {
      return TooMany(step, "rows for one parent", step.rows_per_parent);
    }
    for (const PlacedRow& row : rows->second) {
      joined.parents.push_back(parent);
      joined.rows.push_back(row);
    }
    if (static_cast<int64_t>(joined.rows.size()) > rows_max) return TooMany(step, "rows", rows_max);
  }
  return joined;
}

std::vector<Task> TasksOf(const IncludeStep& step, const std::map<ShardId, ShardKeys>& by_shard, const Snapshot& snapshot,
                          int64_t rows_max) {
  std::vector<Task> tasks;
  for (const auto& [shard, keys] : by_shard) {
    Task& task = tasks.emplace_back();
    task.shard = shard;
    const Dialect dialect = snapshot.topology.shard(shard).dialect;
    for (size_t first = 0; first < keys.keys.size(); first += kIncludeKeysMax) {
      const absl::Span<const Key> some = absl::MakeConstSpan(keys.keys).subspan(first, kIncludeKeysMax);
      task.steps.emplace_back().statements.push_back(IncludeStatement(step, some, rows_max + 1, dialect));
    }
  }
  return tasks;
}

Async<absl::StatusOr<Found>> FindOnShards(const IncludeStep& step, const std::map<ShardId, ShardKeys>& by_shard,
                                          const IncludeRunner& runner, const Snapshot& snapshot, int64_t rows_max,
                                          std::vector<std::pair<ShardId, absl::Status>>* failed) {
  Found found;
  std::vector<Task> tasks = TasksOf(step, by_shard, snapshot, rows_max);
  Async<std::vector<absl::StatusOr<TaskResult>>> run = runner.run(tasks);
  std::vector<absl::StatusOr<TaskResult>> answers = co_await run;
  for (size_t i = 0; i < answers.size(); ++i) {
    const ShardId shard = tasks[i].shard;
    if (!answers[i].ok()) {
      if (failed == nullptr) co_return answers[i].status();
      failed->emplace_back(shard, answers[i].status());
      continue;
    }
    for (StepResult& part : answers[i]->steps) {
      std::vector<Row>& rows = part.statements.back().batch.rows;
      if (static_cast<int64_t>(rows.size()) > rows_max) co_return TooMany(step, "rows", rows_max);
      for (Row& row : rows) {
        std::string key = KeyBytes(row, step.join_positions);
        found[shard][std::move(key)].push_back({shard, std::move(row)});
      }
    }
  }
  co_return found;
}

// Their shards are those of their keys.
Async<absl::StatusOr<Found>> FindByKey(const IncludeStep& step, const ShardKeys& keys, const IncludeRunner& runner,
                                       const Snapshot& snapshot, LoadedIncludes& loaded) {
  const Table& table = *step.related;
  std::vector<size_t> key_positions;
  for (const size_t column : table.primary_key()) {
    const auto at = std::find(step.columns.begin(), step.columns.end(), column);
    key_positions.push_back(static_cast<size_t>(at - step.columns.begin()));
  }
  Found found;
  for (size_t first = 0; first < keys.keys.size(); first += runner.read_keys_max) {
    ReadOperation op;
    op.table = table.name();
    for (const size_t column : step.columns) op.columns.push_back(table.columns()[column].name);
    for (size_t at = first; at < std::min(first + runner.read_keys_max, keys.keys.size()); ++at) {
      KeyInput& key = op.keys.emplace_back();
      for (size_t i = 0; i < keys.keys[at].size(); ++i) {
        key.by_name.emplace(step.relation->related_columns[i], keys.keys[at][i]);
      }
    }
    Async<absl::StatusOr<ReadResult>> read = runner.read(std::move(op));
    absl::StatusOr<ReadResult> answer = co_await read;
    if (!answer.ok()) co_return answer.status();
    loaded.failed.insert(loaded.failed.end(), answer->failed.begin(), answer->failed.end());
    loaded.asked.insert(loaded.asked.end(), answer->served_by.asked.begin(), answer->served_by.asked.end());
    loaded.answered.insert(loaded.answered.end(), answer->served_by.answered.begin(), answer->served_by.answered.end());
    for (KeyedRow& row : answer->found) {
      QUARRY_CO_ASSIGN_OR_RETURN(const ShardId shard, ShardOfRow(table, Part(row.row, key_positions), snapshot));
      std::string key = KeyBytes(row.row, step.join_positions);
      found[ShardId{0}][std::move(key)].push_back({shard, std::move(row.row)});
    }
  }
  co_return found;
}

IncludedRows Visible(const IncludeStep& step, StepRows rows) {
  IncludedRows included;
  included.relation = step.path;
  included.header = step.header;
  included.parents = std::move(rows.parents);
  for (PlacedRow& row : rows.rows) {
    row.row.resize(step.visible);
    included.rows.push_back(std::move(row.row));
  }
  return included;
}

}  // namespace

Async<absl::StatusOr<LoadedIncludes>> LoadIncludes(const IncludePlan& plan, const std::vector<PlacedRow>& page,
                                                   const IncludeRunner& runner, const Snapshot& snapshot, int64_t rows_max,
                                                   int64_t bytes_max, bool partial) {
  LoadedIncludes loaded;
  std::vector<StepRows> by_step(plan.steps.size());
  int64_t bytes = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const IncludeStep& step = plan.steps[i];
    const std::vector<PlacedRow>& parents = step.parent.has_value() ? by_step[*step.parent].rows : page;
    std::map<ShardId, ShardKeys> by_shard = KeysByShard(step, parents);
    if (by_shard.empty()) continue;
    Async<absl::StatusOr<Found>> find =
        step.by_key ? FindByKey(step, by_shard.begin()->second, runner, snapshot, loaded)
                    : FindOnShards(step, by_shard, runner, snapshot, rows_max, partial ? &loaded.failed : nullptr);
    absl::StatusOr<Found> found = co_await find;
    if (!found.ok()) co_return found.status();
    QUARRY_CO_ASSIGN_OR_RETURN(by_step[i], Join(step, parents, *std::move(found), rows_max));
    for (const PlacedRow& row : by_step[i].rows) {
      for (const Value& value : row.row) bytes += static_cast<int64_t>(ByteSize(value));
    }
    if (bytes > bytes_max) co_return TooMany(step, "bytes of rows, with the relations before it", bytes_max);
  }
  loaded.relations.resize(plan.steps.size());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    loaded.relations[plan.steps[i].item] = Visible(plan.steps[i], std::move(by_step[i]));
  }
  co_return loaded;
}

}  // namespace quarry
