#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "core/model/check.h"
#include "quarry/v1/shard.pb.h"
#include "server/service/services.h"
#include "server/service/sql_events.h"
#include "server/translate/request.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr char kShardService[] = "quarry.v1.ShardService";

// What the two calls differ in.
struct SqlCallOptions {
  int64_t rows_max = 0;
  int64_t bytes_max = 0;
  bool fail_fast = true;
  bool progress_after_shard = false;
};

bool SameColumns(const RowHeader& a, const RowHeader& b) {
  const size_t columns = a == nullptr ? 0 : a->size();
  if (columns != (b == nullptr ? 0 : b->size())) return false;
  for (size_t i = 0; i < columns; ++i) {
    const ColumnHeader& x = (*a)[i];
    const ColumnHeader& y = (*b)[i];
    const bool untyped = x.type.kind == TypeKind::kUnknown || y.type.kind == TypeKind::kUnknown;
    if (x.name != y.name || !(untyped || x.type == y.type)) return false;
  }
  return true;
}

// Turns the events of one call into its messages and keeps its totals.
template <typename Response>
class SqlReply {
 public:
  SqlReply(const RawSqlLimits& limits, const SqlCallOptions& options, std::shared_ptr<const Snapshot> snapshot,
           StreamWriter<Response> writer)
      : limits_(limits), options_(options), snapshot_(std::move(snapshot)), writer_(writer) {}

  void Begin(const std::vector<ShardId>& shards) {
    served_by_.asked = shards;
    served_by_.epoch = snapshot_->topology.epoch();
    progress_.set_shards_total(static_cast<int32_t>(shards.size()));
  }
  Async<absl::Status> OnEvent(SqlEvent& event) {
    switch (event.kind) {
      case SqlEvent::Kind::kHeader:
        return OnHeader(event);
      case SqlEvent::Kind::kRows:
        return OnRows(event);
      case SqlEvent::Kind::kDone:
        return OnDone(event);
    }
    return OnDone(event);
  }
  Async<absl::Status> SendProgress() {
    Response message;
    *message.mutable_progress() = progress_;
    Future<absl::Status> sent = writer_.Write(message);
    co_return co_await sent;
  }
  Async<absl::Status> SendSummary() {
    Async<absl::Status> header = SendHeader(nullptr);
    const absl::Status headed = co_await header;
    if (!headed.ok()) co_return headed;
    Response message;
    v1::StreamSummary* summary = message.mutable_summary();
    summary->set_rows_returned(progress_.rows());
    summary->set_rows_affected(affected_);
    for (const auto& [name, status] : failed_) FillShardStatus(name, status, summary->add_failed_shards());
    FillServedBy(served_by_, snapshot_->topology, summary->mutable_served_by());
    summary->set_replayed(!served_by_.answered.empty() && replayed_);
    Future<absl::Status> sent = writer_.Write(message);
    co_return co_await sent;
  }

 private:
  const std::string& NameOf(ShardId shard) const { return snapshot_->topology.name(shard); }

  Async<absl::Status> SendHeader(RowHeader header) {
    if (std::exchange(header_sent_, true)) co_return absl::OkStatus();
    header_ = header;
    Response message;
    message.mutable_header();
    FillHeader(header, message.mutable_header());
    Future<absl::Status> sent = writer_.Write(message);
    co_return co_await sent;
  }

  Async<absl::Status> OnHeader(SqlEvent& event) {
    if (!header_sent_) {
      Async<absl::Status> header = SendHeader(event.batch.header);
      co_return co_await header;
    }
    if (SameColumns(header_, event.batch.header)) co_return absl::OkStatus();
    const std::string& name = NameOf(event.shard);
    absl::Status status = MakeError(absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
                                    absl::StrCat("shard ", name, " returns other columns than the shards before it"),
                                    {{"shard", name}});
    if (options_.fail_fast) co_return status;
    failed_.emplace(name, std::move(status));  // Its rows are left out; its end reports this.
    co_return absl::OkStatus();
  }

  Async<absl::Status> OnRows(SqlEvent& event) {
    const std::string& name = NameOf(event.shard);
    if (failed_.count(name) > 0) co_return absl::OkStatus();
    Response message;
    int64_t bytes = 0;
    for (const Row& row : event.batch.rows) {
      v1::Row* out = message.mutable_rows()->add_rows();
      FillRow(row, out);
      const auto size = static_cast<int64_t>(out->ByteSizeLong());
      const absl::Status counted = Count(size);
      if (!counted.ok()) co_return counted;
      if (bytes > 0 && bytes + size > limits_.batch_bytes) {
        // The row that does not fit opens the next message.
        v1::Row next;
        next.Swap(out);
        message.mutable_rows()->mutable_rows()->RemoveLast();
        Async<absl::Status> send = SendRows(name, message);
        const absl::Status sent = co_await send;
        if (!sent.ok()) co_return sent;
        message.Clear();
        message.mutable_rows()->add_rows()->Swap(&next);
        bytes = 0;
      }
      bytes += size;
    }
    if (bytes == 0 && event.batch.rows.empty()) co_return absl::OkStatus();
    Async<absl::Status> send = SendRows(name, message);
    co_return co_await send;
  }

  Async<absl::Status> SendRows(const std::string& shard, Response& message) {
    message.mutable_rows()->set_shard(shard);
    Future<absl::Status> sent = writer_.Write(message);
    co_return co_await sent;
  }

  // One more row.
  absl::Status Count(int64_t size) {
    progress_.set_rows(progress_.rows() + 1);
    progress_.set_bytes(progress_.bytes() + size);
    return CheckBounds({options_.rows_max, options_.bytes_max}, progress_.rows(), progress_.bytes());
  }

  Async<absl::Status> OnDone(SqlEvent& event) {
    const std::string& name = NameOf(event.shard);
    if (!event.status.ok()) {
      if (options_.fail_fast) co_return WithFact(event.status, "shard", name);
      failed_.emplace(name, event.status);
    }
    const auto failure = failed_.find(name);
    progress_.set_shards_done(progress_.shards_done() + 1);
    if (failure == failed_.end()) {
      served_by_.answered.push_back(event.shard);
      replayed_ = replayed_ && event.replayed;
      affected_ += event.affected;
      Async<absl::Status> header = SendHeader(nullptr);
      const absl::Status headed = co_await header;
      if (!headed.ok()) co_return headed;
    } else {
      progress_.set_shards_failed(progress_.shards_failed() + 1);
    }
    Response message;
    FillShardStatus(name, failure == failed_.end() ? absl::OkStatus() : failure->second,
                    message.mutable_shard_status());
    Future<absl::Status> sent = writer_.Write(message);
    const absl::Status status = co_await sent;
    if (!status.ok() || !options_.progress_after_shard) co_return status;
    Async<absl::Status> progress = SendProgress();
    co_return co_await progress;
  }

  const RawSqlLimits& limits_;
  const SqlCallOptions& options_;
  const std::shared_ptr<const Snapshot> snapshot_;
  StreamWriter<Response> writer_;
  bool header_sent_ = false;
  RowHeader header_;
  v1::Progress progress_;
  ServedBy served_by_;
  int64_t affected_ = 0;
  bool replayed_ = true;
  std::map<std::string, absl::Status> failed_;
};

template <typename Response>
Async<absl::Status> StreamSql(const RawSqlOperation& op, const SqlCallOptions& options,
                              const std::string& transaction_id, const RawSqlLimits& limits, CallScope& scope,
                              StreamWriter<Response> writer) {
  SqlReply<Response> reply(limits, options, scope.engine->snapshot(), writer);
  Async<absl::StatusOr<std::unique_ptr<SqlStream>>> run =
      scope.engine->RunSql(op, options.fail_fast, transaction_id, scope.ctx);
  absl::StatusOr<std::unique_ptr<SqlStream>> stream = co_await run;
  if (!stream.ok()) co_return stream.status();
  SqlEvents events(scope.ctx.loop, *std::move(stream), limits.progress_interval);
  reply.Begin(events.stream().shards());
  while (true) {
    Async<SqlEvents::Turn> next = events.Next();
    SqlEvents::Turn turn = co_await next;
    if (!turn.beat && !turn.event.has_value()) break;
    Async<absl::Status> send = turn.beat ? reply.SendProgress() : reply.OnEvent(*turn.event);
    const absl::Status status = co_await send;
    if (!status.ok()) co_return status;
  }
  Async<absl::Status> summary = reply.SendSummary();
  co_return co_await summary;
}

template <typename Request>
SqlCallOptions OptionsOf(const Request& request, const RawSqlLimits& limits) {
  SqlCallOptions options;
  options.rows_max = request.max_rows() > 0 ? request.max_rows() : limits.rows_max;
  options.bytes_max = request.max_bytes() > 0 ? request.max_bytes() : limits.bytes_max;
  return options;
}

// The engine ends a write before it commits; what is counted here comes too late for that.
RawSqlOperation Bounded(RawSqlOperation op, const SqlCallOptions& options) {
  if (op.allow_writes) op.bounds = {options.rows_max, options.bytes_max};
  return op;
}

Async<absl::Status> OnShard(RawSqlLimits limits, const v1::OnShardRequest& request, CallScope& scope,
                            StreamWriter<v1::OnShardResponse> writer) {
  QUARRY_CO_ASSIGN_OR_RETURN(RawSqlOperation asked, ToOperation(request));
  SqlCallOptions options = OptionsOf(request, limits);
  const RawSqlOperation op = Bounded(std::move(asked), options);
  if (op.allow_writes) options.bytes_max = std::numeric_limits<int64_t>::max();  // By the engine's count alone.
  Async<absl::Status> stream = StreamSql(op, options, request.transaction_id(), limits, scope, writer);
  co_return co_await stream;
}

Async<absl::Status> OnAllShards(RawSqlLimits limits, const v1::OnAllShardsRequest& request, CallScope& scope,
                                StreamWriter<v1::OnAllShardsResponse> writer) {
  QUARRY_CO_ASSIGN_OR_RETURN(RawSqlOperation asked, ToOperation(request));
  SqlCallOptions options = OptionsOf(request, limits);
  const RawSqlOperation op = Bounded(std::move(asked), options);
  if (op.width > limits.width_max) {
    co_return InvalidField("max_parallel", absl::StrCat("is over the configured ", limits.width_max));
  }
  options.fail_fast = request.mode() != v1::FAILURE_MODE_BEST_EFFORT;
  options.progress_after_shard = true;
  const std::string no_transaction;
  Async<absl::Status> stream = StreamSql(op, options, no_transaction, limits, scope, writer);
  co_return co_await stream;
}

}  // namespace

void AddShardService(RpcTable& table, const RawSqlLimits& limits) {
  table.AddServerStream<v1::OnShardRequest, v1::OnShardResponse>(
      kShardService, "OnShard",
      [limits](const v1::OnShardRequest& request, CallScope& scope, StreamWriter<v1::OnShardResponse> writer) {
        return OnShard(limits, request, scope, writer);
      });
  table.AddServerStream<v1::OnAllShardsRequest, v1::OnAllShardsResponse>(
      kShardService, "OnAllShards",
      [limits](const v1::OnAllShardsRequest& request, CallScope& scope,
               StreamWriter<v1::OnAllShardsResponse> writer) { return OnAllShards(limits, request, scope, writer); });
}

}  // namespace quarry
