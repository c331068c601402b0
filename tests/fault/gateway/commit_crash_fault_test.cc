// quarryd is killed before and after every step of commits over several shards, under load, many times.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/fault/gateway/crash_fixture.h"

namespace quarry::gateway_test {
namespace {

struct Step {
  std::string name;
  bool wide = false;            // Only commits of three writers pass a gate on its own.
  bool reads = false;           // Only those with a reader commit one.
  bool settles = false;         // Only a decision whose answer is lost is settled.
};
const std::vector<Step>& Steps() {
  static const std::vector<Step> steps = {
      {.name = "commit.before_pass_gate", .wide = true},
      {.name = "commit.after_pass_gate", .wide = true},
      {.name = "commit.before_prepare"},
      {.name = "commit.after_prepare"},
      {.name = "commit.before_commit_reader", .reads = true},
      {.name = "commit.after_commit_reader", .reads = true},
      {.name = "commit.before_decide"},
      {.name = "commit.after_decide"},
      {.name = "commit.before_settle", .settles = true},
      {.name = "commit.after_settle", .settles = true},
      {.name = "commit.before_finish"},
      {.name = "commit.after_finish"},
  };
  return steps;
}

std::string FailpointsOf(const Step& step, int64_t hit) {
  if (step.settles) return absl::StrCat("commit.after_decide=error:", hit, ";", step.name, "=kill");
  return absl::StrCat(step.name, "=kill:", hit);
}

// Every mixture comes with every step that admits it: widths by turns, and each of them in one call and call by call.
Load LoadOf(const Step& step, int round) {
  Load load;
  load.wide = step.wide || round % 2 == 1;
  load.interactive = step.reads || round / 2 % 2 == 1;
  load.reads = step.reads || (load.interactive && round % 3 != 0);
  return load;
}

class CommitCrashTest : public CrashFixture {};

TEST_P(CommitCrashTest, NothingIsHalfCommittedWhereverTheGatewayDies) {
  const int rounds = GetParam() == Cluster::kMixed ? std::max(1, kCrashRounds / 3) : kCrashRounds;
  // From then on, what is left of a gateway is ended by another that runs beside it, not by the next one.
  const int another_from = only_postgres() ? 2 * rounds / 3 : rounds;
  std::unique_ptr<Daemon> another;
  std::unique_ptr<client::Client> other_client;
  ASSERT_NO_FATAL_FAILURE(Start(""));
  MakeGroups();
  for (int round = 0; round < rounds; ++round) {
    if (round == another_from) {
      another = Spawn("", /*another=*/true);
      ASSERT_TRUE(another->WaitUntilServing()) << another->Output();
      other_client = ClientAt(another->grpc_port(), 4);
      ASSERT_NE(other_client, nullptr);
    }
    for (const Step& step : Steps()) {
      SCOPED_TRACE(absl::StrCat("round ", round, ", ", step.name));
      ASSERT_NO_FATAL_FAILURE(Start(FailpointsOf(step, HitUnderLoad())));
      if (another == nullptr || step.name == Steps().front().name) {
        ExpectSettled(*daemon_);
        ExpectWhole(*client_);
      }
      WriteUntilItDies(LoadOf(step, round));
      if (another != nullptr) {
        ExpectSettled(*another);
        ExpectWhole(*other_client);
      }
      if (HasFailure()) return;
    }
  }
  ASSERT_NO_FATAL_FAILURE(Start(""));
  ExpectSettled(*daemon_);
  ExpectWhole(*client_);
}

INSTANTIATE_TEST_SUITE_P(Clusters, CommitCrashTest, testing::Values(Cluster::kPostgres, Cluster::kSqlite, Cluster::kMixed), NameOfCluster);

}  // namespace
}  // namespace quarry::gateway_test
