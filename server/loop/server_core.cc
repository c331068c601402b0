#include "server/loop/server_core.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "core/base/error.h"
#include "core/base/random.h"

namespace quarry {

LoopSide::LoopSide(ServerCore& server, std::unique_ptr<GrpcLoop> own_loop, uint32_t own_index)
    : core(server),
      loop(std::move(own_loop)),
      index(own_index),
      id_prefix(static_cast<uint32_t>(SystemRandom().Next() & 0xffff)) {}

std::string LoopSide::NextCallId() {
  constexpr char kHex[] = "0123456789abcdef";
  std::string id(15, '-');
  uint32_t prefix = id_prefix;
  for (size_t i = 4; i-- > 0; prefix >>= 4) id[i] = kHex[prefix & 15];
  uint64_t count = ++calls;
  for (size_t i = 15; i-- > 5; count >>= 4) id[i] = kHex[count & 15];
  return id;
}

LoopSide& ServerCore::SideFor(const Method& method, const google::protobuf::Message& request, LoopSide& home) const {
  if (method.transaction_id == nullptr || !loop_of_transaction) return home;
  std::string scratch;
  const std::string& id =
      request.GetReflection()->GetStringReference(request, method.transaction_id, &scratch);
  if (id.empty()) return home;
  const absl::StatusOr<uint32_t> index = loop_of_transaction(id);
  // An id that is not ours is the engine's to refuse.
  return index.ok() && *index < sides.size() ? *sides[*index] : home;
}

void ServerCore::AddLive() { live.fetch_add(1, std::memory_order_relaxed); }

void ServerCore::RemoveLive() {
  if (live.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
  const absl::MutexLock wake(&mutex);  // Its release makes waiters look again.
}

void ServerCore::RemoveRunning() {
  if (running.fetch_sub(1, std::memory_order_acq_rel) > 1 || !draining.load()) return;
  const absl::MutexLock wake(&mutex);
}

void ServerCore::AwaitNoneRunning(absl::Time deadline) {
  const absl::MutexLock lock(&mutex);
  mutex.AwaitWithDeadline(
      absl::Condition(
          +[](std::atomic<int64_t>* count) { return count->load(std::memory_order_acquire) == 0; }, &running),
      deadline);
}

void ServerCore::AwaitNoneLive() {
  const absl::MutexLock lock(&mutex);
  mutex.Await(absl::Condition(
      +[](std::atomic<int64_t>* count) { return count->load(std::memory_order_acquire) == 0; }, &live));
}

absl::Status TooManyCalls(const LoopSide& side) {
  ErrorDetail detail;
  detail.reason = reason::kLimitExceeded;
  detail.facts = {{"pool", "calls"}, {"size", absl::StrCat(side.core.limits.calls_in_flight_max)}};
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("the gateway already runs ", side.in_flight,
                                " calls on this loop, its limit; retry after a pause, or add gateways"),
                   detail);
}

absl::Status DrainingError() {
  ErrorDetail detail;
  detail.reason = reason::kDraining;
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kUnavailable, "this gateway is shutting down; retry on another one", detail);
}

absl::Status DeadlineError(Stage stage) {
  return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                   absl::StrCat("deadline ended in stage ", StageName(stage)), {{"stage", StageName(stage)}});
}

absl::Time WorkDeadline(absl::Time arrived, absl::Time deadline) {
  constexpr double kAnswerShare = 0.05;
  constexpr absl::Duration kAnswerMax = absl::Milliseconds(50);
  return deadline - std::min(kAnswerMax, kAnswerShare * (deadline - arrived));
}

absl::Status ReplyTooLarge(int64_t bytes, int64_t bytes_max) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("a reply of ", bytes, " bytes is over the limit of ", bytes_max,
                                "; ask for fewer rows or columns"),
                   {{"bytes", absl::StrCat(bytes)}, {"bytes_max", absl::StrCat(bytes_max)}});
}

absl::Status BadBytes(const google::protobuf::Message& prototype) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                   absl::StrCat("the message is not a valid ", prototype.GetDescriptor()->full_name(),
                                ": cut or foreign bytes, nesting over 100 levels, or text that is not UTF-8"));
}

bool IsSaneCallId(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  constexpr std::string_view kSigns = "._-:/";
  for (const char c : id) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) continue;
    if (kSigns.find(c) == std::string_view::npos) return false;
  }
  return true;
}

}  // namespace quarry
