#include "core/engine/engine.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/generated_keys.h"
#include "core/engine/scatter.h"
#include "core/engine/shard_timer.h"
#include "core/plan/route.h"
#include "core/txn/transaction_id.h"

namespace quarry {
namespace {

const std::string kNoTransaction;

PlanLimits ToPlanLimits(const EngineLimits& limits) {
  PlanLimits plan;
  plan.batch_items_max = limits.batch_items_max;
  plan.row_bytes_max = limits.row_bytes_max;
  return plan;
}

ServedBy Served(const std::vector<Task>& tasks, const Snapshot& snapshot) {
  ServedBy served;
  served.epoch = snapshot.topology.epoch();
  for (const Task& task : tasks) served.asked.push_back(task.shard);
  return served;
}

// Keys whose shard failed are unanswered, not missing.
ReadResult MergeAnswers(const ReadPlan& plan, std::vector<absl::StatusOr<TaskResult>> answers,
                        const Snapshot& snapshot) {
  ServedBy served = Served(plan.tasks, snapshot);
  std::vector<std::pair<ShardId, absl::Status>> failed;
  std::vector<uint32_t> unanswered;
  std::vector<TaskResult> parts;
  for (size_t i = 0; i < answers.size(); ++i) {
    const ShardId shard = plan.tasks[i].shard;
    if (answers[i].ok()) {
      served.answered.push_back(shard);
      parts.push_back(*std::move(answers[i]));
      continue;
    }
    parts.emplace_back();
    failed.emplace_back(shard, answers[i].status());
    const ReadTaskMerge& asked = plan.merge.tasks[i];
    unanswered.insert(unanswered.end(), asked.items.begin(), asked.items.end());
    for (const auto& [bytes, items] : asked.items_by_key) {
      unanswered.insert(unanswered.end(), items.begin(), items.end());
    }
  }
  ReadResult result = MergeRead(plan.merge, std::move(parts));
  std::sort(unanswered.begin(), unanswered.end());
  std::erase_if(result.missing, [&unanswered](uint32_t item) {
    return std::binary_search(unanswered.begin(), unanswered.end(), item);
  });
  result.failed = std::move(failed);
  result.unanswered = std::move(unanswered);
  result.served_by = std::move(served);
  return result;
}

// The shard key of a whole primary key, or of the shard-key columns alone.
absl::StatusOr<Key> CheckShardKey(const Table& table, const KeyInput& input) {
  Key key;
  const std::vector<size_t>& columns = table.shard_key();
  const bool alone = !columns.empty() && input.by_name.size() == columns.size();
  for (const size_t column : columns) {
    const auto given = input.by_name.find(table.columns()[column].name);
    if (!alone || given == input.by_name.end()) {
      key.clear();
      break;
    }
    QUARRY_ASSIGN_OR_RETURN(Value value, CheckValue(table.columns()[column], given->second));
    key.push_back(std::move(value));
  }
  if (!key.empty()) return key;
  QUARRY_ASSIGN_OR_RETURN(const Key primary_key, CheckKey(table, input, "key"));
  return table.kind() == TableKind::kSharded ? ShardKeyOf(table, primary_key) : Key();
}

absl::Status CheckReplySize(const ReadResult& result, int64_t reply_bytes_max) {
  int64_t size = 0;
  for (const KeyedRow& found : result.found) {
    int64_t row_size = 0;
    for (const Value& value : found.row) row_size += static_cast<int64_t>(ByteSize(value));
    size += row_size;
    if (size <= reply_bytes_max) continue;
    return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                     absl::StrCat("the reply would pass ", reply_bytes_max, " bytes (limits.reply_bytes) at keys[",
                                  found.item, "], whose row has ", row_size,
                                  " bytes; ask for fewer keys or fewer columns"),
                     {{"item", absl::StrCat(found.item)}, {"row_bytes", absl::StrCat(row_size)}});
  }
  return absl::OkStatus();
}

}  // namespace

Engine::Parts Engine::WithDefaults(Parts parts) {
  if (parts.cache_shared == nullptr) parts.cache_shared = std::make_shared<ResultCacheShared>();
  if (parts.locks.shared == nullptr) parts.locks.shared = std::make_shared<LockShared>();
  if (parts.sealer == nullptr) {
    SystemRandom random;
    parts.sealer = std::make_shared<const Sealer>(absl::StrCat(random.Next(), " ", random.Next(), " ", random.Next()));
  }
  parts.transactions.instance = parts.instance;
  return parts;
}

Engine::Engine(Loop& loop, Parts parts)
    : loop_(loop),
      parts_(WithDefaults(std::move(parts))),
      ids_(parts_.id_node, random_),
      planner_(ToPlanLimits(parts_.limits)),
      cache_(*parts_.cache_shared, parts_.cache),
      directory_(parts_.shards),
      commits_(loop, random_, parts_.transactions.commit_timeout),
      cuts_(loop, random_, SnapshotCutOptions()),
      merged_lists_(
          loop, [this](const ListOperation& op, const CallContext& ctx) { return ListNow(op, kNoTransaction, ctx); },
          parts_.cache_shared->merged),
      merged_aggregates_(
          loop, [this](const AggregateOperation& op, const CallContext& ctx) { return AggregateNow(op, kNoTransaction, ctx); },
          parts_.cache_shared->merged),
      transactions_(loop, random_, parts_.loop_index, parts_.transactions, [this] { return Parties(); }, commits_, cuts_) {
  if (!parts_.recovery.has_value()) return;
  recovery_.emplace(loop, *parts_.recovery, [this] { return Parties(); }, parts_.recovery_listener);
  recovery_->Start();
}

Engine::~Engine() = default;

Async<absl::StatusOr<ReadResult>> Engine::ReadNow(const ReadOperation& op, const std::string& transaction_id,
                                                  const CallContext& ctx) {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();  // A reload never splits one call.
  ctx.stage = Stage::kPlan;
  std::optional<ShardId> pinned;
  if (!transaction_id.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(const std::vector<ShardId> taken, transactions_.ShardsOf(transaction_id));
    pinned = taken.empty() ? ShardId{0} : taken.front();
  }
  const ShardId spread{spread_++ % static_cast<uint32_t>(now->topology.shards().size())};
  QUARRY_CO_ASSIGN_OR_RETURN(ReadPlan plan, planner_.PlanRead(op, now, pinned, spread));
  if (plan.unplaced) {
    QUARRY_CO_ASSIGN_OR_RETURN(plan, co_await PlanReadAgain(std::move(plan), op, now, pinned, spread, ctx));
  }
  // Of a transaction every shard must answer.
  const bool partial = op.allow_partial && transaction_id.empty();
  if (!transaction_id.empty()) {
    std::vector<ShardId> shards;
    for (const Task& task : plan.tasks) shards.push_back(task.shard);
    QUARRY_CO_RETURN_IF_ERROR(co_await Cut(transaction_id, std::move(shards), ctx));
  }
  std::vector<absl::StatusOr<TaskResult>> answers = co_await RunTasks(plan.tasks, transaction_id, !partial, ctx);

  const absl::Status failure = FirstFailure(answers);
  if (absl::IsUnavailable(failure) && !plan.alternates.empty()) {
    co_return co_await ReadElsewhere(std::move(plan), failure, *now, ctx);
  }
  if (!failure.ok() && !partial) co_return failure;
  ctx.stage = Stage::kMerge;
  ReadResult result = MergeAnswers(plan, std::move(answers), *now);
  result.served_by.level = LevelOf(transaction_id);
  QUARRY_CO_RETURN_IF_ERROR(CheckReplySize(result, parts_.limits.reply_bytes_max));
  co_return result;
}

// A reference table's rows are on every shard: the next that answers will do.
Async<absl::StatusOr<ReadResult>> Engine::ReadElsewhere(ReadPlan plan, absl::Status first, const Snapshot& snapshot,
                                                        const CallContext& ctx) {
  const Dialect planned_for = snapshot.topology.shard(plan.tasks.front().shard).dialect;
  ServedBy served = Served(plan.tasks, snapshot);
  for (const ShardId shard : plan.alternates) {
    // The plan's SQL is of one dialect.
    if (snapshot.topology.shard(shard).dialect != planned_for) continue;
    plan.tasks.front().shard = shard;
    served.asked.push_back(shard);
    absl::StatusOr<TaskResult> answer = co_await RunTask(plan.tasks.front(), "", ctx);
    if (!answer.ok()) continue;
    served.answered.push_back(shard);
    std::vector<TaskResult> parts;
    parts.push_back(*std::move(answer));
    ReadResult result = MergeRead(plan.merge, std::move(parts));
    QUARRY_CO_RETURN_IF_ERROR(CheckReplySize(result, parts_.limits.reply_bytes_max));
    result.served_by = std::move(served);
    result.served_by.level = ReadLevel::kReadYourWrites;
    co_return result;
  }
  co_return first;
}

WriteNote Engine::NoteOfWrite(const WriteOperation& op, const WritePlan& plan, const Snapshot& snapshot) {
  std::vector<std::string> tables;
  std::vector<ShardId> shards;
  if (snapshot.catalog.keeps_answers()) {
    for (const Mutation& mutation : op.mutations) tables.push_back(mutation.table);
    std::sort(tables.begin(), tables.end());
    tables.erase(std::unique(tables.begin(), tables.end()), tables.end());
    for (const Task& task : plan.tasks) shards.push_back(task.shard);
    if (!plan.reference_writes.empty()) {
      shards.clear();
      for (const Shard& shard : snapshot.topology.shards()) shards.push_back(shard.id);
    }
  }
  return NoteOf(tables, shards, snapshot);
}

// A key that a lookup resolver does not know yet is looked up in its directory, then the plan is made again.
Async<absl::StatusOr<ReadPlan>> Engine::PlanReadAgain(ReadPlan plan, const ReadOperation& op,
                                                      std::shared_ptr<const Snapshot> snapshot,
                                                      std::optional<ShardId> pinned, ShardId spread,
                                                      const CallContext& ctx) {
  const std::vector<DirectoryKey> keys = KeysToLookUp(op, *snapshot);
  if (keys.empty()) co_return plan;
  QUARRY_CO_RETURN_IF_ERROR(co_await directory_.Learn(keys, *snapshot, ctx));
  co_return planner_.PlanRead(op, snapshot, pinned, spread);
}

Async<absl::StatusOr<WritePlan>> Engine::PlanWriteWithDirectory(const WriteOperation& op,
                                                                std::shared_ptr<const Snapshot> snapshot,
                                                                const CallContext& ctx) {
  absl::StatusOr<WritePlan> plan = planner_.PlanWrite(op, snapshot);
  const bool unmapped =
      plan.ok() ? std::any_of(plan->refused.begin(), plan->refused.end(),
                              [](const auto& item) { return ReasonOf(item.second) == reason::kKeyNotMapped; })
                : ReasonOf(plan.status()) == reason::kKeyNotMapped;
  if (!unmapped) co_return plan;
  const std::vector<DirectoryKey> keys = KeysToLookUp(op, *snapshot);
  QUARRY_CO_RETURN_IF_ERROR(co_await directory_.Learn(keys, *snapshot, ctx));
  co_return planner_.PlanWrite(op, snapshot);
}

absl::Status Engine::Generate(WriteOperation& op) {
  for (size_t item = 0; item < op.mutations.size(); ++item) {
    Mutation& mutation = op.mutations[item];
    for (const GeneratedColumn& column : mutation.generate) {
      const std::string path = op.indexed_paths ? absl::StrCat("mutations[", item, "].generate") : "generate";
      // As text, which the catalog turns into what the column holds.
      Value value = column.kind == GeneratedKind::kUuidV7 ? Value::Text(ids_.UuidV7(loop_.Now()))
                                                          : Value::Int64(ids_.Int64(loop_.Now()));
      if (mutation.record.emplace(column.column, std::move(value)).second) continue;
      return InvalidField(path, absl::StrCat("column ", column.column, " is in the record as well; give one of both"));
    }
  }
  return absl::OkStatus();
}

Async<absl::StatusOr<TaskResult>> Engine::RunTask(const Task& task, const std::string& transaction_id,
                                                  const CallContext& ctx) {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  absl::StatusOr<TaskResult> result = absl::UnknownError("");
  const ShardTimer timer(ctx, task.shard);
  if (transaction_id.empty()) {
    result = co_await parts_.shards[Index(task.shard)]->Execute(task, ctx);
  } else {
    result = co_await transactions_.Execute(transaction_id, task, ctx);
  }
  const std::string& name = now->topology.name(task.shard);
  if (!result.ok()) co_return OnShard(result.status(), name);
  for (StepResult& step : result->steps) {
    if (!step.status.ok()) step.status = OnShard(step.status, name);
  }
  co_return result;
}

Async<std::vector<absl::StatusOr<TaskResult>>> Engine::RunTasks(const std::vector<Task>& tasks,
                                                                const std::string& transaction_id,
                                                                bool stop_at_first_error, const CallContext& ctx) {
  std::vector<absl::StatusOr<TaskResult>> results;
  // The common case pays for no fan-out.
  if (tasks.size() == 1) {
    results.push_back(co_await RunTask(tasks.front(), transaction_id, ctx));
    if (results.front().ok()) CountShardRows(ctx, tasks.front().shard, *results.front());
    co_return results;
  }
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  if (!transaction_id.empty()) {
    results = co_await transactions_.ExecuteReads(transaction_id, tasks, ctx);
    for (size_t i = 0; i < results.size(); ++i) {
      if (!results[i].ok()) results[i] = OnShard(results[i].status(), now->topology.name(tasks[i].shard));
    }
    co_return results;
  }
  ScatterOptions options;
  options.width = parts_.limits.scatter_width;
  options.stop_at_first_error = stop_at_first_error;
  results = co_await Scatter(tasks, parts_.shards, now->topology, options, ctx);
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].ok()) CountShardRows(ctx, tasks[i].shard, *results[i]);
  }
  co_return results;
}

Async<absl::StatusOr<std::unique_ptr<SqlStream>>> Engine::RunSql(const RawSqlOperation& op, bool stop_at_first_error,
                                                                 const std::string& transaction_id,
                                                                 const CallContext& ctx) {
  if (!parts_.limits.raw_sql_allowed) {
    co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kRawSqlDisabled,
                        "raw SQL is switched off here (raw_sql.enabled)");
  }
  if (!transaction_id.empty() && !op.allow_writes) {
    QUARRY_CO_ASSIGN_OR_RETURN(const bool read_only, transactions_.ReadOnly(transaction_id));
    if (!read_only) {
      co_return InvalidField("allow_writes", "raw SQL in a transaction that may write needs allow_writes = true");
    }
  }
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  SqlRun run{op, ctx, {}, {}, 1, stop_at_first_error, parts_.limits.reply_bytes_max, nullptr, nullptr};
  if (op.allow_writes && now->catalog.keeps_answers()) run.versions = &parts_.cache_shared->versions;
  std::vector<ShardId> taken;
  if (!transaction_id.empty() && op.target.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(taken, transactions_.ShardsOf(transaction_id));
  }
  if (taken.size() == 1) {
    run.shards = std::move(taken);
  } else {
    QUARRY_CO_ASSIGN_OR_RETURN(run.shards, ShardsOfTarget(op.target, *now));
  }
  for (const ShardId shard : run.shards) run.backends.push_back(parts_.shards[Index(shard)].get());
  const size_t bound = parts_.limits.scatter_width;
  run.width = op.width == 0 ? bound : std::min(op.width, bound);
  if (!transaction_id.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(run.transaction, co_await transactions_.Use(transaction_id, run.shards, op.allow_writes, ctx));
  }
  co_return StartSqlStream(std::move(run));
}

absl::StatusOr<ShardId> Engine::ShardOfLocks() const {
  if (parts_.locks.shard.empty()) return ShardId{0};
  return parts_.snapshot()->topology.Find(parts_.locks.shard);
}

absl::StatusOr<LockStore*> Engine::locks() {
  if (locks_ == nullptr) {
    QUARRY_ASSIGN_OR_RETURN(const ShardId shard, ShardOfLocks());
    const Dialect dialect = parts_.snapshot()->topology.shard(shard).dialect;
    locks_ = std::make_unique<LockStore>(loop_, *parts_.shards[Index(shard)], dialect, random_, parts_.locks.options,
                                         parts_.locks.shared);
  }
  return locks_.get();
}

absl::StatusOr<std::string> Engine::Begin(const BeginOptions& options) { return transactions_.Begin(options); }

Async<absl::StatusOr<std::string>> Engine::BeginSnapshot(BeginOptions options, const CallContext& ctx) {
  options.read_only = true;
  options.snapshot = true;
  std::vector<ShardId> all;
  for (size_t shard = 0; shard < parts_.shards.size(); ++shard) all.push_back(ShardId{static_cast<uint32_t>(shard)});
  QUARRY_CO_ASSIGN_OR_RETURN(const std::string id, transactions_.Begin(options));
  const absl::Status cut = co_await Cut(id, std::move(all), ctx);
  if (!cut.ok()) co_return cut;
  co_return id;
}

absl::StatusOr<std::string> Engine::BeginOwnSnapshot() {
  BeginOptions options;
  options.read_only = true;
  options.snapshot = true;
  return transactions_.Begin(options);
}

Async<absl::Status> Engine::Cut(const std::string& transaction_id, std::vector<ShardId> shards, const CallContext& ctx) {
  if (transaction_id.empty()) co_return absl::OkStatus();
  co_return co_await transactions_.Cut(transaction_id, std::move(shards), ctx);
}

ReadLevel Engine::LevelOf(const std::string& transaction_id) const {
  if (transaction_id.empty() || !transactions_.IsSnapshot(transaction_id).value_or(false)) return ReadLevel::kReadYourWrites;
  return parts_.strict_snapshots ? ReadLevel::kStrictSnapshot : ReadLevel::kSnapshot;
}

bool Engine::OfAnotherGateway(const std::string& transaction_id) const {
  const absl::StatusOr<TransactionOwner> owner = ParseTransactionId(transaction_id);
  return owner.ok() && owner->instance != parts_.instance;
}

// A caller who asks again may have been committed by the gateway that is gone.
Async<CommitEnd> Engine::CommitOfGoneGateway(std::string transaction_id, bool kept_decision, const CallContext& ctx) {
  CommitEnd end;
  const absl::StatusOr<TransactionFate> fate = co_await OutcomeOf(transaction_id, kept_decision, ctx);
  if (fate.ok() && fate->state == TransactionState::kCommitted) {
    end.outcome = fate->unfinished.empty() ? CommitOutcome::kCommitted : CommitOutcome::kCommittedUnfinished;
  } else if (fate.ok() && fate->state == TransactionState::kRolledBack) {
    end.status = MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                           absl::StrCat("the gateway that ran transaction ", transaction_id, " is gone and had not committed it; "
                                        "run it again"),
                           {{"transaction", transaction_id}});
  } else {
    const std::string why = fate.ok() ? "" : absl::StrCat(" (", std::string(fate.status().message()), ")");
    end.outcome = CommitOutcome::kInDoubt;
    end.status = MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                           absl::StrCat("the gateway that ran transaction ", transaction_id, " is gone, and no shard tells "
                                        "whether it had committed", why, "; read what it wrote before you run it again"),
                           {{"transaction", transaction_id}});
  }
  co_return end;
}

Async<CommitEnd> Engine::Commit(const std::string& transaction_id, bool keep_decision, const CallContext& ctx) {
  if (OfAnotherGateway(transaction_id)) co_return co_await CommitOfGoneGateway(transaction_id, keep_decision, ctx);
  WriteNote note(&parts_.cache_shared->versions);
  const absl::StatusOr<std::vector<ShardId>> shards = transactions_.ShardsEverOf(transaction_id);
  if (shards.ok()) {
    for (const ShardId shard : *shards) note.AddAnything(shard);
  }
  co_return co_await transactions_.Commit(transaction_id, keep_decision, ctx);
}

Async<absl::Status> Engine::Rollback(const std::string& transaction_id, const CallContext& ctx) {
  return transactions_.Rollback(transaction_id, ctx);
}

Async<absl::Status> Engine::Savepoint(const std::string& transaction_id, SavepointAction action,
                                      const std::string& name, const CallContext& ctx) {
  return transactions_.Savepoint(transaction_id, action, name, ctx);
}

absl::StatusOr<uint32_t> Engine::LoopOf(const std::string& transaction_id) {
  return Transactions::LoopOf(transaction_id);
}

Async<absl::StatusOr<RouteResult>> Engine::ResolveKey(const std::string& table_name, const KeyInput& key,
                                                      const CallContext& ctx) {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, FindTable(*now, table_name));
  QUARRY_CO_ASSIGN_OR_RETURN(const Key shard_key, CheckShardKey(*table, key));
  RouteResult result;
  result.epoch = now->topology.epoch();
  if (table->kind() == TableKind::kReference) {
    result.explanation.words = absl::StrCat("table ", table_name, " is a reference table: every shard holds the row");
    co_return result;
  }
  if (table->kind() == TableKind::kSingle) {
    QUARRY_CO_ASSIGN_OR_RETURN(result.explanation.shard, now->topology.Find(table->declaration().shard));
    result.explanation.words =
        absl::StrCat("all rows of table ", table_name, " live on shard ", table->declaration().shard);
    co_return result;
  }
  QUARRY_CO_ASSIGN_OR_RETURN(const Resolver* resolver, ResolverOf(*table, *now));
  const LookupResolver* lookup = AsLookup(*resolver);
  if (lookup != nullptr && lookup->directory().has_value() && !lookup->Resolve(shard_key).ok()) {
    std::vector<DirectoryKey> keys(1);
    keys[0].resolver = lookup;
    keys[0].shard_key = shard_key;
    QUARRY_CO_RETURN_IF_ERROR(co_await directory_.Learn(keys, *now, ctx));
  }
  QUARRY_CO_ASSIGN_OR_RETURN(result.explanation, resolver->Explain(shard_key));
  result.resolver = resolver->name();
  result.resolver_type = resolver->type();
  co_return result;
}

Async<absl::Status> Engine::MapKey(const std::string& table_name, const KeyInput& key, const std::string& shard,
                                   const CallContext& ctx) {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, FindTable(*now, table_name));
  QUARRY_CO_ASSIGN_OR_RETURN(const ShardId target, now->topology.Find(shard));
  const bool sharded = table->kind() == TableKind::kSharded;
  const LookupResolver* lookup = nullptr;
  if (sharded) {
    QUARRY_CO_ASSIGN_OR_RETURN(const Resolver* resolver, ResolverOf(*table, *now));
    lookup = AsLookup(*resolver);
  }
  if (lookup == nullptr || !lookup->directory().has_value()) {
    co_return MakeError(absl::StatusCode::kFailedPrecondition, reason::kNoDirectory,
                        absl::StrCat("table ", table_name, " has no lookup resolver with a directory to write to"),
                        {{"table", table_name}});
  }
  DirectoryKey entry;
  entry.resolver = lookup;
  QUARRY_CO_ASSIGN_OR_RETURN(entry.shard_key, CheckShardKey(*table, key));
  co_return co_await directory_.Map(entry, target, *now, ctx);
}

}  // namespace quarry
