// Rows of one statement, a batch at a time, from a lane.
#pragma once

#include <memory>

#include "core/backend/backend.h"
#include "core/backend/sqlite/core.h"

namespace quarry::sqlite {

struct StreamOptions {
  std::shared_ptr<Lane> lane;
  const char* begin = nullptr;  // What opens the transaction first; null when nothing does.
  bool in_transaction = false;  // The transaction must be open.
  bool commit = false;          // The stream's end commits, before it is told.
};

Async<absl::StatusOr<std::unique_ptr<RowStream>>> OpenStream(std::shared_ptr<Core> core,
                                                             StreamOptions options, Statement statement,
                                                             absl::Time deadline);

}  // namespace quarry::sqlite
