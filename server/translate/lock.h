// Locks: requests and replies.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "core/lock/lock_store.h"
#include "quarry/v1/lock.pb.h"

namespace quarry {

// `lease_id` stays empty when the caller gives none.
absl::StatusOr<LockRequest> ToLockRequest(const v1::AcquireRequest& request);
// Name and canonical lease id of a claim.
struct LockClaim {
  std::string name;
  std::string lease_id;
};
absl::StatusOr<LockClaim> ToLockClaim(const v1::KeepAliveRequest& request);
absl::StatusOr<LockClaim> ToLockClaim(const v1::ReleaseRequest& request);
absl::StatusOr<std::string> ToLockName(const v1::GetLockRequest& request);

void FillResponse(const LockGrant& grant, v1::AcquireResponse* wire);
void FillResponse(const LockGrant& grant, v1::KeepAliveResponse* wire);
void FillResponse(const LockView& view, v1::GetLockResponse* wire);

}  // namespace quarry
