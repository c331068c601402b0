#include "core/routing/geo_resolver.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/base/status_macros.h"
#include "core/routing/key_map.h"
#include "core/routing/options.h"
#include "core/routing/stable_hash.h"

namespace quarry {
namespace {

struct Region {
  ShardId shard{};
  size_t index = 0;  // In the options.
};

// The regions that name the same columns.
struct Level {
  std::vector<size_t> positions;  // Of the columns in the key, ascending.
  KeyMap<Region> regions;
};

class GeoResolver final : public Resolver {
 public:
  // `levels` is sorted, most specific first. `width_min`: the parts that a key has at least.
  GeoResolver(ResolverIdentity identity, size_t width_min, std::vector<Level> levels,
              std::optional<ShardId> rest)
      : identity_(std::move(identity)), width_min_(width_min), levels_(std::move(levels)), rest_(rest) {
    std::vector<ShardId> answers;
    for (const Level& level : levels_) {
      for (const auto& [place, region] : level.regions) answers.push_back(region.shard);
    }
    if (rest_) answers.push_back(*rest_);
    shards_ = ToShardSet(std::move(answers));
  }

  const std::string& name() const override { return identity_.name; }
  const std::string& type() const override { return identity_.type; }
  const ShardSet& shards() const override { return shards_; }

  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override {
    QUARRY_ASSIGN_OR_RETURN(const Match match, Find(key));
    return match.shard;
  }

  absl::StatusOr<ShardSet> ResolvePrefix(absl::Span<const Value> prefix) const override {
    std::vector<std::optional<Value>> key(prefix.begin(), prefix.end());
    key.resize(std::max(key.size(), std::max(width_min_, identity_.width)));
    return ResolvePartial(key);
  }

  // From the most specific level down: its regions that agree with what is known may hold the key; where one is known to match,
  // nothing below it can.
  absl::StatusOr<ShardSet> ResolvePartial(absl::Span<const std::optional<Value>> key) const override {
    if (key.size() < width_min_) return shards_;
    std::vector<ShardId> found;
    for (const Level& level : levels_) {
      std::vector<size_t> parts;  // Of a region's place: those that are known.
      Key known;
      for (size_t i = 0; i < level.positions.size(); ++i) {
        const std::optional<Value>& part = key[level.positions[i]];
        if (!part.has_value()) continue;
        parts.push_back(i);
        known.push_back(*part);
      }
      const std::optional<KeyProbe> probe = ProbeOf(known);
      if (!probe.has_value()) return shards_;
      if (parts.size() == level.positions.size()) {
        const auto region = level.regions.find(*probe);
        if (region == level.regions.end()) continue;
        found.push_back(region->second.shard);
        return ToShardSet(std::move(found));
      }
      for (const auto& [place, region] : level.regions) {
        const std::optional<KeyProbe> same_parts = ProbeOf(place.parts, parts);
        if (parts.empty() || (same_parts.has_value() && SameKey(*probe, Store(*same_parts)))) found.push_back(region.shard);
      }
    }
    if (rest_) found.push_back(*rest_);
    return ToShardSet(std::move(found));
  }

  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override {
    QUARRY_ASSIGN_OR_RETURN(const Match match, Find(key));
    RouteExplanation explanation;
    explanation.shard = match.shard;
    const std::string& shard = identity_.shard_name(match.shard);
    if (match.level == nullptr) {
      explanation.words = absl::StrCat(identity_.Describe(key),
                                       " is in no declared region, so it goes to the default, shard ", shard);
      explanation.facts = {{"region", "default"}};
      return explanation;
    }
    const auto name_column = [this](std::string* out, size_t position) {
      absl::StrAppend(out, position < identity_.key_columns.size() ? identity_.key_columns[position]
                                                                   : absl::StrCat(position));
    };
    const std::string columns = absl::StrJoin(match.level->positions, ", ", name_column);
    explanation.words = absl::StrCat(identity_.Describe(key), " is in regions[", match.region,
                                     "], matched by ", columns, ", which shard ", shard, " owns");
    explanation.facts = {{"region", absl::StrCat(match.region)}, {"matched", columns}};
    return explanation;
  }

 private:
  struct Match {
    ShardId shard{};
    const Level* level = nullptr;  // Null: the default.
    size_t region = 0;
  };

  absl::StatusOr<Match> Find(absl::Span<const Value> key) const {
    if (!identity_.Fits(key) || key.size() < width_min_) return identity_.WrongWidth(key);
    for (const Level& level : levels_) {
      const std::optional<KeyProbe> place = ProbeOf(key, level.positions);
      if (!place) continue;
      const auto found = level.regions.find(*place);
      if (found != level.regions.end()) return Match{found->second.shard, &level, found->second.index};
    }
    if (rest_) return Match{*rest_, nullptr, 0};
    return identity_.NotMapped("no region matches it; add one or declare `default`");
  }

  const ResolverIdentity identity_;
  const size_t width_min_;
  const std::vector<Level> levels_;
  const std::optional<ShardId> rest_;
  ShardSet shards_;
};

// Columns that say the place: name and position in the key.
using PlaceColumns = std::vector<std::pair<std::string, size_t>>;

PlaceColumns ReadColumns(OptionReader& reader) {
  const std::vector<std::string>& key_columns = reader.spec().key_columns;
  const nlohmann::json* listed = OptionReader::Member(reader.spec().options, "columns");
  PlaceColumns columns;
  if (listed == nullptr) {
    for (size_t i = 0; i < key_columns.size(); ++i) columns.emplace_back(key_columns[i], i);
    if (columns.empty()) reader.Add("columns", "is missing: name the key columns that say the place");
    return columns;
  }
  if (!listed->is_array() || listed->empty()) {
    reader.Add("columns", "must be a list of key columns, at least one");
    return columns;
  }
  for (size_t i = 0; i < listed->size(); ++i) {
    const std::string path = absl::StrCat("columns[", i, "]");
    const std::optional<std::string> name = reader.String((*listed)[i], path);
    if (!name) continue;
    const auto at = std::find(key_columns.begin(), key_columns.end(), *name);
    const bool repeated = std::any_of(columns.begin(), columns.end(),
                                      [&name](const auto& column) { return column.first == *name; });
    if (!key_columns.empty() && at == key_columns.end()) {
      reader.Add(path, absl::StrCat("\"", *name, "\" is no column of the shard key",
                                    DidYouMean(*name, key_columns)));
    } else if (repeated) {
      reader.Add(path, "stands twice");
    } else {
      columns.emplace_back(*name, key_columns.empty() ? i : static_cast<size_t>(at - key_columns.begin()));
    }
  }
  return columns;
}

// The values that a region allows per column, by the column's position in the key.
using Places = std::map<size_t, std::vector<Value>>;

std::optional<Places> ReadMatch(OptionReader& reader, const nlohmann::json& match,
                                const PlaceColumns& columns, const std::string& path) {
  if (!match.is_object() || match.empty()) {
    reader.Add(path, "must be an object of columns and their values, at least one");
    return std::nullopt;
  }
  std::vector<std::string> names;
  for (const auto& [name, position] : columns) names.push_back(name);
  Places places;
  for (const auto& [name, value] : match.items()) {
    const std::string column_path = absl::StrCat(path, ".", name);
    const auto column = std::find(names.begin(), names.end(), name);
    if (column == names.end()) {
      reader.Add(column_path, absl::StrCat("is no column of this resolver", DidYouMean(name, names)));
      continue;
    }
    const size_t position = columns[static_cast<size_t>(column - names.begin())].second;
    if (value.is_array() && value.empty()) reader.Add(column_path, "an empty list matches nothing");
    const nlohmann::json values = value.is_array() ? value : nlohmann::json::array({value});
    for (size_t i = 0; i < values.size(); ++i) {
      const std::string value_path = value.is_array() ? absl::StrCat(column_path, "[", i, "]") : column_path;
      if (auto part = reader.KeyPart(values[i], position, value_path))
        places[position].push_back(*std::move(part));
    }
  }
  return reader.clean() ? std::optional(std::move(places)) : std::nullopt;
}

// Adds every combination of the region's values to its level.
void AddRegion(OptionReader& reader, const Places& places, const Region& region,
               std::map<std::vector<size_t>, KeyMap<Region>>& levels) {
  constexpr size_t kCombinationsMax = 100'000;
  std::vector<size_t> positions;
  std::vector<Key> combinations(1);
  for (const auto& [position, values] : places) {
    positions.push_back(position);
    if (combinations.size() > kCombinationsMax / values.size()) {
      return reader.Add(absl::StrCat("regions[", region.index, "].match"),
                        absl::StrCat("lists more than ", kCombinationsMax, " combinations: split it"));
    }
    std::vector<Key> longer;
    for (const Key& key : combinations) {
      for (const Value& value : values) {
        longer.push_back(key);
        longer.back().push_back(value);
      }
    }
    combinations = std::move(longer);
  }
  KeyMap<Region>& regions = levels[positions];
  for (const Key& key : combinations) {
    // Every value has a stable hash: its column's type has one, and KeyPart reads no other values.
    const auto [at, added] = regions.emplace(Store(ProbeOf(key).value()), region);
    if (!added) {
      return reader.Add(absl::StrCat("regions[", region.index, "].match"),
                        absl::StrCat("repeats a place of regions[", at->second.index, "]"));
    }
  }
}

std::vector<Level> SortLevels(std::map<std::vector<size_t>, KeyMap<Region>> levels) {
  std::vector<Level> sorted;
  for (auto& [positions, regions] : levels) sorted.push_back({positions, std::move(regions)});
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Level& a, const Level& b) { return a.positions.size() > b.positions.size(); });
  return sorted;
}

}  // namespace

std::unique_ptr<Resolver> MakeGeoResolver(const ResolverSpec& spec, std::vector<FieldViolation>& violations) {
  OptionReader reader(spec, violations);
  if (!reader.Object(spec.options, "", {"columns", "regions", "default"})) return nullptr;
  const PlaceColumns columns = ReadColumns(reader);
  for (const auto& [name, position] : columns) {
    if (position >= spec.key_types.size() || HasStableHash(spec.key_types[position])) continue;
    reader.Add(absl::StrCat("key.", name),
               absl::StrCat("a column of type ", TypeName(spec.key_types[position]), " cannot say a place"));
  }
  std::optional<ShardId> rest;
  if (const auto* declared = OptionReader::Member(spec.options, "default"))
    rest = reader.Shard(*declared, "default");
  const nlohmann::json* list = OptionReader::Member(spec.options, "regions");
  if (list == nullptr || !list->is_array() || list->empty()) {
    reader.Add("regions", "must be a list of {match, shard}, at least one");
    return nullptr;
  }
  std::map<std::vector<size_t>, KeyMap<Region>> levels;
  for (size_t i = 0; i < list->size(); ++i) {
    const nlohmann::json& item = (*list)[i];
    const std::string path = absl::StrCat("regions[", i, "]");
    if (!reader.Object(item, path, {"match", "shard"})) continue;
    const nlohmann::json* shard = OptionReader::Member(item, "shard");
    if (shard == nullptr) reader.Add(absl::StrCat(path, ".shard"), "is missing: name the region's shard");
    const std::optional<ShardId> owner =
        shard ? reader.Shard(*shard, absl::StrCat(path, ".shard")) : std::nullopt;
    const nlohmann::json* match = OptionReader::Member(item, "match");
    const std::optional<Places> places =
        ReadMatch(reader, match ? *match : nlohmann::json(), columns, absl::StrCat(path, ".match"));
    if (places && owner) AddRegion(reader, *places, {*owner, i}, levels);
  }
  if (!reader.clean()) return nullptr;
  size_t width_min = 0;
  for (const auto& [name, position] : columns) width_min = std::max(width_min, position + 1);
  return std::make_unique<GeoResolver>(ResolverIdentity(spec), width_min, SortLevels(std::move(levels)),
                                       rest);
}

}  // namespace quarry
