#include "core/shard/breaker.h"

#include <random>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

constexpr absl::Duration kLong = absl::Seconds(1);
constexpr absl::Duration kShort = absl::Milliseconds(1);
constexpr absl::Duration kTimeoutMin = absl::Milliseconds(250);

const absl::Status kDown = absl::UnavailableError("down");

Evidence EvidenceOfLong(const absl::Status& status) { return EvidenceOf(status, kLong, kTimeoutMin); }

TEST(EvidenceTest, AnAnswerProvesHealthAlsoWhenItIsAnError) {
  for (const absl::Status& status :
       {absl::OkStatus(), absl::InvalidArgumentError("syntax"), absl::NotFoundError("row"),
        absl::AlreadyExistsError("key"), absl::FailedPreconditionError("foreign key"), absl::AbortedError("deadlock"),
        absl::PermissionDeniedError("role"), absl::InternalError("odd"),
        MakeError(absl::StatusCode::kUnknown, reason::kDatabaseError, "odd"),
        MakeError(absl::StatusCode::kResourceExhausted, reason::kShardFull, "disk")}) {
    EXPECT_EQ(EvidenceOfLong(status), Evidence::kHealthy) << status;
  }
}

TEST(EvidenceTest, NoConnectionAndNoAnswerAreFaults) {
  for (const absl::Status& status :
       {kDown, absl::UnknownError("cut"), MakeError(absl::StatusCode::kUnknown, reason::kWriteOutcomeUnknown, "cut"),
        absl::DeadlineExceededError("slow"),
        MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "slow", {{"stage", "query"}})}) {
    EXPECT_EQ(EvidenceOfLong(status), Evidence::kFault) << status;
  }
}

TEST(EvidenceTest, WhatNeverReachedTheShardSaysNothing) {
  for (const absl::Status& status :
       {absl::CancelledError("gone"), MakeError(absl::StatusCode::kResourceExhausted, reason::kPoolExhausted, "full"),
        MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "full", {{"stage", "pool"}}),
        MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "full", {{"stage", "queue"}}),
        MakeError(absl::StatusCode::kFailedPrecondition, reason::kTransactionEnded, "ended")}) {
    EXPECT_EQ(EvidenceOfLong(status), Evidence::kNothing) << status;
  }
}

TEST(EvidenceTest, AnImpatientCallerSaysNothing) {
  EXPECT_EQ(EvidenceOf(absl::DeadlineExceededError("1 ms"), kShort, kTimeoutMin), Evidence::kNothing);
  EXPECT_EQ(EvidenceOf(kDown, kShort, kTimeoutMin), Evidence::kFault);
}

class BreakerTest : public ::testing::Test {
 protected:
  static BreakerOptions Options() {
    BreakerOptions options;
    options.faults_max = 3;
    options.probe_interval = absl::Seconds(10);
    return options;
  }
  bool Admit() { return breaker_.Admit(clock_.Now()).has_value(); }
  void Record(const absl::Status& status) { Record(breaker_.ticket(), status); }
  void Record(Breaker::Ticket ticket, const absl::Status& status) {
    breaker_.Record(ticket, status, kLong, clock_.Now());
  }
  void Open() {
    for (int i = 0; i < 3; ++i) Record(kDown);
    ASSERT_TRUE(breaker_.open());
  }

  FakeClock clock_;
  Breaker breaker_{Options()};
};

TEST_F(BreakerTest, OpensOnlyAfterFaultsInARow) {
  Record(kDown);
  Record(kDown);
  Record(absl::NotFoundError("row"));
  Record(kDown);
  Record(kDown);
  Record(absl::CancelledError("gone"));
  EXPECT_FALSE(breaker_.open());
  EXPECT_TRUE(Admit());
  Record(kDown);
  EXPECT_TRUE(breaker_.open());
  EXPECT_FALSE(Admit());
  EXPECT_EQ(breaker_.last_fault(), kDown);
}

TEST_F(BreakerTest, AdmitsOneProbePerInterval) {
  Open();
  clock_.Advance(absl::Seconds(9));
  EXPECT_FALSE(Admit());
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Admit());
  EXPECT_FALSE(Admit());
  Record(kDown);
  EXPECT_TRUE(breaker_.open());
  EXPECT_FALSE(Admit());
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, WhoAsksAgainAfterAProbeThatFailedLateIsNotTheNextProbe) {
  Open();
  clock_.Advance(absl::Seconds(10));
  const std::optional<Breaker::Ticket> probe = breaker_.Admit(clock_.Now());
  ASSERT_TRUE(probe.has_value());
  clock_.Advance(absl::Seconds(15));
  Record(*probe, absl::DeadlineExceededError("hung"));
  EXPECT_FALSE(Admit());
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, NoFaultButThatOfTheLatestProbePutsTheNextOneOff) {
  Open();
  clock_.Advance(absl::Seconds(10));
  const std::optional<Breaker::Ticket> earlier = breaker_.Admit(clock_.Now());
  ASSERT_TRUE(earlier.has_value());
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(Admit());
  clock_.Advance(absl::Seconds(9));
  Record(*earlier, absl::DeadlineExceededError("hung"));
  Record(kDown);  // A ping's, or a session's.
  clock_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, AHealthyProbeClosesIt) {
  Open();
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(Admit());
  Record(absl::InvalidArgumentError("a wrong query, but an answer"));
  EXPECT_FALSE(breaker_.open());
  EXPECT_TRUE(Admit());
  EXPECT_TRUE(Admit());
  EXPECT_THAT(breaker_.last_fault(), IsOk());
}

TEST_F(BreakerTest, ALostProbeDoesNotWedgeIt) {
  Open();
  for (int probe = 0; probe < 5; ++probe) {
    clock_.Advance(absl::Seconds(10));
    EXPECT_TRUE(Admit()) << probe;  // None of them ever reports.
  }
}

TEST_F(BreakerTest, ACancelledProbeLeavesItOpen) {
  Open();
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(Admit());
  Record(absl::CancelledError("gone"));
  EXPECT_TRUE(breaker_.open());
}

TEST_F(BreakerTest, FaultsOfCallsFromBeforeTheRecoveryDoNotCount) {
  const Breaker::Ticket before = breaker_.ticket();
  Open();
  clock_.Advance(absl::Seconds(10));
  EXPECT_TRUE(Admit());
  Record(absl::OkStatus());
  for (int i = 0; i < 100; ++i) Record(before, absl::DeadlineExceededError("hung"));
  EXPECT_FALSE(breaker_.open());
  EXPECT_TRUE(Admit());
}

TEST_F(BreakerTest, AnAnswerToAnEarlierCallClosesItToo) {
  const Breaker::Ticket before = breaker_.ticket();
  Open();
  Record(before, absl::OkStatus());
  EXPECT_FALSE(breaker_.open());
}

// Any order of admissions, losses and answers keeps the three promises.
TEST_F(BreakerTest, KeepsItsPromisesInAnyOrderOfEvents) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  std::vector<Breaker::Ticket> under_way;
  absl::Time last_probe = absl::InfinitePast();
  for (int event = 0; event < 50'000; ++event) {
    clock_.Advance(absl::Milliseconds(random.Next() % 3000));
    const bool was_open = breaker_.open();
    if (random.Next() % 2 == 0) {
      const std::optional<Breaker::Ticket> admitted = breaker_.Admit(clock_.Now());
      // A closed breaker admits everything, an open one no two within an interval, and never none for longer.
      if (!was_open) {
        ASSERT_TRUE(admitted.has_value()) << event;
      } else if (admitted.has_value()) {
        ASSERT_GE(clock_.Now() - last_probe, absl::Seconds(10)) << event;
        last_probe = clock_.Now();
      } else {
        ASSERT_LE(breaker_.next_probe() - clock_.Now(), absl::Seconds(10)) << event;
      }
      if (admitted.has_value() && random.Next() % 10 != 0) under_way.push_back(*admitted);
    } else if (!under_way.empty()) {
      const size_t at = random.Next() % under_way.size();
      const Breaker::Ticket ticket = under_way[at];
      under_way.erase(under_way.begin() + static_cast<std::ptrdiff_t>(at));
      const bool fault = random.Next() % 4 != 0;
      const bool stale = ticket.period != breaker_.ticket().period;
      Record(ticket, fault ? kDown : absl::OkStatus());
      if (!fault) {
        ASSERT_FALSE(breaker_.open()) << event;
      } else if (stale) {
        ASSERT_EQ(breaker_.open(), was_open) << event;
      }
    }
  }
}

}  // namespace
}  // namespace quarry
