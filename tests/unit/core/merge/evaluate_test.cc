#include <optional>
#include <utility>
#include <vector>

#include "core/merge/aggregate.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

Predicate On(Predicate::Kind kind, size_t position, std::vector<Value> values = {}, CompareOp op = CompareOp::kEqual) {
  Predicate predicate;
  predicate.kind = kind;
  predicate.column.position = position;
  predicate.values = std::move(values);
  predicate.op = op;
  return predicate;
}

Predicate Of(Predicate::Kind kind, std::vector<Predicate> children = {}) {
  Predicate predicate;
  predicate.kind = kind;
  predicate.children = std::move(children);
  return predicate;
}

using Kind = Predicate::Kind;
const Row kRow = {Value::Int64(5), Value::Null(), Value::Text("Straße"), Value::Decimal("5.0"), Value::Int64(7)};

std::optional<bool> Of5(CompareOp op, int64_t value) { return Evaluate(On(Kind::kCompare, 0, {Value::Int64(value)}, op), kRow); }

TEST(EvaluateTest, Compares) {
  EXPECT_EQ(Of5(CompareOp::kEqual, 5), true);
  EXPECT_EQ(Of5(CompareOp::kNotEqual, 5), false);
  EXPECT_EQ(Of5(CompareOp::kLess, 6), true);
  EXPECT_EQ(Of5(CompareOp::kLess, 5), false);
  EXPECT_EQ(Of5(CompareOp::kLessOrEqual, 5), true);
  EXPECT_EQ(Of5(CompareOp::kGreater, 5), false);
  EXPECT_EQ(Of5(CompareOp::kGreaterOrEqual, 5), true);
  EXPECT_EQ(Evaluate(On(Kind::kCompare, 3, {Value::Decimal("5")}), kRow), true);
  Predicate columns = On(Kind::kCompare, 0, {}, CompareOp::kLess);
  columns.other.emplace().position = 4;
  EXPECT_EQ(Evaluate(columns, kRow), true);
  columns.other->position = 1;
  EXPECT_EQ(Evaluate(columns, kRow), std::nullopt);
}

TEST(EvaluateTest, NullIsUnknownButForIsNull) {
  const Predicate unknown = On(Kind::kCompare, 1, {Value::Int64(5)});
  EXPECT_EQ(Evaluate(unknown, kRow), std::nullopt);
  EXPECT_EQ(Evaluate(Of(Kind::kNot, {unknown}), kRow), std::nullopt);
  EXPECT_EQ(Evaluate(On(Kind::kIn, 1, {Value::Int64(5)}), kRow), std::nullopt);
  EXPECT_EQ(Evaluate(On(Kind::kLike, 1, {Value::Text("%")}), kRow), std::nullopt);
  EXPECT_EQ(Evaluate(On(Kind::kIsNull, 1), kRow), true);
  EXPECT_EQ(Evaluate(On(Kind::kIsNull, 0), kRow), false);
}

TEST(EvaluateTest, JoinsByThreeValues) {
  const Predicate yes = Of(Kind::kTrue);
  const Predicate no = Of(Kind::kFalse);
  const Predicate unknown = On(Kind::kCompare, 1, {Value::Int64(5)});
  EXPECT_EQ(Evaluate(Of(Kind::kAnd), kRow), true);
  EXPECT_EQ(Evaluate(Of(Kind::kOr), kRow), false);
  EXPECT_EQ(Evaluate(Of(Kind::kAnd, {yes, unknown}), kRow), std::nullopt);
  EXPECT_EQ(Evaluate(Of(Kind::kAnd, {unknown, no}), kRow), false);
  EXPECT_EQ(Evaluate(Of(Kind::kOr, {unknown, yes}), kRow), true);
  EXPECT_EQ(Evaluate(Of(Kind::kOr, {no, unknown}), kRow), std::nullopt);
  EXPECT_EQ(Evaluate(Of(Kind::kNot, {no}), kRow), true);
}

TEST(EvaluateTest, FindsTextAndMembers) {
  EXPECT_EQ(Evaluate(On(Kind::kLike, 2, {Value::Text("Stra_e")}), kRow), true);
  EXPECT_EQ(Evaluate(On(Kind::kLike, 2, {Value::Text("stra%")}), kRow), false);
  EXPECT_EQ(Evaluate(On(Kind::kPrefix, 2, {Value::Text("Str")}), kRow), true);
  EXPECT_EQ(Evaluate(On(Kind::kPrefix, 2, {Value::Text("Straßen")}), kRow), false);
  EXPECT_EQ(Evaluate(On(Kind::kIn, 0, {Value::Int64(4), Value::Int64(5)}), kRow), true);
  EXPECT_EQ(Evaluate(On(Kind::kIn, 0, {Value::Int64(4)}), kRow), false);
}

TEST(EvaluateTest, KnowsNothingOfRowsElsewhere) {
  const Predicate has = Of(Kind::kHas);
  EXPECT_EQ(Evaluate(has, kRow), std::nullopt);
  EXPECT_EQ(Evaluate(has, Row()), std::nullopt);
  EXPECT_EQ(Evaluate(Of(Kind::kNot, {has}), kRow), std::nullopt);
}

}  // namespace
}  // namespace quarry
