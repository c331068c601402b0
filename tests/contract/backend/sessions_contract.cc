// What a leased session promises: transactions, savepoints, streams, and that nothing stays behind.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/gather.h"
#include "tests/contract/backend/rows_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

constexpr char kNotes[] = "CREATE TABLE note(id BIGINT PRIMARY KEY, body TEXT)";

Statement InsertNote(BackendRowsContract& test, int64_t id) {
  return test.Write("INSERT INTO note(id, body) VALUES ($1, 'x')", {Value::Int64(id)});
}

int64_t CountIn(BackendRowsContract& test, Session& session) {
  const absl::StatusOr<StepResult> result = test.Execute(session, test.Read("SELECT count(*) FROM note"));
  EXPECT_THAT(result, IsOk());
  return result.ok() ? result->statements.at(0).batch.rows.at(0).at(0).int64_value() : -1;
}

TEST_P(BackendRowsContract, ATransactionSeesItsOwnWritesAndOthersDoNot) {
  CreateTables(kNotes);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
  ASSERT_THAT(Execute(*session, InsertNote(*this, 1)), IsOk());
  EXPECT_EQ(CountIn(*this, *session), 1);
  EXPECT_EQ(Count("note"), 0);
  ASSERT_THAT(Commit(*session), IsOk());
  EXPECT_EQ(Count("note"), 1);
}

TEST_P(BackendRowsContract, SavepointsUndoAPart) {
  CreateTables(kNotes);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
  ASSERT_THAT(Execute(*session, InsertNote(*this, 1)), IsOk());
  ASSERT_THAT(Control(*session, "SAVEPOINT a"), IsOk());
  ASSERT_THAT(Execute(*session, InsertNote(*this, 2)), IsOk());
  ASSERT_THAT(Control(*session, "SAVEPOINT b"), IsOk());
  ASSERT_THAT(Execute(*session, InsertNote(*this, 3)), IsOk());
  ASSERT_THAT(Control(*session, "ROLLBACK TO a"), IsOk());
  EXPECT_EQ(CountIn(*this, *session), 1);
  ASSERT_THAT(Execute(*session, InsertNote(*this, 4)), IsOk());
  ASSERT_THAT(Control(*session, "RELEASE a"), IsOk());
  ASSERT_THAT(Commit(*session), IsOk());
  EXPECT_EQ(Count("note"), 2);
}

TEST_P(BackendRowsContract, AFailedStepIsUndoneAndTheTransactionGoesOn) {
  CreateTables(kNotes);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease());
  ASSERT_THAT(Execute(*session, InsertNote(*this, 1)), IsOk());
  Step step;
  step.statements = {InsertNote(*this, 2), InsertNote(*this, 1)};
  const CallContext ctx = AnyCall();
  EXPECT_THAT(RunOn(loop(), session->Execute(step, ctx)), HasReason(reason::kUniqueViolation));
  EXPECT_EQ(CountIn(*this, *session), 1);
  Statement check = Write("UPDATE note SET body = 'y' WHERE id = 99");
  check.check.kind = Check::Kind::kRowRequired;
  check.check.table = "note";
  EXPECT_THAT(Execute(*session, check), HasReason(reason::kRowNotFound));
  ASSERT_THAT(Execute(*session, InsertNote(*this, 3)), IsOk());
  ASSERT_THAT(Commit(*session), IsOk());
  EXPECT_EQ(Count("note"), 2);
}

TEST_P(BackendRowsContract, StepsThatNeedNoUndoOfTheirOwnCommitAndEndTogether) {
  CreateTables(kNotes);
  SessionOptions options;
  options.undo_steps = false;
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(options));
    ASSERT_THAT(Execute(*session, InsertNote(*this, 1)), IsOk());
    ASSERT_THAT(Execute(*session, InsertNote(*this, 2)), IsOk());
    EXPECT_EQ(CountIn(*this, *session), 2);
    ASSERT_THAT(Commit(*session), IsOk());
  }
  EXPECT_EQ(Count("note"), 2);
  Statement check = Write("UPDATE note SET body = 'y' WHERE id = 99");
  check.check.kind = Check::Kind::kRowRequired;
  check.check.table = "note";
  const std::pair<Statement, const char*> failures[] = {{InsertNote(*this, 3), reason::kUniqueViolation},
                                                        {check, reason::kRowNotFound},
                                                        {Write("UPDATE nothing_here SET id = 1"), ""}};
  for (const auto& [statement, expected] : failures) {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(options));
    ASSERT_THAT(Execute(*session, InsertNote(*this, 3)), IsOk());
    const absl::Status failed = Execute(*session, statement).status();
    EXPECT_FALSE(failed.ok());
    if (*expected != '\0') {
      EXPECT_THAT(failed, HasReason(expected));
    }
    ASSERT_THAT(Rollback(*session), IsOk());
  }
  EXPECT_EQ(Count("note"), 2);
  // The connections are clean again.
  ASSERT_THAT(Execute(TaskOf({InsertNote(*this, 4)})), IsOk());
  EXPECT_EQ(Count("note"), 3);
}

TEST_P(BackendRowsContract, ReadOnlySessionsCannotWrite) {
  CreateTables(kNotes);
  for (const bool transaction : {true, false}) {
    for (const bool raw : {true, false}) {
      ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(transaction, true)));
      EXPECT_EQ(CountIn(*this, *session), 0);
      Statement insert = InsertNote(*this, 1);
      insert.raw = raw;
      const absl::Status status = Execute(*session, insert).status();
      EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
      EXPECT_THAT(status, HasReason(reason::kReadOnly));
      EXPECT_THAT(std::string(status.message()), testing::HasSubstr("set allow_writes, or begin without read_only"));
      // One that hides as a read.
      insert.writes = false;
      insert.raw = true;
      EXPECT_THAT(Execute(*session, insert), HasReason(reason::kReadOnly));
    }
  }
  EXPECT_EQ(Count("note"), 0);
}

TEST_P(BackendRowsContract, AutocommitSessionsKeepEachStatement) {
  CreateTables(kNotes);
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(false, false)));
    ASSERT_THAT(Execute(*session, InsertNote(*this, 1)), IsOk());
    Statement raw = InsertNote(*this, 2);
    raw.raw = true;
    raw.writes = false;  // A user's own SQL may not say.
    ASSERT_THAT(Execute(*session, raw), IsOk());
    EXPECT_THAT(Execute(*session, InsertNote(*this, 2)), HasReason(reason::kUniqueViolation));
    EXPECT_EQ(CountIn(*this, *session), 2);
  }
  EXPECT_EQ(Count("note"), 2);
}

TEST_P(BackendRowsContract, StreamsGiveAllRowsInBoundedBatches) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(false, true)));
  const CallContext ctx = AnyCall();
  const Statement statement = fixture().Numbers(100'000);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RowStream> stream, RunOn(loop(), session->Open(statement, ctx)));
  ASSERT_NE(stream->header(), nullptr);
  ASSERT_EQ(stream->header()->size(), 2U);
  EXPECT_EQ(stream->header()->at(0).name, "x");
  int64_t expected = 1;
  int batches = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const RowBatch batch, RunOn(loop(), stream->Next(ctx)));
    if (batch.rows.empty()) break;
    ++batches;
    size_t bytes = 0;
    for (const Row& row : batch.rows) {
      ASSERT_EQ(row.at(0), Value::Int64(expected)) << "a row is lost or repeated";
      ++expected;
      for (const Value& value : row) bytes += ByteSize(value);
    }
    EXPECT_LE(bytes, 2U << 20);
  }
  EXPECT_EQ(expected, 100'001);
  EXPECT_GT(batches, 1);
  EXPECT_EQ(stream->affected(), 0);
}

TEST_P(BackendRowsContract, AStreamThatWritesHasWrittenAtItsEnd) {
  CreateTables(kNotes);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(false, false)));
  const CallContext ctx = AnyCall();
  Statement statement = Read("INSERT INTO note(id, body) VALUES (1, 'a'), (2, 'b') RETURNING id");
  statement.raw = true;
  {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RowStream> stream,
                         RunOn(loop(), session->Open(statement, ctx)));
    ASSERT_OK_AND_ASSIGN(const RowBatch batch, RunOn(loop(), stream->Next(ctx)));
    EXPECT_EQ(batch.rows.size(), 2U);
    ASSERT_OK_AND_ASSIGN(const RowBatch end, RunOn(loop(), stream->Next(ctx)));
    EXPECT_TRUE(end.rows.empty());
    EXPECT_EQ(stream->affected(), 2);
  }
  EXPECT_EQ(Count("note"), 2);
}

TEST_P(BackendRowsContract, DroppingAStreamStopsItAndFreesTheSession) {
  CreateTables(kNotes);
  for (const bool transaction : {true, false}) {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Session> session, Lease(Options(transaction, true)));
    const CallContext ctx = AnyCall();
    const Statement statement = fixture().Numbers(1'000'000'000);
    {
      ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RowStream> stream,
                           RunOn(loop(), session->Open(statement, ctx)));
      ASSERT_OK_AND_ASSIGN(const RowBatch batch, RunOn(loop(), stream->Next(ctx)));
      EXPECT_FALSE(batch.rows.empty());
    }
    EXPECT_EQ(CountIn(*this, *session), 0);
  }
}

TEST_P(BackendRowsContract, AFullPoolRefusesAndAWaiterIsServedWhenAPlaceIsFree) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (int64_t i = 0; i < kContractSessionsMax; ++i) {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<Session> session, Lease(Options(true, true)));
    sessions.push_back(std::move(session));
  }
  EXPECT_EQ(backend().stats().sessions_leased, kContractSessionsMax);
  EXPECT_EQ(backend().stats().sessions_max, kContractSessionsMax);
  const SessionOptions options = Options(true, true);
  const CallContext ctx = AnyCall();
  std::vector<absl::StatusOr<std::unique_ptr<Session>>> served;
  std::vector<Running> waiting;
  for (int64_t i = 0; i < kContractWaitersMax; ++i) {
    waiting.emplace_back(backend().Lease(options, ctx),
                         [&served](absl::StatusOr<std::unique_ptr<Session>> session) {
                           served.push_back(std::move(session));
                         });
  }
  EXPECT_EQ(backend().stats().waiters, kContractWaitersMax);
  const absl::Status full = Lease(options).status();
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(full, HasReason(reason::kPoolExhausted));
  EXPECT_TRUE(DetailOf(full).retry_after.has_value());
  sessions.clear();
  const absl::Time until = loop().Now() + absl::Seconds(10);
  while (served.size() < static_cast<size_t>(kContractWaitersMax) && loop().Now() < until) {
    loop().RunOnce(absl::Milliseconds(10));
  }
  ASSERT_EQ(served.size(), static_cast<size_t>(kContractWaitersMax));
  for (const auto& session : served) EXPECT_THAT(session, IsOk());
}

TEST_P(BackendRowsContract, AWaiterGivesUpAtItsDeadline) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (int64_t i = 0; i < kContractSessionsMax; ++i) {
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<Session> session, Lease(Options(true, true)));
    sessions.push_back(std::move(session));
  }
  const SessionOptions options = Options(true, true);
  const CallContext ctx = Within(absl::Milliseconds(50));
  const absl::Status late = RunOn(loop(), backend().Lease(options, ctx)).status();
  EXPECT_THAT(late, StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(DetailOf(late).facts["stage"], "pool");
  EXPECT_EQ(backend().stats().waiters, 0);
}

TEST_P(BackendRowsContract, OneStatementAtATime) {
  CreateTables(kNotes);
  for (const char* sql : {"SELECT 1; SELECT 2", "", "SELECT 1; DELETE FROM note", "SELECT 1; -- one\nSELECT 2", "SELECT 1; /* one */ SELECT 2",
                          "SELECT 1; - -", "-- none"}) {
    Statement statement = Read(sql);
    statement.raw = true;
    EXPECT_THAT(Execute(TaskOf({statement})), HasReason(reason::kInvalidSql)) << sql;
  }
  for (const char* sql : {"SELECT 1;", "SELECT 1; -- one; two", "SELECT 1; /* one;\ntwo */ ;\n--\n", "SELECT 1 -- one", "SELECT 1;--"}) {
    Statement statement = Read(sql);
    statement.raw = true;
    EXPECT_THAT(Execute(TaskOf({statement})), IsOk()) << sql;
  }
}

}  // namespace
}  // namespace quarry
