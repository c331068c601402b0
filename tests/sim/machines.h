// Between the production machines and the models: actions as requests, replies as events. Shards are named "s0", "s1", …
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/txn/coordinator.h"
#include "core/txn/recovery.h"
#include "tests/sim/model_shard.h"

namespace quarry::sim {

// How a request ended, as the one who asked sees it.
enum class Seen : uint8_t { kReply, kNothing };  // kNothing: no answer, and it may have happened or may happen yet.

// nullopt of what is no request (kAnswer, kEnd).
std::optional<Op> OpOf(const CommitAction& action);
std::optional<Op> OpOf(const RecoveryAction& action);
CommitEvent EventOf(Op op, ShardId shard, Seen seen, const Reply& reply);
// `participants` are those of a decision that is a commit.
RecoveryEvent RecoveryEventOf(Op op, ShardId shard, Seen seen, const Reply& reply, const std::string& transaction_id,
                              const std::vector<std::string>& participants);

const std::string& ShardName(int shard);
const std::map<std::string, ShardId>& ShardIds(int count);  // At most 4.

}  // namespace quarry::sim
