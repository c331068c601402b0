#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"

#include "core/base/status_macros.h"
#include "core/engine/engine.h"

namespace quarry {
namespace {

// Whether the rows of one table alone decide what matches.
bool AsksOneTable(const Condition& condition) {
  if (condition.kind == Condition::Kind::kHas || condition.column.find('.') != std::string::npos) return false;
  return std::all_of(condition.children.begin(), condition.children.end(), AsksOneTable);
}

bool AsksOneTable(const std::optional<Condition>& filter) { return !filter.has_value() || AsksOneTable(*filter); }

}  // namespace

absl::Duration Engine::AgeAllowed(const Freshness& freshness, const std::string& table,
                                  const std::string& transaction_id) const {
  if (freshness.age_max <= absl::ZeroDuration() || freshness.key.empty() || !transaction_id.empty()) return absl::ZeroDuration();
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  const auto found = now->catalog.tables().find(table);
  if (!now->catalog_ready || found == now->catalog.tables().end()) return absl::ZeroDuration();
  return std::min(freshness.age_max, found->second.declaration().cache_age_max);
}

template <typename Result>
Async<absl::StatusOr<Result>> Engine::ThroughCache(std::string key, std::string table, absl::Duration age_max,
                                                   std::function<Async<absl::StatusOr<Result>>()> ask) {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  const Epoch epoch = now->topology.epoch();
  absl::Duration age;
  if (const auto kept = cache_.Find(key, epoch, age_max, loop_.Now(), &age); kept != nullptr) {
    Result result = std::get<Result>(*kept);
    result.served_by.age = age;
    result.served_by.level = ReadLevel::kPerShard;
    co_return result;
  }
  const ResultCache::Ground ground = cache_.GroundOf(std::move(table), now->topology.shards().size(), epoch, loop_.Now());
  Async<absl::StatusOr<Result>> asked = ask();
  absl::StatusOr<Result> result = co_await asked;
  const bool whole = result.ok() && result->failed.empty() && result->served_by.epoch == epoch;
  if (whole) cache_.Store(std::move(key), ground, result->served_by.asked, *result);
  co_return result;
}

template <typename Result>
Async<absl::StatusOr<Result>> Engine::InSnapshot(
    std::function<Async<absl::StatusOr<Result>>(const std::string& transaction_id)> ask) {
  QUARRY_CO_ASSIGN_OR_RETURN(const std::string id, BeginOwnSnapshot());
  // Also when the call is dropped: its sessions must not wait for the idle timer.
  const absl::Cleanup end = [this, &id] { transactions_.Forget(id); };
  Async<absl::StatusOr<Result>> asked = ask(id);
  absl::StatusOr<Result> result = co_await asked;
  co_return result;
}

Async<absl::StatusOr<ReadResult>> Engine::Read(const ReadOperation& op, const std::string& transaction_id,
                                               const CallContext& ctx) {
  if (op.snapshot && transaction_id.empty()) {
    return InSnapshot<ReadResult>([this, &op, &ctx](const std::string& id) { return ReadNow(op, id, ctx); });
  }
  const absl::Duration age_max = AgeAllowed(op.freshness, op.table, transaction_id);
  if (age_max == absl::ZeroDuration()) return ReadNow(op, transaction_id, ctx);
  return ThroughCache<ReadResult>(op.freshness.key, op.table, age_max,
                                  [this, &op, &transaction_id, &ctx] { return ReadNow(op, transaction_id, ctx); });
}

Async<absl::StatusOr<ListResult>> Engine::List(const ListOperation& op, const std::string& transaction_id,
                                               const CallContext& ctx) {
  if (op.query.snapshot && transaction_id.empty()) {
    return InSnapshot<ListResult>([this, &op, &ctx](const std::string& id) { return ListNow(op, id, ctx); });
  }
  const absl::Duration age_max = AgeAllowed(op.freshness, op.query.table, transaction_id);
  const bool alone = op.includes.empty() && AsksOneTable(op.query.filter);
  if (age_max == absl::ZeroDuration() || !alone) return ListMerged(op, transaction_id, ctx);
  return ThroughCache<ListResult>(op.freshness.key, op.query.table, age_max,
                                  [this, &op, &transaction_id, &ctx] { return ListNow(op, transaction_id, ctx); });
}

Async<absl::StatusOr<AggregateResult>> Engine::Aggregate(const AggregateOperation& op, const std::string& transaction_id,
                                                         const CallContext& ctx) {
  if (op.snapshot && transaction_id.empty()) {
    return InSnapshot<AggregateResult>([this, &op, &ctx](const std::string& id) { return AggregateNow(op, id, ctx); });
  }
  const absl::Duration age_max = AgeAllowed(op.freshness, op.table, transaction_id);
  if (age_max == absl::ZeroDuration() || !AsksOneTable(op.filter)) return AggregateMerged(op, transaction_id, ctx);
  return ThroughCache<AggregateResult>(op.freshness.key, op.table, age_max,
                                       [this, &op, &transaction_id, &ctx] { return AggregateNow(op, transaction_id, ctx); });
}

bool Engine::MergesReads(const std::string& table) const {
  const std::shared_ptr<const Snapshot> now = parts_.snapshot();
  const auto found = now->catalog.tables().find(table);
  return found != now->catalog.tables().end() && found->second.declaration().merge_reads;
}

Async<absl::StatusOr<ListResult>> Engine::ListMerged(const ListOperation& op, const std::string& transaction_id,
                                                     const CallContext& ctx) {
  if (op.question.empty() || !transaction_id.empty()) return ListNow(op, transaction_id, ctx);
  return merged_lists_.Run(op.question, op, ctx);
}

Async<absl::StatusOr<AggregateResult>> Engine::AggregateMerged(const AggregateOperation& op, const std::string& transaction_id,
                                                               const CallContext& ctx) {
  if (op.question.empty() || !transaction_id.empty()) return AggregateNow(op, transaction_id, ctx);
  return merged_aggregates_.Run(op.question, op, ctx);
}

WriteNote Engine::NoteOf(const std::vector<std::string>& tables, const std::vector<ShardId>& shards,
                         const Snapshot& snapshot) {
  const bool keeps = snapshot.catalog.keeps_answers();
  WriteNote note(keeps ? &parts_.cache_shared->versions : nullptr);
  if (!keeps) return note;
  for (const std::string& table : tables) {
    for (const std::string& written : snapshot.catalog.WrittenWith(table)) {
      for (const ShardId shard : shards) note.Add(written, shard);
    }
  }
  return note;
}

}  // namespace quarry
