#include "core/backend/postgres/requests.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/postgres/errors.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/codec.h"

namespace quarry::postgres {

const char kInsertRequest[] =
    "INSERT INTO quarry.requests (request_id, request_hash) VALUES ($1, $2) ON CONFLICT (request_id) DO NOTHING";
const char kStoreReply[] = "UPDATE quarry.requests SET reply = $2 WHERE request_id = $1";
const char kFindReply[] = "SELECT request_hash, reply FROM quarry.requests WHERE request_id = $1";

namespace {

constexpr char kFindTable[] = "SELECT to_regclass('quarry.requests') IS NOT NULL";
// One gateway at a time creates; the number is any fixed one.
constexpr char kCreateLock[] = "SELECT pg_advisory_xact_lock(7823419)";
constexpr char kCreateSchema[] = "CREATE SCHEMA IF NOT EXISTS quarry";
constexpr char kCreateTable[] =
    "CREATE TABLE IF NOT EXISTS quarry.requests (request_id uuid PRIMARY KEY, request_hash bigint NOT NULL, "
    "created timestamptz NOT NULL DEFAULT now(), reply bytea)";
constexpr char kCreateIndex[] = "CREATE INDEX IF NOT EXISTS requests_created ON quarry.requests (created)";
constexpr int kPurgeBatch = 500;

absl::Status CannotCreate(const std::string& shard) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kPermissionDenied,
                   absl::StrCat("shard ", shard, ": writes with a request_id need the table quarry.requests, which does not "
                                "exist and which the database user may not create; create it as its owner and grant "
                                "SELECT, INSERT, UPDATE and DELETE on it, or send the write without a request_id"),
                   {{"shard", shard}});
}

Async<absl::Status> RunPlain(Core& core, Connection* connection, BatchPtr batch, absl::Time deadline) {
  const bool in_time = co_await connection->Run(batch, deadline);
  if (!in_time) co_return DeadlineEnded(core.options.shard, "query");
  if (batch->lost) co_return Unavailable(core.options.shard, batch->lost_cause, absl::Milliseconds(100));
  co_return batch->FirstError();
}

// How many were forgotten; 0 when the shard does not answer.
Async<int64_t> PurgeSome(Core* core) {
  CallContext ctx(core->loop);
  ctx.deadline = core->loop.Now() + absl::Seconds(10);
  absl::StatusOr<Leased> leased = co_await Lease(*core, ctx);
  if (!leased.ok()) co_return 0;
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(absl::StrCat(
      "DELETE FROM quarry.requests WHERE request_id IN (SELECT request_id FROM quarry.requests WHERE created < now() - interval '",
      absl::ToInt64Seconds(core->options.request_keep), " seconds' ORDER BY created LIMIT ", kPurgeBatch,
      " FOR UPDATE SKIP LOCKED)")));
  Leased& held = *leased;
  const absl::Status status = co_await RunPlain(*core, held.get(), batch, ctx.deadline);
  co_return status.ok() ? batch->results[0].result.affected : 0;
}

}  // namespace

Async<absl::Status> EnsureSchema(Core& core, const CallContext& ctx) {
  if (core.requests_ready) co_return absl::OkStatus();
  QUARRY_CO_ASSIGN_OR_RETURN(Leased leased, co_await Lease(core, ctx));
  const auto look = std::make_shared<Batch>();
  look->commands.push_back(Plain(kFindTable));
  QUARRY_CO_RETURN_IF_ERROR(co_await RunPlain(core, leased.get(), look, ctx.deadline));
  bool exists = look->results[0].result.batch.rows[0][0].bool_value();
  if (!exists) {
    const auto create = std::make_shared<Batch>();
    for (const char* sql : {"BEGIN", kCreateLock, kCreateSchema, kCreateTable, kCreateIndex, "COMMIT"}) {
      create->commands.push_back(Plain(sql));
    }
    const absl::Status created = co_await RunPlain(core, leased.get(), create, ctx.deadline);
    if (absl::IsPermissionDenied(created)) co_return CannotCreate(core.options.shard);
    if (!created.ok()) co_return created;
  }
  if (!core.requests_ready) core.background.Run(PurgeForever(&core));
  core.requests_ready = true;
  co_return absl::OkStatus();
}

Async<absl::StatusOr<std::optional<TaskResult>>> FindReply(Core& core, Connection* connection, RequestGuard guard,
                                                           const CallContext& ctx) {
  const std::vector<std::string> texts = {kFindReply};
  const std::vector<absl::Status> prepared = co_await connection->Prepare(texts, &core.type_names, ctx.deadline);
  if (!prepared[0].ok()) co_return prepared[0];
  const std::vector<Value> params = {Value::Uuid(guard.request_id)};
  QUARRY_CO_ASSIGN_OR_RETURN(Command command, Bind(connection->FindPrepared(kFindReply), params));
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(std::move(command));
  QUARRY_CO_RETURN_IF_ERROR(co_await RunPlain(core, connection, batch, ctx.deadline));
  const std::vector<Row>& rows = batch->results[0].result.batch.rows;
  if (rows.empty()) co_return std::optional<TaskResult>();
  if (rows[0][0].int64_value() != static_cast<int64_t>(guard.request_hash)) {
    co_return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                        "this request_id was used for another request before; use a new one for each request",
                        {{"shard", core.options.shard}});
  }
  if (rows[0][1].is_null()) co_return std::optional<TaskResult>();
  QUARRY_CO_ASSIGN_OR_RETURN(TaskResult result, DecodeTaskResult(rows[0][1].text()));
  result.replayed = true;
  co_return std::optional<TaskResult>(std::move(result));
}

Async<void> PurgeForever(Core* core) {
  while (true) {
    const int64_t purged = co_await PurgeSome(core);
    const absl::Duration pause = purged == kPurgeBatch ? absl::Milliseconds(20) : core->options.purge_interval;
    SleepUntil sleep(core->loop, core->loop.Now() + pause);
    co_await sleep;
  }
}

}  // namespace quarry::postgres
