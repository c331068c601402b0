#include "core/merge/aggregate.h"

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/merge/double_sum.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

ColumnType Type(TypeKind kind) { return ColumnType{kind, false, ""}; }

// Columns get their positions and names in the order in which they are added.
class SpecBuilder {
 public:
  explicit SpecBuilder(size_t group_columns) : position_(group_columns) {
    spec_.group_columns = group_columns;
    for (size_t i = 0; i < group_columns; ++i) {
      header_.push_back({absl::StrCat("g", i), Type(TypeKind::kText)});
      spec_.order.push_back({i, false, false});
    }
  }
  SpecBuilder& Add(AggregateFunction function, TypeKind input, TypeKind result, bool by_value = false) {
    AggregateColumn column;
    column.function = function;
    column.position = position_;
    column.input = Type(input);
    column.result = Type(result);
    column.distinct_by_value = by_value;
    if (!by_value) position_ += function == AggregateFunction::kAvg ? 2 : 1;
    header_.push_back({absl::StrCat("a", spec_.columns.size()), column.result});
    spec_.columns.push_back(column);
    return *this;
  }
  AggregateSpec Build() {
    spec_.header = std::make_shared<const std::vector<ColumnHeader>>(header_);
    return spec_;
  }

 private:
  AggregateSpec spec_;
  std::vector<ColumnHeader> header_;
  size_t position_;
};

absl::StatusOr<std::vector<Row>> MergeAll(AggregateSpec spec, std::vector<std::vector<Row>> parts) {
  AggregateMerge merge(std::move(spec));
  for (std::vector<Row>& part : parts) {
    if (const absl::Status status = merge.Add(std::move(part)); !status.ok()) return status;
  }
  return std::move(merge).Finish();
}

AggregateSpec CountsByGroup() {
  return SpecBuilder(1).Add(AggregateFunction::kCount, TypeKind::kUnknown, TypeKind::kInt64).Build();
}

TEST(AggregateMergeTest, AddsUpWhatShardsCounted) {
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows,
                       MergeAll(CountsByGroup(), {{{Value::Text("b"), Value::Int64(2)}, {Value::Null(), Value::Int64(1)}},
                                                  {{Value::Text("a"), Value::Int64(4)}, {Value::Text("b"), Value::Int64(3)}},
                                                  {{Value::Null(), Value::Int64(1)}}}));
  EXPECT_THAT(rows, ElementsAre(Row{Value::Text("a"), Value::Int64(4)}, Row{Value::Text("b"), Value::Int64(5)},
                                Row{Value::Null(), Value::Int64(2)}));
}

TEST(AggregateMergeTest, NothingGivesOneRowWithoutGroupsAndNoneWithThem) {
  const AggregateSpec one = SpecBuilder(0)
                                .Add(AggregateFunction::kCount, TypeKind::kUnknown, TypeKind::kInt64)
                                .Add(AggregateFunction::kSum, TypeKind::kInt32, TypeKind::kInt64)
                                .Add(AggregateFunction::kAvg, TypeKind::kDecimal, TypeKind::kDecimal)
                                .Add(AggregateFunction::kMin, TypeKind::kText, TypeKind::kText)
                                .Add(AggregateFunction::kCountDistinct, TypeKind::kText, TypeKind::kInt64, true)
                                .Build();
  const Row empty = {Value::Int64(0), Value::Null(), Value::Null(), Value::Null(), Value::Int64(0)};
  ASSERT_OK_AND_ASSIGN(std::vector<Row> rows, MergeAll(one, {}));
  EXPECT_THAT(rows, ElementsAre(empty));
  ASSERT_OK_AND_ASSIGN(rows, MergeAll(one, {{{Value::Int64(0), Value::Null(), Value::Null(), Value::Int64(0), Value::Null()}}}));
  EXPECT_THAT(rows, ElementsAre(empty));
  ASSERT_OK_AND_ASSIGN(rows, MergeAll(CountsByGroup(), {}));
  EXPECT_THAT(rows, IsEmpty());
}

TEST(AggregateMergeTest, HavingMayDropTheOneRow) {
  AggregateSpec spec = SpecBuilder(0).Add(AggregateFunction::kCount, TypeKind::kUnknown, TypeKind::kInt64).Build();
  spec.having.emplace().kind = Predicate::Kind::kCompare;
  spec.having->op = CompareOp::kGreater;
  spec.having->values = {Value::Int64(2)};
  ASSERT_OK_AND_ASSIGN(std::vector<Row> rows, MergeAll(spec, {{{Value::Int64(1)}}, {{Value::Int64(1)}}}));
  EXPECT_THAT(rows, IsEmpty());
  ASSERT_OK_AND_ASSIGN(rows, MergeAll(spec, {{{Value::Int64(1)}}, {{Value::Int64(2)}}}));
  EXPECT_THAT(rows, ElementsAre(Row{Value::Int64(3)}));
}

TEST(AggregateMergeTest, GroupsWhatPostgresGroups) {
  for (const auto& [a, b, shown] :
       {std::tuple(Value::Decimal("1.50"), Value::Decimal("1.5"), Value::Decimal("1.5")),
        std::tuple(Value::Double(-0.0), Value::Double(0.0), Value::Double(0.0)),
        std::tuple(Value::Double(std::nan("")), Value::Double(-std::nan("1")), Value::Double(std::nan(""))),
        std::tuple(Value::Null(), Value::Null(), Value::Null())}) {
    for (const bool turned : {false, true}) {
      std::vector<Row> first = {{turned ? b : a, Value::Int64(1)}};
      std::vector<Row> second = {{turned ? a : b, Value::Int64(2)}};
      ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, MergeAll(CountsByGroup(), {std::move(first), std::move(second)}));
      ASSERT_EQ(rows.size(), 1u);
      EXPECT_EQ(rows[0][0], shown);
      EXPECT_EQ(rows[0][1], Value::Int64(3));
      if (shown.kind() == ValueKind::kDouble) {
        EXPECT_FALSE(std::signbit(rows[0][0].double_value()) && shown.double_value() == 0);
      }
    }
  }
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, MergeAll(CountsByGroup(), {{{Value::Text(""), Value::Int64(1)},
                                                                               {Value::Null(), Value::Int64(1)},
                                                                               {Value::Text("a"), Value::Int64(1)},
                                                                               {Value::Text("A"), Value::Int64(1)}}}));
  EXPECT_EQ(rows.size(), 4u);
}

TEST(AggregateMergeTest, GroupColumnsDoNotRunIntoEachOther) {
  const AggregateSpec spec = SpecBuilder(2).Add(AggregateFunction::kCount, TypeKind::kUnknown, TypeKind::kInt64).Build();
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, MergeAll(spec, {{{Value::Text("ab"), Value::Text("c"), Value::Int64(1)},
                                                                    {Value::Text("a"), Value::Text("bc"), Value::Int64(1)}}}));
  EXPECT_EQ(rows.size(), 2u);
}

TEST(AggregateMergeTest, SumsAndAveragesAreThoseOfPostgres) {
  const AggregateSpec spec = SpecBuilder(0)
                                 .Add(AggregateFunction::kSum, TypeKind::kInt64, TypeKind::kDecimal)
                                 .Add(AggregateFunction::kSum, TypeKind::kDecimal, TypeKind::kDecimal)
                                 .Add(AggregateFunction::kAvg, TypeKind::kInt32, TypeKind::kDecimal)
                                 .Add(AggregateFunction::kSum, TypeKind::kFloat, TypeKind::kFloat)
                                 .Add(AggregateFunction::kAvg, TypeKind::kDouble, TypeKind::kDouble)
                                 .Build();
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows,
                       MergeAll(spec, {{{Value::Decimal("9223372036854775807"), Value::Decimal("0.1"), Value::Decimal("1"),
                                         Value::Int64(1), Value::Double(0.1), Value::Double(1), Value::Int64(2)}},
                                       {{Value::Int64(1), Value::Decimal("0.200"), Value::Decimal("1"), Value::Int64(2),
                                         Value::Double(0.2), Value::Double(2), Value::Int64(2)}},
                                       {{Value::Null(), Value::Null(), Value::Null(), Value::Int64(0), Value::Null(), Value::Null(),
                                         Value::Int64(0)}}}));
  EXPECT_THAT(rows, ElementsAre(Row{Value::Decimal("9223372036854775808"), Value::Decimal("0.300"),
                                    Value::Decimal("0.66666666666666666667"),
                                    Value::Double(static_cast<double>(static_cast<float>(0.1 + 0.2))), Value::Double(0.75)}));
}

TEST(AggregateMergeTest, ASumThatDoesNotFitIsRefusedByName) {
  const AggregateSpec whole = SpecBuilder(0).Add(AggregateFunction::kSum, TypeKind::kInt32, TypeKind::kInt64).Build();
  ASSERT_OK_AND_ASSIGN(
      const std::vector<Row> greatest,
      MergeAll(whole, {{{Value::Int64(1)}}, {{Value::Decimal("9223372036854775806")}}}));
  EXPECT_THAT(greatest, ElementsAre(Row{Value::Int64(std::numeric_limits<int64_t>::max())}));
  const absl::Status status = MergeAll(whole, {{{Value::Decimal("9223372036854775807")}}, {{Value::Decimal("1")}}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReasonOf(status), reason::kValueOutOfRange);
  EXPECT_THAT(std::string(status.message()), HasSubstr("a0"));
  const AggregateSpec doubles = SpecBuilder(0).Add(AggregateFunction::kSum, TypeKind::kDouble, TypeKind::kDouble).Build();
  EXPECT_EQ(MergeAll(doubles, {{{Value::Double(1.7e308)}}, {{Value::Double(1.7e308)}}}).status().code(), absl::StatusCode::kOutOfRange);
  const AggregateSpec floats = SpecBuilder(0).Add(AggregateFunction::kSum, TypeKind::kFloat, TypeKind::kFloat).Build();
  EXPECT_EQ(MergeAll(floats, {{{Value::Double(3e38)}}, {{Value::Double(3e38)}}}).status().code(), absl::StatusCode::kOutOfRange);
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, MergeAll(floats, {{{Value::Double(kInfinity)}}, {{Value::Double(1)}}}));
  EXPECT_THAT(rows, ElementsAre(Row{Value::Double(kInfinity)}));
}

TEST(AggregateMergeTest, KeepsTheLeastAndTheGreatest) {
  const AggregateSpec spec = SpecBuilder(0)
                                 .Add(AggregateFunction::kMin, TypeKind::kDecimal, TypeKind::kDecimal)
                                 .Add(AggregateFunction::kMax, TypeKind::kDouble, TypeKind::kDouble)
                                 .Add(AggregateFunction::kMax, TypeKind::kText, TypeKind::kText)
                                 .Build();
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows,
                       MergeAll(spec, {{{Value::Decimal("10"), Value::Double(kInfinity), Value::Text("B")}},
                                       {{Value::Decimal("9.50"), Value::Double(std::nan("")), Value::Text("a")}},
                                       {{Value::Decimal("9.5"), Value::Null(), Value::Null()}}}));
  EXPECT_THAT(rows, ElementsAre(Row{Value::Decimal("9.5"), Value::Double(std::nan("")), Value::Text("a")}));
}

TEST(AggregateMergeTest, CountsValuesThatShardsShareOnce) {
  AggregateSpec spec = SpecBuilder(1)
                           .Add(AggregateFunction::kCount, TypeKind::kUnknown, TypeKind::kInt64)
                           .Add(AggregateFunction::kCountDistinct, TypeKind::kDecimal, TypeKind::kInt64, true)
                           .Add(AggregateFunction::kCountDistinct, TypeKind::kInt64, TypeKind::kInt64)
                           .Build();
  AggregateMerge merge(spec);
  // Values may come before their group; a group that only they know came between two statements.
  ASSERT_THAT(merge.AddDistinct(1, {{Value::Text("a"), Value::Decimal("1.0")}, {Value::Text("late"), Value::Decimal("1")}}), IsOk());
  ASSERT_THAT(merge.Add({{Value::Text("a"), Value::Int64(2), Value::Int64(2)}, {Value::Text("b"), Value::Int64(1), Value::Int64(1)}}),
              IsOk());
  ASSERT_THAT(merge.AddDistinct(1, {{Value::Text("a"), Value::Decimal("1.00")}, {Value::Text("a"), Value::Decimal("2")},
                                    {Value::Text("b"), Value::Decimal("1")}, {Value::Text("b"), Value::Null()}}),
              IsOk());
  ASSERT_THAT(merge.Add({{Value::Text("a"), Value::Int64(3), Value::Int64(3)}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, std::move(merge).Finish());
  EXPECT_THAT(rows, ElementsAre(Row{Value::Text("a"), Value::Int64(5), Value::Int64(2), Value::Int64(5)},
                                Row{Value::Text("b"), Value::Int64(1), Value::Int64(1), Value::Int64(1)}));
}

TEST(AggregateMergeTest, TooManyGroupsOrValuesAreRefused) {
  AggregateSpec spec = SpecBuilder(1).Add(AggregateFunction::kCountDistinct, TypeKind::kInt64, TypeKind::kInt64, true).Build();
  spec.groups_max = 2;
  spec.distinct_max = 2;
  AggregateMerge groups(spec);
  EXPECT_THAT(groups.Add({{Value::Int64(1)}, {Value::Int64(2)}, {Value::Int64(1)}}), IsOk());
  EXPECT_EQ(ReasonOf(groups.Add({{Value::Int64(3)}})), reason::kLimitExceeded);
  AggregateMerge values(spec);
  EXPECT_THAT(values.AddDistinct(0, {{Value::Int64(1), Value::Int64(1)}, {Value::Int64(1), Value::Int64(2)}}), IsOk());
  EXPECT_EQ(ReasonOf(values.AddDistinct(0, {{Value::Int64(1), Value::Int64(3)}})), reason::kLimitExceeded);
}

TEST(AggregateMergeTest, RowsOfAnotherShapeAreRefused) {
  EXPECT_EQ(MergeAll(CountsByGroup(), {{{Value::Text("a")}}}).status().code(), absl::StatusCode::kInternal);
  EXPECT_EQ(MergeAll(CountsByGroup(), {{{Value::Text("a"), Value::Text("1")}}}).status().code(), absl::StatusCode::kInternal);
}

TEST(DoubleSumTest, RoundsOnce) {
  DoubleSum sum;
  for (const double term : {1e100, 1.0, -1e100, 1e-20}) sum.Add(term);
  EXPECT_EQ(sum.Total(), 1.0);
  DoubleSum tenths;
  for (int i = 0; i < 10; ++i) tenths.Add(0.1);
  EXPECT_EQ(tenths.Total(), 1.0);
  DoubleSum infinities;
  infinities.Add(kInfinity);
  infinities.Add(-kInfinity);
  EXPECT_TRUE(std::isnan(infinities.Total()));
  EXPECT_FALSE(infinities.overflowed());
}

// ---- Rows split over parts in any way give what one part gives ----

Value SomeDecimal(std::mt19937_64& random) {
  if (random() % 50 == 0) return Value::Decimal(random() % 2 == 0 ? "NaN" : "Infinity");
  static const char* const kForms[] = {"1", "1.0", "1.00", "-2.5", "-2.50", "0", "0.000", "12345678901234567890.5", "3.25", "7"};
  return Value::Decimal(kForms[random() % std::size(kForms)]);
}

Value SomeDouble(std::mt19937_64& random) {
  switch (random() % 30) {
    case 0:
      return Value::Double(std::nan(""));
    case 1:
      return Value::Double(-0.0);
    case 2:
      return Value::Double(0.0);
    default:
      return Value::Double(std::ldexp(static_cast<double>(static_cast<int64_t>(random())), static_cast<int>(random() % 80) - 100));
  }
}

Value OrNull(std::mt19937_64& random, Value value) { return random() % 6 == 0 ? Value::Null() : value; }

struct Source {
  Row partial;   // As a shard that holds this row alone would give it.
  Row distinct;  // Group columns and value.
};

Source SomeRow(std::mt19937_64& random) {
  Source source;
  Row group = {OrNull(random, SomeDecimal(random)), OrNull(random, Value::Text(random() % 2 == 0 ? "x" : "y"))};
  if (random() % 4 == 0) group[0] = Value::Decimal("1.0");
  const Value number = OrNull(random, Value::Int64(static_cast<int64_t>(random()) >> (random() % 40 + 8)));
  const Value decimal = OrNull(random, SomeDecimal(random));
  const Value real = OrNull(random, SomeDouble(random));
  const auto count = [](const Value& value) { return Value::Int64(value.is_null() ? 0 : 1); };
  source.distinct = {group[0], group[1], decimal};
  source.partial = {group[0], group[1], Value::Int64(1), count(number), number, decimal, decimal, count(decimal),
                    number, count(number), real, real, count(real), decimal, real, OrNull(random, Value::Text(absl::StrCat(random() % 9)))};
  return source;
}

AggregateSpec WideSpec() {
  return SpecBuilder(2)
      .Add(AggregateFunction::kCount, TypeKind::kUnknown, TypeKind::kInt64)
      .Add(AggregateFunction::kCount, TypeKind::kInt64, TypeKind::kInt64)
      .Add(AggregateFunction::kSum, TypeKind::kInt64, TypeKind::kDecimal)
      .Add(AggregateFunction::kSum, TypeKind::kDecimal, TypeKind::kDecimal)
      .Add(AggregateFunction::kAvg, TypeKind::kDecimal, TypeKind::kDecimal)
      .Add(AggregateFunction::kAvg, TypeKind::kInt64, TypeKind::kDecimal)
      .Add(AggregateFunction::kSum, TypeKind::kDouble, TypeKind::kDouble)
      .Add(AggregateFunction::kAvg, TypeKind::kDouble, TypeKind::kDouble)
      .Add(AggregateFunction::kMax, TypeKind::kDecimal, TypeKind::kDecimal)
      .Add(AggregateFunction::kMin, TypeKind::kDouble, TypeKind::kDouble)
      .Add(AggregateFunction::kMax, TypeKind::kText, TypeKind::kText)
      .Add(AggregateFunction::kCountDistinct, TypeKind::kDecimal, TypeKind::kInt64, true)
      .Build();
}

std::vector<Row> MergeSplit(const AggregateSpec& spec, const std::vector<Source>& rows, size_t parts, std::mt19937_64& random) {
  std::vector<std::vector<Row>> partial(parts);
  std::vector<std::vector<Row>> distinct(parts);
  for (const Source& row : rows) {
    const size_t part = random() % parts;
    partial[part].push_back(row.partial);
    distinct[part].push_back(row.distinct);
  }
  AggregateMerge merge(spec);
  for (size_t part = 0; part < parts; ++part) {
    const bool values_first = random() % 2 == 0;
    if (values_first) {
      EXPECT_THAT(merge.AddDistinct(11, distinct[part]), IsOk());
    }
    EXPECT_THAT(merge.Add(std::move(partial[part])), IsOk());
    if (!values_first) {
      EXPECT_THAT(merge.AddDistinct(11, distinct[part]), IsOk());
    }
  }
  absl::StatusOr<std::vector<Row>> merged = std::move(merge).Finish();
  EXPECT_THAT(merged, IsOk());
  return merged.ok() ? *std::move(merged) : std::vector<Row>();
}

TEST(AggregateMergeTest, AnySplitGivesWhatOnePartGives) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 60; ++round) {
    std::vector<Source> rows;
    for (size_t i = random() % 200; i > 0; --i) rows.push_back(SomeRow(random));
    AggregateSpec spec = WideSpec();
    const std::vector<Row> all = MergeSplit(spec, rows, 1, random);
    if (random() % 2 == 0) spec.order.insert(spec.order.begin(), {2 + random() % 12, random() % 2 == 0, random() % 2 == 0});
    const std::vector<Row> whole = MergeSplit(spec, rows, 1, random);
    EXPECT_EQ(whole.size(), all.size());
    for (size_t parts = 1; parts <= 8; ++parts) {
      ASSERT_EQ(MergeSplit(spec, rows, parts, random), whole) << "round " << round << ", parts " << parts;
    }
    spec.offset = static_cast<int64_t>(random() % 5);
    spec.limit = static_cast<int64_t>(1 + random() % 5);
    std::vector<Row> some(whole.begin() + std::min<std::ptrdiff_t>(spec.offset, static_cast<std::ptrdiff_t>(whole.size())), whole.end());
    if (some.size() > static_cast<size_t>(spec.limit)) some.resize(static_cast<size_t>(spec.limit));
    ASSERT_EQ(MergeSplit(spec, rows, 1 + random() % 8, random), some) << "round " << round;
  }
}

}  // namespace
}  // namespace quarry
