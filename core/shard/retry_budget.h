// How many retries a loop may still spend: a share of its calls, so that retries cannot multiply an outage.
// Shared by all shards of one loop. One thread.
#pragma once

#include <algorithm>

namespace quarry {

struct RetryBudgetOptions {
  double ratio = 0.1;   // Retries per call.
  double burst = 10.0;  // Retries that may be saved up; also what is there at the start.
};

class RetryBudget {
 public:
  explicit RetryBudget(RetryBudgetOptions options) : options_(options), tokens_(options.burst) {}

  // Every call that is not itself a retry.
  void CountCall() { tokens_ = std::min(tokens_ + options_.ratio, options_.burst); }
  // True when a retry may be made; it is then spent.
  bool Spend() {
    if (tokens_ < 1.0) return false;
    tokens_ -= 1.0;
    return true;
  }
  double tokens() const { return tokens_; }

 private:
  const RetryBudgetOptions options_;
  double tokens_;
};

}  // namespace quarry
