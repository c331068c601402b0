#include "core/txn/recovery_loop.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/failpoint.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

constexpr size_t kAuditedMax = 10'000;  // Decisions (the newest) and parts of one shard that one audit looks at.

CallContext Within(Loop& loop, absl::Duration timeout) {
  CallContext ctx(loop);
  ctx.deadline = loop.Now() + timeout;
  return ctx;
}

Async<absl::StatusOr<ShardSighting>> SightOne(ShardParty party, ShardId shard, absl::Duration timeout, Loop& loop) {
  const CallContext ctx = Within(loop, timeout);
  TwoPhase& two_phase = party.backend->two_phase();
  ShardSighting sighting;
  sighting.shard = shard;
  sighting.name = party.name;
  QUARRY_CO_ASSIGN_OR_RETURN(sighting.branches, co_await two_phase.ListBranches(ctx));
  DecisionFilter filter;
  filter.unfinished_only = true;
  QUARRY_CO_ASSIGN_OR_RETURN(sighting.unfinished, co_await two_phase.ListDecisions(filter, ctx));
  co_return sighting;
}

Async<absl::StatusOr<std::vector<Branch>>> BranchesOn(ShardParty party, const std::string& transaction_id,
                                                      const CallContext& ctx) {
  absl::StatusOr<std::vector<Branch>> branches = co_await party.backend->two_phase().ListBranches(ctx);
  if (branches.ok()) {
    std::erase_if(*branches, [&transaction_id](const Branch& branch) { return branch.transaction.id != transaction_id; });
  }
  co_return branches;
}

Async<absl::StatusOr<std::optional<Decision>>> DecisionOn(ShardParty party, const std::string& transaction_id,
                                                          const CallContext& ctx) {
  absl::StatusOr<std::optional<Decision>> decision = co_await party.backend->two_phase().FindDecision(transaction_id, ctx);
  co_return decision;
}

Async<absl::StatusOr<bool>> CheckOn(ShardParty party, const CallContext& ctx) {
  const absl::Status status = co_await party.backend->two_phase().Check(ctx);
  if (!status.ok()) co_return status;
  co_return true;
}

void Add(TransactionTrace& trace, const Branch& branch, const std::string& shard) {
  trace.home = branch.transaction.home;
  trace.branches.push_back(shard);
  trace.age = std::max(trace.age, branch.age);
}

// After all branches. An abort may stand on shards that are not its home: a branch knows better, and so does a commit.
void Add(TransactionTrace& trace, const Decision& decision, const std::string& shard) {
  trace.age = std::max(trace.age, decision.age);
  const bool away = !trace.home.empty() && trace.home != shard;
  if (away && decision.verdict == Verdict::kAbort) return;
  trace.home = shard;
  trace.decision = decision;
}

std::optional<ShardId> Find(const std::vector<ShardParty>& parties, const std::string& name) {
  for (size_t i = 0; i < parties.size(); ++i) {
    if (parties[i].name == name) return ShardId{static_cast<uint32_t>(i)};
  }
  return std::nullopt;
}

Async<RecoveryEvent> Perform(RecoveryAction action, const GlobalTransaction& transaction, TwoPhase& shard,
                             const CallContext& ctx) {
  RecoveryEvent event;
  event.shard = action.shard;
  switch (action.kind) {
    case RecoveryAction::Kind::kFindDecision: {
      event.kind = RecoveryEvent::Kind::kDecisionFound;
      absl::StatusOr<std::optional<Decision>> found = co_await shard.FindDecision(transaction.id, ctx);
      event.ok = found.ok();
      if (found.ok()) event.decision = *std::move(found);
      break;
    }
    case RecoveryAction::Kind::kDecideAbort: {
      event.kind = RecoveryEvent::Kind::kAbortDecided;
      QUARRY_FAILPOINT("recovery.before_abort").IgnoreError();
      absl::StatusOr<Decision> stands = co_await shard.DecideAbort(transaction.id, ctx);
      QUARRY_FAILPOINT("recovery.after_abort").IgnoreError();
      event.ok = stands.ok();
      if (stands.ok()) event.decision = *std::move(stands);
      break;
    }
    case RecoveryAction::Kind::kFinish: {
      event.kind = RecoveryEvent::Kind::kFinished;
      const absl::StatusOr<BranchEnd> end = co_await shard.Finish(transaction, action.verdict, ctx);
      QUARRY_FAILPOINT("recovery.after_finish").IgnoreError();
      event.ok = end.ok();
      if (end.ok()) event.end = *end;
      break;
    }
    case RecoveryAction::Kind::kMarkFinished: {
      event.kind = RecoveryEvent::Kind::kMarked;
      const std::vector<std::string> ids = {transaction.id};
      const absl::Status marked = co_await shard.MarkFinished(ids, ctx);
      event.ok = marked.ok();
      break;
    }
    case RecoveryAction::Kind::kEnd:
      break;
  }
  co_return event;
}

}  // namespace

Async<std::vector<ShardSighting>> SightShards(std::vector<ShardParty> parties, absl::Duration timeout, Unasked* unasked,
                                              const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<ShardSighting>>> work;
  for (size_t i = 0; i < parties.size(); ++i) {
    work.push_back(SightOne(parties[i], ShardId{static_cast<uint32_t>(i)}, timeout, ctx.loop));
  }
  GatherOptions options;
  options.stop_at_first_error = false;
  std::vector<absl::StatusOr<ShardSighting>> answers = co_await Gather(ctx.loop, std::move(work), options);
  std::vector<ShardSighting> sightings;
  for (size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].ok()) {
      sightings.push_back(*std::move(answers[i]));
      continue;
    }
    if (unasked != nullptr) unasked->push_back({parties[i].name, answers[i].status()});
    ShardSighting& nothing = sightings.emplace_back();
    nothing.shard = ShardId{static_cast<uint32_t>(i)};
    nothing.name = parties[i].name;
  }
  co_return sightings;
}

std::vector<TransactionTrace> TracesOf(const std::vector<ShardSighting>& sightings) {
  std::map<std::string, TransactionTrace> traces;
  for (const ShardSighting& sighting : sightings) {
    for (const Branch& branch : sighting.branches) Add(traces[branch.transaction.id], branch, sighting.name);
  }
  for (const ShardSighting& sighting : sightings) {
    for (const Decision& decision : sighting.unfinished) Add(traces[decision.transaction_id], decision, sighting.name);
  }
  std::vector<TransactionTrace> list;
  for (auto& [id, trace] : traces) {
    trace.transaction_id = id;
    list.push_back(std::move(trace));
  }
  return list;
}

// The branches of all shards first: one that is finished meanwhile has a decision by then.
Async<TransactionTrace> TraceTransaction(std::string transaction_id, std::vector<ShardParty> parties, Unasked* unasked,
                                         const CallContext& ctx) {
  GatherOptions options;
  options.stop_at_first_error = false;
  // A shard that hangs leaves the others time for the second question.
  const CallContext first = Within(ctx.loop, (ctx.deadline - ctx.loop.Now()) / 2);
  std::vector<Async<absl::StatusOr<std::vector<Branch>>>> list;
  for (const ShardParty& party : parties) list.push_back(BranchesOn(party, transaction_id, first));
  const std::vector<absl::StatusOr<std::vector<Branch>>> branches = co_await Gather(ctx.loop, std::move(list), options);
  std::vector<Async<absl::StatusOr<std::optional<Decision>>>> find;
  for (const ShardParty& party : parties) find.push_back(DecisionOn(party, transaction_id, ctx));
  const std::vector<absl::StatusOr<std::optional<Decision>>> decisions = co_await Gather(ctx.loop, std::move(find), options);
  TransactionTrace trace;
  trace.transaction_id = transaction_id;
  for (size_t i = 0; i < parties.size(); ++i) {
    const absl::Status status = branches[i].ok() ? decisions[i].status() : branches[i].status();
    if (!status.ok() && unasked != nullptr) unasked->push_back({parties[i].name, status});
    if (!branches[i].ok()) continue;
    for (const Branch& branch : *branches[i]) Add(trace, branch, parties[i].name);
  }
  for (size_t i = 0; i < parties.size(); ++i) {
    if (decisions[i].ok() && decisions[i]->has_value()) Add(trace, **decisions[i], parties[i].name);
  }
  co_return trace;
}

Async<std::optional<Verdict>> RecoverTransaction(RecoveryTarget target, std::vector<ShardParty> parties,
                                                 absl::Duration step_timeout, std::vector<ShardId>* broken, Loop& loop) {
  const std::optional<ShardId> home = Find(parties, target.home);
  if (!home.has_value()) co_return std::nullopt;
  std::map<std::string, ShardId> shard_ids;
  for (size_t i = 0; i < parties.size(); ++i) shard_ids.emplace(parties[i].name, ShardId{static_cast<uint32_t>(i)});
  GlobalTransaction transaction;
  transaction.id = target.transaction_id;
  transaction.home = target.home;
  Recovery machine(*home, std::move(target.branches), std::move(shard_ids));
  std::vector<RecoveryAction> actions = machine.Start();
  while (!actions.empty() && actions.front().kind != RecoveryAction::Kind::kEnd) {
    std::vector<RecoveryAction> next;
    for (const RecoveryAction& action : actions) {
      if (action.kind == RecoveryAction::Kind::kEnd) continue;
      const CallContext ctx = Within(loop, step_timeout);
      const RecoveryEvent event = co_await Perform(action, transaction, parties[Index(action.shard)].backend->two_phase(), ctx);
      std::vector<RecoveryAction> more = machine.On(event);
      next.insert(next.end(), more.begin(), more.end());
    }
    actions = std::move(next);
  }
  if (broken != nullptr) *broken = machine.contradictions();
  if (!machine.resolved()) co_return std::nullopt;
  co_return machine.verdict();
}

RecoveryLoop::RecoveryLoop(Loop& loop, RecoveryOptions options, std::function<std::vector<ShardParty>()> parties,
                           RecoveryListener listener)
    : loop_(loop), options_(options), parties_(std::move(parties)), listener_(std::move(listener)) {}

void RecoveryLoop::Start() {
  running_ = Running(Run(), [] {});
}

Async<void> RecoveryLoop::Run() {
  while (true) {
    co_await Sweep();
    SleepUntil pause(loop_, loop_.Now() + options_.interval);
    co_await pause;
  }
}

Async<void> RecoveryLoop::CheckNewShards() {
  const CallContext ctx = Within(loop_, options_.step_timeout);
  std::vector<ShardParty> fresh;
  for (ShardParty& party : parties_()) {
    if (checked_.count(party.name) == 0) fresh.push_back(std::move(party));
  }
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const ShardParty& party : fresh) work.push_back(CheckOn(party, ctx));
  GatherOptions options;
  options.stop_at_first_error = false;
  const std::vector<absl::StatusOr<bool>> checks = co_await Gather(loop_, std::move(work), options);
  for (size_t i = 0; i < checks.size(); ++i) {
    const bool unfit = absl::IsFailedPrecondition(checks[i].status());
    if (checks[i].ok() || unfit) checked_.insert(fresh[i].name);
    if (unfit && listener_.on_unfit) listener_.on_unfit(fresh[i].name, checks[i].status());
  }
}

Async<absl::StatusOr<bool>> RecoveryLoop::RecoverOne(RecoveryTarget target) {
  std::vector<ShardId> broken;
  std::vector<ShardParty> parties = parties_();
  const std::optional<Verdict> verdict =
      co_await RecoverTransaction(std::move(target), std::move(parties), options_.step_timeout, &broken, loop_);
  if (!verdict.has_value()) {
    ++stats_.postponed;
    co_return false;
  }
  ++(*verdict == Verdict::kCommit ? stats_.committed : stats_.rolled_back);
  co_return true;
}

// Decisions whose parts are all there are marked together: the common case, in which the coordinator has done its work.
Async<void> RecoveryLoop::FinishWhatIsDone(std::vector<ShardSighting>* sightings) {
  const CallContext ctx = Within(loop_, options_.step_timeout);
  const std::vector<ShardParty> parties = parties_();
  std::map<std::string, size_t> missing;  // Parts, by transaction.
  std::map<ShardId, std::vector<std::string>> asked;
  for (const ShardSighting& home : *sightings) {
    for (const Decision& decision : home.unfinished) {
      if (decision.verdict != Verdict::kCommit || decision.age < options_.age_min) continue;
      for (const std::string& participant : decision.participants) {
        if (participant == home.name) continue;
        ++missing[decision.transaction_id];
        const std::optional<ShardId> shard = Find(parties, participant);
        if (shard.has_value()) asked[*shard].push_back(decision.transaction_id);
      }
      missing.try_emplace(decision.transaction_id, 0);
    }
  }
  for (const auto& [shard, ids] : asked) {
    const absl::StatusOr<std::vector<std::string>> found = co_await parties[Index(shard)].backend->two_phase().FindParts(ids, ctx);
    if (!found.ok()) continue;
    for (const std::string& id : *found) --missing[id];
  }
  for (ShardSighting& home : *sightings) {
    std::vector<std::string> done;
    for (const Decision& decision : home.unfinished) {
      const auto known = missing.find(decision.transaction_id);
      if (known != missing.end() && known->second == 0) done.push_back(decision.transaction_id);
    }
    if (done.empty()) continue;
    const absl::Status marked = co_await parties[Index(home.shard)].backend->two_phase().MarkFinished(done, ctx);
    if (!marked.ok()) continue;
    std::erase_if(home.unfinished, [&done](const Decision& decision) {
      return std::find(done.begin(), done.end(), decision.transaction_id) != done.end();
    });
  }
}

// The parts first: a decision without parts is only old, parts without a decision would be a riddle.
Async<bool> RecoveryLoop::ForgetOld() {
  const std::vector<ShardParty> parties = parties_();
  DecisionFilter filter;
  filter.age_min = options_.keep;
  bool more = false;
  for (const ShardParty& home : parties) {
    const CallContext ctx = Within(loop_, options_.step_timeout);
    TwoPhase& two_phase = home.backend->two_phase();
    const absl::StatusOr<std::vector<Decision>> old = co_await two_phase.ListDecisions(filter, ctx);
    if (!old.ok()) continue;
    std::vector<std::string> ids;
    std::map<std::string, std::vector<std::string>> by_participant;
    for (const Decision& decision : *old) {
      if (!decision.finished) continue;
      ids.push_back(decision.transaction_id);
      for (const std::string& name : decision.participants) by_participant[name].push_back(decision.transaction_id);
    }
    bool all = true;
    for (const auto& [name, parts] : by_participant) {
      const std::optional<ShardId> shard = Find(parties, name);
      if (!shard.has_value()) continue;
      const absl::Status forgotten = co_await parties[Index(*shard)].backend->two_phase().ForgetParts(parts, ctx);
      all = all && forgotten.ok();
    }
    if (!all || ids.empty()) continue;
    const absl::Status forgotten = co_await two_phase.ForgetDecisions(ids, ctx);
    if (!forgotten.ok()) continue;
    stats_.forgotten += static_cast<int64_t>(ids.size());
    more = more || static_cast<int64_t>(old->size()) >= filter.count_max;
  }
  co_return more;
}

Async<void> RecoveryLoop::Sweep() {
  co_await CheckNewShards();
  const CallContext ctx = Within(loop_, options_.step_timeout);
  std::vector<ShardParty> parties = parties_();
  Unasked unasked;
  std::vector<ShardSighting> sightings = co_await SightShards(std::move(parties), options_.step_timeout, &unasked, ctx);
  stats_.unasked = static_cast<int64_t>(unasked.size());
  co_await FinishWhatIsDone(&sightings);
  std::vector<RecoveryTarget> strangers;
  const std::vector<RecoveryTarget> targets = PickTargets(sightings, options_.age_min, &strangers);
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const RecoveryTarget& target : targets) work.push_back(RecoverOne(target));
  GatherOptions options;
  options.width = options_.width;
  options.stop_at_first_error = false;
  const std::vector<absl::StatusOr<bool>> ended = co_await Gather(loop_, std::move(work), options);
  std::set<std::string> left;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (!ended[i].ok() || !*ended[i]) left.insert(targets[i].transaction_id);
  }
  for (const RecoveryTarget& stranger : strangers) left.insert(stranger.transaction_id);
  stats_.in_doubt = static_cast<int64_t>(left.size());
  stats_.oldest = absl::ZeroDuration();
  for (const TransactionTrace& trace : TracesOf(sightings)) {
    if (left.count(trace.transaction_id) > 0) stats_.oldest = std::max(stats_.oldest, trace.age);
  }
  stats_.strangers = static_cast<int64_t>(strangers.size());
  ++stats_.sweeps;
  const bool audit_is_due = loop_.Now() >= next_audit_;
  if (audit_is_due || more_to_forget_) more_to_forget_ = co_await ForgetOld();
  if (audit_is_due) {
    next_audit_ = loop_.Now() + options_.audit_interval;
    co_await AuditAll();
  }
}

// In the order that Audit asks for: decisions, branches, parts.
Async<void> RecoveryLoop::AuditAll() {
  const CallContext ctx = Within(loop_, options_.step_timeout);
  const std::vector<ShardParty> parties = parties_();
  std::vector<ShardRecords> records(parties.size());
  AuditOptions options;
  options.age_max = options_.keep;
  DecisionFilter filter;
  filter.count_max = kAuditedMax;
  filter.newest_first = true;  // What was restored or promoted without its last transactions lacks those.
  std::vector<std::string> ids;
  for (size_t i = 0; i < parties.size(); ++i) {
    records[i].shard = parties[i].name;
    absl::StatusOr<std::vector<Decision>> decisions = co_await parties[i].backend->two_phase().ListDecisions(filter, ctx);
    options.complete = options.complete && decisions.ok() && decisions->size() < kAuditedMax;
    if (!decisions.ok()) continue;
    for (const Decision& decision : *decisions) ids.push_back(decision.transaction_id);
    records[i].decisions = *std::move(decisions);
  }
  for (size_t i = 0; i < parties.size(); ++i) {
    absl::StatusOr<std::vector<Branch>> branches = co_await parties[i].backend->two_phase().ListBranches(ctx);
    if (!branches.ok()) co_return;
    records[i].branches = *std::move(branches);
  }
  for (size_t i = 0; i < parties.size(); ++i) {
    TwoPhase& two_phase = parties[i].backend->two_phase();
    const absl::StatusOr<std::vector<std::string>> found = co_await two_phase.FindParts(ids, ctx);
    if (!found.ok()) co_return;
    for (const std::string& id : *found) records[i].parts.push_back({id, absl::ZeroDuration()});
    const std::set<std::string> known(found->begin(), found->end());
    if (!options.complete) continue;
    const absl::StatusOr<std::vector<Part>> parts = co_await two_phase.ListParts(options.age_min, kAuditedMax, ctx);
    if (!parts.ok()) continue;
    for (const Part& part : *parts) {
      if (known.count(part.transaction_id) == 0) records[i].parts.push_back(part);
    }
  }
  const std::vector<AuditFinding> findings = Audit(records, options);
  stats_.findings = static_cast<int64_t>(findings.size());
  std::set<std::string> seen;
  for (const AuditFinding& finding : findings) {
    // The words of a branch tell its age, which grows.
    const std::string subject = absl::StrCat(std::string(NameOf(finding.kind)), " ", finding.shard, " ", finding.transaction_id);
    seen.insert(subject);
    if (listener_.on_finding && told_.count(subject) == 0) listener_.on_finding(finding);
  }
  told_ = std::move(seen);
}

}  // namespace quarry
