// A sum of doubles that is rounded once, so that it does not depend on the order of its terms. Value; one user.
#pragma once

#include <vector>

namespace quarry {

// Terms that do not overlap, whose exact sum is the sum so far. Source: Shewchuk, "Adaptive Precision Floating-Point Arithmetic"
// (1997), as Python's math.fsum has it.
class DoubleSum {
 public:
  void Add(double value);
  // NaN when a term is NaN or infinities of both signs met.
  double Total() const;
  // The terms were finite and their sum is not.
  bool overflowed() const { return overflowed_; }

 private:
  std::vector<double> parts_;  // By rising magnitude.
  double special_ = 0;         // The sum of the terms that are not finite.
  bool overflowed_ = false;
};

}  // namespace quarry
