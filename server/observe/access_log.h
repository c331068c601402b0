// One line for each call that deserves one: errors of the server's own and slow calls at warning, all others at debug.
// Lines hold no row data, no SQL and no metadata but the call's id. Thread-safe.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/base/context.h"
#include "spdlog/logger.h"

namespace quarry {

struct AccessLogOptions {
  bool json = false;
  absl::Duration slow = absl::Seconds(1);  // Unary calls that take longer are logged at warning.
};

struct AccessEntry {
  std::string_view method;  // "/quarry.v1.DataService/Get"
  bool unary = true;
  const absl::Status& status;
  absl::Duration took;
  Stage stage = Stage::kQueue;
  std::string_view call_id;
};

class AccessLog {
 public:
  AccessLog(std::shared_ptr<spdlog::logger> logger, AccessLogOptions options)
      : logger_(std::move(logger)), options_(options) {}
  void Write(const AccessEntry& entry);

 private:
  std::string Line(const AccessEntry& entry) const;
  const std::shared_ptr<spdlog::logger> logger_;
  const AccessLogOptions options_;
};

}  // namespace quarry
