#include "server/observe/slow_query_log.h"

#include "absl/strings/str_format.h"
#include "nlohmann/json.hpp"
#include "server/observe/rpc_metrics.h"

namespace quarry {

void SlowQueryLog::Write(const SlowQuery& query) {
  if (options_.threshold <= absl::ZeroDuration() || query.took < options_.threshold) return;
  if (!logger_->should_log(spdlog::level::warn)) return;
  logger_->log(spdlog::level::warn, Line(query));
}

std::string SlowQueryLog::Line(const SlowQuery& query) const {
  const double millis = absl::ToDoubleMilliseconds(query.took);
  if (options_.json) {
    const nlohmann::json line = {{"event", "slow_query"},
                                 {"method", query.shape.method},
                                 {"table", query.shape.table},
                                 {"shape", query.shape.text},
                                 {"query_id", QueryIdText(query.shape.id)},
                                 {"code", GrpcCodeName(query.status.code())},
                                 {"duration_ms", millis},
                                 {"rows", query.rows},
                                 {"shards", query.shards}};
    return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  // A shape holds names as callers sent them: quotes and escapes keep the line one line.
  const std::string shape =
      nlohmann::json(query.shape.text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const std::string table =
      nlohmann::json(query.shape.table).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return absl::StrFormat("slow query %s %s %s %s %.2fms rows=%d shards=%d query=%s", query.shape.method, table, shape,
                         GrpcCodeName(query.status.code()), millis, query.rows, query.shards,
                         QueryIdText(query.shape.id));
}

}  // namespace quarry
