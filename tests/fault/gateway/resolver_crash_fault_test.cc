// Whoever ends the transactions of a gateway that died is killed as well; and a gateway that stands still while another ends its
// transaction goes on.
#include <signal.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/fault/gateway/crash_fixture.h"

namespace quarry::gateway_test {
namespace {

class ResolverCrashTest : public CrashFixture {};

// In every third round on PostgreSQL the resolver runs beside the gateway that dies; else it takes its place.
TEST_P(ResolverCrashTest, NothingIsHalfCommittedWhereverAResolverDies) {
  const int rounds = GetParam() == Cluster::kMixed ? std::max(1, kCrashRounds / 3) : kCrashRounds;
  ASSERT_NO_FATAL_FAILURE(Start(""));
  MakeGroups();
  for (int round = 0; round < rounds; ++round) {
    for (const std::string step : {"recovery.before_abort", "recovery.after_abort", "recovery.after_finish"}) {
      SCOPED_TRACE(absl::StrCat("round ", round, ", ", step));
      Load load;
      load.wide = round % 2 == 1;
      load.interactive = round / 2 % 2 == 1;
      load.reads = load.interactive && round % 3 != 0;
      const bool finishes = step == "recovery.after_finish";
      const bool decided = finishes && round % 4 >= 2;
      ASSERT_NO_FATAL_FAILURE(Start(absl::StrCat(decided ? "commit.after_decide" : "commit.before_decide", "=kill:", HitUnderLoad())));
      ExpectSettled(*daemon_);
      ExpectWhole(*client_);
      // Undecided, a wide one has two branches for certain.
      const std::string dies = absl::StrCat(step, "=kill:", finishes && !decided && load.wide ? 2 : 1);
      std::unique_ptr<Daemon> resolver;
      if (only_postgres() && round % 3 == 2) {
        resolver = Spawn(dies, /*another=*/true);
        ASSERT_TRUE(resolver->WaitUntilServing()) << resolver->Output();
      }
      WriteUntilItDies(load);
      if (resolver == nullptr) resolver = Spawn(dies);
      EXPECT_EQ(resolver->Wait(), -SIGKILL) << resolver->Output();
      if (HasFailure()) return;
    }
  }
  ASSERT_NO_FATAL_FAILURE(Start(""));
  ExpectSettled(*daemon_);
  ExpectWhole(*client_);
}

INSTANTIATE_TEST_SUITE_P(Clusters, ResolverCrashTest, testing::Values(Cluster::kPostgres, Cluster::kSqlite, Cluster::kMixed),
                         NameOfCluster);

class PausedCoordinatorTest : public CrashFixture {};

// It stops before or after it has sent its decision, until another gateway has ended its transaction; then it goes on.
TEST_P(PausedCoordinatorTest, FindsItsTransactionEnded) {
  ASSERT_NO_FATAL_FAILURE(Start(""));
  MakeGroups();
  daemon_.reset();
  const std::unique_ptr<Daemon> resolver = Spawn("", /*another=*/true);
  ASSERT_TRUE(resolver->WaitUntilServing()) << resolver->Output();
  for (int round = 0; round < kCrashRounds; ++round) {
    const bool decided = round % 3 == 2;
    SCOPED_TRACE(absl::StrCat("round ", round, decided ? ", decided" : ", undecided"));
    ASSERT_NO_FATAL_FAILURE(
        Start(absl::StrCat(decided ? "commit.after_decide" : "commit.before_decide", "=stop:", 1 + random_() % 5)));
    Group& group = round % 2 == 0 ? pairs_[0] : triples_[0];
    absl::Status last;
    std::atomic<bool> continued{false};
    std::thread writer([&] {
      while (last.ok() && !(decided && continued)) last = WriteInOneCall(*client_, group);
    });
    // Nothing is prepared any more, though its coordinator stands still.
    EXPECT_TRUE(Eventually([&] { return daemon_->Stopped(); }));
    EXPECT_TRUE(Eventually([&] { return PreparedBranches() == 0; }, absl::Seconds(10)));
    continued = true;
    daemon_->Kill(SIGCONT);
    writer.join();
    if (decided) {
      EXPECT_THAT(last, IsOk());
    } else {
      EXPECT_THAT(last, Fails(absl::StatusCode::kUnavailable, reason::kShardUnavailable));
    }
    ExpectWhole(*client_);
    daemon_.reset();
    if (HasFailure()) return;
  }
}

// A SQLite file has one gateway.
INSTANTIATE_TEST_SUITE_P(Clusters, PausedCoordinatorTest, testing::Values(Cluster::kPostgres), NameOfCluster);

}  // namespace
}  // namespace quarry::gateway_test
