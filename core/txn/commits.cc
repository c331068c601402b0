#include "core/txn/commits.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/failpoint.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

absl::Status InDoubt(const std::string& id, const std::string& why) {
  return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                   absl::StrCat("the commit of transaction ", id, " has no known outcome yet (", why,
                                "); it goes on in the background: ask GetTransaction, or repeat the call with the same "
                                "request_id"),
                   {{"transaction", id}});
}

CommitEvent::Result ResultOf(const absl::Status& status) {
  if (status.ok()) return CommitEvent::Result::kOk;
  // A deadline that ends in the database says nothing of what it has done.
  const bool unknown = absl::IsUnknown(status) || absl::IsDeadlineExceeded(status);
  return unknown ? CommitEvent::Result::kUnknown : CommitEvent::Result::kFailed;
}

}  // namespace

struct Commits::Job {
  Job(Loop& loop, CommitWork commit_work, std::vector<ShardParty> all, std::vector<Participant> participants)
      : work(std::move(commit_work)), parties(std::move(all)), done(loop) {
    if (participants.size() < 2) return;
    machine.emplace(participants);
    name.id = work.transaction_id;
    name.home = NameOf(machine->home());
    for (const Participant& participant : participants) {
      if (participant.wrote) writers.push_back(NameOf(participant.shard));
    }
  }

  const std::string& NameOf(ShardId shard) const { return parties[Index(shard)].name; }
  TwoPhase& two_phase(ShardId shard) const { return parties[Index(shard)].backend->two_phase(); }
  std::unique_ptr<Session>& session(ShardId shard) {
    return std::find_if(work.parts.begin(), work.parts.end(), [shard](const OpenPart& part) {
             return part.shard == shard;
           })->session;
  }
  CommitOptions DecisionOptions() {
    CommitOptions options;
    options.pass_gate = machine.has_value();
    if (machine.has_value() || work.keep_decision) {
      options.decision.emplace();
      options.decision->transaction_id = work.transaction_id;
      options.decision->verdict = Verdict::kCommit;
      options.decision->participants = writers;
    }
    options.guard = work.guard;
    if (work.guard.has_value()) options.reply = &work.reply;
    return options;
  }
  bool IsLast(ShardId shard) const { return work.last.has_value() && work.last->shard == shard; }
  void Tell(CommitEnd end) {
    if (std::exchange(told, true)) return;
    end.last = last;
    if (work.on_end) work.on_end(end);
    done.Set(std::move(end));
  }
  CommitEnd EndNow(const std::string& why) const {
    CommitEnd end;
    end.outcome = machine.has_value() ? machine->outcome() : CommitOutcome::kInDoubt;
    if (end.outcome == CommitOutcome::kInDoubt) end.status = InDoubt(work.transaction_id, why);
    if (end.outcome == CommitOutcome::kRolledBack) end.status = machine->cause();
    end.last = last;
    return end;
  }

  CommitWork work;
  const std::vector<ShardParty> parties;
  std::optional<Coordinator> machine;  // Of two phases.
  GlobalTransaction name;
  std::vector<std::string> writers;  // By name.
  std::deque<CommitEvent> events;
  std::optional<Completer<bool>> wake;
  std::list<Running> running;  // Steps under way or ended.
  TaskResult last;             // Of the last part.
  bool ended = false;
  bool told = false;
  Completer<CommitEnd> done;
  Running driver;  // Destroyed first.
};

Commits::Commits(Loop& loop, Random& random, absl::Duration timeout)
    : loop_(loop), random_(random), timeout_(timeout), jobs_(std::make_shared<Jobs>()) {}

Commits::~Commits() { jobs_.reset(); }

size_t Commits::running() const { return jobs_->size(); }

bool Commits::Runs(const std::string& transaction_id) const {
  return std::any_of(jobs_->begin(), jobs_->end(), [&transaction_id](const std::unique_ptr<Job>& job) {
    return job->work.transaction_id == transaction_id;
  });
}

Async<CommitEnd> Commits::Run(CommitWork work, std::vector<ShardParty> parties, const CallContext& ctx) {
  std::vector<Participant> participants;
  size_t writers = 0;
  for (const OpenPart& part : work.parts) {
    participants.push_back({part.shard, work.last.has_value() || part.session->wrote()});
    writers += participants.back().wrote ? 1 : 0;
  }
  if (writers < 2) participants.clear();
  ctx.stage = Stage::kCommit;
  // Owned here, not by the caller: a commit is never cancelled.
  const auto place = jobs_->insert(jobs_->end(), std::make_unique<Job>(loop_, std::move(work), std::move(parties),
                                                                       std::move(participants)));
  Job* const job = place->get();
  Completer<CommitEnd> done = job->done;
  Future<CommitEnd> outcome = done.future();
  const Timer timer(loop_, ctx.deadline, [job, done]() mutable { done.Set(job->EndNow("the deadline ended")); });
  Async<CommitEnd> drive = job->machine.has_value() ? Drive(job) : RunOnePhase(job);
  job->driver = Running(std::move(drive), [this, place](CommitEnd end) {
    (*place)->Tell(std::move(end));
    loop_.Defer([weak = std::weak_ptr<Jobs>(jobs_), place] {
      if (const std::shared_ptr<Jobs> jobs = weak.lock()) jobs->erase(place);
    });
  });
  CommitEnd end = co_await outcome;
  if (end.outcome == CommitOutcome::kInDoubt) ++stats_.in_doubt;
  co_return end;
}

// The writer first; what only read has nothing to lose.
Async<CommitEnd> Commits::RunOnePhase(Job* job) {
  ++stats_.one_phase;
  CommitEnd end;
  end.outcome = CommitOutcome::kCommitted;
  std::vector<OpenPart>& parts = job->work.parts;
  std::stable_sort(parts.begin(), parts.end(),
                   [](const OpenPart& a, const OpenPart& b) { return a.session->wrote() > b.session->wrote(); });
  for (OpenPart& part : parts) {
    const bool wrote = part.session->wrote();
    CommitOptions options;
    if (wrote) {
      job->writers = {job->NameOf(part.shard)};
      options = job->DecisionOptions();
    }
    CallContext ctx(loop_);
    ctx.deadline = loop_.Now() + timeout_;
    const absl::Status status = co_await part.session->Commit(options, ctx);
    if (status.ok() || (!wrote && &part != &parts.front())) continue;
    end.status = OnShard(status, job->NameOf(part.shard));
    end.outcome = CommitOutcome::kRolledBack;
    if (wrote && ResultOf(status) == CommitEvent::Result::kUnknown) {
      end.outcome = CommitOutcome::kInDoubt;
      end.status = InDoubt(job->work.transaction_id, std::string(status.message()));
    }
    break;
  }
  co_return end;
}

void Commits::Carry(Job* job, std::vector<CommitAction> actions) {
  for (CommitAction& action : actions) {
    if (action.kind == CommitAction::Kind::kRollBack) {
      job->session(action.shard).reset();
    } else if (action.kind == CommitAction::Kind::kEnd) {
      job->ended = true;
    } else if (action.kind == CommitAction::Kind::kAnswer) {
      CommitEnd end;
      end.outcome = action.outcome;
      if (action.outcome == CommitOutcome::kRolledBack) end.status = action.cause;
      if (action.outcome == CommitOutcome::kInDoubt) end.status = InDoubt(job->work.transaction_id, "its home shard does not answer");
      if (action.outcome == CommitOutcome::kRolledBack) ++stats_.rolled_back;
      if (action.outcome == CommitOutcome::kCommittedUnfinished) ++stats_.unfinished;
      job->Tell(std::move(end));
    } else {
      job->running.emplace_back(Perform(job, std::move(action)), [job](CommitEvent event) {
        job->events.push_back(std::move(event));
        if (job->wake.has_value()) job->wake->Set(true);
      });
    }
  }
}

Async<CommitEnd> Commits::Drive(Job* job) {
  ++stats_.two_phase;
  Carry(job, job->machine->Start());
  while (!job->ended) {
    if (job->events.empty()) {
      Completer<bool> wake(loop_);
      job->wake = wake;
      Future<bool> woken = wake.future();
      co_await woken;
      job->wake.reset();
      continue;
    }
    const CommitEvent event = std::move(job->events.front());
    job->events.pop_front();
    Carry(job, job->machine->On(event));
  }
  if (job->machine->contradicted()) ++stats_.contradicted;
  co_return job->EndNow("its home shard does not answer");
}

Async<absl::Status> Commits::Prepare(Job* job, ShardId shard, bool* refused, const CallContext& ctx) {
  Session& session = *job->session(shard);
  if (!job->IsLast(shard)) {
    const absl::Status prepared = co_await session.Prepare(job->name, ctx);
    co_return prepared;
  }
  const LastPart& last = *job->work.last;
  CallContext bounded(loop_);
  bounded.deadline = last.deadline;
  bounded.stage = Stage::kQuery;
  PreparedTask done = co_await session.RunAndPrepare(last.task, job->name, bounded);
  if (!done.status.ok()) co_return done.status;
  *refused = !done.result.ok();
  if (*refused) co_return done.result.status();
  if (last.reply) job->work.reply = last.reply(*done.result);
  job->last = *std::move(done.result);
  co_return absl::OkStatus();
}

Async<CommitEvent> Commits::Perform(Job* job, CommitAction action) {
  CommitEvent event;
  event.shard = action.shard;
  if (action.after > absl::ZeroDuration()) {
    SleepUntil pause(loop_, loop_.Now() + random_.NextUnit() * action.after);
    co_await pause;
  }
  CallContext ctx(loop_);
  ctx.deadline = loop_.Now() + timeout_;
  ctx.stage = Stage::kCommit;
  absl::Status status;
  bool refused = false;
  switch (action.kind) {
    case CommitAction::Kind::kPassGate:
      event.kind = CommitEvent::Kind::kGatePassed;
      status = QUARRY_FAILPOINT("commit.before_pass_gate");
      if (status.ok()) status = co_await job->session(action.shard)->PassGate(ctx);
      QUARRY_FAILPOINT("commit.after_pass_gate").IgnoreError();
      break;
    case CommitAction::Kind::kPrepare:
      event.kind = CommitEvent::Kind::kPrepared;
      status = QUARRY_FAILPOINT("commit.before_prepare");
      if (status.ok()) status = co_await Prepare(job, action.shard, &refused, ctx);
      QUARRY_FAILPOINT("commit.after_prepare").IgnoreError();
      break;
    case CommitAction::Kind::kDecide: {
      event.kind = CommitEvent::Kind::kDecided;
      const CommitOptions options = job->DecisionOptions();
      status = QUARRY_FAILPOINT("commit.before_decide");
      if (status.ok()) status = co_await job->session(action.shard)->Commit(options, ctx);
      const absl::Status lost = QUARRY_FAILPOINT("commit.after_decide");
      if (!lost.ok()) status = absl::UnknownError(lost.message());  // Its answer never came.
      break;
    }
    case CommitAction::Kind::kCommitReader:
      event.kind = CommitEvent::Kind::kReaderCommitted;
      status = QUARRY_FAILPOINT("commit.before_commit_reader");
      if (status.ok()) status = co_await job->session(action.shard)->Commit(kPlainCommit, ctx);
      QUARRY_FAILPOINT("commit.after_commit_reader").IgnoreError();
      break;
    case CommitAction::Kind::kSettle: {
      event.kind = CommitEvent::Kind::kSettled;
      QUARRY_FAILPOINT("commit.before_settle").IgnoreError();
      const absl::StatusOr<Decision> stands =
          co_await job->two_phase(action.shard).DecideAbort(job->work.transaction_id, ctx);
      QUARRY_FAILPOINT("commit.after_settle").IgnoreError();
      status = stands.status();
      if (stands.ok()) event.verdict = stands->verdict;
      break;
    }
    case CommitAction::Kind::kFinish: {
      event.kind = CommitEvent::Kind::kFinished;
      // Its session is over, prepared or not.
      job->session(action.shard).reset();
      status = QUARRY_FAILPOINT("commit.before_finish");
      if (!status.ok()) break;
      const absl::StatusOr<BranchEnd> end =
          co_await job->two_phase(action.shard).Finish(job->name, action.verdict, ctx);
      QUARRY_FAILPOINT("commit.after_finish").IgnoreError();
      status = end.status();
      if (end.ok()) event.end = *end;
      break;
    }
    case CommitAction::Kind::kRollBack:
    case CommitAction::Kind::kAnswer:
    case CommitAction::Kind::kEnd:
      break;  // Carry has done these.
  }
  event.result = refused ? CommitEvent::Result::kRefused : ResultOf(status);
  // What is prepared says kUnknown when its deadline ends.
  if (event.kind == CommitEvent::Kind::kPrepared && absl::IsDeadlineExceeded(status)) event.result = CommitEvent::Result::kFailed;
  if (!status.ok()) event.status = OnShard(status, job->NameOf(action.shard));
  co_return event;
}

namespace {

Async<absl::StatusOr<bool>> CheckOne(TwoPhase& shard, const std::string& name, const CallContext& ctx) {
  const absl::Status status = co_await shard.Check(ctx);
  if (!status.ok()) co_return OnShard(status, name);
  co_return true;
}

}  // namespace

Async<absl::Status> CheckTwoPhase(std::vector<ShardParty> parties, const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (const ShardParty& party : parties) work.push_back(CheckOne(party.backend->two_phase(), party.name, ctx));
  const GatherOptions options;
  const std::vector<absl::StatusOr<bool>> answers = co_await Gather(ctx.loop, std::move(work), options);
  for (const absl::StatusOr<bool>& answer : answers) {
    if (!answer.ok() && !absl::IsCancelled(answer.status())) co_return answer.status();
  }
  co_return absl::OkStatus();
}

}  // namespace quarry
