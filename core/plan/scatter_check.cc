#include "core/plan/scatter_check.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/prune.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

constexpr int64_t kCountMax = int64_t{1} << 60;  // Of limit and offset, so that their sum is a number.

constexpr size_t kShardsNamedMax = 8;

// "s0, s1, …".
std::string NamesOf(const std::vector<ShardId>& shards, const Snapshot& snapshot) {
  std::string names;
  for (size_t i = 0; i < shards.size() && i < kShardsNamedMax; ++i) {
    absl::StrAppend(&names, i == 0 ? "" : ", ", snapshot.topology.name(shards[i]));
  }
  if (shards.size() > kShardsNamedMax) absl::StrAppend(&names, ", …");
  return names;
}

std::string HowToNarrow(const Table& table) {
  const std::string columns = absl::StrJoin(table.declaration().shard_key, ", ");
  return absl::StrCat("compare ", table.shard_key().size() > 1 ? "all of the shard key (" : "the shard key (", columns,
                      ") with = or IN in the filter, or name a shard in target");
}

}  // namespace

absl::Status CheckScatter(const Table& table, const ScatterRoute& route, const ScatterBounds& bounds,
                          const Snapshot& snapshot) {
  const size_t shards = route.shards.size();
  if (shards > 1 && !table.declaration().scatter_allowed) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kScatterNotAllowed,
                     absl::StrCat("table ", table.name(), " takes no calls over several shards (scatter: deny), and this one goes to ",
                                  shards, " (", NamesOf(route.shards, snapshot), "): ", HowToNarrow(table)),
                     {{"table", table.name()},
                      {"shards", absl::StrCat(shards)},
                      {"columns", absl::StrJoin(table.declaration().shard_key, ",")}});
  }
  if (bounds.shards_max > 0 && shards > static_cast<size_t>(bounds.shards_max)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kLimitExceeded,
                     absl::StrCat("the call on table ", table.name(), " goes to ", shards, " shards (",
                                  NamesOf(route.shards, snapshot), "), and max_shards allows ", bounds.shards_max, ": ",
                                  HowToNarrow(table), ", or raise max_shards"),
                     {{"table", table.name()},
                      {"field", "max_shards"},
                      {"limit", absl::StrCat(bounds.shards_max)},
                      {"shards", absl::StrCat(shards)}});
  }
  return absl::OkStatus();
}

absl::StatusOr<ScatterRoute> RouteQuestion(const Predicate& predicate, const Table& table, const Target& target,
                                           const ScatterBounds& bounds, const Snapshot& snapshot, ShardId spread,
                                           std::vector<Key>* unmapped) {
  ShardSet named;
  if (!target.empty()) {
    QUARRY_ASSIGN_OR_RETURN(named, ShardsOfTarget(target, snapshot));
    const bool spreads = std::binary_search(named.begin(), named.end(), spread);
    if (table.kind() == TableKind::kReference && !spreads) spread = named.front();
  }
  QUARRY_ASSIGN_OR_RETURN(ScatterRoute route, Prune(predicate, table, snapshot, spread, unmapped));
  if (!target.empty() && table.kind() != TableKind::kReference) {
    std::vector<ShardId> both;
    std::set_intersection(route.shards.begin(), route.shards.end(), named.begin(), named.end(), std::back_inserter(both));
    if (table.kind() == TableKind::kSingle && both.empty() && !route.shards.empty()) {
      return InvalidField("target", absl::StrCat("leaves out shard ", snapshot.topology.name(route.shards.front()),
                                                 ", where table ", table.name(), " lives; name it, or leave target out"));
    }
    if (both.size() < route.shards.size()) absl::StrAppend(&route.words, " Of these the target allows ", both.size(), ".");
    route.shards = std::move(both);
  }
  QUARRY_RETURN_IF_ERROR(CheckScatter(table, route, bounds, snapshot));
  return route;
}

void CheckWindow(int64_t limit, int64_t offset, std::vector<FieldViolation>& violations) {
  const auto check = [&violations](const char* field, int64_t value) {
    if (value < 0) violations.push_back({field, "is not negative"});
    if (value > kCountMax) violations.push_back({field, absl::StrCat("is at most ", kCountMax)});
  };
  check("limit", limit);
  check("offset", offset);
}

}  // namespace quarry
