// The embedded default: a data directory with four SQLite shards and a sample shop in them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/config/config.h"
#include "server/wiring/gateway.h"

namespace quarry {

// examples/quickstart/schema.sql and quarry.yaml.
extern const char kQuickstartSchema[];
extern const char kQuickstartConfig[];

// True when the directory has no whole shop yet, and so wants the schema and the seeds: nothing is there, or a start
// that was to make it ended before SeedShop did. Notes the beginning in the directory.
bool BeginQuickstart(const std::string& data_dir);
// The quickstart's configuration, with its data in `data_dir`.
absl::StatusOr<Config> QuickstartConfig(const std::string& data_dir, ConfigOptions options);
// Fills the shop with sample rows, through the engine: every row goes where its key says. The same rows each time;
// those that an earlier start wrote stay.
absl::Status SeedShop(Gateway& gateway);

}  // namespace quarry
