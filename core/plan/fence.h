// The statement that leads a write under a lock. Pure.
#pragma once

#include "core/model/ids.h"
#include "core/model/operation.h"
#include "core/model/statement.h"

namespace quarry {

// Takes note of the fence's token on the shard, in the write's own transaction, and fails the step with LOCK_LOST when a
// higher one was seen there. It locks the note until the transaction ends, so a write of a later holder comes after it.
Statement FenceStatement(const LockFence& fence, Dialect dialect);
// Puts it before the step's other statements; nothing without a fence.
void AddFence(const LockFence& fence, Dialect dialect, Step& step);

}  // namespace quarry
