// A compact, stable byte form of a task's result: what is stored beside a request id. Versioned by its first byte.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/model/statement.h"

namespace quarry {

// Statuses keep code, message and payloads. `replayed` is not stored.
std::string EncodeTaskResult(const TaskResult& result);
// kDataLoss when the bytes are not of a known version or are cut.
absl::StatusOr<TaskResult> DecodeTaskResult(std::string_view bytes);

// The canonical bytes of one value: equal values give equal bytes on every machine, except that 0.0 and -0.0 differ.
// Also feeds etags.
void AppendValue(const Value& value, std::string* out);
// Takes what AppendValue wrote from the front of `bytes`; kDataLoss when there is no whole value.
absl::StatusOr<Value> TakeValue(std::string_view* bytes);

}  // namespace quarry
