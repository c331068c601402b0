#include "core/config/schema.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "core/base/did_you_mean.h"

namespace quarry {
namespace {

constexpr int64_t kKib = 1 << 10;
constexpr int64_t kMib = 1 << 20;
constexpr int64_t kGib = 1 << 30;
constexpr int64_t kSecond = 1'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;

ConfigSetting Text(std::string path, std::string* field) {
  return {std::move(path), ConfigUnit::kText, field, 0, 0, {}};
}
ConfigSetting Choice(std::string path, std::string* field, std::vector<std::string> choices) {
  return {std::move(path), ConfigUnit::kChoice, field, 0, 0, std::move(choices)};
}
ConfigSetting Count(std::string path, int64_t* field, int64_t min, int64_t max) {
  return {std::move(path), ConfigUnit::kCount, field, min, max, {}};
}
ConfigSetting Bytes(std::string path, int64_t* field, int64_t min, int64_t max) {
  return {std::move(path), ConfigUnit::kBytes, field, min, max, {}};
}
ConfigSetting Time(std::string path, absl::Duration* field, int64_t min_ms, int64_t max_ms) {
  return {std::move(path), ConfigUnit::kDuration, field, min_ms, max_ms, {}};
}
ConfigSetting Flag(std::string path, bool* field) { return {std::move(path), ConfigUnit::kFlag, field, 0, 0, {}}; }

// "4MiB" for whole binary units, else plain bytes.
std::string BytesText(int64_t bytes) {
  if (bytes != 0 && bytes % kGib == 0) return absl::StrCat(bytes / kGib, "GiB");
  if (bytes != 0 && bytes % kMib == 0) return absl::StrCat(bytes / kMib, "MiB");
  if (bytes != 0 && bytes % kKib == 0) return absl::StrCat(bytes / kKib, "KiB");
  return absl::StrCat(bytes);
}

std::string DurationText(absl::Duration duration) { return absl::FormatDuration(duration); }

std::string RangeEnd(ConfigUnit unit, int64_t value) {
  if (unit == ConfigUnit::kDuration) return DurationText(absl::Milliseconds(value));
  return unit == ConfigUnit::kBytes ? BytesText(value) : absl::StrCat(value);
}

std::string RangeText(const ConfigSetting& setting) {
  if (setting.max == 0) return "";
  return absl::StrCat(RangeEnd(setting.unit, setting.min), " to ", RangeEnd(setting.unit, setting.max));
}

std::string TypeText(const ConfigSetting& setting) {
  switch (setting.unit) {
    case ConfigUnit::kText:
      return "text";
    case ConfigUnit::kCount:
      return "count";
    case ConfigUnit::kBytes:
      return "bytes";
    case ConfigUnit::kDuration:
      return "duration";
    case ConfigUnit::kFlag:
      return "true or false";
    case ConfigUnit::kChoice:
      return absl::StrCat("one of ", absl::StrJoin(setting.choices, ", "));
  }
  return "text";
}

std::optional<int64_t> ParseBytes(const std::string& text) {
  absl::string_view digits = text;
  int64_t unit = 1;
  for (const auto& [suffix, size] :
       {std::pair<const char*, int64_t>("KiB", kKib), std::pair<const char*, int64_t>("MiB", kMib),
        std::pair<const char*, int64_t>("GiB", kGib)}) {
    if (absl::ConsumeSuffix(&digits, suffix)) {
      unit = size;
      digits = absl::StripTrailingAsciiWhitespace(digits);
      break;
    }
  }
  int64_t number = 0;
  if (!absl::SimpleAtoi(digits, &number) || number < 0 || number > std::numeric_limits<int64_t>::max() / unit) {
    return std::nullopt;
  }
  return number * unit;
}

// The value in the setting's range unit; nullopt when the text is none.
std::optional<int64_t> ParseNumber(const ConfigSetting& setting, const std::string& text) {
  if (setting.unit == ConfigUnit::kBytes) return ParseBytes(text);
  int64_t number = 0;
  if (!absl::SimpleAtoi(text, &number)) return std::nullopt;
  return number;
}

const char* FormHint(ConfigUnit unit) {
  switch (unit) {
    case ConfigUnit::kBytes:
      return "expects a size in bytes, such as 65536, 64KiB or 4MiB";
    case ConfigUnit::kDuration:
      return "expects a duration with its unit, such as 500ms, 30s or 24h";
    default:
      return "expects a whole number";
  }
}

std::string OutOfRange(const ConfigSetting& setting) { return absl::StrCat("is outside of ", RangeText(setting)); }

std::optional<std::string> ReadDuration(const ConfigSetting& setting, const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration)) return FormHint(setting.unit);
  if (duration < absl::Milliseconds(setting.min) || duration > absl::Milliseconds(setting.max)) {
    return OutOfRange(setting);
  }
  *std::get<absl::Duration*>(setting.field) = duration;
  return std::nullopt;
}

// What is wrong with the text; nullopt when it was taken.
std::optional<std::string> ReadText(const ConfigSetting& setting, const std::string& text) {
  switch (setting.unit) {
    case ConfigUnit::kText:
      if (text.empty()) return "must not be empty";
      *std::get<std::string*>(setting.field) = text;
      return std::nullopt;
    case ConfigUnit::kChoice:
      if (std::find(setting.choices.begin(), setting.choices.end(), text) == setting.choices.end()) {
        return absl::StrCat("expects one of ", absl::StrJoin(setting.choices, ", "), DidYouMean(text, setting.choices));
      }
      *std::get<std::string*>(setting.field) = text;
      return std::nullopt;
    case ConfigUnit::kFlag:
      if (text != "true" && text != "false") return "expects true or false";
      *std::get<bool*>(setting.field) = text == "true";
      return std::nullopt;
    case ConfigUnit::kDuration:
      return ReadDuration(setting, text);
    case ConfigUnit::kCount:
    case ConfigUnit::kBytes: {
      const std::optional<int64_t> number = ParseNumber(setting, text);
      if (!number.has_value()) return FormHint(setting.unit);
      if (*number < setting.min || *number > setting.max) return OutOfRange(setting);
      *std::get<int64_t*>(setting.field) = *number;
      return std::nullopt;
    }
  }
  return std::nullopt;
}

void AppendSettings(const std::vector<ConfigSetting>& settings, bool overridable, std::vector<ConfigKey>& keys) {
  for (const ConfigSetting& setting : settings) {
    keys.push_back({setting.path, TypeText(setting), SettingText(setting), RangeText(setting),
                    overridable ? EnvironmentName(setting.path) : ""});
  }
}

// The keys below named shards, resolvers and tables, and lists: those that ReadSetting does not read.
std::vector<ConfigKey> StructuredKeys() {
  return {
      {"shards.<name>.sqlite.file", "text", "", "", ""},
      {"shards.<name>.postgres.primary", "text", "", "", ""},
      {"shards.<name>.postgres.replicas", "list of text", "none", "", ""},
      {"resolvers.<name>.type", "text", "", "", ""},
      {"plugins", "list of text", "none", "", ""},
      {"peers.addresses", "list of text", "none", "", ""},
      {"tables.<name>.kind", "one of sharded, reference, single", "", "", ""},
      {"tables.<name>.key", "text or list of text", "", "", ""},
      {"tables.<name>.resolver", "text", "", "", ""},
      {"tables.<name>.co_located_with", "text", "", "", ""},
      {"tables.<name>.shard", "text", "", "", ""},
      {"tables.<name>.scatter", "one of allow, deny", "allow", "", ""},
      {"tables.<name>.cache_max_age", "duration", "0", "0 to 1h", ""},
      {"tables.<name>.merge_reads", "true or false", "false", "", ""},
      {"tables.<name>.relations.<name>.table", "text", "", "", ""},
      {"tables.<name>.relations.<name>.columns", "text or list of text", "", "", ""},
      {"tables.<name>.relations.<name>.references", "text or list of text", "", "", ""},
  };
}

}  // namespace

std::vector<ConfigSetting> PoolSettings(const std::string& prefix, PoolConfig& pool) {
  return {
      Count(prefix + ".sessions", &pool.sessions, 1, 1'000),
      Count(prefix + ".waiters", &pool.waiters, 0, 100'000),
      Count(prefix + ".pipelines", &pool.pipelines, 1, 64),
      Time(prefix + ".connect_timeout", &pool.connect_timeout, 100, 5 * kMinute),
  };
}

ConfigSetting CacheAgeSetting(const std::string& table_path, TableDeclaration& table) {
  return Time(table_path + ".cache_max_age", &table.cache_age_max, 0, kHour);
}

ConfigSetting MergeReadsSetting(const std::string& table_path, TableDeclaration& table) {
  return Flag(table_path + ".merge_reads", &table.merge_reads);
}

std::vector<ConfigSetting> GlobalSettings(Config& config) {
  std::vector<ConfigSetting> settings = {
      Text("deployment", &config.deployment),
      Text("data_dir", &config.data_dir),
      Text("listen.grpc", &config.listen.grpc),
      Text("listen.http", &config.listen.http),
      Choice("log.level", &config.log.level, {"debug", "info", "warn", "error"}),
      Choice("log.format", &config.log.format, {"text", "json"}),
      Time("log.slow_query", &config.log.slow_query, 0, kHour),
      Count("loops", &config.loops, 0, 256),
  };
  for (ConfigSetting& setting : PoolSettings("pools", config.pools)) settings.push_back(std::move(setting));
  const std::vector<ConfigSetting> rest = {
      Time("transactions.idle_timeout", &config.transactions.idle_timeout, kSecond, 24 * kHour),
      Time("transactions.idle_timeout_max", &config.transactions.idle_timeout_max, kSecond, 24 * kHour),
      Count("transactions.open_max", &config.transactions.open_max, 1, 1'000'000),
      Text("peers.dns", &config.peers.dns),
      Time("peers.interval", &config.peers.interval, 100, 5 * kMinute),
      Time("transactions.commit_timeout", &config.transactions.commit_timeout, kSecond, 10 * kMinute),
      Time("transactions.recovery_interval", &config.transactions.recovery_interval, 100, 10 * kMinute),
      Time("transactions.recovery_age", &config.transactions.recovery_age, 100, kHour),
      Time("transactions.outcome_keep", &config.transactions.outcome_keep, 2 * kHour, 30 * 24 * kHour),
      Time("transactions.audit_interval", &config.transactions.audit_interval, 100, 24 * kHour),
      Flag("transactions.allow_async_two_phase", &config.transactions.allow_async_two_phase),
      Choice("transactions.snapshot_order", &config.transactions.snapshot_order, {"cross_shard", "strict"}),
      Time("requests.keep", &config.requests_keep, kMinute, 30 * 24 * kHour),
      Count("limits.batch_items", &config.limits.batch_items, 1, 100'000),
      Bytes("limits.row_bytes", &config.limits.row_bytes, kKib, 64 * kMib),
      Bytes("limits.reply_bytes", &config.limits.reply_bytes, kKib, 64 * kMib),
      Bytes("limits.message_bytes", &config.limits.message_bytes, 4 * kKib, 64 * kMib),
      Count("limits.scatter_width", &config.limits.scatter_width, 1, 1'024),
      Count("limits.page_rows", &config.limits.page_rows, 1, 100'000),
      Count("limits.page_rows_max", &config.limits.page_rows_max, 1, 100'000),
      Count("limits.bulk_rows", &config.limits.bulk_rows, 1, 100'000),
      Count("limits.aggregate_groups", &config.limits.aggregate_groups, 1, 10'000'000),
      Count("limits.aggregate_values", &config.limits.aggregate_values, 1, 100'000'000),
      Count("limits.calls_max", &config.limits.calls_max, 1, 1'000'000),
      Bytes("cache.bytes", &config.cache.bytes, 0, kGib),
      Text("locks.shard", &config.locks.shard),
      Count("locks.max", &config.locks.max, 1, 10'000'000),
      Count("locks.waiters_max", &config.locks.waiters_max, 1, 1'000),
      Time("locks.ttl_max", &config.locks.ttl_max, kSecond, 24 * kHour),
      Text("tokens.secret", &config.tokens.secret),
      Flag("raw_sql.enabled", &config.raw_sql_enabled),
      Count("breaker.faults", &config.breaker.faults, 1, 1'000),
      Time("breaker.probe_interval", &config.breaker.probe_interval, 10, 10 * kMinute),
      Time("drain_timeout", &config.drain_timeout, kSecond, kHour),
      Time("default_deadline", &config.default_deadline, 10, kHour),
  };
  settings.insert(settings.end(), rest.begin(), rest.end());
  return settings;
}

std::string EnvironmentName(const std::string& path) {
  return absl::StrCat("QUARRY_", absl::AsciiStrToUpper(absl::StrReplaceAll(path, {{".", "_"}})));
}

std::vector<ConfigKey> KnownConfigKeys() {
  Config config;
  std::vector<ConfigKey> keys;
  AppendSettings(GlobalSettings(config), true, keys);
  std::vector<ConfigKey> structured = StructuredKeys();
  keys.insert(keys.end(), structured.begin(), structured.end());
  std::vector<ConfigKey> pool;
  AppendSettings(PoolSettings("shards.<name>.pool", config.pools), false, pool);
  for (ConfigKey& key : pool) {
    const size_t dot = key.path.rfind('.');
    key.initial = absl::StrCat("that of pools", key.path.substr(dot));
    keys.push_back(std::move(key));
  }
  return keys;
}

std::vector<std::string> KeysBelow(const std::string& pattern) {
  static const std::vector<ConfigKey>& known = *new std::vector<ConfigKey>(KnownConfigKeys());
  const std::string prefix = pattern.empty() ? "" : pattern + ".";
  std::set<std::string> below;
  for (const ConfigKey& key : known) {
    if (key.path.compare(0, prefix.size(), prefix) != 0) continue;
    below.insert(key.path.substr(prefix.size(), key.path.find('.', prefix.size()) - prefix.size()));
  }
  return {below.begin(), below.end()};
}

void ReadSetting(const ConfigSetting& setting, const ConfigNode& node, ConfigReport& report) {
  if (!node.is_scalar()) {
    report.Add(node.at, setting.path, absl::StrCat("expects a single value: ", TypeText(setting)));
    return;
  }
  const std::optional<std::string> wrong = ReadText(setting, node.text);
  if (wrong.has_value()) report.Add(node.at, setting.path, *wrong);
}

std::string SettingText(const ConfigSetting& setting) {
  if (const auto* text = std::get_if<std::string*>(&setting.field)) return **text;
  if (const auto* flag = std::get_if<bool*>(&setting.field)) return **flag ? "true" : "false";
  if (const auto* duration = std::get_if<absl::Duration*>(&setting.field)) return DurationText(**duration);
  const int64_t number = *std::get<int64_t*>(setting.field);
  return setting.unit == ConfigUnit::kBytes ? BytesText(number) : absl::StrCat(number);
}

}  // namespace quarry
