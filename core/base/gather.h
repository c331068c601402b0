// Runs several coroutines at once on one loop and collects their results in the order given.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/async.h"
#include "core/base/loop.h"

namespace quarry {

struct GatherOptions {
  // At most this many run at the same time.
  size_t width = 64;
  // The first failure drops the others, whose results are then kCancelled.
  bool stop_at_first_error = true;
};

namespace gather_internal {
template <typename T>
struct State {
  State(Loop& loop, size_t size) : results(size), done(loop) {}
  std::vector<Async<absl::StatusOr<T>>> waiting;
  std::vector<std::optional<absl::StatusOr<T>>> results;
  std::vector<Running> running;
  size_t next = 0;
  size_t finished = 0;
  bool stopped = false;
  Completer<bool> done;
};

template <typename T>
void StartNext(State<T>* state, const GatherOptions& options) {
  if (state->stopped || state->next >= state->waiting.size()) return;
  const size_t index = state->next++;
  state->running[index] =
      Running(std::move(state->waiting[index]), [state, index, options](absl::StatusOr<T> result) {
        const bool failed = !result.ok();
        state->results[index] = std::move(result);
        ++state->finished;
        if (failed && options.stop_at_first_error) state->stopped = true;
        if (state->stopped || state->finished == state->results.size()) {
          state->done.Set(true);
        } else {
          StartNext(state, options);
        }
      });
}
}  // namespace gather_internal

template <typename T>
Async<std::vector<absl::StatusOr<T>>> Gather(Loop& loop, std::vector<Async<absl::StatusOr<T>>> work,
                                             GatherOptions options) {
  std::vector<absl::StatusOr<T>> results;
  results.reserve(work.size());
  if (work.size() == 1) {
    Async<absl::StatusOr<T>> only = std::move(work[0]);
    results.push_back(co_await only);
    co_return results;
  }
  if (work.empty()) co_return results;
  // Owned here and by nobody else: dropping this frame drops `running`, whose callbacks then never run.
  const auto state = std::make_unique<gather_internal::State<T>>(loop, work.size());
  state->waiting = std::move(work);
  state->running.resize(state->waiting.size());
  const size_t first = std::min(std::max<size_t>(options.width, 1), state->waiting.size());
  for (size_t i = 0; i < first; ++i) gather_internal::StartNext(state.get(), options);
  co_await state->done.future();
  for (std::optional<absl::StatusOr<T>>& result : state->results) {
    if (result.has_value()) {
      results.push_back(*std::move(result));
    } else {
      results.push_back(absl::CancelledError("dropped: another part of the call failed"));
    }
  }
  co_return results;
}

}  // namespace quarry
