// What a task promises: its checks, its atomicity, its guard, and errors that say what went wrong.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/gather.h"
#include "core/model/etag.h"
#include "tests/contract/backend/rows_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

constexpr char kItems[] =
    "CREATE TABLE parent(id BIGINT PRIMARY KEY);"
    "CREATE TABLE item(id BIGINT PRIMARY KEY, code TEXT, part BIGINT, name TEXT NOT NULL DEFAULT 'none', "
    "price BIGINT CONSTRAINT item_price_positive CHECK (price > 0), parent BIGINT REFERENCES parent(id), "
    "UNIQUE (code, part))";

Statement InsertItem(BackendRowsContract& test, int64_t id, const std::string& code = "") {
  return test.Write("INSERT INTO item(id, code, part) VALUES ($1, $2, 1)",
                    {Value::Int64(id), Value::Text(code.empty() ? "c" + std::to_string(id) : code)});
}

TEST_P(BackendRowsContract, WritesTellHowManyRowsTheyWrote) {
  CreateTables(kItems);
  ASSERT_OK_AND_ASSIGN(const TaskResult inserted,
                       Execute(TaskOf({InsertItem(*this, 1), InsertItem(*this, 2), InsertItem(*this, 3)})));
  ASSERT_EQ(inserted.steps.size(), 1U);
  ASSERT_EQ(inserted.steps[0].statements.size(), 3U);
  EXPECT_EQ(inserted.steps[0].statements[2].affected, 1);
  ASSERT_OK_AND_ASSIGN(
      const TaskResult updated,
      Execute(TaskOf({Write("UPDATE item SET price = 5 WHERE id >= $1", {Value::Int64(2)})})));
  EXPECT_EQ(updated.steps[0].statements[0].affected, 2);
  ASSERT_OK_AND_ASSIGN(
      const TaskResult none,
      Execute(TaskOf({Write("UPDATE item SET price = 5 WHERE id = $1", {Value::Int64(99)})})));
  EXPECT_EQ(none.steps[0].statements[0].affected, 0);
  EXPECT_EQ(Count("item"), 3);
}

TEST_P(BackendRowsContract, WritesReturnWhatTheDatabaseFilledIn) {
  CreateTables(kItems);
  ASSERT_OK_AND_ASSIGN(const TaskResult result,
                       Execute(TaskOf({WriteReturning("INSERT INTO item(id) VALUES ($1) RETURNING id, name",
                                                      {Value::Int64(7)})})));
  const RowBatch& batch = result.steps[0].statements[0].batch;
  ASSERT_EQ(batch.rows.size(), 1U);
  EXPECT_EQ(batch.rows[0], (Row{Value::Int64(7), Value::Text("none")}));
  EXPECT_EQ(result.steps[0].statements[0].affected, 1);
}

TEST_P(BackendRowsContract, UniqueViolationsNameTheirConstraintAndColumns) {
  CreateTables(kItems);
  ASSERT_THAT(Execute(TaskOf({InsertItem(*this, 1, "topsecret")})), IsOk());
  const absl::Status unique = Execute(TaskOf({InsertItem(*this, 2, "topsecret")})).status();
  EXPECT_THAT(unique, StatusIs(absl::StatusCode::kAlreadyExists));
  EXPECT_THAT(unique, HasReason(reason::kUniqueViolation));
  ErrorDetail detail = DetailOf(unique);
  EXPECT_EQ(detail.facts["constraint"], "item_code_part_key");
  EXPECT_EQ(detail.facts["columns"], "code,part");
  EXPECT_EQ(detail.facts["shard"], kContractShard);
  EXPECT_EQ(std::string(unique.message()).find("topsecret"), std::string::npos) << "row data in a message";

  detail = DetailOf(Execute(TaskOf({InsertItem(*this, 1)})).status());
  EXPECT_EQ(detail.reason, reason::kUniqueViolation);
  EXPECT_EQ(detail.facts["constraint"], "item_pkey");
  EXPECT_EQ(detail.facts["columns"], "id");
  EXPECT_EQ(Count("item"), 1);
}

TEST_P(BackendRowsContract, OtherConstraintsAreFailedPreconditions) {
  CreateTables(kItems);
  const absl::Status check = Execute(TaskOf({Write("INSERT INTO item(id, price) VALUES (1, -5)")})).status();
  EXPECT_THAT(check, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(check, HasReason(reason::kConstraintViolation));
  EXPECT_EQ(DetailOf(check).facts["constraint"], "item_price_positive");

  const absl::Status null = Execute(TaskOf({Write("INSERT INTO item(id, name) VALUES (1, NULL)")})).status();
  EXPECT_THAT(null, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(null, HasReason(reason::kConstraintViolation));
  EXPECT_EQ(DetailOf(null).facts["column"], "name");

  const absl::Status foreign =
      Execute(TaskOf({Write("INSERT INTO item(id, parent) VALUES (1, 77)")})).status();
  EXPECT_THAT(foreign, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(foreign, HasReason(reason::kConstraintViolation));
  // SQLite does not tell which one.
  EXPECT_EQ(DetailOf(foreign).facts["constraint"], sqlite() ? "" : "item_parent_fkey");
  EXPECT_EQ(Count("item"), 0);
}

TEST_P(BackendRowsContract, DeferredConstraintsFailTheirOwnTaskOnly) {
  CreateTables(
      "CREATE TABLE p(id BIGINT PRIMARY KEY);"
      "CREATE TABLE c(id BIGINT PRIMARY KEY, p BIGINT REFERENCES p(id) DEFERRABLE INITIALLY DEFERRED)");
  const CallContext ctx = AnyCall();
  std::vector<Task> tasks;
  for (int64_t i = 0; i < 10; ++i) {
    const Value p = i == 4 ? Value::Int64(99) : Value::Null();
    tasks.push_back(TaskOf({Write("INSERT INTO c(id, p) VALUES ($1, $2)", {Value::Int64(i), p})}));
  }
  std::vector<Async<absl::StatusOr<TaskResult>>> calls;
  for (const Task& task : tasks) calls.push_back(backend().Execute(task, ctx));
  GatherOptions options;
  options.stop_at_first_error = false;
  const auto results = RunOn(loop(), Gather(loop(), std::move(calls), options));
  for (size_t i = 0; i < results.size(); ++i) {
    if (i == 4) {
      EXPECT_THAT(results[i], HasReason(reason::kConstraintViolation));
    } else {
      EXPECT_THAT(results[i], IsOk()) << i;
    }
  }
  EXPECT_EQ(Count("c"), 9);
}

TEST_P(BackendRowsContract, BadSqlIsAnInvalidArgument) {
  for (const char* sql : {"SELEC 'secret'", "SELECT * FROM nowhere", "SELECT nothing FROM item"}) {
    CreateTables("CREATE TABLE IF NOT EXISTS item(id BIGINT PRIMARY KEY)");
    Statement statement = Read(sql);
    statement.raw = true;
    const absl::Status status = Execute(TaskOf({statement})).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << sql;
    EXPECT_THAT(status, HasReason(reason::kInvalidSql)) << sql;
    EXPECT_EQ(std::string(status.message()).find("secret"), std::string::npos);
  }
}

TEST_P(BackendRowsContract, ChecksThatDoNotHoldUndoTheirStep) {
  CreateTables(kItems);
  ASSERT_THAT(Execute(TaskOf({InsertItem(*this, 1)})), IsOk());
  Statement update = Write("UPDATE item SET price = 9 WHERE id = $1", {Value::Int64(2)});
  update.check.kind = Check::Kind::kRowRequired;
  update.check.table = "item";
  const absl::Status missing = Execute(TaskOf({InsertItem(*this, 3), update})).status();
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(missing, HasReason(reason::kRowNotFound));
  EXPECT_EQ(DetailOf(missing).facts["table"], "item");
  EXPECT_EQ(Count("item"), 1);

  update.params = {Value::Int64(1)};
  EXPECT_THAT(Execute(TaskOf({update})), IsOk());
}

TEST_P(BackendRowsContract, AnEtagThatHasChangedAbortsTheWrite) {
  CreateTables(kItems);
  ASSERT_THAT(Execute(TaskOf({InsertItem(*this, 1)})), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, Rows("SELECT id, code FROM item WHERE id = 1"));
  Statement check = Read("SELECT id, code FROM item WHERE id = 1");
  check.check.kind = Check::Kind::kEtag;
  check.check.table = "item";
  check.check.etag = EtagOf(rows.at(0));
  const Statement update = Write("UPDATE item SET code = 'new' WHERE id = 1");
  EXPECT_THAT(Execute(TaskOf({check, update})), IsOk());
  const absl::Status stale =
      Execute(TaskOf({check, Write("UPDATE item SET code = 'newer' WHERE id = 1")})).status();
  EXPECT_THAT(stale, StatusIs(absl::StatusCode::kAborted));
  EXPECT_THAT(stale, HasReason(reason::kEtagMismatch));
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> after, Rows("SELECT code FROM item WHERE id = 1"));
  EXPECT_EQ(after.at(0).at(0), Value::Text("new"));
}

TEST_P(BackendRowsContract, ARowThatDoesNotMatchKeepsTheWriteAway) {
  CreateTables(kItems);
  ASSERT_THAT(Execute(TaskOf({InsertItem(*this, 1)})), IsOk());
  const auto write = [&](const char* condition, const char* code) {
    Statement match = Read(absl::StrCat("SELECT id FROM item WHERE id = 1 AND ", condition));
    match.check.kind = Check::Kind::kMatch;
    match.check.table = "item";
    return Execute(TaskOf({match, Write(absl::StrCat("UPDATE item SET code = '", code, "' WHERE id = 1"))})).status();
  };
  EXPECT_THAT(write("code <> 'new'", "new"), IsOk());
  const absl::Status refused = write("code <> 'new'", "newer");
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(refused, HasReason(reason::kPreconditionFailed));
  EXPECT_EQ(DetailOf(refused).facts["table"], "item");
  EXPECT_THAT(write("code = NULL", "newest"), HasReason(reason::kPreconditionFailed));  // Unknown is no match.
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> after, Rows("SELECT code FROM item WHERE id = 1"));
  EXPECT_EQ(after.at(0).at(0), Value::Text("new"));
}

TEST_P(BackendRowsContract, AtomicityAllLeavesNothingOfAFailedTask) {
  CreateTables(kItems);
  Task task =
      TaskOfSteps({InsertItem(*this, 1), InsertItem(*this, 2), InsertItem(*this, 1)}, Atomicity::kAll);
  EXPECT_THAT(Execute(std::move(task)), HasReason(reason::kUniqueViolation));
  EXPECT_EQ(Count("item"), 0);
}

TEST_P(BackendRowsContract, AtomicityEachReportsFailuresPerStep) {
  CreateTables(kItems);
  Task task =
      TaskOfSteps({InsertItem(*this, 1), InsertItem(*this, 1), InsertItem(*this, 2)}, Atomicity::kEach);
  ASSERT_OK_AND_ASSIGN(const TaskResult result, Execute(std::move(task)));
  ASSERT_EQ(result.steps.size(), 3U);
  EXPECT_THAT(result.steps[0].status, IsOk());
  EXPECT_THAT(result.steps[1].status, HasReason(reason::kUniqueViolation));
  EXPECT_TRUE(result.steps[1].statements.empty());
  EXPECT_THAT(result.steps[2].status, IsOk());
  EXPECT_EQ(Count("item"), 2);
}

TEST_P(BackendRowsContract, ReadsOfManyStepsAnswerEach) {
  CreateTables(kItems);
  ASSERT_THAT(Execute(TaskOf({InsertItem(*this, 1), InsertItem(*this, 2)})), IsOk());
  std::vector<Statement> reads;
  for (int64_t id = 1; id <= 3; ++id)
    reads.push_back(Read("SELECT id FROM item WHERE id = $1", {Value::Int64(id)}));
  for (const Atomicity atomicity : {Atomicity::kAll, Atomicity::kEach}) {
    ASSERT_OK_AND_ASSIGN(const TaskResult result, Execute(TaskOfSteps(reads, atomicity)));
    ASSERT_EQ(result.steps.size(), 3U);
    EXPECT_EQ(result.steps[1].statements.at(0).batch.rows.at(0).at(0), Value::Int64(2));
    EXPECT_TRUE(result.steps[2].statements.at(0).batch.rows.empty());
  }
}

TEST_P(BackendRowsContract, ARepeatedRequestGetsTheRowsOfTheFirstReply) {
  CreateTables(kItems);
  Task task =
      TaskOf({WriteReturning("INSERT INTO item(id) VALUES ($1) RETURNING id, name", {Value::Int64(5)})});
  task.guard = GuardOf("001", 0xFFFFFFFFFFFFFFFFULL);
  ASSERT_OK_AND_ASSIGN(const TaskResult first, Execute(task));
  ASSERT_OK_AND_ASSIGN(const TaskResult again, Execute(task));
  EXPECT_TRUE(again.replayed);
  ASSERT_EQ(again.steps.size(), 1U);
  EXPECT_EQ(again.steps[0].statements.at(0).affected, 1);
  EXPECT_EQ(again.steps[0].statements.at(0).batch.rows, first.steps[0].statements.at(0).batch.rows);
  EXPECT_EQ(Count("item"), 1);
}

TEST_P(BackendRowsContract, WritesThatWaitTogetherShareACommitAndFailAlone) {
  CreateTables(kItems);
  ASSERT_THAT(Execute(TaskOf({InsertItem(*this, 50)})), IsOk());
  const CallContext ctx = AnyCall();
  std::vector<Task> tasks;
  for (int64_t id = 0; id < 100; ++id) tasks.push_back(TaskOf({InsertItem(*this, id)}));
  std::vector<Async<absl::StatusOr<TaskResult>>> calls;
  for (const Task& task : tasks) calls.push_back(backend().Execute(task, ctx));
  GatherOptions options;
  options.width = tasks.size();
  options.stop_at_first_error = false;
  const auto results = RunOn(loop(), Gather(loop(), std::move(calls), options));
  for (size_t i = 0; i < results.size(); ++i) {
    if (i == 50) {
      EXPECT_THAT(results[i], HasReason(reason::kUniqueViolation));
    } else {
      EXPECT_THAT(results[i], IsOk()) << i;
    }
  }
  EXPECT_EQ(Count("item"), 100);
  EXPECT_GT(backend().stats().groups, 0);
  EXPECT_GT(backend().stats().grouped_writes, 0);
}

TEST_P(BackendRowsContract, PreparedStatementsAreFoundAgain) {
  CreateTables(kItems);
  const Statement read = Read("SELECT id FROM item WHERE id = $1", {Value::Int64(1)});
  for (int i = 0; i < 20; ++i) ASSERT_THAT(Execute(TaskOf({read})), IsOk());
  EXPECT_GT(backend().stats().prepared_hits, backend().stats().prepared_misses);
}

}  // namespace
}  // namespace quarry
