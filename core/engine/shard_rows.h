// The rows of one statement on one shard, read one batch ahead of who takes them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/engine/shard_timer.h"
#include "core/model/statement.h"

namespace quarry {

// Where the statement may run.
struct ShardSource {
  ShardId shard{};
  const Statement* statement = nullptr;
  Backend* backend = nullptr;
};

// Belongs to its loop. What it is given by reference outlives it.
class ShardRows {
 public:
  // In order of preference: the next is tried when one does not answer before its first row; the last one twice.
  // `session`: the transaction's, then there is one source and one try. `changed` is called whenever ready() or ended() have
  // changed, within the reader's own work: it must not destroy this.
  ShardRows(std::vector<ShardSource> sources, Session* session, const CallContext& ctx, std::function<void()> changed)
      : sources_(std::move(sources)), session_(session), ctx_(ctx), changed_(std::move(changed)), timer_(ctx) {}

  void Start();
  void Stop() {
    running_ = Running();
    timer_.Stop();
  }

  bool started() const { return started_; }
  // The statement has been accepted or has failed.
  bool opened() const { return opened_ || ended_; }
  bool ready() const { return ready_.has_value(); }
  // Nothing of it runs in the database at this moment.
  bool idle() const { return !started_ || ended_ || ready(); }
  // No more rows will come than those that are ready; status() says how it ended.
  bool ended() const { return ended_; }
  const absl::Status& status() const { return status_; }
  // Rows that the database gave.
  int64_t rows_read() const { return rows_read_; }
  // Who answers, or was asked last.
  ShardId shard() const { return sources_[at_].shard; }
  const std::vector<ShardSource>& sources() const { return sources_; }
  size_t tried() const { return at_ + 1; }
  // Lets the next batch be read.
  std::vector<Row> Take();

 private:
  Async<absl::Status> Read();
  Async<absl::Status> ReadOnce(ShardSource source);
  Async<absl::Status> ReadRows(Session& session, const Statement& statement);
  Async<void> WaitUntilTaken();

  const std::vector<ShardSource> sources_;
  Session* const session_;
  const CallContext& ctx_;
  const std::function<void()> changed_;
  size_t at_ = 0;
  bool started_ = false;
  bool opened_ = false;
  bool ended_ = false;
  absl::Status status_;
  std::optional<std::vector<Row>> ready_;
  std::optional<Completer<bool>> taken_;
  int64_t rows_read_ = 0;
  ShardTimer timer_;  // Stands still while a batch waits to be taken.
  Running running_;  // Last: it goes first.
};

}  // namespace quarry
