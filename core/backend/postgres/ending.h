// How transactions end: COMMIT and PREPARE TRANSACTION, which nobody cancels, and what became of those whose answer was lost.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/core.h"

namespace quarry::postgres {

struct Ending {
  BatchPtr batch;           // Its last command ends the transaction.
  std::string transaction;  // PostgreSQL's own id; "" when nothing was written, or with `gid` when it is not known.
  std::string gid;          // Of PREPARE TRANSACTION; "" for COMMIT.
};

// What sessions send with the end of a transaction, prepared once a connection.
extern const char kTransactionIfAny[];  // -> PostgreSQL's own id of the transaction, if it has one.
// Waits at the gate, passes it and leaves the row that every branch carries, or the decision.
extern const char kInsertPart[];      // $1 transaction, $2 GateKey, $3 milliseconds: 22012 when the transaction is older.
extern const char kInsertDecision[];  // $1 transaction, $2 verdict, $3 participants, $4 GateKey
// statement_timeout for this transaction, unless the role has a lower one.
extern const char kBoundStatements[];  // $1 milliseconds

// Runs it to its end, whatever becomes of the caller, and gives the connection back. A connection that is lost on the way
// has its outcome looked up. kUnknown COMMIT_OUTCOME_UNKNOWN when the deadline ends first, when the outcome cannot be
// learned, and when the server gave up its wait for a synchronous standby: it may yet be lost with the primary.
Async<absl::Status> EndInBackground(Core& core, Leased leased, Ending ending, absl::Time deadline);

// Any other batch that must not be cancelled: false when the deadline ends first; it goes on, and the connection is given
// back when it has ended.
Async<bool> RunToEnd(Core& core, Leased leased, BatchPtr batch, absl::Time deadline);

// An expression that, where the server has synchronous standbys, makes its transaction's commit wait for them; so once it
// has committed, they have whatever was visible when it ran.
extern const char kWaitForStandbys[];

// kUnknown: done on the primary, but a standby has not confirmed it.
absl::Status NotConfirmed(const std::string& shard, const std::string& transaction);

}  // namespace quarry::postgres
