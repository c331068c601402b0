// What a client asks, in the engine's words, before anything is checked against the catalog. Plain data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/model/condition.h"
#include "core/model/ids.h"
#include "core/model/statement.h"
#include "core/model/value.h"

namespace quarry {

// Where a call goes when its key does not say: nothing, one shard, some shards, all shards, or the shard of a key.
struct Target {
  std::vector<std::string> shards;
  bool all_shards = false;
  std::optional<KeyInput> key;
  std::string key_table;  // The table of `key`.
  bool empty() const { return shards.empty() && !all_shards && !key.has_value(); }
};

// How old an answer may be.
struct Freshness {
  absl::Duration age_max;  // Zero: it is asked for now.
  // All of the request that decides the answer; only then may an earlier answer to the same bytes be given.
  std::string key;
};

// Rows by key: one for Get, many for BatchGet.
// What a read by key holds of its rows until its transaction ends. SQLite's transactions that may write hold all of the file.
enum class RowLock : uint8_t {
  kNone,
  kShare,   // Nobody else changes them.
  kUpdate,  // Nobody else changes them or locks them.
};

struct ReadOperation {
  std::string table;
  std::vector<KeyInput> keys;
  std::vector<std::string> columns;  // Empty: all.
  RowLock lock = RowLock::kNone;     // In a transaction only.
  Target target;                     // Overrides the route of a reference table's read; else empty.
  bool allow_partial = false;        // A shard that does not answer is reported instead of failing the read.
  bool snapshot = false;             // All keys are read at one cut over their shards.
  Freshness freshness;
};

enum class MutationKind : uint8_t { kInsert, kUpdate, kUpsert, kDelete };

struct Precondition {
  std::optional<bool> exists;
  std::string etag;                 // Empty: none.
  std::optional<Condition> filter;  // The row must be there and match.
};

enum class GeneratedKind : uint8_t { kUuidV7, kInt64TimeOrdered };

struct GeneratedColumn {
  std::string column;
  GeneratedKind kind = GeneratedKind::kUuidV7;
};

struct Mutation {
  MutationKind kind = MutationKind::kInsert;
  std::string table;
  KeyInput key;   // Update and delete; insert and upsert take the key from the record.
  Record record;  // Insert, update, upsert.
  Precondition precondition;
  std::vector<std::string> returning;  // Empty: nothing; "*": all.
  std::vector<GeneratedColumn> generate;
};

// Under which lock a write is made. A shard refuses it once it has seen a higher token of that lock.
struct LockFence {
  std::string lock;   // Empty: none.
  int64_t token = 0;
  bool empty() const { return lock.empty(); }
};

struct WriteOperation {
  std::vector<Mutation> mutations;
  Atomicity atomicity = Atomicity::kAll;
  bool single_shard = false;  // Refuses a second shard even where several would be allowed.
  std::string request_id;     // Empty: not repeatable.
  uint64_t request_hash = 0;
  LockFence fence;
  // Paths of errors: "" for the one-mutation forms ("record.price"), "mutations[%d]." for the others.
  bool indexed_paths = false;
};

struct RawSqlOperation {
  Target target;
  std::string sql;
  std::vector<Value> params;
  bool allow_writes = false;
  size_t width = 0;  // Shards at a time; 0: the configured bound.
  // What a write may return on one shard; it is rolled back beyond that.
  RowBounds bounds;
  // A repeatable write: its rows are stored with its reply, so they are bounded by limits.reply_bytes.
  std::string request_id;
  uint64_t request_hash = 0;
};

// ---- Results ----

// What a read is sure to see.
enum class ReadLevel : uint8_t {
  kNone,            // No rows were read.
  kPerShard,        // Each shard at a moment of its own.
  kReadYourWrites,  // The same, after every write that was acknowledged before the call.
  kSnapshot,        // One cut: every commit over several shards whole or not at all.
  kStrictSnapshot,  // The same, and commits of single shards in their order.
};

struct ServedBy {
  std::vector<ShardId> asked;
  std::vector<ShardId> answered;
  Epoch epoch{};
  std::optional<absl::Duration> age;  // Of an answer that was given before and kept.
  ReadLevel level = ReadLevel::kNone;
};

// A row read or returned by key. `row` holds the asked columns.
struct KeyedRow {
  uint32_t item = 0;  // Index of the key or mutation.
  Row row;
  std::string etag;
};

struct ReadResult {
  RowHeader header;  // Of the asked columns.
  std::vector<KeyedRow> found;    // In order of `item`.
  std::vector<uint32_t> missing;  // Ascending.
  // Only with allow_partial: items whose shard did not answer, and why.
  std::vector<uint32_t> unanswered;
  std::vector<std::pair<ShardId, absl::Status>> failed;
  ServedBy served_by;
};

struct MutationResult {
  absl::Status status;  // Only ever an error under Atomicity::kEach.
  int64_t affected = 0;
  RowHeader header;  // Of the returned columns; null when nothing is returned.
  Row row;           // The returned columns; empty when none.
  std::string etag;  // Of the returned row; "" when nothing is returned.
  Record key;        // The row's key, with generated parts.
  bool replayed = false;
};

struct WriteResult {
  std::vector<MutationResult> mutations;  // One per mutation, in order.
  bool replayed = false;                  // Every shard's part was the stored one.
  ServedBy served_by;
  std::string transaction_id;  // Of a commit over several shards; "" when one needed none.
  bool unfinished = false;     // Committed for certain, though some shard still has to make it visible.
};

}  // namespace quarry
