// What a backend, its sessions and their streams share on one loop, and how they wait for other threads.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/lease_pool.h"
#include "core/backend/sqlite/branches.h"
#include "core/backend/sqlite/connection.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/gate.h"
#include "core/backend/sqlite/job.h"
#include "core/backend/sqlite/lane.h"
#include "core/backend/sqlite/writer.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"

namespace quarry::sqlite {

// What a place in the pool holds: an idle reading connection.
struct ReaderSlot {
  std::shared_ptr<ReaderLane> lane;
};

// Loop's thread only, but that its last owner may let go of it on another thread.
struct Core {
  Core(Loop& own_loop, LeasePoolOptions pool_options, ConnectionOptions connection_options)
      : loop(own_loop),
        port(std::make_shared<LoopPort>(own_loop)),
        pool(own_loop, std::move(pool_options)),
        connection(std::move(connection_options)) {}

  Loop& loop;  // Outlives the backend.
  std::shared_ptr<LoopPort> port;
  LeasePool<ReaderSlot> pool;
  const ConnectionOptions connection;
  std::shared_ptr<WriterQueue> writer;
  std::shared_ptr<WorkerQueue> workers;
  std::shared_ptr<Branches> branches;
  std::shared_ptr<Gate> gate;
  bool strict_snapshots = false;  // Every commit passes the gate.
  std::shared_ptr<Counters> counters = std::make_shared<Counters>();
  std::vector<Write> arriving;  // In this turn of the loop; they go to the writer together.
};

// Tells the job when its caller is dropped.
class CancelOnDrop {
 public:
  explicit CancelOnDrop(std::shared_ptr<JobControl> control) : control_(std::move(control)) {}
  CancelOnDrop(const CancelOnDrop&) = delete;
  CancelOnDrop& operator=(const CancelOnDrop&) = delete;
  ~CancelOnDrop() {
    control_->Withdraw();
    if (!finished_) control_->cancelled.store(true);
  }
  void Finish() { finished_ = true; }

 private:
  std::shared_ptr<JobControl> control_;
  bool finished_ = false;
};

// Time for a statement to notice its own deadline and say so, before its caller stops waiting for it.
inline constexpr absl::Duration kDeadlineGrace = absl::Milliseconds(50);

template <typename T>
using LaneWork = absl::AnyInvocable<absl::StatusOr<T>(Connection&, const JobControl&)>;

// Runs `work` on the lane and answers with its result. kDeadlineExceeded when it did not end in time: it is told to stop,
// and what is submitted next waits until it has.
template <typename T>
Async<absl::StatusOr<T>> RunOnLane(std::shared_ptr<Core> core, std::shared_ptr<Lane> lane,
                                   absl::Time deadline, LaneWork<T> work) {
  const auto control = std::make_shared<JobControl>(deadline);
  Completer<absl::StatusOr<T>> done(core->loop);
  Future<absl::StatusOr<T>> future = done.future();
  CancelOnDrop guard(control);
  const Timer timer(core->loop, deadline + kDeadlineGrace,
                    [done, control, shard = core->connection.shard]() mutable {
                      control->cancelled.store(true);
                      done.Set(DeadlineEnded(shard, "query"));
                    });
  lane->Submit([done, control, port = core->port, counters = core->counters,
                work = std::move(work)](Connection& connection) mutable {
    connection.CountFor(counters.get());
    absl::StatusOr<T> result = work(connection, *control);
    connection.CountFor(nullptr);
    port->Post([done, result = std::move(result)]() mutable { done.Set(std::move(result)); });
  });
  absl::StatusOr<T> result = co_await future;
  guard.Finish();
  co_return result;
}

// The writer for one user, waiting for it within the deadline; kUnavailable TRANSACTION_IN_DOUBT when a branch has it then.
// Dropping the lane gives it back.
Async<absl::StatusOr<std::shared_ptr<Lane>>> AcquireWriter(std::shared_ptr<Core> core, absl::Time deadline);

// Waits at the gate within the deadline; then kUnavailable TRANSACTION_IN_DOUBT, with the branch that has it if one has.
Async<absl::StatusOr<Gate::Pass>> EnterGate(std::shared_ptr<Core> core, Gate::Mode mode, absl::Time deadline);

// One autocommit write, in a group with others unless `alone`.
Async<absl::StatusOr<TaskResult>> RunAutocommit(std::shared_ptr<Core> core, Task task, bool alone,
                                                absl::Time deadline);

// A place in the pool with an open reading connection in it.
Async<absl::StatusOr<std::unique_ptr<ReaderSlot>>> AcquireReader(std::shared_ptr<Core> core,
                                                                 const CallContext& ctx);
// Gives it back once what runs on it has stopped and its transaction is closed.
void ReleaseReader(const std::shared_ptr<Core>& core, std::unique_ptr<ReaderSlot> slot);

}  // namespace quarry::sqlite
