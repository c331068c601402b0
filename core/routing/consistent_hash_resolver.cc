#include "core/routing/consistent_hash_resolver.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/routing/options.h"
#include "core/routing/stable_hash.h"

namespace quarry {
namespace {

constexpr int64_t kBucketsMax = 1 << 20;
constexpr int64_t kWeightMax = 1000;
// Bounds the time of making the table to a fraction of a second.
constexpr uint64_t kPointsMax = uint64_t{1} << 26;

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014).
uint64_t Scramble(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

class ConsistentHashResolver final : public Resolver {
 public:
  ConsistentHashResolver(ResolverIdentity identity, std::vector<ShardId> owners)
      : identity_(std::move(identity)), owners_(std::move(owners)), shards_(ToShardSet(owners_)) {}

  const std::string& name() const override { return identity_.name; }
  const std::string& type() const override { return identity_.type; }
  const ShardSet& shards() const override { return shards_; }

  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override {
    QUARRY_ASSIGN_OR_RETURN(const uint64_t hash, Hash(key));
    return owners_[hash % owners_.size()];
  }

  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override {
    QUARRY_ASSIGN_OR_RETURN(const uint64_t hash, Hash(key));
    const uint64_t bucket = hash % owners_.size();
    RouteExplanation explanation;
    explanation.shard = owners_[bucket];
    explanation.words =
        absl::StrCat(identity_.Describe(key), " hashes to ", HexHash(hash), ", bucket ", bucket, " of ",
                     owners_.size(), ", which shard ", identity_.shard_name(explanation.shard), " owns");
    explanation.facts = {
        {"hash", HexHash(hash)}, {"bucket", absl::StrCat(bucket)}, {"buckets", absl::StrCat(owners_.size())}};
    return explanation;
  }

 private:
  absl::StatusOr<uint64_t> Hash(absl::Span<const Value> key) const {
    if (!identity_.Fits(key)) return identity_.WrongWidth(key);
    return PartitionHash(key);
  }

  const ResolverIdentity identity_;
  const std::vector<ShardId> owners_;  // By bucket.
  const ShardSet shards_;
};

struct BucketSpan {
  uint64_t first = 0;
  uint64_t last = 0;
};

std::optional<BucketSpan> ParseBuckets(const nlohmann::json& value, uint64_t buckets) {
  BucketSpan span;
  if (value.is_number_unsigned()) {
    span.first = span.last = value.get<uint64_t>();
  } else if (value.is_string()) {
    const std::string text = value.get<std::string>();
    const size_t dash = text.find('-');
    if (!absl::SimpleAtoi(text.substr(0, dash), &span.first)) return std::nullopt;
    span.last = span.first;
    if (dash != std::string::npos && !absl::SimpleAtoi(text.substr(dash + 1), &span.last))
      return std::nullopt;
  } else {
    return std::nullopt;
  }
  if (span.first > span.last || span.last >= buckets) return std::nullopt;
  return span;
}

// Writes the declared buckets of `assignment` over `owners`.
void Assign(OptionReader& reader, const nlohmann::json& assignment, std::vector<ShardId>& owners) {
  if (!assignment.is_object()) {
    reader.Add("assignment", "must be an object of shards and their lists of buckets");
    return;
  }
  std::vector<bool> taken(owners.size(), false);
  for (const auto& [name, list] : assignment.items()) {
    const std::string path = absl::StrCat("assignment.", name);
    const std::optional<ShardId> shard = reader.ShardNamed(name, path);
    if (!list.is_array()) {
      reader.Add(path, "must be a list of buckets: numbers, or \"first-last\"");
      continue;
    }
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string item_path = absl::StrCat(path, "[", i, "]");
      const std::optional<BucketSpan> span = ParseBuckets(list[i], owners.size());
      if (!span) {
        reader.Add(item_path,
                   absl::StrCat("must be a bucket from 0 to ", owners.size() - 1, ", or \"first-last\""));
        continue;
      }
      bool repeated = false;
      for (uint64_t bucket = span->first; bucket <= span->last; ++bucket) {
        repeated = repeated || taken[bucket];
        taken[bucket] = true;
        if (shard) owners[bucket] = *shard;
      }
      if (repeated) reader.Add(item_path, "names a bucket that is already assigned");
    }
  }
}

std::vector<ShardId> ReadShards(OptionReader& reader) {
  const nlohmann::json* listed = OptionReader::Member(reader.spec().options, "shards");
  if (listed == nullptr) return AllShards(reader.spec());
  std::optional<std::vector<ShardId>> list = reader.ShardList(*listed, "shards");
  if (!list) return {};
  if (ToShardSet(*list).size() != list->size())
    reader.Add("shards", "names a shard twice: give it a weight instead");
  return *std::move(list);
}

std::vector<WeightedShard> ReadWeights(OptionReader& reader, const std::vector<ShardId>& shards) {
  std::vector<WeightedShard> weighted;
  for (const ShardId shard : shards) weighted.push_back({reader.spec().shards[Index(shard)], 1});
  const nlohmann::json* weights = OptionReader::Member(reader.spec().options, "weights");
  if (weights == nullptr) return weighted;
  if (!weights->is_object()) {
    reader.Add("weights", "must be an object of shards and their weights");
    return weighted;
  }
  for (const auto& [name, value] : weights->items()) {
    const std::string path = absl::StrCat("weights.", name);
    const std::optional<ShardId> shard = reader.ShardNamed(name, path);
    const std::optional<int64_t> weight = reader.Integer(value, path, 0, kWeightMax);
    if (!shard || !weight) continue;
    const auto found = std::find(shards.begin(), shards.end(), *shard);
    if (found == shards.end()) {
      reader.Add(path, "this shard is not in `shards`, so it has no share to weigh");
      continue;
    }
    weighted[static_cast<size_t>(found - shards.begin())].weight = static_cast<uint64_t>(*weight);
  }
  return weighted;
}

}  // namespace

std::vector<uint32_t> BucketOwners(uint64_t buckets, const std::vector<WeightedShard>& shards) {
  struct Point {
    uint64_t seed;
    uint32_t shard;
  };
  std::vector<Point> points;
  for (uint32_t shard = 0; shard < shards.size(); ++shard) {
    for (uint64_t i = 0; i < shards[shard].weight; ++i)
      points.push_back({HashBytesExtended(shards[shard].name, i), shard});
  }
  // Equal heights are settled by name and not by position.
  std::stable_sort(points.begin(), points.end(), [&shards](const Point& a, const Point& b) {
    return shards[a.shard].name < shards[b.shard].name;
  });
  std::vector<uint32_t> owners(buckets);
  for (uint64_t bucket = 0; bucket < buckets; ++bucket) {
    const uint64_t bucket_seed = Scramble(bucket);
    uint64_t highest = 0;
    owners[bucket] = points.front().shard;
    for (const Point& point : points) {
      const uint64_t height = Scramble(bucket_seed ^ point.seed);
      if (height <= highest) continue;
      highest = height;
      owners[bucket] = point.shard;
    }
  }
  return owners;
}

std::unique_ptr<Resolver> MakeConsistentHashResolver(const ResolverSpec& spec,
                                                     std::vector<FieldViolation>& violations) {
  OptionReader reader(spec, violations);
  reader.RequireHashableKey();
  if (!reader.Object(spec.options, "", {"buckets", "shards", "weights", "assignment"})) return nullptr;
  uint64_t buckets = kBucketsDefault;
  if (const nlohmann::json* given = OptionReader::Member(spec.options, "buckets")) {
    const std::optional<int64_t> number = reader.Integer(*given, "buckets", 1, kBucketsMax);
    if (number) buckets = static_cast<uint64_t>(*number);
  }
  const std::vector<ShardId> shards = ReadShards(reader);
  const std::vector<WeightedShard> weighted = ReadWeights(reader, shards);
  uint64_t weights_sum = 0;
  for (const WeightedShard& shard : weighted) weights_sum += shard.weight;
  if (weights_sum == 0 && !shards.empty()) reader.Add("weights", "at least one shard needs a weight above 0");
  if (weights_sum > kPointsMax / buckets) {
    reader.Add("weights",
               absl::StrCat("their sum times the buckets is above ", kPointsMax, ": use smaller weights"));
  }
  std::vector<ShardId> owners(buckets);
  if (reader.clean()) {
    const std::vector<uint32_t> positions = BucketOwners(buckets, weighted);
    std::transform(positions.begin(), positions.end(), owners.begin(),
                   [&shards](uint32_t at) { return shards[at]; });
  }
  if (const nlohmann::json* assignment = OptionReader::Member(spec.options, "assignment")) {
    Assign(reader, *assignment, owners);
  }
  if (!reader.clean()) return nullptr;
  return std::make_unique<ConsistentHashResolver>(ResolverIdentity(spec), std::move(owners));
}

}  // namespace quarry
