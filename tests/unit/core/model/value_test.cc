#include "core/model/value.h"

#include <limits>
#include <string>

#include "core/model/statement.h"
#include "core/model/type.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(ValueTest, EqualityIsOfKindAndBits) {
  EXPECT_EQ(Value::Null(), Value());
  EXPECT_NE(Value::Int64(1), Value::Timestamp(1));
  EXPECT_NE(Value::Int64(1), Value::Double(1));
  EXPECT_NE(Value::Text("a"), Value::Bytes("a"));
  EXPECT_NE(Value::Decimal("1"), Value::Decimal("1.0"));
  EXPECT_EQ(Value::Double(std::numeric_limits<double>::quiet_NaN()),
            Value::Double(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_EQ(Value::Double(0.0), Value::Double(-0.0));
}

TEST(ValueTest, ArraysAndNativesCompareByContent) {
  EXPECT_EQ(Value::Array({Value::Int64(1), Value::Null()}), Value::Array({Value::Int64(1), Value::Null()}));
  EXPECT_NE(Value::Array({Value::Int64(1)}), Value::Array({Value::Int64(1), Value::Null()}));
  EXPECT_EQ(Value::Native("inet", "::1"), Value::Native("inet", "::1"));
  EXPECT_NE(Value::Native("inet", "::1"), Value::Native("cidr", "::1"));
}

TEST(ValueTest, CopiesShareAndStayEqual) {
  const Value array = Value::Array({Value::Text("x")});
  const Value copy = array;  // NOLINT(performance-unnecessary-copy-initialization)
  EXPECT_EQ(&array.elements(), &copy.elements());
}

TEST(ValueTest, DebugStringQuotesAndCuts) {
  EXPECT_EQ(DebugString(Value::Text("a\n")), R"('a\n')");
  EXPECT_EQ(DebugString(Value::Array({Value::Int64(1), Value::Null()})), "[1, NULL]");
  const std::string shown = DebugString(Value::Text(std::string(1000, 'x')));
  EXPECT_LT(shown.size(), 80u);
}

TEST(ValueTest, ByteSizeGrowsWithTheContent) {
  EXPECT_GE(ByteSize(Value::Text(std::string(1000, 'x'))), 1000u);
  EXPECT_GE(ByteSize(Value::Array({Value::Text("abc"), Value::Text("abc")})), 6u);
  EXPECT_GT(ByteSize(Value::Null()), 0u);
}

TEST(ColumnTypeTest, NativeNamesCountOnlyForNatives) {
  ColumnType bigint;
  bigint.kind = TypeKind::kInt64;
  bigint.native_name = "bigint";
  ColumnType int8 = bigint;
  int8.native_name = "int8";
  EXPECT_EQ(bigint, int8);
  bigint.kind = int8.kind = TypeKind::kNative;
  EXPECT_FALSE(bigint == int8);
  int8 = bigint;
  int8.array = true;
  EXPECT_FALSE(bigint == int8);
  EXPECT_EQ(TypeName(int8), "bigint[]");
}

TEST(TaskTest, WritesWhenAnyStatementWrites) {
  Task task;
  EXPECT_FALSE(task.writes());
  task.steps.resize(2);
  task.steps[0].statements.resize(1);
  task.steps[1].statements.resize(2);
  EXPECT_FALSE(task.writes());
  task.steps[1].statements[1].writes = true;
  EXPECT_TRUE(task.writes());
}

}  // namespace
}  // namespace quarry
