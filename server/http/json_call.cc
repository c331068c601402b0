#include "server/http/json_call.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "google/protobuf/util/json_util.h"

namespace quarry {
namespace {

// Text with bytes of the caller's in it, as one line of printable ASCII.
std::string Printable(std::string text) {
  constexpr size_t kBytesMax = 500;
  text.resize(std::min(text.size(), kBytesMax));
  for (char& c : text) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = ' ';
  }
  return text;
}

absl::StatusOr<const Method*> FindUnary(const RpcTable& table, const std::string& path) {
  const Method* method = table.Find(path);
  if (method == nullptr) {
    return MakeError(absl::StatusCode::kUnimplemented, reason::kInvalidField,
                     absl::StrCat("there is no method ", Printable(path),
                                  "; a path is /<service>/<method>, such as /quarry.v1.DataService/Get"));
  }
  if (method->kind != MethodKind::kUnary) {
    return MakeError(absl::StatusCode::kUnimplemented, reason::kInvalidField,
                     absl::StrCat(path, " is a stream, which JSON over HTTP does not carry; call it over gRPC"));
  }
  return method;
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ParseBody(const Method& method, const std::string& body) {
  std::unique_ptr<google::protobuf::Message> message(method.request->New());
  if (body.empty()) return message;
  const google::protobuf::util::Status parsed = google::protobuf::util::JsonStringToMessage(body, message.get());
  if (!parsed.ok()) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                     absl::StrCat("the body is no JSON form of ", method.request->GetDescriptor()->full_name(), ": ",
                                  Printable(std::string(parsed.message()))));
  }
  return message;
}

absl::StatusOr<std::string> Run(GrpcServer& server, const JsonRequest& request) {
  const absl::StatusOr<const Method*> method = FindUnary(server.table(), request.path);
  if (!method.ok()) return method.status();
  absl::StatusOr<std::unique_ptr<google::protobuf::Message>> message = ParseBody(**method, request.body);
  if (!message.ok()) return message.status();
  LocalRequest call;
  call.method = *method;
  call.message = *std::move(message);
  call.peer = request.peer;
  if (!request.call_id.empty()) call.metadata["x-request-id"] = request.call_id;
  if (!request.timeout.empty() || !request.grpc_timeout.empty()) {
    const std::optional<absl::Duration> timeout =
        request.timeout.empty() ? ParseGrpcTimeout(request.grpc_timeout) : ParseTimeout(request.timeout);
    if (!timeout.has_value()) return InvalidField("X-Timeout", "is no duration such as 1.5s or 200ms");
    call.deadline = absl::Now() + *timeout;
  }
  const absl::StatusOr<std::unique_ptr<google::protobuf::Message>> response = server.CallUnary(std::move(call));
  if (!response.ok()) return response.status();
  std::string body;
  const google::protobuf::util::Status printed = google::protobuf::util::MessageToJsonString(**response, &body);
  if (!printed.ok()) return absl::InternalError("the reply has no JSON form");
  return body;
}

}  // namespace

std::optional<absl::Duration> ParseTimeout(std::string_view text) {
  absl::Duration timeout;
  if (!absl::ParseDuration(absl::string_view(text.data(), text.size()), &timeout)) return std::nullopt;
  if (timeout <= absl::ZeroDuration()) return std::nullopt;
  return timeout;
}

std::optional<absl::Duration> ParseGrpcTimeout(std::string_view text) {
  int64_t count = 0;
  if (text.size() < 2 || text.size() > 9 ||
      !absl::SimpleAtoi(absl::string_view(text.data(), text.size() - 1), &count) || count <= 0) {
    return std::nullopt;
  }
  switch (text.back()) {
    case 'H':
      return absl::Hours(count);
    case 'M':
      return absl::Minutes(count);
    case 'S':
      return absl::Seconds(count);
    case 'm':
      return absl::Milliseconds(count);
    case 'u':
      return absl::Microseconds(count);
    case 'n':
      return absl::Nanoseconds(count);
    default:
      return std::nullopt;
  }
}

int HttpStatusOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

JsonReply ErrorReply(const absl::Status& status) {
  google::rpc::Status full = ToRpcStatus(status);
  JsonReply reply;
  reply.http_status = HttpStatusOf(status.code());
  if (const std::optional<absl::Duration> delay = DetailOf(status).retry_after; delay.has_value()) {
    reply.retry_after_seconds = std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(*delay, absl::Seconds(1))));
  }
  if (google::protobuf::util::MessageToJsonString(full, &reply.body).ok()) return reply;
  full.clear_details();  // Of a type that is not known here.
  reply.body.clear();
  if (!google::protobuf::util::MessageToJsonString(full, &reply.body).ok()) reply.body = "{}";
  return reply;
}

JsonReply RunJsonCall(GrpcServer& server, const JsonRequest& request) {
  absl::StatusOr<std::string> body = Run(server, request);
  if (!body.ok()) return ErrorReply(body.status());
  return {200, *std::move(body), 0};
}

}  // namespace quarry
