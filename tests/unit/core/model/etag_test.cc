#include "core/model/etag.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(EtagTest, EqualContentHasEqualEtagsAndTheFormIsHex) {
  const Row row = {Value::Int64(1), Value::Text("a")};
  EXPECT_EQ(EtagOf(row), EtagOf(Row(row)));
  EXPECT_THAT(EtagOf(row), ::testing::MatchesRegex("[0-9a-f]{32}"));
}

TEST(EtagTest, DiffersByKindByPlaceAndByBoundary) {
  const std::vector<Row> rows = {
      {},
      {Value::Null()},
      {Value::Null(), Value::Null()},
      {Value::Int64(1)},
      {Value::Timestamp(1)},
      {Value::Double(1)},
      {Value::Bool(true)},
      {Value::Text("1")},
      {Value::Bytes("1")},
      {Value::Decimal("1")},
      {Value::Decimal("1.0")},
      {Value::Text("")},
      {Value::Text("ab"), Value::Text("c")},
      {Value::Text("a"), Value::Text("bc")},
      {Value::Text("a"), Value::Null()},
      {Value::Null(), Value::Text("a")},
      {Value::Array({Value::Text("a"), Value::Text("b")})},
      {Value::Array({Value::Text("a")}), Value::Text("b")},
      {Value::Native("inet", "x")},
      {Value::Native("cidr", "x")},
  };
  std::set<std::string> etags;
  for (const Row& row : rows) EXPECT_TRUE(etags.insert(EtagOf(row)).second) << ::testing::PrintToString(row.size());
}

// Etags live in clients: a change of the form would refuse every conditional write across an upgrade.
TEST(EtagTest, KeepsItsForm) {
  const Row row = {Value::Int64(42), Value::Text("shop"), Value::Null(), Value::Double(0.5)};
  EXPECT_EQ(EtagOf(row), "3a56431e938b716f76deaffc04e345cb");
}

}  // namespace
}  // namespace quarry
