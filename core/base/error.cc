#include "core/base/error.h"

#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"

namespace quarry {
namespace {

constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";
constexpr char kRetryInfoUrl[] = "type.googleapis.com/google.rpc.RetryInfo";

template <typename Message>
void SetPayload(absl::Status& status, const char* url, const Message& message) {
  status.SetPayload(url, absl::Cord(message.SerializeAsString()));
}

template <typename Message>
bool GetPayload(const absl::Status& status, const char* url, Message& message) {
  const absl::optional<absl::Cord> payload = status.GetPayload(url);
  return payload.has_value() && message.ParseFromString(std::string(*payload));
}

// Facts and fields may hold a name as a caller gave it, of any length: an error stays small enough to be sent.
std::string Short(const std::string& text) {
  constexpr size_t kBytesMax = 200;
  if (text.size() <= kBytesMax) return text;
  size_t end = kBytesMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // Not inside a character.
  return text.substr(0, end) + "…";
}

}  // namespace

absl::Status MakeError(absl::StatusCode code, std::string_view message, const ErrorDetail& detail) {
  absl::Status status(code, absl::string_view(message.data(), message.size()));
  google::rpc::ErrorInfo info;
  info.set_reason(detail.reason);
  info.set_domain("quarry");
  for (const auto& [key, value] : detail.facts) (*info.mutable_metadata())[key] = Short(value);
  SetPayload(status, kErrorInfoUrl, info);
  if (!detail.violations.empty()) {
    google::rpc::BadRequest bad;
    for (const FieldViolation& violation : detail.violations) {
      auto* field = bad.add_field_violations();
      field->set_field(Short(violation.field));
      field->set_description(violation.description);
    }
    SetPayload(status, kBadRequestUrl, bad);
  }
  if (detail.retry_after.has_value()) {
    google::rpc::RetryInfo retry;
    const int64_t nanos = absl::ToInt64Nanoseconds(*detail.retry_after);
    retry.mutable_retry_delay()->set_seconds(nanos / 1'000'000'000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
    SetPayload(status, kRetryInfoUrl, retry);
  }
  return status;
}

absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::map<std::string, std::string> facts) {
  ErrorDetail detail;
  detail.reason = std::string(reason);
  detail.facts = std::move(facts);
  return MakeError(code, message, detail);
}

absl::Status InvalidFields(std::vector<FieldViolation> violations) {
  std::string message;
  for (const FieldViolation& violation : violations) {
    absl::StrAppend(&message, message.empty() ? "" : "; ", violation.field, ": ", violation.description);
  }
  ErrorDetail detail;
  detail.reason = reason::kInvalidField;
  detail.facts["field"] = violations.front().field;
  detail.violations = std::move(violations);
  return MakeError(absl::StatusCode::kInvalidArgument, message, detail);
}

absl::Status InvalidField(std::string_view field, std::string_view description) {
  std::vector<FieldViolation> violations;
  violations.push_back(FieldViolation{std::string(field), std::string(description)});
  return InvalidFields(std::move(violations));
}

ErrorDetail DetailOf(const absl::Status& status) {
  ErrorDetail detail;
  if (google::rpc::ErrorInfo info; GetPayload(status, kErrorInfoUrl, info)) {
    detail.reason = info.reason();
    for (const auto& [key, value] : info.metadata()) detail.facts[key] = value;
  }
  if (google::rpc::BadRequest bad; GetPayload(status, kBadRequestUrl, bad)) {
    for (const auto& field : bad.field_violations()) {
      detail.violations.push_back({field.field(), field.description()});
    }
  }
  if (google::rpc::RetryInfo retry; GetPayload(status, kRetryInfoUrl, retry)) {
    detail.retry_after = absl::Seconds(retry.retry_delay().seconds()) +
                         absl::Nanoseconds(retry.retry_delay().nanos());
  }
  return detail;
}

bool AddViolations(const absl::Status& status, std::vector<FieldViolation>& violations) {
  const ErrorDetail detail = DetailOf(status);
  violations.insert(violations.end(), detail.violations.begin(), detail.violations.end());
  return !detail.violations.empty();
}

std::string ReasonOf(const absl::Status& status) { return DetailOf(status).reason; }

absl::Status WithFact(const absl::Status& status, std::string_view key, std::string_view value) {
  if (status.ok()) return status;
  google::rpc::ErrorInfo info;
  GetPayload(status, kErrorInfoUrl, info);
  info.set_domain("quarry");
  if (info.reason().empty()) info.set_reason(reason::kDatabaseError);
  info.mutable_metadata()->insert({std::string(key), std::string(value)});
  absl::Status result = status;
  SetPayload(result, kErrorInfoUrl, info);
  return result;
}

absl::Status WithMessage(const absl::Status& status, std::string_view message) {
  absl::Status result(status.code(), absl::string_view(message.data(), message.size()));
  status.ForEachPayload(
      [&result](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

}  // namespace quarry
