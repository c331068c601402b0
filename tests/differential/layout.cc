#include "tests/differential/layout.h"

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quarry::differential {
namespace {

constexpr size_t kBuckets = 64;

std::string ShardName(int shard) { return absl::StrCat("s", shard); }

// Where the share `at` of `parts` begins among `size` things.
size_t BeginOf(size_t at, size_t parts, size_t size) { return at * size / parts; }

std::vector<std::vector<int64_t>> Shares(const TestTable& table, size_t parts) {
  std::set<int64_t> distinct;
  for (const Row& row : table.rows) distinct.insert(row[0].int64_value());
  const std::vector<int64_t> keys(distinct.begin(), distinct.end());
  std::vector<std::vector<int64_t>> shares;
  for (size_t at = 0; at < parts; ++at) {
    shares.emplace_back(keys.begin() + static_cast<std::ptrdiff_t>(BeginOf(at, parts, keys.size())),
                        keys.begin() + static_cast<std::ptrdiff_t>(BeginOf(at + 1, parts, keys.size())));
  }
  return shares;
}

std::string Ranges(const std::vector<std::vector<int64_t>>& shares, const std::vector<int>& owners) {
  std::vector<std::string> ranges;
  for (size_t at = 0; at < shares.size(); ++at) {
    ranges.push_back(absl::StrCat("{", at > 0 ? absl::StrCat("from: ", shares[at].front(), ", ") : "",
                                  at + 1 < shares.size() ? absl::StrCat("to: ", shares[at + 1].front(), ", ") : "", "shard: ",
                                  ShardName(owners[at]), "}"));
  }
  return absl::StrCat("{type: range, ranges: [", absl::StrJoin(ranges, ", "), "]}");
}

std::string Regions(const std::vector<std::vector<int64_t>>& shares, const std::vector<int>& owners, const std::string& column) {
  std::vector<std::string> regions;
  for (size_t at = 0; at < shares.size(); ++at) {
    regions.push_back(absl::StrCat("{match: {", column, ": [", absl::StrJoin(shares[at], ", "), "]}, shard: ", ShardName(owners[at]), "}"));
  }
  return absl::StrCat("{type: geo, regions: [", absl::StrJoin(regions, ", "), "], default: ", ShardName(owners[0]), "}");
}

// Every third key is left to the directory, whose keys stay where they are.
std::string Entries(const std::vector<std::vector<int64_t>>& shares, const std::vector<int>& owners) {
  std::vector<std::string> entries;
  for (size_t at = 0; at < shares.size(); ++at) {
    for (size_t i = 0; i < shares[at].size(); ++i) {
      if (i % 3 != 2) entries.push_back(absl::StrCat("{key: ", shares[at][i], ", shard: ", ShardName(owners[at]), "}"));
    }
  }
  return absl::StrCat("{type: lookup, entries: [", absl::StrJoin(entries, ", "), "], new_keys: {assign: hash}, directory: {shard: s0}}");
}

std::string Buckets(const std::vector<int>& owners) {
  std::map<int, std::vector<std::string>> buckets;
  for (size_t at = 0; at < owners.size(); ++at) {
    buckets[owners[at]].push_back(absl::StrCat("\"", BeginOf(at, owners.size(), kBuckets), "-", BeginOf(at + 1, owners.size(), kBuckets) - 1, "\""));
  }
  std::vector<std::string> assignment;
  for (const auto& [shard, spans] : buckets) {
    assignment.push_back(absl::StrCat(ShardName(shard), ": [", absl::StrJoin(spans, ", "), "]"));
  }
  return absl::StrCat("{type: consistent_hash, buckets: ", kBuckets, ", assignment: {", absl::StrJoin(assignment, ", "), "}}");
}

std::string Remainders(const std::vector<int>& owners) {
  const auto append = [](std::string* out, int shard) { absl::StrAppend(out, ShardName(shard)); };
  return absl::StrCat("{type: hash, shards: [", absl::StrJoin(owners, ", ", append), "]}");
}

std::string Resolver(const TestTable& table, const std::string& placement, const std::vector<int>& owners) {
  if (placement == "range") return Ranges(Shares(table, owners.size()), owners);
  if (placement == "geo") return Regions(Shares(table, owners.size()), owners, table.columns[0].name);
  if (placement == "lookup") return Entries(Shares(table, owners.size()), owners);
  if (placement == "consistent_hash") return Buckets(owners);
  return Remainders(owners);
}

}  // namespace

std::string SharedOut(const Schema& schema, const std::string& placement, const std::vector<int>& owners) {
  const size_t tables = schema.yaml.find("tables:\n");
  return absl::StrCat("resolvers:\n  by_f0: ", Resolver(schema.tables[1], placement, owners), "\n", schema.yaml.substr(tables));
}

}  // namespace quarry::differential
