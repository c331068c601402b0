// Prepared branches of a SQLite shard beyond what every backend promises: the sidecar, replay, quarantine.
#include <sqlite3.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/sqlite_branches.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/watched_vfs.h"

namespace quarry {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr char kNotes[] = "CREATE TABLE note(id BIGINT PRIMARY KEY, body TEXT)";

// Past Quarry, as an owner of the file would.
void Tamper(const std::string& file, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
  sqlite3_close(db);
}

class BranchesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(shard_.Open(), IsOk()); }

  std::string file() const { return directory_.path() + "/s0.db"; }
  std::string sidecar() const { return file() + "-branches"; }
  void Schema(const std::string& sql) { ASSERT_THAT(shard_.database->RunScript(sql), IsOk()); }
  void PrepareNote(int number) {
    const std::unique_ptr<Session> session = shard_.Lease();
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql(absl::StrCat("INSERT INTO note VALUES (", number, ", 'x')"))),
                IsOk());
    ASSERT_THAT(shard_.Prepare(*session, BranchOf(number)), IsOk());
  }
  void ExpectEnd(int number, Verdict verdict, BranchEnd wanted) {
    ASSERT_OK_AND_ASSIGN(const BranchEnd end, shard_.Finish(BranchOf(number), verdict));
    EXPECT_EQ(end, wanted);
  }
  absl::StatusOr<Decision> DecideAbort(const std::string& id) {
    const CallContext ctx = shard_.Within(absl::Seconds(30));
    return RunOn(shard_.loop, shard_.backend->two_phase().DecideAbort(id, ctx));
  }
  // A transaction with this refuses to become a branch, and leaves nothing.
  void ExpectRefused(Statement statement, const std::string& because) {
    std::unique_ptr<Session> session = shard_.Lease();
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO note VALUES (77, 'with it')")), IsOk());
    ASSERT_THAT(shard_.Execute(*session, statement), IsOk()) << *statement.sql;
    const absl::Status status = shard_.Prepare(*session, BranchOf(7));
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition)) << *statement.sql;
    EXPECT_THAT(status, HasReason("TWO_PHASE_UNAVAILABLE"));
    EXPECT_THAT(std::string(status.message()), HasSubstr(because));
    EXPECT_THAT(shard_.Rows("SELECT body FROM note WHERE id = 77"), IsEmpty());
    EXPECT_THAT(shard_.Branches(), IsEmpty());
    // The writer is free though the session still lives.
    EXPECT_THAT(shard_.Write("DELETE FROM note WHERE id = 77"), IsOk());
    EXPECT_THAT(shard_.Commit(*session), HasReason("TRANSACTION_ENDED"));
  }

  TempDirectory directory_;
  BranchShard shard_{file()};
};

TEST_F(BranchesTest, OthersWaitBehindABranchAndAreToldWhoseItIs) {
  Schema(kNotes);
  PrepareNote(1);
  EXPECT_THAT(shard_.Rows("SELECT body FROM note"), IsEmpty());
  const absl::Status write = shard_.Write("INSERT INTO note VALUES (2, 'y')", absl::Milliseconds(50));
  EXPECT_THAT(write, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(write, HasReason("TRANSACTION_IN_DOUBT"));
  EXPECT_EQ(DetailOf(write).facts["transaction"], BranchOf(1).id);
  EXPECT_EQ(DetailOf(write).facts["home"], "s9");
  const std::unique_ptr<Session> session = shard_.Lease();
  EXPECT_THAT(shard_.Execute(*session, BranchShard::Sql("DELETE FROM note"), absl::Milliseconds(50)),
              HasReason("TRANSACTION_IN_DOUBT"));
  EXPECT_THAT(shard_.database->RunScript("CREATE TABLE t(x)"), HasReason("TRANSACTION_IN_DOUBT"));
  // One that waits long enough is served when the branch ends, by another loop.
  const CallContext ctx = shard_.Within(absl::Seconds(30));
  Task task;
  task.steps.emplace_back().statements.push_back(BranchShard::Sql("INSERT INTO note VALUES (3, 'z')"));
  std::optional<absl::Status> written;
  const Running waiting(shard_.backend->Execute(task, ctx),
                        [&written](const absl::StatusOr<TaskResult>& result) { written = result.status(); });
  EpollLoop other_loop;
  const std::unique_ptr<Backend> other = MakeSqliteBackend(other_loop, shard_.database, LeasePoolOptions());
  CallContext other_ctx(other_loop);
  const GlobalTransaction transaction = BranchOf(1);
  ASSERT_THAT(RunOn(other_loop, other->two_phase().Finish(transaction, Verdict::kCommit, other_ctx)), IsOk());
  while (!written.has_value()) shard_.loop.RunOnce(absl::Milliseconds(10));
  EXPECT_THAT(*written, IsOk());
  EXPECT_THAT(shard_.Rows("SELECT body FROM note ORDER BY id"), ElementsAre("x", "z"));
}

TEST_F(BranchesTest, AnUndecidedBranchKeepsAFileThatIsOpenedReadOnlyUntilItEnds) {
  Schema(kNotes);
  for (const Verdict verdict : {Verdict::kCommit, Verdict::kAbort}) {
    const int number = verdict == Verdict::kCommit ? 1 : 2;
    PrepareNote(number);
    ASSERT_THAT(shard_.Open(), IsOk());
    ASSERT_THAT(shard_.Branches(), SizeIs(1));
    EXPECT_EQ(shard_.Branches()[0].transaction.home, "s9");
    EXPECT_EQ(shard_.Rows("SELECT body FROM note").size(), verdict == Verdict::kCommit ? 0U : 1U);
    EXPECT_THAT(shard_.Write("DELETE FROM note", absl::Milliseconds(50)), HasReason("TRANSACTION_IN_DOUBT"));
    EXPECT_THAT(shard_.database->RunScript("DELETE FROM note"), HasReason("TRANSACTION_IN_DOUBT"));
    // Decisions of others are taken all the same: theirs may be what ends this one.
    ASSERT_OK_AND_ASSIGN(const Decision decision, DecideAbort(absl::StrCat("t2-other-", number)));
    EXPECT_EQ(decision.verdict, Verdict::kAbort);
    const CallContext ctx = shard_.Within(absl::Seconds(5));
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<GateHold> hold,
                         RunOn(shard_.loop, shard_.backend->two_phase().CloseGate(GateWait::kTry, ctx)));
    EXPECT_EQ(hold, nullptr);
    ExpectEnd(number, verdict, verdict == Verdict::kCommit ? BranchEnd::kCommitted : BranchEnd::kAbsent);
    EXPECT_THAT(shard_.Rows("SELECT body FROM note"), ElementsAre("x"));
    EXPECT_THAT(shard_.Write("UPDATE note SET body = 'x'"), IsOk());
    ASSERT_THAT(shard_.Open(), IsOk());
    EXPECT_THAT(shard_.Branches(), IsEmpty());
    ExpectEnd(number, verdict, verdict == Verdict::kCommit ? BranchEnd::kCommitted : BranchEnd::kAbsent);
  }
}

// ---- Replay ----

constexpr char kEverything[] =
    "CREATE TABLE kinds(id BIGINT PRIMARY KEY, flag BOOLEAN, small INTEGER, big BIGINT, real DOUBLE, money DECIMAL_TEXT,"
    " words TEXT, raw BLOB, at TIMESTAMP, day DATE, uid UUID, doc JSON_TEXT);"
    "CREATE TABLE pair(a TEXT NOT NULL, b INTEGER NOT NULL, note TEXT UNIQUE, PRIMARY KEY (a, b)) WITHOUT ROWID;"
    "CREATE TABLE odd_order(x TEXT, y TEXT NOT NULL, z INTEGER NOT NULL, PRIMARY KEY (z, y));"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY, name TEXT);"
    "CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id) ON DELETE CASCADE);"
    "CREATE TABLE grandchild(id INTEGER PRIMARY KEY, child INTEGER REFERENCES child(id) ON DELETE SET NULL);"
    "CREATE TABLE audit(id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT);"
    "CREATE TRIGGER on_parent AFTER INSERT ON parent BEGIN INSERT INTO audit(what) VALUES (new.name); END;"
    "CREATE TRIGGER on_pair AFTER UPDATE ON pair BEGIN INSERT INTO audit(what) VALUES ('pair ' || new.a); END;"
    "CREATE TABLE emptied(id BIGINT PRIMARY KEY, body TEXT);"
    "CREATE INDEX words_lower ON kinds(lower(words));"
    "INSERT INTO parent VALUES (1, 'one'), (2, 'two'), (3, 'three');"
    "INSERT INTO child VALUES (10, 1), (11, 1), (20, 2);"
    "INSERT INTO grandchild VALUES (100, 10), (200, 20);"
    "INSERT INTO pair VALUES ('p', 1, 'first'), ('p', 2, 'second'), ('q', 1, NULL);"
    "INSERT INTO odd_order VALUES ('x1', 'y1', 1), (NULL, 'y2', 2);"
    "INSERT INTO kinds(id, words, raw) VALUES (1, 'before', x'00ff'), (2, 'gone', NULL), (3, NULL, zeroblob(10));"
    "INSERT INTO emptied VALUES (1, 'a'), (2, 'b')";

const std::vector<std::string>& Tables() {
  static const std::vector<std::string> tables = {"kinds",  "pair",  "odd_order", "parent", "child", "grandchild",
                                                  "audit", "emptied"};
  return tables;
}

std::vector<Statement> Everything() {
  std::vector<Statement> statements;
  const auto add = [&statements](const std::string& sql, std::vector<Value> params = {}) {
    statements.push_back(BranchShard::Sql(sql, std::move(params)));
  };
  add("INSERT INTO kinds VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
      {Value::Int64(9), Value::Bool(true), Value::Int64(-5), Value::Int64(INT64_MIN), Value::Double(0.1),
       Value::Text("12345678901234567890.05"), Value::Text("gr\xC3\xB6\xC3\x9F" "e"), Value::Bytes(std::string(1 << 20, '\x80')),
       Value::Timestamp(1769854272123456), Value::Date("2026-02-28"),
       Value::Uuid("123e4567-e89b-12d3-a456-426614174000"), Value::Json("{\"a\":[1,null]}")});
  add("INSERT INTO kinds(id, real, words, raw) VALUES (10, 'NaN', '', x'')");
  add("INSERT INTO kinds(id, real) VALUES (11, -0.0), (12, 1e308), (13, 9007199254740993)");
  add("UPDATE kinds SET words = NULL, raw = zeroblob(0), big = 7 WHERE id = 1");
  add("UPDATE kinds SET id = 33 WHERE id = 3");
  add("DELETE FROM kinds WHERE id = 2");
  // Unique values that change places.
  add("UPDATE pair SET note = note || '+' WHERE a = 'p'");
  add("UPDATE pair SET note = CASE b WHEN 1 THEN 'second+' ELSE 'third' END WHERE a = 'p' AND b = 2");
  add("UPDATE pair SET note = 'second+' WHERE a = 'p' AND b = 1");
  add("INSERT OR REPLACE INTO pair VALUES ('q', 1, 'replaced')");
  add("UPDATE odd_order SET x = 'was null' WHERE z = 2");
  add("UPDATE odd_order SET y = 'new key' WHERE z = 1");
  add("INSERT INTO parent VALUES (4, 'four')");
  add("DELETE FROM parent WHERE id = 1");
  add("INSERT INTO child VALUES (40, 4)");
  // Inserted and gone again; gone and back.
  add("INSERT INTO parent VALUES (5, 'five')");
  add("DELETE FROM parent WHERE id = 5");
  add("DELETE FROM parent WHERE id = 3");
  add("INSERT INTO parent VALUES (3, 'three again')");
  add("DELETE FROM emptied");
  return statements;
}

std::map<std::string, std::vector<std::string>> Dump(BranchShard& shard) {
  std::map<std::string, std::vector<std::string>> dump;
  for (const std::string& table : Tables()) {
    std::string columns;
    for (const std::string& column : shard.Rows("SELECT name FROM pragma_table_info('" + table + "')")) {
      absl::StrAppend(&columns, columns.empty() ? "" : " || '|' || ", "typeof(", column, ") || ifnull(length(", column,
                      "), '') || substr(quote(", column, "), 1, 80) || substr(quote(", column, "), -80)");
    }
    dump[table] = shard.Rows("SELECT " + columns + " FROM " + table + " ORDER BY 1");
  }
  return dump;
}

void RunEverything(BranchShard& shard, Session& session) {
  for (const Statement& statement : Everything()) {
    ASSERT_THAT(shard.Execute(session, statement), IsOk()) << *statement.sql;
  }
  ASSERT_THAT(shard.Control(session, "SAVEPOINT later"), IsOk());
  ASSERT_THAT(shard.Execute(session, BranchShard::Sql("DELETE FROM kinds")), IsOk());
  ASSERT_THAT(shard.Execute(session, BranchShard::Sql("INSERT INTO parent VALUES (6, 'six')")), IsOk());
  ASSERT_THAT(shard.Control(session, "ROLLBACK TO later"), IsOk());
}

TEST_F(BranchesTest, AReplayEndsAsTheCommitWouldHave) {
  // Compiled before anything is recorded; recorded transactions must not use it.
  const std::string empties = "DELETE FROM emptied";
  BranchShard plain(directory_.path() + "/plain.db");
  ASSERT_THAT(plain.Open(), IsOk());
  for (BranchShard* shard : {&plain, &shard_}) {
    ASSERT_THAT(shard->database->RunScript(kEverything), IsOk());
    ASSERT_THAT(shard->Write(empties), IsOk());
    ASSERT_THAT(shard->Write("INSERT INTO emptied VALUES (3, 'c'), (4, 'd')"), IsOk());
    const std::unique_ptr<Session> session = shard->Lease();
    RunEverything(*shard, *session);
    if (shard == &plain) {
      ASSERT_THAT(shard->Commit(*session), IsOk());
    } else {
      ASSERT_THAT(shard->Prepare(*session, BranchOf(1)), IsOk());
    }
  }
  const auto before = Dump(shard_);
  ASSERT_THAT(shard_.Open(), IsOk());
  EXPECT_EQ(Dump(shard_), before);
  const auto wanted = Dump(plain);
  ASSERT_NE(wanted, before);
  ExpectEnd(1, Verdict::kCommit, BranchEnd::kCommitted);
  for (const std::string& table : Tables()) EXPECT_EQ(Dump(shard_)[table], wanted.at(table)) << table;
  EXPECT_THAT(shard_.Rows("SELECT CAST(count(*) AS TEXT) FROM pragma_foreign_key_check"), ElementsAre("0"));
  EXPECT_THAT(shard_.Rows("SELECT integrity_check FROM pragma_integrity_check"), ElementsAre("ok"));
  // Triggers and foreign keys are on again.
  EXPECT_THAT(shard_.Write("INSERT INTO parent VALUES (50, 'fifty')"), IsOk());
  EXPECT_THAT(shard_.Rows("SELECT what FROM audit WHERE what = 'fifty'"), ElementsAre("fifty"));
  EXPECT_THAT(shard_.Write("INSERT INTO child VALUES (60, 999)"), HasReason("CONSTRAINT_VIOLATION"));
}

// ---- What cannot become a branch ----

TEST_F(BranchesTest, WhatCannotBeRecordedIsRefusedAndRolledBack) {
  Schema(absl::StrCat(kNotes,
                      ";CREATE TABLE keyless(x TEXT);"
                      "CREATE TABLE doubled(id INTEGER PRIMARY KEY, n INTEGER, twice INTEGER AS (n * 2) STORED);"
                      "CREATE TABLE numbered(id INTEGER PRIMARY KEY AUTOINCREMENT, x TEXT);"
                      "CREATE TABLE two(a TEXT, b TEXT, PRIMARY KEY (a, b));"
                      "CREATE TABLE logged(id BIGINT PRIMARY KEY);"
                      "CREATE TRIGGER logs AFTER INSERT ON logged BEGIN INSERT INTO keyless VALUES ('by trigger'); END;"
                      "CREATE VIRTUAL TABLE search USING fts5(words);"
                      "INSERT INTO numbered(x) VALUES ('first')"));
  ExpectRefused(BranchShard::Raw("CREATE TABLE fresh(id INTEGER PRIMARY KEY)"), "changes the schema");
  ExpectRefused(BranchShard::Raw("ALTER TABLE two ADD COLUMN c TEXT"), "changes the schema");
  ExpectRefused(BranchShard::Raw("CREATE INDEX note_body ON note(body)"), "changes the schema");
  ExpectRefused(BranchShard::Raw("DROP TABLE two"), "changes the schema");
  ExpectRefused(BranchShard::Raw("INSERT INTO keyless VALUES ('x')"), "no primary key");
  ExpectRefused(BranchShard::Sql("INSERT INTO logged VALUES (1)"), "no primary key");
  ExpectRefused(BranchShard::Raw("INSERT INTO doubled(id, n) VALUES (1, 1)"), "generated columns");
  ExpectRefused(BranchShard::Raw("UPDATE sqlite_sequence SET seq = 100"), "SQLite's own");
  ExpectRefused(BranchShard::Raw("INSERT INTO search VALUES ('hello')"), "virtual table");
  ExpectRefused(BranchShard::Raw("INSERT INTO note VALUES (NULL, 'x')"), "null in their primary key");
  ExpectRefused(BranchShard::Raw("INSERT INTO two VALUES ('a', NULL)"), "null in their primary key");
  // A row that has gone is missed as well.
  ASSERT_THAT(shard_.Write("INSERT INTO note VALUES (NULL, 'old')"), IsOk());
  ExpectRefused(BranchShard::Raw("DELETE FROM note WHERE id IS NULL"), "null in their primary key");
  EXPECT_THAT(shard_.Rows("SELECT body FROM note"), ElementsAre("old"));
  // All of it is fine in a transaction of the shard's own.
  const std::unique_ptr<Session> session = shard_.Lease();
  ASSERT_THAT(shard_.Execute(*session, BranchShard::Raw("CREATE TABLE fresh(id INTEGER PRIMARY KEY)")), IsOk());
  EXPECT_TRUE(session->wrote());
  EXPECT_THAT(shard_.Commit(*session), IsOk());
}

TEST_F(BranchesTest, ADeferredKeyThatDoesNotHoldFailsThePrepareNotTheFinish) {
  Schema("CREATE TABLE parent(id INTEGER PRIMARY KEY);"
         "CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)");
  {
    const std::unique_ptr<Session> session = shard_.Lease();
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO child VALUES (1, 1)")), IsOk());
    EXPECT_THAT(shard_.Prepare(*session, BranchOf(1)), HasReason("CONSTRAINT_VIOLATION"));
  }
  EXPECT_THAT(shard_.Branches(), IsEmpty());
  const std::unique_ptr<Session> session = shard_.Lease();
  ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO child VALUES (1, 1)")), IsOk());
  ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO parent VALUES (1)")), IsOk());
  ASSERT_THAT(shard_.Prepare(*session, BranchOf(1)), IsOk());
  ASSERT_THAT(shard_.Open(), IsOk());
  ExpectEnd(1, Verdict::kCommit, BranchEnd::kCommitted);
}

TEST_F(BranchesTest, ATransactionKnowsWhetherItWrote) {
  Schema(kNotes);
  std::unique_ptr<Session> session = shard_.Lease();
  EXPECT_FALSE(session->wrote());
  ASSERT_THAT(shard_.Execute(*session, BranchShard::Raw("SELECT count(*) FROM note")), IsOk());
  ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("UPDATE note SET body = 'x' WHERE id = 5")), IsOk());
  EXPECT_FALSE(session->wrote());
  ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO note VALUES (1, 'x')")), IsOk());
  EXPECT_TRUE(session->wrote());
  session = shard_.Lease();
  const CallContext ctx = shard_.Within(absl::Seconds(30));
  Statement returning = BranchShard::Raw("INSERT INTO note VALUES (2, 'x') RETURNING id");
  returning.returns_rows = true;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<RowStream> stream, RunOn(shard_.loop, session->Open(returning, ctx)));
  EXPECT_TRUE(session->wrote());
}

// ---- Quarantine ----

TEST_F(BranchesTest, ABranchThatDoesNotFitTheDatabaseStopsAllWrites) {
  const std::vector<std::pair<std::string, std::string>> tampers = {
      {"UPDATE note SET body = 'other' WHERE id = 1", "a row is not as it was"},
      {"DELETE FROM note WHERE id = 1", "missing"},
      {"INSERT INTO note VALUES (5, 'first here')", "exists already"},
      {"ALTER TABLE note ADD COLUMN extra TEXT", "other columns"},
      {"DROP TABLE note; CREATE TABLE note(id BIGINT, body TEXT PRIMARY KEY)", "other columns"},
      {"DROP TABLE note", "other columns"}};
  for (const auto& [tamper, because] : tampers) {
    const TempDirectory directory;
    const std::string file = directory.path() + "/s0.db";
    BranchShard shard(file);
    std::vector<std::string> told;
    shard.options.on_quarantine = [&told](const absl::Status& status) { told.emplace_back(status.message()); };
    ASSERT_THAT(shard.Open(), IsOk());
    ASSERT_THAT(shard.database->RunScript(absl::StrCat(kNotes, "; INSERT INTO note VALUES (1, 'one')")), IsOk());
    {
      const std::unique_ptr<Session> session = shard.Lease();
      ASSERT_THAT(shard.Execute(*session, BranchShard::Sql("UPDATE note SET body = 'two' WHERE id = 1")), IsOk());
      ASSERT_THAT(shard.Execute(*session, BranchShard::Sql("INSERT INTO note VALUES (5, 'five')")), IsOk());
      ASSERT_THAT(shard.Prepare(*session, BranchOf(1)), IsOk());
    }
    shard.Close();
    Tamper(file, tamper);
    for (int opened = 0; opened < 2; ++opened) {
      ASSERT_THAT(shard.Open(), IsOk());
      Task task;
      task.steps.emplace_back().statements.push_back(BranchShard::Sql("DELETE FROM note"));
      const CallContext ctx = shard.Within(absl::Seconds(30));
      std::optional<absl::Status> waited;
      const Running waiting(shard.backend->Execute(task, ctx),
                            [&waited](const absl::StatusOr<TaskResult>& result) { waited = result.status(); });
      const absl::Status finish = shard.Finish(BranchOf(1), Verdict::kCommit).status();
      EXPECT_THAT(finish, StatusIs(absl::StatusCode::kDataLoss)) << tamper;
      EXPECT_THAT(finish, HasReason("SHARD_CORRUPT"));
      EXPECT_THAT(std::string(finish.message()), HasSubstr(because)) << tamper;
      EXPECT_THAT(std::string(finish.message()), HasSubstr(file + "-branches"));
      while (!waited.has_value()) shard.loop.RunOnce(absl::Milliseconds(10));
      EXPECT_THAT(*waited, HasReason("SHARD_CORRUPT"));
      EXPECT_THAT(shard.Write("DELETE FROM note"), HasReason("SHARD_CORRUPT"));
      EXPECT_THAT(shard.database->RunScript("DELETE FROM note"), HasReason("SHARD_CORRUPT"));
      EXPECT_THAT(RunOn(shard.loop, shard.backend->two_phase().Check(ctx)), HasReason("TWO_PHASE_UNAVAILABLE"));
      EXPECT_THAT(RunOn(shard.loop, shard.backend->two_phase().DecideAbort("t2-other", ctx)), IsOk());
      EXPECT_THAT(shard.Rows("SELECT transaction_id FROM quarry_txn_part"), IsEmpty());
      EXPECT_THAT(shard.Branches(), SizeIs(1)) << "it is kept";
      EXPECT_THAT(told, SizeIs(static_cast<size_t>(opened) + 1));
    }
  }
}

TEST_F(BranchesTest, BrokenForeignKeysOfBeforeDoNotCountAgainstTheBranch) {
  Schema("CREATE TABLE parent(id INTEGER PRIMARY KEY);"
         "CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent)");
  shard_.Close();
  Tamper(file(), "INSERT INTO child VALUES (1, 999)");
  ASSERT_THAT(shard_.Open(), IsOk());
  {
    const std::unique_ptr<Session> session = shard_.Lease();
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO parent VALUES (1)")), IsOk());
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO child VALUES (2, 1)")), IsOk());
    ASSERT_THAT(shard_.Prepare(*session, BranchOf(1)), IsOk());
  }
  ASSERT_THAT(shard_.Open(), IsOk());
  ExpectEnd(1, Verdict::kCommit, BranchEnd::kCommitted);
}

std::string ReadFile(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void WriteFile(const std::string& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

TEST_F(BranchesTest, ADamagedSidecarIsTypedAndNeverHalfApplied) {
  Schema(absl::StrCat(kNotes, "; CREATE TABLE more(id BIGINT PRIMARY KEY, body BLOB)"));
  {
    const std::unique_ptr<Session> session = shard_.Lease();
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO note VALUES (1, 'x')")), IsOk());
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO more VALUES (1, randomblob(20000))")), IsOk());
    ASSERT_THAT(shard_.Prepare(*session, BranchOf(1)), IsOk());
  }
  shard_.Close();
  const std::string whole = ReadFile(sidecar());
  ASSERT_GT(whole.size(), 20'000U);
  const auto seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  std::map<std::string, int> seen;
  for (int round = 0; round <= 60; ++round) {
    std::string bytes = whole;
    const int kind = round == 0 ? -1 : round % 3;
    if (kind == 0) bytes.resize(1 + random() % (bytes.size() - 1));
    if (kind == 1) {
      for (char& byte : bytes) byte = static_cast<char>(random());
    }
    if (kind == 2) {
      for (int i = 0; i < 1 + round / 4; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const TempDirectory directory;
    const std::string copy = directory.path() + "/s0.db";
    for (const char* suffix : {"", "-wal"}) {
      if (std::filesystem::exists(file() + suffix)) std::filesystem::copy_file(file() + suffix, copy + suffix);
    }
    WriteFile(copy + "-branches", bytes);
    BranchShard shard(copy);
    ASSERT_THAT(shard.Open(), IsOk());
    const absl::StatusOr<BranchEnd> end = shard.Finish(BranchOf(1), Verdict::kCommit);
    const bool both = shard.Rows("SELECT body FROM note").size() == 1;
    EXPECT_EQ(shard.Rows("SELECT 'x' FROM more").size(), both ? 1U : 0U) << "round " << round;
    const absl::Status write = shard.Write("INSERT INTO note VALUES (2, 'y')", absl::Milliseconds(end.ok() ? 2000 : 50));
    if (end.ok() && *end == BranchEnd::kCommitted) {
      EXPECT_TRUE(both);
      EXPECT_THAT(write, IsOk());
      ++seen["unharmed"];
      continue;
    }
    // Damage that hides the branch from the file's own check could only be found at home, as a part that is missing.
    EXPECT_FALSE(both) << "round " << round;
    if (end.ok() && write.ok()) {
      ++seen["gone"];
      continue;
    }
    // Its name is damaged, say: then another branch is in doubt.
    const bool in_doubt = ReasonOf(write) == "TRANSACTION_IN_DOUBT";
    EXPECT_TRUE(in_doubt || ReasonOf(write) == "SHARD_CORRUPT") << "round " << round << ": " << write;
    EXPECT_TRUE(end.ok() || end.status().code() == absl::StatusCode::kDataLoss) << "round " << round << end.status();
    ++seen[in_doubt ? "in doubt" : "quarantined"];
  }
  for (const auto& [what, count] : seen) std::printf("%s: %d\n", what.c_str(), count);
  EXPECT_GE(seen["unharmed"], 1) << "the one that is whole";
  EXPECT_GE(seen["quarantined"], 30);
}

// ---- What is synced ----

TEST_F(BranchesTest, TheBranchIsOnTheDiskBeforePrepareAnswersAndTheCommitBeforeFinishDoes) {
  shard_.Close();
  const WatchedVfs watched;
  ASSERT_THAT(shard_.Open(), IsOk());
  Schema(kNotes);
  for (int number = 1; number <= 3; ++number) {
    std::set<std::string> dirty;
    std::set<std::string> synced;
    std::mutex mutex;
    WatchedVfs::Set([&](WatchedVfs::Call call, const std::string& name) {
      const std::lock_guard<std::mutex> lock(mutex);
      const std::string base = std::filesystem::path(name).filename().string();
      if (call == WatchedVfs::Call::kWrite) {
        dirty.insert(base);
      } else if (dirty.erase(base) > 0) {
        synced.insert(base);
      }
    });
    PrepareNote(number);
    {
      const std::lock_guard<std::mutex> lock(mutex);
      EXPECT_TRUE(synced.count("s0.db-branches-wal") == 1) << "number " << number;
      EXPECT_TRUE(dirty.count("s0.db-branches-wal") == 0) << "number " << number;
      synced.clear();
    }
    ExpectEnd(number, Verdict::kCommit, BranchEnd::kCommitted);
    {
      const std::lock_guard<std::mutex> lock(mutex);
      EXPECT_TRUE(synced.count("s0.db-wal") == 1) << "number " << number;
      EXPECT_TRUE(dirty.count("s0.db-wal") == 0) << "number " << number;
    }
    WatchedVfs::Set(nullptr);
  }
  shard_.Close();
}

// ---- The gate ----

TEST_F(BranchesTest, StrictSnapshotsMakeEveryCommitPassTheGate) {
  for (const bool strict : {false, true}) {
    shard_.options.strict_snapshots = strict;
    ASSERT_THAT(shard_.Open(), IsOk());
    if (!strict) Schema(kNotes);
    const CallContext ctx = shard_.Within(absl::Seconds(30));
    ASSERT_OK_AND_ASSIGN(std::unique_ptr<GateHold> hold,
                         RunOn(shard_.loop, shard_.backend->two_phase().CloseGate(GateWait::kWait, ctx)));
    const std::string id = strict ? "1" : "2";
    const absl::Duration within = strict ? absl::Milliseconds(200) : absl::Seconds(30);
    const absl::Status write = shard_.Write("INSERT INTO note VALUES (" + id + ", 'x')", within);
    EXPECT_EQ(write.ok(), !strict) << write;
    const std::unique_ptr<Session> session = shard_.Lease();
    ASSERT_THAT(shard_.Execute(*session, BranchShard::Sql("INSERT INTO note VALUES (1" + id + ", 'x')")), IsOk());
    const CallContext soon = shard_.Within(within);
    const absl::Status commit = RunOn(shard_.loop, session->Commit(kPlainCommit, soon));
    EXPECT_EQ(commit.ok(), !strict) << commit;
    EXPECT_EQ(ReasonOf(commit), strict ? "TRANSACTION_IN_DOUBT" : "");
    ASSERT_THAT(RunOn(shard_.loop, hold->Release(ctx)), IsOk());
    EXPECT_THAT(shard_.Write("INSERT INTO note VALUES (2" + id + ", 'x')"), IsOk());
  }
  EXPECT_THAT(shard_.Rows("SELECT CAST(id AS TEXT) FROM note ORDER BY id"), ElementsAre("2", "12", "21", "22"));
}

}  // namespace
}  // namespace quarry
