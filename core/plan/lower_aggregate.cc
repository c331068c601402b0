#include "core/plan/lower_aggregate.h"

#include <memory>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/plan/filter.h"
#include "core/plan/lowering.h"

namespace quarry {
namespace {

ColumnType TypeOf(TypeKind kind) { return ColumnType{kind, false, ""}; }

std::string PlainColumn(const ColumnUse& use) { return absl::StrCat(kAlias, ".", QuoteIdentifier(use.name)); }

bool IsFloat(const ColumnUse& use) { return use.type.kind == TypeKind::kFloat || use.type.kind == TypeKind::kDouble; }

// One column of a statement's result.
struct Selected {
  std::string sql;
  ColumnType type;
  std::string sort_sql;  // Ordered as core/model/order.h has it.
};

Selected Plain(std::string sql, ColumnType type) {
  Selected selected;
  selected.sort_sql = sql;
  selected.sql = std::move(sql);
  selected.type = std::move(type);
  return selected;
}

// SQLite's exact numbers are text.
Selected ExactNumber(std::string sql, Dialect dialect) {
  Selected selected = Plain(std::move(sql), TypeOf(TypeKind::kDecimal));
  if (dialect == Dialect::kSqlite) selected.sort_sql += " COLLATE quarry_decimal";
  return selected;
}

Selected SumOf(const ColumnUse& use, Dialect dialect) {
  const std::string column = PlainColumn(use);
  if (dialect == Dialect::kPostgres) {
    // A 32-bit float's own sum would be rounded on each shard.
    if (IsFloat(use)) return Plain(absl::StrCat("sum(", column, "::float8)"), TypeOf(TypeKind::kDouble));
    return ExactNumber(absl::StrCat("sum(", column, ")::numeric"), dialect);
  }
  if (IsFloat(use)) return Plain(absl::StrCat("quarry_sum_double(", column, ")"), TypeOf(TypeKind::kDouble));
  const bool decimal = use.type.kind == TypeKind::kDecimal;
  return ExactNumber(absl::StrCat(decimal ? "quarry_sum_decimal(" : "quarry_sum_int(", column, ")"), dialect);
}

// PostgreSQL 15 has no min and max of booleans, uuids and bytes.
std::string PostgresExtreme(const ColumnUse& use, std::string_view function, bool greatest) {
  const std::string column = PlainColumn(use);
  const std::string call(function);
  switch (use.type.kind) {
    case TypeKind::kBool:
      return absl::StrCat(greatest ? "bool_or(" : "bool_and(", column, ")");
    case TypeKind::kUuid:
      return absl::StrCat(call, "(", column, "::text COLLATE \"C\")::uuid");
    case TypeKind::kBytes:
      return absl::StrCat("decode(", call, "(encode(", column, ", 'hex') COLLATE \"C\"), 'hex')");
    default:
      return absl::StrCat(call, "(", OrderedColumn(use, kAlias, Dialect::kPostgres), ")");
  }
}

Selected ExtremeOf(const ColumnUse& use, bool greatest, Dialect dialect) {
  const char* function = greatest ? "max" : "min";
  if (dialect == Dialect::kPostgres) return Plain(PostgresExtreme(use, function, greatest), use.type);
  const std::string sql = absl::StrCat(function, "(", OrderedColumn(use, kAlias, dialect), ")");
  if (use.type.kind == TypeKind::kDecimal) return ExactNumber(sql, dialect);
  return Plain(sql, use.type);
}

Selected CountOf(const CheckedAggregate::Column& column, Dialect dialect) {
  std::string counted = "*";
  if (column.input.has_value()) {
    counted = column.function == AggregateFunction::kCountDistinct
                  ? absl::StrCat("DISTINCT ", OrderedColumn(*column.input, kAlias, dialect))
                  : PlainColumn(*column.input);
  }
  return Plain(absl::StrCat("count(", counted, ")"), TypeOf(TypeKind::kInt64));
}

Selected Lowered(const CheckedAggregate::Column& column, Dialect dialect) {
  switch (column.function) {
    case AggregateFunction::kSum:
    case AggregateFunction::kAvg:
      return SumOf(*column.input, dialect);
    case AggregateFunction::kMin:
      return ExtremeOf(*column.input, false, dialect);
    case AggregateFunction::kMax:
      return ExtremeOf(*column.input, true, dialect);
    default:
      return CountOf(column, dialect);
  }
}

std::vector<Selected> GroupColumns(const CheckedAggregate& aggregate, Dialect dialect) {
  std::vector<Selected> columns;
  for (const ColumnUse& use : aggregate.group) columns.push_back(Plain(OrderedColumn(use, kAlias, dialect), use.type));
  return columns;
}

void WriteSelect(const std::vector<Selected>& columns, const CheckedAggregate& aggregate, SqlText& sql) {
  sql << "SELECT ";
  for (size_t i = 0; i < columns.size(); ++i) sql << (i == 0 ? "" : ", ") << columns[i].sql;
  sql << " FROM " << QuoteTable(aggregate.table->name(), sql.dialect()) << " AS " << kAlias;
  if (aggregate.predicate.kind == Predicate::Kind::kTrue) return;
  sql << " WHERE (";
  WritePredicate(aggregate.predicate, kAlias, sql);
  sql << ")";
}

void WriteGroupBy(const std::vector<Selected>& columns, size_t count, SqlText& sql) {
  for (size_t i = 0; i < count; ++i) sql << (i == 0 ? " GROUP BY " : ", ") << columns[i].sql;
}

Statement Finish(SqlText sql, const std::vector<Selected>& columns, SqlTexts& texts) {
  std::vector<ColumnType> types;
  types.reserve(columns.size());
  for (const Selected& column : columns) types.push_back(column.type);
  Statement statement = std::move(sql).Take();
  statement.sql = texts.Intern(std::move(statement.sql));
  statement.result_types = std::make_shared<const std::vector<ColumnType>>(std::move(types));
  statement.returns_rows = true;
  return statement;
}

Statement LowerPartial(const CheckedAggregate& aggregate, Dialect dialect, SqlTexts& texts) {
  std::vector<Selected> columns = GroupColumns(aggregate, dialect);
  std::vector<std::string> sort_sql;  // By position in the result.
  for (const Selected& group : columns) sort_sql.push_back(group.sort_sql);
  for (const CheckedAggregate::Column& column : aggregate.columns) {
    if (column.by_value) {
      sort_sql.emplace_back();
      continue;
    }
    columns.push_back(Lowered(column, dialect));
    sort_sql.push_back(columns.back().sort_sql);
    if (column.function == AggregateFunction::kAvg) columns.push_back(CountOf({AggregateFunction::kCount, column.input, false, {}}, dialect));
  }
  // A row tells that the shard has answered, whatever it has been asked for.
  if (columns.empty()) columns.push_back(Plain("count(*)", TypeOf(TypeKind::kInt64)));
  SqlText sql(dialect);
  WriteSelect(columns, aggregate, sql);
  WriteGroupBy(columns, aggregate.group.size(), sql);
  if (aggregate.groups_max > 0) {
    for (size_t i = 0; i < aggregate.order.size(); ++i) {
      const SortTerm& term = aggregate.order[i];
      sql << (i == 0 ? " ORDER BY " : ", ") << sort_sql[term.position] << (term.descending ? " DESC" : "")
          << (term.nulls_first ? " NULLS FIRST" : " NULLS LAST");
    }
  }
  if (!aggregate.group.empty()) {
    sql << " LIMIT ";
    sql.Bind(Value::Int64(aggregate.groups_max > 0 ? aggregate.groups_max : aggregate.groups_bound), TypeOf(TypeKind::kInt64));
  }
  return Finish(std::move(sql), columns, texts);
}

// Each value of a group once.
Statement LowerDistinct(const CheckedAggregate& aggregate, const ColumnUse& use, Dialect dialect, SqlTexts& texts) {
  std::vector<Selected> columns = GroupColumns(aggregate, dialect);
  columns.push_back(Plain(OrderedColumn(use, kAlias, dialect), use.type));
  SqlText sql(dialect);
  WriteSelect(columns, aggregate, sql);
  sql << (aggregate.predicate.kind == Predicate::Kind::kTrue ? " WHERE " : " AND ") << PlainColumn(use) << " IS NOT NULL";
  WriteGroupBy(columns, columns.size(), sql);
  sql << " LIMIT ";
  sql.Bind(Value::Int64(aggregate.values_bound), TypeOf(TypeKind::kInt64));
  return Finish(std::move(sql), columns, texts);
}

}  // namespace

LoweredAggregate LowerAggregate(const CheckedAggregate& aggregate, Dialect dialect, SqlTexts& texts) {
  LoweredAggregate lowered;
  lowered.partial = LowerPartial(aggregate, dialect, texts);
  for (size_t i = 0; i < aggregate.columns.size(); ++i) {
    const CheckedAggregate::Column& column = aggregate.columns[i];
    if (column.by_value) lowered.distinct.emplace_back(i, LowerDistinct(aggregate, *column.input, dialect, texts));
  }
  return lowered;
}

}  // namespace quarry
