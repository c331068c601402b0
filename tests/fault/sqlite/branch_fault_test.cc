// Branches of a SQLite shard whose process is killed at any call to the disk, or whose disk refuses.
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/child.h"
#include "tests/support/sqlite_branches.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"
#include "tests/support/watched_vfs.h"

namespace quarry {
namespace {

using testing::IsEmpty;

constexpr char kSchema[] =
    "CREATE TABLE a(id BIGINT PRIMARY KEY, body BLOB); CREATE TABLE b(id BIGINT PRIMARY KEY, body BLOB);"
    "INSERT INTO a VALUES (1, x'01'); INSERT INTO b VALUES (1, x'01')";

absl::Status WriteBoth(BranchShard& shard, Session& session) {
  for (const char* table : {"a", "b"}) {
    QUARRY_RETURN_IF_ERROR(
        shard.Execute(session, BranchShard::Sql(absl::StrCat("INSERT INTO ", table, " VALUES (2, randomblob(9000))")))
            .status());
    QUARRY_RETURN_IF_ERROR(
        shard.Execute(session, BranchShard::Sql(absl::StrCat("UPDATE ", table, " SET body = x'02' WHERE id = 1")))
            .status());
  }
  return absl::OkStatus();
}

// What the one who asked has been told when the process dies.
enum Told : uint8_t { kNothing, kPrepared, kFinished };

// Prepares and finishes, telling each answer; killed before the `at`th call to the disk, if there are so many.
int PrepareAndFinish(const std::string& file, Verdict verdict, int64_t at, int told) {
  const WatchedVfs watched;
  BranchShard shard(file);
  if (!shard.Open().ok()) return 2;
  const auto say = [told](Told what) { return write(told, &what, sizeof(what)) == sizeof(what); };
  std::unique_ptr<Session> session = shard.Lease();
  if (!WriteBoth(shard, *session).ok()) return 3;
  std::atomic<int64_t> calls{0};
  WatchedVfs::Set([&calls, at](WatchedVfs::Call, const std::string&) {
    if (++calls == at) kill(getpid(), SIGKILL);
  });
  if (!shard.Prepare(*session, BranchOf(1)).ok()) return 4;
  if (!say(kPrepared)) return 5;
  if (!shard.Finish(BranchOf(1), verdict).ok()) return 6;
  if (!say(kFinished)) return 5;
  // Past all of it: still with everything open.
  kill(getpid(), SIGKILL);
  return 7;
}

struct Death {
  int code = 0;
  Told told = kNothing;
};

Death DieAt(const std::string& file, Verdict verdict, int64_t at) {
  int ends[2];
  Death death;
  if (pipe(ends) != 0) return death;
  death.code = InChild([&] { return PrepareAndFinish(file, verdict, at, ends[1]); });
  close(ends[1]);
  Told told = kNothing;
  while (read(ends[0], &told, sizeof(told)) == sizeof(told)) death.told = told;
  close(ends[0]);
  return death;
}

std::vector<std::string> State(BranchShard& shard) {
  std::vector<std::string> state;
  for (const char* table : {"a", "b"}) {
    for (const std::string& row :
         shard.Rows(absl::StrCat("SELECT id || ':' || length(body) || CASE id WHEN 1 THEN hex(body) ELSE '' END FROM ",
                                 table, " ORDER BY id"))) {
      state.push_back(row);
    }
  }
  return state;
}

const std::vector<std::string> kBefore = {"1:101", "1:101"};
const std::vector<std::string> kAfter = {"1:102", "2:9000", "1:102", "2:9000"};

// Opens what the dead left and settles it, as recovery would.
void Settle(const std::string& file, Verdict verdict, const Death& death, std::map<std::string, int>* seen) {
  BranchShard shard(file);
  ASSERT_THAT(shard.Open(), IsOk());
  const size_t branches = shard.Branches().size();
  const bool committed_before = State(shard) == kAfter;
  if (death.told == kNothing) {
    // Nobody decides for a commit before all have said that they are prepared.
    ASSERT_FALSE(committed_before);
    ASSERT_THAT(shard.Finish(BranchOf(1), Verdict::kAbort), IsOk());
    EXPECT_EQ(State(shard), kBefore);
    ++(*seen)[branches == 1 ? "prepared, not told" : "not prepared"];
  } else {
    if (death.told == kPrepared) {
      ASSERT_TRUE(branches == 1 || committed_before || verdict == Verdict::kAbort) << "a promise is broken";
    } else if (verdict == Verdict::kCommit) {
      ASSERT_TRUE(committed_before) << "an answered commit is lost";
    }
    ASSERT_OK_AND_ASSIGN(const BranchEnd end, shard.Finish(BranchOf(1), verdict));
    EXPECT_EQ(end, verdict == Verdict::kCommit ? BranchEnd::kCommitted : BranchEnd::kAbsent);
    EXPECT_EQ(State(shard), verdict == Verdict::kCommit ? kAfter : kBefore);
    ++(*seen)[absl::StrCat(death.told == kFinished ? "finished" : "prepared", branches == 1 ? ", in doubt" : "",
                           committed_before ? ", committed" : "")];
  }
  EXPECT_THAT(shard.Branches(), IsEmpty());
  EXPECT_THAT(shard.Write("INSERT INTO a VALUES (3, x'')"), IsOk());
  EXPECT_THAT(shard.Rows("SELECT integrity_check FROM pragma_integrity_check"), testing::ElementsAre("ok"));
  ASSERT_THAT(shard.Open(), IsOk());
  EXPECT_THAT(shard.Branches(), IsEmpty());
  EXPECT_EQ(shard.Rows("SELECT 'x' FROM a").size(), State(shard).size() == kAfter.size() + 1 ? 3U : 2U);
}

// At every call to the disk in turn, then at random ones.
TEST(BranchFaultTest, ABranchIsWholeOrAbsentWhereverTheProcessIsKilled) {
  const auto seed = std::random_device()();
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  for (const Verdict verdict : {Verdict::kCommit, Verdict::kAbort}) {
    std::map<std::string, int> seen;
    int64_t calls = 0;
    int64_t rounds = 0;
    constexpr int64_t kRoundsMin = 45;
    for (int64_t at = 1;; ++at) {
      const int64_t now = calls == 0 ? at : 1 + static_cast<int64_t>(random() % static_cast<uint64_t>(calls));
      const TempDirectory directory;
      const std::string file = directory.path() + "/s0.db";
      {
        BranchShard shard(file);
        ASSERT_THAT(shard.Open(), IsOk());
        ASSERT_THAT(shard.database->RunScript(kSchema), IsOk());
      }
      const Death death = DieAt(file, verdict, now);
      ASSERT_EQ(death.code, -SIGKILL) << "at call " << now;
      ASSERT_NO_FATAL_FAILURE(Settle(file, verdict, death, &seen)) << "at call " << now;
      ++rounds;
      if (calls == 0 && death.told == kFinished) calls = now;
      if (calls != 0 && rounds >= kRoundsMin) break;
    }
    std::printf("%s: %lld kills over %lld calls to the disk\n", verdict == Verdict::kCommit ? "commit" : "abort",
                static_cast<long long>(rounds), static_cast<long long>(calls));
    for (const auto& [what, count] : seen) std::printf("  %s: %d\n", what.c_str(), count);
    EXPECT_GT(seen["not prepared"], 0);
    // A branch that is rolled back is answered before its file is tidied up.
    EXPECT_GT(seen["prepared, in doubt"] + seen["finished, in doubt"], 0);
  }
}

// A replay that is killed is run again from its start.
TEST(BranchFaultTest, AReplayThatIsKilledIsDoneAgain) {
  int64_t at = 1;
  for (bool finished = false; !finished; ++at) {
    ASSERT_LT(at, 200);
    const TempDirectory directory;
    const std::string file = directory.path() + "/s0.db";
    {
      BranchShard shard(file);
      ASSERT_THAT(shard.Open(), IsOk());
      ASSERT_THAT(shard.database->RunScript(kSchema), IsOk());
      const std::unique_ptr<Session> session = shard.Lease();
      ASSERT_THAT(WriteBoth(shard, *session), IsOk());
      ASSERT_THAT(shard.Prepare(*session, BranchOf(1)), IsOk());
    }
    const int code = InChild([&file, at] {
      const WatchedVfs watched;
      BranchShard shard(file);
      if (!shard.Open().ok()) return 2;
      std::atomic<int64_t> calls{0};
      WatchedVfs::Set([&calls, at](WatchedVfs::Call, const std::string&) {
        if (++calls == at) kill(getpid(), SIGKILL);
      });
      return shard.Finish(BranchOf(1), Verdict::kCommit).ok() ? 0 : 3;
    });
    ASSERT_TRUE(code == -SIGKILL || code == 0) << code;
    finished = code == 0;
    BranchShard shard(file);
    ASSERT_THAT(shard.Open(), IsOk());
    ASSERT_EQ(shard.Branches().size(), State(shard) == kAfter ? 0U : 1U);
    ASSERT_OK_AND_ASSIGN(const BranchEnd end, shard.Finish(BranchOf(1), Verdict::kCommit));
    EXPECT_EQ(end, BranchEnd::kCommitted);
    EXPECT_EQ(State(shard), kAfter);
  }
  EXPECT_GT(at, 4);
}

// The main file has room for its rows, the sidecar has none for the branch.
TEST(BranchFaultTest, ABranchThatCannotBeStoredIsRefusedAndRolledBack) {
  const TempDirectory directory;
  const std::string file = directory.path() + "/s0.db";
  {
    BranchShard shard(file);
    ASSERT_THAT(shard.Open(), IsOk());
    ASSERT_THAT(shard.database->RunScript(kSchema), IsOk());
  }
  const int code = InChild([&file] {
    signal(SIGXFSZ, SIG_IGN);
    BranchShard shard(file);
    if (!shard.Open().ok()) return 2;
    std::unique_ptr<Session> session = shard.Lease();
    if (!shard.Execute(*session, BranchShard::Sql("INSERT INTO a VALUES (2, randomblob(400000))")).ok()) return 3;
    const rlimit limit{200'000, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 4;
    const absl::Status refused = shard.Prepare(*session, BranchOf(1));
    if (ReasonOf(refused) != "TWO_PHASE_UNAVAILABLE") return 5;
    if (std::string(refused.message()).find("-branches") == std::string::npos) return 6;
    if (!shard.Branches().empty()) return 7;
    if (shard.Rows("SELECT 'x' FROM a").size() != 1) return 8;
    // Once there is room again all goes on, in the same process.
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &none) != 0) return 9;
    session = shard.Lease();
    if (!WriteBoth(shard, *session).ok()) return 10;
    if (!shard.Prepare(*session, BranchOf(2)).ok()) return 11;
    return shard.Finish(BranchOf(2), Verdict::kCommit).ok() ? 0 : 12;
  });
  EXPECT_EQ(code, 0);
  BranchShard shard(file);
  ASSERT_THAT(shard.Open(), IsOk());
  EXPECT_THAT(shard.Branches(), IsEmpty());
  EXPECT_EQ(State(shard), kAfter);
}

// The other way round: the branch is stored, and its commit finds no room. It is not lost.
TEST(BranchFaultTest, ACommitThatFindsNoRoomIsDoneLater) {
  const TempDirectory directory;
  const std::string file = directory.path() + "/s0.db";
  const int code = InChild([&file] {
    signal(SIGXFSZ, SIG_IGN);
    BranchShard shard(file);
    if (!shard.Open().ok() || !shard.database->RunScript(kSchema).ok()) return 2;
    std::unique_ptr<Session> session = shard.Lease();
    if (!WriteBoth(shard, *session).ok()) return 3;
    if (!shard.Prepare(*session, BranchOf(1)).ok()) return 4;
    const rlimit limit{4096, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return 5;
    for (int i = 0; i < 2; ++i) {
      if (shard.Finish(BranchOf(1), Verdict::kCommit).ok()) return 6;
      if (shard.Branches().size() != 1) return 7;
    }
    if (ReasonOf(shard.Write("DELETE FROM a", absl::Milliseconds(50))) != "TRANSACTION_IN_DOUBT") return 8;
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &none) != 0) return 9;
    const absl::StatusOr<BranchEnd> end = shard.Finish(BranchOf(1), Verdict::kCommit);
    if (!end.ok() || *end != BranchEnd::kCommitted) return 10;
    return shard.Branches().empty() && shard.Write("INSERT INTO a VALUES (9, x'')").ok() ? 0 : 11;
  });
  EXPECT_EQ(code, 0);
  BranchShard shard(file);
  ASSERT_THAT(shard.Open(), IsOk());
  EXPECT_EQ(State(shard).size(), kAfter.size() + 1);
}

TEST(BranchFaultTest, ADirectoryWithoutRightsIsFoundBeforeAnythingIsWritten) {
  const TempDirectory directory;
  // Root may write anywhere.
  constexpr uid_t kNobody = 65534;
  ASSERT_TRUE(geteuid() != 0 || chown(directory.path().c_str(), kNobody, kNobody) == 0);
  const int code = InChild([&directory] {
    if (geteuid() == 0 && setuid(kNobody) != 0) return 2;
    BranchShard shard(directory.path() + "/s0.db");
    if (!shard.Open().ok()) return 3;
    const CallContext ctx = shard.Within(absl::Seconds(5));
    for (const bool allowed : {true, false, true}) {
      if (chmod(directory.path().c_str(), allowed ? 0755 : 0555) != 0) return 4;
      const absl::Status check = RunOn(shard.loop, shard.backend->two_phase().Check(ctx));
      if (check.ok() != allowed) return 5;
      if (!allowed && ReasonOf(check) != "TWO_PHASE_UNAVAILABLE") return 6;
    }
    return 0;
  });
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace quarry
