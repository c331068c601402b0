// One line at warning for each query that took long: its shape, never its values. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "core/engine/query_shape.h"
#include "spdlog/logger.h"

namespace quarry {

struct SlowQueryOptions {
  bool json = false;
  absl::Duration threshold = absl::Seconds(1);  // Zero: nothing is logged.
};

struct SlowQuery {
  const QueryShape& shape;
  const absl::Status& status;
  absl::Duration took;
  int64_t rows = 0;
  size_t shards = 0;  // Asked.
};

class SlowQueryLog {
 public:
  SlowQueryLog(std::shared_ptr<spdlog::logger> logger, SlowQueryOptions options)
      : logger_(std::move(logger)), options_(options) {}
  // Writes when the query took at least the threshold.
  void Write(const SlowQuery& query);

 private:
  std::string Line(const SlowQuery& query) const;
  const std::shared_ptr<spdlog::logger> logger_;
  const SlowQueryOptions options_;
};

}  // namespace quarry
