#include "core/catalog/catalog.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace quarry {
namespace {

constexpr size_t kComparedLengthMax = 64;

// Edits (insert, delete, replace, swap of neighbours) between two short words, ignoring case: the optimal string
// alignment distance.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string DidYouMean(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.empty() || name.size() > kComparedLengthMax) return "";
  const std::string wanted = absl::AsciiStrToLower(std::string(name));
  const size_t allowed = std::clamp<size_t>(wanted.size() / 3, 1, 3);
  size_t best_distance = allowed + 1;
  const std::string* best = nullptr;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kComparedLengthMax) continue;
    const size_t distance = EditDistance(wanted, absl::AsciiStrToLower(candidate));
    // A whole other word of one or two letters is no slip.
    if (distance < best_distance && distance < std::max(wanted.size(), candidate.size())) {
      best_distance = distance;
      best = &candidate;
    }
  }
  return best == nullptr ? "" : absl::StrCat(" (did you mean \"", *best, "\"?)");
}

Table::Table(TableDeclaration declaration, TableSchema schema)
    : declaration_(std::move(declaration)), schema_(std::move(schema)) {
  auto types = std::make_shared<std::vector<ColumnType>>();
  auto header = std::make_shared<std::vector<ColumnHeader>>();
  for (size_t i = 0; i < schema_.columns.size(); ++i) {
    const Column& column = schema_.columns[i];
    by_name_.emplace(column.name, i);
    types->push_back(column.type);
    header->push_back(ColumnHeader{column.name, column.type});
  }
  const auto positions = [this](const std::vector<std::string>& names) {
    std::vector<size_t> found;
    for (const std::string& name : names) {
      const std::optional<size_t> at = FindColumn(name);
      if (!at.has_value()) continue;
      schema_.columns[*at].nullable = false;
      found.push_back(*at);
    }
    return found;
  };
  primary_key_ = positions(schema_.primary_key);
  shard_key_ = positions(declaration_.shard_key);
  key_has_shard_ = std::all_of(shard_key_.begin(), shard_key_.end(), [this](size_t column) {
    return std::find(primary_key_.begin(), primary_key_.end(), column) != primary_key_.end();
  });
  all_types_ = std::move(types);
  header_ = std::move(header);
}

std::optional<size_t> Table::FindColumn(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

Catalog::Catalog(std::vector<Table> tables, std::map<std::string, std::string, std::less<>> pending)
    : pending_(std::move(pending)) {
  for (Table& table : tables) {
    std::string name = table.name();
    tables_.emplace(std::move(name), std::move(table));
  }
}

absl::StatusOr<const Table*> Catalog::FindTable(std::string_view name) const {
  if (const auto found = tables_.find(name); found != tables_.end()) return &found->second;
  const std::string wanted(name);
  if (const auto found = pending_.find(name); found != pending_.end()) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                     absl::StrCat("table \"", wanted, "\" lives on shard ", found->second,
                                  " alone, which has not answered since start; try again once it does"),
                     {{"table", wanted}, {"shard", found->second}});
  }
  std::vector<std::string> names;
  for (const auto& [known, table] : tables_) names.push_back(known);
  for (const auto& [known, shard] : pending_) names.push_back(known);
  return MakeError(absl::StatusCode::kNotFound, reason::kTableNotFound,
                   absl::StrCat("no table is named \"", wanted, "\"", DidYouMean(name, names),
                                "; tables are declared in the configuration"),
                   {{"table", wanted}});
}

}  // namespace quarry
