#include "core/routing/resolver.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/did_you_mean.h"
#include "core/base/status_macros.h"
#include "core/routing/consistent_hash_resolver.h"
#include "core/routing/geo_resolver.h"
#include "core/routing/hash_resolver.h"
#include "core/routing/lookup_resolver.h"
#include "core/routing/options.h"
#include "core/routing/range_resolver.h"

namespace quarry {

absl::StatusOr<std::vector<ShardId>> Resolver::ResolveMany(absl::Span<const Key> keys) const {
  std::vector<ShardId> shards;
  shards.reserve(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    const absl::StatusOr<ShardId> shard = Resolve(keys[i]);
    if (!shard.ok()) return WithFact(shard.status(), "key_index", absl::StrCat(i));
    shards.push_back(*shard);
  }
  return shards;
}

absl::StatusOr<ShardSet> Resolver::ResolveRange(const KeyRange&) const { return shards(); }

absl::StatusOr<ShardSet> Resolver::ResolvePrefix(absl::Span<const Value>) const { return shards(); }

absl::StatusOr<ShardSet> Resolver::ResolvePartial(absl::Span<const std::optional<Value>> key) const {
  std::vector<Value> prefix;
  for (const std::optional<Value>& part : key) {
    if (!part.has_value()) break;
    prefix.push_back(*part);
  }
  if (prefix.empty()) return shards();
  return ResolvePrefix(prefix);
}

absl::Status ResolverRegistry::Register(std::string type, ResolverFactory factory) {
  const auto [at, added] = factories_.try_emplace(std::move(type), std::move(factory));
  if (added) return absl::OkStatus();
  return MakeError(absl::StatusCode::kAlreadyExists, reason::kInvalidField,
                   absl::StrCat("a resolver of type \"", at->first,
                                "\" is already registered: give this one another type"),
                   {{"type", at->first}});
}

absl::StatusOr<std::shared_ptr<const Resolver>> ResolverRegistry::Make(const ResolverSpec& spec) const {
  const auto factory = factories_.find(spec.type);
  if (factory == factories_.end()) {
    std::string known;
    for (const auto& [type, unused] : factories_) absl::StrAppend(&known, known.empty() ? "" : ", ", type);
    return InvalidField("type", absl::StrCat("there is no resolver of type \"", ValidText(spec.type), "\"",
                                             DidYouMean(spec.type, types()), "; known are ", known));
  }
  if (spec.shards.empty()) return InvalidField("shards", "a resolver needs at least one shard");
  if (!spec.key_columns.empty() && !spec.key_types.empty() &&
      spec.key_columns.size() != spec.key_types.size()) {
    return InvalidField("key", absl::StrCat("has ", spec.key_columns.size(), " columns and ",
                                            spec.key_types.size(), " types"));
  }
  std::vector<FieldViolation> violations;
  std::unique_ptr<Resolver> resolver = factory->second(spec, violations);
  for (FieldViolation& violation : violations) {
    violation = {ValidText(violation.field), ValidText(violation.description)};
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  if (resolver == nullptr) {
    return absl::InternalError(absl::StrCat("resolver \"", spec.name, "\" of type \"", spec.type,
                                            "\" was not made, and its factory did not say why"));
  }
  return std::shared_ptr<const Resolver>(std::move(resolver));
}

std::vector<std::string> ResolverRegistry::types() const {
  std::vector<std::string> names;
  for (const auto& [type, factory] : factories_) names.push_back(type);
  return names;
}

void RegisterBuiltinResolvers(ResolverRegistry& registry) {
  registry.Register("hash", MakeHashResolver).IgnoreError();
  registry.Register("range", MakeRangeResolver).IgnoreError();
  registry.Register("lookup", MakeLookupResolver).IgnoreError();
  registry.Register("consistent_hash", MakeConsistentHashResolver).IgnoreError();
  registry.Register("geo", MakeGeoResolver).IgnoreError();
}

}  // namespace quarry
