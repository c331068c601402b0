// Conditions as the test thinks of them, made at random over the columns of a table or of an aggregate's result. Plain data.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/model/condition.h"
#include "quarry/v1/query.pb.h"
#include "tests/differential/schema.h"

namespace quarry::differential {

struct Filter {
  enum class Kind {
    kAnd,             // children
    kOr,              // children
    kNot,             // one child
    kCompare,         // column, op, one value
    kCompareColumns,  // column, op, other
    kIn,              // column, values
    kBetween,         // column, two values
    kLike,            // column, one text
    kPrefix,          // column, one text
    kIsNull,          // column
    kHas,             // relation; at most one child
  };
  Kind kind = Kind::kAnd;
  std::vector<Filter> children;
  int relation = -1;  // Of kHas; of others: the column is one of this relation's table ("relation.column").
  size_t column = 0;
  size_t other = 0;
  CompareOp op = CompareOp::kEqual;
  std::vector<Value> values;
};

// What the columns of a filter are positions in.
struct Scope {
  const Schema* schema = nullptr;
  const TestTable* table = nullptr;  // Null: the result of an aggregate, which has no relations.
  std::vector<TestColumn> columns;
};
Scope ScopeOf(const Schema& schema, const TestTable& table);
// The table on the other side of a relation.
Scope RelatedScope(const Scope& scope, int relation);

// `depth`: levels that may still be nested.
Filter AnyFilter(const Scope& scope, int depth, Dice& dice);
// A filter that is true of the rows of which `filter` is unknown; without kHas and relations.
Filter UnknownOf(const Filter& filter);
Filter Negated(Filter filter);
bool UsesRelations(const Filter& filter);

// The two forms of a request. The text takes some values as @parameters, others as literals.
std::string FilterText(const Filter& filter, const Scope& scope, Dice& dice, google::protobuf::Map<std::string, v1::Value>& params);
v1::Condition FilterCondition(const Filter& filter, const Scope& scope);

// Plain SQL. `alias` names the row at hand. `cannot` is set when SQLite has no way to say it.
std::string FilterSql(const Filter& filter, const Scope& scope, const std::string& alias, bool postgres, bool& cannot);
// A column for comparisons and orders.
std::string ColumnSql(const TestColumn& column, const std::string& alias, bool postgres);

}  // namespace quarry::differential
