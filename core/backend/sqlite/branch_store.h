// The sidecar database beside a shard's file, "<file>-branches": what prepared branches have changed, so that a branch
// whose process ended can still be committed. One thread at a time. It appears with the first branch.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/sqlite/connection.h"
#include "core/backend/two_phase.h"

namespace quarry::sqlite {

struct StoredBranch {
  GlobalTransaction transaction;
  absl::Time created;
};

class BranchStore {
 public:
  // Of the shard that `shard` connects to.
  explicit BranchStore(const ConnectionOptions& shard);

  const std::string& file() const { return options_.file; }
  // All, oldest first; none without a sidecar. kDataLoss SHARD_CORRUPT when it is damaged.
  absl::StatusOr<std::vector<StoredBranch>> List();
  // Durable once it has answered OK. Forgets all others: they have ended, or nothing more could be prepared. After an error
  // the branch may still come back when the file is opened again.
  absl::Status Store(const StoredBranch& branch, const std::string& changeset);
  // kDataLoss SHARD_CORRUPT when it is not what was stored.
  absl::StatusOr<std::string> Load(const std::string& transaction_id);
  // Not durable at once: a branch that comes back is found to have ended.
  absl::Status Remove(const std::string& transaction_id);
  // Until it is used again.
  void Close() { connection_.reset(); }

 private:
  absl::Status Open();
  absl::Status StoreIn(Connection& connection, const StoredBranch& branch, const std::string& changeset);

  const ConnectionOptions options_;
  std::unique_ptr<Connection> connection_;  // Null until it is needed, and after an error.
};

}  // namespace quarry::sqlite
