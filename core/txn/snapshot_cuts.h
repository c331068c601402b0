// One consistent cut over several shards for readers: no cross-shard commit is seen in half. Readers close the gates of the shards
// that they read, which cross-shard commits pass; fix what their sessions see behind them; and let go. Cycles of one loop run one
// at a time, and readers that wait meanwhile share the next.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"
#include "core/base/random.h"
#include "core/model/ids.h"
#include "core/txn/commits.h"

namespace quarry {

struct SnapshotCutOptions {
  // At one gate, before all are let go and the cycle has failed: commits must not wait long for a reader.
  absl::Duration gate_timeout = absl::Milliseconds(200);
  // Under closed gates, before all are let go: a session or a gate that does not answer holds up commits no longer. For the breaker
  // a shard that takes so long for `SELECT 1` has not answered in time.
  absl::Duration closed_max = absl::Seconds(1);
  // After a cycle that failed, before the next: a uniform time up to this, doubled with each.
  absl::Duration backoff_first = absl::Milliseconds(5);
  absl::Duration backoff_max = absl::Milliseconds(200);
  size_t waiting_max = 1'024;
};

struct SnapshotCutStats {
  int64_t cycles = 0;   // That ended well.
  int64_t readers = 0;  // Served by them.
  int64_t retries = 0;  // Cycles that failed: a gate was occupied or lost, or a session did not answer.
};

// Sessions that read, one for each shard of a cut.
using CutSessions = std::map<ShardId, std::unique_ptr<Session>>;

class SnapshotCuts {
 public:
  // `loop` and `random` outlive this.
  SnapshotCuts(Loop& loop, Random& random, SnapshotCutOptions options);
  ~SnapshotCuts();
  SnapshotCuts(const SnapshotCuts&) = delete;
  SnapshotCuts& operator=(const SnapshotCuts&) = delete;

  // Read-only sessions on `shards` (ascending), whose every statement sees the same cut. One shard needs no gate.
  // kUnavailable: a shard does not answer, or TRANSACTION_IN_DOUBT when an unfinished commit keeps a gate until the deadline.
  // kResourceExhausted LIMIT_EXCEEDED: too many readers wait; POOL_EXHAUSTED: for a session. kDeadlineExceeded: nothing else is known.
  Async<absl::StatusOr<CutSessions>> Open(std::vector<ShardId> shards, std::vector<ShardParty> parties, const CallContext& ctx);
  const SnapshotCutStats& stats() const { return stats_; }

 private:
  struct Reader;
  Async<std::optional<absl::Status>> TakePart(std::shared_ptr<Reader> reader, absl::Time deadline);
  Async<void> RunCycles();
  Async<absl::Status> RunCycle(const std::vector<std::shared_ptr<Reader>>& readers);

  Loop& loop_;
  Random& random_;
  const SnapshotCutOptions options_;
  SnapshotCutStats stats_;
  std::vector<std::shared_ptr<Reader>> waiting_;
  bool cycling_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  Running running_;
};

}  // namespace quarry
