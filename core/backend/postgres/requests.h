// The table of request ids: which repeatable writes were applied, and what was answered. SQL and its shapes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/core.h"
#include "core/model/statement.h"

namespace quarry::postgres {

// Takes the id within the write's transaction: no row affected when it is taken. Waits for another holder to end.
extern const char kInsertRequest[];  // $1 id, $2 hash
// Adds the reply, in the same transaction.
extern const char kStoreReply[];  // $1 id, $2 reply
extern const char kFindReply[];   // $1 id -> hash, reply

// What the rows of kFindReply say: the stored result for this guard, marked as replayed; nullopt when the id is not there;
// kInvalidArgument REQUEST_ID_REUSED when it was used for another request.
absl::StatusOr<std::optional<TaskResult>> ReadReply(const std::string& shard, const std::vector<Row>& rows,
                                                    const RequestGuard& guard);
// The same, asked for.
Async<absl::StatusOr<std::optional<TaskResult>>> FindReply(Core& core, Connection* connection, RequestGuard guard,
                                                           const CallContext& ctx);

// Forgets ids older than the configured time, in small pieces, again and again. Never ends.
Async<void> PurgeForever(Core* core);

}  // namespace quarry::postgres
