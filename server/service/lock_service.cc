#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "core/base/ids.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "quarry/v1/lock.pb.h"
#include "server/service/services.h"
#include "server/translate/lock.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr char kLockService[] = "quarry.v1.LockService";
// Of one renewal: the stream itself has no deadline.
constexpr absl::Duration kRenewTimeout = absl::Seconds(10);

template <typename Response>
void FillServedByLockShard(const CallScope& scope, Response& response) {
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  const absl::StatusOr<ShardId> shard = scope.engine->ShardOfLocks();
  ServedBy served;
  served.epoch = now->topology.epoch();
  if (shard.ok()) served.asked = {*shard};
  served.answered = served.asked;
  FillServedBy(served, now->topology, response.mutable_served_by());
}

Async<absl::Status> Acquire(const v1::AcquireRequest& request, v1::AcquireResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(LockRequest lock, ToLockRequest(request));
  if (lock.lease_id.empty()) {
    // Whoever knows it can release the lock, so it is made of nothing that can be guessed.
    SystemRandom random;
    lock.lease_id = IdGenerator(0, random).UuidV7(scope.ctx.loop.Now());
  }
  QUARRY_CO_ASSIGN_OR_RETURN(LockStore* const locks, scope.engine->locks());
  response.set_lease_id(lock.lease_id);
  Async<absl::StatusOr<LockGrant>> acquire = locks->Acquire(std::move(lock), scope.ctx);
  const absl::StatusOr<LockGrant> grant = co_await acquire;
  if (!grant.ok()) co_return grant.status();
  FillResponse(*grant, &response);
  FillServedByLockShard(scope, response);
  co_return absl::OkStatus();
}

Async<absl::Status> KeepAlive(CallScope& scope, StreamReader<v1::KeepAliveRequest> reader,
                              StreamWriter<v1::KeepAliveResponse> writer) {
  QUARRY_CO_ASSIGN_OR_RETURN(LockStore* const locks, scope.engine->locks());
  CallContext ctx(scope.ctx.loop);
  ctx.call_id = scope.ctx.call_id;
  while (true) {
    v1::KeepAliveRequest request;
    Future<absl::StatusOr<bool>> next = reader.Read(request);
    const absl::StatusOr<bool> more = co_await next;
    if (!more.ok()) co_return more.status();
    if (!*more) co_return absl::OkStatus();
    QUARRY_CO_ASSIGN_OR_RETURN(LockClaim claim, ToLockClaim(request));
    ctx.deadline = std::min(scope.ctx.deadline, ctx.loop.Now() + kRenewTimeout);
    Async<absl::StatusOr<LockGrant>> renew = locks->KeepAlive(std::move(claim.name), std::move(claim.lease_id), ctx);
    const absl::StatusOr<LockGrant> grant = co_await renew;
    if (!grant.ok()) co_return grant.status();
    v1::KeepAliveResponse response;
    response.set_name(request.name());
    FillResponse(*grant, &response);
    Future<absl::Status> sent = writer.Write(response);
    const absl::Status status = co_await sent;
    if (!status.ok()) co_return status;
  }
}

Async<absl::Status> Release(const v1::ReleaseRequest& request, v1::ReleaseResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(LockClaim claim, ToLockClaim(request));
  QUARRY_CO_ASSIGN_OR_RETURN(LockStore* const locks, scope.engine->locks());
  Async<absl::Status> release = locks->Release(std::move(claim.name), std::move(claim.lease_id), scope.ctx);
  const absl::Status status = co_await release;
  if (!status.ok()) co_return status;
  FillServedByLockShard(scope, response);
  co_return absl::OkStatus();
}

Async<absl::Status> GetLock(const v1::GetLockRequest& request, v1::GetLockResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(std::string name, ToLockName(request));
  QUARRY_CO_ASSIGN_OR_RETURN(LockStore* const locks, scope.engine->locks());
  Async<absl::StatusOr<LockView>> look = locks->Look(std::move(name), scope.ctx);
  const absl::StatusOr<LockView> view = co_await look;
  if (!view.ok()) co_return view.status();
  FillResponse(*view, &response);
  FillServedByLockShard(scope, response);
  co_return absl::OkStatus();
}

}  // namespace

void AddLockService(RpcTable& table) {
  table.AddUnary<v1::AcquireRequest, v1::AcquireResponse>(kLockService, "Acquire", Acquire);
  table.AddBidi<v1::KeepAliveRequest, v1::KeepAliveResponse>(kLockService, "KeepAlive", KeepAlive);
  table.AddUnary<v1::ReleaseRequest, v1::ReleaseResponse>(kLockService, "Release", Release);
  table.AddUnary<v1::GetLockRequest, v1::GetLockResponse>(kLockService, "GetLock", GetLock);
}

}  // namespace quarry
