#include "core/routing/range_resolver.h"

#include <algorithm>
#include <compare>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status_macros.h"
#include "core/routing/key_text.h"
#include "core/routing/options.h"

namespace quarry {
namespace {

// One part of a key as it is ordered. `Text` is a view for keys and owned for bounds.
template <typename Text>
struct OrderedPart {
  ValueKind kind = ValueKind::kNull;
  int64_t number = 0;
  Text text;
};
// Ordered part by part; a prefix comes before all that it begins. The empty point is the lowest.
using Point = absl::InlinedVector<OrderedPart<std::string_view>, 4>;
using Bound = std::vector<OrderedPart<std::string>>;

template <typename Left, typename Right>
std::strong_ordering Compare(const Left& left, const Right& right) {
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (const auto order = left[i].kind <=> right[i].kind; order != 0) return order;
    if (const auto order = left[i].number <=> right[i].number; order != 0) return order;
    if (const int order = std::string_view(left[i].text).compare(right[i].text); order != 0)
      return order <=> 0;
  }
  return left.size() <=> right.size();
}

bool HasOrder(const ColumnType& type) {
  switch (type.kind) {
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
    case TypeKind::kText:
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
    case TypeKind::kDate:
    case TypeKind::kTime:
    case TypeKind::kUuid:
      return !type.array;
    default:
      return false;
  }
}

std::optional<OrderedPart<std::string_view>> PartOf(const Value& value) {
  OrderedPart<std::string_view> part{value.kind(), 0, {}};
  switch (value.kind()) {
    case ValueKind::kInt64:
      part.number = value.int64_value();
      return part;
    case ValueKind::kTimestamp:
      part.number = value.timestamp_micros();
      return part;
    case ValueKind::kDate: {
      const std::optional<int32_t> days = ParseDateDays(value.text());
      part.number = days.value_or(0);
      return days ? std::optional(part) : std::nullopt;
    }
    case ValueKind::kTime: {
      const std::optional<int64_t> micros = ParseTimeMicros(value.text());
      part.number = micros.value_or(0);
      return micros ? std::optional(part) : std::nullopt;
    }
    case ValueKind::kText:
    case ValueKind::kUuid:
      part.text = value.text();
      return part;
    default:
      return std::nullopt;
  }
}

absl::StatusOr<Point> PointOf(absl::Span<const Value> key) {
  Point point;
  for (size_t i = 0; i < key.size(); ++i) {
    const std::optional<OrderedPart<std::string_view>> part = PartOf(key[i]);
    if (!part) {
      return InvalidField(
          absl::StrCat("key[", i, "]"),
          absl::StrCat("a value of kind ", ValueKindName(key[i].kind()), " has no place in a range"));
    }
    point.push_back(*part);
  }
  return point;
}

Bound ToBound(const Point& point) {
  Bound bound;
  for (const auto& part : point) bound.push_back({part.kind, part.number, std::string(part.text)});
  return bound;
}

std::string Shown(const std::optional<Key>& end, const char* open) {
  if (!end) return open;
  const auto append = [](std::string* out, const Value& value) { absl::StrAppend(out, DebugString(value)); };
  return end->size() == 1 ? DebugString(end->front())
                          : absl::StrCat("(", absl::StrJoin(*end, ", ", append), ")");
}

// All keys from `start` to the next segment's start.
struct Segment {
  Bound start;
  ShardId shard{};
  bool by_default = false;
  std::string words;  // "[10, 20)".
};

class RangeResolver final : public Resolver {
 public:
  // `segments` is sorted and its first starts at the lowest point.
  RangeResolver(ResolverIdentity identity, std::vector<Segment> segments)
      : identity_(std::move(identity)), segments_(std::move(segments)) {
    for (const Segment& segment : segments_) shards_.push_back(segment.shard);
    shards_ = ToShardSet(std::move(shards_));
  }

  const std::string& name() const override { return identity_.name; }
  const std::string& type() const override { return identity_.type; }
  const ShardSet& shards() const override { return shards_; }

  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override {
    if (!identity_.Fits(key)) return identity_.WrongWidth(key);
    QUARRY_ASSIGN_OR_RETURN(const Point point, PointOf(key));
    return segments_[SegmentOf(point)].shard;
  }

  absl::StatusOr<ShardSet> ResolveRange(const KeyRange& range) const override {
    Point from;
    if (range.from) {
      QUARRY_ASSIGN_OR_RETURN(from, PointOf(*range.from));
    }
    size_t last = segments_.size();
    if (range.to) {
      QUARRY_ASSIGN_OR_RETURN(const Point to, PointOf(*range.to));
      if (Compare(from, to) >= 0) return ShardSet();
      const auto starts_at_or_after = [](const Segment& segment, const Point& end) {
        return Compare(segment.start, end) < 0;
      };
      const auto at = std::lower_bound(segments_.begin(), segments_.end(), to, starts_at_or_after);
      last = static_cast<size_t>(at - segments_.begin());
    }
    std::vector<ShardId> found;
    for (size_t i = SegmentOf(from); i < last; ++i) found.push_back(segments_[i].shard);
    return ToShardSet(std::move(found));
  }

  absl::StatusOr<ShardSet> ResolvePrefix(absl::Span<const Value> prefix) const override {
    QUARRY_ASSIGN_OR_RETURN(const Point point, PointOf(prefix));
    // A segment that starts within the prefix holds keys of it, one that starts beyond does not.
    const auto starts_beyond = [](const Point& at, const Segment& segment) {
      const size_t width = std::min(at.size(), segment.start.size());
      return Compare(Bound(segment.start.begin(), segment.start.begin() + static_cast<std::ptrdiff_t>(width)), at) > 0;
    };
    const auto end = std::upper_bound(segments_.begin(), segments_.end(), point, starts_beyond);
    std::vector<ShardId> found;
    for (size_t i = SegmentOf(point); i < static_cast<size_t>(end - segments_.begin()); ++i) {
      found.push_back(segments_[i].shard);
    }
    return ToShardSet(std::move(found));
  }

  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override {
    if (!identity_.Fits(key)) return identity_.WrongWidth(key);
    QUARRY_ASSIGN_OR_RETURN(const Point point, PointOf(key));
    const Segment& segment = segments_[SegmentOf(point)];
    RouteExplanation explanation;
    explanation.shard = segment.shard;
    const std::string& shard = identity_.shard_name(segment.shard);
    explanation.words =
        segment.by_default
            ? absl::StrCat(identity_.Describe(key),
                           " is in no declared range, so it goes to the default, shard ", shard)
            : absl::StrCat(identity_.Describe(key), " is in the range ", segment.words, ", which shard ",
                           shard, " owns");
    explanation.facts = {{"range", segment.by_default ? "default" : segment.words}};
    return explanation;
  }

 private:
  size_t SegmentOf(const Point& point) const {
    const auto after = std::upper_bound(
        segments_.begin(), segments_.end(), point,
        [](const Point& at, const Segment& segment) { return Compare(at, segment.start) < 0; });
    return static_cast<size_t>(after - segments_.begin()) - 1;
  }

  const ResolverIdentity identity_;
  const std::vector<Segment> segments_;
  ShardSet shards_;
};

struct DeclaredRange {
  size_t index = 0;
  std::optional<Key> from;
  std::optional<Key> to;
  Bound start;
  std::optional<Bound> end;
  ShardId shard{};
};

// Reads one end. False when it is malformed.
bool ReadEnd(OptionReader& reader, const nlohmann::json& range, const char* name, const std::string& path,
             std::optional<Key>& end) {
  const nlohmann::json* value = OptionReader::Member(range, name);
  if (value == nullptr) return true;
  const std::string end_path = absl::StrCat(path, ".", name);
  end = reader.WholeKey(*value, end_path, /*prefix_allowed=*/true);
  if (!end) return false;
  if (PointOf(*end).ok()) return true;
  reader.Add(end_path, "has no order: a range key holds integers, text, timestamps, dates, times or uuids");
  return false;
}

std::optional<DeclaredRange> ReadRange(OptionReader& reader, const nlohmann::json& value, size_t index) {
  const std::string path = absl::StrCat("ranges[", index, "]");
  if (!reader.Object(value, path, {"from", "to", "shard"})) return std::nullopt;
  DeclaredRange range;
  range.index = index;
  const bool from_read = ReadEnd(reader, value, "from", path, range.from);
  const bool to_read = ReadEnd(reader, value, "to", path, range.to);
  const nlohmann::json* shard = OptionReader::Member(value, "shard");
  if (shard == nullptr) {
    reader.Add(absl::StrCat(path, ".shard"), "is missing: name the shard that owns the range");
  } else if (const std::optional<ShardId> known = reader.Shard(*shard, absl::StrCat(path, ".shard"))) {
    range.shard = *known;
  }
  if (!from_read || !to_read) return std::nullopt;
  if (range.from) range.start = ToBound(*PointOf(*range.from));
  if (range.to) range.end = ToBound(*PointOf(*range.to));
  if (range.end && Compare(range.start, *range.end) >= 0) {
    reader.Add(path, "is empty: `from` must be below `to`");
    return std::nullopt;
  }
  return range;
}

// Turns sorted ranges into segments, gap by gap. Gaps are reported only when `gaps_known`: a malformed range
// looks like one.
class Cover {
 public:
  Cover(OptionReader& reader, std::optional<ShardId> rest, bool gaps_known)
      : reader_(reader), rest_(rest), gaps_known_(gaps_known) {}

  std::vector<Segment> Build(const std::vector<DeclaredRange>& ranges) {
    Bound covered;  // Everything below is done.
    bool open = false;
    const DeclaredRange* last = nullptr;
    for (const DeclaredRange& range : ranges) {
      if (last != nullptr && (open || Compare(range.start, covered) < 0)) {
        reader_.Add(absl::StrCat("ranges[", range.index, "]"),
                    absl::StrCat("overlaps ranges[", last->index, "]"));
      } else if (Compare(covered, range.start) < 0) {
        Gap(covered, last, &range);
      }
      segments_.push_back(
          {range.start, range.shard, false,
           absl::StrCat("[", Shown(range.from, "lowest"), ", ", Shown(range.to, "highest"), ")")});
      if (open || (range.end && Compare(*range.end, covered) <= 0)) continue;
      open = !range.end.has_value();
      if (range.end) covered = *range.end;
      last = &range;
    }
    if (!open) Gap(covered, last, nullptr);
    return std::move(segments_);
  }

 private:
  void Gap(const Bound& start, const DeclaredRange* before, const DeclaredRange* after) {
    if (rest_) {
      segments_.push_back({start, *rest_, true, ""});
    } else if (gaps_known_) {
      reader_.Add("ranges",
                  absl::StrCat("no range covers the keys from ",
                               before == nullptr ? "the lowest" : Shown(before->to, "the lowest"), " to ",
                               after == nullptr ? "the highest" : Shown(after->from, "the highest"),
                               ": close the gap or declare `default`"));
    }
  }

  OptionReader& reader_;
  const std::optional<ShardId> rest_;
  const bool gaps_known_;
  std::vector<Segment> segments_;
};

void RequireOrderedKey(OptionReader& reader) {
  const std::vector<ColumnType>& types = reader.spec().key_types;
  for (size_t i = 0; i < types.size(); ++i) {
    if (HasOrder(types[i])) continue;
    reader.Add(
        absl::StrCat("key.", reader.ColumnName(i)),
        absl::StrCat("a column of type ", TypeName(types[i]),
                     " cannot be a range key: integers, text, timestamps, ", "dates, times and uuids can"));
  }
}

}  // namespace

std::unique_ptr<Resolver> MakeRangeResolver(const ResolverSpec& spec,
                                            std::vector<FieldViolation>& violations) {
  OptionReader reader(spec, violations);
  RequireOrderedKey(reader);
  if (!reader.Object(spec.options, "", {"ranges", "default"})) return nullptr;
  std::optional<ShardId> rest;
  const nlohmann::json* declared_default = OptionReader::Member(spec.options, "default");
  if (declared_default != nullptr) rest = reader.Shard(*declared_default, "default");
  const nlohmann::json* list = OptionReader::Member(spec.options, "ranges");
  if (list == nullptr || !list->is_array() || list->empty()) {
    reader.Add("ranges", "must be a list of {from, to, shard}, at least one");
    return nullptr;
  }
  std::vector<DeclaredRange> ranges;
  for (size_t i = 0; i < list->size(); ++i) {
    if (std::optional<DeclaredRange> range = ReadRange(reader, (*list)[i], i))
      ranges.push_back(*std::move(range));
  }
  std::stable_sort(ranges.begin(), ranges.end(), [](const DeclaredRange& a, const DeclaredRange& b) {
    return Compare(a.start, b.start) < 0;
  });
  const bool gaps_known = ranges.size() == list->size() && declared_default == nullptr;
  std::vector<Segment> segments = Cover(reader, rest, gaps_known).Build(ranges);
  if (!reader.clean()) return nullptr;
  return std::make_unique<RangeResolver>(ResolverIdentity(spec), std::move(segments));
}

}  // namespace quarry
