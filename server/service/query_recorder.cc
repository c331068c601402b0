#include "server/service/query_recorder.h"

namespace quarry {

QueryWatch::QueryWatch(QueryRecorder& recorder, const CallScope& scope, QueryShape shape, MakeExample make_example)
    : recorder_(recorder),
      scope_(scope),
      shape_(std::move(shape)),
      make_example_(std::move(make_example)),
      began_(scope.ctx.loop.Now()) {
  scope_.ctx.shard_costs = &shards_;
}

QueryWatch::~QueryWatch() {
  if (!ended_) Ended(absl::CancelledError("the caller has gone"), 0);
  scope_.ctx.shard_costs = nullptr;
}

void QueryWatch::Ended(const absl::Status& status, int64_t rows) {
  ended_ = true;
  if (absl::IsInvalidArgument(status) || absl::IsNotFound(status)) return;
  QueryCost cost;
  cost.rows = rows;
  cost.shards = shards_;
  cost.time = scope_.ctx.loop.Now() - began_;
  cost.failed = !status.ok();
  recorder_.stats_.Record(scope_.loop_index, shape_, cost, make_example_);
  if (recorder_.slow_ != nullptr) {
    recorder_.slow_->Write({shape_, status, cost.time, cost.rows, cost.shards.size()});
  }
}

}  // namespace quarry
