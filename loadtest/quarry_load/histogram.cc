#include "loadtest/quarry_load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace quarry::load {
namespace {

constexpr int kSubBucketBits = 11;
constexpr int64_t kSubBuckets = int64_t{1} << kSubBucketBits;
constexpr int64_t kHalf = kSubBuckets / 2;
constexpr int64_t kHour = int64_t{3'600'000'000'000};

// Bucket 0 has kSubBuckets slots of width 1; each later one has kHalf slots of twice the width.
size_t SlotOf(int64_t value) {
  const int width = std::bit_width(static_cast<uint64_t>(value) | (kSubBuckets - 1));
  const int bucket = width - kSubBucketBits;
  return static_cast<size_t>(bucket * kHalf + (value >> bucket));
}

int64_t LargestOf(size_t slot) {
  const int64_t at = static_cast<int64_t>(slot);
  if (at < kSubBuckets) return at;
  const int64_t bucket = at / kHalf - 1;
  const int64_t position = at - bucket * kHalf;
  return ((position + 1) << bucket) - 1;
}

}  // namespace

void Histogram::Record(int64_t nanoseconds) {
  if (counts_.empty()) counts_.resize(SlotOf(kHour) + 1);
  const int64_t value = std::clamp<int64_t>(nanoseconds, 0, kHour);
  ++counts_[SlotOf(value)];
  ++count_;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::Merge(const Histogram& other) {
  if (other.count_ == 0) return;
  if (counts_.empty()) counts_.resize(other.counts_.size());
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

void Histogram::Clear() {
  if (count_ > 0) std::fill(counts_.begin(), counts_.end(), 0);
  count_ = 0;
  max_ = 0;
  sum_ = 0;
}

double Histogram::mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }

int64_t Histogram::Quantile(double quantile) const { return Quantiles({quantile}).front(); }

std::vector<int64_t> Histogram::Quantiles(const std::vector<double>& quantiles) const {
  std::vector<int64_t> values;
  int64_t seen = 0;
  size_t slot = 0;
  for (const double quantile : quantiles) {
    const double exact = std::clamp(quantile, 0.0, 1.0) * static_cast<double>(count_);
    // 0.99 * 100 is a little over 99: such a rounding error is not one value more.
    const int64_t wanted = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(exact - 1e-6)));
    while (seen < wanted && slot < counts_.size()) seen += counts_[slot++];
    values.push_back(count_ == 0 ? 0 : std::min(max_, LargestOf(slot - 1)));
  }
  return values;
}

}  // namespace quarry::load
