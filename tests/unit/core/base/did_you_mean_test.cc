#include "core/base/did_you_mean.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(DidYouMeanTest, FindsSlipsAndLeavesOtherWordsAlone) {
  const std::vector<std::string> names = {"key", "kind", "resolver", "scatter"};
  EXPECT_EQ(DidYouMean("kee", names), " (did you mean \"key\"?)");
  EXPECT_EQ(DidYouMean("resovler", names), " (did you mean \"resolver\"?)");
  EXPECT_EQ(DidYouMean("KIND", names), " (did you mean \"kind\"?)");
  EXPECT_EQ(DidYouMean("colour", names), "");
  EXPECT_EQ(DidYouMean("", names), "");
  EXPECT_EQ(DidYouMean("x", {"y"}), "");
  EXPECT_THAT(DidYouMean(std::string(10'000, 'k'), names), Not(HasSubstr("did")));
}

}  // namespace
}  // namespace quarry
