// A backend without a database, for tests of what stands on top: answers what it is told, when it is told, and
// keeps count. Of a real one it has what BackendContract and TwoPhaseContract (tests/contract) ask of every backend: the
// request guard, deadlines, sessions that roll back when dropped, run nothing once ended and do not write when read-only.
// It knows no rows, runs no checks and has no bound on its sessions. One loop.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/backend/fake_two_phase.h"

namespace quarry {

class FakeBackend final : public Backend {
 public:
  using Script = std::function<absl::StatusOr<TaskResult>(const Task&)>;

  // From now on: an error, or with OkStatus one empty result per step.
  void AnswerWith(absl::Status status);
  void AnswerWith(TaskResult result);
  void AnswerBy(Script script) { state_->script = std::move(script); }
  // For the next call only; several queue up in order, before what AnswerWith said.
  void AnswerNext(absl::StatusOr<TaskResult> answer) { state_->next.push_back(std::move(answer)); }
  // What Lease and Ping say; OK at first. AnswerWith(status) sets both too.
  void AnswerLeaseWith(absl::Status status) { state_->lease_status = std::move(status); }
  void AnswerPingWith(absl::Status status) { state_->ping_status = std::move(status); }
  // From now on each call takes so long on the call's loop. InfiniteDuration hangs until dropped or until the
  // deadline, which answers kDeadlineExceeded as a driver does.
  void TakeTime(absl::Duration each) { state_->delay = each; }
  // The same for the next call only; several queue up.
  void TakeTimeNext(absl::Duration once) { state_->delays.push_back(once); }

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override;
  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override;
  Async<absl::Status> Ping(const CallContext& ctx) override;
  FakeTwoPhase& two_phase() override { return state_->two_phase; }
  BackendStats stats() const override;

  // How often each was begun.
  int64_t calls() const { return state_->calls; }
  int64_t leases() const { return state_->leases; }
  int64_t pings() const { return state_->pings; }
  // Writing tasks, and writing steps of sessions, that took effect: with their transaction's commit, where they have one.
  // A replay is none, and neither is one that was dropped before its time was up, or what a branch holds.
  int64_t applied() const { return state_->applied; }
  int64_t commits() const { return state_->commits; }
  int64_t rollbacks() const { return state_->rollbacks; }
  int64_t sessions() const { return state_->sessions; }
  // Every task begun, in order; a session's step as a task of one step.
  const std::vector<Task>& tasks() const { return state_->tasks; }
  const std::vector<std::string>& controls() const { return state_->controls; }

 private:
  class FakeSession;
  class FakeStream;
  // Shared with the sessions.
  struct State {
    Script script;
    std::deque<absl::StatusOr<TaskResult>> next;
    absl::Status lease_status;
    absl::Status ping_status;
    absl::Duration delay = absl::ZeroDuration();
    std::deque<absl::Duration> delays;
    FakeTwoPhase two_phase;
    int64_t calls = 0;
    int64_t leases = 0;
    int64_t pings = 0;
    int64_t applied = 0;
    int64_t commits = 0;
    int64_t rollbacks = 0;
    int64_t sessions = 0;
    std::vector<Task> tasks;
    std::vector<std::string> controls;

    absl::StatusOr<TaskResult> Answer(const Task& task);
    // Lets the call's time pass.
    Async<absl::Status> Take(const CallContext& ctx);
  };
  // Counts in `written`, which outlives it, when the task has written.
  static Async<absl::StatusOr<TaskResult>> Run(std::shared_ptr<State> state, const Task& task, int64_t& written,
                                               const CallContext& ctx);

  const std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace quarry
