// What a predicate says of a shard key, as a union of boxes: in each, every part of the key has some values, an interval, or any
// value. Pure.
#pragma once

#include <optional>
#include <vector>

#include "core/model/predicate.h"
#include "core/model/value.h"

namespace quarry {

struct KeyBound {
  Value value;
  bool inclusive = true;
};

// What one part of a key may be: one of `values` where they are known, else what lies between the bounds that there are.
struct KeyPart {
  std::optional<std::vector<Value>> values;  // In order, without repeats.
  std::optional<KeyBound> from;
  std::optional<KeyBound> to;
  bool any() const { return !values.has_value() && !from.has_value() && !to.has_value(); }
};

using KeyBox = std::vector<KeyPart>;  // As wide as the key.

// Every key of a row of which `predicate` is true is in one of these; none: it is true of no row. `key` holds positions of columns
// in the table. Parts of keys are never null. At most kBoxesMax boxes of at most kValuesMax values a part: wider where it would be more.
std::vector<KeyBox> BoxesOf(const Predicate& predicate, const std::vector<size_t>& key);

inline constexpr size_t kBoxesMax = 256;
inline constexpr size_t kValuesMax = 20'000;

}  // namespace quarry
