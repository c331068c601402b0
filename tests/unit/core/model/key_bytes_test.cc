#include "core/model/key_bytes.h"

#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(KeyBytesTest, TakesDecimalsOfAnyScaleAsOne) {
  const auto bytes = [](const char* text) { return KeyBytes({Value::Decimal(text)}, {0}); };
  EXPECT_EQ(bytes("1.5"), bytes("1.500"));
  EXPECT_EQ(bytes("0"), bytes("0.000"));
  EXPECT_EQ(bytes("100"), bytes("100.0"));
  EXPECT_EQ(bytes("-2.50"), bytes("-2.5"));
  EXPECT_NE(bytes("100"), bytes("1"));
  EXPECT_NE(bytes("0.10"), bytes("0.01"));
  EXPECT_NE(bytes("1"), bytes("-1"));
  EXPECT_EQ(bytes("NaN"), bytes("NaN"));
}

TEST(KeyBytesTest, TellsValuesAndTheirBordersApart) {
  const auto two = [](const char* a, const char* b) { return KeyBytes({Value::Text(a), Value::Text(b)}, {0, 1}); };
  EXPECT_NE(two("ab", "c"), two("a", "bc"));
  EXPECT_NE(two("", "a"), two("a", ""));
  EXPECT_NE(KeyBytes({Value::Text("1")}, {0}), KeyBytes({Value::Int64(1)}, {0}));
}

}  // namespace
}  // namespace quarry
