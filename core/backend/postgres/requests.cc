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

constexpr int kPurgeBatch = 500;

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

absl::StatusOr<std::optional<TaskResult>> ReadReply(const std::string& shard, const std::vector<Row>& rows,
                                                    const RequestGuard& guard) {
  if (rows.empty()) return std::nullopt;
  if (rows[0][0].int64_value() != static_cast<int64_t>(guard.request_hash)) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kRequestIdReused,
                     "this request_id was used for another request before; use a new one for each request",
                     {{"shard", shard}});
  }
  if (rows[0][1].is_null()) return std::nullopt;
  QUARRY_ASSIGN_OR_RETURN(TaskResult result, DecodeTaskResult(rows[0][1].text()));
  result.replayed = true;
  return std::optional<TaskResult>(std::move(result));
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
  co_return ReadReply(core.options.shard, batch->results[0].result.batch.rows, guard);
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
