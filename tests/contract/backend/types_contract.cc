// Every kind of Value survives the way into a database and back, bit for bit.
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "tests/contract/backend/rows_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

struct TypeCase {
  std::string declared;  // PostgreSQL's name.
  ColumnType type;
  std::vector<Value> values;
};

ColumnType Of(TypeKind kind, bool array = false) {
  ColumnType type;
  type.kind = kind;
  type.array = array;
  return type;
}

void AppendUtf8(uint32_t code, std::string& text) {
  if (code < 0x80) {
    text.push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    text.push_back(static_cast<char>(0xC0 | (code >> 6)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else if (code < 0x10000) {
    text.push_back(static_cast<char>(0xE0 | (code >> 12)));
    text.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  } else {
    text.push_back(static_cast<char>(0xF0 | (code >> 18)));
    text.push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3F)));
    text.push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3F)));
    text.push_back(static_cast<char>(0x80 | (code & 0x3F)));
  }
}

// Every scalar value of Unicode but NUL, which no text may hold; 100,000 or fewer in each text.
std::vector<Value> AllOfUnicode() {
  std::vector<Value> texts;
  std::string text;
  for (uint32_t code = 1; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    AppendUtf8(code, text);
    if (code % 100'000 == 0 || code == 0x10FFFF) texts.push_back(Value::Text(std::exchange(text, "")));
  }
  return texts;
}

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

std::vector<Value> Timestamps() {
  constexpr int64_t kYear9999 = 253402300799999999;  // 9999-12-31 23:59:59.999999
  constexpr int64_t kYear1 = -62135596800000000;     // 0001-01-01 00:00:00
  return {Value::Timestamp(0),
          Value::Timestamp(-1),
          Value::Timestamp(1),
          Value::Timestamp(kYear9999),
          Value::Timestamp(kYear1),
          Value::Timestamp(1769854272123456),
          Value::Timestamp(951782400000000)};  // 2000-02-29
}

const std::string& Digits100() {
  static const std::string digits =
      "1234567890123456789012345678901234567890123456789012345678901234567890"
      "123456789012345678901234567.890";
  return digits;
}

std::vector<TypeCase> NumberCases() {
  using D = std::numeric_limits<double>;
  using F = std::numeric_limits<float>;
  using I64 = std::numeric_limits<int64_t>;
  return {
      {"BOOLEAN", Of(TypeKind::kBool), {Value::Bool(true), Value::Bool(false)}},
      {"SMALLINT", Of(TypeKind::kInt16), {Value::Int64(-32768), Value::Int64(0), Value::Int64(32767)}},
      {"INT4", Of(TypeKind::kInt32), {Value::Int64(-2147483648LL), Value::Int64(2147483647LL)}},
      {"BIGINT",
       Of(TypeKind::kInt64),
       {Value::Int64(I64::min()), Value::Int64(-1), Value::Int64(0), Value::Int64((1LL << 53) + 1),
        Value::Int64(I64::max())}},
      {"FLOAT4",
       Of(TypeKind::kFloat),
       {Value::Double(0.5), Value::Double(-3.25), Value::Double(-0.0), Value::Double(0.1F), Value::Double(F::max()),
        Value::Double(F::min()), Value::Double(F::denorm_min()), Value::Double(D::infinity()),
        Value::Double(-D::infinity()), Value::Double(D::quiet_NaN())}},
      {"DOUBLE PRECISION",
       Of(TypeKind::kDouble),
       {Value::Double(0.1), Value::Double(D::max()), Value::Double(D::min()), Value::Double(D::denorm_min()),
        Value::Double(D::infinity()), Value::Double(-D::infinity()), Value::Double(D::quiet_NaN()),
        Value::Double(3), Value::Double(9007199254740993.0), Value::Double(-0.0)}},
      {"NUMERIC",
       Of(TypeKind::kDecimal),
       {Value::Decimal("0"), Value::Decimal("-12.340"), Value::Decimal("1.00"), Value::Decimal("100000"),
        Value::Decimal(Digits100()), Value::Decimal("-" + Digits100()),
        Value::Decimal("0." + std::string(99, '0') + "1"), Value::Decimal("NaN"), Value::Decimal("Infinity"),
        Value::Decimal("-Infinity")}},
  };
}

std::vector<TypeCase> TextCases() {
  return {
      {"TEXT",
       Of(TypeKind::kText),
       {Value::Text(""), Value::Text("NULL"), Value::Text("007"), Value::Text("1e5"),
        Value::Text("'; DROP TABLE v; --"), Value::Text(std::string(100'000, 'x'))}},
      {"VARCHAR(20)", Of(TypeKind::kText), {Value::Text("12.50"), Value::Text("  both  ")}},
      {"BYTEA",
       Of(TypeKind::kBytes),
       {Value::Bytes(""), Value::Bytes(std::string(1, '\0')), Value::Bytes(AllBytes()),
        Value::Bytes("plain")}},
      {"TIMESTAMP", Of(TypeKind::kTimestamp), Timestamps()},
      {"TIMESTAMPTZ", Of(TypeKind::kTimestampTz), Timestamps()},
      {"DATE",
       Of(TypeKind::kDate),
       {Value::Date("2026-01-31"), Value::Date("0001-01-01"), Value::Date("9999-12-31"),
        Value::Date("2000-02-29")}},
      {"TIME",
       Of(TypeKind::kTime),
       {Value::Time("00:00:00"), Value::Time("23:59:59.999999"), Value::Time("12:30:00")}},
      {"INTERVAL",
       Of(TypeKind::kInterval),
       {Value::Interval("P1Y2M3DT4H5M6.7S"), Value::Interval("PT0S"), Value::Interval("P-1D")}},
      {"UUID",
       Of(TypeKind::kUuid),
       {Value::Uuid("00000000-0000-0000-0000-000000000000"),
        Value::Uuid("123e4567-e89b-12d3-a456-426614174000"),
        Value::Uuid("ffffffff-ffff-ffff-ffff-ffffffffffff")}},
      {"JSON",
       Of(TypeKind::kJson),
       {Value::Json("{\"a\": [1, 2.50, null], \"b\":  \"ü\"}"), Value::Json("17"), Value::Json("\"17\""),
        Value::Json("null"), Value::Json("123456789012345678901234567890")}},
  };
}

std::vector<TypeCase> ArrayCases() {
  using D = std::numeric_limits<double>;
  using I64 = std::numeric_limits<int64_t>;
  const Value numbers = Value::Array({Value::Int64(I64::min()), Value::Null(), Value::Int64(I64::max())});
  const Value texts = Value::Array(
      {Value::Text(""), Value::Text("NULL"), Value::Null(), Value::Text("a,\"b\"\\{c}"), Value::Text("ü")});
  const Value small = Value::Array({Value::Int64(-32768), Value::Null(), Value::Int64(32767)});
  const Value middle = Value::Array({Value::Int64(-2147483648LL), Value::Null(), Value::Int64(2147483647LL)});
  const Value floats = Value::Array({Value::Double(0.5), Value::Null(), Value::Double(D::infinity()),
                                     Value::Double(-D::infinity()), Value::Double(D::quiet_NaN())});
  const Value doubles = Value::Array({Value::Double(0.1), Value::Double(D::infinity()), Value::Double(-D::infinity()),
                                      Value::Double(D::quiet_NaN()), Value::Double(2)});
  const Value times = Value::Array({Value::Time("00:00:00"), Value::Null(), Value::Time("23:59:59.999999")});
  const Value intervals = Value::Array({Value::Interval("P1Y2M3DT4H5M6.7S"), Value::Null(), Value::Interval("PT0S")});
  const Value documents = Value::Array({Value::Json("{\"a\": [1, 2.50, null], \"b\":  \"\\\"ü,{}\"}"), Value::Null(),
                                        Value::Json("null"), Value::Json("\"17\"")});
  const Value nested = Value::Array(
      {Value::Array({Value::Int64(1), Value::Int64(2)}), Value::Array({Value::Int64(3), Value::Int64(4)})});
  return {
      {"BIGINT[]",
       Of(TypeKind::kInt64, true),
       {Value::Array({}), numbers, nested, Value::Array({Value::Int64(5)})}},
      {"SMALLINT[]", Of(TypeKind::kInt16, true), {Value::Array({}), small}},
      {"INT4[]", Of(TypeKind::kInt32, true), {Value::Array({}), middle}},
      {"FLOAT4[]", Of(TypeKind::kFloat, true), {Value::Array({}), floats}},
      {"TEXT[]", Of(TypeKind::kText, true), {Value::Array({}), texts}},
      {"BOOLEAN[]", Of(TypeKind::kBool, true), {Value::Array({Value::Bool(true), Value::Bool(false)})}},
      {"DOUBLE PRECISION[]", Of(TypeKind::kDouble, true), {doubles}},
      {"NUMERIC[]",
       Of(TypeKind::kDecimal, true),
       {Value::Array({Value::Decimal(Digits100()), Value::Decimal("1.00")})}},
      {"BYTEA[]", Of(TypeKind::kBytes, true), {Value::Array({Value::Bytes(AllBytes()), Value::Bytes("")})}},
      {"UUID[]",
       Of(TypeKind::kUuid, true),
       {Value::Array({Value::Uuid("123e4567-e89b-12d3-a456-426614174000")})}},
      {"DATE[]", Of(TypeKind::kDate, true), {Value::Array({Value::Date("2026-01-31"), Value::Null()})}},
      {"TIMESTAMPTZ[]", Of(TypeKind::kTimestampTz, true), {Value::Array(Timestamps())}},
      {"TIMESTAMP[]", Of(TypeKind::kTimestamp, true), {Value::Array(Timestamps())}},
      {"TIME[]", Of(TypeKind::kTime, true), {Value::Array({}), times}},
      {"INTERVAL[]", Of(TypeKind::kInterval, true), {Value::Array({}), intervals}},
      {"JSON[]", Of(TypeKind::kJson, true), {Value::Array({}), documents}},
  };
}

void ExpectValues(BackendRowsContract& test, const Statement& read, const std::vector<Value>& values,
                  const std::string& how) {
  ASSERT_OK_AND_ASSIGN(const TaskResult result, test.Execute(BackendRowsContract::TaskOf({read})));
  const RowBatch& batch = result.steps.at(0).statements.at(0).batch;
  ASSERT_EQ(batch.rows.size(), values.size()) << how;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(batch.rows[i].at(1), values[i])
        << how << ": " << DebugString(batch.rows[i].at(1)) << " instead of " << DebugString(values[i]);
  }
}

// In table number `number`: another one for each type, for prepared statements remember theirs.
void RoundTrip(BackendRowsContract& test, const TypeCase& c, size_t number = 0) {
  SCOPED_TRACE(c.declared);
  const std::string table = "v" + std::to_string(number);
  test.CreateTables("CREATE TABLE " + table + "(id BIGINT PRIMARY KEY, v " + c.declared + ")");
  std::vector<Value> values = c.values;
  values.push_back(Value::Null());
  const auto types = std::make_shared<std::vector<ColumnType>>();
  types->push_back(Of(TypeKind::kInt64));
  types->push_back(c.type);
  for (size_t i = 0; i < values.size(); ++i) {
    Statement insert = test.Write("INSERT INTO " + table + "(id, v) VALUES ($1, $2)",
                                  {Value::Int64(static_cast<int64_t>(i)), values[i]});
    insert.param_types = types;
    ASSERT_THAT(test.Execute(BackendRowsContract::TaskOf({insert})), IsOk()) << DebugString(values[i]);
  }
  Statement read = test.Read("SELECT id, v FROM " + table + " ORDER BY id");
  ExpectValues(test, read, values, "asking the database for the types");
  read.result_types = types;
  ExpectValues(test, read, values, "with known types");
}

void RoundTripAll(BackendRowsContract& test, const std::vector<TypeCase>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) RoundTrip(test, cases[i], i);
}

TEST_P(BackendRowsContract, NumbersSurviveTheRoundTrip) { RoundTripAll(*this, NumberCases()); }

TEST_P(BackendRowsContract, TextsAndTimesSurviveTheRoundTrip) { RoundTripAll(*this, TextCases()); }

TEST_P(BackendRowsContract, TextInAllOfUnicodeSurvivesTheRoundTrip) {
  RoundTrip(*this, {"TEXT", Of(TypeKind::kText), AllOfUnicode()});
}

TEST_P(BackendRowsContract, ArraysSurviveTheRoundTrip) { RoundTripAll(*this, ArrayCases()); }

TEST_P(BackendRowsContract, TimestampsThatTheWireCannotCarryAreNatives) {
  TypeCase c;
  c.declared = "TIMESTAMPTZ";
  c.type = Of(TypeKind::kTimestampTz);
  c.values = {Value::Native("timestamptz", "infinity"), Value::Native("timestamptz", "-infinity")};
  RoundTrip(*this, c);
}

TEST_P(BackendRowsContract, DatesThatTheWireCannotCarryAreNatives) {
  TypeCase c;
  c.declared = "DATE";
  c.type = Of(TypeKind::kDate);
  for (const char* text : {"infinity", "-infinity", "10000-01-01", "5874897-12-31", "0044-03-15 BC"}) {
    c.values.push_back(Value::Native("date", text));
  }
  RoundTrip(*this, c);
  TypeCase array;
  array.declared = "DATE[]";
  array.type = Of(TypeKind::kDate, true);
  array.values = {Value::Array({Value::Date("9999-12-31"), Value::Native("date", "10000-01-01"), Value::Native("date", "infinity")})};
  RoundTrip(*this, array, 1);
}

TEST_P(BackendRowsContract, NativeTypesOfPostgresTravelAsText) {
  if (sqlite()) GTEST_SKIP() << "SQLite has no types of its own beyond the common ones";
  TypeCase c;
  c.declared = "inet";
  c.type = Of(TypeKind::kNative);
  c.type.native_name = "inet";
  c.values = {Value::Native("inet", "192.168.0.1"), Value::Native("inet", "::1/64")};
  RoundTrip(*this, c);
}

TEST_P(BackendRowsContract, AResultWithoutKnownTypesHasAHeader) {
  CreateTables(
      "CREATE TABLE h(id BIGINT PRIMARY KEY, name TEXT, at TIMESTAMPTZ, price NUMERIC, tags TEXT[])");
  ASSERT_OK_AND_ASSIGN(const TaskResult result, Execute(TaskOf({Read("SELECT * FROM h")})));
  const RowHeader& header = result.steps.at(0).statements.at(0).batch.header;
  ASSERT_NE(header, nullptr);
  ASSERT_EQ(header->size(), 5U);
  EXPECT_EQ(header->at(0).name, "id");
  EXPECT_EQ(header->at(0).type, Of(TypeKind::kInt64));
  EXPECT_EQ(header->at(1).type, Of(TypeKind::kText));
  EXPECT_EQ(header->at(2).type, Of(TypeKind::kTimestampTz));
  EXPECT_EQ(header->at(3).type, Of(TypeKind::kDecimal));
  EXPECT_EQ(header->at(4).type, Of(TypeKind::kText, true));
}

TEST_P(BackendRowsContract, IntrospectionTellsColumnsKeysAndConstraints) {
  CreateTables(
      "CREATE TABLE parent(id BIGINT PRIMARY KEY);"
      "CREATE TABLE child(a BIGINT NOT NULL, b TEXT NOT NULL, c NUMERIC DEFAULT '1.0', d BIGINT NOT NULL, "
      "e BIGINT GENERATED ALWAYS AS (d + 1) STORED, PRIMARY KEY (b, a), UNIQUE (c, d), "
      "FOREIGN KEY (d) REFERENCES parent(id))");
  ASSERT_OK_AND_ASSIGN(const ShardSchema schema, fixture().Introspect({"parent", "child", "absent"}));
  EXPECT_EQ(schema.shard, kContractShard);
  ASSERT_EQ(schema.tables.size(), 2U);
  const TableSchema& child = schema.tables.find("child")->second;
  ASSERT_EQ(child.columns.size(), 5U);
  EXPECT_EQ(child.columns[0].name, "a");
  EXPECT_FALSE(child.columns[0].nullable);
  EXPECT_FALSE(child.columns[0].has_default);
  EXPECT_EQ(child.columns[1].type, Of(TypeKind::kText));
  EXPECT_TRUE(child.columns[1].deterministic_text);
  EXPECT_EQ(child.columns[2].type, Of(TypeKind::kDecimal));
  EXPECT_TRUE(child.columns[2].nullable);
  EXPECT_TRUE(child.columns[2].has_default);
  EXPECT_TRUE(child.columns[4].generated);
  EXPECT_EQ(child.primary_key, (std::vector<std::string>{"b", "a"}));
  ASSERT_EQ(child.unique_constraints.size(), 1U);
  EXPECT_EQ(child.unique_constraints[0].name, "child_c_d_key");
  EXPECT_EQ(child.unique_constraints[0].columns, (std::vector<std::string>{"c", "d"}));
  ASSERT_EQ(child.foreign_keys.size(), 1U);
  EXPECT_EQ(child.foreign_keys[0].name, "child_d_fkey");
  EXPECT_EQ(child.foreign_keys[0].referenced_table, "parent");
  EXPECT_EQ(child.foreign_keys[0].referenced_columns, (std::vector<std::string>{"id"}));
}

}  // namespace
}  // namespace quarry
