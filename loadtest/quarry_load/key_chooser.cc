#include "loadtest/quarry_load/key_chooser.h"

#include <algorithm>

namespace quarry::load {
namespace {

class UniformKeys final : public KeyChooser {
 public:
  explicit UniformKeys(int64_t keys) : keys_(keys) {}
  int64_t Next(Random& random) override { return 1 + Below(keys_, random); }

 private:
  int64_t keys_;
};

class ScrambledZipfianKeys final : public KeyChooser {
 public:
  ScrambledZipfianKeys(int64_t keys, double theta) : ranks_(keys, theta) {}
  int64_t Next(Random& random) override {
    return 1 + Scramble(ranks_.Next(random), ranks_.items());
  }

 private:
  Zipfian ranks_;
};

// YCSB's workload D: the newest row is the most frequent.
class LatestKeys final : public KeyChooser {
 public:
  LatestKeys(int64_t keys, double theta, const InsertedKeys& inserted)
      : keys_(keys), ranks_(keys, theta), inserted_(inserted) {}

  int64_t Next(Random& random) override {
    const int64_t inserted = inserted_.acknowledged();
    ranks_.Grow(keys_ + inserted);
    const int64_t rank = ranks_.Next(random);
    if (rank < inserted) return inserted_.At(inserted - 1 - rank);
    return keys_ - (rank - inserted);
  }

 private:
  int64_t keys_;
  Zipfian ranks_;
  const InsertedKeys& inserted_;
};

// The first of `tenants` ranges of keys gets `fraction` of the calls, the others share the rest.
class HotTenantKeys final : public KeyChooser {
 public:
  HotTenantKeys(int64_t keys, int64_t tenants, double fraction)
      : keys_(keys), hot_(keys / tenants), fraction_(fraction) {}

  int64_t Next(Random& random) override {
    const bool hot = random.NextUnit() < fraction_ || hot_ == keys_;
    return hot ? 1 + Below(hot_, random) : 1 + hot_ + Below(keys_ - hot_, random);
  }

 private:
  int64_t keys_;
  int64_t hot_;
  double fraction_;
};

class SequentialKeys final : public KeyChooser {
 public:
  SequentialKeys(int64_t keys, int thread, int threads)
      : keys_(keys), sequence_(0, thread, threads) {}
  int64_t Next(Random&) override { return 1 + sequence_.Next() % keys_; }

 private:
  int64_t keys_;
  KeySequence sequence_;
};

}  // namespace

int64_t Below(int64_t bound, Random& random) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<int64_t>((Wide{random.Next()} * static_cast<uint64_t>(bound)) >> 64);
}

int64_t KeySequence::LeftUpTo(int64_t last) const {
  return std::max<int64_t>(0, last >= first_ ? (last - first_) / stride_ + 1 - taken_ : 0);
}

int64_t InsertedKeys::Next() {
  const size_t pending = static_cast<size_t>(keys_.taken() - first_pending_);
  if (pending == ended_.size()) {
    // In index order from first_pending_ on, so that the ring can start anew with more room.
    std::vector<bool> larger(std::max<size_t>(16, 2 * ended_.size()));
    for (size_t i = 0; i < pending; ++i) {
      const size_t index = static_cast<size_t>(first_pending_) + i;
      larger[index % larger.size()] = ended_[index % ended_.size()];
    }
    ended_.swap(larger);
  }
  ended_[static_cast<size_t>(keys_.taken()) % ended_.size()] = false;
  return keys_.Next();
}

void InsertedKeys::Acknowledge(int64_t key) {
  const int64_t stride = keys_.At(1) - keys_.At(0);
  ended_[static_cast<size_t>((key - keys_.At(0)) / stride) % ended_.size()] = true;
  while (first_pending_ < keys_.taken() &&
         ended_[static_cast<size_t>(first_pending_) % ended_.size()]) {
    ++first_pending_;
  }
}

std::unique_ptr<KeyChooser> MakeKeyChooser(const Scenario& scenario, int thread,
                                           const InsertedKeys& inserted) {
  switch (scenario.distribution) {
    case Distribution::kZipfian:
      return std::make_unique<ScrambledZipfianKeys>(scenario.keys, scenario.theta);
    case Distribution::kLatest:
      return std::make_unique<LatestKeys>(scenario.keys, scenario.theta, inserted);
    case Distribution::kHotTenant:
      return std::make_unique<HotTenantKeys>(scenario.keys, scenario.tenants,
                                             scenario.hot_fraction);
    case Distribution::kSequential:
      return std::make_unique<SequentialKeys>(scenario.keys, thread,
                                              static_cast<int>(scenario.threads));
    case Distribution::kUniform:
      break;
  }
  return std::make_unique<UniformKeys>(scenario.keys);
}

}  // namespace quarry::load
