// A resolver says on which shard a key lives. Immutable but for its counts, and pure: no I/O, no clock, safe from any
// thread, the same answer in every process. What must be looked up (a stored directory) is in its cache before it is asked.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/base/counter.h"
#include "core/base/error.h"
#include "core/model/ids.h"
#include "core/model/type.h"
#include "core/model/value.h"
#include "nlohmann/json.hpp"

namespace quarry {

// Half-open: from <= key < to. An absent end is unbounded. Ends may be shorter than the key: prefixes.
struct KeyRange {
  std::optional<Key> from;
  std::optional<Key> to;
};

// Sorted, without repeats.
using ShardSet = std::vector<ShardId>;

struct RouteExplanation {
  ShardId shard{};
  std::string words;  // One sentence for people: how the key led to the shard.
  std::map<std::string, std::string> facts;  // "hash", "bucket", "range", …
};

// Keys that calls asked a resolver for.
struct ResolutionCounts {
  Counter resolved;
  Counter failed;
};

class Resolver {
 public:
  virtual ~Resolver() = default;
  virtual const std::string& name() const = 0;
  virtual const std::string& type() const = 0;
  // `key` holds the shard-key values in the resolver's order, already checked against the catalog.
  // kNotFound KEY_NOT_MAPPED when no shard is declared for it.
  virtual absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const = 0;
  // One answer per key, in order. The first failure fails all.
  virtual absl::StatusOr<std::vector<ShardId>> ResolveMany(absl::Span<const Key> keys) const;
  // Every shard that may hold a key of the range; all shards when order says nothing.
  virtual absl::StatusOr<ShardSet> ResolveRange(const KeyRange& range) const;
  // Every shard that may hold a key whose first values are these; all shards when a part of a key says nothing.
  virtual absl::StatusOr<ShardSet> ResolvePrefix(absl::Span<const Value> prefix) const;
  // Every shard that may hold a key with these values where there are some; any value may stand where there is none. `key` is as
  // wide as the keys. Without a word of the resolver's own: what its known prefix gives.
  virtual absl::StatusOr<ShardSet> ResolvePartial(absl::Span<const std::optional<Value>> key) const;
  // Every shard that this resolver can answer.
  virtual const ShardSet& shards() const = 0;
  virtual absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const = 0;

  // The planner counts here; explanations do not.
  ResolutionCounts& counts() const { return counts_; }

 private:
  mutable ResolutionCounts counts_;
};

// What a resolver is made from.
struct ResolverSpec {
  std::string name;
  std::string type;                        // Key in the registry.
  std::vector<std::string> key_columns;    // For messages; by the first table that uses it.
  std::vector<ColumnType> key_types;       // Empty until the catalog is known: then checks on types are skipped.
  std::vector<std::string> shards;         // Names of all shards; position is the ShardId.
  nlohmann::json options = nlohmann::json::object();  // From the configuration, as declared.
};

// Reports every mistake in `spec.options` to `violations` (paths relative to the options, "ranges[2].from") and returns
// null when there are any.
using ResolverFactory =
    std::function<std::unique_ptr<Resolver>(const ResolverSpec& spec, std::vector<FieldViolation>& violations)>;

// Factories by type. Filled once in wiring, then read only.
class ResolverRegistry {
 public:
  // kAlreadyExists when the type is taken.
  absl::Status Register(std::string type, ResolverFactory factory);
  // InvalidFields with everything that is wrong; an unknown type gets "did you mean".
  absl::StatusOr<std::shared_ptr<const Resolver>> Make(const ResolverSpec& spec) const;
  std::vector<std::string> types() const;

 private:
  std::map<std::string, ResolverFactory, std::less<>> factories_;
};

// hash, range, lookup, consistent_hash, geo.
void RegisterBuiltinResolvers(ResolverRegistry& registry);

}  // namespace quarry
