#include "core/cache/result_cache.h"

#include <algorithm>
#include <iterator>

#include "core/model/check.h"
#include "core/model/value.h"

namespace quarry {
namespace {

// What an entry weighs beside its values.
constexpr size_t kEntryOverhead = 512;

size_t Weight(const std::vector<Row>& rows) {
  size_t bytes = 0;
  for (const Row& row : rows) {
    bytes += sizeof(Row) + row.size() * sizeof(Value);
    for (const Value& value : row) bytes += ByteSize(value);
  }
  return bytes;
}

size_t Weight(const ReadResult& result) {
  size_t bytes = 0;
  for (const KeyedRow& found : result.found) {
    bytes += sizeof(KeyedRow) + found.row.size() * sizeof(Value);
    for (const Value& value : found.row) bytes += ByteSize(value);
  }
  return bytes;
}
size_t Weight(const ListResult& result) {
  size_t bytes = Weight(result.rows);
  for (const IncludedRows& included : result.included) bytes += Weight(included.rows);
  return bytes;
}
size_t Weight(const AggregateResult& result) { return Weight(result.rows); }

}  // namespace

ResultCache::Ground ResultCache::GroundOf(std::string table, size_t shards, Epoch epoch, absl::Time now) const {
  Ground ground;
  for (uint32_t shard = 0; shard < shards; ++shard) {
    ground.versions.push_back(shared_.versions.Of(table, ShardId{shard}));
  }
  ground.table = std::move(table);
  ground.epoch = epoch;
  ground.asked = now;
  return ground;
}

bool ResultCache::Overtaken(const Entry& entry) const {
  return std::any_of(entry.versions.begin(), entry.versions.end(), [&](const auto& at) {
    return shared_.versions.Of(entry.table, at.first) != at.second;
  });
}

std::shared_ptr<const ResultCache::Answer> ResultCache::Find(const std::string& key, Epoch epoch, absl::Duration age_max,
                                                             absl::Time now, absl::Duration* age) {
  const auto found = by_key_.find(key);
  const bool known = found != by_key_.end();
  if (known && (found->second->epoch != epoch || Overtaken(*found->second))) {
    Drop(found->second);
  } else if (known) {
    const Entries::iterator entry = found->second;
    *age = now - entry->asked;
    // One that is too old for this caller may do for another.
    if (*age >= absl::ZeroDuration() && *age <= age_max) {
      shared_.hits.Add();
      entries_.splice(entries_.begin(), entries_, entry);
      return entry->answer;
    }
  }
  shared_.misses.Add();
  return nullptr;
}

void ResultCache::Store(std::string key, const Ground& ground, const std::vector<ShardId>& asked, Answer answer) {
  const size_t bytes =
      kEntryOverhead + 2 * key.size() + std::visit([](const auto& result) { return Weight(result); }, answer);
  if (bytes > limits_.entry_bytes_max) return;
  if (const auto old = by_key_.find(key); old != by_key_.end()) Drop(old->second);
  Entry entry;
  entry.key = std::move(key);
  entry.table = ground.table;
  for (const ShardId shard : asked) entry.versions.emplace_back(shard, ground.versions[Index(shard)]);
  entry.epoch = ground.epoch;
  entry.asked = ground.asked;
  entry.answer = std::make_shared<const Answer>(std::move(answer));
  entry.bytes = bytes;
  entries_.push_front(std::move(entry));
  by_key_.emplace(entries_.front().key, entries_.begin());
  bytes_ += bytes;
  while (bytes_ > limits_.bytes_max && entries_.size() > 1) {
    shared_.evictions.Add();
    Drop(std::prev(entries_.end()));
  }
}

void ResultCache::Drop(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_key_.erase(entry->key);
  entries_.erase(entry);
}

}  // namespace quarry
