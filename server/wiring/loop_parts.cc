#include "server/wiring/loop_parts.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

RecoveryOptions RecoveryOf(const TransactionConfig& config) {
  RecoveryOptions options;
  options.interval = config.recovery_interval;
  options.age_min = config.recovery_age;
  options.audit_interval = config.audit_interval;
  options.keep = config.outcome_keep;
  return options;
}

RecoveryListener LogRecovery() {
  RecoveryListener listener;
  listener.on_finding = [](const AuditFinding& finding) {
    spdlog::error("audit of transactions: {}: {}", NameOf(finding.kind), finding.words);
  };
  listener.on_unfit = [](const std::string& shard, const absl::Status& why) {
    spdlog::warn("no transactions over several shards with shard {}: {}", shard, std::string(why.message()));
  };
  return listener;
}

}  // namespace

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
  parts.transactions.commit_timeout = config.transactions.commit_timeout;
  // One loop of a gateway is enough, whose sessions wait for nobody's calls.
  if (options.loop_index == 0) {
    parts.recovery = RecoveryOf(config.transactions);
    parts.recovery_listener = LogRecovery();
  }
  parts.sealer = options.sealer;
  parts.cache_shared = options.cache_shared;
  parts.cache.bytes_max = static_cast<size_t>(config.cache.bytes);
  parts.strict_snapshots = config.transactions.snapshot_order == "strict";
  parts.locks.shard = config.locks.shard;
  parts.locks.options.limits.waiters_max = static_cast<size_t>(config.locks.waiters_max);
  parts.locks.options.locks_max = config.locks.max;
  parts.locks.options.ttl_max = config.locks.ttl_max;
  parts.locks.shared = options.locks;
  parts.instance = options.instance;
  parts.loop_index = options.loop_index;
  parts.id_node = options.id_node;
  engine_ = std::make_unique<Engine>(loop, std::move(parts));
  feed_ = std::make_unique<ShardFeed>(loop, options.loop_index, std::move(shards),
                                      [this] { return engine_->open_transactions(); }, *options.board);
  transaction_feed_ = std::make_unique<TransactionFeed>(loop, options.loop_index, *engine_, *options.transactions);
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
