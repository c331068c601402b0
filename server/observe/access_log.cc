#include "server/observe/access_log.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "nlohmann/json.hpp"
#include "server/observe/rpc_metrics.h"

namespace quarry {
namespace {

// What points to the server or its databases rather than to the caller.
bool IsFault(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
      return ReasonOf(status) == reason::kSchemaMismatch;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

}  // namespace

void AccessLog::Write(const AccessEntry& entry) {
  const bool notable = IsFault(entry.status) || (entry.unary && entry.took > options_.slow);
  const spdlog::level::level_enum level = notable ? spdlog::level::warn : spdlog::level::debug;
  if (!logger_->should_log(level)) return;
  logger_->log(level, Line(entry));
}

std::string AccessLog::Line(const AccessEntry& entry) const {
  const double millis = absl::ToDoubleMilliseconds(entry.took);
  const std::string reason = entry.status.ok() ? "" : ReasonOf(entry.status);
  if (options_.json) {
    nlohmann::json line = {{"event", "call"},
                           {"method", entry.method},
                           {"code", GrpcCodeName(entry.status.code())},
                           {"duration_ms", millis},
                           {"call_id", entry.call_id}};
    if (!entry.status.ok()) {
      line["reason"] = reason;
      line["stage"] = StageName(entry.stage);
    }
    return line.dump();
  }
  std::string line =
      absl::StrFormat("%s %s %.2fms id=%s", std::string(entry.method), GrpcCodeName(entry.status.code()), millis,
                      std::string(entry.call_id));
  if (!entry.status.ok()) absl::StrAppend(&line, " reason=", reason, " stage=", StageName(entry.stage));
  return line;
}

}  // namespace quarry
