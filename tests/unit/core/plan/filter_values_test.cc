#include "core/plan/filter_values.h"

#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"

namespace quarry {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kFloatMax = static_cast<double>(std::numeric_limits<float>::max());
constexpr double kDoubleMax = std::numeric_limits<double>::max();

std::string Compared(TypeKind kind, CompareOp op, const Value& value) {
  const absl::StatusOr<Comparison> comparison = CompareWith(MakeColumn("c", kind), op, value);
  if (!comparison.ok()) return std::string(comparison.status().message());
  if (comparison->outcome == Comparison::Outcome::kAlways) return "always";
  if (comparison->outcome == Comparison::Outcome::kNever) return "never";
  return absl::StrCat(OpName(comparison->op), " ", ValuesText({comparison->value}));
}

std::string Bound(const char* op, double value) { return absl::StrCat(op, " ", ValuesText({Value::Double(value)})); }

TEST(FilterValuesTest, ANumberBeyondAllFiniteOnesLiesBeforeTheInfinity) {
  struct Case {
    TypeKind kind;
    Value above;
    double greatest;
  };
  const std::vector<Case> cases = {{TypeKind::kFloat, Value::Double(1e39), kFloatMax},
                                   {TypeKind::kFloat, Value::Decimal("1e400"), kFloatMax},
                                   {TypeKind::kDouble, Value::Decimal("1e400"), kDoubleMax}};
  for (const Case& one : cases) {
    const Value below = one.above.kind() == ValueKind::kDouble ? Value::Double(-one.above.double_value())
                                                               : Value::Decimal("-" + one.above.text());
    EXPECT_EQ(Compared(one.kind, CompareOp::kLess, one.above), Bound("<=", one.greatest));
    EXPECT_EQ(Compared(one.kind, CompareOp::kGreaterOrEqual, one.above), Bound(">=", kInfinity));
    EXPECT_EQ(Compared(one.kind, CompareOp::kEqual, one.above), "never");
    EXPECT_EQ(Compared(one.kind, CompareOp::kLessOrEqual, below), Bound("<=", -kInfinity));
    EXPECT_EQ(Compared(one.kind, CompareOp::kGreater, below), Bound(">=", -one.greatest));
    EXPECT_EQ(Compared(one.kind, CompareOp::kNotEqual, below), "always");
  }
}

TEST(FilterValuesTest, ADecimalColumnIsComparedWithTheExactNumberThatADoubleIs) {
  const auto less = [](double value) { return Compared(TypeKind::kDecimal, CompareOp::kLess, Value::Double(value)); };
  EXPECT_EQ(less(kNan), "< decimal 'NaN'");
  EXPECT_EQ(less(kInfinity), "< decimal 'Infinity'");
  EXPECT_EQ(less(-kInfinity), "< decimal '-Infinity'");
  EXPECT_EQ(less(-3), "< decimal '-3'");
  EXPECT_EQ(less(-0.0), "< decimal '0'");
  EXPECT_EQ(less(100.0), "< decimal '100'");
  EXPECT_EQ(less(1.5), "< decimal '1.5'");
  EXPECT_EQ(less(0.1), "< decimal '0.1000000000000000055511151231257827021181583404541015625'");
  EXPECT_EQ(less(1e23), "< decimal '99999999999999991611392'");
  for (const double extreme : {kDoubleMax, -kDoubleMax, std::numeric_limits<double>::denorm_min()}) {
    const absl::StatusOr<Comparison> comparison =
        CompareWith(MakeColumn("c", TypeKind::kDecimal), CompareOp::kEqual, Value::Double(extreme));
    ASSERT_THAT(comparison, IsOk());
    EXPECT_EQ(std::strtod(comparison->value.text().c_str(), nullptr), extreme);
  }
}

TEST(FilterValuesTest, SaysWhatAColumnExpects) {
  EXPECT_EQ(Compared(TypeKind::kDouble, CompareOp::kEqual, Value::Text("x")), "column \"c\" expects double; got text");
  EXPECT_EQ(Compared(TypeKind::kFloat, CompareOp::kEqual, Value::Bool(true)), "column \"c\" expects float; got bool");
  EXPECT_EQ(Compared(TypeKind::kInt32, CompareOp::kEqual, Value::Text("1")), "column \"c\" expects int32; got text");
}

}  // namespace
}  // namespace quarry
