#include "core/backend/sqlite/core.h"

#include <optional>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

// Gives the place back when its caller is dropped while the connection is being opened.
class ForfeitOnDrop {
 public:
  explicit ForfeitOnDrop(LeasePool<ReaderSlot>& pool) : pool_(&pool) {}
  ForfeitOnDrop(const ForfeitOnDrop&) = delete;
  ForfeitOnDrop& operator=(const ForfeitOnDrop&) = delete;
  ~ForfeitOnDrop() {
    if (pool_ != nullptr) pool_->Forfeit();
  }
  void Keep() { pool_ = nullptr; }

 private:
  LeasePool<ReaderSlot>* pool_;
};

using OpenResult = absl::StatusOr<std::shared_ptr<ReaderLane>>;

Async<OpenResult> OpenReader(std::shared_ptr<Core> core) {
  Completer<OpenResult> done(core->loop);
  Future<OpenResult> future = done.future();
  core->workers->Push([done, port = core->port, options = core->connection, queue = core->workers]() mutable {
    absl::StatusOr<std::unique_ptr<Connection>> connection =
        Connection::Open(options, Connection::Mode::kRead);
    OpenResult result = connection.ok()
                            ? OpenResult(std::make_shared<ReaderLane>(queue, *std::move(connection)))
                            : OpenResult(connection.status());
    port->Post([done, result = std::move(result)]() mutable { done.Set(std::move(result)); });
  });
  OpenResult result = co_await future;
  co_return result;
}

// Who does not get the writer in time is told why when it is for a branch.
absl::Status NoWriter(const Core& core) {
  return core.branches->Obstacle().value_or(DeadlineEnded(core.connection.shard, "pool"));
}

// Leaves the line at the gate, also when the caller is dropped.
class LeaveGate {
 public:
  LeaveGate(std::shared_ptr<Gate> gate, std::shared_ptr<JobControl> control)
      : gate_(std::move(gate)), control_(std::move(control)) {}
  LeaveGate(const LeaveGate&) = delete;
  LeaveGate& operator=(const LeaveGate&) = delete;
  ~LeaveGate() { Leave(); }
  void Leave() {
    if (control_->Withdraw()) gate_->Sweep();
  }

 private:
  std::shared_ptr<Gate> gate_;
  std::shared_ptr<JobControl> control_;
};

// What arrives in one turn of the loop costs one lock and one wake-up of the writer, which finds the whole group.
void SendAtEndOfTurn(const std::shared_ptr<Core>& core, Write write) {
  core->arriving.push_back(std::move(write));
  if (core->arriving.size() > 1) return;
  core->loop.Defer([core] {
    for (WriterQueue::Refused& refused : core->writer->Push(std::exchange(core->arriving, {}))) {
      refused.write.done(std::move(refused.status));
    }
  });
}

}  // namespace

Async<absl::StatusOr<std::shared_ptr<Lane>>> AcquireWriter(std::shared_ptr<Core> core, absl::Time deadline) {
  using Granted = absl::StatusOr<std::shared_ptr<Lane>>;
  if (std::shared_ptr<Lane> free = core->writer->TryHold()) co_return free;
  const auto control = std::make_shared<JobControl>(deadline);
  Completer<Granted> done(core->loop);
  Future<Granted> future = done.future();
  const CancelOnDrop guard(control);
  const Timer timer(core->loop, deadline, [done, control, core]() mutable {
    control->Withdraw();
    done.Set(NoWriter(*core));
  });
  LeaseRequest request;
  request.control = control;
  request.granted = [done, port = core->port](Granted lane) mutable {
    port->Post([done, lane = std::move(lane)]() mutable { done.Set(std::move(lane)); });
  };
  const absl::Status pushed = core->writer->Push(std::move(request));
  if (!pushed.ok()) co_return pushed;
  Granted granted = co_await future;
  co_return granted;
}

Async<absl::StatusOr<Gate::Pass>> EnterGate(std::shared_ptr<Core> core, Gate::Mode mode, absl::Time deadline) {
  using Entered = absl::StatusOr<Gate::Pass>;
  if (std::optional<Gate::Pass> pass = core->gate->TryEnter(mode)) co_return *std::move(pass);
  const auto control = std::make_shared<JobControl>(deadline);
  Completer<Entered> done(core->loop);
  Future<Entered> future = done.future();
  const auto leave = std::make_shared<LeaveGate>(core->gate, control);
  const Timer timer(core->loop, deadline, [done, leave, core]() mutable {
    leave->Leave();
    done.Set(core->branches->Obstacle().value_or(GateOccupied(core->connection.shard)));
  });
  core->gate->Enter(mode, control, [done, port = core->port](Gate::Pass pass) mutable {
    port->Post([done, pass = std::move(pass)]() mutable { done.Set(std::move(pass)); });
  });
  Entered entered = co_await future;
  co_return entered;
}

Async<absl::StatusOr<TaskResult>> RunAutocommit(std::shared_ptr<Core> core, Task task, bool alone,
                                                absl::Time deadline) {
  using Result = absl::StatusOr<TaskResult>;
  const auto control = std::make_shared<JobControl>(deadline);
  Completer<Result> done(core->loop);
  Future<Result> future = done.future();
  // Dropped while it waits, it is never run; dropped while it runs, it goes on: its commit may be under way.
  CancelOnDrop guard(control);
  guard.Finish();
  const Timer timer(core->loop, deadline, [done, control, core]() mutable {
    done.Set(control->Withdraw() ? NoWriter(*core) : DeadlineEnded(core->connection.shard, "commit"));
  });
  Write write;
  write.task = std::move(task);
  write.control = control;
  write.counters = core->counters;
  write.alone = alone;
  write.done = [done](Result result) mutable { done.Set(std::move(result)); };
  write.port = core->port;
  SendAtEndOfTurn(core, std::move(write));
  Result result = co_await future;
  co_return result;
}

Async<absl::StatusOr<std::unique_ptr<ReaderSlot>>> AcquireReader(std::shared_ptr<Core> core,
                                                                 const CallContext& ctx) {
  Async<absl::StatusOr<std::unique_ptr<ReaderSlot>>> acquire = core->pool.Acquire(ctx);
  absl::StatusOr<std::unique_ptr<ReaderSlot>> place = co_await acquire;
  if (!place.ok()) co_return place.status();
  std::unique_ptr<ReaderSlot> slot = *std::move(place);
  if (slot == nullptr) {
    ForfeitOnDrop forfeit(core->pool);
    Async<OpenResult> opening = OpenReader(core);
    OpenResult lane = co_await opening;
    if (!lane.ok()) co_return lane.status();
    forfeit.Keep();
    slot = std::make_unique<ReaderSlot>();
    slot->lane = *std::move(lane);
  }
  co_return slot;
}

void ReleaseReader(const std::shared_ptr<Core>& core, std::unique_ptr<ReaderSlot> slot) {
  const std::shared_ptr<ReaderLane> lane = slot->lane;
  lane->Submit([core = core, port = core->port, slot = std::move(slot)](Connection& connection) mutable {
    connection.Rollback();
    port->Post(
        [core = std::move(core), slot = std::move(slot)]() mutable { core->pool.Release(std::move(slot)); });
  });
}

}  // namespace quarry::sqlite
