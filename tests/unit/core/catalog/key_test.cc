#include "core/catalog/catalog.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/catalog/tables.h"

namespace quarry {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kUuid[] = "0190f2a4-5b6c-7d8e-9f00-112233445566";

Table Orders() { return Table(OrdersDeclaration(), OrdersSchema()); }

auto Violation(const std::string& field, const std::string& part) {
  return AllOf(Field(&FieldViolation::field, field), Field(&FieldViolation::description, HasSubstr(part)));
}

std::vector<FieldViolation> Violations(const absl::Status& status) { return DetailOf(status).violations; }

TEST(CheckKeyTest, TakesPartsByNameInPrimaryKeyOrder) {
  KeyInput input;
  input.by_name = {{"order_id", Value::Text("0190F2A45B6C7D8E9F00112233445566")}, {"customer_id", Value::Int64(7)}};
  ASSERT_OK_AND_ASSIGN(const Key key, CheckKey(Orders(), input, "key"));
  EXPECT_EQ(key, (Key{Value::Int64(7), Value::Uuid(kUuid)}));
}

TEST(CheckKeyTest, TakesPartsByPosition) {
  KeyInput input;
  input.by_position = {Value::Int64(7), Value::Uuid(kUuid)};
  ASSERT_OK_AND_ASSIGN(const Key key, CheckKey(Orders(), input, "key"));
  EXPECT_EQ(key, (Key{Value::Int64(7), Value::Uuid(kUuid)}));
}

TEST(CheckKeyTest, ReportsMissingExtraNullAndWronglyTypedPartsAtOnce) {
  KeyInput input;
  input.by_name = {{"customer_id", Value::Text("7")}, {"price", Value::Int64(1)}, {"orderid", Value::Null()}};
  const absl::Status status = CheckKey(Orders(), input, "keys[3]").status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(status, HasReason("INVALID_FIELD"));
  EXPECT_THAT(Violations(status),
              ElementsAre(Violation("keys[3].customer_id", "expects int64; got text"),
                          Violation("keys[3].order_id", "missing; the key of table \"orders\" is (customer_id, order_id)"),
                          Violation("keys[3].orderid", "unknown column (did you mean \"order_id\"?)"),
                          Violation("keys[3].price", "not a column of the key")));
}

TEST(CheckKeyTest, NamesTheColumnsWhenTheCountIsWrong) {
  KeyInput input;
  input.by_position = {Value::Null()};
  EXPECT_THAT(Violations(CheckKey(Orders(), input, "key").status()),
              ElementsAre(Violation("key", "has 1 value; the key of table \"orders\" is (customer_id, order_id)"),
                          Violation("key[0]", "column \"customer_id\" expects int64; it must not be null")));
}

TEST(CheckKeyTest, RefusesAnEmptyKeyAndBothFormsTogether) {
  EXPECT_THAT(Violations(CheckKey(Orders(), {}, "key").status()), ElementsAre(Violation("key", "is empty")));
  KeyInput input;
  input.by_position = {Value::Int64(7)};
  input.by_name = {{"order_id", Value::Uuid(kUuid)}};
  EXPECT_THAT(Violations(CheckKey(Orders(), input, "key").status()), ElementsAre(Violation("key", "by name and by position")));
}

TEST(CheckKeyTest, NeverRepeatsControlCharactersOrEndlessNames) {
  KeyInput input;
  input.by_name = {{std::string("a\0\n\xff'", 5), Value::Int64(1)}, {std::string(5'000, 'x'), Value::Int64(1)}};
  for (const FieldViolation& violation : Violations(CheckKey(Orders(), input, "key").status())) {
    EXPECT_LT(violation.field.size() + violation.description.size(), 300u);
    EXPECT_EQ(violation.field.find_first_of(std::string("\0\n\xff", 3)), std::string::npos);
  }
}

TEST(CheckRecordTest, CoercesWhatIsRightAndCollectsWhatIsWrong) {
  TableSchema schema = OrdersSchema();
  schema.columns[3].generated = true;
  const Table table(OrdersDeclaration(), schema);
  std::vector<FieldViolation> violations;
  const auto columns = CheckRecord(table,
                                   {{"price", Value::Int64(12)},
                                    {"customer_id", Value::Null()},
                                    {"note", Value::Text("x")},
                                    {"prise", Value::Int64(1)}},
                                   "record", violations);
  ASSERT_EQ(columns.size(), 1u);
  EXPECT_EQ(columns[0].first, 2u);
  EXPECT_EQ(columns[0].second, Value::Decimal("12"));
  EXPECT_THAT(violations, ElementsAre(Violation("record.customer_id", "must not be null"),
                                      Violation("record.note", "the database computes this column"),
                                      Violation("record.prise", "did you mean \"price\"?")));
}

TEST(CheckColumnsTest, TakesAllForNoneAndForAStar) {
  ASSERT_OK_AND_ASSIGN(const std::vector<size_t> none, CheckColumns(Orders(), {}, "columns"));
  ASSERT_OK_AND_ASSIGN(const std::vector<size_t> star, CheckColumns(Orders(), {"*"}, "columns"));
  EXPECT_THAT(none, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(star, ElementsAre(0, 1, 2, 3));
}

TEST(CheckColumnsTest, KeepsTheAskedOrderAndReportsAllMistakes) {
  ASSERT_OK_AND_ASSIGN(const std::vector<size_t> asked, CheckColumns(Orders(), {"note", "price"}, "columns"));
  EXPECT_THAT(asked, ElementsAre(3, 2));
  const absl::Status status = CheckColumns(Orders(), {"note", "nope; DROP TABLE orders", "note", "*"}, "columns").status();
  EXPECT_THAT(Violations(status), ElementsAre(Violation("columns[1]", "has no column"), Violation("columns[2]", "named twice"),
                                              Violation("columns[3]", "stands alone")));
}

}  // namespace
}  // namespace quarry
