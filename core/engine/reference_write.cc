#include "core/engine/reference_write.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/engine/generated_keys.h"
#include "core/engine/scatter.h"
#include "core/txn/transactions.h"

namespace quarry {
namespace {

// How long a decision goes on after its caller has gone.
constexpr absl::Duration kDecisionTimeout = absl::Seconds(30);

Async<absl::StatusOr<bool>> PingOne(Backend& shard, const std::string& name, const CallContext& ctx) {
  const absl::Status status = co_await shard.Ping(ctx);
  if (!status.ok()) co_return OnShard(status, name);
  co_return true;
}

absl::Status NotAllAnswer(const absl::Status& cause) {
  return WithMessage(cause, absl::StrCat("a reference table is written on every shard or not at all, and one does not "
                                         "answer: ", std::string(cause.message())));
}

Async<absl::Status> PingAll(const ReferenceWriteParts& parts, const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<bool>>> work;
  for (size_t i = 0; i < parts.shards.size(); ++i) {
    work.push_back(PingOne(*parts.shards[i], parts.topology.name(ShardId(i)), ctx));
  }
  const GatherOptions options;
  const std::vector<absl::StatusOr<bool>> answers = co_await Gather(ctx.loop, std::move(work), options);
  for (const absl::StatusOr<bool>& answer : answers) {
    // The ones that were dropped because of the first say nothing.
    if (!answer.ok() && !absl::IsCancelled(answer.status())) co_return NotAllAnswer(answer.status());
  }
  co_return absl::OkStatus();
}

// One shard's open part of the write.
struct OpenPart {
  ShardId shard{};
  std::unique_ptr<Session> session;
};

absl::Status Diverged(const absl::Status& cause, const std::string& shard) {
  return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                   absl::StrCat("the write is committed on some shards, but its commit on shard ", shard,
                                " was not confirmed (", std::string(cause.message()),
                                "); read the row on every shard and write it again under a new request_id"),
                   {{"shard", shard}});
}

absl::Status Undecided(const absl::Status& cause, const std::string& shard) {
  return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                   absl::StrCat("the write is on no shard, or on shard ", shard, " alone, which did not confirm it (",
                                std::string(cause.message()),
                                "); read the row on every shard and write it again under a new request_id"),
                   {{"shard", shard}});
}

// The first shard's answers, and which writes go on to the others.
struct FirstAnswers {
  TaskResult result;
  std::vector<size_t> applied;  // Indexes of writes.
};

Async<absl::StatusOr<FirstAnswers>> RunFirst(const std::vector<ReferenceWrite>& writes, Atomicity atomicity,
                                             Session& session, const std::string& shard, const CallContext& ctx) {
  FirstAnswers answers;
  for (size_t i = 0; i < writes.size(); ++i) {
    absl::StatusOr<StepResult> answer = co_await session.Execute(writes[i].step, ctx);
    StepResult kept;
    if (answer.ok() && writes[i].kind != MutationKind::kDelete && answer->statements.back().batch.rows.empty()) {
      co_return MakeError(absl::StatusCode::kInternal, reason::kDatabaseError,
                          absl::StrCat("shard ", shard, ": table ", writes[i].table->name(), " gave no row back, so "
                                       "the other shards cannot be given the same; does a trigger drop it?"),
                          {{"shard", shard}, {"item", absl::StrCat(writes[i].item)}});
    }
    if (answer.ok()) {
      kept = *std::move(answer);
      answers.applied.push_back(i);
    } else if (atomicity == Atomicity::kAll || EndsTransaction(answer.status())) {
      co_return WithFact(OnShard(answer.status(), shard), "item", absl::StrCat(writes[i].item));
    } else {
      kept.status = OnShard(answer.status(), shard);
    }
    answers.result.steps.push_back(std::move(kept));
  }
  co_return answers;
}

std::vector<Step> ReplicaSteps(const std::vector<ReferenceWrite>& writes, const FirstAnswers& answers,
                               Dialect dialect, Planner& planner) {
  std::vector<Step> steps;
  for (const size_t i : answers.applied) {
    const std::vector<Row>& rows = answers.result.steps[i].statements.back().batch.rows;
    steps.push_back(planner.ReplicaStep(writes[i], rows.empty() ? Row() : rows.front(), dialect, false));
  }
  return steps;
}

// Shard 0 may hold another part of the same request, of a sharded table, under the request's own id.
RequestGuard GuardOf(const WriteOperation& op) { return {RequestIdOfPart(op.request_id, 'f'), op.request_hash}; }

Step NoRowsStep(uint32_t item) {
  Step step;
  step.item = item;
  Statement& statement = step.statements.emplace_back();
  statement.sql = std::make_shared<const std::string>("SELECT 1 WHERE 1 = 0");
  statement.returns_rows = true;
  statement.writes = true;
  return step;
}

// Shard 0's part holds a step for every write and returns its row, for it is the stored reply. A write that was
// refused leaves a step without rows.
Task HomeTask(const std::vector<ReferenceWrite>& writes, const FirstAnswers& answers, const WriteOperation& op,
              const ReferenceWriteParts& parts) {
  Task home;
  if (!op.request_id.empty()) home.guard = GuardOf(op);
  for (const ReferenceWrite& write : writes) home.steps.push_back(NoRowsStep(write.item));
  for (const size_t i : answers.applied) {
    const std::vector<Row>& rows = answers.result.steps[i].statements.back().batch.rows;
    home.steps[i] = parts.planner.ReplicaStep(writes[i], rows.empty() ? Row() : rows.front(),
                                              parts.topology.shards()[0].dialect, true);
  }
  return home;
}

TaskResult FromStoredReply(TaskResult stored) {
  stored.replayed = true;
  for (StepResult& step : stored.steps) {
    if (!step.statements.empty() && !step.statements.back().batch.rows.empty()) continue;
    step.statements.clear();
    step.status = MakeError(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation,
                            "an earlier try of this request has refused this item; send it under a new request_id "
                            "to see why");
  }
  return stored;
}

// The stored reply of an earlier try; nullopt when there is none. Asked before the write, which would now run into
// what the earlier try has written. The probe's own step never succeeds, so nothing is stored by it.
Async<absl::StatusOr<std::optional<TaskResult>>> FindStoredReply(const WriteOperation& op,
                                                                 const ReferenceWriteParts& parts,
                                                                 const CallContext& ctx) {
  Task probe;
  probe.guard = GuardOf(op);
  probe.steps.push_back(NoRowsStep(0));
  probe.steps[0].statements[0].check.kind = Check::Kind::kRowRequired;
  absl::StatusOr<TaskResult> answer = co_await parts.shards[0]->Execute(probe, ctx);
  std::optional<TaskResult> stored;
  if (answer.ok()) {
    stored = FromStoredReply(*std::move(answer));
  } else if (ReasonOf(answer.status()) != reason::kRowNotFound) {
    co_return OnShard(answer.status(), parts.topology.name(ShardId{0}));
  }
  co_return stored;
}

}  // namespace

struct ReferenceDecisions::Job {
  Job(Loop& loop, Backend& decider) : ctx(loop), home_backend(decider), done(loop) {}
  CallContext ctx;
  Backend& home_backend;
  Task home;
  std::vector<OpenPart> open;
  std::vector<std::string> names;  // Of all shards: the caller's topology may be gone.
  Completer<absl::StatusOr<TaskResult>> done;
  Running running;
};

ReferenceDecisions::ReferenceDecisions() : jobs_(std::make_shared<Jobs>()) {}
ReferenceDecisions::~ReferenceDecisions() { jobs_.reset(); }

namespace {

// Shard 0's answer to its part, once every other shard has committed.
Async<absl::StatusOr<TaskResult>> Decide(ReferenceDecisions::Job* job) {
  absl::StatusOr<TaskResult> decided = co_await job->home_backend.Execute(job->home, job->ctx);
  std::vector<OpenPart> open = std::move(job->open);
  if (absl::IsUnknown(decided.status()) || absl::IsDeadlineExceeded(decided.status())) {
    co_return Undecided(decided.status(), job->names[0]);
  }
  if (!decided.ok()) co_return OnShard(decided.status(), job->names[0]);
  // The earlier try has written everywhere; what this one has open is rolled back as it goes.
  if (decided->replayed) co_return decided;
  absl::Status diverged;
  for (OpenPart& part : open) {
    const absl::Status status = co_await part.session->Commit(job->ctx);
    if (!status.ok() && diverged.ok()) diverged = Diverged(status, job->names[Index(part.shard)]);
  }
  QUARRY_CO_RETURN_IF_ERROR(diverged);
  co_return decided;
}

Async<absl::StatusOr<TaskResult>> StartDecision(Task home, std::vector<OpenPart> open,
                                                const ReferenceWriteParts& parts, const CallContext& ctx) {
  ReferenceDecisions::Jobs& jobs = *parts.decisions.jobs();
  const auto job = jobs.insert(jobs.end(), std::make_unique<ReferenceDecisions::Job>(ctx.loop, *parts.shards[0]));
  ReferenceDecisions::Job* const work = job->get();
  work->ctx.deadline = ctx.loop.Now() + kDecisionTimeout;
  work->ctx.call_id = ctx.call_id;
  work->home = std::move(home);
  work->open = std::move(open);
  for (const Shard& shard : parts.topology.shards()) work->names.push_back(shard.name);
  Completer<absl::StatusOr<TaskResult>> done = work->done;
  Future<absl::StatusOr<TaskResult>> outcome = done.future();
  Loop* const loop = &ctx.loop;
  const std::weak_ptr<ReferenceDecisions::Jobs> owner = parts.decisions.jobs();
  work->running = Running(Decide(work), [loop, owner, job, done](absl::StatusOr<TaskResult> result) mutable {
    done.Set(std::move(result));
    loop->Defer([owner, job] {
      if (const std::shared_ptr<ReferenceDecisions::Jobs> alive = owner.lock()) alive->erase(job);
    });
  });
  const Timer timer(ctx.loop, ctx.deadline, [done, name = parts.topology.name(ShardId{0})]() mutable {
    done.Set(Undecided(absl::DeadlineExceededError("the deadline ended"), name));
  });
  co_return co_await outcome;
}

}  // namespace

Async<absl::StatusOr<TaskResult>> RunReferenceWrites(const std::vector<ReferenceWrite>& writes,
                                                     const WriteOperation& op, const ReferenceWriteParts& parts,
                                                     const CallContext& ctx) {
  if (!op.request_id.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(std::optional<TaskResult> stored, co_await FindStoredReply(op, parts, ctx));
    if (stored.has_value()) co_return *std::move(stored);
  }
  QUARRY_CO_RETURN_IF_ERROR(co_await PingAll(parts, ctx));
  // Ascending from shard 1, so that writers of one row queue up on the same shard; shard 0 comes last and decides.
  std::vector<OpenPart> open;
  FirstAnswers answers;
  const SessionOptions options;
  for (size_t i = 1; i < parts.shards.size(); ++i) {
    const Shard& shard = parts.topology.shards()[i];
    absl::StatusOr<std::unique_ptr<Session>> session = co_await parts.shards[i]->Lease(options, ctx);
    if (!session.ok()) co_return OnShard(session.status(), shard.name);
    OpenPart part;
    part.shard = shard.id;
    part.session = *std::move(session);
    if (open.empty()) {
      absl::StatusOr<FirstAnswers> first = co_await RunFirst(writes, op.atomicity, *part.session, shard.name, ctx);
      if (!first.ok()) co_return first.status();
      answers = *std::move(first);
      if (answers.applied.empty()) co_return answers.result;
    } else {
      const std::vector<Step> steps = ReplicaSteps(writes, answers, shard.dialect, parts.planner);
      for (const Step& step : steps) {
        const absl::StatusOr<StepResult> answer = co_await part.session->Execute(step, ctx);
        if (!answer.ok()) co_return OnShard(answer.status(), shard.name);
      }
    }
    open.push_back(std::move(part));
  }
  Task home = HomeTask(writes, answers, op, parts);
  absl::StatusOr<TaskResult> decided = co_await StartDecision(std::move(home), std::move(open), parts, ctx);
  if (!decided.ok()) co_return decided.status();
  if (decided->replayed) co_return FromStoredReply(*std::move(decided));
  co_return answers.result;
}

}  // namespace quarry
