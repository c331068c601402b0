// A lock that this process holds, and that is kept until it is released or lost.
//
//   auto lock = client->AcquireLock("invoices/nightly");
//   if (lock.ok()) client->Update("runs", {7}, {{"state", "done"}}, {}, {.fence = lock->fence()});
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/connection.h"
#include "client/options.h"

namespace quarry::client {

struct LockOptions {
  // Who asks, for people who look at the lock.
  std::string owner = {};
  // Time of the lease; zero means the gateway's default.
  absl::Duration ttl = absl::ZeroDuration();
  // False: FAILED_PRECONDITION (LOCK_HELD) at once when the lock is not free. True: waits in line
  // for CallOptions::timeout.
  bool wait = true;
};

// Renews the lease in the background, three times in its time, through a new stream when one
// breaks. Thread-safe apart from moving. Destroying it releases the lock, waiting for that at most a
// second.
class HeldLock {
 public:
  // Made by Client::AcquireLock, as soon as the grant has come.
  HeldLock(std::shared_ptr<Connection> connection, std::string name,
           const v1::AcquireResponse& grant);
  HeldLock(HeldLock&&) noexcept;
  HeldLock& operator=(HeldLock&&) noexcept;
  ~HeldLock();

  const std::string& name() const;
  const std::string& lease_id() const;
  int64_t token() const;
  // For CallOptions::fence: what makes sure, where held() can only tell what was so a moment ago.
  Fence fence() const;
  // False once the lease is lost, or may be because no renewal came through in its time.
  bool held() const { return status().ok(); }
  // OK while it is held; else why it is not, FAILED_PRECONDITION (LOCK_LOST).
  absl::Status status() const;
  // Gives the lock back. FAILED_PRECONDITION (LOCK_LOST) when it was lost before.
  absl::Status Release(const CallOptions& call = {});

 private:
  class Keeper;
  std::unique_ptr<Keeper> keeper_;
};

}  // namespace quarry::client
