#include "loadtest/quarry_load/settings.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "core/base/did_you_mean.h"

namespace quarry::load {
namespace {

constexpr int64_t kMany = 1'000'000'000'000'000;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

absl::Status Bad(std::string_view text, std::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat("\"", View(text), "\" is not ", View(wanted)));
}

// `at` gives the member, so that members of members work too.
template <typename Member>
using At = Member& (*)(Scenario&);

template <typename Member>
const Member& Read(At<Member> at, const Scenario& scenario) {
  return at(const_cast<Scenario&>(scenario));
}

Setting Integer(std::string name, At<int64_t> at, int64_t least, int64_t most, std::string help) {
  const std::string wanted = absl::StrCat("a whole number from ", least, " to ", most);
  return {std::move(name), "N", std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            int64_t number = 0;
            if (!absl::SimpleAtoi(View(text), &number) || number < least || number > most) {
              return Bad(text, wanted);
            }
            at(scenario) = number;
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) { return nlohmann::json(Read(at, scenario)); }};
}

Setting Fraction(std::string name, At<double> at, double least, double most, std::string help) {
  const std::string wanted = absl::StrCat("a number from ", least, " to ", most);
  return {std::move(name), "X", std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            double number = 0;
            const bool is_number = absl::SimpleAtod(View(text), &number) && std::isfinite(number);
            if (!is_number || number < least || number > most) return Bad(text, wanted);
            at(scenario) = number;
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) { return nlohmann::json(Read(at, scenario)); }};
}

Setting Time(std::string name, At<absl::Duration> at, std::string help) {
  return {std::move(name), "DURATION", std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            absl::Duration duration;
            if (!absl::ParseDuration(View(text), &duration) || duration < absl::ZeroDuration() ||
                duration > absl::Hours(24 * 365)) {
              return Bad(text, "a time such as 500ms, 30s or 1m");
            }
            at(scenario) = duration;
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) {
            return nlohmann::json(absl::FormatDuration(Read(at, scenario)));
          }};
}

Setting Text(std::string name, std::string value, At<std::string> at, std::string help) {
  return {std::move(name), std::move(value), std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            at(scenario) = std::string(text);
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) { return nlohmann::json(Read(at, scenario)); }};
}

template <typename Enum>
Setting Choice(std::string name, At<Enum> at, std::vector<std::string> names, std::string help) {
  return {std::move(name), absl::StrJoin(names, "|"), std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            const auto found = std::find(names.begin(), names.end(), text);
            if (found == names.end()) {
              return Bad(text, absl::StrCat("one of ", absl::StrJoin(names, ", "),
                                            DidYouMean(text, names)));
            }
            at(scenario) = static_cast<Enum>(found - names.begin());
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) {
            return nlohmann::json(names[static_cast<size_t>(Read(at, scenario))]);
          }};
}

Setting Switch(std::string name, At<bool> at, std::string help) {
  return {std::move(name), "true|false", std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            if (text != "true" && text != "false") return Bad(text, "true or false");
            at(scenario) = text == "true";
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) { return nlohmann::json(Read(at, scenario)); }};
}

Setting Columns(std::string name, At<std::vector<std::string>> at, std::string help) {
  return {std::move(name), "NAME,…", std::move(help),
          [=](Scenario& scenario, std::string_view text) {
            at(scenario) = absl::StrSplit(View(text), ',', absl::SkipWhitespace());
            for (std::string& each : at(scenario)) absl::StripAsciiWhitespace(&each);
            return absl::OkStatus();
          },
          [=](const Scenario& scenario) { return nlohmann::json(Read(at, scenario)); }};
}

Setting Seed() {
  return {"seed", "N", "Seed of the random choices; 0 draws one, which is printed (0)",
          [](Scenario& scenario, std::string_view text) {
            if (!absl::SimpleAtoi(View(text), &scenario.seed)) {
              return Bad(text, "a whole number from 0 to 2^64 - 1");
            }
            return absl::OkStatus();
          },
          [](const Scenario& scenario) { return nlohmann::json(scenario.seed); }};
}

#define QUARRY_AT(member) [](Scenario& s) -> decltype((s.member)) { return s.member; }

void AddLoadSettings(std::vector<Setting>& all) {
  all.push_back(Integer("concurrency", QUARRY_AT(concurrency), 1, 65'536,
                        "Closed loop: calls that are always in flight (16)"));
  all.push_back(Fraction("rate", QUARRY_AT(rate), 0, 1e8,
                         "Open loop: calls a second, sent on schedule; 0 means a closed loop (0)"));
  all.push_back(Choice<Arrivals>("arrivals", QUARRY_AT(arrivals), {"fixed", "poisson"},
                                 "Open loop: equal gaps, or random ones (fixed)"));
  all.push_back(Integer("in_flight_max", QUARRY_AT(in_flight_max), 1, 65'536,
                        "Open loop: at most as many calls in flight; later ones wait, which counts "
                        "as latency (1000)"));
  all.push_back(Time("warmup", QUARRY_AT(warmup), "Time before anything is counted (1s)"));
  all.push_back(Time("duration", QUARRY_AT(duration), "Time that is counted (10s)"));
  all.push_back(Integer("calls", QUARRY_AT(calls), 0, kMany,
                        "End after as many counted calls; 0 means after the duration (0)"));
  all.push_back(Time("deadline", QUARRY_AT(deadline), "Deadline of each call; 0 means the gateway's own (0)"));
  all.push_back(Integer("threads", QUARRY_AT(threads), 1, 256,
                        "Threads that send calls, each with its own channels (1)"));
  all.push_back(
      Integer("channels", QUARRY_AT(channels), 1, 1'024, "Connections of each thread (1)"));
  all.push_back(Time("connect_timeout", QUARRY_AT(connect_timeout),
                     "How long to wait for the server at the start (5s)"));
  all.push_back(Time("drain_timeout", QUARRY_AT(drain_timeout),
                     "How long to wait at the end for calls in flight, before they are cancelled "
                     "and count as failed (10s)"));
  all.push_back(Fraction("max_error_rate", QUARRY_AT(max_error_rate), 0, 1,
                         "Share of calls that may fail before the exit code is 3 (0)"));
  all.push_back(Seed());
}

void AddKeySettings(std::vector<Setting>& all) {
  all.push_back(
      Integer("keys", QUARRY_AT(keys), 1, kMany, "Rows that are there: ids 1 to this (100000)"));
  all.push_back(Choice<Distribution>("distribution", QUARRY_AT(distribution),
                                     {"uniform", "zipfian", "latest", "hot_tenant", "sequential"},
                                     "How keys are chosen (uniform)"));
  all.push_back(Fraction("theta", QUARRY_AT(theta), 0.01, 0.9999,
                         "Skew of zipfian and latest: the larger, the fewer keys get most (0.99)"));
  all.push_back(Fraction("hot_fraction", QUARRY_AT(hot_fraction), 0, 1,
                         "Share of the calls that the hot tenant gets (0.9)"));
  all.push_back(Integer("tenants", QUARRY_AT(tenants), 1, kMany,
                        "Equal ranges of keys; hot_tenant makes the first of them hot (100)"));
  all.push_back(Integer("insert_from", QUARRY_AT(insert_from), 0, kMany,
                        "First id that insert takes; 0 means the one after keys (0)"));
  all.push_back(Integer("delete_from", QUARRY_AT(delete_from), 1, kMany,
                        "First id that delete takes; each goes once, in order (1)"));
}

void AddRequestSettings(std::vector<Setting>& all) {
  all.push_back(Text("table", "NAME", QUARRY_AT(table.name), "Table (usertable)"));
  all.push_back(Text("id_column", "NAME", QUARRY_AT(table.id), "Its primary key, an integer (id)"));
  all.push_back(
      Text("balance_column", "NAME", QUARRY_AT(table.balance), "Its integer column (balance)"));
  all.push_back(
      Text("payload_column", "NAME", QUARRY_AT(table.payload), "Its text column (payload)"));
  all.push_back(Integer("value_bytes", QUARRY_AT(value_bytes), 0, 3'000'000,
                        "Length of each payload that is written (100)"));
  all.push_back(Columns("read_columns", QUARRY_AT(read_columns),
                        "Columns that get, batch_get, query and list ask for (all)"));
  all.push_back(Choice<UpdatedColumns>("update", QUARRY_AT(update), {"balance", "payload", "both"},
                                       "What an update sets (balance)"));
  all.push_back(Integer("batch", QUARRY_AT(batch), 1, 100'000,
                        "Keys of a batch_get, rows of a batch_write (100)"));
  all.push_back(Integer("commit_mutations", QUARRY_AT(commit_mutations), 1, 1'000,
                        "Updates of a commit, all of one shard (2)"));
  all.push_back(
      Switch("request_ids", QUARRY_AT(request_ids),
             "Send each write with a fresh request_id, which makes it safe to retry (false)"));
  all.push_back(Switch("snapshot", QUARRY_AT(snapshot),
                       "query, list and aggregate read one cut over all shards (false)"));
  all.push_back(Text("transaction", "ID", QUARRY_AT(transaction),
                     "Open transaction that get and update run in, one call at a time (none)"));
  all.push_back(Text("sql", "TEXT", QUARRY_AT(sql),
                     "Statement of sql_scan (SELECT id, balance, payload of the whole table)"));
  all.push_back(Text("shard", "NAME", QUARRY_AT(shard),
                     "Shard of sql_scan, query, list and aggregate (all shards)"));
  all.push_back(Integer("query_rows", QUARRY_AT(query_rows), 0, kMany,
                        "Most rows of a query: a number up to this from a random key on; with "
                        "query_order exactly this; 0 means the whole table. Of list: its "
                        "page (100)"));
  all.push_back(Text("query_order", "NAME", QUARRY_AT(query_order),
                     "Column that query and list order by, instead of the key"));
  all.push_back(Integer("request_bytes", QUARRY_AT(request_bytes), 0, 4'000'000,
                        "Size of an echo request (40)"));
  all.push_back(Integer("response_bytes", QUARRY_AT(response_bytes), 0, 4'000'000,
                        "Size that an echo reply must have; 0 means any (0)"));
}

#undef QUARRY_AT

std::vector<Setting> MakeSettings() {
  std::vector<Setting> all;
  all.push_back(Text(
      "description", "TEXT", [](Scenario& s) -> std::string& { return s.description; },
      "What the scenario is, for its reader"));
  AddLoadSettings(all);
  AddKeySettings(all);
  AddRequestSettings(all);
  return all;
}

}  // namespace

std::string Setting::option() const { return "--" + absl::StrReplaceAll(name, {{"_", "-"}}); }

const std::vector<Setting>& Settings() {
  static const auto& settings = *new std::vector<Setting>(MakeSettings());
  return settings;
}

const Setting* FindSetting(std::string_view name) {
  for (const Setting& setting : Settings()) {
    if (setting.name == name) return &setting;
  }
  return nullptr;
}

absl::Status AddOperation(Scenario& scenario, std::string_view text) {
  const size_t colon = text.find(':');
  const absl::StatusOr<Operation> operation = ParseOperation(text.substr(0, colon));
  if (!operation.ok()) return operation.status();
  double weight = 1;
  if (colon != std::string_view::npos &&
      (!absl::SimpleAtod(View(text.substr(colon + 1)), &weight) || !std::isfinite(weight) ||
       weight < 0)) {
    return Bad(text.substr(colon + 1), "a weight: a number, 0 or more");
  }
  for (const WeightedOperation& each : scenario.operations) {
    if (each.operation == *operation) {
      return absl::InvalidArgumentError(
          absl::StrCat(OperationName(*operation), " is given twice: give it one weight"));
    }
  }
  scenario.operations.push_back({*operation, weight});
  return absl::OkStatus();
}

nlohmann::json ShowScenario(const Scenario& scenario) {
  nlohmann::json shown = {{"name", scenario.name}};
  for (const WeightedOperation& each : scenario.operations) {
    shown["operations"][OperationName(each.operation)] = each.weight;
  }
  for (const Setting& setting : Settings()) shown[setting.name] = setting.show(scenario);
  return shown;
}

}  // namespace quarry::load
