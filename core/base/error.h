// Typed errors: an absl::Status whose code says what the caller may do next and whose payloads carry the reason
// and the facts, as google.rpc details. A payload's type URL is the protobuf Any URL, so the gRPC edge copies
// it without reading it. Facts never hold row data, connection strings or SQL text.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace quarry {

// Reasons of google.rpc.ErrorInfo, domain "quarry": the published table in docs/errors.md.
namespace reason {
inline constexpr char kUniqueViolation[] = "UNIQUE_VIOLATION";
inline constexpr char kConstraintViolation[] = "CONSTRAINT_VIOLATION";
inline constexpr char kRowNotFound[] = "ROW_NOT_FOUND";
inline constexpr char kTableNotFound[] = "TABLE_NOT_FOUND";
inline constexpr char kShardNotFound[] = "SHARD_NOT_FOUND";
inline constexpr char kKeyNotMapped[] = "KEY_NOT_MAPPED";
inline constexpr char kNoDirectory[] = "NO_DIRECTORY";
inline constexpr char kKeyMapped[] = "KEY_MAPPED";
inline constexpr char kTransactionNotFound[] = "TRANSACTION_NOT_FOUND";
inline constexpr char kInvalidField[] = "INVALID_FIELD";
inline constexpr char kInvalidSql[] = "INVALID_SQL";
inline constexpr char kValueOutOfRange[] = "VALUE_OUT_OF_RANGE";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kRowTooLarge[] = "ROW_TOO_LARGE";
inline constexpr char kLimitExceeded[] = "LIMIT_EXCEEDED";
inline constexpr char kSerializationFailure[] = "SERIALIZATION_FAILURE";
inline constexpr char kDeadlock[] = "DEADLOCK";
inline constexpr char kPreconditionFailed[] = "PRECONDITION_FAILED";
inline constexpr char kEtagMismatch[] = "ETAG_MISMATCH";
inline constexpr char kTransactionEnded[] = "TRANSACTION_ENDED";
inline constexpr char kTransactionBusy[] = "TRANSACTION_BUSY";
inline constexpr char kTransactionInDoubt[] = "TRANSACTION_IN_DOUBT";
inline constexpr char kTwoPhaseUnavailable[] = "TWO_PHASE_UNAVAILABLE";
inline constexpr char kTransactionCommitted[] = "TRANSACTION_COMMITTED";
inline constexpr char kLockNotFound[] = "LOCK_NOT_FOUND";
inline constexpr char kLockHeld[] = "LOCK_HELD";
inline constexpr char kLockLost[] = "LOCK_LOST";
inline constexpr char kSavepointNotFound[] = "SAVEPOINT_NOT_FOUND";
inline constexpr char kShardUnavailable[] = "SHARD_UNAVAILABLE";
inline constexpr char kCircuitOpen[] = "CIRCUIT_OPEN";
inline constexpr char kCatalogNotReady[] = "CATALOG_NOT_READY";
inline constexpr char kDraining[] = "DRAINING";
inline constexpr char kPeerUnavailable[] = "PEER_UNAVAILABLE";
inline constexpr char kPoolExhausted[] = "POOL_EXHAUSTED";
inline constexpr char kShardFull[] = "SHARD_FULL";
inline constexpr char kScatterNotAllowed[] = "SCATTER_NOT_ALLOWED";
inline constexpr char kCrossShardTransaction[] = "CROSS_SHARD_TRANSACTION";
inline constexpr char kShardKeyImmutable[] = "SHARD_KEY_IMMUTABLE";
inline constexpr char kRawSqlDisabled[] = "RAW_SQL_DISABLED";
inline constexpr char kReadOnly[] = "READ_ONLY";
inline constexpr char kPermissionDenied[] = "PERMISSION_DENIED";
inline constexpr char kSchemaMismatch[] = "SCHEMA_MISMATCH";
inline constexpr char kCommitOutcomeUnknown[] = "COMMIT_OUTCOME_UNKNOWN";
inline constexpr char kWriteOutcomeUnknown[] = "WRITE_OUTCOME_UNKNOWN";
inline constexpr char kDeadline[] = "DEADLINE";
inline constexpr char kDatabaseError[] = "DATABASE_ERROR";
inline constexpr char kShardCorrupt[] = "SHARD_CORRUPT";
}  // namespace reason

struct FieldViolation {
  std::string field;        // Path in the request, for example "mutations[3].record.price".
  std::string description;  // What is wrong and what to do.
};

// What an error says beside its code and message.
struct ErrorDetail {
  std::string reason;
  std::map<std::string, std::string> facts;  // Keys such as shard, table, column, constraint.
  std::vector<FieldViolation> violations;
  std::optional<absl::Duration> retry_after;
};

absl::Status MakeError(absl::StatusCode code, std::string_view message, const ErrorDetail& detail);

// The common short forms.
absl::Status MakeError(absl::StatusCode code, std::string_view reason, std::string_view message,
                       std::map<std::string, std::string> facts = {});
// kInvalidArgument, INVALID_FIELD, with every bad field at once. `violations` is not empty.
absl::Status InvalidFields(std::vector<FieldViolation> violations);
absl::Status InvalidField(std::string_view field, std::string_view description);

// Empty when the status carries no detail.
ErrorDetail DetailOf(const absl::Status& status);
// Adds the status's violations to the others. False when it has none and is an error of its own.
bool AddViolations(const absl::Status& status, std::vector<FieldViolation>& violations);
// The reason alone; "" when there is none.
std::string ReasonOf(const absl::Status& status);
// The same status with one more fact (an existing one stays), for example the shard where it happened.
absl::Status WithFact(const absl::Status& status, std::string_view key, std::string_view value);
// The same code and detail, another message.
absl::Status WithMessage(const absl::Status& status, std::string_view message);

}  // namespace quarry
