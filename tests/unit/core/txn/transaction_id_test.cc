#include "core/txn/transaction_id.h"

#include "core/base/error.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

TEST(TransactionIdTest, NamesItsOwner) {
  SeededRandom random(7);
  for (const uint64_t instance : {uint64_t{0}, uint64_t{0x00f0'0000'dead'beef}, ~uint64_t{0}}) {
    for (const uint32_t loop : {0u, 9u, 255u}) {
      const std::string id = MakeTransactionId({instance, loop}, random);
      EXPECT_EQ(id.size(), 55u) << id;
      ASSERT_OK_AND_ASSIGN(const TransactionOwner owner, ParseTransactionId(id));
      EXPECT_EQ(owner.instance, instance) << id;
      EXPECT_EQ(owner.loop, loop) << id;
    }
  }
}

TEST(TransactionIdTest, NoTwoAreAlike) {
  SeededRandom random(7);
  EXPECT_NE(MakeTransactionId({1, 0}, random), MakeTransactionId({1, 0}, random));
}

TEST(TransactionIdTest, RefusesWhatIsNoId) {
  const std::string good = "t2-00f00000deadbeef-0a-0123456789abcdef0123456789abcdef";
  ASSERT_THAT(ParseTransactionId(good), IsOk());
  const auto with = [&good](size_t at, char c) {
    std::string bad = good;
    bad[at] = c;
    return bad;
  };
  for (const std::string& bad :
       {std::string(), std::string(55, '0'), good + "0", good.substr(1), good.substr(0, 54), with(1, '1'), with(2, '_'),
        with(3, 'g'), with(3, ' '), with(3, '-'), with(18, 'A'), with(19, '0'), with(20, '+'), with(21, 'x'), with(22, '0'),
        with(23, '\0'), with(54, 'F'), std::string("t1-0a-0123456789abcdef0123456789abcdef")}) {
    EXPECT_THAT(ParseTransactionId(bad), StatusIs(absl::StatusCode::kInvalidArgument)) << bad;
    EXPECT_THAT(ParseTransactionId(bad), HasReason(reason::kInvalidField)) << bad;
  }
}

TEST(TransactionIdTest, InstancesHaveOneForm) {
  EXPECT_EQ(InstanceText(0xff), "00000000000000ff");
  ASSERT_OK_AND_ASSIGN(const uint64_t instance, ParseInstance("00000000000000ff", "instance"));
  EXPECT_EQ(instance, 0xffu);
  for (const char* bad : {"", "ff", "00000000000000FF", "0x000000000000ff", "00000000000000ff0"}) {
    EXPECT_THAT(ParseInstance(bad, "instance"), HasReason(reason::kInvalidField)) << bad;
  }
}

}  // namespace
}  // namespace quarry
