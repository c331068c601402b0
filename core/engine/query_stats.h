// What queries cost, by shape. Each loop counts in a table of its own, whose lock only a reader ever contends for; a read adds
// up the loops. Thread-safe; no lock is held over anything but memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/engine/query_shape.h"
#include "core/model/ids.h"
#include "core/model/query.h"
#include "core/model/shard_costs.h"

namespace quarry {

// One call that ended.
struct QueryCost {
  absl::Duration time;
  bool failed = false;
  int64_t rows = 0;  // Returned, changed or deleted.
  ShardCosts shards;  // Those it asked; none: it was given an answer that another call had asked for.
};

struct QueryShapeTotals {
  struct OfShard {
    int64_t calls = 0;
    int64_t rows = 0;
    absl::Duration time;  // While calls were asking it.
  };
  QueryShape shape;
  int64_t calls = 0;
  int64_t errors = 0;
  int64_t rows = 0;
  absl::Duration time;
  absl::Duration time_max;
  int64_t scatter_calls = 0;
  int64_t shards_asked = 0;
  std::map<ShardId, OfShard> shards;
  bool has_example = false;
};

// A call with its values, to be explained. Never shown or logged.
using QueryExample = std::variant<QueryOperation, AggregateOperation>;

class QueryStats {
 public:
  // Both of each loop. Over `shard_totals_max`, the shards of all its shapes, shapes give way as they do over `shapes_max`.
  explicit QueryStats(size_t loops, size_t shapes_max = 1'000, size_t shard_totals_max = 100'000);

  // `make_example` is called for the first call of a shape that did not fail; null where there is nothing to explain.
  void Record(size_t loop, const QueryShape& shape, const QueryCost& cost,
              const std::function<std::shared_ptr<const QueryExample>()>& make_example);

  // In no order.
  std::vector<QueryShapeTotals> Read() const;
  // Null when none is kept.
  std::shared_ptr<const QueryExample> FindExample(uint64_t id) const;

 private:
  struct Entry {
    QueryShapeTotals totals;
    std::shared_ptr<const QueryExample> example;
    uint64_t last_use = 0;
  };
  struct Table {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<uint64_t, Entry> entries ABSL_GUARDED_BY(mutex);
    uint64_t uses ABSL_GUARDED_BY(mutex) = 0;
    size_t shard_totals ABSL_GUARDED_BY(mutex) = 0;  // Of all entries.
  };
  // Drops the least called shape but `kept`; of equals the one that was not used for longest. False: there is none.
  static bool DropLeast(Table& table, uint64_t kept) ABSL_EXCLUSIVE_LOCKS_REQUIRED(table.mutex);

  const size_t shapes_max_;
  const size_t shard_totals_max_;
  std::vector<std::unique_ptr<Table>> tables_;
};

}  // namespace quarry
