// The auditor of commits over several shards: compares what all shards keep of them and reports what cannot be. Pure: no
// clock, no I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "core/backend/two_phase.h"

namespace quarry {

// What one shard keeps. An audit reads the decisions of all shards first, then the branches of all, then the parts: in
// this order a commit that is neither branch nor part at a participant has lost it, whatever happens meanwhile.
struct ShardRecords {
  std::string shard;
  std::vector<Decision> decisions;
  std::vector<Branch> branches;
  std::vector<Part> parts;
};

struct AuditOptions {
  // Younger decisions that are not finished, and younger parts, are left to those who are at work on them.
  absl::Duration age_min = absl::Minutes(1);
  // Older decisions are being forgotten, their parts first.
  absl::Duration age_max = absl::Hours(24);
  absl::Duration branch_age_max = absl::Minutes(1);
  // Every shard of ours is there with all its decisions; otherwise nothing is said of parts without one.
  bool complete = true;
};

struct AuditFinding {
  enum class Kind : uint8_t {
    kPartMissing,      // Committed, but neither branch nor part at a participant: half a transaction.
    kPartOfAborted,    // Committed here, though it was decided to roll back: half a transaction.
    kPartUndecided,    // Committed here, and no shard has a decision.
    kDecidedTwice,     // A shard has a commit, and another one a decision too.
    kBranchUnfinished, // Holds its locks, and recovery has not ended it.
  };
  Kind kind{};
  std::string shard;
  std::string transaction_id;
  std::string words;  // What is wrong and what to do.
};

// "part_missing" and the like, for metrics and logs.
std::string_view NameOf(AuditFinding::Kind kind);

// By transaction, then shard. A participant that is not in `shards` is not judged.
std::vector<AuditFinding> Audit(const std::vector<ShardRecords>& shards, const AuditOptions& options);

}  // namespace quarry
