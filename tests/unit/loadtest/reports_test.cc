#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "loadtest/quarry_load/process_sampler.h"
#include "loadtest/quarry_load/progress.h"
#include "loadtest/quarry_load/report_html.h"
#include "loadtest/quarry_load/report_text.h"
#include "loadtest/quarry_load/result_json.h"

namespace quarry::load {
namespace {

using testing::HasSubstr;
using testing::Not;

Scenario TwoOperations() {
  Scenario scenario;
  scenario.operations = {{Operation::kGet, 3}, {Operation::kUpdate, 1}};
  scenario.rate = 100;
  scenario.seed = 5;
  return scenario;
}

RunResult TwoSeconds() {
  Recorder recorder(/*keep_service_times=*/true);
  for (int i = 1; i <= 200; ++i) {
    recorder.Success({.operation = Operation::kGet,
                      .intended_ns = 0,
                      .sent_ns = i * 500,
                      .ended_ns = i * 1000,
                      .items = 2,
                      .bytes = 10});
  }
  recorder.Failure({.operation = Operation::kUpdate},
                   {"UNAVAILABLE", "SHARD_UNAVAILABLE", "</script><b>gone"});
  recorder.Failure({.operation = Operation::kUpdate}, {"UNAVAILABLE", "SHARD_UNAVAILABLE", "later"},
                   2);
  RunResult run;
  recorder.AddTotals(run.totals);
  run.seconds = 2;
  run.sampled_seconds = 2;
  run.timeline = {
      {.second = 1, .seconds = 1, .calls = 100, .server_cpu_cores = 0.5, .server_rss_bytes = 4096},
      {.second = 2, .seconds = 1, .calls = 103, .errors = 3}};
  run.server_cpu_seconds = 1;
  run.server_rss_bytes_max = 4096;
  run.busiest_thread = 0.95;
  return run;
}

TEST(ResultJsonTest, KeepsItsContract) {
  const nlohmann::json result = MakeResultJson(TwoOperations(), "host:1", TwoSeconds());
  EXPECT_EQ(result["version"], 1);
  EXPECT_EQ(result["target"], "host:1");
  EXPECT_EQ(result["seed"], 5);
  EXPECT_EQ(result["calls"], 203);
  EXPECT_EQ(result["errors"], 3);
  EXPECT_EQ(result["first_error"], "UNAVAILABLE SHARD_UNAVAILABLE: </script><b>gone");
  EXPECT_EQ(result["calls_per_second"], 100);
  EXPECT_EQ(result["items_per_second"], 200);
  EXPECT_EQ(result["bytes_per_second"], 1000);
  EXPECT_NEAR(result["latency_us"]["p50"].get<double>(), 100, 0.2);
  EXPECT_NEAR(result["service_us"]["p99"].get<double>(), 99, 0.2);
  EXPECT_EQ(result["latency_us"]["max"], 200);
  for (const char* key : {"mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"}) {
    EXPECT_TRUE(result["operations"]["get"]["latency_us"].contains(key)) << key;
  }
  EXPECT_EQ(result["operations"]["get"]["items"], 400);
  EXPECT_EQ(result["operations"]["update"]["errors"], 3);
  ASSERT_EQ(result["errors_by_reason"].size(), 1u);
  EXPECT_EQ(result["errors_by_reason"][0]["count"], 3);
  EXPECT_EQ(result["errors_by_reason"][0]["first_message"], "</script><b>gone");
  EXPECT_EQ(result["timeline"][0]["server_cpu_cores"], 0.5);
  EXPECT_TRUE(result["timeline"][1]["server_rss_bytes"].is_null());
  EXPECT_EQ(result["server"]["cpu_cores"], 0.5);
  EXPECT_NEAR(result["server"]["cpu_us_per_call"].get<double>(), 1e6 / 203, 1e-6);
  EXPECT_EQ(result["scenario"]["operations"]["get"], 3);
  EXPECT_GE(result["machine"]["cores"], 1);
  EXPECT_THAT(result["warnings"].dump(), HasSubstr("95 % of a core"));
}

TEST(ResultJsonTest, ClosedLoopHasNoServiceTimesAndNoServerIsNull) {
  Scenario scenario = TwoOperations();
  scenario.rate = 0;
  const nlohmann::json result = MakeResultJson(scenario, "host:1", RunResult());
  EXPECT_FALSE(result.contains("service_us"));
  EXPECT_FALSE(result["operations"]["get"].contains("service_us"));
  EXPECT_TRUE(result["server"].is_null());
  EXPECT_EQ(result["calls_per_second"], 0);
  EXPECT_THAT(result["warnings"].dump(), HasSubstr("No call ended"));
}

TEST(ReportTest, TextSaysWhatFailedAndWhere) {
  const std::string text = TextReport(MakeResultJson(TwoOperations(), "host:1", TwoSeconds()));
  EXPECT_THAT(
      text,
      HasSubstr("get 75 %, update 25 %; uniform over 100,000 keys; open loop, 100 calls/s, fixed"));
  EXPECT_THAT(
      text, HasSubstr("3 failed with UNAVAILABLE SHARD_UNAVAILABLE; the first: </script><b>gone"));
  EXPECT_THAT(text, HasSubstr("from intended send"));
  EXPECT_THAT(text, HasSubstr("Warning: "));
}

TEST(ReportTest, HtmlIsOnePageThatNoTextBreaksOutOf) {
  const nlohmann::json result = MakeResultJson(TwoOperations(), "host:1", TwoSeconds());
  const std::string page = HtmlReport({{"a", result}, {"b </script>", result}});
  EXPECT_THAT(page, Not(HasSubstr("</script><b>")));
  EXPECT_THAT(page, HasSubstr("\\u003c/script>\\u003cb>gone"));
  EXPECT_THAT(page, Not(HasSubstr("/*DATA*/")));
  for (const char* remote : {"src=", "href=", "@import", "url(", "fetch("}) {
    EXPECT_THAT(page, Not(HasSubstr(remote)));
  }
}

TEST(ReportTest, OtherFilesAreRefused) {
  EXPECT_FALSE(CheckResult(nlohmann::json::array()).ok());
  EXPECT_FALSE(CheckResult({{"calls_per_second", 1}}).ok());
  EXPECT_THAT(std::string(CheckResult({{"version", 2}}).message()), HasSubstr("version 2"));
  EXPECT_TRUE(CheckResult(MakeResultJson(TwoOperations(), "host:1", RunResult())).ok());
}

TEST(NumbersTest, AreShort) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(-1234567), "-1,234,567");
  EXPECT_EQ(ShortTime(0.5), "0.50 us");
  EXPECT_EQ(ShortTime(12.34), "12.3 us");
  EXPECT_EQ(ShortTime(999.7), "1.00 ms");
  EXPECT_EQ(ShortTime(1'500'000), "1.50 s");
  EXPECT_EQ(ShortBytes(100), "100 B");
  EXPECT_EQ(ShortBytes(3 * 1024 * 1024), "3.00 MiB");
}

TEST(ProcessSamplerTest, ReadsProcWhateverTheProgramIsCalled) {
  const auto usage =
      ParseProcess("12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15", "100 7 3 1 0 5 0");
  ASSERT_TRUE(usage.has_value());
  EXPECT_EQ(usage->cpu_seconds, 200.0 / static_cast<double>(sysconf(_SC_CLK_TCK)));
  EXPECT_EQ(usage->rss_bytes, 7 * sysconf(_SC_PAGESIZE));
  EXPECT_FALSE(ParseProcess("", "").has_value());
  EXPECT_FALSE(ParseProcess("12 (a) S 1", "1 2").has_value());
}

TEST(ProcessSamplerTest, AddsProcessesAndRefusesOneThatIsNotThere) {
  ProcessSampler none({});
  EXPECT_FALSE(none.Sample().has_value());
  ProcessSampler twice({getpid(), getpid()});
  EXPECT_TRUE(twice.Check().ok());
  const int64_t once = UsageOf(getpid())->rss_bytes;
  EXPECT_NEAR(static_cast<double>(twice.Sample()->rss_bytes), 2.0 * static_cast<double>(once),
              64 << 20);
  EXPECT_THAT(std::string(ProcessSampler({1 << 30}).Check().message()), HasSubstr("no process"));
}

}  // namespace
}  // namespace quarry::load
