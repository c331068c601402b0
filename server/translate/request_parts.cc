#include "server/translate/request_parts.h"

#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/plan/filter.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "server/translate/value.h"

namespace quarry {
namespace {

void CheckShardNames(const v1::ShardNames& names, Violations& violations) {
  if (names.names().empty()) violations.Add("target.shards", "names no shard; name at least one, or use all_shards");
  std::set<std::string> seen;
  for (const std::string& name : names.names()) {
    if (!seen.insert(name).second) violations.Add("target.shards", absl::StrCat("names shard \"", name, "\" twice"));
  }
}

}  // namespace

Target ToTarget(const v1::Target& wire, TargetForms forms, Violations& violations) {
  Target target;
  const bool one = wire.to_case() == v1::Target::kKey || wire.to_case() == v1::Target::kShard;
  if (wire.to_case() != v1::Target::TO_NOT_SET && !(one ? forms.one : forms.many)) {
    violations.Add("target", forms.one ? "must name one shard: shard or key" : "must be all_shards or shards");
    return target;
  }
  switch (wire.to_case()) {
    case v1::Target::kKey:
      target.key = ToKeyInput(wire.key().key(), "target.key.key", violations);
      target.key_table = wire.key().table();
      break;
    case v1::Target::kShard:
      target.shards.push_back(wire.shard());
      break;
    case v1::Target::kShards:
      CheckShardNames(wire.shards(), violations);
      target.shards = ToNames(wire.shards().names());
      break;
    case v1::Target::kAllShards:
      if (!wire.all_shards()) violations.Add("target.all_shards", "must be true where it is given");
      target.all_shards = true;
      break;
    case v1::Target::TO_NOT_SET:
      violations.Add("target", "has no place set; leave it out, or set key, shard, shards or all_shards");
      break;
  }
  return target;
}

void CheckReadOptions(const v1::ReadOptions& options, bool in_transaction, Violations& violations) {
  switch (options.consistency_case()) {
    case v1::ReadOptions::kStrong:
      if (!options.strong()) violations.Add("read_options.strong", "must be true where it is given");
      break;
    case v1::ReadOptions::kMaxStaleness:
      if (options.max_staleness().seconds() < 0 || options.max_staleness().nanos() < 0) {
        violations.Add("read_options.max_staleness", "is negative");
      }
      if (in_transaction) violations.Add("read_options", "must be strong inside a transaction");
      break;
    case v1::ReadOptions::kSnapshot:
      if (!options.snapshot()) violations.Add("read_options.snapshot", "must be true where it is given");
      if (in_transaction) {
        violations.Add("read_options", "must be strong inside a transaction; Begin takes snapshot for all of its reads");
      }
      break;
    case v1::ReadOptions::CONSISTENCY_NOT_SET:
      break;
  }
}

bool ToSnapshot(const v1::ReadOptions& options, bool allow_partial, Violations& violations) {
  if (options.snapshot() && allow_partial) {
    violations.Add("allow_partial", "excludes read_options.snapshot: a cut that lacks a shard is none");
  }
  return options.snapshot();
}

std::string QuestionOf(const google::protobuf::Message& request) {
  std::string question = request.GetTypeName();
  google::protobuf::io::StringOutputStream bytes(&question);
  google::protobuf::io::CodedOutputStream coded(&bytes);
  coded.SetSerializationDeterministic(true);
  request.SerializeToCodedStream(&coded);
  return question;
}

Freshness ToFreshness(const google::protobuf::Message& request, const v1::ReadOptions& options) {
  Freshness freshness;
  if (!options.has_max_staleness()) return freshness;
  freshness.age_max =
      absl::Seconds(options.max_staleness().seconds()) + absl::Nanoseconds(options.max_staleness().nanos());
  freshness.key = QuestionOf(request);
  return freshness;
}

Params ToParams(const google::protobuf::Map<std::string, v1::Value>& wire, const FieldPath& path, Violations& violations) {
  Params params;
  for (const auto& [name, value] : wire) params.emplace(name, ToValue(value, FieldPath(path, name), violations));
  return params;
}

void RefuseUnused(const Params& params, const FieldPath& path, Violations& violations) {
  for (const auto& [name, value] : params) {
    violations.Add(FieldPath(path, name), "is used nowhere; leave it out, or write it as @name in the filter");
  }
}

std::optional<Condition> ToCondition(const std::string& text, const Params& params, const FieldPath& field,
                                     Violations& violations) {
  absl::StatusOr<Condition> condition = ParseFilter(text, params, FilterLimits(), field.ToString());
  if (condition.ok()) return *std::move(condition);
  const ErrorDetail detail = DetailOf(condition.status());
  for (const FieldViolation& violation : detail.violations) {
    violations.Add(violation.field.c_str(), violation.description);
  }
  if (detail.violations.empty()) violations.Add(field, std::string(condition.status().message()));
  return std::nullopt;
}

LockFence ToFence(const v1::LockFence& wire, Violations& violations) {
  LockFence fence;
  fence.lock = wire.lock();
  fence.token = wire.token();
  if (fence.lock.empty() || fence.lock.size() > 200) violations.Add("fence.lock", "is 1 to 200 bytes long");
  if (fence.lock.find('\0') != std::string::npos) violations.Add("fence.lock", "holds U+0000");
  if (fence.token <= 0) violations.Add("fence.token", "is not positive; Acquire has returned the token");
  return fence;
}

std::string ToRequestId(const std::string& text, Violations& violations) {
  if (text.empty()) return "";
  std::optional<std::string> canonical = CanonicalUuid(text);
  if (!canonical.has_value()) violations.Add("request_id", "is no UUID; write 32 hexadecimal digits as 8-4-4-4-12");
  return canonical.value_or("");
}

}  // namespace quarry
