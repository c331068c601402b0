#include "core/plan/prune.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/key_boxes.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

constexpr size_t kKeysMax = 20'000;  // Whole keys of one predicate.
constexpr size_t kPartsMax = 128;    // Incomplete keys of one box.

using PartialKey = std::vector<std::optional<Value>>;

// Every combination of the values that the parts up to `width` have, others absent; nullopt when they are more than `most`.
std::optional<std::vector<PartialKey>> Combine(const KeyBox& box, size_t width, size_t most) {
  std::vector<PartialKey> keys(1);
  for (size_t part = 0; part < box.size(); ++part) {
    if (part >= width || !box[part].values.has_value()) {
      for (PartialKey& key : keys) key.emplace_back();
      continue;
    }
    const std::vector<Value>& values = *box[part].values;
    if (keys.size() * values.size() > most) return std::nullopt;
    std::vector<PartialKey> longer;
    longer.reserve(keys.size() * values.size());
    for (const PartialKey& key : keys) {
      for (const Value& value : values) {
        longer.push_back(key);
        longer.back().emplace_back(value);
      }
    }
    keys = std::move(longer);
  }
  return keys;
}

class Pruner {
 public:
  Pruner(const Resolver& resolver, std::vector<Key>* unmapped) : resolver_(resolver), unmapped_(unmapped) {}

  ShardSet Run(const std::vector<KeyBox>& boxes) {
    for (const KeyBox& box : boxes) {
      AddBox(box);
      if (found_.size() == resolver_.shards().size() && unmapped_ == nullptr) break;
    }
    return ShardSet(found_.begin(), found_.end());
  }

 private:
  void AddAll(const ShardSet& shards) { found_.insert(shards.begin(), shards.end()); }

  void AddBox(const KeyBox& box) {
    const bool whole = std::all_of(box.begin(), box.end(), [](const KeyPart& part) { return part.values.has_value(); });
    if (whole) {
      const std::optional<std::vector<PartialKey>> keys = Combine(box, box.size(), kKeysMax - std::min(kKeysMax, keys_));
      if (keys.has_value()) {
        keys_ += keys->size();
        for (const PartialKey& key : *keys) AddKey(key);
        return;
      }
    }
    // Each is enough alone; together they leave less.
    ShardSet shards = ByParts(box);
    const ShardSet by_range = ByRange(box);
    ShardSet both;
    std::set_intersection(shards.begin(), shards.end(), by_range.begin(), by_range.end(), std::back_inserter(both));
    AddAll(both);
  }

  void AddKey(const PartialKey& parts) {
    Key key;
    for (const std::optional<Value>& part : parts) key.push_back(*part);
    const absl::StatusOr<ShardId> shard = resolver_.Resolve(key);
    if (shard.ok()) {
      found_.insert(*shard);
    } else if (ReasonOf(shard.status()) != reason::kKeyNotMapped) {
      AddAll(resolver_.shards());
    } else if (DetailOf(shard.status()).facts.contains("directory")) {
      // The stored directory may know it.
      if (unmapped_ == nullptr) return AddAll(resolver_.shards());
      unmapped_->push_back(std::move(key));
    }
  }

  ShardSet ByParts(const KeyBox& box) const {
    for (size_t width = box.size(); width > 0; --width) {
      const std::optional<std::vector<PartialKey>> keys = Combine(box, width, kPartsMax);
      if (!keys.has_value()) continue;
      std::set<ShardId> found;
      for (const PartialKey& key : *keys) {
        const absl::StatusOr<ShardSet> shards = resolver_.ResolvePartial(key);
        if (!shards.ok()) return resolver_.shards();
        found.insert(shards->begin(), shards->end());
      }
      return ShardSet(found.begin(), found.end());
    }
    return resolver_.shards();
  }

  // Leading parts with values, then one with an interval.
  ShardSet ByRange(const KeyBox& box) const {
    size_t width = 0;
    while (width < box.size() && box[width].values.has_value()) ++width;
    if (width == box.size() || box[width].any()) return resolver_.shards();
    const std::optional<std::vector<PartialKey>> keys = Combine(box, width, kPartsMax);
    if (!keys.has_value()) return resolver_.shards();
    std::set<ShardId> found;
    for (const PartialKey& key : *keys) {
      Key prefix;
      for (size_t part = 0; part < width; ++part) prefix.push_back(*key[part]);
      const absl::StatusOr<ShardSet> shards = InInterval(prefix, box[width]);
      if (!shards.ok()) return resolver_.shards();
      found.insert(shards->begin(), shards->end());
    }
    return ShardSet(found.begin(), found.end());
  }

  static Key Extended(Key key, const Value& last) {
    key.push_back(last);
    return key;
  }

  absl::StatusOr<ShardSet> InInterval(const Key& prefix, const KeyPart& interval) const {
    KeyRange range;
    if (interval.from.has_value()) {
      range.from = Extended(prefix, interval.from->value);
    } else if (!prefix.empty()) {
      range.from = prefix;
    }
    if (interval.to.has_value()) range.to = Extended(prefix, interval.to->value);
    QUARRY_ASSIGN_OR_RETURN(const ShardSet between, resolver_.ResolveRange(range));
    std::set<ShardId> found(between.begin(), between.end());
    if (interval.to.has_value() && interval.to->inclusive) {
      // A range ends before its upper end.
      QUARRY_ASSIGN_OR_RETURN(const ShardSet last, resolver_.ResolvePrefix(*range.to));
      found.insert(last.begin(), last.end());
    }
    return ShardSet(found.begin(), found.end());
  }

  const Resolver& resolver_;
  std::vector<Key>* const unmapped_;
  std::set<ShardId> found_;
  size_t keys_ = 0;
};

std::string KeyNames(const Table& table) {
  std::vector<std::string> names;
  for (const size_t column : table.shard_key()) names.push_back(table.columns()[column].name);
  return absl::StrJoin(names, ", ");
}

// "customer_id = … and day between … and …"; never values.
std::string Describe(const KeyBox& box, const Table& table) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < box.size(); ++i) {
    const std::string& name = table.columns()[table.shard_key()[i]].name;
    const KeyPart& part = box[i];
    if (part.any()) continue;
    if (part.values.has_value()) {
      parts.push_back(part.values->size() == 1 ? absl::StrCat(name, " = …") : absl::StrCat(name, " in ", part.values->size(), " values"));
    } else if (part.from.has_value() && part.to.has_value()) {
      parts.push_back(absl::StrCat(name, " between … and …"));
    } else {
      parts.push_back(absl::StrCat(name, part.from.has_value() ? " from …" : " up to …"));
    }
  }
  return absl::StrJoin(parts, " and ");
}

bool SaysNothing(const std::vector<KeyBox>& boxes) {
  return std::any_of(boxes.begin(), boxes.end(), [](const KeyBox& box) {
    return std::all_of(box.begin(), box.end(), [](const KeyPart& part) { return part.any(); });
  });
}

std::string Shards(size_t count) { return absl::StrCat(count, count == 1 ? " shard" : " shards"); }

std::string Words(const std::vector<KeyBox>& boxes, const Table& table, const Resolver& resolver, size_t found) {
  const size_t all = resolver.shards().size();
  if (SaysNothing(boxes)) {
    return absl::StrCat("the filter says nothing of the shard key (", KeyNames(table), "), so ",
                        all == 1 ? "the only shard is asked" : absl::StrCat("all ", all, " shards are asked"));
  }
  const std::string what = boxes.size() == 1 ? Describe(boxes[0], table)
                                             : absl::StrCat("one of ", boxes.size(), " conditions on (", KeyNames(table), ")");
  return absl::StrCat(what, " gives ", found, " of ", Shards(all), " (", resolver.type(), ")");
}

constexpr char kNever[] = "the filter is true of no row, so no shard is asked";

}  // namespace

absl::StatusOr<ScatterRoute> Prune(const Predicate& predicate, const Table& table, const Snapshot& snapshot, ShardId spread,
                                   std::vector<Key>* unmapped) {
  ScatterRoute route;
  const bool sharded = table.kind() == TableKind::kSharded;
  const std::vector<KeyBox> boxes = BoxesOf(predicate, sharded ? table.shard_key() : std::vector<size_t>());
  if (boxes.empty()) {
    route.words = kNever;
    return route;
  }
  if (table.kind() == TableKind::kSingle) {
    QUARRY_ASSIGN_OR_RETURN(const ShardId shard, snapshot.topology.Find(table.declaration().shard));
    route.shards = {shard};
    route.words = absl::StrCat("table \"", table.name(), "\" lives on shard ", table.declaration().shard, " alone");
    return route;
  }
  if (table.kind() == TableKind::kReference) {
    route.shards = {spread};
    route.words = absl::StrCat("every shard holds all rows of \"", table.name(), "\"; ", snapshot.topology.name(spread), " is asked");
    return route;
  }
  QUARRY_ASSIGN_OR_RETURN(const Resolver* resolver, ResolverOf(table, snapshot));
  route.shards = Pruner(*resolver, unmapped).Run(boxes);
  route.words = Words(boxes, table, *resolver, route.shards.size());
  return route;
}

}  // namespace quarry
