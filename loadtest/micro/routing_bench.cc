// What one routing decision costs: `routing_bench` after a Release build. The goal is below 100 ns for hash
// and consistent_hash on integer, text and uuid keys, without allocation, and below 1 microsecond for a
// cached lookup.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/routing/lookup_resolver.h"
#include "core/routing/resolver.h"
#include "loadtest/micro/count_allocations.h"

namespace quarry {
namespace {

constexpr int64_t kKeys = 1024;  // A power of two.

std::shared_ptr<const Resolver> MakeOf(const char* type, const std::vector<TypeKind>& kinds,
                                       nlohmann::json options) {
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  ResolverSpec spec;
  spec.name = spec.type = type;
  for (const TypeKind kind : kinds) {
    spec.key_columns.push_back("key" + std::to_string(spec.key_columns.size()));
    spec.key_types.push_back({kind, false, ""});
  }
  for (int i = 0; i < 16; ++i) spec.shards.push_back("shard" + std::to_string(i));
  spec.options = std::move(options);
  return registry.Make(spec).value();
}

Value ValueAt(TypeKind kind, int64_t i) {
  if (kind == TypeKind::kInt64) return Value::Int64(i * 7919);
  if (kind == TypeKind::kText) return Value::Text("customer-" + std::to_string(1'000'000'000 + i));
  std::string tail = std::to_string(100'000'000'000 + i);
  return Value::Uuid("018f3c6e-8a2b-7c1d-9e3f-" + tail);
}

std::vector<Key> KeysOf(const std::vector<TypeKind>& kinds) {
  std::vector<Key> keys;
  for (int64_t i = 0; i < kKeys; ++i) {
    Key key;
    for (const TypeKind kind : kinds) key.push_back(ValueAt(kind, i));
    keys.push_back(std::move(key));
  }
  return keys;
}

void Measure(benchmark::State& state, const Resolver& resolver, const std::vector<Key>& keys) {
  if (const auto shard = resolver.Resolve(keys[1]); !shard.ok()) {
    return state.SkipWithError(std::string(shard.status().message()).c_str());
  }
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(resolver.Resolve(keys[at++ & (kKeys - 1)]));
}

void Hashed(benchmark::State& state, const char* type, const std::vector<TypeKind>& kinds) {
  const auto resolver = MakeOf(type, kinds, nlohmann::json::object());
  Measure(state, *resolver, KeysOf(kinds));
}

void Range(benchmark::State& state, const std::vector<TypeKind>& kinds) {
  nlohmann::json ranges = nlohmann::json::array();
  for (int64_t i = 0; i < 1000; ++i) {
    const nlohmann::json from = kinds[0] == TypeKind::kInt64 ? nlohmann::json(i * 8000)
                                                             : nlohmann::json(ValueAt(kinds[0], i).text());
    const nlohmann::json to = kinds[0] == TypeKind::kInt64 ? nlohmann::json((i + 1) * 8000)
                                                           : nlohmann::json(ValueAt(kinds[0], i + 1).text());
    ranges.push_back({{"from", from}, {"to", to}, {"shard", "shard" + std::to_string(i % 16)}});
  }
  const auto resolver = MakeOf("range", kinds, {{"ranges", ranges}, {"default", "shard0"}});
  Measure(state, *resolver, KeysOf(kinds));
}

// Keys that the directory told and that are remembered.
void RememberedLookup(benchmark::State& state, const std::vector<TypeKind>& kinds) {
  static std::shared_ptr<const Resolver> resolver;
  const std::vector<Key> keys = KeysOf(kinds);
  if (state.thread_index() == 0) {
    resolver = MakeOf("lookup", kinds, {{"directory", {{"shard", "shard0"}}}});
    for (const Key& key : keys) AsLookup(*resolver)->Learn(key, ShardId{3});
  }
  // The loop's start waits for all threads: `resolver` is read after it.
  size_t at = 0;
  const CountAllocations count(state);
  for (auto _ : state) benchmark::DoNotOptimize(resolver->Resolve(keys[at++ & (kKeys - 1)]));
}

// Entries that the configuration declares.
void DeclaredLookup(benchmark::State& state, TypeKind kind) {
  const std::vector<Key> keys = KeysOf({kind});
  nlohmann::json entries = nlohmann::json::array();
  for (const Key& key : keys) {
    const nlohmann::json value = kind == TypeKind::kInt64 ? nlohmann::json(key[0].int64_value())
                                                          : nlohmann::json(key[0].text());
    entries.push_back({{"key", value}, {"shard", "shard" + std::to_string(entries.size() % 16)}});
  }
  const auto resolver = MakeOf("lookup", {kind}, {{"entries", entries}});
  Measure(state, *resolver, keys);
}

// A hundred regions by the first column of the key.
void Geo(benchmark::State& state) {
  nlohmann::json regions = nlohmann::json::array();
  for (int i = 0; i < 100; ++i) {
    regions.push_back({{"match", {{"key0", "region-" + std::to_string(i)}}},
                       {"shard", "shard" + std::to_string(i % 16)}});
  }
  const nlohmann::json columns = nlohmann::json::array({"key0"});
  const auto resolver = MakeOf("geo", {TypeKind::kText, TypeKind::kInt64},
                               {{"columns", columns}, {"regions", regions}, {"default", "shard0"}});
  std::vector<Key> keys = KeysOf({TypeKind::kText, TypeKind::kInt64});
  for (size_t i = 0; i < keys.size(); ++i) keys[i][0] = Value::Text("region-" + std::to_string(i % 100));
  Measure(state, *resolver, keys);
}

constexpr TypeKind kInt64 = TypeKind::kInt64;
constexpr TypeKind kText = TypeKind::kText;
constexpr TypeKind kUuid = TypeKind::kUuid;
BENCHMARK_CAPTURE(Hashed, hash_int64, "hash", {kInt64})->Name("hash, int64");
BENCHMARK_CAPTURE(Hashed, hash_text, "hash", {kText})->Name("hash, text");
BENCHMARK_CAPTURE(Hashed, hash_uuid, "hash", {kUuid})->Name("hash, uuid");
BENCHMARK_CAPTURE(Hashed, hash_uuid_int64, "hash", {kUuid, kInt64})->Name("hash, (uuid, int64)");
BENCHMARK_CAPTURE(Hashed, consistent_int64, "consistent_hash", {kInt64})->Name("consistent_hash, int64");
BENCHMARK_CAPTURE(Hashed, consistent_text, "consistent_hash", {kText})->Name("consistent_hash, text");
BENCHMARK_CAPTURE(Hashed, consistent_uuid, "consistent_hash", {kUuid})->Name("consistent_hash, uuid");
BENCHMARK_CAPTURE(Hashed, consistent_both, "consistent_hash", {kUuid, kInt64})
    ->Name("consistent_hash, (uuid, int64)");
BENCHMARK_CAPTURE(Range, int64, {kInt64})->Name("range of 1,000, int64");
BENCHMARK_CAPTURE(Range, text, {kText})->Name("range of 1,000, text");
BENCHMARK_CAPTURE(DeclaredLookup, int64, kInt64)->Name("lookup, declared int64");
BENCHMARK_CAPTURE(DeclaredLookup, text, kText)->Name("lookup, declared text");
BENCHMARK_CAPTURE(RememberedLookup, int64, {kInt64})
    ->Name("lookup, remembered int64")->Threads(1)->Threads(2);
BENCHMARK_CAPTURE(RememberedLookup, text, {kText})->Name("lookup, remembered text");
BENCHMARK_CAPTURE(RememberedLookup, both, {kUuid, kInt64})->Name("lookup, remembered (uuid, int64)");
BENCHMARK(Geo)->Name("geo of 100 regions, (text, int64)");

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
