// One question to a table, made at random, with its two forms: a request of quarry.v1 and plain SQL for a reference. Plain data.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "quarry/v1/query.pb.h"
#include "tests/differential/filter.h"
#include "tests/differential/schema.h"

namespace quarry::differential {

struct QuestionOrder {
  size_t column = 0;  // Of the table, or of an aggregate's result.
  bool descending = false;
  v1::NullPlacement nulls = v1::NULL_PLACEMENT_UNSPECIFIED;
};

struct QuestionAggregate {
  v1::AggregateFunction function = v1::AGGREGATE_FUNCTION_COUNT;
  int column = -1;  // -1: rows.
};

struct Question {
  enum class Kind { kQuery, kList, kAggregate };
  Kind kind = Kind::kQuery;
  size_t table = 0;
  uint64_t seed = 0;  // Of what decides about the form alone: text, parameters, sizes of pages.
  std::optional<Filter> filter;
  bool structured = false;      // The filter as a tree.
  std::vector<size_t> columns;  // Empty: all.
  std::vector<QuestionOrder> order;
  bool distinct = false;
  int64_t limit = 0;
  int64_t offset = 0;
  // Of a list: relations by position, each path from the table ("lines", then "lines.tags").
  std::vector<std::vector<size_t>> includes;
  // Of an aggregate.
  std::vector<size_t> group_by;
  std::vector<QuestionAggregate> aggregates;
  std::optional<Filter> having;
};

Question AnyQuestion(const Schema& schema, size_t table, Dice& dice);

// The columns of the answer. Those of an aggregate are named as its result names them.
std::vector<TestColumn> ResultColumns(const Schema& schema, const Question& question);
// True of sums that depend on the order of the rows.
bool IsApproximate(const Schema& schema, const Question& question, size_t result_column);

v1::QueryRequest ToQuery(const Schema& schema, const Question& question);
// Without page size and token.
v1::ListRequest ToList(const Schema& schema, const Question& question);
v1::AggregateRequest ToAggregate(const Schema& schema, const Question& question);

// One SELECT for the answer, then one for each include: the row of the parent from 0, then the related row. Empty when SQLite
// cannot say it.
std::vector<std::string> ToSql(const Schema& schema, const Question& question, bool postgres);

}  // namespace quarry::differential
