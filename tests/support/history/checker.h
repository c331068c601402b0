// Finds in a recorded history what an isolation level forbids. After Adya, "Weak Consistency: A Generalized Theory and
// Optimistic Implementations" (1999), and Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental
// Observations" (2020): a list tells the order of all that was appended to it. Pure.
#pragma once

#include <string>
#include <vector>

#include "tests/support/history/history.h"

namespace quarry::history {

enum class Level {
  kReadCommitted,  // Everything but the four below.
  kSnapshot,       // And neither read skew nor lost updates.
  kSerializable,   // And no write skew.
};

struct CheckOptions {
  Level level = Level::kSerializable;
  // Whatever was acknowledged before a transaction began comes before it.
  bool real_time = true;
};

enum class Anomaly {
  kWriteCycle,           // G0: two lists have the appends of two transactions in opposite orders.
  kAbortedRead,          // G1a
  kIntermediateRead,     // G1b: a list that ends in the midst of what another transaction appended to it.
  kCircularInformation,  // G1c: transactions that depend on each other's writes.
  kReadSkew,             // G-single: a part of another transaction's writes was seen, or of what it had seen.
  kLostUpdate,           // Two that read the same list and both appended to it.
  kWriteSkew,            // G2: any other cycle.
  kRealTimeViolation,    // A cycle through the order of time: a stale read, for one.
  kDuplicateAppend,      // A value twice in a list.
  kMissingAppend,        // Committed, and not there at the end.
  kForkedList,           // Two lists of which neither is the beginning of the other.
  kUnknownValue,         // That nobody ever appended.
  kOwnWriteUnseen,       // A transaction that does not see what it has appended or read itself.
};
std::string NameOf(Anomaly anomaly);

struct Finding {
  Anomaly anomaly = Anomaly::kWriteCycle;
  std::vector<int> transactions;  // Positions in the history.
  std::string explanation;        // Several lines: what, who, and why each comes before the next.
};

// What is wrong, at most 20 findings of each kind. A cycle is reported under its strongest name only. Unknown outcomes count
// as committed when their values were read, else not at all; what aborted transactions read is not looked at.
std::vector<Finding> Check(const History& history, const CheckOptions& options = {});

// The explanations one below the other; "" when there are none.
std::string Explain(const std::vector<Finding>& findings);

}  // namespace quarry::history
