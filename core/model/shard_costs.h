// What one call took of each shard that it asked. One user.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "absl/time/time.h"
#include "core/model/ids.h"

namespace quarry {

struct ShardCost {
  ShardId shard{};
  int64_t rows = 0;     // That it gave, changed or deleted.
  absl::Duration time;  // While something was asked of it.
};

// A call of few shards allocates nothing.
class ShardCosts {
 public:
  using List = absl::InlinedVector<ShardCost, 4>;

  // The shard's own, made at its first use; good until the next call of Of.
  ShardCost& Of(ShardId shard) {
    // Plans name their shards in ascending order.
    if (costs_.empty() || costs_.back().shard < shard) return Insert(costs_.end(), shard);
    const auto at = std::lower_bound(costs_.begin(), costs_.end(), shard,
                                     [](const ShardCost& cost, ShardId wanted) { return cost.shard < wanted; });
    return at->shard == shard ? *at : Insert(at, shard);
  }
  void Add(const ShardCosts& others) {
    for (const ShardCost& other : others) {
      ShardCost& cost = Of(other.shard);
      cost.rows += other.rows;
      cost.time += other.time;
    }
  }

  // Ascending by shard.
  List::const_iterator begin() const { return costs_.begin(); }
  List::const_iterator end() const { return costs_.end(); }
  size_t size() const { return costs_.size(); }
  bool empty() const { return costs_.empty(); }

 private:
  ShardCost& Insert(List::const_iterator at, ShardId shard) {
    ShardCost cost;
    cost.shard = shard;
    return *costs_.insert(at, cost);
  }

  List costs_;
};

}  // namespace quarry
