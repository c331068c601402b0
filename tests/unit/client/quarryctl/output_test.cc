// What people and programs see: tables, progress, errors.
#include "client/quarryctl/output.h"

#include <sstream>

#include "client/quarryctl/failure.h"
#include "client/quarryctl/progress.h"
#include "tests/support/status_matchers.h"

namespace quarry::ctl {
namespace {

TEST(TextTableTest, AlignsColumnsByWhatIsSeen) {
  TextTable table({"id", "name"});
  table.AlignRight(0);
  table.Add({"7", "Zo\xc3\xab"});
  table.Add({"1234", "line\nbreak\x1b[31m"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(),
            "  id  name\n"
            "   7  Zo\xc3\xab\n"
            "1234  line\\nbreak\\x1b[31m\n");
}

TEST(RenderProgressTest, ShowsPartRateAndTimeLeft) {
  ProgressCounts counts;
  counts.rows = 12345;
  counts.bytes = 50;
  counts.bytes_total = 100;
  counts.elapsed = absl::Seconds(10);
  EXPECT_EQ(RenderProgress(counts, 10), "[=====>    ]  50%  12,345 rows  1,234 rows/s  ETA 0:10");
  counts.rejected = 3;
  EXPECT_EQ(RenderProgress(counts, 0), " 50%  12,345 rows  1,234 rows/s  3 rejected  ETA 0:10");
  counts = ProgressCounts{};
  EXPECT_EQ(RenderProgress(counts, 10), "0 rows");
  EXPECT_EQ(Clockwise(absl::Seconds(3723)), "1:02:03");
}

TEST(DescribeTest, SaysWhatWhereWhyAndWhatToDo) {
  ErrorDetail detail;
  detail.reason = reason::kPoolExhausted;
  detail.facts = {{"shard", "s2"}, {"size", "4"}};
  detail.retry_after = absl::Milliseconds(200);
  const absl::Status status =
      MakeError(absl::StatusCode::kResourceExhausted, "all 4 sessions are in use", detail);
  EXPECT_EQ(Describe("get orders", status, ""),
            "get orders failed: RESOURCE_EXHAUSTED (POOL_EXHAUSTED)\n"
            "  why: all 4 sessions are in use\n"
            "  shard: s2\n"
            "  size: 4\n"
            "  do: run it again after 200ms\n");
  EXPECT_EQ(ExitCodeOf(status), kExitExhausted);
}

TEST(DescribeTest, ListsEveryBadField) {
  const absl::Status status =
      InvalidFields({{"totl", "there is no such column"}, {"status", "is too long"}});
  const std::string text = Describe("insert orders", status, "");
  EXPECT_EQ(text,
            "insert orders failed: INVALID_ARGUMENT (INVALID_FIELD)\n"
            "  why: 2 fields are wrong\n"
            "  field totl: there is no such column\n"
            "  field status: is too long\n");
  EXPECT_EQ(Describe("get orders", InvalidField("key", "is empty"), ""),
            "get orders failed: INVALID_ARGUMENT (INVALID_FIELD)\n  why: key: is empty\n");
  EXPECT_EQ(ExitCodeOf(status), kExitInvalid);
}

}  // namespace
}  // namespace quarry::ctl
