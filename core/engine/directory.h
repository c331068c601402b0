// The stored directories of lookup resolvers: a table `resolver, key -> shard` on the shard that the configuration names.
// A resolver does no I/O; what it lacks is read here, told to it with Learn, and then planned with.
// Entries are never changed, so what a gateway has learnt stays true.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/operation.h"
#include "core/plan/snapshot.h"
#include "core/routing/lookup_resolver.h"

namespace quarry {

// A key that a lookup resolver could not place by itself.
struct DirectoryKey {
  const LookupResolver* resolver = nullptr;
  Key shard_key;
  bool assign = false;  // The policy for new keys may place it: its row is about to be made.
};

// The operation's keys that only a directory can place. Malformed keys are left to the planner.
std::vector<DirectoryKey> KeysToLookUp(const ReadOperation& op, const Snapshot& snapshot);
std::vector<DirectoryKey> KeysToLookUp(const WriteOperation& op, const Snapshot& snapshot);

// One loop.
class Directory {
 public:
  // `shards` outlives this.
  explicit Directory(const std::vector<std::unique_ptr<Backend>>& shards) : shards_(shards) {}

  // Reads what the directories say of `keys`, stores new keys where their policy assigns them, and tells the resolvers.
  // Keys that stay unknown are no error here. References outlive the Async.
  Async<absl::Status> Learn(const std::vector<DirectoryKey>& keys, const Snapshot& snapshot, const CallContext& ctx);
  // Writes down where a key lives. Repeating it is OK; kAlreadyExists KEY_MAPPED when it is mapped to another shard.
  Async<absl::Status> Map(const DirectoryKey& key, ShardId shard, const Snapshot& snapshot, const CallContext& ctx);

 private:
  Async<absl::Status> EnsureTable(ShardId at, Dialect dialect, const CallContext& ctx);
  Async<absl::Status> LearnAt(ShardId at, const std::vector<const DirectoryKey*>& keys, const Snapshot& snapshot,
                              const CallContext& ctx);

  const std::vector<std::unique_ptr<Backend>>& shards_;
  absl::flat_hash_set<uint32_t> table_exists_;  // Shards whose directory table has been seen.
};

}  // namespace quarry
