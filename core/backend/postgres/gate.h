// The snapshot gate on PostgreSQL: one advisory lock per deployment, in each shard's database. What commits passes it in
// shared form, which a prepared transaction keeps until it ends; a snapshot takes it exclusively on a session of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "core/backend/postgres/core.h"
#include "core/backend/two_phase.h"

namespace quarry::postgres {

// The same in every process and version.
int64_t GateKey(const std::string& deployment);
// Waits at the gate and passes it until the transaction ends.
std::string PassGateSql(const std::string& deployment);

// As TwoPhase::CloseGate. `core` has the sessions for this alone and outlives the hold.
Async<absl::StatusOr<std::unique_ptr<GateHold>>> CloseGate(Core& core, GateWait wait, const CallContext& ctx);

}  // namespace quarry::postgres
