#include "server/observe/shard_board.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quarry {
namespace {

void Add(const BackendStats& from, BackendStats& to) {
  to.sessions_open += from.sessions_open;
  to.sessions_leased += from.sessions_leased;
  to.waiters += from.waiters;
  to.sessions_max += from.sessions_max;
  to.statements += from.statements;
  to.prepared_hits += from.prepared_hits;
  to.prepared_misses += from.prepared_misses;
  to.groups += from.groups;
  to.grouped_writes += from.grouped_writes;
  to.joined_reads += from.joined_reads;
}

// A loop that reaches the shard knows better than one that does not yet, or not now.
int Rank(ShardState state) {
  switch (state) {
    case ShardState::kUp:
      return 3;
    case ShardState::kDown:
      return 2;
    case ShardState::kOpen:
      return 1;
    case ShardState::kUnknown:
      return 0;
  }
  return 0;
}

}  // namespace

ShardBoard::ShardBoard(std::vector<std::string> shards, size_t loops)
    : by_loop_(loops, std::vector<ShardSample>(shards.size())), transactions_(loops, 0) {
  for (std::string& name : shards) {
    ShardView view;
    view.name = std::move(name);
    views_.push_back(std::move(view));
  }
}

void ShardBoard::Publish(size_t loop, const std::vector<ShardSample>& samples, size_t open_transactions,
                         absl::Time now) {
  std::vector<std::function<void()>> listeners;
  {
    const absl::MutexLock lock(&mutex_);
    by_loop_[loop] = samples;
    by_loop_[loop].resize(views_.size());
    transactions_[loop] = open_transactions;
    if (Refresh(now)) listeners = Listeners();
  }
  for (const std::function<void()>& changed : listeners) changed();
}

bool ShardBoard::Refresh(absl::Time now) {
  bool changed = false;
  for (size_t shard = 0; shard < views_.size(); ++shard) {
    ShardView& view = views_[shard];
    const ShardHealthReport* best = &by_loop_.front()[shard].health;
    view.stats = BackendStats();
    for (const std::vector<ShardSample>& samples : by_loop_) {
      Add(samples[shard].stats, view.stats);
      if (Rank(samples[shard].health.state) > Rank(best->state)) best = &samples[shard].health;
    }
    view.last_error = best->last_error;
    if (view.state == best->state) continue;
    view.state = best->state;
    view.since = now;
    changed = true;
  }
  return changed;
}

std::vector<std::function<void()>> ShardBoard::Listeners() const {
  std::vector<std::function<void()>> all;
  for (const auto& [id, changed] : listeners_) all.push_back(changed);
  return all;
}

std::vector<ShardView> ShardBoard::shards() const {
  const absl::MutexLock lock(&mutex_);
  return views_;
}

size_t ShardBoard::open_transactions() const {
  const absl::MutexLock lock(&mutex_);
  size_t sum = 0;
  for (const size_t count : transactions_) sum += count;
  return sum;
}

void ShardBoard::SetCatalogProblem(std::string problem) {
  std::vector<std::function<void()>> listeners;
  {
    const absl::MutexLock lock(&mutex_);
    if (problem == catalog_problem_) return;
    catalog_problem_ = std::move(problem);
    listeners = Listeners();
  }
  for (const std::function<void()>& changed : listeners) changed();
}

bool ShardBoard::catalog_ready() const {
  const absl::MutexLock lock(&mutex_);
  return catalog_problem_.empty();
}

void ShardBoard::SetDraining() {
  std::vector<std::function<void()>> listeners;
  {
    const absl::MutexLock lock(&mutex_);
    if (std::exchange(draining_, true)) return;
    listeners = Listeners();
  }
  for (const std::function<void()>& changed : listeners) changed();
}

bool ShardBoard::draining() const {
  const absl::MutexLock lock(&mutex_);
  return draining_;
}

std::string ShardBoard::not_ready() const {
  const absl::MutexLock lock(&mutex_);
  if (draining_) return "draining";
  const bool usable =
      std::any_of(views_.begin(), views_.end(), [](const ShardView& view) { return view.state == ShardState::kUp; });
  if (!usable) return "no shard is usable";
  if (!catalog_problem_.empty()) return absl::StrCat("the tables are not known: ", catalog_problem_);
  return "";
}

uint64_t ShardBoard::AddListener(std::function<void()> changed) {
  const absl::MutexLock lock(&mutex_);
  const uint64_t id = next_listener_++;
  listeners_.emplace(id, std::move(changed));
  return id;
}

void ShardBoard::RemoveListener(uint64_t id) {
  const absl::MutexLock lock(&mutex_);
  listeners_.erase(id);
}

ShardFeed::ShardFeed(Loop& loop, size_t loop_index, std::vector<const ShardBackend*> shards,
                     std::function<size_t()> open_transactions, ShardBoard& board, absl::Duration interval)
    : loop_(loop),
      loop_index_(loop_index),
      shards_(std::move(shards)),
      open_transactions_(std::move(open_transactions)),
      board_(board),
      interval_(interval) {
  Publish();
}

void ShardFeed::Publish() {
  std::vector<ShardSample> samples;
  samples.reserve(shards_.size());
  for (const ShardBackend* shard : shards_) samples.push_back({shard->health(), shard->stats()});
  const absl::Time now = loop_.Now();
  board_.Publish(loop_index_, samples, open_transactions_(), now);
  timer_ = Timer(loop_, now + interval_, [this] { Publish(); });
}

}  // namespace quarry
