// Session::RunAndPrepare for a session that has no better way: one after the other.
#pragma once

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/backend.h"
#include "core/base/error.h"

namespace quarry {

inline Async<PreparedTask> RunThenPrepare(Session& session, const Task& task, const GlobalTransaction& transaction,
                                          const CallContext& ctx) {
  PreparedTask done;
  TaskResult result;
  for (const Step& step : task.steps) {
    absl::StatusOr<StepResult> answer = co_await session.Execute(step, ctx);
    if (!answer.ok()) {
      done.status = WithFact(answer.status(), "item", absl::StrCat(step.item));
      co_return done;
    }
    result.steps.push_back(*std::move(answer));
  }
  done.status = co_await session.Prepare(transaction, ctx);
  if (done.status.ok()) done.result = std::move(result);
  co_return done;
}

}  // namespace quarry
