#include "core/backend/postgres/stream.h"

#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"

namespace quarry::postgres {

PostgresStream::~PostgresStream() {
  state_->on_ready = nullptr;
  if (state_->connection == nullptr) return;
  // The rest is read and thrown away, so that the connection can be used again.
  state_->abandoned = true;
  state_->rows.clear();
  on_abandon_();
  if (state_->connection != nullptr) state_->connection->ResumeStream();
}

Async<absl::StatusOr<RowBatch>> PostgresStream::Next(const CallContext& ctx) {
  if (!state_->full() && !state_->batch->done) {
    Completer<bool> ready(ctx.loop);
    state_->on_ready = [ready]() mutable { ready.Set(true); };
    const Timer timer(ctx.loop, ctx.deadline, [ready]() mutable { ready.Set(false); });
    Future<bool> future = ready.future();
    const bool in_time = co_await future;
    state_->on_ready = nullptr;
    if (!in_time) co_return DeadlineEnded(shard_, "query");
  }
  RowBatch batch;
  batch.header = header_;
  while (!state_->rows.empty()) {
    batch.rows.push_back(std::move(state_->rows.front()));
    state_->rows.pop_front();
  }
  state_->bytes = 0;
  if (!batch.rows.empty()) {
    if (state_->connection != nullptr) state_->connection->ResumeStream();
    co_return batch;
  }
  if (state_->batch->weak_commit) co_return NotConfirmed(shard_, "");
  if (state_->batch->lost) co_return Lost(shard_, writes_, state_->batch->lost_cause);
  const absl::Status error = state_->batch->FirstError();
  if (!error.ok()) co_return error;
  co_return batch;
}

int64_t PostgresStream::affected() const {
  return state_->batch->results.empty() ? 0 : state_->batch->results[0].result.affected;
}

}  // namespace quarry::postgres
