#include "loadtest/quarry_load/zipfian.h"

#include <algorithm>
#include <cmath>

namespace quarry::load {
namespace {

constexpr int64_t kSummedTerms = 1000;

double Power(int64_t i, double theta) { return std::pow(static_cast<double>(i), -theta); }

}  // namespace

double Zeta(int64_t items, double theta) {
  double sum = 0;
  const int64_t summed = std::min(items, kSummedTerms);
  for (int64_t i = 1; i <= summed; ++i) sum += Power(i, theta);
  if (items == summed) return sum;
  const double a = static_cast<double>(summed);
  const double b = static_cast<double>(items);
  sum += (std::pow(b, 1 - theta) - std::pow(a, 1 - theta)) / (1 - theta);
  sum += (Power(items, theta) - Power(summed, theta)) / 2;
  return sum + theta / 12 * (std::pow(a, -theta - 1) - std::pow(b, -theta - 1));
}

Zipfian::Zipfian(int64_t items, double theta)
    : items_(items), theta_(theta), zeta_(Zeta(items, theta)) {
  Derive();
}

void Zipfian::Derive() {
  const double zeta_two = 1 + Power(2, theta_);
  alpha_ = 1 / (1 - theta_);
  eta_ = (1 - std::pow(2.0 / static_cast<double>(items_), 1 - theta_)) / (1 - zeta_two / zeta_);
}

void Zipfian::Grow(int64_t items) {
  if (items <= items_) return;
  if (items - items_ > kSummedTerms) {
    zeta_ = Zeta(items, theta_);
  } else {
    for (int64_t i = items_ + 1; i <= items; ++i) zeta_ += Power(i, theta_);
  }
  items_ = items;
  Derive();
}

int64_t Zipfian::Next(Random& random) const {
  const double unit = random.NextUnit();
  const double weight = unit * zeta_;
  if (weight < 1 || items_ == 1) return 0;
  if (weight < 1 + Power(2, theta_) || items_ == 2) return 1;
  const double rank = static_cast<double>(items_) * std::pow(eta_ * unit - eta_ + 1, alpha_);
  return std::clamp<int64_t>(static_cast<int64_t>(rank), 0, items_ - 1);
}

int64_t Scramble(int64_t rank, int64_t items) {
  uint64_t hash = 0xcbf29ce484222325;
  for (int shift = 0; shift < 64; shift += 8) {
    hash ^= (static_cast<uint64_t>(rank) >> shift) & 0xff;
    hash *= 0x100000001b3;
  }
  return static_cast<int64_t>(hash % static_cast<uint64_t>(items));
}

}  // namespace quarry::load
