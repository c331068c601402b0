// Sorted runs, one per shard -> one sorted run with offset, limit and distinct: the part of a k-way merge that needs no I/O.
// Holds what it was given and not yet asked for: one batch per shard. One user.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "core/model/order.h"
#include "core/model/value.h"

namespace quarry {

struct OrderedMergeSpec {
  std::vector<SortTerm> order;  // Over the shards' rows; the same total order that each shard's run has.
  bool distinct = false;        // Rows equal in `order` are one.
  int64_t offset = 0;
  int64_t limit = 0;  // 0: none.
};

class OrderedMerge {
 public:
  OrderedMerge(OrderedMergeSpec spec, size_t runs);
  // The run whose next rows must be given (Add) or whose end must be told (Close) before the merge can go on; nullopt: Next may
  // be called, or the merge is at its end. Starts with every run wanting.
  std::optional<size_t> Wants() const;
  void Add(size_t run, std::vector<Row> rows);
  void Close(size_t run);
  // The next row and its run; nullopt when a run must be fed first, or at the end.
  struct Item {
    Row row;
    size_t run = 0;
  };
  std::optional<Item> Next();
  // Limit reached, or every run closed and empty.
  bool finished() const;

 private:
  struct Run {
    std::vector<Row> rows;
    size_t at = 0;
    bool closed = false;
  };
  bool Before(size_t a, size_t b) const;
  // Puts the run at the heap's top where it belongs.
  void SinkTop();
  Row TakeTop();

  const OrderedMergeSpec spec_;
  std::vector<Run> runs_;
  std::vector<size_t> heap_;  // Runs with a row at hand, least first.
  size_t hungry_ = 0;         // Runs that must be fed.
  int64_t skipped_ = 0;
  int64_t given_ = 0;
  std::optional<Row> last_;  // Of a distinct merge.
};

}  // namespace quarry
