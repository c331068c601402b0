// Makes generated shard keys repeatable. A retry of a write makes fresh values, and a fresh shard key would lead it to another
// shard, where nobody knows its request_id. So the first try's values are stored under the request_id on one shard that
// every try finds, and a retry gets those back.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "core/backend/backend.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/model/operation.h"
#include "core/plan/snapshot.h"

namespace quarry {

// True when a retry of `op` could land on another shard: it has a request_id and a generated shard-key column.
bool NeedsStoredKeys(const WriteOperation& op, const Snapshot& snapshot);

// Puts the first try's generated values into `op`, whose generated columns are filled with this try's. Costs one durable write.
// The shard is chosen by the request_id and the number of shards: a retry after a change of the topology may miss it.
// References outlive the Async.
Async<absl::Status> StoreGeneratedKeys(WriteOperation& op, const Snapshot& snapshot,
                                       const std::vector<std::unique_ptr<Backend>>& shards, const CallContext& ctx);

// The same request_id with the digit of its UUID's version replaced by one that no client makes: the id of a part that is stored
// beside the request's own on the same shard.
std::string RequestIdOfPart(const std::string& request_id, char digit);

}  // namespace quarry
