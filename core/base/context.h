// What travels with one call: its loop, its deadline, and where its time goes.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "core/base/loop.h"

namespace quarry {

// Where a call is waiting; a deadline that ends names the stage.
enum class Stage { kQueue, kPlan, kPool, kQuery, kCommit, kMerge };

const char* StageName(Stage stage);

class ShardCosts;  // core/model/shard_costs.h

// Owned by the call's root frame, which outlives every coroutine of the call; passed by reference.
// Cancellation has no flag: a cancelled call's coroutines are dropped.
struct CallContext {
  explicit CallContext(Loop& call_loop) : loop(call_loop) {}

  Loop& loop;
  absl::Time deadline = absl::InfiniteFuture();
  // For logs and traces; never a metric label.
  std::string call_id;
  mutable Stage stage = Stage::kQueue;
  // Gets what each shard takes of the call; outlives the call's coroutines. Null: nobody wants to know.
  mutable ShardCosts* shard_costs = nullptr;
};

}  // namespace quarry
