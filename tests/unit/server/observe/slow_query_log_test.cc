#include "server/observe/slow_query_log.h"

#include <memory>
#include <sstream>
#include <string>

#include "core/base/error.h"
#include "core/model/query.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "spdlog/sinks/ostream_sink.h"

namespace quarry {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SlowQueryLogTest : public testing::Test {
 protected:
  // What one query leaves in the log.
  std::string Log(const QueryShape& shape, absl::Duration took, SlowQueryOptions options = {},
                  const absl::Status& status = absl::OkStatus()) {
    std::ostringstream out;
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
    logger->set_pattern("%l %v");
    logger->set_level(level_);
    SlowQueryLog log(logger, options);
    log.Write({shape, status, took, 42, 3});
    return out.str();
  }
  static SlowQueryOptions Json() {
    SlowQueryOptions options;
    options.json = true;
    return options;
  }
  const QueryShape shape_{"List", "orders", "status = ? ORDER BY total DESC", 0xabc};
  spdlog::level::level_enum level_ = spdlog::level::info;
};

TEST_F(SlowQueryLogTest, TellsWhatTookAtLeastTheThreshold) {
  EXPECT_EQ(Log(shape_, absl::Milliseconds(999)), "");
  EXPECT_EQ(Log(shape_, absl::Seconds(1)),
            "warning slow query List \"orders\" \"status = ? ORDER BY total DESC\" OK 1000.00ms rows=42 shards=3 "
            "query=0000000000000abc\n");
  SlowQueryOptions options;
  options.threshold = absl::Milliseconds(5);
  EXPECT_THAT(Log(shape_, absl::Microseconds(4'999), options), IsEmpty());
  EXPECT_THAT(Log(shape_, absl::Microseconds(5'000), options), HasSubstr(" 5.00ms "));
}

TEST_F(SlowQueryLogTest, IsOffAtZero) {
  SlowQueryOptions options;
  options.threshold = absl::ZeroDuration();
  EXPECT_EQ(Log(shape_, absl::Hours(1), options), "");
  EXPECT_EQ(Log(shape_, absl::ZeroDuration(), options), "");
}

TEST_F(SlowQueryLogTest, IsOffWhereWarningsAre) {
  level_ = spdlog::level::err;
  EXPECT_EQ(Log(shape_, absl::Hours(1)), "");
}

TEST_F(SlowQueryLogTest, ShowsTheShapeAndNoValueInEitherForm) {
  QueryOperation op;
  op.table = "customers";
  Condition compare;
  compare.kind = Condition::Kind::kCompare;
  compare.column = "email";
  compare.values = {Value::Text("ada@example.com")};
  op.filter = compare;
  op.limit = 271'828;
  op.resume_token = "token-of-a-client";
  const absl::Status status = MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                                        "ada@example.com could not be read", {{"row", "ada@example.com"}});
  for (const SlowQueryOptions& options : {SlowQueryOptions(), Json()}) {
    const std::string line = Log(ShapeOf(op), absl::Seconds(2), options, status);
    EXPECT_THAT(line, HasSubstr("email = ?"));
    EXPECT_THAT(line, HasSubstr("Unavailable"));
    for (const char* value : {"ada", "example", "271828", "token-of-a-client", "could not"}) {
      EXPECT_THAT(line, Not(HasSubstr(value)));
    }
  }
}

TEST_F(SlowQueryLogTest, AsJsonIsOneObject) {
  const std::string line = Log(shape_, absl::Milliseconds(1'500), Json(), absl::DeadlineExceededError("late"));
  ASSERT_THAT(line, testing::StartsWith("warning {"));
  const nlohmann::json parsed = nlohmann::json::parse(line.substr(line.find('{')));
  EXPECT_EQ(parsed, (nlohmann::json{{"event", "slow_query"},
                                    {"method", "List"},
                                    {"table", "orders"},
                                    {"shape", "status = ? ORDER BY total DESC"},
                                    {"query_id", "0000000000000abc"},
                                    {"code", "DeadlineExceeded"},
                                    {"duration_ms", 1500.0},
                                    {"rows", 42},
                                    {"shards", 3}}));
}

TEST_F(SlowQueryLogTest, NamesThatCallersChoseCannotForgeALine) {
  const QueryShape shape{"Aggregate", "or\nders", "count(*) of a\n = ? \"{}\" %s \xff", 1};
  for (const SlowQueryOptions& options : {SlowQueryOptions(), Json()}) {
    const std::string line = Log(shape, absl::Seconds(2), options);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    EXPECT_THAT(line, HasSubstr("or\\nders"));
    EXPECT_THAT(line, HasSubstr("a\\n = ? \\\"{}\\\" %s \xef\xbf\xbd"));
  }
}

}  // namespace
}  // namespace quarry
