// What a user's own SQL may be. Thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"

namespace quarry::postgres {

// Exactly one statement, and none that would take the session's transaction, protocol or prepared statements out of our
// hands: transaction control, SET beyond LOCAL, PREPARE, EXECUTE, DEALLOCATE, DISCARD, LISTEN, COPY.
// kInvalidArgument INVALID_SQL otherwise. What PostgreSQL 15's grammar does not know is left to the server to judge.
absl::Status CheckRawSql(const std::string& sql);

}  // namespace quarry::postgres
