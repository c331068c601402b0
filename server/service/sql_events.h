// The events of a SqlStream with a beat: while the shards say nothing, the caller still hears that the call goes on.
#pragma once

#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "core/base/async.h"
#include "core/base/loop.h"
#include "core/engine/engine.h"

namespace quarry {

class SqlEvents {
 public:
  struct Turn {
    bool beat = false;              // `interval` has passed since the last beat.
    std::optional<SqlEvent> event;  // When it is no beat: the next event, or nothing at the end.
  };

  // `loop` outlives this.
  SqlEvents(Loop& loop, std::unique_ptr<SqlStream> stream, absl::Duration interval);
  SqlEvents(const SqlEvents&) = delete;
  SqlEvents& operator=(const SqlEvents&) = delete;

  // One at a time.
  Async<Turn> Next();
  const SqlStream& stream() const { return *stream_; }

 private:
  void Ask();

  Loop& loop_;
  std::unique_ptr<SqlStream> stream_;
  const absl::Duration interval_;
  absl::Time next_beat_;
  bool asked_ = false;
  bool arrived_ = false;
  std::optional<SqlEvent> event_;
  std::optional<Completer<bool>> wake_;
  Running asking_;  // Last: it uses all of the above.
};

}  // namespace quarry
