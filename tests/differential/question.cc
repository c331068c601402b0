#include "tests/differential/question.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"

namespace quarry::differential {
namespace {

bool IsNumber(const ValueType& type) {
  switch (type.kind) {
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
    case TypeKind::kDecimal:
      return true;
    case TypeKind::kDouble:
      return type.profile != Profile::kPlain;  // Sums of extremes overflow or mean nothing.
    default:
      return false;
  }
}

size_t AnyColumn(const TestTable& table, Dice& dice) {
  return static_cast<size_t>(dice.Below(static_cast<int64_t>(table.columns.size())));
}

std::vector<size_t> SomeColumns(const TestTable& table, int count, Dice& dice) {
  std::vector<size_t> columns;
  for (int i = 0; i < count; ++i) {
    const size_t column = AnyColumn(table, dice);
    if (std::find(columns.begin(), columns.end(), column) == columns.end()) columns.push_back(column);
  }
  return columns;
}

void AddOrder(const std::vector<size_t>& from, int count, Dice& dice, Question& question) {
  std::set<size_t> used;
  for (int i = 0; i < count && !from.empty(); ++i) {
    QuestionOrder term;
    term.column = dice.Pick(from);
    if (!used.insert(term.column).second) continue;
    term.descending = dice.Percent(50);
    term.nulls = static_cast<v1::NullPlacement>(dice.Below(3));
    question.order.push_back(term);
  }
}

void AddPart(Dice& dice, Question& question) {
  if (dice.Percent(40)) question.limit = 1 + dice.Below(dice.Percent(50) ? 5 : 40);
  if (dice.Percent(20)) question.offset = dice.Below(dice.Percent(80) ? 10 : 200);
}

std::vector<size_t> Positions(size_t count) {
  std::vector<size_t> positions(count);
  for (size_t i = 0; i < count; ++i) positions[i] = i;
  return positions;
}

void MakeQuery(const TestTable& table, Dice& dice, Question& question) {
  if (dice.Percent(60)) question.columns = SomeColumns(table, 1 + dice.Below(5), dice);
  question.distinct = dice.Percent(25);
  const bool within = question.distinct && !question.columns.empty();
  AddOrder(within ? question.columns : Positions(table.columns.size()), dice.Below(4), dice, question);
  AddPart(dice, question);
}

void MakeList(const Schema& schema, const TestTable& table, Dice& dice, Question& question) {
  if (dice.Percent(50)) question.columns = SomeColumns(table, 1 + dice.Below(5), dice);
  AddOrder(Positions(table.columns.size()), dice.Below(4), dice, question);
  for (size_t i = 0; i < table.relations.size(); ++i) {
    if (!dice.Percent(25)) continue;
    question.includes.push_back({i});
    const TestTable& related = schema.tables[table.relations[i].table];
    if (related.relations.empty() || !dice.Percent(40)) continue;
    question.includes.push_back({i, static_cast<size_t>(dice.Below(static_cast<int64_t>(related.relations.size())))});
  }
}

void MakeAggregate(const Schema& schema, const TestTable& table, Dice& dice, Question& question) {
  if (dice.Percent(70)) question.group_by = SomeColumns(table, 1 + dice.Below(3), dice);
  const int count = (question.group_by.empty() ? 1 : 0) + dice.Below(4);
  for (int i = 0; i < count; ++i) {
    QuestionAggregate term;
    term.function = static_cast<v1::AggregateFunction>(1 + dice.Below(6));
    term.column = static_cast<int>(AnyColumn(table, dice));
    const bool sums = term.function == v1::AGGREGATE_FUNCTION_SUM || term.function == v1::AGGREGATE_FUNCTION_AVG;
    if (sums && !IsNumber(table.columns[static_cast<size_t>(term.column)].type)) term.function = v1::AGGREGATE_FUNCTION_COUNT;
    if (term.function == v1::AGGREGATE_FUNCTION_COUNT && dice.Percent(40)) term.column = -1;
    question.aggregates.push_back(term);
  }
  Scope result;
  result.columns = ResultColumns(schema, question);
  std::vector<size_t> exact;
  for (size_t i = 0; i < result.columns.size(); ++i) {
    if (!IsApproximate(schema, question, i)) exact.push_back(i);
  }
  AddOrder(exact, dice.Below(3), dice, question);
  if (dice.Percent(35) && exact.size() == result.columns.size()) question.having = AnyFilter(result, 2, dice);
  AddPart(dice, question);
}

ValueType ResultType(const QuestionAggregate& term, const TestTable& table) {
  if (term.column < 0) return {TypeKind::kInt64};
  const ValueType type = table.columns[static_cast<size_t>(term.column)].type;
  const bool integer = type.kind == TypeKind::kInt16 || type.kind == TypeKind::kInt32 || type.kind == TypeKind::kInt64;
  switch (term.function) {
    case v1::AGGREGATE_FUNCTION_COUNT:
    case v1::AGGREGATE_FUNCTION_COUNT_DISTINCT:
      return {TypeKind::kInt64};
    case v1::AGGREGATE_FUNCTION_SUM:
      if (type.kind == TypeKind::kInt64) return {TypeKind::kDecimal, Profile::kWhole};
      return integer ? ValueType{TypeKind::kInt64} : type;
    case v1::AGGREGATE_FUNCTION_AVG:
      return type.kind == TypeKind::kDouble ? type : ValueType{TypeKind::kDecimal, Profile::kQuotient};
    default:
      return type;
  }
}

}  // namespace

bool IsApproximate(const Schema& schema, const Question& question, size_t result_column) {
  if (question.kind != Question::Kind::kAggregate || result_column < question.group_by.size()) return false;
  const QuestionAggregate& term = question.aggregates[result_column - question.group_by.size()];
  const bool sums = term.function == v1::AGGREGATE_FUNCTION_SUM || term.function == v1::AGGREGATE_FUNCTION_AVG;
  return sums && schema.tables[question.table].columns[static_cast<size_t>(term.column)].type.profile == Profile::kLoose;
}

std::vector<TestColumn> ResultColumns(const Schema& schema, const Question& question) {
  const TestTable& table = schema.tables[question.table];
  std::vector<TestColumn> columns;
  if (question.kind != Question::Kind::kAggregate) {
    if (question.columns.empty()) return table.columns;
    for (const size_t at : question.columns) columns.push_back(table.columns[at]);
    return columns;
  }
  for (const size_t at : question.group_by) columns.push_back(table.columns[at]);
  for (size_t i = 0; i < question.aggregates.size(); ++i) {
    columns.push_back({.name = absl::StrCat("a", i), .type = ResultType(question.aggregates[i], table)});
  }
  return columns;
}

Question AnyQuestion(const Schema& schema, size_t table_at, Dice& dice) {
  const TestTable& table = schema.tables[table_at];
  Question question;
  question.table = table_at;
  question.seed = dice.Next();
  question.structured = dice.Percent(50);
  const int kind = dice.Below(100);
  question.kind = kind < 45 ? Question::Kind::kQuery : kind < 65 ? Question::Kind::kList : Question::Kind::kAggregate;
  if (dice.Percent(75)) question.filter = AnyFilter(ScopeOf(schema, table), dice.Below(4), dice);
  if (question.kind == Question::Kind::kQuery) MakeQuery(table, dice, question);
  if (question.kind == Question::Kind::kList) MakeList(schema, table, dice, question);
  if (question.kind == Question::Kind::kAggregate) MakeAggregate(schema, table, dice, question);
  return question;
}

}  // namespace quarry::differential
