// What one routing decision costs: `routing_bench` after a Release build. The goal is below 100 ns for hash
// and consistent_hash on integer, text and uuid keys, without allocation, and below 1 microsecond for a
// cached lookup.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "core/routing/lookup_resolver.h"
#include "core/routing/resolver.h"

namespace {

thread_local int64_t allocations = 0;

}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace quarry {
namespace {

constexpr int64_t kKeys = 1024;  // A power of two.

std::shared_ptr<const Resolver> MakeOf(const char* type, const std::vector<TypeKind>& kinds,
                                       nlohmann::json options) {
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  ResolverSpec spec;
  spec.name = spec.type = type;
  for (const TypeKind kind : kinds) spec.key_types.push_back({kind, false, ""});
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
  size_t at = 0;
  const int64_t before = allocations;
  for (auto _ : state) {
    benchmark::DoNotOptimize(resolver.Resolve(keys[at++ & (kKeys - 1)]));
  }
  const auto made = static_cast<double>(allocations - before);
  state.counters["allocations"] = made / static_cast<double>(state.iterations());
}

void Hashed(benchmark::State& state, const char* type, const std::vector<TypeKind>& kinds) {
  const auto resolver = MakeOf(type, kinds, nlohmann::json::object());
  Measure(state, *resolver, KeysOf(kinds));
}

void Range(benchmark::State& state) {
  nlohmann::json ranges = nlohmann::json::array();
  for (int64_t i = 0; i < 1000; ++i) {
    ranges.push_back(
        {{"from", i * 8000}, {"to", (i + 1) * 8000}, {"shard", "shard" + std::to_string(i % 16)}});
  }
  const auto resolver = MakeOf("range", {TypeKind::kInt64}, {{"ranges", ranges}, {"default", "shard0"}});
  Measure(state, *resolver, KeysOf({TypeKind::kInt64}));
}

void CachedLookup(benchmark::State& state, TypeKind kind) {
  static std::shared_ptr<const Resolver> resolver;
  const std::vector<Key> keys = KeysOf({kind});
  if (state.thread_index() == 0) {
    resolver = MakeOf("lookup", {kind}, {{"directory", {{"shard", "shard0"}}}});
    for (const Key& key : keys) AsLookup(*resolver)->Learn(key, ShardId{3});
  }
  size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(resolver->Resolve(keys[at++ & (kKeys - 1)]));
}

BENCHMARK_CAPTURE(Hashed, hash_int64, "hash", {TypeKind::kInt64});
BENCHMARK_CAPTURE(Hashed, hash_text, "hash", {TypeKind::kText});
BENCHMARK_CAPTURE(Hashed, hash_uuid, "hash", {TypeKind::kUuid});
BENCHMARK_CAPTURE(Hashed, hash_uuid_int64, "hash", {TypeKind::kUuid, TypeKind::kInt64});
BENCHMARK_CAPTURE(Hashed, consistent_hash_int64, "consistent_hash", {TypeKind::kInt64});
BENCHMARK_CAPTURE(Hashed, consistent_hash_text, "consistent_hash", {TypeKind::kText});
BENCHMARK_CAPTURE(Hashed, consistent_hash_uuid, "consistent_hash", {TypeKind::kUuid});
BENCHMARK(Range);
BENCHMARK_CAPTURE(CachedLookup, int64, TypeKind::kInt64)->Threads(1)->Threads(2);
BENCHMARK_CAPTURE(CachedLookup, text, TypeKind::kText);

}  // namespace
}  // namespace quarry

BENCHMARK_MAIN();
