#include "core/engine/sql_stream.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/base/channel.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/model/check.h"

namespace quarry {
namespace {

// Batches that may wait for a slow reader, over all shards; beyond them the databases wait.
constexpr size_t kEventsQueuedMax = 8;

Statement RawStatement(const RawSqlOperation& op) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(op.sql);
  statement.params = op.params;
  statement.returns_rows = true;
  statement.writes = op.allow_writes;
  statement.raw = true;
  return statement;
}

class ScatteredSql final : public SqlStream {
 public:
  explicit ScatteredSql(SqlRun run)
      : run_(std::move(run)),
        statement_(RawStatement(run_.op)),
        events_(run_.ctx.loop, kEventsQueuedMax),
        ends_(run_.shards.size()) {}
  // What was given up may have been written.
  ~ScatteredSql() override {
    for (const ShardId shard : run_.shards) NoteWrite(shard);
  }

  void Start() {
    running_ = Running(RunAll(), [this](bool) { events_.Close(); });
  }
  Async<std::optional<SqlEvent>> Next() override { return events_.Pop(); }
  const std::vector<ShardId>& shards() const override { return run_.shards; }

 private:
  void NoteWrite(ShardId shard) {
    if (run_.versions != nullptr) run_.versions->WroteAnything(shard);
  }

  Async<bool> RunAll() {
    std::vector<Async<absl::StatusOr<bool>>> work;
    for (size_t i = 0; i < run_.shards.size(); ++i) work.push_back(RunShard(i));
    GatherOptions options;
    options.width = run_.width;
    options.stop_at_first_error = run_.stop_at_first_error;
    std::vector<absl::StatusOr<bool>> results = co_await Gather(run_.ctx.loop, std::move(work), options);
    EndTransactionCall(results);
    for (size_t i = 0; i < results.size(); ++i) {
      if (ends_[i].told) continue;
      SqlEvent event;
      if (ends_[i].event.has_value()) {
        event = *std::move(ends_[i].event);
      } else {
        event.kind = SqlEvent::Kind::kDone;
        event.shard = run_.shards[i];
        event.status = results[i].status();
      }
      co_await events_.Push(std::move(event));
    }
    co_return true;
  }

  void EndTransactionCall(const std::vector<absl::StatusOr<bool>>& results) {
    if (run_.transaction == nullptr) return;
    absl::Status worst;
    for (const absl::StatusOr<bool>& result : results) {
      // What was dropped half way leaves its session in an unknown state.
      overfull_ |= absl::IsCancelled(result.status());
      if (worst.ok() || EndsTransaction(result.status())) worst = result.status();
    }
    if (overfull_) {
      run_.transaction.reset();
    } else {
      run_.transaction->Done(worst);
    }
  }

  Async<absl::StatusOr<bool>> RunShard(size_t i) {
    SqlEvent end;
    end.kind = SqlEvent::Kind::kDone;
    end.shard = run_.shards[i];
    // Only a session is read-only by the database's word, so what may not write has one.
    const bool stored = !run_.op.request_id.empty() && run_.op.allow_writes && run_.transaction == nullptr;
    if (stored) {
      end.status = co_await RunStored(i, end);
    } else if (run_.transaction != nullptr) {
      end.status = co_await StreamRows(i, run_.transaction->session(run_.shards[i]), end);
      // What a write has done before it returned too much ends with its transaction.
      if (run_.op.allow_writes && absl::IsResourceExhausted(end.status)) overfull_ = true;
    } else {
      end.status = co_await RunOnOwnSession(i, end);
    }
    const absl::Status status = end.status;
    NoteWrite(run_.shards[i]);
    // Kept, for this may be dropped while it waits for a slow reader.
    ends_[i].event = end;
    co_await events_.Push(std::move(end));
    ends_[i].told = true;
    if (!status.ok()) co_return status;
    co_return true;
  }

  Async<absl::Status> RunOnOwnSession(size_t i, SqlEvent& end) {
    SessionOptions options;
    options.read_only = !run_.op.allow_writes;
    absl::StatusOr<std::unique_ptr<Session>> session = co_await run_.backends[i]->Lease(options, run_.ctx);
    if (!session.ok()) co_return session.status();
    const absl::Status status = co_await StreamRows(i, **session, end);
    if (!status.ok()) co_return status;
    run_.ctx.stage = Stage::kCommit;
    co_return co_await (*session)->Commit(kPlainCommit, run_.ctx);
  }

  Async<absl::Status> StreamRows(size_t i, Session& session, SqlEvent& end) {
    run_.ctx.stage = Stage::kQuery;
    absl::StatusOr<std::unique_ptr<RowStream>> stream = co_await session.Open(statement_, run_.ctx);
    if (!stream.ok()) co_return stream.status();
    int64_t bytes = 0;
    RowBatch header;
    header.header = (*stream)->header();
    co_await PushBatch(i, SqlEvent::Kind::kHeader, std::move(header));
    while (true) {
      absl::StatusOr<RowBatch> batch = co_await (*stream)->Next(run_.ctx);
      if (!batch.ok()) co_return batch.status();
      if (batch->rows.empty()) break;
      end.rows += static_cast<int64_t>(batch->rows.size());
      if (run_.op.allow_writes) {
        // Before the commit, for a write that returns too much must not stay.
        bytes += ByteSize(batch->rows);
        QUARRY_CO_RETURN_IF_ERROR(CheckBounds(run_.op.bounds, end.rows, bytes));
      }
      co_await PushBatch(i, SqlEvent::Kind::kRows, *std::move(batch));
    }
    end.affected = (*stream)->affected();
    co_return absl::OkStatus();
  }

  // A repeatable write: its rows come back whole, with the stored reply's.
  Async<absl::Status> RunStored(size_t i, SqlEvent& end) {
    Task task;
    task.shard = run_.shards[i];
    task.guard = RequestGuard{run_.op.request_id, run_.op.request_hash};
    Step step;
    step.statements.push_back(statement_);
    Check& check = step.statements.back().check;
    check.kind = Check::Kind::kRowsWithin;
    check.bounds = run_.op.bounds;
    const int64_t asked = check.bounds.bytes_max;
    check.bounds.bytes_max = asked == 0 ? run_.stored_bytes_max : std::min(asked, run_.stored_bytes_max);
    task.steps.push_back(std::move(step));
    absl::StatusOr<TaskResult> result = co_await run_.backends[i]->Execute(task, run_.ctx);
    if (!result.ok()) co_return result.status();
    StatementResult& answer = result->steps.front().statements.back();
    end.replayed = result->replayed;
    end.rows = static_cast<int64_t>(answer.batch.rows.size());
    end.affected = answer.affected;
    RowBatch header;
    header.header = answer.batch.header;
    co_await PushBatch(i, SqlEvent::Kind::kHeader, std::move(header));
    if (end.rows > 0) co_await PushBatch(i, SqlEvent::Kind::kRows, std::move(answer.batch));
    co_return absl::OkStatus();
  }

  Async<void> PushBatch(size_t i, SqlEvent::Kind kind, RowBatch batch) {
    SqlEvent event;
    event.kind = kind;
    event.shard = run_.shards[i];
    event.batch = std::move(batch);
    return events_.Push(std::move(event));
  }

  SqlRun run_;
  const Statement statement_;
  Channel<SqlEvent> events_;
  struct End {
    std::optional<SqlEvent> event;
    bool told = false;
  };
  std::vector<End> ends_;
  bool overfull_ = false;  // The transaction cannot keep what the statement has done.
  Running running_;  // Last: it uses all of the above.
};

}  // namespace

std::unique_ptr<SqlStream> StartSqlStream(SqlRun run) {
  auto stream = std::make_unique<ScatteredSql>(std::move(run));
  stream->Start();
  return stream;
}

}  // namespace quarry
