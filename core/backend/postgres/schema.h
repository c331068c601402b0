// Quarry's own tables in a shard's database: schema quarry. The one place that creates them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/postgres/core.h"

namespace quarry::postgres {

// Creates what is missing, all of it; safe when several gateways do so at once. OK at once when the tables asked for are
// there. On a connection of its own, one at a time, so it may be called by one who holds a session. kFailedPrecondition when the
// database user may not create them, or not use their schema: PERMISSION_DENIED for kRequests, TWO_PHASE_UNAVAILABLE for kAll.
Async<absl::Status> EnsureTables(Core& core, OwnTables tables, absl::Time deadline);

// What is known of the tables and of the server's fitness is looked at again.
void ForgetTables(Core& core);

// For an SQLSTATE that says that a table of ours is gone.
absl::Status TablesMissing(const std::string& shard);
// What an error of a batch of ours says about the tables and settings it needs, which are looked at again.
absl::Status Explained(Core& core, const absl::Status& status);

// `text` as a literal of SQL. It holds no NUL.
std::string Quoted(std::string_view text);
// Milliseconds for lock_timeout that end a wait before `deadline`, a little earlier rather than later, and the same for
// deadlines that are about as far; 0, which is no bound, for none.
int64_t LockTimeoutMs(absl::Time now, absl::Time deadline);

}  // namespace quarry::postgres
