#include "loadtest/quarry_load/report_text.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "loadtest/quarry_load/progress.h"

namespace quarry::load {
namespace {

using nlohmann::json;

std::string Number(double value) {
  if (value >= 1000) return Grouped(std::llround(value));
  return absl::StrFormat("%.*f", value >= 99.95 ? 0 : 1, value);
}

std::string LatencyRow(const std::string& label, const json& latency) {
  std::string row = absl::StrFormat("%-20s", label);
  for (const char* column : {"mean", "p50", "p90", "p99", "p99_9", "p99_99", "max"}) {
    absl::StrAppendFormat(&row, "%10s", ShortTime(latency.at(column).get<double>()));
  }
  return row + "\n";
}

std::string Latencies(const json& result) {
  std::string text = absl::StrFormat("%-20s%10s%10s%10s%10s%10s%10s%10s\n", "Latency", "mean",
                                     "p50", "p90", "p99", "p99.9", "p99.99", "max");
  const bool open = result.contains("service_us");
  text += LatencyRow(open ? "from intended send" : "all calls", result.at("latency_us"));
  if (open) text += LatencyRow("from actual send", result.at("service_us"));
  if (result.at("operations").size() > 1) {
    for (const auto& [name, operation] : result.at("operations").items()) {
      text += LatencyRow("  " + name, operation.at("latency_us"));
    }
  }
  return text;
}

std::string OperationRows(const json& result) {
  std::string text = absl::StrFormat("%-20s%14s%14s%14s%10s\n", "Operation", "calls", "calls/s",
                                     "items/s", "errors");
  for (const auto& [name, operation] : result.at("operations").items()) {
    absl::StrAppendFormat(&text, "%-20s%14s%14s%14s%10s\n", name,
                          Grouped(operation.at("calls").get<int64_t>()),
                          Number(operation.at("calls_per_second").get<double>()),
                          Number(operation.at("items_per_second").get<double>()),
                          Grouped(operation.at("errors").get<int64_t>()));
    const int64_t missing = operation.at("missing").get<int64_t>();
    if (missing > 0) absl::StrAppend(&text, "  ", Grouped(missing), " of them found no row\n");
  }
  return text;
}

std::string Machines(const json& result) {
  std::string text;
  const json& server = result.at("server");
  if (!server.is_null()) {
    absl::StrAppendFormat(
        &text, "Server  %.2f cores, %.1f us of CPU a call, %s of memory at most\n",
        server.at("cpu_cores").get<double>(), server.at("cpu_us_per_call").get<double>(),
        ShortBytes(server.at("rss_bytes_max").get<double>()));
  }
  absl::StrAppendFormat(&text, "Client  %.2f cores\n",
                        result.at("client").at("cpu_cores").get<double>());
  const json& machine = result.at("machine");
  absl::StrAppendFormat(&text, "Machine %d cores, %s, %s\n", machine.at("cores").get<int>(),
                        machine.at("cpu").get<std::string>(),
                        machine.at("kernel").get<std::string>());
  return text;
}

std::string ErrorRows(const json& result) {
  std::string text;
  for (const json& error : result.at("errors_by_reason")) {
    const std::string reason = error.at("reason").get<std::string>();
    absl::StrAppend(&text, Grouped(error.at("count").get<int64_t>()), " failed with ",
                    error.at("code").get<std::string>(), reason.empty() ? "" : " ", reason,
                    "; the first: ", error.at("first_message").get<std::string>(), "\n");
  }
  return text;
}

}  // namespace

std::string DescribeScenario(const json& scenario) {
  double sum = 0;
  for (const auto& [name, weight] : scenario.at("operations").items()) sum += weight.get<double>();
  std::vector<std::string> operations;
  for (const auto& [name, weight] : scenario.at("operations").items()) {
    operations.push_back(
        scenario.at("operations").size() == 1
            ? name
            : absl::StrFormat("%s %.4g %%", name, 100 * weight.get<double>() / sum));
  }
  std::string text = absl::StrJoin(operations, ", ");
  if (!scenario.at("operations").contains("echo")) {
    absl::StrAppend(&text, "; ", scenario.at("distribution").get<std::string>(), " over ",
                    Grouped(scenario.at("keys").get<int64_t>()), " keys");
  }
  const double rate = scenario.at("rate").get<double>();
  if (rate > 0) {
    absl::StrAppend(&text, "; open loop, ", Number(rate), " calls/s, ",
                    scenario.at("arrivals").get<std::string>());
  } else {
    absl::StrAppend(&text, "; closed loop, ", scenario.at("concurrency").get<int64_t>(),
                    " in flight");
  }
  return text;
}

std::string TextReport(const json& result) {
  const json& scenario = result.at("scenario");
  const std::string name = scenario.at("name").get<std::string>();
  std::string text = absl::StrCat(name, name.empty() ? "" : ": ", DescribeScenario(scenario), "\n");
  absl::StrAppendFormat(&text, "%s for %.1f s, seed %d\n\n", result.at("target").get<std::string>(),
                        result.at("duration_seconds").get<double>(),
                        result.at("seed").get<uint64_t>());
  absl::StrAppend(&text, Number(result.at("calls_per_second").get<double>()), " calls/s, ",
                  Number(result.at("items_per_second").get<double>()), " items/s, ",
                  ShortBytes(result.at("bytes_per_second").get<double>()), "/s; ",
                  Grouped(result.at("calls").get<int64_t>()), " calls, ",
                  Grouped(result.at("errors").get<int64_t>()), " failed\n\n");
  absl::StrAppend(&text, OperationRows(result), "\n", Latencies(result), "\n");
  if (result.contains("open_loop")) {
    const json& open = result.at("open_loop");
    absl::StrAppend(&text, "Open loop: ", Grouped(open.at("waited").get<int64_t>()),
                    " calls waited for others in flight; sent late by ",
                    ShortTime(open.at("send_lag_us").at("p50").get<double>()), " (p50), ",
                    ShortTime(open.at("send_lag_us").at("p99").get<double>()), " (p99)\n");
  }
  absl::StrAppend(&text, Machines(result), ErrorRows(result));
  for (const json& warning : result.at("warnings")) {
    absl::StrAppend(&text, "Warning: ", warning.get<std::string>(), "\n");
  }
  return text;
}

}  // namespace quarry::load
