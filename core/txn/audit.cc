#include "core/txn/audit.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quarry {
namespace {

struct Found {
  std::set<std::string> branches;
  std::set<std::string> parts;
};

class Auditor {
 public:
  Auditor(const std::vector<ShardRecords>& shards, const AuditOptions& options) : shards_(shards), options_(options) {
    for (const ShardRecords& shard : shards) {
      Found& found = found_[shard.shard];
      for (const Branch& branch : shard.branches) found.branches.insert(branch.transaction.id);
      for (const Part& part : shard.parts) found.parts.insert(part.transaction_id);
      for (const Decision& decision : shard.decisions) {
        const auto stands = decided_.emplace(decision.transaction_id, std::make_pair(&shard, &decision)).first;
        const bool outranks = decision.verdict == Verdict::kCommit && stands->second.second->verdict == Verdict::kAbort;
        if (outranks) stands->second = std::make_pair(&shard, &decision);
      }
    }
  }

  std::vector<AuditFinding> Run() {
    for (const ShardRecords& shard : shards_) {
      for (const Decision& decision : shard.decisions) CheckDecision(shard, decision);
      for (const Part& part : shard.parts) CheckPart(shard, part);
      for (const Branch& branch : shard.branches) CheckBranch(shard, branch);
    }
    std::sort(findings_.begin(), findings_.end(), [](const AuditFinding& a, const AuditFinding& b) {
      return std::tie(a.transaction_id, a.shard, a.kind) < std::tie(b.transaction_id, b.shard, b.kind);
    });
    return std::move(findings_);
  }

 private:
  using Kind = AuditFinding::Kind;

  void Report(Kind kind, const std::string& shard, const std::string& id, const std::string& words) {
    findings_.push_back({kind, shard, id, absl::StrCat("transaction ", id, " on shard ", shard, ": ", words)});
  }

  void CheckDecision(const ShardRecords& home, const Decision& decision) {
    const std::string& id = decision.transaction_id;
    const auto& [first, stands] = decided_.find(id)->second;
    // Aborts alone do no harm: one stands on every shard where nobody knew which was home.
    if (first != &home && stands->verdict == Verdict::kCommit) {
      Report(Kind::kDecidedTwice, home.shard, id,
             absl::StrCat("it is decided here and on shard ", first->shard,
                          " too; compare the rows of both and repair by hand"));
    }
    const bool settled = decision.finished || decision.age >= options_.age_min;
    if (decision.verdict != Verdict::kCommit || !settled || decision.age > options_.age_max) return;
    for (const std::string& participant : decision.participants) {
      const auto found = found_.find(participant);
      if (participant == home.shard || found == found_.end()) continue;
      if (found->second.parts.count(id) > 0 || found->second.branches.count(id) > 0) continue;
      Report(Kind::kPartMissing, participant, id,
             absl::StrCat("shard ", home.shard,
                          " has committed it, but here its part is gone; was this shard restored or promoted without its "
                          "last transactions? Compare the rows of both and repair by hand"));
    }
  }

  void CheckPart(const ShardRecords& shard, const Part& part) {
    const auto decision = decided_.find(part.transaction_id);
    if (decision != decided_.end()) {
      if (decision->second.second->verdict == Verdict::kCommit) return;
      Report(Kind::kPartOfAborted, shard.shard, part.transaction_id,
             absl::StrCat("its part is committed here, though shard ", decision->second.first->shard,
                          " has it rolled back; who ended a prepared transaction by hand? Compare the rows of both and "
                          "repair by hand"));
    } else if (options_.complete && part.age >= options_.age_min) {
      Report(Kind::kPartUndecided, shard.shard, part.transaction_id,
             "its part is committed here and no shard has its decision; was the deciding shard restored to an earlier "
             "state, or removed? Compare the rows of all shards and repair by hand");
    }
  }

  void CheckBranch(const ShardRecords& shard, const Branch& branch) {
    if (branch.age < options_.branch_age_max) return;
    Report(Kind::kBranchUnfinished, shard.shard, branch.transaction.id,
           absl::StrCat("prepared ", absl::FormatDuration(absl::Trunc(branch.age, absl::Seconds(1))),
                        " ago and not ended; it holds its locks until shard ", branch.transaction.home,
                        " can be asked for its decision: see that this one answers"));
  }

  const std::vector<ShardRecords>& shards_;
  const AuditOptions& options_;
  std::map<std::string, Found> found_;  // By shard.
  std::map<std::string, std::pair<const ShardRecords*, const Decision*>> decided_;
  std::vector<AuditFinding> findings_;
};

}  // namespace

std::string_view NameOf(AuditFinding::Kind kind) {
  switch (kind) {
    case AuditFinding::Kind::kPartMissing: return "part_missing";
    case AuditFinding::Kind::kPartOfAborted: return "part_of_aborted";
    case AuditFinding::Kind::kPartUndecided: return "part_undecided";
    case AuditFinding::Kind::kDecidedTwice: return "decided_twice";
    case AuditFinding::Kind::kBranchUnfinished: break;
  }
  return "branch_unfinished";
}

std::vector<AuditFinding> Audit(const std::vector<ShardRecords>& shards, const AuditOptions& options) {
  return Auditor(shards, options).Run();
}

}  // namespace quarry
