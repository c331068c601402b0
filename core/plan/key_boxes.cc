#include "core/plan/key_boxes.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "core/model/order.h"
#include "core/plan/text_prefix.h"

namespace quarry {
namespace {

using Boxes = std::vector<KeyBox>;

constexpr size_t kValuesHeldMax = 200'000;  // Of all boxes that an AND makes.
constexpr int64_t kIntegersMax = 64;  // Of an interval that becomes values.

bool Less(const Value& a, const Value& b) { return CompareValues(a, b) < 0; }
bool Same(const Value& a, const Value& b) { return CompareValues(a, b) == 0; }

void Sort(std::vector<Value>& values) {
  std::sort(values.begin(), values.end(), Less);
  values.erase(std::unique(values.begin(), values.end(), Same), values.end());
}

bool Within(const KeyPart& part, const Value& value) {
  if (part.from.has_value()) {
    const int order = CompareValues(value, part.from->value);
    if (order < 0 || (order == 0 && !part.from->inclusive)) return false;
  }
  if (part.to.has_value()) {
    const int order = CompareValues(value, part.to->value);
    if (order > 0 || (order == 0 && !part.to->inclusive)) return false;
  }
  return true;
}

// The tighter of two bounds; `sign` is 1 for lower bounds and -1 for upper ones.
void Tighten(std::optional<KeyBound>& bound, const std::optional<KeyBound>& other, int sign) {
  if (!other.has_value()) return;
  if (!bound.has_value()) {
    bound = other;
    return;
  }
  const int order = CompareValues(other->value, bound->value) * sign;
  if (order > 0 || (order == 0 && !other->inclusive)) bound = other;
}

// Integers have next ones: open ends become closed, and few integers become values. False when nothing is left.
bool Settle(KeyPart& part) {
  if (part.values.has_value()) return !part.values->empty();
  if (part.from.has_value() && part.from->value.kind() == ValueKind::kInt64 && !part.from->inclusive) {
    if (part.from->value.int64_value() == std::numeric_limits<int64_t>::max()) return false;
    part.from = KeyBound{Value::Int64(part.from->value.int64_value() + 1), true};
  }
  if (part.to.has_value() && part.to->value.kind() == ValueKind::kInt64 && !part.to->inclusive) {
    if (part.to->value.int64_value() == std::numeric_limits<int64_t>::min()) return false;
    part.to = KeyBound{Value::Int64(part.to->value.int64_value() - 1), true};
  }
  if (!part.from.has_value() || !part.to.has_value()) return true;
  const int order = CompareValues(part.from->value, part.to->value);
  if (order > 0 || (order == 0 && !(part.from->inclusive && part.to->inclusive))) return false;
  std::vector<Value> values;
  if (order == 0) {
    values.push_back(part.from->value);
  } else if (part.from->value.kind() == ValueKind::kInt64) {
    const int64_t first = part.from->value.int64_value();
    const auto count = static_cast<uint64_t>(part.to->value.int64_value()) - static_cast<uint64_t>(first);
    if (count >= static_cast<uint64_t>(kIntegersMax)) return true;
    for (uint64_t i = 0; i <= count; ++i) values.push_back(Value::Int64(first + static_cast<int64_t>(i)));
  } else {
    return true;
  }
  part = KeyPart{std::move(values), std::nullopt, std::nullopt};
  return true;
}

// What both say of one part; false when they exclude each other.
bool Intersect(KeyPart& part, const KeyPart& other) {
  if (part.values.has_value() && other.values.has_value()) {
    std::vector<Value> both;
    std::set_intersection(part.values->begin(), part.values->end(), other.values->begin(), other.values->end(),
                          std::back_inserter(both), Less);
    part.values = std::move(both);
    return !part.values->empty();
  }
  if (part.values.has_value() || other.values.has_value()) {
    KeyPart narrowed = part.values.has_value() ? part : other;
    const KeyPart& interval = part.values.has_value() ? other : part;
    std::vector<Value>& values = *narrowed.values;
    values.erase(std::remove_if(values.begin(), values.end(), [&](const Value& value) { return !Within(interval, value); }),
                 values.end());
    part = std::move(narrowed);
    return !part.values->empty();
  }
  Tighten(part.from, other.from, 1);
  Tighten(part.to, other.to, -1);
  return Settle(part);
}

bool Intersect(KeyBox& box, const KeyBox& other) {
  for (size_t i = 0; i < box.size(); ++i) {
    if (!Intersect(box[i], other[i])) return false;
  }
  return true;
}

size_t ValuesIn(const Boxes& boxes) {
  size_t count = 0;
  for (const KeyBox& box : boxes) {
    for (const KeyPart& part : box) count += part.values.has_value() ? part.values->size() : 0;
  }
  return count;
}

bool SameInterval(const KeyPart& a, const KeyPart& b) {
  const auto same = [](const std::optional<KeyBound>& x, const std::optional<KeyBound>& y) {
    if (!x.has_value() || !y.has_value()) return x.has_value() == y.has_value();
    return x->inclusive == y->inclusive && Same(x->value, y->value);
  };
  return !a.values.has_value() && !b.values.has_value() && same(a.from, b.from) && same(a.to, b.to);
}

bool SamePart(const KeyPart& a, const KeyPart& b) {
  if (!a.values.has_value() || !b.values.has_value()) return SameInterval(a, b);
  return std::equal(a.values->begin(), a.values->end(), b.values->begin(), b.values->end(), Same);
}

// The one part in which both have values while they agree in all others; nullopt when there is none.
std::optional<size_t> Differs(const KeyBox& a, const KeyBox& b) {
  std::optional<size_t> at;
  for (size_t i = 0; i < a.size(); ++i) {
    if (SamePart(a[i], b[i])) continue;
    if (at.has_value() || !a[i].values.has_value() || !b[i].values.has_value()) return std::nullopt;
    at = i;
  }
  return at;
}

struct Scan {
  const std::vector<size_t>& key;

  KeyBox Anywhere() const { return KeyBox(key.size()); }
  Boxes All() const { return {Anywhere()}; }

  std::optional<size_t> PartOf(const ColumnUse& column) const {
    const auto found = std::find(key.begin(), key.end(), column.position);
    if (found == key.end()) return std::nullopt;
    return static_cast<size_t>(found - key.begin());
  }

  Boxes With(size_t at, KeyPart part) const {
    if (!Settle(part)) return {};
    KeyBox box = Anywhere();
    box[at] = std::move(part);
    return {std::move(box)};
  }

  Boxes Compared(size_t at, CompareOp op, const Value& value) const {
    KeyPart part;
    switch (op) {
      case CompareOp::kEqual:
        part.values = {value};
        break;
      case CompareOp::kNotEqual:
        return All();
      case CompareOp::kLess:
      case CompareOp::kLessOrEqual:
        part.to = KeyBound{value, op == CompareOp::kLessOrEqual};
        break;
      case CompareOp::kGreater:
      case CompareOp::kGreaterOrEqual:
        part.from = KeyBound{value, op == CompareOp::kGreaterOrEqual};
        break;
    }
    return With(at, std::move(part));
  }

  Boxes Prefixed(size_t at, const std::string& prefix) const {
    KeyPart part;
    part.from = KeyBound{Value::Text(prefix), true};
    if (std::optional<std::string> end = AfterPrefix(prefix)) part.to = KeyBound{Value::Text(*std::move(end)), false};
    return With(at, std::move(part));
  }

  // What stands before the first wildcard.
  Boxes Like(size_t at, std::string_view pattern) const {
    std::string literal;
    for (size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] == '%' || pattern[i] == '_') return literal.empty() ? All() : Prefixed(at, literal);
      if (pattern[i] == '\\' && ++i == pattern.size()) return All();
      literal.push_back(pattern[i]);
    }
    return Compared(at, CompareOp::kEqual, Value::Text(literal));
  }

  Boxes Leaf(const Predicate& predicate, bool negated) const {
    const std::optional<size_t> at = PartOf(predicate.column);
    if (!at.has_value() || predicate.other.has_value()) return All();
    // "infinity" and its like have no place in the routing's orders.
    const auto native = [](const Value& value) { return value.kind() == ValueKind::kNative || value.is_null(); };
    if (std::any_of(predicate.values.begin(), predicate.values.end(), native)) return All();
    switch (predicate.kind) {
      case Predicate::Kind::kCompare:
        return Compared(*at, negated ? Opposite(predicate.op) : predicate.op, predicate.values[0]);
      case Predicate::Kind::kIn: {
        if (negated || predicate.values.size() > kValuesMax) return All();
        KeyPart part;
        part.values = predicate.values;
        Sort(*part.values);
        return With(*at, std::move(part));
      }
      case Predicate::Kind::kPrefix:
        return negated ? All() : Prefixed(*at, predicate.values[0].text());
      case Predicate::Kind::kLike:
        return negated ? All() : Like(*at, predicate.values[0].text());
      default:
        return All();
    }
  }

  static CompareOp Opposite(CompareOp op) {
    switch (op) {
      case CompareOp::kEqual:
        return CompareOp::kNotEqual;
      case CompareOp::kNotEqual:
        return CompareOp::kEqual;
      case CompareOp::kLess:
        return CompareOp::kGreaterOrEqual;
      case CompareOp::kLessOrEqual:
        return CompareOp::kGreater;
      case CompareOp::kGreater:
        return CompareOp::kLessOrEqual;
      case CompareOp::kGreaterOrEqual:
        break;
    }
    return CompareOp::kLess;
  }

  Boxes Both(const Predicate& list, bool negated) const {
    std::vector<Boxes> children;
    for (const Predicate& child : list.children) children.push_back(Of(child, negated));
    // Those with few boxes first: what does not fit any more is left out, which only widens.
    std::stable_sort(children.begin(), children.end(), [](const Boxes& a, const Boxes& b) { return a.size() < b.size(); });
    Boxes boxes = All();
    for (const Boxes& child : children) {
      if (boxes.size() * child.size() > kBoxesMax) continue;
      if (ValuesIn(boxes) * child.size() + ValuesIn(child) * boxes.size() > kValuesHeldMax) continue;
      Boxes narrowed;
      for (const KeyBox& box : boxes) {
        for (const KeyBox& other : child) {
          KeyBox both = box;
          if (Intersect(both, other)) narrowed.push_back(std::move(both));
        }
      }
      boxes = std::move(narrowed);
    }
    return boxes;
  }

  Boxes Either(const Predicate& list, bool negated) const {
    Boxes boxes;
    for (const Predicate& child : list.children) {
      for (KeyBox& box : Of(child, negated)) {
        if (std::all_of(box.begin(), box.end(), [](const KeyPart& part) { return part.any(); })) return {std::move(box)};
        AddTo(boxes, std::move(box));
        if (boxes.size() > kBoxesMax) return All();
      }
    }
    return boxes;
  }

  // a = 1 OR a = 2 is a IN (1, 2). Looks at the last boxes only, which keeps long lists cheap.
  static void AddTo(Boxes& boxes, KeyBox box) {
    constexpr size_t kLookedAt = 16;
    const size_t first = boxes.size() > kLookedAt ? boxes.size() - kLookedAt : 0;
    for (size_t i = first; i < boxes.size(); ++i) {
      const std::optional<size_t> at = Differs(boxes[i], box);
      if (!at.has_value()) continue;
      std::vector<Value>& values = *boxes[i][*at].values;
      if (values.size() + box[*at].values->size() > kValuesMax) continue;
      std::vector<Value> all;
      std::set_union(values.begin(), values.end(), box[*at].values->begin(), box[*at].values->end(), std::back_inserter(all), Less);
      values = std::move(all);
      return;
    }
    boxes.push_back(std::move(box));
  }

  // Where `predicate` is true; with `negated`, where it is false.
  Boxes Of(const Predicate& predicate, bool negated) const {
    switch (predicate.kind) {
      case Predicate::Kind::kTrue:
        return negated ? Boxes() : All();
      case Predicate::Kind::kFalse:
        return negated ? All() : Boxes();
      case Predicate::Kind::kAnd:
        return negated ? Either(predicate, true) : Both(predicate, false);
      case Predicate::Kind::kOr:
        return negated ? Both(predicate, true) : Either(predicate, false);
      case Predicate::Kind::kNot:
        return Of(predicate.children[0], !negated);
      case Predicate::Kind::kHas:
      case Predicate::Kind::kIsNull:
        return All();
      default:
        return Leaf(predicate, negated);
    }
  }
};

}  // namespace

std::vector<KeyBox> BoxesOf(const Predicate& predicate, const std::vector<size_t>& key) {
  return Scan{key}.Of(predicate, false);
}

}  // namespace quarry
