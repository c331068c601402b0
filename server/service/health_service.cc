#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "grpc/health/v1/health.pb.h"
#include "server/service/services.h"

namespace quarry {
namespace {

namespace health = grpc::health::v1;
using Status = health::HealthCheckResponse;

constexpr char kHealthService[] = "grpc.health.v1.Health";
constexpr char kShardPrefix[] = "shard/";

// SERVICE_UNKNOWN for a name that is neither the gateway's, nor a service's, nor a shard's.
Status::ServingStatus StatusOfName(const RpcTable& table, const ShardBoard& board, const std::string& name) {
  if (name.rfind(kShardPrefix, 0) == 0) {
    for (const ShardView& view : board.shards()) {
      if (kShardPrefix + view.name != name) continue;
      if (view.state == ShardState::kUnknown) return Status::UNKNOWN;
      return view.state == ShardState::kUp && !board.draining() ? Status::SERVING : Status::NOT_SERVING;
    }
    return Status::SERVICE_UNKNOWN;
  }
  const std::vector<std::string> services = table.services();
  if (!name.empty() && !std::binary_search(services.begin(), services.end(), name)) return Status::SERVICE_UNKNOWN;
  return board.ready() ? Status::SERVING : Status::NOT_SERVING;
}

Async<absl::Status> CheckHealth(const RpcTable* table, const ShardBoard* board,
                                const health::HealthCheckRequest& request,
                                health::HealthCheckResponse& response) {
  const Status::ServingStatus status = StatusOfName(*table, *board, request.service());
  if (status == Status::SERVICE_UNKNOWN) {
    co_return MakeError(absl::StatusCode::kNotFound, reason::kInvalidField,
                        "there is no such name; names are \"\", those of the services, and shard/<name>");
  }
  response.set_status(status);
  co_return absl::OkStatus();
}

// Wakes one Watch of one loop when the board changes. Shared with the board's listener, which may outlive the call.
class Changes {
 public:
  explicit Changes(Loop& loop) : loop_(loop) {}
  // Loop's thread. Done at the next change, or at once when one came since the last Await.
  Future<bool> Await() {
    wake_.emplace(loop_);
    Future<bool> future = wake_->future();
    if (std::exchange(pending_, false)) wake_->Set(true);
    return future;
  }
  void Arrived() {
    if (wake_.has_value() && !wake_->set()) {
      wake_->Set(true);
    } else {
      pending_ = true;
    }
  }
  Loop& loop() { return loop_; }

 private:
  Loop& loop_;
  bool pending_ = false;
  std::optional<Completer<bool>> wake_;
};

class Subscription {
 public:
  Subscription(ShardBoard& board, const std::shared_ptr<Changes>& changes)
      : board_(board), id_(board.AddListener([changes] {
          changes->loop().Post([changes] { changes->Arrived(); });
        })) {}
  ~Subscription() { board_.RemoveListener(id_); }
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

 private:
  ShardBoard& board_;
  uint64_t id_;
};

Async<absl::Status> WatchHealth(const RpcTable* table, ShardBoard* board, const health::HealthCheckRequest& request,
                                CallScope& scope, StreamWriter<health::HealthCheckResponse> writer) {
  const auto changes = std::make_shared<Changes>(scope.ctx.loop);
  const Subscription subscription(*board, changes);
  std::optional<Status::ServingStatus> told;
  while (true) {
    // Read before the status, so that a drain that begins during the write below is told before the stream ends.
    const bool draining = board->draining();
    const Status::ServingStatus now = StatusOfName(*table, *board, request.service());
    if (told != now) {
      health::HealthCheckResponse response;
      response.set_status(now);
      Future<absl::Status> sent = writer.Write(response);
      const absl::Status status = co_await sent;
      if (!status.ok()) co_return status;
      told = now;
    }
    // A watcher must not hold up the end of the process.
    if (draining) co_return MakeError(absl::StatusCode::kUnavailable, reason::kDraining, "shutting down");
    Future<bool> changed = changes->Await();
    co_await changed;
  }
}

}  // namespace

void AddHealthService(RpcTable& table, ShardBoard& board) {
  const RpcTable* methods = &table;
  ShardBoard* shards = &board;
  Method& check = table.AddUnary<health::HealthCheckRequest, health::HealthCheckResponse>(
      kHealthService, "Check",
      [methods, shards](const health::HealthCheckRequest& request, health::HealthCheckResponse& response,
                        CallScope&) { return CheckHealth(methods, shards, request, response); });
  Method& watch = table.AddServerStream<health::HealthCheckRequest, health::HealthCheckResponse>(
      kHealthService, "Watch",
      [methods, shards](const health::HealthCheckRequest& request, CallScope& scope,
                        StreamWriter<health::HealthCheckResponse> writer) {
        return WatchHealth(methods, shards, request, scope, writer);
      },
      /*endless=*/true);
  // A probe that is refused takes a gateway that ends its last calls for dead, and restarts it.
  check.while_draining = true;
  watch.while_draining = true;
}

}  // namespace quarry
