// The statements that keep locks in a shard's own tables, per dialect. Pure.
//   locks(name, version, token, busy_until, state): one row for each lock. `version` is random and new with every change:
//     a change is one UPDATE that names the version it was made from. `busy_until` is BusyUntil in microseconds since 1970.
//   lock_store(id = 1, token, locks): how many rows there are, and the highest token of those that were forgotten, from
//     which new ones go on.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "core/lock/lock_table.h"
#include "core/model/ids.h"
#include "core/model/statement.h"

namespace quarry {

struct LockRow {
  int64_t version = 0;
  absl::Time now;  // By the database's clock, when it was read.
  LockState state;
};

// One row, or none.
Statement FindLock(const std::string& name, Dialect dialect);
absl::StatusOr<LockRow> ToLockRow(const Row& row);
// kNotFound ROW_NOT_FOUND when the row has another version by now, or is gone.
Statement ChangeLock(const std::string& name, int64_t from_version, int64_t to_version, const LockState& state, Dialect dialect);
// A new row that nobody has a part in. kNotFound ROW_NOT_FOUND when there are `locks_max` already, kAlreadyExists when it is
// there.
Step MakeLock(const std::string& name, int64_t version, int64_t locks_max, Dialect dialect);
// Forgets all locks that nobody has a part in; their tokens do not come again.
Step ForgetIdleLocks(Dialect dialect);

}  // namespace quarry
