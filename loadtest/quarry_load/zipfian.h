// Zipf-distributed ranks: few items get most of the calls. One thread.
#pragma once

#include <cstdint>

#include "core/base/random.h"

namespace quarry::load {

// Ranks from 0 (the most frequent) to items - 1, rank r with a probability in proportion to
// 1 / (r + 1)^theta: the generator of Gray et al., "Quickly Generating Billion-Record Synthetic
// Databases" (SIGMOD 1994), as YCSB uses it. Exact for ranks 0 and 1; a continuous approximation,
// some per cent off for single ranks, beyond.
class Zipfian {
 public:
  // `items` >= 1, 0 < theta < 1.
  Zipfian(int64_t items, double theta);

  int64_t Next(Random& random) const;
  // More items from now on; cheap for a few. Never fewer.
  void Grow(int64_t items);
  int64_t items() const { return items_; }

 private:
  void Derive();

  int64_t items_;
  double theta_;
  double zeta_;  // Sum of 1 / i^theta for i = 1 to items.
  double alpha_ = 0;
  double eta_ = 0;
};

// Sum of 1 / i^theta for i = 1 to `items`: the first terms, and the rest by Euler and Maclaurin's
// formula; the error is below 1e-9.
double Zeta(int64_t items, double theta);

// Spreads ranks over [0, items) so that the frequent ones are not neighbours: FNV-1a of the rank's
// 8 bytes, modulo items, as YCSB's scrambled zipfian does. Two ranks may meet.
int64_t Scramble(int64_t rank, int64_t items);

}  // namespace quarry::load
