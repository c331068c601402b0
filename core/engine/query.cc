#include <algorithm>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "core/engine/include.h"
#include "core/engine/query_run.h"
#include "core/engine/shard_timer.h"
#include "core/model/check.h"
#include "core/plan/page_token.h"
#include "core/plan/plan_include.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

RowBounds ToRowBounds(const ScatterBounds& bounds) {
  RowBounds rows;
  rows.rows_max = bounds.rows_max;
  rows.bytes_max = bounds.bytes_max;
  return rows;
}

// One page in the order that it was read: backward pages come nearest first.
struct ReadPage {
  std::vector<Row> rows;
  std::vector<ShardId> origins;  // Of the rows.
  bool more = false;
};

absl::Status RowOverReply(const QueryPlan& plan, int64_t bytes, int64_t bytes_max) {
  std::vector<std::string> key;
  for (const size_t column : plan.table->primary_key()) key.push_back(plan.table->columns()[column].name);
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("one row of table ", plan.table->name(), " has ", bytes, " bytes, more than a reply holds (",
                                bytes_max, ", limits.reply_bytes); ask for fewer columns, or read it by its key (",
                                absl::StrJoin(key, ", "), ") or with Query"),
                   {{"table", plan.table->name()}, {"row_bytes", absl::StrCat(bytes)}, {"key", absl::StrJoin(key, ",")}});
}

// The tokens on both sides of a page. `rows` are in reading order and have their sort keys.
absl::Status SealPage(const ReadPage& page, const std::optional<QueryPosition>& from, const std::vector<SortTerm>& order,
                      uint64_t request_hash, const Sealer& sealer, ListResult& result) {
  const bool backward = from.has_value() && from->backward;
  const auto seal = [&](const Row* row, bool towards_back, std::string& token) -> absl::Status {
    QueryPosition position;
    position.backward = towards_back;
    if (row != nullptr) {
      position.after = PositionOf(*row, order);
    } else {
      // Nothing was there: whoever turns round starts with the row that this page started beside.
      position.after = from->after;
      position.inclusive = !from->inclusive;
    }
    QUARRY_ASSIGN_OR_RETURN(token, SealPosition(position, request_hash, sealer));
    return absl::OkStatus();
  };
  std::string& ahead = backward ? result.previous_page_token : result.next_page_token;
  std::string& behind = backward ? result.next_page_token : result.previous_page_token;
  if (page.more) QUARRY_RETURN_IF_ERROR(seal(&page.rows.back(), backward, ahead));
  if (from.has_value()) QUARRY_RETURN_IF_ERROR(seal(page.rows.empty() ? nullptr : &page.rows.front(), !backward, behind));
  return absl::OkStatus();
}

Async<absl::Status> ReadRows(QueryStream& stream, size_t page_rows, ReadPage& page) {
  absl::StatusOr<std::optional<QueryBatch>> batch = co_await stream.Next();
  if (!batch.ok()) co_return batch.status();
  if (!batch->has_value()) co_return absl::OkStatus();
  page.rows = std::move((*batch)->rows);
  page.more = page.rows.size() > page_rows;
  if (!page.more) {
    // The batch was cut by its size, or it was the last one.
    absl::StatusOr<std::optional<QueryBatch>> rest = co_await stream.Next();
    if (!rest.ok()) co_return rest.status();
    page.more = rest->has_value();
  }
  page.rows.resize(std::min(page.rows.size(), page_rows));
  page.origins.resize(page.rows.size());
  co_return absl::OkStatus();
}

void AddShards(const std::vector<ShardId>& more, std::vector<ShardId>& shards) {
  if (more.empty()) return;
  shards.insert(shards.end(), more.begin(), more.end());
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
}

// The page as it is answered; the rows as they were read go on to the includes.
std::vector<PlacedRow> FinishPage(const QueryPlan& plan, const IncludePlan& includes, ReadPage page, ListResult& result) {
  std::vector<PlacedRow> placed;
  result.header = plan.header;
  size_t visible = plan.visible;
  if (!includes.steps.empty()) {
    visible = includes.page_visible;
    result.header = std::make_shared<const std::vector<ColumnHeader>>(
        plan.header->begin(), plan.header->begin() + static_cast<std::ptrdiff_t>(visible));
    for (size_t i = 0; i < page.rows.size(); ++i) {
      PlacedRow& row = placed.emplace_back();
      row.shard = page.origins[i];
      row.row = page.rows[i];
    }
  }
  for (Row& row : page.rows) row.resize(std::min(row.size(), visible));
  result.rows = std::move(page.rows);
  return placed;
}

}  // namespace

namespace {

std::vector<ShardId> AllShards(const Snapshot& snapshot) {
  std::vector<ShardId> all;
  for (const Shard& shard : snapshot.topology.shards()) all.push_back(shard.id);
  return all;
}

}  // namespace

absl::StatusOr<Engine::Place> Engine::PlaceOf(const std::string& transaction_id) {
  Place place;
  place.snapshot = parts_.snapshot();
  place.spread = ShardId{spread_++ % static_cast<uint32_t>(place.snapshot->topology.shards().size())};
  if (transaction_id.empty()) return place;
  QUARRY_ASSIGN_OR_RETURN(const std::vector<ShardId> taken, transactions_.ShardsOf(transaction_id));
  place.spread = taken.empty() ? ShardId{0} : taken.front();
  place.pinned = true;
  return place;
}

Async<absl::StatusOr<bool>> Engine::Learn(const Table& table, std::vector<Key> keys, const Snapshot& snapshot,
                                          const CallContext& ctx) {
  if (keys.empty() || table.kind() != TableKind::kSharded) co_return false;
  QUARRY_CO_ASSIGN_OR_RETURN(const Resolver* resolver, ResolverOf(table, snapshot));
  const LookupResolver* lookup = AsLookup(*resolver);
  if (lookup == nullptr || !lookup->directory().has_value()) co_return false;
  std::vector<DirectoryKey> unknown;
  for (Key& key : keys) {
    DirectoryKey entry;
    entry.resolver = lookup;
    entry.shard_key = std::move(key);
    unknown.push_back(std::move(entry));
  }
  QUARRY_CO_RETURN_IF_ERROR(co_await directory_.Learn(unknown, snapshot, ctx));
  co_return true;
}

Async<absl::StatusOr<QueryPlan>> Engine::PlanQuestion(const QueryOperation& op, Ask ask, Place place,
                                                      const CallContext& ctx) {
  ctx.stage = Stage::kPlan;
  QueryPart part;
  part.position = ask.position;
  part.limit = ask.limit;
  part.spread = place.spread;
  part.pinned = place.pinned;
  absl::StatusOr<QueryPlan> plan = PlanQuery(op, part, *place.snapshot, texts_, ask.token_field);
  if (!plan.ok() || plan->unmapped.empty()) co_return plan;
  absl::StatusOr<bool> learned = co_await Learn(*plan->table, plan->unmapped, *place.snapshot, ctx);
  if (!learned.ok()) co_return learned.status();
  if (!*learned) co_return plan;
  co_return PlanQuery(op, part, *place.snapshot, texts_, ask.token_field);
}

Async<absl::StatusOr<std::unique_ptr<Transactions::Lease>>> Engine::HoldTransaction(const std::string& transaction_id,
                                                                                   std::vector<ShardId> shards,
                                                                                   const CallContext& ctx) {
  std::unique_ptr<Transactions::Lease> none;
  if (transaction_id.empty() || shards.empty()) co_return none;
  QUARRY_CO_RETURN_IF_ERROR(co_await Cut(transaction_id, shards, ctx));
  co_return co_await transactions_.Use(transaction_id, std::move(shards), false, ctx);
}

Async<absl::StatusOr<QueryRun>> Engine::RunOf(const QueryPlan& plan, Place place, const std::string& transaction_id,
                                              const CallContext& ctx) {
  QueryRun run;
  std::vector<ShardId> shards;
  for (const auto& [shard, statement] : plan.statements) shards.push_back(shard);
  QUARRY_CO_ASSIGN_OR_RETURN(run.transaction, co_await HoldTransaction(transaction_id, std::move(shards), ctx));
  run.ctx = &ctx;
  run.snapshot = place.snapshot;
  run.plan = plan;
  run.shards = &parts_.shards;
  run.width = parts_.limits.scatter_width;
  run.level = LevelOf(transaction_id);
  co_return run;
}

Async<absl::StatusOr<std::unique_ptr<QueryStream>>> Engine::Query(const QueryOperation& op, const std::string& transaction,
                                                                  const CallContext& ctx) {
  std::string transaction_id = transaction;
  const bool own = op.snapshot && transaction.empty();
  if (own) {
    QUARRY_CO_ASSIGN_OR_RETURN(transaction_id, BeginOwnSnapshot());
  }
  // Until the stream has it.
  absl::Cleanup end = [this, own, &transaction_id] {
    if (own) transactions_.Forget(transaction_id);
  };
  QUARRY_CO_ASSIGN_OR_RETURN(const Place place, PlaceOf(transaction_id));
  QueryPosition position;
  Ask ask;
  ask.limit = op.limit;
  if (!op.resume_token.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(position, OpenPosition(op.resume_token, op.request_hash, *parts_.sealer, ask.token_field));
    ask.position = &position;
    ask.limit = std::max<int64_t>(op.limit - position.given, 0);
  }
  QUARRY_CO_ASSIGN_OR_RETURN(QueryPlan plan, co_await PlanQuestion(op, ask, place, ctx));
  // A limit that was reached before leaves nothing to ask for.
  if (op.limit > 0 && ask.limit == 0) plan.statements.clear();
  QUARRY_CO_ASSIGN_OR_RETURN(QueryRun run, co_await RunOf(plan, place, transaction_id, ctx));
  run.bounds = ToRowBounds(op.bounds);
  run.allow_partial = op.allow_partial && transaction_id.empty();
  run.sealer = parts_.sealer;
  run.request_hash = op.request_hash;
  run.given = position.given;
  if (run.transaction != nullptr) {
    if (own) run.transaction->EndWithCall();
    std::move(end).Cancel();
  }
  co_return StartQueryStream(std::move(run));
}

// What a page with includes reads: what was asked, and by what the rows of its relations are found.
absl::StatusOr<IncludePlan> Engine::PlanPage(const ListOperation& op, const Snapshot& snapshot, QueryOperation& query) {
  query = op.query;
  IncludePlan plan;
  if (op.includes.empty()) return plan;
  if (query.distinct) {
    return InvalidField("includes", "has no place beside distinct, whose rows are no rows of the table; leave one of them out");
  }
  QUARRY_ASSIGN_OR_RETURN(const Table* table, FindTable(snapshot, query.table));
  QUARRY_ASSIGN_OR_RETURN(plan, PlanIncludes(op.includes, *table, query.columns, snapshot.catalog, IncludeLimits()));
  query.columns = plan.page_columns;
  return plan;
}

Async<std::vector<absl::StatusOr<TaskResult>>> Engine::RunOwnTasks(std::vector<Task> tasks, std::string transaction_id,
                                                                   bool stop_at_first_error, const CallContext& ctx) {
  co_return co_await RunTasks(tasks, transaction_id, stop_at_first_error, ctx);
}

Async<absl::StatusOr<ReadResult>> Engine::ReadOwn(ReadOperation op, std::string transaction_id, const CallContext& ctx) {
  co_return co_await Read(op, transaction_id, ctx);
}

// `rows`: of the page, in its order, as they were read.
Async<absl::Status> Engine::AddIncludes(const IncludePlan& plan, std::vector<PlacedRow> rows, const std::string& transaction_id,
                                        bool partial, const Snapshot& snapshot, const CallContext& ctx, ListResult& result) {
  int64_t bytes_left = parts_.limits.reply_bytes_max;
  for (const Row& row : result.rows) {
    for (const Value& value : row) bytes_left -= static_cast<int64_t>(ByteSize(value));
  }
  IncludeRunner runner;
  runner.run = [this, &transaction_id, partial, &ctx](std::vector<Task> tasks) {
    return RunOwnTasks(std::move(tasks), transaction_id, !partial, ctx);
  };
  runner.read = [this, &transaction_id, partial, &ctx](ReadOperation op) {
    op.allow_partial = partial;
    return ReadOwn(std::move(op), transaction_id, ctx);
  };
  runner.read_keys_max = std::min(runner.read_keys_max, static_cast<size_t>(parts_.limits.batch_items_max));
  absl::StatusOr<LoadedIncludes> loaded =
      co_await LoadIncludes(plan, rows, runner, snapshot, IncludeLimits().rows_max, bytes_left, partial);
  if (!loaded.ok()) co_return loaded.status();
  result.included = std::move(loaded->relations);
  AddShards(loaded->asked, result.served_by.asked);
  AddShards(loaded->answered, result.served_by.answered);
  for (auto& [shard, status] : loaded->failed) {
    const bool told = std::any_of(result.failed.begin(), result.failed.end(),
                                  [failed = shard](const auto& other) { return other.first == failed; });
    if (!told) result.failed.emplace_back(shard, std::move(status));
  }
  co_return absl::OkStatus();
}

Async<absl::StatusOr<ListResult>> Engine::ListNow(const ListOperation& op, const std::string& transaction_id,
                                                  const CallContext& ctx) {
  const EngineLimits& limits = parts_.limits;
  if (op.page_size < 0 || op.page_size > limits.page_rows_max) {
    co_return InvalidField("page_size", absl::StrCat("is between 1 and ", limits.page_rows_max,
                                                     " (limits.page_rows_max), or 0 for ", limits.page_rows));
  }
  const size_t page_rows = static_cast<size_t>(op.page_size == 0 ? limits.page_rows : op.page_size);
  QUARRY_CO_ASSIGN_OR_RETURN(const Place place, PlaceOf(transaction_id));
  QueryOperation query;
  QUARRY_CO_ASSIGN_OR_RETURN(const IncludePlan includes, PlanPage(op, *place.snapshot, query));
  std::optional<QueryPosition> from;
  Ask ask;
  ask.token_field = "page_token";
  ask.limit = static_cast<int64_t>(page_rows) + 1;  // One more tells whether there is a next page.
  if (!op.page_token.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(from, OpenPosition(op.page_token, query.request_hash, *parts_.sealer, ask.token_field));
    ask.position = &*from;
  }
  QUARRY_CO_ASSIGN_OR_RETURN(QueryPlan plan, co_await PlanQuestion(query, ask, place, ctx));
  // Where related rows live is not known yet.
  if (!op.includes.empty()) QUARRY_CO_RETURN_IF_ERROR(co_await Cut(transaction_id, AllShards(*place.snapshot), ctx));
  QUARRY_CO_ASSIGN_OR_RETURN(QueryRun run, co_await RunOf(plan, place, transaction_id, ctx));
  ReadPage page;
  run.allow_partial = query.allow_partial && transaction_id.empty();
  run.hide_sort_keys = false;
  run.batch_bytes = limits.reply_bytes_max;
  run.origins = &page.origins;
  std::unique_ptr<QueryStream> stream = StartQueryStream(std::move(run));
  QUARRY_CO_RETURN_IF_ERROR(co_await ReadRows(*stream, page_rows, page));
  ListResult result;
  result.failed = stream->summary().failed;
  result.served_by = stream->summary().served_by;
  stream.reset();
  ctx.stage = Stage::kMerge;
  const int64_t bytes = ByteSize(page.rows);
  if (bytes > limits.reply_bytes_max) co_return RowOverReply(plan, bytes, limits.reply_bytes_max);
  QUARRY_CO_RETURN_IF_ERROR(CheckBounds(ToRowBounds(query.bounds), static_cast<int64_t>(page.rows.size()), bytes));
  QUARRY_CO_RETURN_IF_ERROR(SealPage(page, from, plan.merge.order, query.request_hash, *parts_.sealer, result));
  if (from.has_value() && from->backward) {
    std::reverse(page.rows.begin(), page.rows.end());
    std::reverse(page.origins.begin(), page.origins.end());
  }
  const bool partial = query.allow_partial && transaction_id.empty();
  std::vector<PlacedRow> placed = FinishPage(plan, includes, std::move(page), result);
  if (!op.includes.empty()) {
    QUARRY_CO_RETURN_IF_ERROR(
        co_await AddIncludes(includes, std::move(placed), transaction_id, partial, *place.snapshot, ctx, result));
  }
  // Whoever went on would never meet the rows that are missing here.
  if (!result.failed.empty()) (from.has_value() && from->backward ? result.previous_page_token : result.next_page_token).clear();
  co_return result;
}

}  // namespace quarry
