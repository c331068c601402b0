// Says in the log when a shard stops answering and when it is back.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/observe/shard_board.h"
#include "spdlog/logger.h"

namespace quarry {

class ShardLog {
 public:
  // `board` outlives this.
  ShardLog(ShardBoard& board, std::shared_ptr<spdlog::logger> logger);
  ~ShardLog();
  ShardLog(const ShardLog&) = delete;
  ShardLog& operator=(const ShardLog&) = delete;

 private:
  // What the board's listener holds: the board may call it once more after it was removed.
  struct State {
    State(const ShardBoard& shard_board, std::shared_ptr<spdlog::logger> own_logger)
        : board(shard_board), logger(std::move(own_logger)) {}
    void Compare() ABSL_LOCKS_EXCLUDED(mutex);

    const ShardBoard& board;
    const std::shared_ptr<spdlog::logger> logger;
    absl::Mutex mutex;
    std::vector<bool> down ABSL_GUARDED_BY(mutex);  // As last told.
  };

  ShardBoard& board_;
  const std::shared_ptr<State> state_;
  const uint64_t listener_;
};

}  // namespace quarry
