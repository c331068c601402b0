#include "server/observe/shard_log.h"

#include <string>
#include <utility>

namespace quarry {

void ShardLog::State::Compare() {
  const absl::MutexLock lock(&mutex);
  // Read under the lock: of two loops that come here, the later one has the later view.
  const std::vector<ShardView> shards = board.shards();
  down.resize(shards.size(), false);
  for (size_t i = 0; i < shards.size(); ++i) {
    if (shards[i].state == ShardState::kUnknown) continue;
    const bool is_down = shards[i].state != ShardState::kUp;
    if (down[i] == is_down) continue;
    down[i] = is_down;
    if (is_down) {
      logger->warn("shard {} does not answer: {}", shards[i].name, std::string(shards[i].last_error.message()));
    } else {
      logger->info("shard {} answers again", shards[i].name);
    }
  }
}

ShardLog::ShardLog(ShardBoard& board, std::shared_ptr<spdlog::logger> logger)
    : board_(board),
      state_(std::make_shared<State>(board, std::move(logger))),
      listener_(board.AddListener([state = state_] { state->Compare(); })) {}

ShardLog::~ShardLog() { board_.RemoveListener(listener_); }

}  // namespace quarry
