#include "core/engine/shard_rows.h"

#include "core/base/status_macros.h"

namespace quarry {

void ShardRows::Start() {
  started_ = true;
  running_ = Running(Read(), [this](absl::Status status) {
    status_ = std::move(status);
    ended_ = true;
    changed_();
  });
}

std::vector<Row> ShardRows::Take() {
  std::vector<Row> rows = *std::exchange(ready_, std::nullopt);
  if (std::optional<Completer<bool>> waiting = std::exchange(taken_, std::nullopt)) waiting->Set(true);
  return rows;
}

Async<void> ShardRows::WaitUntilTaken() {
  if (!ready_.has_value()) co_return;
  timer_.Stop();
  while (ready_.has_value()) {
    Completer<bool> taken(ctx_.loop);
    taken_ = taken;
    Future<bool> future = taken.future();
    co_await future;
  }
  timer_.Start(shard());
}

Async<absl::Status> ShardRows::ReadRows(Session& session, const Statement& statement) {
  ctx_.stage = Stage::kQuery;
  absl::StatusOr<std::unique_ptr<RowStream>> stream = co_await session.Open(statement, ctx_);
  if (!stream.ok()) co_return stream.status();
  opened_ = true;
  changed_();
  while (true) {
    // First, so that no more than one batch waits beside the one that is being merged.
    co_await WaitUntilTaken();
    absl::StatusOr<RowBatch> batch = co_await (*stream)->Next(ctx_);
    if (!batch.ok()) co_return batch.status();
    if (batch->rows.empty()) co_return absl::OkStatus();
    rows_read_ += static_cast<int64_t>(batch->rows.size());
    CountShardRows(ctx_, shard(), static_cast<int64_t>(batch->rows.size()));
    ready_ = std::move(batch->rows);
    changed_();
  }
}

Async<absl::Status> ShardRows::ReadOnce(ShardSource source) {
  SessionOptions options;
  options.transaction = false;
  options.read_only = true;
  ctx_.stage = Stage::kPool;
  absl::StatusOr<std::unique_ptr<Session>> session = co_await source.backend->Lease(options, ctx_);
  if (!session.ok()) co_return session.status();
  co_return co_await ReadRows(**session, *source.statement);
}

Async<absl::Status> ShardRows::Read() {
  if (session_ != nullptr) {
    const Statement& statement = *sources_.front().statement;
    timer_.Start(shard());
    absl::Status status = co_await ReadRows(*session_, statement);
    timer_.Stop();
    co_return status;
  }
  for (bool again = false;;) {
    const ShardSource source = sources_[at_];
    timer_.Start(source.shard);
    absl::Status status = co_await ReadOnce(source);
    timer_.Stop();
    const bool retry = absl::IsUnavailable(status) && rows_read_ == 0 && !again;
    if (!retry) co_return status;
    if (at_ + 1 < sources_.size()) {
      ++at_;
    } else {
      again = true;
    }
  }
}

}  // namespace quarry
