// The shards of one epoch. Immutable; read from any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/model/ids.h"

namespace quarry {

struct Shard {
  ShardId id{};
  std::string name;
  Dialect dialect = Dialect::kSqlite;
  std::string address;  // For people, without secrets: a file, or host:port/database.
};

class Topology {
 public:
  Topology() = default;
  // Names are unique; ids are positions.
  Topology(Epoch epoch, std::vector<Shard> shards);
  Epoch epoch() const { return epoch_; }
  const std::vector<Shard>& shards() const { return shards_; }
  const Shard& shard(ShardId id) const { return shards_[Index(id)]; }
  const std::string& name(ShardId id) const { return shards_[Index(id)].name; }
  // kNotFound SHARD_NOT_FOUND, listing the names that exist.
  absl::StatusOr<ShardId> Find(std::string_view name) const;

 private:
  Epoch epoch_{};
  std::vector<Shard> shards_;
  std::map<std::string, ShardId, std::less<>> by_name_;
};

}  // namespace quarry
