// SQLite's result codes as typed errors. Messages never hold SQL text or row data.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

struct sqlite3;

namespace quarry::sqlite {

// What a failed call on `db` means, read from its last error. `code` is the extended result code.
// The connection may run a few PRAGMAs to find the name of a violated unique constraint.
absl::Status ErrorOf(sqlite3* db, int code, std::string_view shard);

// The end of a COMMIT that failed: kUnknown `unknown_reason` when the disk may hold it all the same.
absl::Status CommitErrorOf(sqlite3* db, int code, std::string_view shard, std::string_view unknown_reason);

// "cannot open": the file system's cause and what to do.
absl::Status OpenError(std::string_view shard, std::string_view file, int code, int system_error);

absl::Status DeadlineEnded(std::string_view shard, std::string_view stage);
absl::Status TransactionEnded(std::string_view shard);
absl::Status ReadOnly(std::string_view shard);
absl::Status QueueFull(std::string_view shard, std::string_view queue, size_t size);
absl::Status Stopped(std::string_view shard);

// Somebody waited in vain behind a branch that is prepared and not finished.
absl::Status InDoubt(std::string_view shard, std::string_view transaction_id, std::string_view home);
// The deadline ended at the gate, which no branch has.
absl::Status GateOccupied(std::string_view shard);
// kFailedPrecondition: this cannot be part of a transaction over several shards.
absl::Status TwoPhaseUnavailable(std::string_view shard, std::string_view why);
// kDataLoss: the file admits no writes until someone has looked at it.
absl::Status Quarantined(std::string_view shard, std::string_view file, std::string_view sidecar, std::string_view why);

// SQLite keeps no names of UNIQUE constraints: named as PostgreSQL would, "<table>_<columns>_key".
std::string UniqueName(std::string_view table, const std::vector<std::string>& columns);
std::string PrimaryKeyName(std::string_view table);

}  // namespace quarry::sqlite
