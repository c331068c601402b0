#include "core/base/failpoint.h"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

class FailpointTest : public ::testing::Test {
 protected:
  ~FailpointTest() override { ArmFailpoints("").IgnoreError(); }
};

// Runs in a child, so that what it does to the process is seen from outside. What waitpid says of it.
template <typename Body>
int StatusOfChild(Body body, int options) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, options), child);
  if (WIFSTOPPED(status)) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }
  return status;
}

TEST_F(FailpointTest, IsOkAndCountsNothingWhileNothingIsArmed) {
  EXPECT_THAT(QUARRY_FAILPOINT("commit.prepared"), IsOk());
  EXPECT_EQ(FailpointHits("commit.prepared"), 0);
}

TEST_F(FailpointTest, UnderstandsEveryForm) {
  ASSERT_OK_AND_ASSIGN(const std::vector<Failpoint> points,
                       ParseFailpoints("a=kill; b.c=kill:3;d=stop;e_1=error;f=error:2;g=sleep:200ms;h=sleep:1s:4;"));
  ASSERT_EQ(points.size(), 7u);
  EXPECT_EQ(points[0].name, "a");
  EXPECT_EQ(points[0].action, Failpoint::Action::kKill);
  EXPECT_EQ(points[0].at_hit, 1);
  EXPECT_EQ(points[1].name, "b.c");
  EXPECT_EQ(points[1].at_hit, 3);
  EXPECT_EQ(points[2].action, Failpoint::Action::kStop);
  EXPECT_EQ(points[3].action, Failpoint::Action::kError);
  EXPECT_EQ(points[3].at_hit, 0);
  EXPECT_EQ(points[4].at_hit, 2);
  EXPECT_EQ(points[5].pause, absl::Milliseconds(200));
  EXPECT_EQ(points[5].at_hit, 0);
  EXPECT_EQ(points[6].pause, absl::Seconds(1));
  EXPECT_EQ(points[6].at_hit, 4);
}

TEST_F(FailpointTest, RefusesUnknownFormsNamingThem) {
  for (const char* text : {"a", "a=", "=kill", "a=explode", "a=kill:0", "a=kill:-1", "a=kill:x", "a=kill:1:2", "a=sleep",
                           "a=sleep:", "a=sleep:soon", "a=sleep:-1s", "a=sleep:0s", "a=sleep:1s:0", "A=kill", "a b=kill",
                           "a=kill=stop", "a=Kill"}) {
    const absl::StatusOr<std::vector<Failpoint>> points = ParseFailpoints(text);
    ASSERT_THAT(points, StatusIs(absl::StatusCode::kInvalidArgument)) << text;
    EXPECT_THAT(std::string(points.status().message()), HasSubstr(text));
    EXPECT_THAT(std::string(points.status().message()), HasSubstr("name=sleep:200ms"));
  }
  EXPECT_THAT(ParseFailpoints("a=kill;a=stop"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(FailpointTest, KeepsWhatIsArmedWhenTheNewFormIsRefused) {
  ASSERT_THAT(ArmFailpoints("a=error"), IsOk());
  EXPECT_FALSE(ArmFailpoints("b=error;c=what").ok());
  EXPECT_FALSE(QUARRY_FAILPOINT("a").ok());
  EXPECT_THAT(QUARRY_FAILPOINT("b"), IsOk());
}

TEST_F(FailpointTest, FailsAtEveryHitOrAtTheOneThatIsNamed) {
  ASSERT_THAT(ArmFailpoints("always=error;second=error:2"), IsOk());
  for (int hit = 1; hit <= 3; ++hit) {
    const absl::Status status = QUARRY_FAILPOINT("always");
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(std::string(status.message()), HasSubstr("always"));
    EXPECT_EQ(QUARRY_FAILPOINT("second").ok(), hit != 2) << hit;
    EXPECT_THAT(QUARRY_FAILPOINT("other"), IsOk());
  }
  EXPECT_EQ(FailpointHits("second"), 3);
  EXPECT_EQ(FailpointHits("other"), 0);
}

TEST_F(FailpointTest, ArmingAgainCountsAnewAndNothingDisarms) {
  ASSERT_THAT(ArmFailpoints("a=error:2"), IsOk());
  EXPECT_THAT(QUARRY_FAILPOINT("a"), IsOk());
  ASSERT_THAT(ArmFailpoints("a=error:2"), IsOk());
  EXPECT_THAT(QUARRY_FAILPOINT("a"), IsOk());
  EXPECT_FALSE(QUARRY_FAILPOINT("a").ok());
  ASSERT_THAT(ArmFailpoints(""), IsOk());
  EXPECT_FALSE(failpoint_internal::armed.load());
  EXPECT_THAT(QUARRY_FAILPOINT("a"), IsOk());
}

TEST_F(FailpointTest, Waits) {
  ASSERT_THAT(ArmFailpoints("a=sleep:20ms:1"), IsOk());
  const absl::Time start = absl::Now();
  EXPECT_THAT(QUARRY_FAILPOINT("a"), IsOk());
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(20));
}

TEST_F(FailpointTest, KillsTheProcessAtTheHitThatIsNamed) {
  ASSERT_THAT(ArmFailpoints("a=kill:2"), IsOk());
  EXPECT_THAT(QUARRY_FAILPOINT("a"), IsOk());
  const int status = StatusOfChild([] { QUARRY_FAILPOINT("a").IgnoreError(); }, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(FailpointTest, StopsTheProcess) {
  ASSERT_THAT(ArmFailpoints("a=stop"), IsOk());
  const int status = StatusOfChild([] { QUARRY_FAILPOINT("a").IgnoreError(); }, WUNTRACED);
  EXPECT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGSTOP);
}

TEST_F(FailpointTest, ReadsTheEnvironmentAndNamesItInItsErrors) {
  setenv("QUARRY_FAILPOINTS", "a=error", 1);
  EXPECT_THAT(ArmFailpointsFromEnvironment(), IsOk());
  EXPECT_FALSE(QUARRY_FAILPOINT("a").ok());
  setenv("QUARRY_FAILPOINTS", "a=oops", 1);
  EXPECT_THAT(std::string(ArmFailpointsFromEnvironment().message()), HasSubstr("QUARRY_FAILPOINTS: "));
  unsetenv("QUARRY_FAILPOINTS");
  EXPECT_THAT(ArmFailpointsFromEnvironment(), IsOk());
}

}  // namespace
}  // namespace quarry
