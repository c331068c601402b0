// How the engine starts a QueryStream.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend/backend.h"
#include "core/base/context.h"
#include "core/base/seal.h"
#include "core/engine/query_stream.h"
#include "core/plan/plan_query.h"
#include "core/plan/snapshot.h"
#include "core/txn/transactions.h"

namespace quarry {

// A batch is cut when it has so many bytes.
inline constexpr int64_t kQueryBatchBytes = 1 << 20;

struct QueryRun {
  const CallContext* ctx = nullptr;  // Outlives the stream.
  std::shared_ptr<const Snapshot> snapshot;  // Of the plan.
  QueryPlan plan;
  const std::vector<std::unique_ptr<Backend>>* shards = nullptr;  // By ShardId; outlives the stream.
  size_t width = 16;  // Shards that are opened at a time.
  RowBounds bounds;
  bool allow_partial = false;
  ReadLevel level = ReadLevel::kReadYourWrites;
  // The transaction that the statements belong to, open on their shards; null: none.
  std::unique_ptr<Transactions::Lease> transaction;
  // Null: batches have no token.
  std::shared_ptr<const Sealer> sealer;
  uint64_t request_hash = 0;
  int64_t given = 0;  // Rows that an earlier stream has given.
  // False: rows keep their hidden sort keys.
  bool hide_sort_keys = true;
  int64_t batch_bytes = kQueryBatchBytes;
  std::vector<ShardId>* origins = nullptr;  // Gets the shard of every row, in their order; outlives the stream.
};

// Nothing is asked of the shards before the first Next.
std::unique_ptr<QueryStream> StartQueryStream(QueryRun run);

// The sort values of a row that has them: what a token's position holds.
Row PositionOf(const Row& row, const std::vector<SortTerm>& order);

}  // namespace quarry
