#include "core/engine/reference_write.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/engine/scatter.h"

namespace quarry {
namespace {

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
                                "); read the row on every shard and write it again"),
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
    if (answer.ok()) {
      kept = *std::move(answer);
      answers.applied.push_back(i);
    } else if (atomicity == Atomicity::kAll || absl::IsUnavailable(answer.status()) ||
               absl::IsUnknown(answer.status()) || absl::IsAborted(answer.status())) {
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
    steps.push_back(planner.ReplicaStep(writes[i], rows.empty() ? Row() : rows.front(), dialect));
  }
  return steps;
}

Async<absl::Status> CommitAll(std::vector<OpenPart>& open, const Topology& topology, const CallContext& ctx) {
  absl::Status first;
  for (OpenPart& part : open) {
    const absl::Status status = co_await part.session->Commit(ctx);
    if (!status.ok() && first.ok()) first = Diverged(status, topology.name(part.shard));
  }
  co_return first;
}

}  // namespace

Async<absl::StatusOr<TaskResult>> RunReferenceWrites(const std::vector<ReferenceWrite>& writes,
                                                     const WriteOperation& op, const ReferenceWriteParts& parts,
                                                     const CallContext& ctx) {
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
    } else {
      const std::vector<Step> steps = ReplicaSteps(writes, answers, shard.dialect, parts.planner);
      for (const Step& step : steps) {
        const absl::StatusOr<StepResult> answer = co_await part.session->Execute(step, ctx);
        if (!answer.ok()) co_return OnShard(answer.status(), shard.name);
      }
    }
    open.push_back(std::move(part));
  }
  if (answers.applied.empty()) co_return answers.result;

  Task home;
  home.steps = ReplicaSteps(writes, answers, parts.topology.shards()[0].dialect, parts.planner);
  if (!op.request_id.empty()) home.guard = RequestGuard{op.request_id, op.request_hash};
  const absl::StatusOr<TaskResult> decided = co_await parts.shards[0]->Execute(home, ctx);
  if (!decided.ok()) co_return OnShard(decided.status(), parts.topology.name(ShardId{0}));
  if (decided->replayed) {
    // The earlier try has written everywhere; what this one has open is rolled back as it goes.
    answers.result.replayed = true;
    co_return answers.result;
  }
  QUARRY_CO_RETURN_IF_ERROR(co_await CommitAll(open, parts.topology, ctx));
  co_return answers.result;
}

}  // namespace quarry
