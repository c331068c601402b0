#include "loadtest/quarry_load/result_json.h"

#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "loadtest/quarry_load/process_sampler.h"
#include "loadtest/quarry_load/settings.h"

namespace quarry::load {
namespace {

using nlohmann::json;

constexpr int kResultVersion = 1;
constexpr double kBusyThread = 0.9;

double Rate(int64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

double Microseconds(double nanoseconds) { return std::round(nanoseconds) / 1e3; }

json Percentiles(const Histogram& histogram) {
  const std::vector<int64_t> values = histogram.Quantiles({0.5, 0.9, 0.99, 0.999, 0.9999});
  const auto at = [&values](size_t i) { return Microseconds(static_cast<double>(values[i])); };
  return {{"mean", Microseconds(histogram.mean())},
          {"p50", at(0)},
          {"p90", at(1)},
          {"p99", at(2)},
          {"p99_9", at(3)},
          {"p99_99", at(4)},
          {"max", Microseconds(static_cast<double>(histogram.max()))}};
}

// [percentile, microseconds], as many in each tenth of what the one before left over.
json Curve(const Histogram& histogram) {
  std::vector<double> quantiles = {0};
  for (double rest = 1; rest > 1.5e-4; rest /= 10) {
    for (int step = 1; step <= 18; ++step) quantiles.push_back(1 - rest + rest * 0.05 * step);
  }
  const std::vector<int64_t> values = histogram.Quantiles(quantiles);
  json curve = json::array();
  for (size_t i = 0; i < quantiles.size() && histogram.count() > 0; ++i) {
    curve.push_back(
        {std::round(quantiles[i] * 1e8) / 1e6, Microseconds(static_cast<double>(values[i]))});
  }
  return curve;
}

json Operations(const Scenario& scenario, const RunResult& run) {
  json operations = json::object();
  for (const WeightedOperation& each : scenario.operations) {
    const OperationTotals& totals = run.totals.operations[static_cast<size_t>(each.operation)];
    json& shown = operations[OperationName(each.operation)];
    shown = {{"calls", totals.calls},
             {"errors", totals.errors},
             {"missing", totals.missing},
             {"items", totals.items},
             {"calls_per_second", Rate(totals.calls - totals.errors, run.seconds)},
             {"items_per_second", Rate(totals.items, run.seconds)},
             {"latency_us", Percentiles(totals.latency)}};
    if (scenario.open_loop()) shown["service_us"] = Percentiles(totals.service);
  }
  return operations;
}

json Errors(const Totals& totals) {
  json errors = json::array();
  for (const auto& [kind, error] : totals.errors) {
    errors.push_back({{"code", kind.first},
                      {"reason", kind.second},
                      {"count", error.count},
                      {"first_message", error.first_message}});
  }
  return errors;
}

json Timeline(const RunResult& run) {
  json timeline = json::array();
  for (const TimelineEntry& entry : run.timeline) {
    json shown = {{"second", std::round(entry.second * 1e3) / 1e3},
                  {"seconds", std::round(entry.seconds * 1e3) / 1e3},
                  {"calls", entry.calls},
                  {"errors", entry.errors},
                  {"p50_us", entry.p50_us},
                  {"p99_us", entry.p99_us},
                  {"server_cpu_cores", nullptr},
                  {"server_rss_bytes", nullptr}};
    if (entry.server_cpu_cores.has_value()) shown["server_cpu_cores"] = *entry.server_cpu_cores;
    if (entry.server_rss_bytes.has_value()) shown["server_rss_bytes"] = *entry.server_rss_bytes;
    timeline.push_back(std::move(shown));
  }
  return timeline;
}

json Server(const RunResult& run, const OperationTotals& all) {
  if (!run.server_cpu_seconds.has_value()) return nullptr;
  const double calls = static_cast<double>(all.calls);
  return {
      {"cpu_seconds", *run.server_cpu_seconds},
      {"cpu_cores", run.sampled_seconds > 0 ? *run.server_cpu_seconds / run.sampled_seconds : 0},
      {"cpu_us_per_call", all.calls > 0 ? *run.server_cpu_seconds * 1e6 / calls : 0},
      {"rss_bytes_max", run.server_rss_bytes_max}};
}

json Warnings(const RunResult& run, const OperationTotals& all) {
  json warnings = json::array();
  if (run.busiest_thread > kBusyThread) {
    warnings.push_back(
        absl::StrFormat("A thread of quarry-load took %.0f %% of a core: the client may be the "
                        "limit. Give it --threads, or "
                        "run several.",
                        100 * run.busiest_thread));
  }
  if (run.cancelled > 0) {
    warnings.push_back(absl::StrCat(run.cancelled,
                                    " calls were still in flight when the run ended, and were "
                                    "cancelled: the server did not answer them in time."));
  }
  if (all.calls == 0) {
    warnings.push_back("No call ended in the time that was counted: give it a longer --duration.");
  }
  if (run.interrupted)
    warnings.push_back("The run was interrupted: the figures are of its first part.");
  return warnings;
}

}  // namespace

json MakeResultJson(const Scenario& scenario, const std::string& address, const RunResult& run) {
  const OperationTotals all = run.totals.Sum();
  json result = {
      {"version", kResultVersion},
      {"started", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now() - absl::Seconds(run.seconds),
                                   absl::UTCTimeZone())},
      {"scenario", ShowScenario(scenario)},
      {"target", address},
      {"seed", scenario.seed},
      {"duration_seconds", run.seconds},
      {"calls", all.calls},
      {"errors", all.errors},
      {"first_error", run.totals.first_error},
      {"calls_per_second", Rate(all.calls - all.errors, run.seconds)},
      {"items_per_second", Rate(all.items, run.seconds)},
      {"bytes_per_second", Rate(all.bytes, run.seconds)},
      {"latency_us", Percentiles(all.latency)},
      {"latency_curve", Curve(all.latency)},
      {"operations", Operations(scenario, run)},
      {"errors_by_reason", Errors(run.totals)},
      {"timeline", Timeline(run)},
      {"server", Server(run, all)},
      {"client",
       {{"cpu_seconds", run.client_cpu_seconds},
        {"cpu_cores", run.sampled_seconds > 0 ? run.client_cpu_seconds / run.sampled_seconds : 0},
        {"busiest_thread", run.busiest_thread}}},
      {"interrupted", run.interrupted},
      {"warnings", Warnings(run, all)},
      {"machine", DescribeMachine()}};
  if (scenario.open_loop()) {
    result["service_us"] = Percentiles(all.service);
    result["service_curve"] = Curve(all.service);
    result["open_loop"] = {{"rate", scenario.rate},
                           {"waited", run.waited},
                           {"send_lag_us", Percentiles(run.send_lag)}};
  }
  return result;
}

}  // namespace quarry::load
