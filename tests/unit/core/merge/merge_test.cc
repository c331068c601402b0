#include "core/merge/merge.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/model/etag.h"
#include "core/model/key_bytes.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

StepResult Rows(std::vector<Row> rows) {
  StepResult step;
  StatementResult& statement = step.statements.emplace_back();
  statement.affected = static_cast<int64_t>(rows.size());
  statement.batch.rows = std::move(rows);
  return step;
}

Row R(int64_t key, const char* text) { return {Value::Int64(key), Value::Text(text)}; }

std::shared_ptr<const ReadLayout> Layout(std::vector<size_t> projection = {}, bool with_etag = false) {
  ReadLayout layout;
  layout.key_positions = {0};
  layout.projection = std::move(projection);
  layout.with_etag = with_etag;
  return std::make_shared<const ReadLayout>(std::move(layout));
}

// Two shards, keys 1, 2, 1 on the first and 3, 4 on the second; rows are (key, text).
ReadMerge TwoShards() {
  ReadMerge merge;
  merge.layout = Layout();
  merge.items = 5;
  ReadTaskMerge first;
  first.batched = true;
  first.items_by_key[KeyBytes({Value::Int64(1)}, {0})] = {0, 3};
  first.items_by_key[KeyBytes({Value::Int64(2)}, {0})] = {2};
  ReadTaskMerge second;
  second.batched = true;
  second.items_by_key[KeyBytes({Value::Int64(3)}, {0})] = {1};
  second.items_by_key[KeyBytes({Value::Int64(4)}, {0})] = {4};
  merge.tasks = {first, second};
  return merge;
}

std::vector<TaskResult> Parts(std::vector<Row> first, std::vector<Row> second) {
  std::vector<TaskResult> parts(2);
  parts[0].steps.push_back(Rows(std::move(first)));
  parts[1].steps.push_back(Rows(std::move(second)));
  return parts;
}

std::vector<uint32_t> Items(const ReadResult& result) {
  std::vector<uint32_t> items;
  for (const KeyedRow& row : result.found) items.push_back(row.item);
  return items;
}

TEST(MergeReadTest, OrdersRowsByItemAndGivesADuplicateKeyTwice) {
  const ReadResult result = MergeRead(TwoShards(), Parts({R(2, "b"), R(1, "a")}, {R(4, "d"), R(3, "c")}));
  EXPECT_THAT(Items(result), ElementsAre(0u, 1u, 2u, 3u, 4u));
  EXPECT_EQ(result.found[0].row, R(1, "a"));
  EXPECT_EQ(result.found[3].row, R(1, "a"));
  EXPECT_EQ(result.found[1].row, R(3, "c"));
  EXPECT_THAT(result.missing, IsEmpty());
}

TEST(MergeReadTest, ListsMissingKeysAscending) {
  const ReadResult result = MergeRead(TwoShards(), Parts({R(2, "b")}, {}));
  EXPECT_THAT(Items(result), ElementsAre(2u));
  EXPECT_THAT(result.missing, ElementsAre(0u, 1u, 3u, 4u));
}

TEST(MergeReadTest, IgnoresRowsThatNobodyAskedFor) {
  const ReadResult result = MergeRead(TwoShards(), Parts({R(9, "z")}, {R(3, "c")}));
  EXPECT_THAT(Items(result), ElementsAre(1u));
}

TEST(MergeReadTest, ReadsStepsOneByOneWhenNotBatched) {
  ReadMerge merge;
  merge.items = 3;
  merge.layout = Layout();
  ReadTaskMerge task;
  task.items = {2, 0, 1};
  merge.tasks = {task};
  std::vector<TaskResult> parts(1);
  parts[0].steps = {Rows({R(7, "g")}), Rows({}), Rows({R(8, "h")})};
  const ReadResult result = MergeRead(merge, std::move(parts));
  EXPECT_THAT(Items(result), ElementsAre(1u, 2u));
  EXPECT_EQ(result.found[0].row, R(8, "h"));
  EXPECT_THAT(result.missing, ElementsAre(0u));
}

TEST(MergeReadTest, ProjectsAndHashesTheWholeRow) {
  ReadMerge merge = TwoShards();
  merge.layout = Layout({1}, true);
  const ReadResult result = MergeRead(merge, Parts({R(2, "b")}, {}));
  ASSERT_EQ(result.found.size(), 1u);
  EXPECT_THAT(result.found[0].row, ElementsAre(Value::Text("b")));
  EXPECT_EQ(result.found[0].etag, EtagOf(R(2, "b")));
}

TEST(MergeReadTest, GivesNoEtagForPartOfARow) {
  EXPECT_EQ(MergeRead(TwoShards(), Parts({R(2, "b")}, {})).found[0].etag, "");
}

// ---- Writes ----

Task TaskOf(std::vector<uint32_t> items) {
  Task task;
  for (const uint32_t item : items) task.steps.emplace_back().item = item;
  return task;
}

WriteMerge ThreeInserts() {
  WriteMerge merge;
  for (int64_t i = 0; i < 3; ++i) {
    MutationMerge& mutation = merge.mutations.emplace_back();
    mutation.key["id"] = Value::Int64(i);
    mutation.key_columns = {{"id", 0}};
  }
  return merge;
}

TEST(MergeWriteTest, PutsEachStepToItsMutation) {
  std::vector<TaskResult> parts(2);
  parts[0].steps = {Rows({R(2, "c")}), Rows({})};
  StepResult failed;
  failed.status = absl::UnavailableError("down");
  parts[1].steps = {failed};
  const WriteResult result = MergeWrite(ThreeInserts(), {TaskOf({2, 0}), TaskOf({1})}, std::move(parts));
  EXPECT_EQ(result.mutations[2].affected, 1);
  EXPECT_EQ(result.mutations[0].affected, 0);
  EXPECT_THAT(result.mutations[0].status, IsOk());
  EXPECT_THAT(result.mutations[1].status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(result.mutations[1].key.at("id"), Value::Int64(1));
  EXPECT_FALSE(result.replayed);
}

TEST(MergeWriteTest, TakesTheKeyFromTheReturnedRow) {
  WriteMerge merge = ThreeInserts();
  merge.mutations.resize(1);
  merge.mutations[0].key.clear();
  merge.mutations[0].returns_row = true;
  std::vector<TaskResult> parts(1);
  parts[0].steps = {Rows({R(42, "x")})};
  const WriteResult result = MergeWrite(merge, {TaskOf({0})}, std::move(parts));
  EXPECT_EQ(result.mutations[0].key.at("id"), Value::Int64(42));
  EXPECT_THAT(result.mutations[0].row, IsEmpty());
  EXPECT_EQ(result.mutations[0].etag, "");
}

TEST(MergeWriteTest, ReturnsAskedColumnsWithTheEtagOfAll) {
  WriteMerge merge = ThreeInserts();
  merge.mutations.resize(1);
  merge.mutations[0].returns_row = true;
  merge.mutations[0].projection = {1};
  merge.mutations[0].header =
      std::make_shared<const std::vector<ColumnHeader>>(std::vector<ColumnHeader>{{"text", ColumnType()}});
  std::vector<TaskResult> parts(1);
  parts[0].steps = {Rows({R(42, "x")})};
  const WriteResult result = MergeWrite(merge, {TaskOf({0})}, std::move(parts));
  EXPECT_THAT(result.mutations[0].row, ElementsAre(Value::Text("x")));
  EXPECT_EQ(result.mutations[0].etag, EtagOf(R(42, "x")));
  EXPECT_EQ(result.mutations[0].header->size(), 1u);
}

TEST(MergeWriteTest, IsReplayedOnlyWhenEveryPartIs) {
  const auto replayed = [](bool first, bool second) {
    std::vector<TaskResult> parts(2);
    parts[0].steps = {Rows({})};
    parts[0].replayed = first;
    parts[1].steps = {Rows({})};
    parts[1].replayed = second;
    return MergeWrite(ThreeInserts(), {TaskOf({0}), TaskOf({1})}, std::move(parts)).replayed;
  };
  EXPECT_TRUE(replayed(true, true));
  EXPECT_FALSE(replayed(true, false));
  EXPECT_FALSE(MergeWrite(ThreeInserts(), {}, {}).replayed);
}

}  // namespace
}  // namespace quarry
