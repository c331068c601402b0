// For random tables, keys and shards: each key is read where its resolver says and nowhere else, and what the shards
// answer, merged, is what one database with all rows would say.
#include <algorithm>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/merge/merge.h"
#include "core/model/key_bytes.h"
#include "core/plan/planner.h"
#include "core/plan/route.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {
namespace {

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {
    const size_t key_columns = 1 + Below(3);
    const size_t others = Below(4);
    std::vector<Column> columns;
    std::vector<std::string> key;
    for (size_t i = 0; i < key_columns + others; ++i) {
      const TypeKind kinds[] = {TypeKind::kInt64, TypeKind::kText, TypeKind::kDecimal};
      columns.push_back(MakeColumn(absl::StrCat("c", i), kinds[Below(3)]));
      if (i < key_columns) key.push_back(columns.back().name);
    }
    std::shuffle(columns.begin(), columns.end(), random_);
    std::vector<std::string> shard_key(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(1 + Below(key_columns)));
    std::vector<Dialect> dialects = {Dialect::kPostgres, Dialect::kSqlite};
    if (Below(2) == 0) dialects = {Dialect::kPostgres};
    snapshot = MakeSnapshot(1 + Below(8), dialects,
                            {{Declare("t", TableKind::kSharded, shard_key), MakeSchema("t", columns, key)}});
    table = &snapshot->catalog.tables().begin()->second;
  }

  size_t Below(size_t bound) { return random_() % bound; }

  // Few values, so that keys collide. A decimal is asked in one scale and stored in another.
  Value RandomValue(size_t column, bool stored) {
    const uint64_t n = Below(6);
    switch (table->columns()[column].type.kind) {
      case TypeKind::kInt64:
        return Value::Int64(static_cast<int64_t>(n));
      case TypeKind::kText:
        return Value::Text(std::string(n, 'x'));
      default:
        return Value::Decimal(absl::StrCat(n, stored ? ".50" : ".5"));
    }
  }
  Key RandomKey() {
    Key key;
    for (const size_t column : table->primary_key()) key.push_back(RandomValue(column, false));
    return key;
  }

  std::mt19937_64 random_;
  std::shared_ptr<const Snapshot> snapshot;
  const Table* table = nullptr;
};

// All rows of all shards, by the bytes of their keys.
using Rows = std::map<std::string, Row>;

std::string BytesOf(const Key& key) {
  std::vector<size_t> positions(key.size());
  for (size_t i = 0; i < key.size(); ++i) positions[i] = i;
  return KeyBytes(key, positions);
}

Rows MakeRows(World& world) {
  Rows rows;
  const size_t count = world.Below(40);
  for (size_t i = 0; i < count; ++i) {
    Row row;
    for (size_t c = 0; c < world.table->columns().size(); ++c) row.push_back(world.RandomValue(c, true));
    rows.emplace(KeyBytes(row, world.table->primary_key()), std::move(row));
  }
  return rows;
}

// The keys that a statement asks for.
std::vector<Key> KeysOf(const Table& table, const Statement& statement, bool batched) {
  if (!batched) return {statement.params};
  if (statement.params.front().kind() != ValueKind::kArray) {
    std::vector<Key> keys;
    const auto width = static_cast<std::ptrdiff_t>(table.primary_key().size());
    for (auto part = statement.params.begin(); part != statement.params.end(); part += width) {
      Key key(part, part + width);
      if (keys.empty() || BytesOf(keys.back()) != BytesOf(key)) keys.push_back(std::move(key));  // The last fills up.
    }
    return keys;
  }
  std::vector<Key> keys(statement.params.front().elements().size());
  for (const Value& array : statement.params) {
    EXPECT_EQ(array.elements().size(), keys.size());
    for (size_t i = 0; i < keys.size(); ++i) keys[i].push_back(array.elements()[i]);
  }
  return keys;
}

// The columns that a statement's text reads.
std::vector<size_t> ColumnsOf(const Table& table, const std::string& sql) {
  std::vector<std::pair<size_t, size_t>> at;
  const std::string list = sql.substr(0, sql.find(" FROM "));
  for (size_t c = 0; c < table.columns().size(); ++c) {
    const size_t found = list.find(absl::StrCat("\"", table.columns()[c].name, "\""));
    if (found != std::string::npos) at.emplace_back(found, c);
  }
  std::sort(at.begin(), at.end());
  std::vector<size_t> columns;
  for (const auto& [where, column] : at) columns.push_back(column);
  return columns;
}

TaskResult RunTask(World& world, const Task& task, bool batched, const Rows& rows, std::map<std::string, int>& asked) {
  TaskResult result;
  for (const Step& step : task.steps) {
    StepResult answer;
    StatementResult& statement = answer.statements.emplace_back();
    const std::vector<size_t> columns = ColumnsOf(*world.table, *step.statements[0].sql);
    for (const Key& key : KeysOf(*world.table, step.statements[0], batched)) {
      const absl::StatusOr<ShardId> shard = ShardOfRow(*world.table, key, *world.snapshot);
      EXPECT_THAT(shard, IsOk());
      EXPECT_EQ(*shard, task.shard);
      ++asked[BytesOf(key)];
      const auto found = rows.find(BytesOf(key));
      if (found == rows.end()) continue;
      Row row;
      for (const size_t column : columns) row.push_back(found->second[column]);
      statement.batch.rows.push_back(std::move(row));
    }
    std::shuffle(statement.batch.rows.begin(), statement.batch.rows.end(), world.random_);
    result.steps.push_back(std::move(answer));
  }
  return result;
}

void CheckOnce(uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  World world(seed);
  const Rows rows = MakeRows(world);
  std::vector<Key> keys(world.Below(30));
  ReadOperation op;
  op.table = "t";
  for (Key& key : keys) {
    key = world.RandomKey();
    op.keys.push_back(KeyOf(key));
  }
  std::vector<size_t> wanted;
  for (size_t c = 0; c < world.table->columns().size(); ++c) wanted.push_back(c);
  if (world.Below(2) == 0) {
    std::shuffle(wanted.begin(), wanted.end(), world.random_);
    wanted.resize(1 + world.Below(wanted.size()));
    for (const size_t column : wanted) op.columns.push_back(world.table->columns()[column].name);
  }

  Planner planner{PlanLimits()};
  ASSERT_OK_AND_ASSIGN(ReadPlan plan, planner.PlanRead(op, world.snapshot, std::nullopt, ShardId{0}));
  EXPECT_TRUE(std::is_sorted(plan.tasks.begin(), plan.tasks.end(),
                             [](const Task& a, const Task& b) { return a.shard < b.shard; }));
  std::map<std::string, int> asked;
  std::vector<TaskResult> parts;
  for (size_t i = 0; i < plan.tasks.size(); ++i) {
    parts.push_back(RunTask(world, plan.tasks[i], plan.merge.tasks[i].batched, rows, asked));
  }
  // Once; where every key is a step, as often as it was asked.
  for (const Key& key : keys) {
    const auto same = [&key](const Key& other) { return BytesOf(other) == BytesOf(key); };
    EXPECT_GE(asked[BytesOf(key)], 1);
    EXPECT_LE(asked[BytesOf(key)], std::count_if(keys.begin(), keys.end(), same));
  }

  const ReadResult result = MergeRead(plan.merge, std::move(parts));
  std::vector<uint32_t> missing;
  size_t next = 0;
  for (uint32_t item = 0; item < keys.size(); ++item) {
    const auto expected = rows.find(BytesOf(keys[item]));
    if (expected == rows.end()) {
      missing.push_back(item);
      continue;
    }
    ASSERT_LT(next, result.found.size());
    EXPECT_EQ(result.found[next].item, item);
    Row row;
    for (const size_t column : wanted) row.push_back(expected->second[column]);
    EXPECT_EQ(result.found[next].row, row);
    ++next;
  }
  EXPECT_EQ(next, result.found.size());
  EXPECT_EQ(result.missing, missing);
}

TEST(ReadPropertyTest, MergedShardsAnswerAsOneDatabase) {
  const uint64_t seed = std::random_device()();
  std::cout << "first seed " << seed << "\n";
  for (uint64_t i = 0; i < 2'000 && !HasFailure(); ++i) CheckOnce(seed + i);
}

}  // namespace
}  // namespace quarry
