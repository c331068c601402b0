// The process's log: one line an event on stderr, as text or as JSON.
#pragma once

#include <memory>

#include "core/config/config.h"
#include "spdlog/logger.h"

namespace quarry {

// Sets the default logger of the process up and returns it.
std::shared_ptr<spdlog::logger> StartLogging(const LogConfig& config);

}  // namespace quarry
