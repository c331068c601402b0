#include "server/service/sql_events.h"

#include <utility>

namespace quarry {

SqlEvents::SqlEvents(Loop& loop, std::unique_ptr<SqlStream> stream, absl::Duration interval)
    : loop_(loop), stream_(std::move(stream)), interval_(interval), next_beat_(loop.Now() + interval) {}

void SqlEvents::Ask() {
  if (asked_) return;
  asked_ = true;
  arrived_ = false;
  asking_ = Running(stream_->Next(), [this](std::optional<SqlEvent> event) {
    event_ = std::move(event);
    arrived_ = true;
    if (wake_.has_value()) wake_->Set(true);
  });
}

Async<SqlEvents::Turn> SqlEvents::Next() {
  wake_.reset();
  Ask();
  Turn turn;
  if (!arrived_) {
    Completer<bool> wake(loop_);
    wake_.emplace(wake);
    const Timer beat(loop_, next_beat_, [wake]() mutable { wake.Set(false); });
    Future<bool> woken = wake.future();
    co_await woken;
  }
  if (!arrived_) {
    next_beat_ = loop_.Now() + interval_;
    turn.beat = true;
    co_return turn;
  }
  asked_ = false;
  turn.event = std::exchange(event_, std::nullopt);
  co_return turn;
}

}  // namespace quarry
