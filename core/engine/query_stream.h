// Query inside the engine: one ordered statement on every shard that may hold rows, merged as they come. Holds at most two batches
// of each shard: a slow reader makes the databases wait.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "core/base/async.h"
#include "core/model/query.h"
#include "core/model/statement.h"

namespace quarry {

// One user; dropping it stops the statements on all shards. Belongs to its loop.
class QueryStream {
 public:
  virtual ~QueryStream() = default;
  virtual const RowHeader& header() const = 0;
  // The next rows in order, at most 1 MiB of them (a larger row comes alone); nullopt at the end. With allow_partial a failed
  // shard's rows are missing from then on, and summary() names it; else its failure ends the stream.
  virtual Async<absl::StatusOr<std::optional<QueryBatch>>> Next() = 0;
  virtual const QuerySummary& summary() const = 0;
};

}  // namespace quarry
