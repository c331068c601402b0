// Locks that live on a shard, as one loop of one gateway uses them. Every change is one compare-and-swap of the lock's row,
// computed by ApplyLockEvent, so any number of gateways may share them. One loop.
// Errors, of all: those of the shard's backend.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/random.h"
#include "core/lock/lock_shared.h"
#include "core/lock/lock_sql.h"
#include "core/lock/lock_table.h"
#include "core/model/ids.h"

namespace quarry {

struct LockOptions {
  LockLimits limits;
  int64_t locks_max = 100'000;  // Rows of the store.
  absl::Duration ttl_default = absl::Seconds(30);
  absl::Duration ttl_min = absl::Milliseconds(100);
  absl::Duration ttl_max = absl::Hours(1);
  // How often the first in line looks whether the lock is free; those behind it look more rarely.
  absl::Duration look_interval = absl::Milliseconds(25);
  absl::Duration look_interval_max = absl::Milliseconds(500);
};

struct LockRequest {
  std::string name;      // 1 to 200 bytes.
  std::string lease_id;  // Asking again with it gives the same lease.
  std::string owner;     // At most 200 bytes.
  absl::Duration ttl;    // Zero: the default.
  bool wait = true;      // False: kFailedPrecondition LOCK_HELD at once.
};

struct LockGrant {
  int64_t token = 0;
  absl::Duration ttl;        // A renewal lasts as long.
  absl::Duration remaining;  // At least so long, from the moment of the call.
};

struct LockView {
  bool held = false;
  int64_t token = 0;  // Of the latest grant.
  std::string owner;
  absl::Duration remaining;
  size_t waiters = 0;
};

class LockStore {
 public:
  // All references outlive this.
  LockStore(Loop& loop, Backend& backend, Dialect dialect, Random& random, const LockOptions& options,
            std::shared_ptr<LockShared> shared);
  ~LockStore();
  LockStore(const LockStore&) = delete;
  LockStore& operator=(const LockStore&) = delete;

  // Waits in line within the deadline. Dropped while it waits, it leaves the line, in the background.
  // kResourceExhausted LIMIT_EXCEEDED when the line or the store is full; kInvalidArgument for a bad name, owner or ttl.
  Async<absl::StatusOr<LockGrant>> Acquire(LockRequest request, const CallContext& ctx);
  // Renews the lease for its ttl. kFailedPrecondition LOCK_LOST when it holds the lock no more.
  Async<absl::StatusOr<LockGrant>> KeepAlive(std::string name, std::string lease_id, const CallContext& ctx);
  // Gives the lock back, or the place in line. kFailedPrecondition LOCK_LOST when the lease has neither.
  Async<absl::Status> Release(std::string name, std::string lease_id, const CallContext& ctx);
  // kNotFound LOCK_NOT_FOUND when nobody has used it, or not for long.
  Async<absl::StatusOr<LockView>> Look(std::string name, const CallContext& ctx);

 private:
  class Place;
  struct Bell;
  struct LeaveJob;
  using LeaveJobs = std::list<std::unique_ptr<LeaveJob>>;
  absl::Status Check(const LockRequest& request) const;
  // Reads the lock, applies `event`, stores the outcome; again when someone else was faster.
  // `place`, of kAcquire alone, is settled when the lease is found to hold the lock already: it is no longer the call's to give
  // back.
  Async<absl::StatusOr<LockAnswer>> Apply(std::string name, LockEvent event, Place* place, const CallContext& ctx);
  Async<absl::StatusOr<std::optional<LockRow>>> Find(std::string name, const CallContext& ctx);
  Async<absl::Status> Run(Step step, const CallContext& ctx);
  Async<absl::Status> Make(std::string name, const CallContext& ctx);
  Async<absl::Status> Wait(std::string name, LockAnswer answer, std::shared_ptr<Bell> bell, const CallContext& ctx);
  void LeaveInBackground(std::string name, std::string lease_id, uint64_t call);
  Async<absl::Status> Leave(LeaveJob* job);

  Loop& loop_;
  Backend& backend_;
  const Dialect dialect_;
  Random& random_;
  const LockOptions options_;
  const std::shared_ptr<LockShared> shared_;
  std::shared_ptr<LeaveJobs> leaving_;  // Shared, weakly, with deferred work alone.
};

}  // namespace quarry
