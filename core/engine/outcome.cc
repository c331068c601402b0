#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"

namespace quarry {
namespace {

constexpr absl::Duration kAskMax = absl::Seconds(10);
constexpr absl::Duration kAgain = absl::Seconds(1);

// Leaves the caller's call a part of its time to say who has not answered.
CallContext Asking(const CallContext& caller) {
  CallContext ctx(caller.loop);
  const absl::Time now = caller.loop.Now();
  ctx.deadline = now + std::min(kAskMax, 0.8 * (caller.deadline - now));
  return ctx;
}

// The first third of its time. A shard that hangs takes all that it is given.
CallContext FirstThird(const CallContext& asking) {
  CallContext ctx(asking.loop);
  const absl::Time now = asking.loop.Now();
  ctx.deadline = now + (asking.deadline - now) / 3;
  return ctx;
}

std::vector<std::string> NamesOf(const Unasked& unasked) {
  std::vector<std::string> names;
  for (const UnaskedShard& one : unasked) names.push_back(one.shard);
  return names;
}

absl::Status NotFound(const std::string& id) {
  return MakeError(absl::StatusCode::kNotFound, reason::kTransactionNotFound,
                   absl::StrCat("no shard knows transaction ", id, ": it never was, it ended longer ago than "
                                "transactions.outcome_keep, or the gateway that ran it is gone, and it was rolled back with it "
                                "or had committed on one shard without a request_id; read what it wrote before you run it again"),
                   {{"transaction", id}});
}

absl::Status NotOurs(const std::string& id) {
  return MakeError(absl::StatusCode::kNotFound, reason::kTransactionNotFound,
                   "no transaction has such an id: use one that Begin or Commit has given", {{"transaction", id}});
}

// Nothing can be told without these.
absl::Status CannotTell(const std::string& id, const Unasked& unasked) {
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.facts = {{"transaction", id}, {"shard", absl::StrJoin(NamesOf(unasked), ",")}};
  detail.retry_after = kAgain;
  const bool waiting = std::any_of(unasked.begin(), unasked.end(),
                                   [](const UnaskedShard& one) { return !absl::IsFailedPrecondition(one.why); });
  // A shard that lacks something will not have it in a second.
  if (!waiting) return unasked.front().why;
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("what became of transaction ", id, " cannot be told until these shards answer: ",
                                absl::StrJoin(NamesOf(unasked), ", "), " (", std::string(unasked.front().why.message()),
                                "); ask again"),
                   detail);
}

void SortUnique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

bool Among(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Of a trace that has a decision or a branch.
TransactionFate FateOf(const TransactionTrace& trace, const Unasked& unasked) {
  TransactionFate fate;
  fate.state = TransactionState::kInDoubt;
  fate.home = trace.home;
  fate.shards = trace.branches;
  fate.unfinished = trace.branches;
  if (trace.decision.has_value()) {
    const Decision& decision = *trace.decision;
    fate.state = decision.verdict == Verdict::kCommit ? TransactionState::kCommitted : TransactionState::kRolledBack;
    fate.shards.insert(fate.shards.end(), decision.participants.begin(), decision.participants.end());
    for (const std::string& silent : NamesOf(unasked)) {
      if (!decision.finished && Among(decision.participants, silent)) fate.unfinished.push_back(silent);
    }
  }
  SortUnique(fate.shards);
  SortUnique(fate.unfinished);
  return fate;
}

bool Knows(const TransactionTrace& trace) { return trace.decision.has_value() || !trace.branches.empty(); }

Async<absl::StatusOr<Decision>> AbortOn(ShardParty party, const std::string& transaction_id, const CallContext& ctx) {
  absl::StatusOr<Decision> stands = co_await party.backend->two_phase().DecideAbort(transaction_id, ctx);
  co_return stands;
}

Async<absl::StatusOr<bool>> InitOne(ShardParty party, const CallContext& ctx) {
  absl::Status status = co_await party.backend->two_phase().Init(ctx);
  if (status.ok()) status = co_await party.backend->two_phase().Check(ctx);
  if (!status.ok()) co_return WithFact(status, "shard", party.name);
  co_return true;
}

}  // namespace

// What this loop saw is true, and not always all: a shard may have been behind when the caller was answered.
Async<absl::StatusOr<TransactionFate>> Engine::RememberedFate(TransactionState state, std::string transaction_id,
                                                              const CallContext& ctx) {
  TransactionFate fate;
  fate.state = state;
  std::vector<ShardParty> parties;
  const absl::StatusOr<std::vector<ShardId>> ran_on = transactions_.ShardsEverOf(transaction_id);
  if (ran_on.ok()) {
    const std::vector<ShardParty> all = Parties();
    for (const ShardId shard : *ran_on) parties.push_back(all[Index(shard)]);
  }
  for (const ShardParty& party : parties) fate.shards.push_back(party.name);
  const bool settled = state == TransactionState::kActive || state == TransactionState::kRolledBack ||
                       (state == TransactionState::kCommitted && parties.size() < 2);
  if (settled) co_return fate;
  const CallContext asking = Asking(ctx);
  Unasked unasked;
  const TransactionTrace trace = co_await TraceTransaction(transaction_id, std::move(parties), &unasked, asking);
  if (!Knows(trace)) {
    if (state == TransactionState::kInDoubt) fate.unfinished = NamesOf(unasked);
    co_return fate;
  }
  TransactionFate told = FateOf(trace, unasked);
  if (state == TransactionState::kCommitted) told.state = state;
  told.shards = std::move(fate.shards);
  co_return told;
}

Async<absl::StatusOr<TransactionFate>> Engine::GetTransaction(std::string transaction_id, const CallContext& ctx) {
  const absl::StatusOr<TransactionState> state = transactions_.State(transaction_id);
  if (state.ok()) {
    absl::StatusOr<TransactionFate> fate = co_await RememberedFate(*state, std::move(transaction_id), ctx);
    co_return fate;
  }
  // A write of one call whose commit goes on may have nothing on any shard yet.
  const bool runs = commits_.Runs(transaction_id);
  absl::StatusOr<TransactionFate> fate = co_await OutcomeOf(std::move(transaction_id), false, ctx);
  if (runs && absl::IsNotFound(fate.status())) {
    TransactionFate in_doubt;
    in_doubt.state = TransactionState::kInDoubt;
    co_return in_doubt;
  }
  co_return fate;
}

Async<absl::StatusOr<TransactionFate>> Engine::OutcomeOf(std::string transaction_id, bool force, const CallContext& ctx) {
  if (!LoopOf(transaction_id).ok()) co_return NotOurs(transaction_id);
  const CallContext asking = Asking(ctx);
  // Who must decide needs time after it.
  const CallContext tracing = force ? FirstThird(asking) : asking;
  std::vector<ShardParty> parties = Parties();
  Unasked unasked;
  const TransactionTrace trace = co_await TraceTransaction(transaction_id, parties, &unasked, tracing);
  if (trace.decision.has_value()) co_return FateOf(trace, unasked);
  if (!Knows(trace)) {
    if (!unasked.empty()) co_return CannotTell(transaction_id, unasked);
    if (!force) co_return NotFound(transaction_id);
    absl::StatusOr<TransactionFate> decided = co_await DecideEverywhere(std::move(transaction_id), asking);
    co_return decided;
  }
  if (!force) co_return FateOf(trace, unasked);
  // Its branches say where it is decided, and that is the only place where an abort counts.
  const auto home = std::find_if(parties.begin(), parties.end(),
                                 [&trace](const ShardParty& party) { return party.name == trace.home; });
  if (home == parties.end()) co_return FateOf(trace, unasked);
  const absl::StatusOr<Decision> stands = co_await AbortOn(*home, transaction_id, asking);
  if (!stands.ok()) {
    unasked.clear();
    unasked.push_back({home->name, stands.status()});
    co_return CannotTell(transaction_id, unasked);
  }
  TransactionTrace decided = trace;
  decided.decision = *stands;
  co_return FateOf(decided, unasked);
}

// No shard has anything of it, so any shard may be its home: an abort on each, and then none can commit it.
Async<absl::StatusOr<TransactionFate>> Engine::DecideEverywhere(std::string transaction_id, const CallContext& ctx) {
  const std::vector<ShardParty> parties = Parties();
  std::vector<Async<absl::StatusOr<Decision>>> work;
  for (const ShardParty& party : parties) work.push_back(AbortOn(party, transaction_id, ctx));
  GatherOptions options;
  options.stop_at_first_error = false;
  const std::vector<absl::StatusOr<Decision>> answers = co_await Gather(ctx.loop, std::move(work), options);
  TransactionTrace trace;
  trace.transaction_id = transaction_id;
  Unasked unasked;
  std::vector<ShardParty> aborting;
  for (size_t i = 0; i < parties.size(); ++i) {
    if (!answers[i].ok()) {
      unasked.push_back({parties[i].name, answers[i].status()});
    } else if (answers[i]->verdict == Verdict::kCommit) {
      trace.home = parties[i].name;
      trace.decision = *answers[i];
    } else {
      aborting.push_back(parties[i]);
    }
  }
  if (!trace.decision.has_value()) {
    if (!unasked.empty()) co_return CannotTell(transaction_id, unasked);
    TransactionFate rolled_back;
    rolled_back.state = TransactionState::kRolledBack;
    co_return rolled_back;
  }
  // It committed in this very moment: the aborts on the other shards say nothing and only confuse who looks.
  const std::vector<std::string> ids = {transaction_id};
  for (const ShardParty& party : aborting) {
    const absl::Status ignored = co_await party.backend->two_phase().ForgetDecisions(ids, ctx);
  }
  co_return FateOf(trace, unasked);
}

Async<InDoubtList> Engine::ListInDoubt(std::optional<absl::Duration> age_min, const CallContext& ctx) {
  const RecoveryOptions options = parts_.recovery.value_or(RecoveryOptions());
  const absl::Duration age = age_min.value_or(options.age_min);
  const CallContext asking = Asking(ctx);
  InDoubtList list;
  std::vector<ShardParty> parties = Parties();
  const absl::Duration patience = asking.deadline - ctx.loop.Now();
  const std::vector<ShardSighting> sightings = co_await SightShards(std::move(parties), patience, &list.unasked, asking);
  list.transactions = TracesOf(sightings);
  std::erase_if(list.transactions, [age](const TransactionTrace& trace) { return trace.age < age; });
  co_return list;
}

Async<absl::StatusOr<Resolution>> Engine::Resolve(std::string transaction_id, const CallContext& ctx) {
  if (!LoopOf(transaction_id).ok()) co_return NotOurs(transaction_id);
  const CallContext asking = Asking(ctx);
  const CallContext tracing = FirstThird(asking);
  const std::vector<ShardParty> parties = Parties();
  Resolution resolution;
  TransactionTrace trace = co_await TraceTransaction(transaction_id, parties, &resolution.unasked, tracing);
  if (!Knows(trace)) {
    if (!resolution.unasked.empty()) co_return CannotTell(transaction_id, resolution.unasked);
    co_return NotFound(transaction_id);
  }
  const bool over = trace.decision.has_value() && trace.decision->finished && trace.branches.empty();
  if (!over) {
    RecoveryTarget target;
    target.transaction_id = transaction_id;
    target.home = trace.home;
    bool ours = false;
    for (size_t i = 0; i < parties.size(); ++i) {
      ours = ours || parties[i].name == trace.home;
      if (Among(trace.branches, parties[i].name)) target.branches.push_back(ShardId{static_cast<uint32_t>(i)});
    }
    if (!ours) {
      co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTransactionInDoubt,
                          absl::StrCat("transaction ", transaction_id, " is decided on shard ", trace.home,
                                       ", which is none of this gateway's; configure that shard again, or ask a gateway that has it"),
                          {{"transaction", transaction_id}, {"home", trace.home}});
    }
    std::vector<ShardId> broken;
    const absl::Duration patience = asking.deadline - ctx.loop.Now();
    // The trace tells what came of it.
    co_await RecoverTransaction(std::move(target), parties, patience / 2, &broken, ctx.loop);
    for (const ShardId shard : broken) resolution.contradicting.push_back(parties[Index(shard)].name);
    resolution.unasked.clear();
    trace = co_await TraceTransaction(std::move(transaction_id), parties, &resolution.unasked, asking);
  }
  resolution.fate = FateOf(trace, resolution.unasked);
  co_return resolution;
}

Async<std::vector<absl::Status>> Engine::InitShards(std::vector<ShardId> shards, const CallContext& ctx) {
  const std::vector<ShardParty> parties = Parties();
  const CallContext asking = Asking(ctx);
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const ShardId shard : shards) work.push_back(InitOne(parties[Index(shard)], asking));
  GatherOptions options;
  options.stop_at_first_error = false;
  const std::vector<absl::StatusOr<bool>> answers = co_await Gather(ctx.loop, std::move(work), options);
  std::vector<absl::Status> statuses;
  for (const absl::StatusOr<bool>& answer : answers) statuses.push_back(answer.status());
  co_return statuses;
}

}  // namespace quarry
