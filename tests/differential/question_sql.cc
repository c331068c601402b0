#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/differential/question.h"

namespace quarry::differential {
namespace {

// What a SELECT prints of a column, so that every database prints it alike.
std::string Printed(const TestColumn& column, const std::string& alias, bool postgres) {
  const std::string name = absl::StrCat(alias, ".", Quoted(column.name));
  const bool moment = column.type.kind == TypeKind::kTimestamp || column.type.kind == TypeKind::kTimestampTz;
  if (postgres && moment) return absl::StrCat("(extract(epoch FROM ", name, ") * 1000000)::int8");
  if (column.type.kind != TypeKind::kBytes) return name;
  if (postgres) return absl::StrCat("encode(", name, ", 'hex')");
  return absl::StrCat("CASE WHEN ", name, " IS NOT NULL THEN lower(hex(", name, ")) END");
}

std::string PrintedAll(const std::vector<TestColumn>& columns, const std::string& alias, bool postgres) {
  std::vector<std::string> parts;
  for (const TestColumn& column : columns) parts.push_back(Printed(column, alias, postgres));
  return absl::StrJoin(parts, ", ");
}

std::string Names(const std::vector<TestColumn>& columns, const std::string& alias) {
  return absl::StrJoin(columns, ", ", [&](std::string* out, const TestColumn& column) {
    absl::StrAppend(out, alias, ".", Quoted(column.name));
  });
}

class QuestionWriter {
 public:
  QuestionWriter(const Schema& schema, const Question& question, bool postgres)
      : schema_(schema), question_(question), table_(schema.tables[question.table]), postgres_(postgres) {}

  std::vector<std::string> Write() {
    std::vector<std::string> statements;
    statements.push_back(question_.kind == Question::Kind::kAggregate ? Aggregate() : Rows());
    for (const std::vector<size_t>& path : question_.includes) statements.push_back(Included(path));
    return cannot_ ? std::vector<std::string>() : statements;
  }

 private:
  std::string Where() {
    if (!question_.filter.has_value()) return "";
    return absl::StrCat(" WHERE ", FilterSql(*question_.filter, ScopeOf(schema_, table_), "t0", postgres_, cannot_));
  }

  // NULL placement is always said: the databases' own differ.
  std::string Term(const TestColumn& column, const QuestionOrder& order) {
    const bool first = order.nulls == v1::NULL_PLACEMENT_UNSPECIFIED ? order.descending : order.nulls == v1::NULL_PLACEMENT_FIRST;
    return absl::StrCat(ColumnSql(column, "t0", postgres_), order.descending ? " DESC" : " ASC", first ? " NULLS FIRST" : " NULLS LAST");
  }

  // The asked terms, then `rest` ascending.
  std::string OrderBy(const std::vector<TestColumn>& columns, const std::vector<size_t>& rest) {
    std::vector<std::string> terms;
    for (const QuestionOrder& order : question_.order) {
      if (columns[order.column].type.profile == Profile::kQuotient && !postgres_) cannot_ = true;
      terms.push_back(Term(columns[order.column], order));
    }
    for (const size_t at : rest) terms.push_back(Term(columns[at], {}));
    return terms.empty() ? "" : absl::StrCat(" ORDER BY ", absl::StrJoin(terms, ", "));
  }

  std::string Part() const {
    const std::string all = postgres_ ? "ALL" : "-1";
    return absl::StrCat(" LIMIT ", question_.limit > 0 ? absl::StrCat(question_.limit) : all, " OFFSET ", question_.offset);
  }

  std::string Rows() {
    const std::vector<TestColumn> columns = ResultColumns(schema_, question_);
    std::string from = absl::StrCat(" FROM ", Quoted(table_.name), " AS t0", Where());
    std::vector<size_t> rest = table_.primary_key;
    if (question_.distinct) {
      from = absl::StrCat(" FROM (SELECT DISTINCT ", Names(columns, "t0"), from, ") AS t0");
      rest = question_.columns;
      for (size_t at = 0; question_.columns.empty() && at < table_.columns.size(); ++at) rest.push_back(at);
    }
    return absl::StrCat("SELECT ", PrintedAll(columns, "t0", postgres_), from, OrderBy(table_.columns, rest), Part());
  }

  std::string Aggregate() {
    std::vector<std::string> inner;
    std::vector<std::string> groups;
    std::vector<size_t> rest;
    for (size_t i = 0; i < question_.group_by.size(); ++i) {
      groups.push_back(absl::StrCat("t0.", Quoted(table_.columns[question_.group_by[i]].name)));
      inner.push_back(groups.back());
      rest.push_back(i);
    }
    for (size_t i = 0; i < question_.aggregates.size(); ++i) {
      inner.push_back(absl::StrCat(Call(question_.aggregates[i]), " AS ", Quoted(absl::StrCat("a", i))));
    }
    const std::vector<TestColumn> columns = ResultColumns(schema_, question_);
    std::string sql = absl::StrCat("SELECT ", PrintedAll(columns, "t0", postgres_), " FROM (SELECT ", absl::StrJoin(inner, ", "), " FROM ",
                                   Quoted(table_.name), " AS t0", Where());
    if (!groups.empty()) absl::StrAppend(&sql, " GROUP BY ", absl::StrJoin(groups, ", "));
    absl::StrAppend(&sql, ") AS t0");
    if (question_.having.has_value()) {
      Scope result;
      result.columns = columns;
      absl::StrAppend(&sql, " WHERE ", FilterSql(*question_.having, result, "t0", postgres_, cannot_));
    }
    return absl::StrCat(sql, OrderBy(columns, rest), Part());
  }

  std::string Call(const QuestionAggregate& term) {
    if (term.column < 0) return "count(*)";
    const TestColumn& column = table_.columns[static_cast<size_t>(term.column)];
    const std::string name = ColumnSql(column, "t0", postgres_);
    switch (term.function) {
      case v1::AGGREGATE_FUNCTION_COUNT:
        return absl::StrCat("count(", name, ")");
      case v1::AGGREGATE_FUNCTION_COUNT_DISTINCT:
        return absl::StrCat("count(DISTINCT ", name, ")");
      case v1::AGGREGATE_FUNCTION_SUM:
      case v1::AGGREGATE_FUNCTION_AVG:
        return postgres_ ? absl::StrCat(term.function == v1::AGGREGATE_FUNCTION_SUM ? "sum(" : "avg(", name, ")")
                         : SqliteSum(term, column.type, name);
      default:
        return Extreme(term.function == v1::AGGREGATE_FUNCTION_MIN, column.type, name);
    }
  }

  std::string SqliteSum(const QuestionAggregate& term, const ValueType& type, const std::string& name) {
    const bool average = term.function == v1::AGGREGATE_FUNCTION_AVG;
    if (type.kind == TypeKind::kDouble) {
      return absl::StrCat("CASE WHEN sum(typeof(", name, ") = 'text') > 0 OR (max(", name, ") = 9e999 AND min(", name,
                          ") = -9e999) THEN 'NaN' ELSE ", average ? "avg(" : "sum(", name, ") END");
    }
    if (type.profile == Profile::kWide) cannot_ = true;
    if (!average) return absl::StrCat("sum(", name, ")");
    // The quotient of two integers is exact on paper only: the comparison divides.
    return absl::StrCat("CASE WHEN count(", name, ") > 0 THEN sum(", name, ") || '/' || count(", name, ")",
                        type.kind == TypeKind::kDecimal ? " || '0000'" : "", " END");
  }

  // PostgreSQL 15 has no min and max of these types.
  std::string Extreme(bool least, const ValueType& type, const std::string& name) const {
    if (postgres_ && type.kind == TypeKind::kBool) return absl::StrCat(least ? "bool_and(" : "bool_or(", name, ")");
    if (postgres_ && (type.kind == TypeKind::kUuid || type.kind == TypeKind::kBytes)) {
      return absl::StrCat("(array_agg(", name, " ORDER BY ", name, least ? "" : " DESC", ") FILTER (WHERE ", name, " IS NOT NULL))[1]");
    }
    return absl::StrCat(least ? "min(" : "max(", name, ")");
  }

  // The rows of each step are numbered in the order of the answer, so that the next step can tell its parents.
  std::string Included(const std::vector<size_t>& path) {
    std::string step = absl::StrCat("SELECT row_number() OVER (", OrderBy(table_.columns, table_.primary_key), ") - 1 AS n, t0.* FROM ",
                                    Quoted(table_.name), " AS t0", Where());
    const TestTable* table = &table_;
    for (const size_t at : path) {
      const TestRelation& relation = table->relations[at];
      const TestTable& related = schema_.tables[relation.table];
      std::vector<std::string> joins;
      for (const auto& [ours, theirs] : relation.join) {
        joins.push_back(absl::StrCat("r.", Quoted(related.columns[theirs].name), " = p.", Quoted(table->columns[ours].name)));
      }
      std::vector<std::string> order = {"p.n"};
      for (const size_t key : related.primary_key) order.push_back(ColumnSql(related.columns[key], "r", postgres_));
      step = absl::StrCat("SELECT p.n AS parent, row_number() OVER (ORDER BY ", absl::StrJoin(order, ", "), ") - 1 AS n, r.* FROM (",
                          step, ") AS p JOIN ", Quoted(related.name), " AS r ON ", absl::StrJoin(joins, " AND "));
      table = &related;
    }
    return absl::StrCat("SELECT t0.parent, ", PrintedAll(table->columns, "t0", postgres_), " FROM (", step, ") AS t0 ORDER BY t0.n");
  }

  const Schema& schema_;
  const Question& question_;
  const TestTable& table_;
  const bool postgres_;
  bool cannot_ = false;
};

}  // namespace

std::vector<std::string> ToSql(const Schema& schema, const Question& question, bool postgres) {
  return QuestionWriter(schema, question, postgres).Write();
}

}  // namespace quarry::differential
