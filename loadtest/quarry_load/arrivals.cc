#include "loadtest/quarry_load/arrivals.h"

#include <algorithm>
#include <cmath>

namespace quarry::load {

ArrivalQueue::ArrivalQueue(const ArrivalOptions& options, Random& random)
    : options_(options), random_(random), next_(0) {
  if (options_.arrivals == Arrivals::kPoisson) Advance();
}

void ArrivalQueue::Advance() {
  ++sent_;
  if (options_.arrivals == Arrivals::kFixed) {
    next_ = static_cast<double>(sent_) * 1e9 / options_.rate;
  } else {
    next_ += -std::log1p(-random_.NextUnit()) * 1e9 / options_.rate;
  }
}

std::optional<int64_t> ArrivalQueue::next_ns() const {
  const int64_t next = options_.start_ns + static_cast<int64_t>(next_);
  if (next >= options_.end_ns) return std::nullopt;
  return next;
}

std::optional<int64_t> ArrivalQueue::Take(int64_t now_ns) {
  const std::optional<int64_t> next = next_ns();
  if (!next.has_value() || *next > now_ns) return std::nullopt;
  if (in_flight_ >= options_.in_flight_max) {
    blocked_ = true;
    return std::nullopt;
  }
  if (blocked_) ++waited_;
  blocked_ = false;
  ++in_flight_;
  Advance();
  return next;
}

void ArrivalQueue::EndAt(int64_t ns) { options_.end_ns = std::min(options_.end_ns, ns); }

int64_t ArrivalQueue::CountUnsent(int64_t from_ns, int64_t now_ns) {
  int64_t unsent = 0;
  for (auto next = next_ns(); next.has_value() && *next < now_ns; next = next_ns()) {
    if (*next >= from_ns) ++unsent;
    Advance();
  }
  return unsent;
}

}  // namespace quarry::load
