#include "core/merge/ordered_merge.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace quarry {

OrderedMerge::OrderedMerge(OrderedMergeSpec spec, size_t runs) : spec_(std::move(spec)), runs_(runs), hungry_(runs) {
  heap_.reserve(runs);
}

bool OrderedMerge::finished() const {
  return (spec_.limit > 0 && given_ >= spec_.limit) || (hungry_ == 0 && heap_.empty());
}

std::optional<size_t> OrderedMerge::Wants() const {
  if (hungry_ == 0 || finished()) return std::nullopt;
  // There is one, since hungry_ counts them.
  const auto hungry = std::find_if(runs_.begin(), runs_.end(), [](const Run& run) {
    return !run.closed && run.at == run.rows.size();
  });
  return static_cast<size_t>(hungry - runs_.begin());
}

// Of equal rows that of the first run comes first, so that the result does not depend on which shard was quick.
bool OrderedMerge::Before(size_t a, size_t b) const {
  const int compared = CompareRows(runs_[a].rows[runs_[a].at], runs_[b].rows[runs_[b].at], spec_.order);
  return compared != 0 ? compared < 0 : a < b;
}

void OrderedMerge::Add(size_t run, std::vector<Row> rows) {
  Run& fed = runs_[run];
  if (rows.empty() || fed.closed) return;
  if (fed.at < fed.rows.size()) {
    fed.rows.insert(fed.rows.end(), std::make_move_iterator(rows.begin()), std::make_move_iterator(rows.end()));
    return;
  }
  fed.rows = std::move(rows);
  fed.at = 0;
  --hungry_;
  heap_.push_back(run);
  std::push_heap(heap_.begin(), heap_.end(), [this](size_t a, size_t b) { return Before(b, a); });
}

void OrderedMerge::Close(size_t run) {
  Run& ended = runs_[run];
  if (ended.closed) return;
  ended.closed = true;
  if (ended.at == ended.rows.size()) --hungry_;
}

void OrderedMerge::SinkTop() {
  size_t at = 0;
  for (size_t child = 1; child < heap_.size(); child = 2 * at + 1) {
    if (child + 1 < heap_.size() && Before(heap_[child + 1], heap_[child])) ++child;
    if (!Before(heap_[child], heap_[at])) return;
    std::swap(heap_[child], heap_[at]);
    at = child;
  }
}

Row OrderedMerge::TakeTop() {
  Run& run = runs_[heap_.front()];
  Row row = std::move(run.rows[run.at++]);
  if (run.at == run.rows.size()) {
    run.rows.clear();
    run.at = 0;
    if (!run.closed) ++hungry_;
    heap_.front() = heap_.back();
    heap_.pop_back();
  }
  SinkTop();
  return row;
}

std::optional<OrderedMerge::Item> OrderedMerge::Next() {
  // While a run is to be fed, its next row may be the least of all.
  while (hungry_ == 0 && !finished()) {
    Item item;
    item.run = heap_.front();
    item.row = TakeTop();
    if (spec_.distinct) {
      if (last_.has_value() && CompareRows(*last_, item.row, spec_.order) == 0) continue;
      last_ = item.row;
    }
    if (skipped_ < spec_.offset) {
      ++skipped_;
      continue;
    }
    ++given_;
    return item;
  }
  return std::nullopt;
}

}  // namespace quarry
