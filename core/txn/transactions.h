// The interactive transactions of one loop. A transaction takes its shard with its first statement and stays there.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"
#include "core/base/random.h"

namespace quarry {

struct TransactionOptions {
  absl::Duration idle_timeout_default = absl::Seconds(30);
  absl::Duration idle_timeout_max = absl::Minutes(10);
  size_t open_max = 1'000;          // Per loop.
  size_t remembered_max = 100'000;  // Ended ones that GetTransaction still knows, per loop.
};

struct BeginOptions {
  Isolation isolation = Isolation::kDefault;
  bool read_only = false;
  absl::Duration idle_timeout;  // Zero: the default.
};

enum class TransactionState : uint8_t { kActive, kCommitted, kRolledBack, kInDoubt };
enum class SavepointAction : uint8_t { kCreate, kRollbackTo, kRelease };

class Transactions {
 public:
  // `loop` and `random` outlive this.
  Transactions(Loop& loop, Random& random, uint32_t loop_index, TransactionOptions options);
  ~Transactions();
  size_t size() const;

 private:
  Loop& loop_;
  Random& random_;
  uint32_t loop_index_;
  TransactionOptions options_;
};

}  // namespace quarry
