// Counts queries by shape as they end, and logs the slow ones.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "core/engine/query_stats.h"
#include "server/loop/rpc_table.h"
#include "server/observe/slow_query_log.h"

namespace quarry {

// Thread-safe.
class QueryRecorder {
 public:
  // `slow`, which may be null, outlives this.
  QueryRecorder(size_t loops, SlowQueryLog* slow) : stats_(loops), slow_(slow) {}
  const QueryStats& stats() const { return stats_; }

 private:
  friend class QueryWatch;
  QueryStats stats_;
  SlowQueryLog* const slow_;
};

// One query, from its beginning to its end, on its loop: meanwhile its context counts what it takes of each shard. One that its
// caller leaves before its end counts as failed.
class QueryWatch {
 public:
  // What the call can be explained by later; null for writes. The operation outlives this.
  using MakeExample = std::function<std::shared_ptr<const QueryExample>()>;
  // `recorder` and `scope` outlive this, and this what the engine runs for the call.
  QueryWatch(QueryRecorder& recorder, const CallScope& scope, QueryShape shape, MakeExample make_example);
  ~QueryWatch();
  QueryWatch(const QueryWatch&) = delete;
  QueryWatch& operator=(const QueryWatch&) = delete;

  // Once, instead of the destructor's verdict. What is the caller's own mistake counts nowhere: it asked no shard.
  // `rows`: returned, changed or deleted.
  void Ended(const absl::Status& status, int64_t rows);

 private:
  QueryRecorder& recorder_;
  const CallScope& scope_;
  const QueryShape shape_;
  const MakeExample make_example_;
  const absl::Time began_;
  ShardCosts shards_;
  bool ended_ = false;
};

}  // namespace quarry
