// Rows of one statement, a batch at a time, from a lane.
#pragma once

#include <atomic>
#include <memory>

#include "core/backend/backend.h"
#include "core/backend/sqlite/core.h"
#include "core/backend/sqlite/gate.h"

namespace quarry::sqlite {

struct StreamOptions {
  std::shared_ptr<Lane> lane;
  Begin begin = Begin::kNothing;  // Kept from the first statement on; kNothing without `in_transaction`: stands alone.
  bool in_transaction = false;    // The transaction must be open.
  bool commit = false;            // The stream's end commits, before it is told.
  std::shared_ptr<Gate> gate;     // That commit passes it, unless it is null.
  std::shared_ptr<std::atomic<bool>> wrote;  // Set when the statement may write; may be null.
};

Async<absl::StatusOr<std::unique_ptr<RowStream>>> OpenStream(std::shared_ptr<Core> core,
                                                             StreamOptions options, Statement statement,
                                                             absl::Time deadline);

}  // namespace quarry::sqlite
