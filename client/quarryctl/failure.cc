#include "client/quarryctl/failure.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/base/error.h"

namespace quarry::ctl {
namespace {

// Of a write whose outcome is not known: under its id it is applied once, however often it is sent.
std::string RepeatUnder(const std::string& write_id) {
  return absl::StrCat("a write may have been applied: run it again with --request-id ", write_id, ", or read the row");
}

std::string Advice(const absl::Status& status, const ErrorDetail& detail, const std::string& write_id) {
  const bool writes = !write_id.empty();
  if (writes && status.code() == absl::StatusCode::kUnknown) return RepeatUnder(write_id);
  if (detail.retry_after.has_value()) {
    return absl::StrCat("run it again after ",
                        absl::FormatDuration(absl::Ceil(*detail.retry_after, absl::Milliseconds(1))));
  }
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
      // Without a reason it is the connection's, which may have broken after the write was sent.
      if (writes && detail.reason.empty()) {
        return absl::StrCat("check that the address is right and the gateway runs (quarryctl health); ", RepeatUnder(write_id));
      }
      return "check that the address is right and the gateway runs (quarryctl health), then run it "
             "again";
    case absl::StatusCode::kAborted:
      return detail.reason == reason::kEtagMismatch
                 ? "read the row again and repeat the change with its new etag"
                 : "run it again";
    case absl::StatusCode::kDeadlineExceeded:
      return absl::StrCat("give more time with --timeout", writes ? "; " + RepeatUnder(write_id) : "");
    case absl::StatusCode::kUnimplemented:
      return "the gateway is older than this quarryctl, or something else listens there";
    default:
      return "";
  }
}

}  // namespace

ExitCode ExitCodeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kNotFound:
      return kExitNotFound;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return kExitInvalid;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return kExitConflict;
    case absl::StatusCode::kAborted:
      return kExitAborted;
    case absl::StatusCode::kUnavailable:
      return kExitUnavailable;
    case absl::StatusCode::kResourceExhausted:
      return kExitExhausted;
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
      return kExitDeadline;
    case absl::StatusCode::kUnknown:
      return kExitOutcomeUnknown;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return kExitDenied;
    default:
      return kExitError;
  }
}

std::string Describe(const std::string& what, const absl::Status& status, const std::string& write_id) {
  const ErrorDetail detail = DetailOf(status);
  std::string text = absl::StrCat(what, " failed: ", absl::StatusCodeToString(status.code()));
  if (!detail.reason.empty()) absl::StrAppend(&text, " (", detail.reason, ")");
  // The message lists every bad field in one line; each gets its own.
  const bool many = detail.violations.size() > 1;
  if (many) {
    absl::StrAppend(&text, "\n  why: ", detail.violations.size(), " fields are wrong\n");
  } else {
    absl::StrAppend(&text, "\n  why: ", status.message(), "\n");
  }
  if (const auto shard = detail.facts.find("shard"); shard != detail.facts.end()) {
    absl::StrAppend(&text, "  shard: ", shard->second, "\n");
  }
  for (const auto& [name, fact] : detail.facts) {
    // A command is one write, so which item of a call it was says nothing.
    const bool told =
        name == "shard" || name == "item" || (name == "field" && !detail.violations.empty());
    if (!told && !fact.empty()) absl::StrAppend(&text, "  ", name, ": ", fact, "\n");
  }
  for (const FieldViolation& violation : detail.violations) {
    if (many)
      absl::StrAppend(&text, "  field ", violation.field, ": ", violation.description, "\n");
  }
  if (const std::string advice = Advice(status, detail, write_id); !advice.empty()) {
    absl::StrAppend(&text, "  do: ", advice, "\n");
  }
  return text;
}

}  // namespace quarry::ctl
