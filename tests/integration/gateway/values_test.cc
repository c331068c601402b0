// Values of every type come back as they were written, through gRPC, by every way of reading.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Record;
using client::Value;

QUARRY_GATEWAY_SUITE(ValuesTest);

struct Case {
  std::string column;
  std::vector<Value> values;
};

std::string Digits(int count) {
  std::string digits;
  for (int i = 0; i < count; ++i) digits.push_back(static_cast<char>('1' + i % 9));
  return digits;
}

std::string AllBytes() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

std::vector<Value> Instants() {
  const absl::Time year_1 = absl::FromUnixSeconds(-62'135'596'800);
  const absl::Time year_9999 = absl::FromUnixSeconds(253'402'300'799) + absl::Microseconds(999'999);
  return {Value::Timestamp(absl::UnixEpoch()), Value::Timestamp(absl::UnixEpoch() - absl::Microseconds(1)),
          Value::Timestamp(year_1), Value::Timestamp(year_9999),
          Value::Timestamp(absl::FromUnixMicros(1'769'854'272'123'456))};
}

std::vector<Case> Numbers() {
  using I64 = std::numeric_limits<int64_t>;
  using D = std::numeric_limits<double>;
  return {
      {"c_bool", {true, false}},
      {"c_int2", {-32768, 0, 32767}},
      {"c_int4", {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}},
      {"c_int8", {I64::min(), I64::max(), (int64_t{1} << 53) + 1, -1, 0}},
      {"c_float4", {0.5, -3.25, D::infinity(), D::quiet_NaN()}},
      {"c_float8", {0.1, -0.0, D::max(), D::min(), D::denorm_min(), D::infinity(), -D::infinity(), D::quiet_NaN(), 3.0}},
      {"c_decimal", {Value::Decimal("0"), Value::Decimal("-12.3400"), Value::Decimal(Digits(60) + "." + Digits(40)),
                     Value::Decimal("0." + std::string(99, '0') + "1"), Value::Decimal("NaN"),
                     Value::Decimal("Infinity"), Value::Decimal("100")}},
  };
}

std::vector<Case> Texts() {
  return {
      {"c_text", {"", "NULL", "007", "1e5", "'; DROP TABLE all_types; --", "\u00fc \u4e16\u754c \U0001F980 \u0001\t\n", "$1 ?1 :a @b",
                  std::string(200'000, 'x')}},
      {"c_bytes", {Value::Bytes(""), Value::Bytes(std::string(3, '\0')), Value::Bytes(AllBytes()), Value::Bytes("text")}},
      {"c_timestamp", Instants()},
      {"c_timestamptz", Instants()},
      {"c_date", {Value::Date("0001-01-01"), Value::Date("9999-12-31"), Value::Date("2000-02-29")}},
      {"c_time", {Value::Time("00:00:00"), Value::Time("23:59:59.999999"), Value::Time("12:30:00")}},
      {"c_interval", {Value::Interval("P1Y2M3DT4H5M6.7S"), Value::Interval("PT0S"), Value::Interval("P-1D")}},
      {"c_uuid", {Value::Uuid("00000000-0000-0000-0000-000000000000"), Value::Uuid("123e4567-e89b-12d3-a456-426614174000")}},
      {"c_json", {Value::Json("{\"a\": [1, 2.50, null], \"b\":  \"\u00fc\"}"), Value::Json("null"), Value::Json("17"),
                  Value::Json("123456789012345678901234567890")}},
  };
}

std::vector<Case> Arrays() {
  using I64 = std::numeric_limits<int64_t>;
  return {
      {"c_ints", {Value::Array({}), Value::Array({I64::min(), nullptr, I64::max()})}},
      {"c_texts", {Value::Array({"", "NULL", nullptr, "a,\"b\"\\{c}", "\u00fc"})}},
      {"c_doubles", {Value::Array({0.1, std::numeric_limits<double>::infinity(), 2.0})}},
      {"c_decimals", {Value::Array({Value::Decimal(Digits(100)), Value::Decimal("1.00")})}},
      {"c_blobs", {Value::Array({Value::Bytes(AllBytes()), Value::Bytes("")})}},
      {"c_uuids", {Value::Array({Value::Uuid("123e4567-e89b-12d3-a456-426614174000"), nullptr})}},
      {"c_dates", {Value::Array({Value::Date("2026-01-31"), nullptr})}},
      {"c_instants", {Value::Array(Instants())}},
  };
}

bool Same(const Value& a, const Value& b) {
  if (a.AsDouble().has_value() && b.AsDouble().has_value() && std::isnan(*a.AsDouble())) return std::isnan(*b.AsDouble());
  return a == b;
}

TEST_P(ValuesTest, EveryTypeComesBackAsItWasWritten) {
  client::MutationOptions all;
  all.returning = {"*"};
  for (const std::vector<Case>& cases : {Numbers(), Texts(), Arrays()}) {
    for (const Case& c : cases) {
      std::vector<Value> values = c.values;
      values.emplace_back(nullptr);
      for (const Value& value : values) {
        // SQLite keeps whole numbers of a REAL column as integers, which have no negative zero.
        if (!postgres() && value == Value(-0.0)) continue;
        const int64_t id = gateway_.NewId();
        const std::string what = absl::StrCat(c.column, " = ", value.proto().ShortDebugString().substr(0, 200));
        ASSERT_OK_AND_ASSIGN(const client::WriteResult written,
                             client().Insert("all_types", {{"id", id}, {c.column, value}}, all));
        EXPECT_TRUE(Same(value, written.record[c.column])) << what << " returned "
                                                           << written.record[c.column].proto().ShortDebugString();
        ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("all_types", {id}));
        EXPECT_TRUE(Same(value, read.record[c.column])) << what << " read "
                                                        << read.record[c.column].proto().ShortDebugString();
        EXPECT_EQ(read.etag, written.etag) << what;
        // And over what is there already, with the etag of what was read.
        client::MutationOptions unchanged;
        unchanged.etag = read.etag;
        EXPECT_THAT(client().Update("all_types", {id}, {{c.column, value}}, unchanged), IsOk()) << what;
      }
    }
  }
}

TEST_P(ValuesTest, OneRowHoldsThemAllInABatchAStreamAndAStoredReply) {
  const int64_t id = gateway_.NewId();
  Record record = {{"id", id}};
  for (const std::vector<Case>& cases : {Numbers(), Texts(), Arrays()}) {
    for (const Case& c : cases) record.Set(c.column, c.values.front());
  }
  client::MutationOptions all;
  all.returning = {"*"};
  client::CallOptions call;
  call.request_id = NewUuid();
  ASSERT_THAT(client().Insert("all_types", record, all, call), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::WriteResult stored, client().Insert("all_types", record, all, call));
  EXPECT_TRUE(stored.replayed);
  ASSERT_OK_AND_ASSIGN(const client::BatchGetResult batch, client().BatchGet("all_types", {{id}, {id}, {gateway_.NewId()}}));
  const std::string shard = gateway_.ShardOf("all_types", {id});
  v1::OnShardRequest sql = SqlOn(0, "SELECT * FROM all_types WHERE id = " + Mark(1), {id});
  sql.mutable_target()->set_shard(shard);
  const Streamed streamed = ReadAll(raw().OnShard(sql, Soon()));
  ASSERT_THAT(streamed.status, IsOk());
  ASSERT_EQ(streamed.rows(), 1);
  const v1::RowHeader& header = streamed.events[0].header();
  const v1::Row& row = streamed.events[1].rows().rows(0);
  ASSERT_EQ(header.columns_size(), record.size());
  for (int i = 0; i < header.columns_size(); ++i) {
    const std::string& column = header.columns(i).name();
    const Value expected = record[column];
    EXPECT_TRUE(Same(expected, stored.record[column])) << column;
    EXPECT_TRUE(Same(expected, batch.rows[1]->record[column])) << column;
    EXPECT_TRUE(Same(expected, Value(row.values(i)))) << column << " " << row.values(i).ShortDebugString();
  }
}

TEST_P(ValuesTest, KeysOfOtherTypesFindTheirRows) {
  const Value uuid = Value::Uuid(NewUuid());
  ASSERT_THAT(client().Insert("documents", {{"id", uuid}, {"title", "t"}}), IsOk());
  EXPECT_THAT(client().Get("documents", {uuid}), IsOk());
  std::string shouting = *uuid.AsText();
  for (char& c : shouting) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  EXPECT_THAT(client().Get("documents", {Value::Uuid(shouting)}), IsOk()) << "another spelling, the same key";
  const std::string tenant = absl::StrCat("\u00e9\U0001F980' \" ; -- ", gateway_.NewId());
  const Value day = Value::Date("2024-02-29");
  ASSERT_THAT(client().Insert("readings", {{"tenant", tenant}, {"day", day}, {"seq", 1}}), IsOk());
  ASSERT_THAT(client().Insert("readings", {{"tenant", tenant}, {"day", day}, {"seq", 2}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto batch, client().BatchGet("readings", {{tenant, day, 2}, {tenant, day, 3}, {tenant, day, 1}}));
  EXPECT_EQ(batch.missing, std::vector<int>{1});
}

TEST_P(ValuesTest, WhatDoesNotFitItsColumnIsRefusedWithTheColumn) {
  const int64_t id = gateway_.NewId();
  const std::vector<std::pair<std::string, Value>> wrong = {
      {"c_bool", 1},           {"c_int2", 32768},      {"c_int4", int64_t{1} << 31}, {"c_int8", "1"},
      {"c_float8", "x"},       {"c_decimal", "one"},   {"c_text", 1},                {"c_bytes", "text"},
      {"c_timestamp", "soon"}, {"c_date", "20-01-01"}, {"c_uuid", "x"},              {"c_json", Value::Json("{")},
      {"c_ints", 1},           {"c_ints", Value::Array({"a"})}, {"c_decimal", Value::Decimal("1..2")},
      {"c_date", Value::Date("2023-02-29")}, {"c_time", Value::Time("25:00:00")}, {"c_interval", Value::Interval("x")},
  };
  for (const auto& [column, value] : wrong) {
    const absl::Status status = client().Insert("all_types", {{"id", id}, {column, value}}).status();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument)) << column;
    EXPECT_TRUE(Names(status, "record." + column)) << column << ": " << status;
  }
  EXPECT_THAT(client().Get("all_types", {id}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
}

}  // namespace
}  // namespace quarry::gateway_test
