// The channels of a run, and what a run must know about the server before it starts.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "loadtest/quarry_load/request_builder.h"
#include "loadtest/quarry_load/scenario.h"
#include "loadtest/quarry_load/worker.h"

namespace quarry::load {

// For each thread its channels, all connected. kUnavailable when that does not happen within the
// scenario's connect_timeout.
absl::StatusOr<std::vector<Channels>> Connect(const Scenario& scenario, const std::string& address);

// Keys of the scenario's key space in groups that live on one shard each, as
// SchemaService.ResolveKey says. Errors as of that call; kFailedPrecondition when no group is large
// enough for a commit.
absl::StatusOr<KeysByShard> GroupKeysByShard(const Scenario& scenario,
                                             const std::shared_ptr<grpc::Channel>& channel);

}  // namespace quarry::load
