// A bulk write on one shard: batch after batch along the primary key, each committed on its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "core/base/async.h"
#include "core/model/query.h"
#include "core/plan/plan_bulk_write.h"
#include "core/plan/sql_texts.h"

namespace quarry {

struct BulkShard {
  ShardId shard{};
  Dialect dialect = Dialect::kSqlite;
  int64_t batch_rows = 0;
  // Runs a task on the shard, in the call's transaction if it has one; outlives the write.
  std::function<Async<absl::StatusOr<TaskResult>>(Task task)> run;
};

struct BulkShardResult {
  BulkWriteResult::Part part;  // With what was done before a failure.
  bool replayed = true;        // Everything was the stored reply of an earlier try.
};

// Never fails: the part's status tells. References outlive the Async.
Async<absl::StatusOr<BulkShardResult>> RunBulkShard(const BulkWritePlan& plan, const BulkWriteOperation& op, BulkShard shard,
                                                    SqlTexts& texts);

// The request id of one task of a repeatable bulk write: a UUID that the same call gives again.
std::string DerivedRequestId(const std::string& request_id, int64_t batch, bool rest);

}  // namespace quarry
