// Filters: text -> condition -> predicate -> SQL. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "core/catalog/catalog.h"
#include "core/model/condition.h"
#include "core/model/predicate.h"
#include "core/model/statement.h"

namespace quarry {

struct FilterLimits {
  size_t text_bytes_max = 64 << 10;
  size_t depth_max = 32;
  size_t nodes_max = 2'000;
  size_t list_max = 10'000;  // Values of one IN.
};

// filter_parser.cc. `params` are the values of @name parameters; a list parameter is an array value. A parameter that the text
// does not use, and one that it uses and nobody gave, is refused. kInvalidArgument at `field`, with the character (from 1) where
// the text stops making sense and what could stand there. AND and OR side by side without parentheses are refused with a hint.
absl::StatusOr<Condition> ParseFilter(std::string_view text, const std::map<std::string, Value>& params,
                                      const FilterLimits& limits, std::string_view field);

// filter_check.cc. Every column and value against the catalog; all mistakes at once. Limits bind structured conditions too.
// BETWEEN becomes two comparisons; a comparison with a NULL value is refused with the hint to use IS NULL; an empty IN and a value
// outside the range of its column become kFalse or kTrue in a way that keeps three-valued logic (x < 300 of a smallint is
// "x is not null"). A column whose type has no shared order takes IS NULL only, and says so.
absl::StatusOr<Predicate> CheckFilter(const Condition& condition, const Table& table, const Catalog& catalog,
                                      const FilterLimits& limits);
// The same over other columns than a table's, such as the results of an aggregate.
absl::StatusOr<Predicate> CheckCondition(const Condition& condition, const std::vector<ColumnUse>& columns,
                                         std::string_view what, const FilterLimits& limits);

// The column of `table` at `position` as statements use it.
ColumnUse UseOf(const Table& table, size_t position);

// A statement's text in the making.
class SqlText {
 public:
  explicit SqlText(Dialect dialect) : dialect_(dialect) {}
  Dialect dialect() const { return dialect_; }
  SqlText& operator<<(std::string_view piece) {
    text_ += piece;
    return *this;
  }
  // Binds `value` and writes its placeholder. `type` is the parameter's.
  SqlText& Bind(Value value, ColumnType type);
  Statement Take() &&;  // Shared text, params, param_types.

 private:
  const Dialect dialect_;
  std::string text_;
  std::vector<Value> params_;
  std::vector<ColumnType> param_types_;
};

// Of the one table of a statement.
inline constexpr char kAlias[] = "t0";

// lower_filter.cc. Writes the predicate. `alias` names the table at hand ("t0"), quoted columns follow it; the related tables of
// kHas get aliases of their own. Text is compared by bytes, LIKE counts case, decimals are compared by number, on both dialects.
void WritePredicate(const Predicate& predicate, std::string_view alias, SqlText& sql);
// A column as an expression whose database order is that of core/model/order.h: for ORDER BY, comparisons, MIN and MAX.
// PostgreSQL: COLLATE "C" where the column's own order is not by bytes. SQLite: COLLATE quarry_decimal for decimals.
std::string OrderedColumn(const ColumnUse& column, std::string_view alias, Dialect dialect);

}  // namespace quarry
