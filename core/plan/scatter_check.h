// Which shards a question goes to, and whether it may go to so many. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/error.h"
#include "core/catalog/catalog.h"
#include "core/model/operation.h"
#include "core/model/predicate.h"
#include "core/model/query.h"
#include "core/plan/snapshot.h"

namespace quarry {

// kFailedPrecondition SCATTER_NOT_ALLOWED when the table refuses calls over several shards and the route has more than one: names
// the key that the call must say. kFailedPrecondition LIMIT_EXCEEDED when it has more than `bounds.shards_max`, with both counts.
absl::Status CheckScatter(const Table& table, const ScatterRoute& route, const ScatterBounds& bounds, const Snapshot& snapshot);

// Where the rows of `table` that match are asked for: what Prune says, within `target` when it names shards; then CheckScatter.
// A reference table is asked on one shard: `spread` when the target allows it, else the target's first. kInvalidArgument at
// "target" when it leaves out the shard of a single table. `unmapped`: as with Prune.
absl::StatusOr<ScatterRoute> RouteQuestion(const Predicate& predicate, const Table& table, const Target& target,
                                           const ScatterBounds& bounds, const Snapshot& snapshot, ShardId spread,
                                           std::vector<Key>* unmapped = nullptr);

// Adds what is wrong with the window of a question's rows.
void CheckWindow(int64_t limit, int64_t offset, std::vector<FieldViolation>& violations);

}  // namespace quarry
