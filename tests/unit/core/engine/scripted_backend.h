// One shard without a database whose every answer, wait and failure is scripted, and which counts what is open.
// Of a real one it has: checks, request guards, atomic tasks, and the rollback of a dropped session.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/backend.h"
#include "core/backend/fake_two_phase.h"
#include "core/backend/run_then_prepare.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/check.h"

namespace quarry {

enum class CallKind { kPing, kLease, kExecute, kStep, kOpen, kNext, kControl, kPrepare, kCommit, kRollback };

// What a ScriptedBackend says and has seen; outlives it, so that a test can look when the engine is gone.
struct ShardScript {
  using StepAnswer = std::function<absl::StatusOr<StepResult>(const Step& step)>;

  // Answers of the steps; unset: no rows, one row written by each writing statement.
  StepAnswer step;
  // Errors by kind of call, before it does anything.
  std::map<CallKind, absl::Status> fail;
  // Calls of these kinds wait until Release, their deadline, or until they are dropped.
  std::set<CallKind> hold;
  bool writes_nothing = false;  // Its sessions' statements find nothing to write.
  std::vector<RowBatch> stream;  // What a raw statement returns.
  absl::Status stream_end;
  int64_t stream_affected = 0;

  int sessions = 0;   // Open now.
  int streams = 0;    // Open now.
  int running = 0;    // Calls under way now.
  int commits = 0;
  int rollbacks = 0;  // Sessions whose work was undone.
  int batches_read = 0;
  std::vector<std::string> log;
  std::vector<SessionOptions> leased;
  FakeTwoPhase two_phase;  // Branches, decisions and stored replies.

  void Release() {
    hold.clear();
    for (Completer<bool>& waiter : std::exchange(waiters, {})) waiter.Set(true);
  }
  std::vector<Completer<bool>> waiters;
};

class ScriptedBackend final : public Backend {
 public:
  explicit ScriptedBackend(ShardScript& script) : script_(script) {}

  Async<absl::StatusOr<TaskResult>> Execute(const Task& task, const CallContext& ctx) override {
    absl::Status entered = co_await Enter(script_, CallKind::kExecute, "execute", ctx);
    QUARRY_CO_RETURN_IF_ERROR(entered);
    if (task.guard.has_value()) {
      absl::StatusOr<std::optional<TaskResult>> stored = script_.two_phase.state().Claim(*task.guard);
      if (!stored.ok()) co_return stored.status();
      if (stored->has_value()) co_return **std::move(stored);
    }
    TaskResult result;
    for (const Step& step : task.steps) {
      absl::StatusOr<StepResult> answer = Answer(script_, step);
      if (!answer.ok() && task.atomicity == Atomicity::kAll) {
        co_return WithFact(answer.status(), "item", absl::StrCat(step.item));
      }
      StepResult kept;
      if (answer.ok()) {
        kept = *std::move(answer);
      } else {
        kept.status = answer.status();
      }
      result.steps.push_back(std::move(kept));
    }
    if (task.guard.has_value()) {
      script_.two_phase.state().replies[task.guard->request_id] = std::make_pair(task.guard->request_hash, result);
    }
    if (task.writes()) ++script_.commits;
    co_return result;
  }

  Async<absl::StatusOr<std::unique_ptr<Session>>> Lease(const SessionOptions& options,
                                                        const CallContext& ctx) override {
    script_.leased.push_back(options);
    absl::Status entered = co_await Enter(script_, CallKind::kLease, "lease", ctx);
    QUARRY_CO_RETURN_IF_ERROR(entered);
    co_return std::make_unique<ScriptedSession>(script_);
  }
  Async<absl::Status> Ping(const CallContext& ctx) override {
    absl::Status entered = co_await Enter(script_, CallKind::kPing, "ping", ctx);
    co_return entered;
  }
  FakeTwoPhase& two_phase() override { return script_.two_phase; }
  BackendStats stats() const override { return BackendStats(); }

 private:
  struct Running {
    explicit Running(ShardScript& script) : script(script) { ++script.running; }
    ~Running() { --script.running; }
    ShardScript& script;
  };

  static Async<absl::Status> Enter(ShardScript& script, CallKind kind, std::string what, const CallContext& ctx) {
    script.log.push_back(std::move(what));
    const Running running(script);
    if (script.hold.count(kind) != 0) {
      Completer<bool> released(ctx.loop);
      script.waiters.push_back(released);
      const Timer timer(ctx.loop, ctx.deadline, [released]() mutable { released.Set(false); });
      Future<bool> ready = released.future();
      const bool in_time = co_await ready;
      if (!in_time) co_return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline, "deadline");
    }
    const auto failure = script.fail.find(kind);
    if (failure != script.fail.end()) co_return failure->second;
    co_return absl::OkStatus();
  }

  static absl::StatusOr<StepResult> Answer(ShardScript& script, const Step& step) {
    for (const Statement& statement : step.statements) script.log.push_back(*statement.sql);
    StepResult result;
    if (script.step) {
      QUARRY_ASSIGN_OR_RETURN(result, script.step(step));
    } else {
      for (const Statement& statement : step.statements) {
        result.statements.emplace_back().affected = statement.writes ? 1 : 0;
      }
    }
    for (size_t i = 0; i < step.statements.size(); ++i) {
      QUARRY_RETURN_IF_ERROR(EvaluateCheck(step.statements[i].check, result.statements[i]));
    }
    return result;
  }

  class ScriptedStream final : public RowStream {
   public:
    explicit ScriptedStream(ShardScript& script) : script_(script), left_(script.stream.begin(), script.stream.end()) {
      ++script_.streams;
      if (!left_.empty()) header_ = left_.front().header;
    }
    ~ScriptedStream() override { --script_.streams; }
    RowHeader header() const override { return header_; }
    Async<absl::StatusOr<RowBatch>> Next(const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kNext, "next", ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      if (left_.empty()) {
        QUARRY_CO_RETURN_IF_ERROR(script_.stream_end);
        co_return RowBatch();
      }
      ++script_.batches_read;
      RowBatch batch = std::move(left_.front());
      left_.pop_front();
      co_return batch;
    }
    int64_t affected() const override { return script_.stream_affected; }

   private:
    ShardScript& script_;
    std::list<RowBatch> left_;
    RowHeader header_;
  };

  class ScriptedSession final : public Session {
   public:
    explicit ScriptedSession(ShardScript& script) : script_(script) { ++script_.sessions; }
    ~ScriptedSession() override {
      --script_.sessions;
      if (open_) ++script_.rollbacks;
    }
    Async<absl::StatusOr<StepResult>> Execute(const Step& step, const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kStep, "step", ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      for (const Statement& statement : step.statements) wrote_ = wrote_ || (statement.writes && !script_.writes_nothing);
      co_return Answer(script_, step);
    }
    Async<absl::StatusOr<std::unique_ptr<RowStream>>> Open(const Statement& statement,
                                                           const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kOpen, *statement.sql, ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      co_return std::make_unique<ScriptedStream>(script_);
    }
    Async<absl::Status> Control(const std::string& sql, const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kControl, sql, ctx);
      co_return entered;
    }
    Async<absl::Status> Commit(const CommitOptions& options, const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kCommit, "commit", ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      const absl::Status stored = script_.two_phase.state().Commit(options);
      QUARRY_CO_RETURN_IF_ERROR(stored);
      open_ = false;
      ++script_.commits;
      co_return absl::OkStatus();
    }
    Async<absl::Status> Rollback(const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kRollback, "rollback", ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      open_ = false;
      ++script_.rollbacks;
      co_return absl::OkStatus();
    }
    bool wrote() const override { return wrote_; }
    Async<absl::StatusOr<std::optional<TaskResult>>> Claim(const RequestGuard& guard, const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kStep, "claim", ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      co_return script_.two_phase.state().Claim(guard);
    }
    Async<absl::Status> PassGate(const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kControl, "gate", ctx);
      co_return entered;
    }
    Async<absl::Status> Prepare(const GlobalTransaction& transaction, const CallContext& ctx) override {
      absl::Status entered = co_await Enter(script_, CallKind::kPrepare, "prepare", ctx);
      QUARRY_CO_RETURN_IF_ERROR(entered);
      const absl::Status prepared = script_.two_phase.state().Prepare(transaction);
      if (prepared.ok() || absl::IsUnknown(prepared)) open_ = false;
      co_return prepared;
    }
    Async<PreparedTask> RunAndPrepare(const Task& task, const GlobalTransaction& transaction, const CallContext& ctx) override {
      return RunThenPrepare(*this, task, transaction, ctx);
    }

   private:
    ShardScript& script_;
    bool open_ = true;
    bool wrote_ = false;
  };

  ShardScript& script_;
};

// A result of one statement with these rows.
inline StepResult RowsResult(std::vector<Row> rows) {
  StepResult result;
  StatementResult& statement = result.statements.emplace_back();
  statement.affected = static_cast<int64_t>(rows.size());
  statement.batch.rows = std::move(rows);
  return result;
}

inline absl::Status Down() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "cannot connect");
}

inline absl::Status UniqueViolation() {
  return MakeError(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation, "duplicate key");
}

}  // namespace quarry
