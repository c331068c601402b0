// Answers that a caller may get again when it said how stale they may be. Off unless a table's configuration names a maximum age.
// Only a hint about freshness comes from WriteVersions: the age bound alone is the promise. One loop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "core/base/counter.h"
#include "core/cache/write_versions.h"
#include "core/model/operation.h"
#include "core/model/query.h"

namespace quarry {

struct ResultCacheLimits {
  size_t bytes_max = 16 << 20;  // Of all entries.
  size_t entry_bytes_max = 1 << 20;
};

// What the caches of all loops share. Any thread.
struct ResultCacheShared {
  WriteVersions versions;
  Counter hits;
  Counter misses;
  Counter evictions;  // Of entries that were still good, for want of space.
  Counter merged;     // Calls that got the answer to an identical read which another had asked for.
};

class ResultCache {
 public:
  using Answer = std::variant<ReadResult, ListResult, AggregateResult>;
  // What an answer depends on, noted before its question is sent.
  struct Ground {
    std::string table;
    std::vector<uint64_t> versions;  // By ShardId.
    Epoch epoch{};
    absl::Time asked;
  };

  // `shared` outlives this.
  ResultCache(ResultCacheShared& shared, ResultCacheLimits limits) : shared_(shared), limits_(limits) {}

  Ground GroundOf(std::string table, size_t shards, Epoch epoch, absl::Time now) const;
  // The answer to the question with this key, asked at most `age_max` ago in this epoch, if no write has been noted since; null when
  // there is none. `key` holds everything that the answer depends on.
  std::shared_ptr<const Answer> Find(const std::string& key, Epoch epoch, absl::Duration age_max, absl::Time now,
                                     absl::Duration* age);
  // `asked`: the shards that the answer came from; writes on others do not end it.
  void Store(std::string key, const Ground& ground, const std::vector<ShardId>& asked, Answer answer);
  size_t entries() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string key;
    std::string table;
    std::vector<std::pair<ShardId, uint64_t>> versions;
    Epoch epoch{};
    absl::Time asked;
    std::shared_ptr<const Answer> answer;
    size_t bytes = 0;
  };
  using Entries = std::list<Entry>;  // Most recently used first.
  bool Overtaken(const Entry& entry) const;
  void Drop(Entries::iterator entry);

  ResultCacheShared& shared_;
  const ResultCacheLimits limits_;
  Entries entries_;
  absl::flat_hash_map<std::string, Entries::iterator> by_key_;
  size_t bytes_ = 0;
};

}  // namespace quarry
