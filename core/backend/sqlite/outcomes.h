// The rows that cross-shard transactions leave in a shard's own file: decisions, where it is home, and parts. Blocking; any
// thread that has the connection. Those that write do so in the open transaction, or alone without one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/connection.h"
#include "core/backend/two_phase.h"
#include "core/model/statement.h"

namespace quarry::sqlite {

// A statement of Quarry's own, and one that is run at once, uninterrupted.
Statement OwnStatement(std::string sql, std::vector<Value> params, bool writes);
absl::StatusOr<StatementResult> RunOwn(Connection& connection, const char* sql, std::vector<Value> params);

// Idempotent. Each in a transaction of its own.
absl::Status CreateOutcomeTables(Connection& connection);

// kAlreadyExists when there is one.
absl::Status InsertPart(Connection& connection, const std::string& transaction_id, absl::Time now);
absl::StatusOr<bool> HasPart(Connection& connection, const std::string& transaction_id);
// kAborted TRANSACTION_ENDED when another decision stands.
absl::Status InsertDecision(Connection& connection, const Decision& decision, absl::Time now);

// As statements, for tasks. A list of ids is one parameter.
Value IdList(const std::vector<std::string>& transaction_ids);
Statement FindPartsStatement(const std::vector<std::string>& transaction_ids);
Statement ListPartsStatement(absl::Duration age_min, int64_t count_max, absl::Time now);
Statement FindDecisionStatement(const std::string& transaction_id);
Statement ListDecisionsStatement(const DecisionFilter& filter, absl::Time now);
Statement AbortUnlessDecidedStatement(const std::string& transaction_id, absl::Time now);
Statement MarkFinishedStatement(const std::vector<std::string>& transaction_ids, absl::Time now);
Statement ForgetPartsStatement(const std::vector<std::string>& transaction_ids);
Statement ForgetDecisionsStatement(const std::vector<std::string>& transaction_ids);
// Of a row of the statements that find decisions; kDataLoss SHARD_CORRUPT when it makes no sense.
absl::StatusOr<Decision> DecisionOf(const Row& row, absl::Time now, const std::string& shard);

}  // namespace quarry::sqlite
