// `lookup`: each key's shard is written down: in the configuration, and in a stored directory that can grow
// at run time. The resolver does no I/O: it answers from the declared entries and from a cache of what the
// directory has told; whoever can ask the directory does so on KEY_NOT_MAPPED, and tells the answer with
// Learn().
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/routing/key_map.h"
#include "core/routing/options.h"
#include "core/routing/resolution_cache.h"
#include "core/routing/resolver.h"

namespace quarry {

// What happens to a key that nobody has mapped.
enum class NewKeys : uint8_t {
  kRefuse,        // KEY_NOT_MAPPED.
  kAssignByHash,  // The shard that `hash` over all shards gives.
  kAssignShard,   // One declared shard.
};

// Thread-safe. Learn, Forget and ForgetAll change only the cache, never what a key's shard is.
class LookupResolver final : public Resolver {
 public:
  struct Declared {
    KeyMap<ShardId> entries;
    NewKeys new_keys = NewKeys::kRefuse;
    ShardId new_keys_shard{};          // Of kAssignShard.
    std::optional<ShardId> directory;  // The shard whose database stores the directory.
    size_t cache_keys_max = 0;
  };
  LookupResolver(ResolverIdentity identity, Declared declared);

  const std::string& name() const override { return identity_.name; }
  const std::string& type() const override { return identity_.type; }
  const ShardSet& shards() const override { return shards_; }
  // Declared entries, then the cache, then, without a directory, the policy for new keys. With a directory a
  // key that is in neither is kNotFound KEY_NOT_MAPPED with the fact "directory" (the shard's name): ask
  // there.
  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override;
  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override;

  std::optional<ShardId> directory() const { return declared_.directory; }
  NewKeys new_keys() const { return declared_.new_keys; }
  // Where the policy puts a key that the directory does not hold; to be stored there before it is learned.
  // kNotFound KEY_NOT_MAPPED when the policy refuses.
  absl::StatusOr<ShardId> NewKeyShard(absl::Span<const Value> key) const;

  // What the directory said. A declared entry stays above it. Ignored: a key of another width or without a
  // stable hash, and a shard that does not exist.
  void Learn(absl::Span<const Value> key, ShardId shard) const;
  void Forget(absl::Span<const Value> key) const;
  void ForgetAll() const;
  size_t keys_learned() const { return learned_.size(); }

 private:
  enum class Source : uint8_t { kEntry, kLearned, kNone };
  struct Found {
    Source source = Source::kNone;
    ShardId shard{};
  };
  absl::StatusOr<KeyProbe> Probe(absl::Span<const Value> key) const;
  Found Find(const KeyProbe& probe) const;
  absl::Status Unmapped() const;

  const ResolverIdentity identity_;
  const Declared declared_;
  ShardSet shards_;
  mutable ResolutionCache learned_;
};

// The resolver as a LookupResolver, or null when it is of another type.
const LookupResolver* AsLookup(const Resolver& resolver);

// Options:
//   entries:    [{key, shard}], where key is a value, or a list for several columns; or {key: shard} for one
//               column.
//   new_keys:   refuse (default), or {assign: hash}, or {assign: <shard>}.
//   directory:  {shard: <shard>}: where entries that are added at run time are stored.
//   cache_keys: how many directory entries are remembered; 1 to 10,000,000, default 100,000.
//
// Without a directory and with `refuse`, entries are required.
std::unique_ptr<Resolver> MakeLookupResolver(const ResolverSpec& spec,
                                             std::vector<FieldViolation>& violations);

}  // namespace quarry
