// What the micro-benchmarks work on: one table of eight columns, sharded by the hash of its key over four
// shards, and calls on it as a shop makes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/model/operation.h"
#include "core/plan/snapshot.h"

namespace quarry {

inline constexpr size_t kShopShards = 4;
// Calls that take turns, so that no branch learns the one key. A power of two.
inline constexpr size_t kShopKeys = 1024;

// orders(id, customer_id, status, email, total, paid, created_at, note), primary and shard key id.
std::shared_ptr<const Snapshot> ShopSnapshot(Dialect dialect);

int64_t OrderId(size_t i);
// A whole row; about 100 bytes, two of its texts too long to be held inside of a string.
Row OrderRow(int64_t id);
Record OrderRecord(int64_t id);

// kShopKeys calls each, of different keys.
std::vector<ReadOperation> Gets(const std::vector<std::string>& columns = {});
std::vector<ReadOperation> BatchGets(size_t keys);
std::vector<WriteOperation> Inserts(size_t mutations = 1);
// Of status and paid.
std::vector<WriteOperation> Updates(const std::vector<std::string>& returning = {});

// The answer that a shard gives to a task: one row for each key that it reads, one row written for each
// mutation.
TaskResult AnswerOf(const Task& task);

}  // namespace quarry
