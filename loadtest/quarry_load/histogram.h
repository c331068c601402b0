// A histogram of latencies in a fixed amount of memory: HdrHistogram's log-linear buckets (Gil
// Tene, https://hdrhistogram.github.io/HdrHistogram/). One thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace quarry::load {

// Counts nanoseconds up to one hour; longer ones count as one hour. A value is kept to 11
// significant bits, so that a quantile is too large by less than 1 part in 1,024: three significant
// digits. Takes 264 KiB from the first value on.
class Histogram {
 public:
  void Record(int64_t nanoseconds);
  // Adds what `other` has counted.
  void Merge(const Histogram& other);
  // Forgets all values and keeps the memory.
  void Clear();

  int64_t count() const { return count_; }
  // Exact; 0 without values.
  int64_t max() const { return max_; }
  double mean() const;
  // The smallest value, as kept, that at least `quantile` (0 to 1) of the values do not exceed;
  // never above max(). 0 without values.
  int64_t Quantile(double quantile) const;
  // The same for ascending `quantiles`, in one pass.
  std::vector<int64_t> Quantiles(const std::vector<double>& quantiles) const;

 private:
  std::vector<int64_t> counts_;
  int64_t count_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace quarry::load
