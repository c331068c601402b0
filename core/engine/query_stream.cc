#include "core/engine/query_stream.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/query_run.h"
#include "core/engine/shard_rows.h"
#include "core/merge/ordered_merge.h"
#include "core/plan/page_token.h"

namespace quarry {
namespace {

absl::Status OverBound(const char* field, int64_t bound, const char* unit) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("the question returns more than ", bound, " ", unit, " (", field,
                                "); narrow the filter, give a limit, or raise ", field),
                   {{"field", field}, {"limit", absl::StrCat(bound)}});
}

int64_t SizeOf(const Row& row) {
  size_t size = 0;
  for (const Value& value : row) size += ByteSize(value);
  return static_cast<int64_t>(size);
}

class MergedQuery final : public QueryStream {
 public:
  explicit MergedQuery(QueryRun run)
      : run_(std::move(run)), merge_(run_.plan.merge, run_.plan.statements.size()) {
    summary_.served_by.epoch = run_.snapshot->topology.epoch();
    for (size_t i = 0; i < run_.plan.statements.size(); ++i) {
      runs_.emplace_back(SourcesOf(i), run_.transaction == nullptr ? nullptr : &run_.transaction->session(run_.plan.statements[i].first), *run_.ctx,
                         [this, i] { Changed(i); });
    }
    if (runs_.empty() && run_.transaction != nullptr) run_.transaction->Done(absl::OkStatus());
  }

  ~MergedQuery() override {
    const bool idle = std::all_of(runs_.begin(), runs_.end(), [](const ShardRows& run) { return run.idle(); });
    // A reader that has enough does not end its transaction; one that goes while the database works does.
    if (idle && !done_ && ended_.ok()) EndTransaction(absl::OkStatus());
  }

  const RowHeader& header() const override { return run_.plan.header; }
  const QuerySummary& summary() const override { return summary_; }

  Async<absl::StatusOr<std::optional<QueryBatch>>> Next() override {
    if (!ended_.ok()) co_return ended_;
    if (done_) co_return std::optional<QueryBatch>();
    StartMore();
    QueryBatch batch;
    int64_t bytes = 0;
    while (true) {
      if (!held_.has_value()) {
        // Not for every row: a frame costs time, and where calls of coroutines are no jumps (gcc without optimization)
        // each one in this loop takes more of the stack.
        if (merge_.Wants().has_value() || !Failure().ok()) {
          const absl::Status fed = co_await Feed();
          if (!fed.ok()) co_return Fail(fed);
        }
        std::optional<OrderedMerge::Item> item = merge_.Next();
        if (!item.has_value() && merge_.finished()) break;
        if (!item.has_value()) continue;
        held_ = *std::move(item);
      }
      const int64_t size = SizeOf(held_->row);
      if (!batch.rows.empty() && bytes + size > run_.batch_bytes) break;
      bytes += size;
      bytes_ += size;
      ++summary_.rows;
      if (run_.origins != nullptr) run_.origins->push_back(runs_[held_->run].shard());
      batch.rows.push_back(std::move(held_->row));
      held_.reset();
      const absl::Status within = CheckWithin();
      if (!within.ok()) co_return Fail(within);
    }
    if (!held_.has_value()) {
      Finish();
    } else {
      Tell();
    }
    if (batch.rows.empty()) co_return std::optional<QueryBatch>();
    Seal(batch);
    co_return std::optional<QueryBatch>(std::move(batch));
  }

 private:
  std::vector<ShardSource> SourcesOf(size_t i) const {
    std::vector<ShardSource> sources;
    const auto add = [&](const std::pair<ShardId, Statement>& statement) {
      ShardSource source;
      source.shard = statement.first;
      source.statement = &statement.second;
      source.backend = (*run_.shards)[Index(statement.first)].get();
      sources.push_back(source);
    };
    add(run_.plan.statements[i]);
    for (const std::pair<ShardId, Statement>& statement : run_.plan.alternates) add(statement);
    return sources;
  }

  // Within a reader's own work: what destroys readers is left to the loop.
  void Changed(size_t i) {
    if (std::optional<Completer<bool>> waiting = std::exchange(waiting_, std::nullopt)) waiting->Set(true);
    if (runs_[i].ended() && !runs_[i].status().ok() && !run_.allow_partial) {
      run_.ctx->loop.Defer([weak = std::weak_ptr<bool>(alive_), this] {
        if (!weak.expired()) StopOthers();
      });
    } else if (runs_[i].opened()) {
      run_.ctx->loop.Defer([weak = std::weak_ptr<bool>(alive_), this] {
        if (!weak.expired() && !done_ && ended_.ok()) StartMore();
      });
    }
  }
  void StopOthers() {
    for (ShardRows& run : runs_) {
      if (!run.ended()) run.Stop();
    }
    stopped_ = true;
  }
  // All shards stay open for the merge; the width bounds how many are being opened.
  void StartMore() {
    if (stopped_) return;
    size_t opening = 0;
    for (const ShardRows& run : runs_) opening += run.started() && !run.opened() ? 1 : 0;
    for (ShardRows& run : runs_) {
      if (opening >= std::max<size_t>(run_.width, 1)) return;
      if (run.started()) continue;
      run.Start();
      opening += run.opened() ? 0 : 1;
    }
  }

  const std::string& NameOf(const ShardRows& run) const { return run_.snapshot->topology.name(run.shard()); }

  // Gives the merge what it waits for.
  Async<absl::Status> Feed() {
    while (true) {
      const absl::Status failure = Failure();
      if (!failure.ok()) co_return failure;
      const std::optional<size_t> wanted = merge_.Wants();
      if (!wanted.has_value()) co_return absl::OkStatus();
      ShardRows& run = runs_[*wanted];
      if (run.ready()) {
        merge_.Add(*wanted, run.Take());
      } else if (run.ended()) {
        merge_.Close(*wanted);
      } else {
        Completer<bool> changed(run_.ctx->loop);
        waiting_ = changed;
        Future<bool> future = changed.future();
        co_await future;
      }
    }
  }
  // The first failure that is not of a part that may be missing.
  absl::Status Failure() const {
    if (run_.allow_partial) return absl::OkStatus();
    for (const ShardRows& run : runs_) {
      if (run.ended() && !run.status().ok()) return OnShard(run.status(), NameOf(run));
    }
    return absl::OkStatus();
  }

  absl::Status CheckWithin() const {
    const RowBounds& bounds = run_.bounds;
    if (bounds.rows_max > 0 && summary_.rows > bounds.rows_max) return OverBound("max_rows", bounds.rows_max, "rows");
    if (bounds.bytes_max > 0 && bytes_ > bounds.bytes_max) return OverBound("max_bytes", bounds.bytes_max, "bytes");
    return absl::OkStatus();
  }

  void Seal(QueryBatch& batch) const {
    if (run_.sealer != nullptr) {
      QueryPosition position;
      position.after = PositionOf(batch.rows.back(), run_.plan.merge.order);
      position.given = run_.given + summary_.rows;
      // Sort values too long for a token: the stream goes on, it only cannot be resumed there.
      batch.resume_token = SealPosition(position, run_.request_hash, *run_.sealer).value_or("");
    }
    if (!run_.hide_sort_keys) return;
    for (Row& row : batch.rows) row.resize(std::min(row.size(), run_.plan.visible));
  }

  absl::Status Fail(const absl::Status& status) {
    ended_ = status;
    Tell();
    EndTransaction(status);
    for (ShardRows& run : runs_) run.Stop();
    return status;
  }
  void Finish() {
    done_ = true;
    Tell();
    for (ShardRows& run : runs_) run.Stop();
    EndTransaction(absl::OkStatus());
  }
  void EndTransaction(const absl::Status& status) {
    if (run_.transaction == nullptr) return;
    for (ShardRows& run : runs_) run.Stop();
    run_.transaction->Done(status);
  }
  void Tell() {
    summary_.rows_read.clear();
    summary_.failed.clear();
    summary_.served_by.asked.clear();
    summary_.served_by.level = run_.level;
    summary_.served_by.answered.clear();
    for (const ShardRows& run : runs_) {
      if (!run.started()) continue;
      for (size_t tried = 0; tried < run.tried(); ++tried) summary_.served_by.asked.push_back(run.sources()[tried].shard);
      summary_.rows_read.emplace_back(run.shard(), run.rows_read());
      if (run.ended() && !run.status().ok()) {
        summary_.failed.emplace_back(run.shard(), OnShard(run.status(), NameOf(run)));
      } else if (run.opened()) {
        summary_.served_by.answered.push_back(run.shard());
      }
    }
  }

  QueryRun run_;
  OrderedMerge merge_;
  QuerySummary summary_;
  int64_t bytes_ = 0;
  bool done_ = false;
  bool stopped_ = false;
  std::optional<OrderedMerge::Item> held_;  // Merged, but in no batch yet.
  absl::Status ended_;
  std::optional<Completer<bool>> waiting_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::deque<ShardRows> runs_;  // Last: they speak to the rest.
};

}  // namespace

std::unique_ptr<QueryStream> StartQueryStream(QueryRun run) { return std::make_unique<MergedQuery>(std::move(run)); }

Row PositionOf(const Row& row, const std::vector<SortTerm>& order) {
  Row values;
  values.reserve(order.size());
  for (const SortTerm& term : order) values.push_back(row[term.position]);
  return values;
}

}  // namespace quarry
