// How often each table's rows on each shard may have changed, as far as this gateway's own writes go. Shared by all loops; any
// thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include <string>
#include <utility>
#include <vector>

#include "absl/hash/hash.h"
#include "core/model/ids.h"

namespace quarry {

class WriteVersions {
 public:
  // Before a write is acknowledged, and when it is given up.
  void Wrote(std::string_view table, ShardId shard) {
    tables_[SlotIndex(table, shard)].fetch_add(1, std::memory_order_acq_rel);
  }
  // A write whose tables are not known: raw SQL.
  void WroteAnything(ShardId shard) {
    shards_[Index(shard) % kShardSlots].fetch_add(1, std::memory_order_acq_rel);
  }

  // Equal for two moments when no write of the table on the shard was noted between them. Both counts only grow, so their sum
  // is equal only when each is. Tables that share a slot make it differ too often, never too seldom.
  uint64_t Of(std::string_view table, ShardId shard) const {
    return tables_[SlotIndex(table, shard)].load(std::memory_order_acquire) +
           shards_[Index(shard) % kShardSlots].load(std::memory_order_acquire);
  }

 private:
  static constexpr size_t kTableSlots = 4'096;
  static constexpr size_t kShardSlots = 256;
  // By a hash that differs between processes: slots live in this one only. Where rows live is stable_hash's to say.
  static size_t SlotIndex(std::string_view table, ShardId shard) {
    return absl::HashOf(table, Index(shard)) % kTableSlots;
  }

  std::array<std::atomic<uint64_t>, kTableSlots> tables_{};
  std::array<std::atomic<uint64_t>, kShardSlots> shards_{};
};

// Writes that are under way: noted when this goes, which is before they are acknowledged, or when they are given up. One user.
class WriteNote {
 public:
  // `versions` outlives this; null notes nothing.
  explicit WriteNote(WriteVersions* versions) : versions_(versions) {}
  WriteNote(WriteNote&& other) noexcept
      : versions_(std::exchange(other.versions_, nullptr)),
        tables_(std::move(other.tables_)),
        shards_(std::move(other.shards_)) {}
  WriteNote& operator=(WriteNote&&) = delete;
  ~WriteNote() {
    if (versions_ == nullptr) return;
    for (const auto& [table, shard] : tables_) versions_->Wrote(table, shard);
    for (const ShardId shard : shards_) versions_->WroteAnything(shard);
  }
  void Add(std::string table, ShardId shard) { tables_.emplace_back(std::move(table), shard); }
  void AddAnything(ShardId shard) { shards_.push_back(shard); }

 private:
  WriteVersions* versions_;
  std::vector<std::pair<std::string, ShardId>> tables_;
  std::vector<ShardId> shards_;
};

}  // namespace quarry
