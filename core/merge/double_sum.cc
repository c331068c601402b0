#include "core/merge/double_sum.h"

#include <cmath>
#include <cstddef>
#include <utility>

namespace quarry {

void DoubleSum::Add(double value) {
  if (!std::isfinite(value)) {
    special_ += value;
    return;
  }
  size_t kept = 0;
  for (double part : parts_) {
    if (std::abs(value) < std::abs(part)) std::swap(value, part);
    const double high = value + part;
    const double low = part - (high - value);
    if (low != 0) parts_[kept++] = low;
    value = high;
  }
  if (!std::isfinite(value)) {
    overflowed_ = true;
    return;
  }
  parts_.resize(kept);
  parts_.push_back(value);
}

double DoubleSum::Total() const {
  if (special_ != 0) return special_;  // Of NaN as well.
  if (parts_.empty()) return 0;
  size_t left = parts_.size() - 1;
  double high = parts_[left];
  double low = 0;
  while (left > 0 && low == 0) {
    const double before = high;
    const double part = parts_[--left];
    high = before + part;
    low = part - (high - before);
  }
  // Half way between two doubles the parts that are left decide to which.
  if (left > 0 && ((low < 0 && parts_[left - 1] < 0) || (low > 0 && parts_[left - 1] > 0))) {
    const double twice = low * 2;
    const double next = high + twice;
    if (twice == next - high) high = next;
  }
  return high;
}

}  // namespace quarry
