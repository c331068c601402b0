// A PostgreSQL database as a Backend: shared pipelined connections for single statements, leased ones for the rest.
#pragma once

#include <memory>

#include "core/backend/backend.h"
#include "core/backend/postgres/options.h"
#include "core/base/loop.h"

namespace quarry {

// Connects to nothing before the first call, so a server that is down does not matter here. `loop` outlives the
// backend, and the backend its sessions and calls.
std::unique_ptr<Backend> MakePostgresBackend(Loop& loop, PostgresOptions options);

}  // namespace quarry
