// Short forms for tests of resolvers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "core/routing/resolver.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {

inline std::vector<std::string> ShardNames(size_t count) {
  std::vector<std::string> names;
  for (size_t i = 0; i < count; ++i) names.push_back("s" + std::to_string(i));
  return names;
}

// A resolver of `type` over shards s0 to s3, with its options as JSON text. One int64 key column unless
// changed.
inline ResolverSpec SpecOf(std::string type, const std::string& options = "{}") {
  ResolverSpec spec;
  spec.name = "by_customer";
  spec.type = std::move(type);
  spec.key_columns = {"customer_id"};
  spec.key_types = {{TypeKind::kInt64, false, ""}};
  spec.shards = ShardNames(4);
  spec.options = nlohmann::json::parse(options);
  return spec;
}

inline ResolverSpec WithKey(ResolverSpec spec, std::vector<std::pair<std::string, TypeKind>> columns) {
  spec.key_columns.clear();
  spec.key_types.clear();
  for (auto& [name, kind] : columns) {
    spec.key_columns.push_back(name);
    spec.key_types.push_back({kind, false, ""});
  }
  return spec;
}

inline absl::StatusOr<std::shared_ptr<const Resolver>> Make(const ResolverSpec& spec) {
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  return registry.Make(spec);
}

// What was wrong, "path: description", in order.
inline std::vector<std::string> Mistakes(const ResolverSpec& spec) {
  std::vector<std::string> mistakes;
  for (const FieldViolation& violation : DetailOf(Make(spec).status()).violations) {
    mistakes.push_back(violation.field + ": " + violation.description);
  }
  return mistakes;
}

inline ShardSet Shards(std::vector<uint32_t> indexes) {
  ShardSet shards;
  for (const uint32_t index : indexes) shards.push_back(ShardId{index});
  return shards;
}

inline int64_t ShardOf(const Resolver& resolver, const Key& key) {
  const absl::StatusOr<ShardId> shard = resolver.Resolve(key);
  EXPECT_THAT(shard, IsOk());
  return shard.ok() ? static_cast<int64_t>(Index(*shard)) : -1;
}

}  // namespace quarry
