#include "core/routing/hash_resolver.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/routing/options.h"
#include "core/routing/stable_hash.h"

namespace quarry {
namespace {

class HashResolver final : public Resolver {
 public:
  HashResolver(ResolverIdentity identity, uint64_t modulus, std::vector<ShardId> by_remainder)
      : identity_(std::move(identity)),
        modulus_(modulus),
        by_remainder_(std::move(by_remainder)),
        shards_(ToShardSet(by_remainder_)) {}

  const std::string& name() const override { return identity_.name; }
  const std::string& type() const override { return identity_.type; }
  const ShardSet& shards() const override { return shards_; }

  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override {
    QUARRY_ASSIGN_OR_RETURN(const uint64_t hash, Hash(key));
    return Owner(hash % modulus_);
  }

  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override {
    QUARRY_ASSIGN_OR_RETURN(const uint64_t hash, Hash(key));
    const uint64_t remainder = hash % modulus_;
    RouteExplanation explanation;
    explanation.shard = Owner(remainder);
    explanation.words =
        absl::StrCat(identity_.Describe(key), " hashes to ", HexHash(hash), ", remainder ", remainder, " of ",
                     modulus_, ", which shard ", identity_.shard_name(explanation.shard), " owns");
    explanation.facts = {
        {"hash", HexHash(hash)}, {"modulus", absl::StrCat(modulus_)}, {"remainder", absl::StrCat(remainder)}};
    return explanation;
  }

 private:
  absl::StatusOr<uint64_t> Hash(absl::Span<const Value> key) const {
    if (!identity_.Fits(key)) return identity_.WrongWidth(key);
    return PartitionHash(key);
  }
  ShardId Owner(uint64_t remainder) const { return by_remainder_[remainder % by_remainder_.size()]; }

  const ResolverIdentity identity_;
  const uint64_t modulus_;
  const std::vector<ShardId> by_remainder_;
  const ShardSet shards_;
};

}  // namespace

std::unique_ptr<Resolver> MakeHashResolver(const ResolverSpec& spec,
                                           std::vector<FieldViolation>& violations) {
  OptionReader reader(spec, violations);
  reader.RequireHashableKey();
  if (!reader.Object(spec.options, "", {"modulus", "shards"})) return nullptr;
  std::vector<ShardId> by_remainder = AllShards(spec);
  bool shards_known = true;
  if (const nlohmann::json* listed = OptionReader::Member(spec.options, "shards")) {
    std::optional<std::vector<ShardId>> list = reader.ShardList(*listed, "shards");
    shards_known = list.has_value();
    if (list) by_remainder = *std::move(list);
  }
  uint64_t modulus = by_remainder.size();
  if (const nlohmann::json* given = OptionReader::Member(spec.options, "modulus")) {
    // PostgreSQL's own bound.
    const std::optional<int64_t> number =
        reader.Integer(*given, "modulus", 1, std::numeric_limits<int32_t>::max());
    if (number) modulus = static_cast<uint64_t>(*number);
  }
  if (shards_known && modulus % by_remainder.size() != 0) {
    reader.Add(
        "modulus",
        absl::StrCat("is ", modulus, ", which is no multiple of the ", by_remainder.size(),
                     " shards: list one shard per remainder in `shards`; a shard may stand several times"));
  }
  if (!reader.clean()) return nullptr;
  return std::make_unique<HashResolver>(ResolverIdentity(spec), modulus, std::move(by_remainder));
}

}  // namespace quarry
