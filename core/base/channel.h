// A bounded queue between coroutines of one loop: a full one makes the producer wait, an empty one the consumer.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/async.h"
#include "core/base/loop.h"

namespace quarry {

// Several producers, one consumer.
template <typename T>
class Channel {
 public:
  Channel(Loop& loop, size_t capacity) : loop_(loop), capacity_(capacity) {}

  Async<void> Push(T item) {
    while (items_.size() >= capacity_) {
      Completer<bool> space(loop_);
      waiting_producers_.push_back(space);
      Future<bool> ready = space.future();
      co_await ready;
    }
    items_.push_back(std::move(item));
    WakeConsumer();
  }
  // No more items will come: Pop answers nullopt once those queued are taken.
  void Close() {
    closed_ = true;
    WakeConsumer();
  }
  Async<std::optional<T>> Pop() {
    while (items_.empty()) {
      if (closed_) co_return std::nullopt;
      // One that was woken before may have been dropped since, with its turn.
      WakeProducer();
      Completer<bool> arrival(loop_);
      waiting_consumer_ = arrival;
      Future<bool> ready = arrival.future();
      co_await ready;
    }
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    WakeProducer();
    co_return item;
  }

 private:
  void WakeProducer() {
    while (!waiting_producers_.empty()) {
      Completer<bool> space = std::move(waiting_producers_.front());
      waiting_producers_.pop_front();
      if (space.abandoned()) continue;
      space.Set(true);
      return;
    }
  }
  void WakeConsumer() {
    if (std::optional<Completer<bool>> waiting = std::exchange(waiting_consumer_, std::nullopt)) waiting->Set(true);
  }

  Loop& loop_;  // Outlives this.
  const size_t capacity_;
  bool closed_ = false;
  std::deque<T> items_;
  std::deque<Completer<bool>> waiting_producers_;
  std::optional<Completer<bool>> waiting_consumer_;
};

}  // namespace quarry
