#include "absl/strings/str_cat.h"
#include "tests/differential/question.h"

namespace quarry::differential {
namespace {

template <typename Request>
void SetCommon(const Schema& schema, const Question& question, Dice& dice, Request& request) {
  const TestTable& table = schema.tables[question.table];
  request.set_table(table.name);
  if (dice.Percent(5)) request.mutable_target()->set_all_shards(true);
  if (!question.filter.has_value()) return;
  const Scope scope = ScopeOf(schema, table);
  if (question.structured) {
    *request.mutable_where() = FilterCondition(*question.filter, scope);
  } else {
    request.set_filter(FilterText(*question.filter, scope, dice, *request.mutable_params()));
  }
}

template <typename Request>
void SetOrder(const std::vector<TestColumn>& columns, const Question& question, Request& request) {
  for (const QuestionOrder& order : question.order) {
    v1::OrderBy& term = *request.add_order_by();
    term.set_column(columns[order.column].name);
    term.set_descending(order.descending);
    term.set_nulls(order.nulls);
  }
}

template <typename Request>
void SetColumns(const Schema& schema, const Question& question, Request& request) {
  for (const size_t at : question.columns) request.add_columns(schema.tables[question.table].columns[at].name);
}

}  // namespace

v1::QueryRequest ToQuery(const Schema& schema, const Question& question) {
  Dice dice(question.seed);
  v1::QueryRequest request;
  SetCommon(schema, question, dice, request);
  SetColumns(schema, question, request);
  SetOrder(schema.tables[question.table].columns, question, request);
  request.set_distinct(question.distinct);
  request.set_limit(question.limit);
  request.set_offset(question.offset);
  return request;
}

v1::ListRequest ToList(const Schema& schema, const Question& question) {
  Dice dice(question.seed);
  v1::ListRequest request;
  SetCommon(schema, question, dice, request);
  SetColumns(schema, question, request);
  SetOrder(schema.tables[question.table].columns, question, request);
  for (const std::vector<size_t>& path : question.includes) {
    v1::Include& include = *request.add_includes();
    const TestTable* table = &schema.tables[question.table];
    for (const size_t relation : path) {
      const std::string& before = include.relation();
      include.set_relation(absl::StrCat(before, before.empty() ? "" : ".", table->relations[relation].name));
      table = &schema.tables[table->relations[relation].table];
    }
  }
  return request;
}

v1::AggregateRequest ToAggregate(const Schema& schema, const Question& question) {
  Dice dice(question.seed);
  v1::AggregateRequest request;
  SetCommon(schema, question, dice, request);
  const TestTable& table = schema.tables[question.table];
  for (const size_t at : question.group_by) request.add_group_by(table.columns[at].name);
  for (size_t i = 0; i < question.aggregates.size(); ++i) {
    const QuestionAggregate& aggregate = question.aggregates[i];
    v1::AggregateTerm& term = *request.add_aggregates();
    term.set_function(aggregate.function);
    if (aggregate.column >= 0) term.set_column(table.columns[static_cast<size_t>(aggregate.column)].name);
    term.set_name(absl::StrCat("a", i));
  }
  Scope result;
  result.columns = ResultColumns(schema, question);
  if (question.having.has_value()) {
    if (dice.Percent(50)) {
      *request.mutable_having_where() = FilterCondition(*question.having, result);
    } else {
      request.set_having(FilterText(*question.having, result, dice, *request.mutable_params()));
    }
  }
  SetOrder(result.columns, question, request);
  request.set_limit(question.limit);
  request.set_offset(question.offset);
  return request;
}

}  // namespace quarry::differential
