// Loads related rows beside a page: one round trip for each shard and relation. Related rows that live on their parents' shards are
// asked for there; others are read by their keys, wherever those live.
#pragma once

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/query.h"
#include "core/plan/plan_include.h"
#include "core/plan/snapshot.h"

namespace quarry {

// Where a row of the page came from.
struct PlacedRow {
  ShardId shard{};
  Row row;
};

// How the engine runs what the includes need. Both outlive the load.
struct IncludeRunner {
  // One result per task, in order.
  std::function<Async<std::vector<absl::StatusOr<TaskResult>>>(std::vector<Task> tasks)> run;
  std::function<Async<absl::StatusOr<ReadResult>>(ReadOperation op)> read;
  size_t read_keys_max = 500;  // Of one read; from 1.
};

struct LoadedIncludes {
  std::vector<IncludedRows> relations;
  // Shards that did not answer; their rows are missing.
  std::vector<std::pair<ShardId, absl::Status>> failed;
  // Of the reads by key, whose shards need not be the page's; perhaps with one several times.
  std::vector<ShardId> asked;
  std::vector<ShardId> answered;
};

// `bytes_max`: of all rows together, by ByteSize; kResourceExhausted LIMIT_EXCEEDED beyond it, beyond rows_per_parent of a step and
// beyond `rows_max` of one relation. `partial`: a shard's failure is told in `failed` instead of failing the load. All references
// outlive the Async.
Async<absl::StatusOr<LoadedIncludes>> LoadIncludes(const IncludePlan& plan, const std::vector<PlacedRow>& page,
                                                   const IncludeRunner& runner, const Snapshot& snapshot, int64_t rows_max,
                                                   int64_t bytes_max, bool partial);

}  // namespace quarry
