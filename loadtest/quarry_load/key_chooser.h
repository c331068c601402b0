// Which row a call is about. One thread: each thread of a run has its own.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/random.h"
#include "loadtest/quarry_load/scenario.h"
#include "loadtest/quarry_load/zipfian.h"

namespace quarry::load {

// Uniform in [0, bound); bound >= 1.
int64_t Below(int64_t bound, Random& random);

// One thread's part of ascending keys: with n threads, thread t gets first + t, first + t + n and
// so on. No two threads ever get the same key.
class KeySequence {
 public:
  KeySequence(int64_t first, int thread, int threads) : first_(first + thread), stride_(threads) {}

  int64_t At(int64_t index) const { return first_ + index * stride_; }
  int64_t Next() { return At(taken_++); }
  int64_t taken() const { return taken_; }
  void Restart() { taken_ = 0; }
  // How many of the keys up to `last` are still to come.
  int64_t LeftUpTo(int64_t last) const;

 private:
  int64_t first_;
  int64_t stride_;
  int64_t taken_ = 0;
};

// The keys that a thread inserts, and how many of them, counted from the first, are known to be
// there: YCSB's acknowledged counter.
class InsertedKeys {
 public:
  explicit InsertedKeys(KeySequence keys) : keys_(keys) {}

  int64_t Next();
  // The insert of this key has ended.
  void Acknowledge(int64_t key);
  // All keys before At(acknowledged()) have ended.
  int64_t acknowledged() const { return first_pending_; }
  int64_t At(int64_t index) const { return keys_.At(index); }

 private:
  KeySequence keys_;
  int64_t first_pending_ = 0;
  std::vector<bool> ended_;  // A ring over the indexes from first_pending_ on.
};

class KeyChooser {
 public:
  virtual ~KeyChooser() = default;
  virtual int64_t Next(Random& random) = 0;
};

// The chooser of a scenario's distribution for thread `thread` of `scenario.threads`. `inserted`
// outlives it and is read by the latest distribution only.
std::unique_ptr<KeyChooser> MakeKeyChooser(const Scenario& scenario, int thread,
                                           const InsertedKeys& inserted);

}  // namespace quarry::load
