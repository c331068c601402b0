#include "core/base/ids.h"

#include <limits>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

using ::testing::MatchesRegex;
using ::testing::Optional;

constexpr char kUuidV7Form[] =
    "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";
const absl::Time kNow = absl::FromUnixSeconds(1'800'000'000);

TEST(IdGeneratorTest, UuidsHaveTheFormOfVersion7AndItsTime) {
  SeededRandom random(1);
  IdGenerator ids(1, random);
  const std::string id = ids.UuidV7(absl::FromUnixMillis(0x0123456789ab));
  EXPECT_THAT(id, MatchesRegex(kUuidV7Form));
  EXPECT_EQ(id.substr(0, 13), "01234567-89ab");
  EXPECT_THAT(CanonicalUuid(id), Optional(id));
}

TEST(IdGeneratorTest, UuidsRiseStrictlyAlsoWhenTheClockStepsBack) {
  SeededRandom random(2);
  IdGenerator ids(1, random);
  std::string last;
  for (int i = 0; i < 20'000; ++i) {
    const absl::Time now = i < 10'000 ? kNow : kNow - absl::Hours(1);
    const std::string id = ids.UuidV7(now);
    ASSERT_LT(last, id) << i;
    ASSERT_THAT(id, MatchesRegex(kUuidV7Form));
    last = id;
  }
}

TEST(IdGeneratorTest, Int64sRiseStrictlyAndArePositive) {
  SeededRandom random(3);
  IdGenerator ids(1023, random);
  int64_t last = 0;
  for (int i = 0; i < 20'000; ++i) {
    const absl::Time now = i % 2 == 0 ? kNow : kNow - absl::Minutes(1);
    const int64_t id = ids.Int64(now);
    ASSERT_LT(last, id) << i;
    last = id;
  }
}

TEST(IdGeneratorTest, Int64sBeforeTheirEpochArePositiveToo) {
  SeededRandom random(3);
  IdGenerator ids(0, random);
  EXPECT_GT(ids.Int64(absl::UnixEpoch()), 0);
}

TEST(IdGeneratorTest, Int64sOfDifferentNodesNeverMeet) {
  SeededRandom random(4);
  IdGenerator a(1, random);
  IdGenerator b(2, random);
  std::set<int64_t> seen;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(seen.insert(a.Int64(kNow)).second) << i;
    ASSERT_TRUE(seen.insert(b.Int64(kNow)).second) << i;
  }
}

TEST(IdGeneratorTest, UuidsOfDifferentGeneratorsDifferByTheirRandomBits) {
  SeededRandom first(5);
  SeededRandom second(6);
  IdGenerator a(1, first);
  IdGenerator b(1, second);
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(seen.insert(a.UuidV7(kNow)).second) << i;
    ASSERT_TRUE(seen.insert(b.UuidV7(kNow)).second) << i;
  }
}

TEST(CanonicalUuidTest, ReadsTheFormsThatPostgresReads) {
  const std::string canonical = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  for (const char* text : {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
                           "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11",
                           "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}"}) {
    EXPECT_THAT(CanonicalUuid(text), Optional(canonical)) << text;
  }
}

TEST(CanonicalUuidTest, RefusesTheRest) {
  for (const char* text : {"", "{}", "-", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a111",
                           "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11",
                           "-a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11-",
                           "a0-eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}) {
    EXPECT_EQ(CanonicalUuid(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace quarry
