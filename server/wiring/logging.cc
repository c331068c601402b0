#include "server/wiring/logging.h"

#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "google/protobuf/stubs/logging.h"
#include "nlohmann/json.hpp"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

// One JSON object a line. A message that is an object already, as the access log writes, keeps its fields.
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& out) override {
    nlohmann::json line;
    const std::string text(message.payload.data(), message.payload.size());
    if (!text.empty() && text.front() == '{') line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object()) line = {{"message", text}};
    const auto level = spdlog::level::to_string_view(message.level);
    line["level"] = std::string(level.data(), level.size());
    line["time"] = absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::FromChrono(message.time), absl::UTCTimeZone());
    const std::string rendered = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    out.append(rendered.data(), rendered.data() + rendered.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

// Protobuf tells of malformed requests on its own; their callers get the error, so it is no news to operators.
void LogProtobuf(google::protobuf::LogLevel, const char*, int, const std::string& message) {
  spdlog::debug("protobuf: {}", message);
}

}  // namespace

std::shared_ptr<spdlog::logger> StartLogging(const LogConfig& config) {
  auto logger = std::make_shared<spdlog::logger>("quarry", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(config.level));
  if (config.format == "json") {
    logger->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
  }
  spdlog::set_default_logger(logger);
  google::protobuf::SetLogHandler(&LogProtobuf);
  return logger;
}

}  // namespace quarry
