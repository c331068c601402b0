// OnShard and OnAllShards inside the engine: one statement on some shards, their rows merged as they come.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/cache/write_versions.h"
#include "core/model/operation.h"
#include "core/txn/transactions.h"

namespace quarry {

// One thing that happened on a shard during OnShard or OnAllShards.
struct SqlEvent {
  enum class Kind : uint8_t { kHeader, kRows, kDone };
  Kind kind = Kind::kRows;
  ShardId shard{};
  RowBatch batch;        // kHeader: header only. kRows: rows.
  absl::Status status;   // kDone: how the shard ended.
  int64_t rows = 0;      // kDone: rows sent.
  int64_t affected = 0;  // kDone: rows written.
  bool replayed = false;  // kDone: the stored reply of an earlier try.
};

// What OnShard and OnAllShards produce, merged as it comes; dropping it stops all shards.
class SqlStream {
 public:
  virtual ~SqlStream() = default;
  // The next event; nullopt after every shard's kDone.
  virtual Async<std::optional<SqlEvent>> Next() = 0;
  virtual const std::vector<ShardId>& shards() const = 0;
};

// What a statement on several shards runs with. The references outlive the stream.
struct SqlRun {
  const RawSqlOperation& op;
  const CallContext& ctx;
  std::vector<ShardId> shards;
  std::vector<Backend*> backends;  // One per shard.
  size_t width = 1;
  bool stop_at_first_error = true;
  int64_t stored_bytes_max = 0;  // Of rows that are stored with the reply of a repeatable write.
  // The transaction that the statement belongs to, open on the shards; null: its own on each.
  std::unique_ptr<Transactions::Lease> transaction;
  // Where a write is noted; null: nowhere.
  WriteVersions* versions = nullptr;
};

std::unique_ptr<SqlStream> StartSqlStream(SqlRun run);

}  // namespace quarry
