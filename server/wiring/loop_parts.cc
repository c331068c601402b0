#include "server/wiring/loop_parts.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace quarry {

LoopParts::LoopParts(Loop& loop, Options options)
    : budget_(RetryBudgetOptions()), snapshot_(std::move(options.snapshot)) {
  const Config& config = *options.config;
  Engine::Parts parts;
  std::vector<const ShardBackend*> shards;
  for (size_t shard = 0; shard < config.shards.size(); ++shard) {
    std::unique_ptr<ShardBackend> decorated = MakeShard(shard, loop, options);
    shards.push_back(decorated.get());
    parts.shards.push_back(std::move(decorated));
  }
  parts.snapshot = [this] { return snapshot_; };
  parts.limits.batch_items_max = config.limits.batch_items;
  parts.limits.row_bytes_max = config.limits.row_bytes;
  parts.limits.reply_bytes_max = config.limits.reply_bytes;
  parts.limits.scatter_width = static_cast<size_t>(config.limits.scatter_width);
  parts.limits.page_rows = config.limits.page_rows;
  parts.limits.page_rows_max = config.limits.page_rows_max;
  parts.limits.bulk_rows = config.limits.bulk_rows;
  parts.limits.aggregate.groups_max = config.limits.aggregate_groups;
  parts.limits.aggregate.values_max = config.limits.aggregate_values;
  parts.limits.raw_sql_allowed = config.raw_sql_enabled;
  parts.transactions.idle_timeout_default = config.transactions.idle_timeout;
  parts.transactions.idle_timeout_max = config.transactions.idle_timeout_max;
  parts.transactions.open_max = static_cast<size_t>(config.transactions.open_max);
  parts.sealer = options.sealer;
  parts.cache_shared = options.cache_shared;
  parts.cache.bytes_max = static_cast<size_t>(config.cache.bytes);
  parts.loop_index = options.loop_index;
  parts.id_node = options.id_node;
  engine_ = std::make_unique<Engine>(loop, std::move(parts));
  feed_ = std::make_unique<ShardFeed>(loop, options.loop_index, std::move(shards),
                                      [this] { return engine_->open_transactions(); }, *options.board);
}

std::unique_ptr<ShardBackend> LoopParts::MakeShard(size_t shard, Loop& loop, const Options& options) {
  const Config& config = *options.config;
  ShardOptions decorated;
  decorated.name = config.shards[shard].name;
  decorated.breaker.faults_max = static_cast<int>(config.breaker.faults);
  decorated.breaker.probe_interval = config.breaker.probe_interval;
  return DecorateShard(options.databases->MakeBackend(shard, loop), std::move(decorated), loop, random_, budget_,
                       options.metrics->AddObserver(config.shards[shard].name));
}

}  // namespace quarry
