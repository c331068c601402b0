// What breaks around a SQLite file: rights, space, a second owner, and the process itself.
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/epoll_loop.h"
#include "core/base/gather.h"
#include "gtest/gtest.h"
#include "tests/support/child.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace quarry {
namespace {

SqliteOptions OptionsOf(const std::string& file) {
  SqliteOptions options;
  options.file = file;
  options.shard = "s0";
  return options;
}

Statement Sql(const std::string& sql, std::vector<Value> params, bool writes) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(sql);
  statement.params = std::move(params);
  statement.writes = writes;
  return statement;
}

Task TaskOf(std::vector<Statement> statements) {
  Task task;
  task.steps.emplace_back().statements = std::move(statements);
  return task;
}

absl::StatusOr<TaskResult> Execute(EpollLoop& loop, Backend& backend, const Task& task) {
  CallContext ctx(loop);
  ctx.deadline = loop.Now() + absl::Seconds(30);
  return RunOn(loop, backend.Execute(task, ctx));
}

TEST(SqliteFaultTest, AMissingOrUnwritableDirectoryIsUnavailableAndSaysWhy) {
  const TempDirectory directory;
  const absl::Status missing = SqliteDatabase::Open(OptionsOf(directory.path() + "/none/s0.db")).status();
  EXPECT_THAT(missing, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(missing, HasReason("SHARD_UNAVAILABLE"));
  EXPECT_NE(std::string(missing.message()).find("No such file or directory"), std::string::npos) << missing;

  std::filesystem::permissions(directory.path(), std::filesystem::perms(0555));
  const int code = InChild([&directory] {
    // Root may write anywhere.
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    const absl::Status denied = SqliteDatabase::Open(OptionsOf(directory.path() + "/s0.db")).status();
    const bool says = std::string(denied.message()).find("Permission denied") != std::string::npos;
    return denied.code() == absl::StatusCode::kUnavailable && says ? 0 : 1;
  });
  EXPECT_EQ(code, 0);
  std::filesystem::permissions(directory.path(), std::filesystem::perms(0755));
}

TEST(SqliteFaultTest, AFileThatIsNoDatabaseIsCorrupt) {
  const TempDirectory directory;
  const std::string file = directory.path() + "/s0.db";
  std::ofstream(file) << std::string(8192, 'x');
  const absl::Status status = SqliteDatabase::Open(OptionsOf(file)).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(status, HasReason("SHARD_CORRUPT"));
}

TEST(SqliteFaultTest, ASecondProcessIsRefusedAndToldTheOwner) {
  const TempDirectory directory;
  const std::string file = directory.path() + "/s0.db";
  ASSERT_OK_AND_ASSIGN(std::shared_ptr<SqliteDatabase> owner, SqliteDatabase::Open(OptionsOf(file)));
  const std::string pid = std::to_string(getpid());
  const int code = InChild([&file, &pid] {
    const absl::Status refused = SqliteDatabase::Open(OptionsOf(file)).status();
    return DetailOf(refused).reason == "SHARD_UNAVAILABLE" && DetailOf(refused).facts["pid"] == pid ? 0 : 1;
  });
  EXPECT_EQ(code, 0);
  EXPECT_THAT(SqliteDatabase::Open(OptionsOf(file)), HasReason("SHARD_UNAVAILABLE"));
  owner.reset();
  EXPECT_THAT(SqliteDatabase::Open(OptionsOf(file)), IsOk());
}

TEST(SqliteFaultTest, AFullShardRefusesWritesAndRecovers) {
  const TempDirectory directory;
  SqliteOptions options = OptionsOf(directory.path() + "/s0.db");
  options.bytes_max = 256 * 1024;
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(options));
  ASSERT_THAT(database->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY, body BLOB)"), IsOk());
  EpollLoop loop;
  const std::unique_ptr<Backend> backend = MakeSqliteBackend(loop, database, LeasePoolOptions());
  int64_t written = 0;
  absl::Status status;
  while (status.ok() && written < 1000) {
    const Value body = Value::Bytes(std::string(10'000, 'x'));
    status = Execute(loop, *backend,
                     TaskOf({Sql("INSERT INTO t VALUES (?1, ?2)", {Value::Int64(written), body}, true)}))
                 .status();
    if (status.ok()) ++written;
  }
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(status, HasReason("SHARD_FULL"));
  EXPECT_GT(written, 5);
  ASSERT_OK_AND_ASSIGN(const TaskResult count,
                       Execute(loop, *backend, TaskOf({Sql("SELECT count(*) FROM t", {}, false)})));
  EXPECT_EQ(count.steps[0].statements[0].batch.rows[0][0], Value::Int64(written));
  EXPECT_THAT(Execute(loop, *backend, TaskOf({Sql("DELETE FROM t", {}, true)})), IsOk());
  EXPECT_THAT(Execute(loop, *backend, TaskOf({Sql("INSERT INTO t VALUES (1, x'00')", {}, true)})), IsOk());
}

// The disk's own limit: writes past it fail as they would on a full or broken one.
TEST(SqliteFaultTest, ADiskThatRefusesWritesFailsThemAndKeepsWhatWasAcknowledged) {
  const TempDirectory directory;
  const std::string file = directory.path() + "/s0.db";
  const std::string acknowledged = directory.path() + "/acknowledged";
  const int code = InChild([&file, &acknowledged] {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{512 * 1024, 512 * 1024};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = SqliteDatabase::Open(OptionsOf(file));
    if (!database.ok() || !(*database)->RunScript("CREATE TABLE t(id BIGINT PRIMARY KEY, body BLOB)").ok())
      return 3;
    EpollLoop loop;
    const std::unique_ptr<Backend> backend = MakeSqliteBackend(loop, *database, LeasePoolOptions());
    int64_t written = 0;
    absl::Status status;
    while (status.ok() && written < 1000) {
      const Value body = Value::Bytes(std::string(10'000, 'x'));
      status = Execute(loop, *backend,
                       TaskOf({Sql("INSERT INTO t VALUES (?1, ?2)", {Value::Int64(written), body}, true)}))
                   .status();
      if (status.ok()) ++written;
    }
    std::ofstream(acknowledged) << written;
    const bool typed = status.code() == absl::StatusCode::kUnavailable ||
                       status.code() == absl::StatusCode::kUnknown ||
                       status.code() == absl::StatusCode::kResourceExhausted;
    return typed && written > 5 ? 0 : 1;
  });
  EXPECT_EQ(code, 0);
  int64_t written = -1;
  std::ifstream(acknowledged) >> written;
  ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(OptionsOf(file)));
  EpollLoop loop;
  const std::unique_ptr<Backend> backend = MakeSqliteBackend(loop, database, LeasePoolOptions());
  ASSERT_OK_AND_ASSIGN(const TaskResult count,
                       Execute(loop, *backend, TaskOf({Sql("SELECT count(*) FROM t", {}, false)})));
  EXPECT_GE(count.steps[0].statements[0].batch.rows[0][0].int64_value(), written);
}

// ---- kill -9 ----

Async<absl::StatusOr<int64_t>> WriteForEver(Backend& backend, int64_t first, int64_t stride, int fd,
                                            EpollLoop& loop) {
  CallContext ctx(loop);
  for (int64_t id = first;; id += stride) {
    const Task task = TaskOf({Sql("INSERT INTO a VALUES (?1)", {Value::Int64(id)}, true),
                              Sql("INSERT INTO b VALUES (?1)", {Value::Int64(id)}, true)});
    Async<absl::StatusOr<TaskResult>> call = backend.Execute(task, ctx);
    const absl::StatusOr<TaskResult> result = co_await call;
    if (!result.ok()) co_return result.status();
    if (write(fd, &id, sizeof(id)) != sizeof(id)) co_return absl::InternalError("nobody listens");
  }
}

// Writes pairs of rows until it is killed, telling each acknowledged one.
int WriteUntilKilled(const std::string& file, int64_t first, int fd) {
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = SqliteDatabase::Open(OptionsOf(file));
  if (!database.ok()) return 2;
  EpollLoop loop;
  const std::unique_ptr<Backend> backend = MakeSqliteBackend(loop, *database, LeasePoolOptions());
  constexpr int64_t kWriters = 16;
  std::vector<Async<absl::StatusOr<int64_t>>> writers;
  for (int64_t i = 0; i < kWriters; ++i)
    writers.push_back(WriteForEver(*backend, first + i, kWriters, fd, loop));
  RunOn(loop, Gather(loop, std::move(writers), GatherOptions()));
  return 3;
}

TEST(SqliteFaultTest, EveryAcknowledgedWriteSurvivesKillAndNoneIsHalf) {
  const auto seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const TempDirectory directory;
  const std::string file = directory.path() + "/s0.db";
  {
    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database,
                         SqliteDatabase::Open(OptionsOf(file)));
    ASSERT_THAT(
        database->RunScript("CREATE TABLE a(id BIGINT PRIMARY KEY); CREATE TABLE b(id BIGINT PRIMARY KEY)"),
        IsOk());
  }
  std::set<int64_t> acknowledged;
  constexpr int kRounds = 25;
  for (int round = 0; round < kRounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
    // Enough that it ends in the middle of the writes, at a place that differs each time.
    const size_t kill_after = std::uniform_int_distribution<size_t>(1, 400)(random);
    const pid_t child = fork();
    if (child == 0) _exit(WriteUntilKilled(file, static_cast<int64_t>(round) << 32, ends[1]));
    close(ends[1]);
    int64_t id = 0;
    size_t seen = 0;
    while (read(ends[0], &id, sizeof(id)) == sizeof(id)) {
      acknowledged.insert(id);
      if (++seen == kill_after) kill(child, SIGKILL);
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself: " << status;

    ASSERT_OK_AND_ASSIGN(const std::shared_ptr<SqliteDatabase> database,
                         SqliteDatabase::Open(OptionsOf(file)));
    EpollLoop loop;
    const std::unique_ptr<Backend> backend = MakeSqliteBackend(loop, database, LeasePoolOptions());
    std::vector<std::set<int64_t>> stored;
    for (const char* sql : {"SELECT id FROM a", "SELECT id FROM b"}) {
      ASSERT_OK_AND_ASSIGN(const TaskResult rows, Execute(loop, *backend, TaskOf({Sql(sql, {}, false)})));
      std::set<int64_t>& ids = stored.emplace_back();
      for (const Row& row : rows.steps[0].statements[0].batch.rows) ids.insert(row[0].int64_value());
    }
    ASSERT_EQ(stored[0], stored[1]) << "half a write in round " << round;
    for (const int64_t one : acknowledged)
      ASSERT_TRUE(stored[0].contains(one)) << "lost " << one << " in round " << round;
  }
  std::printf("%zu acknowledged writes over %d kills\n", acknowledged.size(), kRounds);
}

}  // namespace
}  // namespace quarry
