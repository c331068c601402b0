// The one writer of a shard's file: a thread with a bounded queue. Autocommit writes that wait together share one
// durable commit; a transaction has the writer to itself while it lasts.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/checkpointer.h"
#include "core/backend/sqlite/connection.h"
#include "core/backend/sqlite/gate.h"
#include "core/backend/sqlite/job.h"
#include "core/backend/sqlite/lane.h"
#include "core/base/group_pace.h"
#include "core/model/statement.h"

namespace quarry::sqlite {

// An autocommit write. Owns its task: the caller may go away while it runs.
struct Write {
  Task task;
  std::shared_ptr<JobControl> control;
  std::shared_ptr<Counters> counters;
  // On the loop of `port`, after the durable commit or the failure.
  absl::AnyInvocable<void(absl::StatusOr<TaskResult>)> done;
  std::shared_ptr<LoopPort> port;
  bool alone = false;  // Never in a group: it holds a user's own SQL.
};

class WriterLane;

// Somebody who wants the writer to himself.
struct LeaseRequest {
  std::shared_ptr<JobControl> control;
  // On the writer's thread; an error on that of whoever closed the queue to writes. Dropping the lane gives the writer back.
  absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<Lane>>)> granted;
};

// Thread-safe; outlives the writer in the hands of lanes.
class WriterQueue : public std::enable_shared_from_this<WriterQueue> {
 public:
  struct Group {
    std::vector<Write> writes;
  };
  struct Held {
    Lane::Job job;
  };
  struct Released {};
  struct Idle {};
  struct Stopped {};
  using Work = std::variant<Stopped, Idle, Group, LeaseRequest, Held, Released>;

  WriterQueue(std::string shard, size_t waiters_max) : shard_(std::move(shard)), waiters_max_(waiters_max) {}

  struct Refused {
    Write write;
    absl::Status status;
  };

  // kResourceExhausted POOL_EXHAUSTED when full. Never both refused and answered through `done`.
  std::vector<Refused> Push(std::vector<Write> writes) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Push(LeaseRequest request) ABSL_LOCKS_EXCLUDED(mutex_);

  // The writer at once, when nobody has it or waits for it; else null. A group that is being run ends before the holder's first job.
  std::shared_ptr<Lane> TryHold() ABSL_LOCKS_EXCLUDED(mutex_);
  // The writer, before its thread starts: nothing that is pushed is done until the lane is dropped.
  std::shared_ptr<Lane> HoldFromStart() ABSL_LOCKS_EXCLUDED(mutex_);
  // Whatever waits or comes is answered with this from now on.
  void Refuse(const absl::Status& refusal) ABSL_LOCKS_EXCLUDED(mutex_);

  // The holder's jobs, and his end.
  void PushHeld(Lane::Job job) ABSL_LOCKS_EXCLUDED(mutex_);
  void Release() ABSL_LOCKS_EXCLUDED(mutex_);

  // The writer's side. Blocks for at most `wait`.
  Work Take(absl::Duration wait) ABSL_LOCKS_EXCLUDED(mutex_);
  // A group of `members`, which took `took`, is about to be answered.
  void Answering(size_t members, absl::Duration took) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndLease() ABSL_LOCKS_EXCLUDED(mutex_);
  // No more is taken in. What waits is left for DropAll, on the writer's thread: it may hold cursors.
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);
  void DropAll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using Entry = std::variant<Write, LeaseRequest>;
  static const std::shared_ptr<JobControl>& ControlOf(const Entry& entry);
  // OK when there is a place; those who have given up make room, and move to `dropped`.
  absl::Status MakeRoom(std::deque<Entry>& dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Work TakeHeld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Work TakeWaiting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether there is a group that had better wait for more.
  bool Gathers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || (held_ ? !held_jobs_.empty() : !waiting_.empty());
  }

  const std::string shard_;
  const size_t waiters_max_;
  absl::Mutex mutex_;
  std::deque<Entry> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<Lane::Job> held_jobs_ ABSL_GUARDED_BY(mutex_);  // A null job is the holder's end.
  GroupPace pace_ ABSL_GUARDED_BY(mutex_);
  absl::Status refusal_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

class WriterLane final : public Lane {
 public:
  explicit WriterLane(std::shared_ptr<WriterQueue> queue) : queue_(std::move(queue)) {}
  WriterLane(const WriterLane&) = delete;
  WriterLane& operator=(const WriterLane&) = delete;
  ~WriterLane() override { queue_->Release(); }
  void Submit(Job job) override { queue_->PushHeld(std::move(job)); }

 private:
  std::shared_ptr<WriterQueue> queue_;
};

// The thread. Started by the constructor, stopped and joined by the destructor; what waits then is destroyed unrun.
class Writer {
 public:
  // Every durable commit of autocommit writes passes `gate`, unless that is null.
  Writer(std::shared_ptr<WriterQueue> queue, std::unique_ptr<Connection> connection, Checkpointer& checkpointer,
         absl::Duration request_keep, std::shared_ptr<Gate> gate);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

 private:
  void Run();
  void RunGroup(std::vector<Write> writes);
  // One try at the members without a failure of their own; false when the rest has to be run again.
  bool TryGroup(std::vector<Write>& writes, std::vector<absl::StatusOr<TaskResult>>& results,
                std::vector<bool>& failed);
  bool RunMembers(std::vector<Write>& writes, std::vector<absl::StatusOr<TaskResult>>& results,
                  std::vector<bool>& failed);
  // Commits what the members have done; the result code of SQLite. OK in `gate` unless the gate was not passed.
  int CommitGroup(const std::vector<Write>& writes, absl::Status* gate);
  void Finish(std::vector<Write>& writes, std::vector<absl::StatusOr<TaskResult>>& results,
              const std::vector<bool>& failed);
  void Maintain();

  std::shared_ptr<WriterQueue> queue_;
  std::unique_ptr<Connection> connection_;
  Checkpointer& checkpointer_;  // Outlives this.
  const absl::Duration request_keep_;
  const std::shared_ptr<Gate> gate_;
  absl::Time next_purge_ = absl::InfinitePast();
  std::thread thread_;
};

}  // namespace quarry::sqlite
