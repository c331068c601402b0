// Running steps and tasks on a connection, and the stored replies of repeatable writes. Blocking; any thread that has
// the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/connection.h"
#include "core/model/statement.h"

namespace quarry::sqlite {

// In the open transaction, whole or not at all. When the error ended the transaction itself, in_transaction() is false.
absl::StatusOr<StepResult> RunStep(Connection& connection, const Step& step, const JobControl& control);

// A task without writes, all its reads in one snapshot.
absl::StatusOr<TaskResult> RunReads(Connection& connection, const Task& task, const JobControl& control);

// A task that writes, in the open transaction, with its guard: whole or not at all.
absl::StatusOr<TaskResult> RunWrites(Connection& connection, const Task& task, const JobControl& control,
                                     absl::Time now);

// The stored reply of an earlier try; nullopt when there was none. kInvalidArgument REQUEST_ID_REUSED.
absl::StatusOr<std::optional<TaskResult>> FindReply(Connection& connection, const RequestGuard& guard);
// In the open transaction. `reply` is as EncodeTaskResult writes it.
absl::Status StoreReply(Connection& connection, const RequestGuard& guard, std::string reply, absl::Time now);

// Stored replies and locks.
absl::Status CreateOwnTables(Connection& connection);
// Deletes some of the replies stored before `before`, in the open transaction; how many.
absl::StatusOr<int64_t> PurgeRequests(Connection& connection, absl::Time before);

}  // namespace quarry::sqlite
