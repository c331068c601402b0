#include "server/translate/lock.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/ids.h"
#include "google/protobuf/duration.pb.h"
#include "server/translate/violations.h"

namespace quarry {
namespace {

constexpr size_t kTextBytesMax = 200;

std::string ToName(const std::string& name, Violations& violations) {
  if (name.empty() || name.size() > kTextBytesMax) violations.Add("name", "is 1 to 200 bytes long");
  if (name.find('\0') != std::string::npos) violations.Add("name", "holds U+0000");
  return name;
}

std::string ToLeaseId(const std::string& text, Violations& violations) {
  std::optional<std::string> canonical = CanonicalUuid(text);
  if (!canonical.has_value()) {
    violations.Add("lease_id", text.empty() ? "is missing; Acquire has returned it"
                                            : "is no UUID; write 32 hexadecimal digits as 8-4-4-4-12");
  }
  return canonical.value_or("");
}

template <typename Request>
absl::StatusOr<LockClaim> ToClaim(const Request& request) {
  Violations violations;
  LockClaim claim;
  claim.name = ToName(request.name(), violations);
  claim.lease_id = ToLeaseId(request.lease_id(), violations);
  if (!violations.empty()) return violations.ToStatus();
  return claim;
}

void SetDuration(absl::Duration duration, google::protobuf::Duration* wire) {
  const int64_t nanos = std::max<int64_t>(0, absl::ToInt64Nanoseconds(duration));
  wire->set_seconds(nanos / 1'000'000'000);
  wire->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

}  // namespace

absl::StatusOr<LockRequest> ToLockRequest(const v1::AcquireRequest& request) {
  Violations violations;
  LockRequest lock;
  lock.name = ToName(request.name(), violations);
  if (!request.lease_id().empty()) lock.lease_id = ToLeaseId(request.lease_id(), violations);
  lock.owner = request.owner();
  if (lock.owner.size() > kTextBytesMax) violations.Add("owner", "is at most 200 bytes long");
  if (lock.owner.find('\0') != std::string::npos) violations.Add("owner", "holds U+0000");
  lock.wait = !request.no_wait();
  if (request.has_ttl()) {
    lock.ttl = absl::Seconds(request.ttl().seconds()) + absl::Nanoseconds(request.ttl().nanos());
    if (lock.ttl <= absl::ZeroDuration()) violations.Add("ttl", "must be positive");
  }
  if (!violations.empty()) return violations.ToStatus();
  return lock;
}

absl::StatusOr<LockClaim> ToLockClaim(const v1::KeepAliveRequest& request) { return ToClaim(request); }

absl::StatusOr<LockClaim> ToLockClaim(const v1::ReleaseRequest& request) { return ToClaim(request); }

absl::StatusOr<std::string> ToLockName(const v1::GetLockRequest& request) {
  Violations violations;
  std::string name = ToName(request.name(), violations);
  if (!violations.empty()) return violations.ToStatus();
  return name;
}

void FillResponse(const LockGrant& grant, v1::AcquireResponse* wire) {
  wire->set_token(grant.token);
  SetDuration(grant.ttl, wire->mutable_ttl());
  SetDuration(grant.remaining, wire->mutable_remaining());
}

void FillResponse(const LockGrant& grant, v1::KeepAliveResponse* wire) {
  wire->set_token(grant.token);
  SetDuration(grant.remaining, wire->mutable_remaining());
}

void FillResponse(const LockView& view, v1::GetLockResponse* wire) {
  wire->set_held(view.held);
  wire->set_token(view.token);
  wire->set_owner(view.owner);
  if (view.held) SetDuration(view.remaining, wire->mutable_remaining());
  wire->set_waiters(static_cast<int32_t>(view.waiters));
}

}  // namespace quarry
