// Plain tasks for tests that do not care what is in them.
#pragma once

#include <string>

#include "core/model/statement.h"

namespace quarry {

inline Task AnyRead() {
  Task task;
  task.steps.resize(1);
  task.steps[0].statements.resize(1);
  task.steps[0].statements[0].returns_rows = true;
  return task;
}

inline Task AnyWrite() {
  Task task;
  task.steps.resize(1);
  task.steps[0].statements.resize(1);
  task.steps[0].statements[0].writes = true;
  return task;
}

inline Task GuardedWrite(const std::string& request_id) {
  Task task = AnyWrite();
  RequestGuard guard;
  guard.request_id = request_id;
  guard.request_hash = 1;
  task.guard = guard;
  return task;
}

}  // namespace quarry
