// Names that must not be mixed up.
#pragma once

#include <cstdint>
#include <string>

namespace quarry {

// Position of a shard in the topology of one epoch, dense from 0. Its name is in the topology.
enum class ShardId : uint32_t {};
constexpr size_t Index(ShardId shard) { return static_cast<size_t>(shard); }

enum class Epoch : uint64_t {};

enum class Dialect : uint8_t { kPostgres, kSqlite };

}  // namespace quarry
