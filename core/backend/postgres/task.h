// A task in a transaction of its own, on a leased connection.
#pragma once

#include "absl/status/statusor.h"
#include "core/backend/postgres/core.h"
#include "core/model/statement.h"

namespace quarry::postgres {

// One step without a guard, as Backend::Execute answers it. One round trip, and one more to commit a write.
Async<absl::StatusOr<TaskResult>> RunUnguarded(Core& core, const Task& task, const CallContext& ctx);

// With the task's guard: applied and remembered in one transaction, or the stored result of an earlier try.
Async<absl::StatusOr<TaskResult>> RunGuarded(Core& core, const Task& task, const CallContext& ctx);

}  // namespace quarry::postgres
