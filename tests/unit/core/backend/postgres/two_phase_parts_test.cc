// The pure parts of two-phase commit on PostgreSQL.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/branch_gid.h"
#include "core/backend/postgres/gate.h"
#include "core/backend/postgres/schema.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry::postgres {
namespace {

const BranchOwner kOwner = {"shop", "s1"};
const GlobalTransaction kTransaction = {"t2-00c0ffee00c0ffee-01-0123456789abcdef0123456789abcdef", "s9"};

TEST(BranchGidTest, NamesDeploymentHomeTransactionAndShard) {
  EXPECT_EQ(BranchGid(kOwner, kTransaction).value_or(""),
            "quarry:shop:s9:t2-00c0ffee00c0ffee-01-0123456789abcdef0123456789abcdef:s1");
}

TEST(BranchGidTest, WhatIsWrittenIsReadBackWhateverTheNames) {
  const std::vector<std::string> names = {"s0", "a:b", ":", "%", "%3A", "it's", "a b", "\\", "é", std::string("\0x", 2), ""};
  std::vector<std::string> seen;
  for (const std::string& deployment : names) {
    for (const std::string& home : names) {
      for (const std::string& shard : names) {
        const BranchOwner owner = {deployment, shard};
        ASSERT_OK_AND_ASSIGN(const std::string gid, BranchGid(owner, {"t2-0", home}));
        EXPECT_EQ(gid.find_first_of("'\\ \n"), std::string::npos) << gid;
        EXPECT_EQ(gid.find(BranchGidPrefix(deployment)), 0U) << gid;
        const std::optional<GlobalTransaction> parsed = ParseBranchGid(owner, gid);
        ASSERT_TRUE(parsed.has_value()) << gid;
        EXPECT_EQ(parsed->id, "t2-0");
        EXPECT_EQ(parsed->home, home);
        seen.push_back(gid);
      }
    }
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end()) << "two of them have one name";
}

TEST(BranchGidTest, OthersAreNotOurs) {
  ASSERT_OK_AND_ASSIGN(const std::string gid, BranchGid(kOwner, kTransaction));
  EXPECT_FALSE(ParseBranchGid({"shop", "s2"}, gid).has_value());
  EXPECT_FALSE(ParseBranchGid({"shop2", "s1"}, gid).has_value());
  for (const char* other : {"", "quarry", "quarry:shop:s9:t2-0", "quarry:shop:s9:t2-0:s1:", "quarry:shop:s9:T2:s1",
                            "other:shop:s9:t2-0:s1", "quarry:shop:s9::s1", "quarry:shop:%:t2-0:s1", "quarry:shop:%4:t2-0:s1",
                            "quarry:shop:%zz:t2-0:s1", "quarry:shop:%41:t2-0:s1", "quarry:shop:%3a:t2-0:s1"}) {
    EXPECT_FALSE(ParseBranchGid(kOwner, other).has_value()) << other;
  }
}

TEST(BranchGidTest, RefusesWhatPostgresWouldNotTake) {
  const std::string longest(61, 'x');
  const absl::Status refused = BranchGid({longest, longest}, {kTransaction.id, longest}).status();
  EXPECT_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(refused, HasReason(reason::kTwoPhaseUnavailable));
  ASSERT_OK_AND_ASSIGN(const std::string fits, BranchGid({std::string(44, 'd'), std::string(44, 's')},
                                                         {kTransaction.id, std::string(44, 'h')}));
  EXPECT_LT(fits.size(), 200U);
  for (const std::string& id : {std::string(), std::string("T2"), std::string("a:b"), std::string("a'b"), std::string(81, 'a')}) {
    EXPECT_THAT(BranchGid(kOwner, {id, "s9"}), StatusIs(absl::StatusCode::kInvalidArgument)) << id;
  }
}

TEST(GateTest, TheKeyIsFixedAndADeploymentsOwn) {
  EXPECT_EQ(GateKey("quarry"), GateKey("quarry"));
  EXPECT_NE(GateKey("quarry"), GateKey("quarry2"));
  // Gateways of two versions meet at one gate.
  EXPECT_EQ(GateKey("quarry"), -4508832805171734966LL);
}

TEST(LockTimeoutTest, EndsBeforeTheDeadlineAndIsTheSameForSimilarOnes) {
  const absl::Time now = absl::UnixEpoch();
  for (const int64_t ms : {1, 7, 15, 16, 17, 100, 999, 4999, 5000, 30'000, 3'600'000}) {
    const int64_t timeout = LockTimeoutMs(now, now + absl::Milliseconds(ms));
    EXPECT_GE(timeout, 1);
    EXPECT_LE(timeout, ms);
    EXPECT_GE(timeout, ms / 2) << ms;
    EXPECT_TRUE(ms < 2000 || timeout >= ms - ms / 5) << ms;
  }
  EXPECT_EQ(LockTimeoutMs(now, now + absl::Milliseconds(4995)), LockTimeoutMs(now, now + absl::Milliseconds(4930)));
  EXPECT_EQ(LockTimeoutMs(now, now - absl::Seconds(1)), 1);
  EXPECT_EQ(LockTimeoutMs(now, absl::InfiniteFuture()), 0);
  EXPECT_LE(LockTimeoutMs(now, now + absl::Hours(100'000)), 2147483647);
}

TEST(QuotedTest, IsOneLiteralWhateverIsInIt) {
  EXPECT_EQ(Quoted("it's"), "E'it''s'");
  EXPECT_EQ(Quoted("a\\"), "E'a\\\\'");
}

}  // namespace
}  // namespace quarry::postgres
