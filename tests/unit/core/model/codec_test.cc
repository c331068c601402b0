#include "core/model/codec.h"

#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

std::vector<Value> EveryKindOfValue() {
  return {
      Value::Null(),
      Value::Bool(true),
      Value::Bool(false),
      Value::Int64(std::numeric_limits<int64_t>::min()),
      Value::Int64(std::numeric_limits<int64_t>::max()),
      Value::Int64(0),
      Value::Double(std::numeric_limits<double>::infinity()),
      Value::Double(-std::numeric_limits<double>::infinity()),
      Value::Double(std::numeric_limits<double>::quiet_NaN()),
      Value::Double(std::numeric_limits<double>::denorm_min()),
      Value::Double(-0.0),
      Value::Text(""),
      Value::Text("ß→𝄞"),
      Value::Bytes(std::string("\0\xff\x80", 3)),
      Value::Timestamp(-1),
      Value::Timestamp(std::numeric_limits<int64_t>::max()),
      Value::Date("2026-01-31"),
      Value::Time("23:59:59.999999"),
      Value::Interval("P1Y2M3DT4H5M6.7S"),
      Value::Decimal(std::string(100, '9') + ".10"),
      Value::Uuid("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
      Value::Json(R"({"a": [1, null]})"),
      Value::Array({}),
      Value::Array({Value::Int64(1), Value::Null(), Value::Array({Value::Text("deep")})}),
      Value::Native("inet", "10.0.0.1/8"),
  };
}

RowHeader HeaderOf(size_t columns) {
  std::vector<ColumnHeader> header;
  for (size_t i = 0; i < columns; ++i) {
    ColumnHeader column;
    column.name = "c" + std::to_string(i);
    column.type.kind = static_cast<TypeKind>(i % (static_cast<size_t>(TypeKind::kNative) + 1));
    column.type.array = i % 2 == 1;
    column.type.native_name = "type" + std::to_string(i);
    header.push_back(std::move(column));
  }
  return std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
}

// One step of everything, one of nothing, one that failed with all kinds of detail.
TaskResult FullResult() {
  StatementResult statement;
  statement.affected = 3;
  statement.batch.header = HeaderOf(EveryKindOfValue().size());
  statement.batch.rows = {EveryKindOfValue(), Row(), EveryKindOfValue()};
  StepResult full;
  full.statements = {statement, StatementResult()};
  ErrorDetail detail;
  detail.reason = reason::kUniqueViolation;
  detail.facts = {{"constraint", "users_email_key"}};
  detail.violations = {{"record.email", "is taken"}};
  detail.retry_after = absl::Milliseconds(20);
  StepResult failed;
  failed.status = MakeError(absl::StatusCode::kAlreadyExists, "taken", detail);
  TaskResult result;
  result.steps = {full, StepResult(), failed};
  return result;
}

TEST(CodecTest, EveryKindOfResultSurvivesTheRoundTrip) {
  const TaskResult result = FullResult();
  ASSERT_OK_AND_ASSIGN(const TaskResult read, DecodeTaskResult(EncodeTaskResult(result)));
  ASSERT_EQ(read.steps.size(), 3u);
  EXPECT_FALSE(read.replayed);
  ASSERT_EQ(read.steps[0].statements.size(), 2u);
  const StatementResult& statement = read.steps[0].statements[0];
  EXPECT_EQ(statement.affected, 3);
  const StatementResult& written = result.steps[0].statements[0];
  EXPECT_EQ(statement.batch.rows, written.batch.rows);
  ASSERT_EQ(statement.batch.header->size(), written.batch.header->size());
  for (size_t i = 0; i < statement.batch.header->size(); ++i) {
    EXPECT_EQ((*statement.batch.header)[i].name, (*written.batch.header)[i].name);
    EXPECT_EQ((*statement.batch.header)[i].type, (*written.batch.header)[i].type);
    EXPECT_EQ((*statement.batch.header)[i].type.native_name, (*written.batch.header)[i].type.native_name);
  }
  EXPECT_EQ(read.steps[0].statements[1].batch.header, nullptr);
  EXPECT_EQ(read.steps[2].status, result.steps[2].status);
  EXPECT_EQ(DetailOf(read.steps[2].status).violations.size(), 1u);
}

TEST(CodecTest, TheSameResultHasTheSameBytes) {
  EXPECT_EQ(EncodeTaskResult(FullResult()), EncodeTaskResult(FullResult()));
}

TEST(CodecTest, EveryCutIsDataLoss) {
  const std::string bytes = EncodeTaskResult(FullResult());
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_THAT(DecodeTaskResult(std::string_view(bytes).substr(0, size)), StatusIs(absl::StatusCode::kDataLoss))
        << size;
  }
  EXPECT_THAT(DecodeTaskResult(bytes + '\0'), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(CodecTest, AnUnknownVersionIsDataLoss) {
  std::string bytes = EncodeTaskResult(FullResult());
  bytes[0] = 2;
  EXPECT_THAT(DecodeTaskResult(bytes), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(CodecTest, HugeCountsAndDeepArraysAreRefusedBeforeTheyCostAnything) {
  // One step, OK, no payload, 2^60 statements.
  const std::string huge("\x01\x01\x00\x00\x00\x80\x80\x80\x80\x80\x80\x80\x80\x10", 14);
  EXPECT_THAT(DecodeTaskResult(huge), StatusIs(absl::StatusCode::kDataLoss));
  Value deep = Value::Int64(1);
  for (int depth = 0; depth < 1000; ++depth) deep = Value::Array({deep});
  TaskResult result;
  result.steps.resize(1);
  result.steps[0].statements.resize(1);
  result.steps[0].statements[0].batch.rows = {{deep}};
  EXPECT_THAT(DecodeTaskResult(EncodeTaskResult(result)), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(CodecTest, GarbageIsReadWithoutHarm) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  SeededRandom random(seed);
  const std::string good = EncodeTaskResult(FullResult());
  for (int round = 0; round < 4'000; ++round) {
    std::string bytes = good;
    const int changes = 1 + static_cast<int>(random.Next() % 4);
    for (int i = 0; i < changes; ++i) bytes[random.Next() % bytes.size()] = static_cast<char>(random.Next());
    const absl::StatusOr<TaskResult> read = DecodeTaskResult(bytes);
    if (!read.ok()) {
      ASSERT_THAT(read, StatusIs(absl::StatusCode::kDataLoss)) << round;
      continue;
    }
    // What can be read can be written and read again.
    ASSERT_THAT(DecodeTaskResult(EncodeTaskResult(*read)), IsOk()) << round;
  }
}

}  // namespace
}  // namespace quarry
