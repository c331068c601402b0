#include "tests/sim/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "core/txn/audit.h"

namespace quarry::sim {
namespace {

constexpr int64_t kMillisecond = 1'000;
constexpr int64_t kFaultsEnd = 250 * kMillisecond;
constexpr int64_t kPatience = 30'000 * kMillisecond;  // After the faults have ceased.
constexpr int64_t kApplyMax = 800;
constexpr int kRefusedBranchPercent = 4;
constexpr int64_t kDownMin = 2 * kMillisecond;  // Longer than kApplyMax: a crash is over before its shard is up again.

bool LaterFirst(int64_t a_at, uint32_t a_order, int64_t b_at, uint32_t b_order) {
  return a_at != b_at ? a_at > b_at : a_order > b_order;
}

std::string TransactionName(int transaction) { return std::string{'t', static_cast<char>('0' + transaction)}; }

}  // namespace

const char* NameOf(Reached reached) {
  static const char* const kNames[] = {"committed",        "committed, unfinished", "rolled back",    "settled as commit",
                                       "settled as abort", "recovered as commit",   "recovered as abort", "abort lost",
                                       "late decision",    "late prepare",          "refused branch",    "coordinator lost",
                                       "durable but unanswered", "stale read"};
  return kNames[static_cast<size_t>(reached)];
}

World::World(uint64_t seed, bool trace) : dice_(seed), trace_(trace) {
  heap_.reserve(256);
  requests_.reserve(512);
  // In fair weather most transactions commit; in a storm next to nothing goes as it should.
  const int64_t weather = dice_.Percent(60) ? 1 : 3;
  loss_percent_ = static_cast<int>(dice_.Between(0, 8 * weather));
  double_percent_ = static_cast<int>(dice_.Between(0, 8 * weather));
  slow_percent_ = static_cast<int>(dice_.Between(0, 6 * weather));
  refuse_percent_ = static_cast<int>(dice_.Between(0, 3));
  timeout_ = dice_.Between(6, 20) * kMillisecond;
  sweep_interval_ = dice_.Between(10, 60) * kMillisecond;
  age_min_ = dice_.Percent(30) ? 0 : dice_.Between(1, 40) * kMillisecond;
  MakeShards();
  MakeTransactions();
  MakeFaults(weather);
}

void World::MakeShards() {
  shards_.resize(static_cast<size_t>(dice_.Percent(40) ? 2 : dice_.Between(3, 4)));
  gateways_.resize(static_cast<size_t>(dice_.Between(1, 3)));
  for (size_t i = 0; i < gateways_.size(); ++i) Push(dice_.Between(0, sweep_interval_), What::kSweep, static_cast<uint8_t>(i));
}

void World::MakeTransactions() {
  transactions_.resize(static_cast<size_t>(dice_.Between(1, 3)));
  for (size_t i = 0; i < transactions_.size(); ++i) {
    Transaction& transaction = transactions_[i];
    transaction.gateway = static_cast<uint8_t>(dice_.Between(0, static_cast<int64_t>(gateways_.size()) - 1));
    size_t writers = 0;
    while (writers < 2) {
      transaction.participants.clear();
      writers = 0;
      for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
        if (dice_.Percent(20)) continue;
        const bool wrote = dice_.Percent(80);
        transaction.participants.push_back({ShardId{shard}, wrote});
        writers += wrote ? 1 : 0;
      }
    }
    for (const Participant& participant : transaction.participants) {
      if (participant.wrote) transaction.writer_names.push_back(ShardName(static_cast<int>(Index(participant.shard))));
    }
    transaction.home = static_cast<int>(Index(Coordinator::HomeOf(transaction.participants)));
    Push(dice_.Between(0, kFaultsEnd / 2), What::kBegin, static_cast<uint8_t>(i));
  }
}

void World::MakeFaults(int64_t weather) {
  const auto some = [&](What what, size_t of, int64_t most) {
    for (int64_t i = dice_.Between(0, most); i > 0; --i) {
      Push(dice_.Between(0, kFaultsEnd * 3 / 4), what, static_cast<uint8_t>(dice_.Between(0, static_cast<int64_t>(of) - 1)));
    }
  };
  some(What::kCrash, gateways_.size(), 1 + weather);
  some(What::kPause, gateways_.size(), 1 + weather);
  some(What::kShardDown, shards_.size(), 2 + weather);
}

void World::CeaseFaults() {
  calm_ = true;
  for (size_t i = 0; i < gateways_.size(); ++i) {
    Gateway& gateway = gateways_[i];
    gateway.paused_until = 0;
    if (!gateway.alive) Push(0, What::kRevive, static_cast<uint8_t>(i));
  }
  for (Shard& shard : shards_) {
    shard.up = true;
    shard.stale_until = 0;
  }
  Trace("faults cease");
}

std::string World::Run() {
  while (broken_.empty()) {
    if (!calm_ && heap_.front().at > kFaultsEnd) {
      now_ = kFaultsEnd;
      CeaseFaults();
    }
    if (calm_ && busy_ == 0 && Whole()) break;
    if (now_ > kFaultsEnd + kPatience) {
      Break("something is still unfinished long after the faults have ceased");
      break;
    }
    Step(Pop());
  }
  if (broken_.empty()) CheckEnd();
  return broken_;
}

// ---- Time ----

void World::Push(int64_t after, What what, uint8_t who, uint8_t where, uint32_t request) {
  if (what != What::kSweep) ++busy_;
  heap_.push_back(Event{now_ + after, ++order_, what, who, where, request});
  std::push_heap(heap_.begin(), heap_.end(),
                 [](const Event& a, const Event& b) { return LaterFirst(a.at, a.order, b.at, b.order); });
}

World::Event World::Pop() {
  std::pop_heap(heap_.begin(), heap_.end(),
                [](const Event& a, const Event& b) { return LaterFirst(a.at, a.order, b.at, b.order); });
  const Event event = heap_.back();
  heap_.pop_back();
  if (event.what != What::kSweep) --busy_;
  now_ = std::max(now_, event.at);
  return event;
}

// A paused gateway does all that waits for it, in order, once it goes on.
bool World::Deferred(const Event& event, const Gateway& gateway) {
  if (gateway.paused_until <= now_) return false;
  Push(gateway.paused_until - now_, event.what, event.who, event.where, event.request);
  return true;
}

void World::Step(const Event& event) {
  switch (event.what) {
    case What::kBegin:
    case What::kDeadline:
      if (Deferred(event, gateways_[transactions_[event.who].gateway])) return;
      return event.what == What::kBegin ? Begin(event.who) : Deadline(event.who);
    case What::kSend:
    case What::kReply:
    case What::kTimeout: {
      const Request& request = requests_[event.request];
      const Gateway& gateway = gateways_[request.gateway];
      if (request.closed || request.gateway_life != gateway.life || Deferred(event, gateway)) return;
      if (event.what == What::kSend) return Transmit(event.request);
      return Close(event.request, event.what == What::kReply ? Seen::kReply : Seen::kNothing);
    }
    case What::kArrive: return Arrive(event);
    case What::kApply: return ApplyAt(event.request);
    case What::kLoseSession: return shards_[event.where].now.LoseSession(event.who);
    case What::kSweep:
      if (!Deferred(event, gateways_[event.who])) StartSweep(event.who);
      return;
    case What::kCrash:
      if (!calm_) CrashGateway(event.who);
      return;
    case What::kRevive:
      if (gateways_[event.who].alive) return;
      gateways_[event.who].alive = true;
      Push(dice_.Between(0, sweep_interval_), What::kSweep, event.who);
      return;
    case What::kPause:
      if (!calm_) Pause(event.who);
      return;
    case What::kShardDown:
      if (!calm_) TakeShardDown(event.who);
      return;
    case What::kShardUp: shards_[event.who].up = true; return;
  }
}

bool World::Whole() const {
  for (const Transaction& transaction : transactions_) {
    if (transaction.coordinator.has_value()) return false;
  }
  for (const RecoveryRun& run : runs_) {
    if (run.recovery.has_value()) return false;
  }
  for (const Shard& shard : shards_) {
    for (int i = 0; i < kTransactionsMax; ++i) {
      const ModelShard::Slot& slot = shard.now.slot(i);
      if (slot.branch || (slot.decided && !slot.finished)) return false;
    }
  }
  return true;
}

// ---- The network ----

int64_t World::Delay() {
  if (!calm_ && dice_.Percent(slow_percent_)) return dice_.Between(5, 120) * kMillisecond;
  return dice_.Between(100, 3 * kMillisecond);
}

void World::Ask(Asker asker, uint32_t asker_index, uint8_t gateway, uint8_t transaction, ShardId shard, Op op, int64_t after) {
  Request request;
  request.op = op;
  request.asker = asker;
  request.asker_index = asker_index;
  request.transaction = transaction;
  request.shard = static_cast<uint8_t>(Index(shard));
  request.gateway = gateway;
  request.gateway_life = gateways_[gateway].life;
  request.held = dice_.Percent(50);
  requests_.push_back(request);
  const uint32_t id = static_cast<uint32_t>(requests_.size() - 1);
  if (after > 0) {
    Push(dice_.Between(0, after), What::kSend, gateway, 0, id);
  } else {
    Transmit(id);
  }
}

void World::Transmit(uint32_t id) {
  const Request& request = requests_[id];
  Push(timeout_, What::kTimeout, request.gateway, 0, id);
  if (calm_ || !dice_.Percent(loss_percent_)) Push(Delay(), What::kArrive, request.shard, 0, id);
  // A session is one connection, which doubles nothing.
  const bool doubled = !calm_ && !OfSession(request.op) && dice_.Percent(double_percent_);
  if (doubled) Push(Delay(), What::kArrive, request.shard, 0, id);
}

void World::Answer(uint32_t id, const Reply& reply) {
  Request& request = requests_[id];
  request.reply = reply;
  request.served_at = now_;
  if (calm_ || !dice_.Percent(loss_percent_)) Push(Delay(), What::kReply, request.gateway, 0, id);
}

void World::Arrive(const Event& event) {
  Request& request = requests_[event.request];
  const Gateway& gateway = gateways_[request.gateway];
  if (request.held && request.gateway_life == gateway.life && gateway.paused_until > now_) {
    // What has left a host that is then cut off arrives when it is back.
    return Push(gateway.paused_until - now_ + Delay(), event.what, event.who, 0, event.request);
  }
  Shard& shard = shards_[request.shard];
  if (!shard.up) {
    if (dice_.Percent(50)) Answer(event.request, Reply{});
    return;
  }
  request.shard_life = shard.life;
  if (Reads(request.op)) {
    const bool stale = shard.stale_until > now_ && !OfSession(request.op) && dice_.Percent(50);
    if (stale) Reach(Reached::kStaleRead);
    return Answer(event.request, (stale ? shard.stale : shard.now).Apply(request.op, request.transaction, now_));
  }
  if (OfSession(request.op)) {
    request.had_session = shard.now.slot(request.transaction).session;
    shard.now.LoseSession(request.transaction);  // It is busy with this.
    if (!request.had_session || (!calm_ && dice_.Percent(refuse_percent_))) return Answer(event.request, Reply{});
  }
  Push(dice_.Between(0, kApplyMax), What::kApply, request.shard, 0, event.request);
}

void World::ApplyAt(uint32_t id) {
  Request& request = requests_[id];
  Shard& shard = shards_[request.shard];
  const bool crashed = request.shard_life != shard.life;
  if (crashed && dice_.Percent(50)) return;
  Transaction& transaction = transactions_[request.transaction];
  const bool decided = shard.now.slot(request.transaction).decided;
  if (request.had_session) shard.now.OpenSession(request.transaction);
  Reply reply = shard.now.Apply(request.op, request.transaction, now_);
  if (request.op == Op::kPrepare && reply.ok && !calm_ && dice_.Percent(kRefusedBranchPercent)) {
    reply.refused = true;
    Reach(Reached::kRefusedBranch);
  }
  if (trace_) {
    Trace(absl::StrCat(ShardName(request.shard), " ", NameOf(request.op), " ", TransactionName(request.transaction),
                       reply.ok ? "" : " refused", crashed ? " (crashing)" : ""));
  }
  if (crashed) Reach(Reached::kDurableUnanswered);
  if (request.op == Op::kDecide && decided) Reach(Reached::kLateDecision);
  if (request.op == Op::kFinishAbort) transaction.rolled_back_at[request.shard] = true;
  if (request.op == Op::kPrepare && reply.ok && transaction.rolled_back_at[request.shard]) Reach(Reached::kLatePrepare);
  Check(request.transaction);
  if (!crashed) Answer(id, reply);
}

void World::Close(uint32_t id, Seen seen) {
  requests_[id].closed = true;
  const Request request = requests_[id];  // A copy: telling may ask more.
  if (seen == Seen::kNothing && OfSession(request.op)) {
    Push(Delay(), What::kLoseSession, request.transaction, request.shard);  // The connection is given up.
  }
  switch (request.asker) {
    case Asker::kCoordinator: return TellCoordinator(request, seen);
    case Asker::kRecovery: return TellRecovery(request, seen);
    case Asker::kSweep: return TellSweep(request, seen);
  }
}

// ---- Coordinators ----

void World::Begin(int transaction) {
  Transaction& beginning = transactions_[static_cast<size_t>(transaction)];
  if (calm_ || !gateways_[beginning.gateway].alive) return;
  for (const Participant& participant : beginning.participants) {
    Shard& shard = shards_[Index(participant.shard)];
    if (shard.up) shard.now.OpenSession(transaction);
  }
  Trace(absl::StrCat(TransactionName(transaction), " begins, home ", ShardName(beginning.home)));
  beginning.coordinator.emplace(beginning.participants);
  Push(dice_.Between(5, 100) * kMillisecond, What::kDeadline, static_cast<uint8_t>(transaction));
  DoCommit(transaction, beginning.coordinator->Start());
}

// The caller is told what is certain and goes; now and then its coordinator is let go with it.
void World::Deadline(int transaction) {
  Transaction& late = transactions_[static_cast<size_t>(transaction)];
  if (!late.coordinator.has_value()) return;
  CheckTold(transaction);
  if (!calm_ && dice_.Percent(15)) DropCoordinator(transaction);
}

void World::TellCoordinator(const Request& request, Seen seen) {
  Transaction& transaction = transactions_[request.transaction];
  if (!transaction.coordinator.has_value()) return;
  if (request.op == Op::kDecideAbort && seen == Seen::kReply && request.reply.ok) {
    Reach(request.reply.verdict == Verdict::kCommit ? Reached::kSettledCommit : Reached::kSettledAbort);
  }
  DoCommit(request.transaction, transaction.coordinator->On(EventOf(request.op, ShardId{request.shard}, seen, request.reply)));
}

void World::DoCommit(int index, const std::vector<CommitAction>& actions) {
  Transaction& transaction = transactions_[static_cast<size_t>(index)];
  bool ended = false;
  for (const CommitAction& action : actions) {
    const std::optional<Op> op = OpOf(action);
    if (op == Op::kRollBack) {
      Push(Delay(), What::kLoseSession, static_cast<uint8_t>(index), static_cast<uint8_t>(Index(action.shard)));
    } else if (op.has_value()) {
      // The worst moment to stop for a while.
      if (op == Op::kDecide && !calm_ && dice_.Percent(4)) Pause(transaction.gateway);
      Ask(Asker::kCoordinator, 0, transaction.gateway, static_cast<uint8_t>(index), action.shard, *op,
          absl::ToInt64Microseconds(action.after));
    } else if (action.kind == CommitAction::Kind::kAnswer) {
      if (transaction.answered) Break(absl::StrCat(TransactionName(index), " is answered twice"));
      transaction.answered = true;
      Reach(action.outcome == CommitOutcome::kRolledBack  ? Reached::kRolledBack
            : action.outcome == CommitOutcome::kCommitted ? Reached::kCommitted
                                                          : Reached::kCommittedUnfinished);
      if (action.outcome == CommitOutcome::kRolledBack && action.cause.ok()) Break("an answer of rolled back without a cause");
    } else {
      ended = true;
    }
  }
  CheckTold(index);
  if (!ended) return;
  if (!transaction.answered) Break(absl::StrCat(TransactionName(index), " ends without an answer"));
  transaction.coordinator.reset();
}

void World::DropCoordinator(int index) {
  Transaction& transaction = transactions_[static_cast<size_t>(index)];
  if (!transaction.coordinator.has_value()) return;
  Trace(absl::StrCat("the coordinator of ", TransactionName(index), " is lost"));
  transaction.coordinator.reset();
  bool prepared = false;
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    prepared = prepared || shards_[shard].now.slot(index).branch;
    Push(Delay() * dice_.Between(1, 4), What::kLoseSession, static_cast<uint8_t>(index), static_cast<uint8_t>(shard));
  }
  if (prepared) Reach(Reached::kCoordinatorLost);
}

void World::Pause(uint8_t gateway) {
  gateways_[gateway].paused_until = now_ + dice_.Between(5, 120) * kMillisecond;
  if (trace_) Trace(absl::StrCat("gateway ", gateway, " pauses"));
}

void World::CrashGateway(uint8_t index) {
  Gateway& gateway = gateways_[index];
  if (!gateway.alive) return;
  Trace(absl::StrCat("gateway ", index, " crashes"));
  gateway = Gateway{.alive = false, .life = gateway.life + 1, .paused_until = 0, .sweep_waits_for = 0, .sightings = {}};
  for (size_t i = 0; i < transactions_.size(); ++i) {
    if (transactions_[i].gateway == index) DropCoordinator(static_cast<int>(i));
  }
  for (RecoveryRun& run : runs_) {
    if (run.gateway == index) run.recovery.reset();
  }
  Push(dice_.Between(5, 60) * kMillisecond, What::kRevive, index);
}

// A restart, or a failover to the synchronous standby: what is durable stays, whatever was acknowledged. In the latter case
// the old primary goes on to answer reads for a while.
void World::TakeShardDown(uint8_t index) {
  Shard& shard = shards_[index];
  if (!shard.up) return;
  ++shard.life;
  shard.up = false;
  if (dice_.Percent(40)) {
    shard.stale = shard.now;
    shard.stale_until = now_ + dice_.Between(5, 80) * kMillisecond;
  }
  shard.now.LoseSessions();
  Trace(absl::StrCat(ShardName(index), " goes down"));
  Push(dice_.Between(kDownMin, 30 * kMillisecond), What::kShardUp, index);
}

// ---- Recovery ----

void World::TellRecovery(const Request& request, Seen seen) {
  RecoveryRun& run = runs_[request.asker_index];
  if (!run.recovery.has_value()) return;
  const Transaction& transaction = transactions_[run.transaction];
  if (request.op == Op::kDecideAbort && request.reply.verdict == Verdict::kCommit) Reach(Reached::kAbortLost);
  DoRecovery(request.asker_index,
             run.recovery->On(RecoveryEventOf(request.op, ShardId{request.shard}, seen, request.reply,
                                              TransactionName(run.transaction), transaction.writer_names)));
}

void World::DoRecovery(uint32_t index, const std::vector<RecoveryAction>& actions) {
  for (const RecoveryAction& action : actions) {
    RecoveryRun& run = runs_[index];
    const std::optional<Op> op = OpOf(action);
    if (op.has_value()) {
      Ask(Asker::kRecovery, index, run.gateway, run.transaction, action.shard, *op, 0);
      continue;
    }
    if (!run.recovery->contradictions().empty()) Break("recovery meets a contradiction");
    if (run.recovery->resolved()) {
      Reach(run.recovery->verdict() == Verdict::kCommit ? Reached::kRecoveredCommit : Reached::kRecoveredAbort);
    }
    run.recovery.reset();
  }
}

void World::StartSweep(uint8_t index) {
  Gateway& gateway = gateways_[index];
  if (!gateway.alive || gateway.sweep_waits_for > 0) return;
  if (calm_ && Whole()) return Push(sweep_interval_, What::kSweep, index);  // Only what is still on its way can change that.
  gateway.sightings.assign(shards_.size(), ShardSighting{});
  gateway.sweep_waits_for = static_cast<int>(2 * shards_.size());
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
    gateway.sightings[shard].shard = ShardId{shard};
    gateway.sightings[shard].name = ShardName(static_cast<int>(shard));
    Ask(Asker::kSweep, 0, index, 0, ShardId{shard}, Op::kListBranches, 0);
    Ask(Asker::kSweep, 0, index, 0, ShardId{shard}, Op::kListDecisions, 0);
  }
}

void World::TellSweep(const Request& request, Seen seen) {
  Gateway& gateway = gateways_[request.gateway];
  ShardSighting& sighting = gateway.sightings[request.shard];
  for (size_t i = 0; i < transactions_.size() && seen == Seen::kReply; ++i) {
    if ((request.reply.listed >> i & 1u) == 0) continue;
    const int index = static_cast<int>(i);
    const ModelShard::Slot& slot = shards_[request.shard].now.slot(index);
    if (request.op == Op::kListBranches) {
      const GlobalTransaction transaction{TransactionName(index), ShardName(transactions_[i].home)};
      sighting.branches.push_back(Branch{transaction, absl::Microseconds(request.served_at - slot.prepared_at)});
    } else {
      Decision decision;
      decision.transaction_id = TransactionName(index);
      decision.verdict = slot.verdict;
      decision.age = absl::Microseconds(request.served_at - slot.decided_at);
      sighting.unfinished.push_back(std::move(decision));
    }
  }
  if (--gateway.sweep_waits_for == 0) EndSweep(request.gateway);
}

void World::EndSweep(uint8_t index) {
  std::vector<RecoveryTarget> strangers;
  const std::vector<RecoveryTarget> targets =
      PickTargets(gateways_[index].sightings, absl::Microseconds(age_min_), &strangers);
  if (!strangers.empty()) Break("recovery takes a transaction of ours for a stranger's");
  for (const RecoveryTarget& target : targets) Recover(index, target);
  Push(sweep_interval_, What::kSweep, index);
  if (dice_.Percent(5)) AuditAll(/*at_end=*/false);
}

void World::Recover(uint8_t gateway, const RecoveryTarget& target) {
  const int transaction = target.transaction_id[1] - '0';
  for (const RecoveryRun& run : runs_) {
    if (run.recovery.has_value() && run.gateway == gateway && run.transaction == transaction) return;
  }
  const std::map<std::string, ShardId>& ids = ShardIds(static_cast<int>(shards_.size()));
  RecoveryRun run;
  run.transaction = static_cast<uint8_t>(transaction);
  run.gateway = gateway;
  run.recovery.emplace(ids.at(target.home), target.branches, ids);
  Trace(absl::StrCat("gateway ", gateway, " recovers ", target.transaction_id));
  runs_.push_back(std::move(run));
  const uint32_t index = static_cast<uint32_t>(runs_.size() - 1);
  DoRecovery(index, runs_[index].recovery->Start());
}

// ---- What must hold ----

void World::CheckTold(int index) {
  Transaction& transaction = transactions_[static_cast<size_t>(index)];
  const CommitOutcome outcome = transaction.coordinator->outcome();
  if (transaction.coordinator->contradicted()) Break(absl::StrCat("the coordinator of ", TransactionName(index), " meets a contradiction"));
  if (outcome == CommitOutcome::kRolledBack) transaction.told_rolled_back = true;
  if (outcome == CommitOutcome::kCommitted || outcome == CommitOutcome::kCommittedUnfinished) transaction.told_committed = true;
  if (outcome == CommitOutcome::kCommitted) {
    for (const Participant& participant : transaction.participants) {
      const int shard = static_cast<int>(Index(participant.shard));
      if (!participant.wrote || shard == transaction.home) continue;
      if (!shards_[Index(participant.shard)].now.slot(index).part) {
        Break(absl::StrCat(TransactionName(index), " is said to be committed everywhere, but not on ", ShardName(shard)));
      }
    }
  }
  Check(index);
}

void World::Check(int index) {
  const Transaction& transaction = transactions_[static_cast<size_t>(index)];
  const ModelShard::Slot& home = shards_[static_cast<size_t>(transaction.home)].now.slot(index);
  const bool committed = home.decided && home.verdict == Verdict::kCommit;
  const std::string name = TransactionName(index);
  if (transaction.told_rolled_back && committed) Break(absl::StrCat(name, " was said to be rolled back, but is committed"));
  if (transaction.told_committed && !committed) Break(absl::StrCat(name, " was said to be committed, but is not"));
  for (const Participant& participant : transaction.participants) {
    const int shard = static_cast<int>(Index(participant.shard));
    if (!participant.wrote || shard == transaction.home) continue;
    const ModelShard::Slot& slot = shards_[Index(participant.shard)].now.slot(index);
    if (slot.part && !committed) Break(absl::StrCat(name, " is committed on ", ShardName(shard), " alone"));
    if (committed && !slot.part && !slot.branch) Break(absl::StrCat(name, " is committed, but lost on ", ShardName(shard)));
  }
}

void World::CheckEnd() {
  for (size_t i = 0; i < transactions_.size(); ++i) {
    const Transaction& transaction = transactions_[i];
    const int index = static_cast<int>(i);
    Check(index);
    const ModelShard::Slot& home = shards_[static_cast<size_t>(transaction.home)].now.slot(index);
    const bool committed = home.decided && home.verdict == Verdict::kCommit;
    for (size_t shard = 0; shard < shards_.size(); ++shard) {
      const ModelShard::Slot& slot = shards_[shard].now.slot(index);
      const auto& all = transaction.participants;
      const bool part_due = committed && static_cast<int>(shard) != transaction.home &&
                            std::any_of(all.begin(), all.end(), [&](const Participant& participant) {
                              return participant.wrote && Index(participant.shard) == shard;
                            });
      if (slot.part != part_due) Break(absl::StrCat(TransactionName(index), " is not whole on ", ShardName(static_cast<int>(shard))));
      if (slot.session) Break(absl::StrCat(TransactionName(index), " has left a session open"));
      if (slot.decided && static_cast<int>(shard) != transaction.home) Break("a decision that is not at home");
    }
  }
  AuditAll(/*at_end=*/true);
}

void World::AuditAll(bool at_end) {
  std::vector<ShardRecords> records(shards_.size());
  for (size_t i = 0; i < shards_.size(); ++i) {
    records[i].shard = ShardName(static_cast<int>(i));
    for (size_t j = 0; j < transactions_.size(); ++j) {
      const std::string name = TransactionName(static_cast<int>(j));
      const ModelShard::Slot& slot = shards_[i].now.slot(static_cast<int>(j));
      const absl::Duration age = absl::Hours(1);
      if (slot.branch) records[i].branches.push_back({{name, ShardName(transactions_[j].home)}, age});
      if (slot.part) records[i].parts.push_back({name, age});
      if (!slot.decided) continue;
      Decision decision{.transaction_id = name, .verdict = slot.verdict, .participants = {}, .age = age};
      decision.finished = slot.finished;
      if (slot.verdict == Verdict::kCommit) decision.participants = transactions_[j].writer_names;
      records[i].decisions.push_back(std::move(decision));
    }
  }
  AuditOptions options;
  if (!at_end) options.branch_age_max = absl::InfiniteDuration();
  const std::vector<AuditFinding> findings = Audit(records, options);
  if (!findings.empty()) Break(absl::StrCat("the audit finds: ", findings[0].words));
}

void World::Break(const std::string& what) {
  if (!broken_.empty()) return;
  broken_ = absl::StrCat("at ", now_, " us: ", what);
  Trace(broken_);
}

void World::Trace(const std::string& line) const {
  if (trace_) std::fprintf(stderr, "%8.3f ms  %s\n", static_cast<double>(now_) / 1'000, line.c_str());
}

}  // namespace quarry::sim
