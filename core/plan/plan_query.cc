#include "core/plan/plan_query.h"

#include <algorithm>
#include <limits>
#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/filter.h"
#include "core/plan/lowering.h"
#include "core/plan/route.h"
#include "core/plan/scatter_check.h"

namespace quarry {
namespace {

// A question after its check, before any SQL.
struct CheckedQuestion {
  const Table* table = nullptr;
  std::vector<size_t> columns;
  std::vector<SortColumn> order;  // In the direction that is read.
  Predicate predicate;
};

std::string NoOrder(const ColumnUse& use) {
  return absl::StrCat("column \"", use.name, "\" is of type ", TypeName(use.type),
                      ", which has no order that all databases share");
}

// The terms that the caller names.
std::vector<SortColumn> CheckTerms(const QueryOperation& op, const Table& table, const std::vector<size_t>* columns,
                                   std::vector<FieldViolation>& violations) {
  std::vector<SortColumn> order;
  for (size_t i = 0; i < op.order_by.size(); ++i) {
    const OrderTerm& asked = op.order_by[i];
    const std::string field = absl::StrCat("order_by[", i, "]");
    const std::optional<size_t> at = table.FindColumn(asked.column);
    if (!at.has_value()) {
      violations.push_back({field, absl::StrCat("table \"", table.name(), "\" has no column \"", asked.column, "\"",
                                                DidYouMean(asked.column, ColumnNames(table.schema())))});
      continue;
    }
    SortColumn term;
    term.use = UseOf(table, *at);
    term.descending = asked.descending;
    term.nulls_first = asked.nulls == NullPlacement::kDefault ? asked.descending : asked.nulls == NullPlacement::kFirst;
    const bool again = std::any_of(order.begin(), order.end(),
                                   [&term](const SortColumn& other) { return other.use.position == term.use.position; });
    if (again) {
      violations.push_back({field, absl::StrCat("column \"", asked.column, "\" is named twice; its second place decides nothing")});
    } else if (!HasOrder(term.use.type)) {
      violations.push_back({field, absl::StrCat(NoOrder(term.use), "; order by another column")});
    } else if (op.distinct && columns != nullptr && std::find(columns->begin(), columns->end(), *at) == columns->end()) {
      violations.push_back({field, absl::StrCat("column \"", asked.column,
                                                "\" is not among the columns of a distinct question, so one row could stand in "
                                                "several places; add it to columns, or order by a column that is there")});
    } else {
      order.push_back(std::move(term));
    }
  }
  return order;
}

// Makes the order total.
void Complete(const QueryOperation& op, const Table& table, const std::vector<size_t>& columns,
              std::vector<SortColumn>& order, std::vector<FieldViolation>& violations) {
  for (const size_t column : op.distinct ? columns : table.primary_key()) {
    SortColumn term;
    term.use = UseOf(table, column);
    const bool there = std::any_of(order.begin(), order.end(),
                                   [column](const SortColumn& other) { return other.use.position == column; });
    if (there) continue;
    if (!HasOrder(term.use.type)) {
      violations.push_back(op.distinct ? FieldViolation{"distinct", absl::StrCat(NoOrder(term.use), ", so rows cannot be told "
                                                                                 "apart by it; leave it out of columns")}
                                       : FieldViolation{"table", absl::StrCat(NoOrder(term.use), ", and it is part of the "
                                                                              "primary key, which ends every order")});
    }
    order.push_back(std::move(term));
  }
}

absl::StatusOr<CheckedQuestion> CheckQuestion(const QueryOperation& op, const Snapshot& snapshot) {
  CheckedQuestion checked;
  QUARRY_ASSIGN_OR_RETURN(checked.table, FindTable(snapshot, op.table));
  const Table& table = *checked.table;
  std::vector<FieldViolation> violations;
  absl::StatusOr<std::vector<size_t>> columns = CheckColumns(table, op.columns, "columns");
  if (!columns.ok() && !AddViolations(columns.status(), violations)) return columns.status();
  CheckWindow(op.limit, op.offset, violations);
  checked.order = CheckTerms(op, table, columns.ok() ? &*columns : nullptr, violations);
  if (columns.ok()) {
    checked.columns = *std::move(columns);
    Complete(op, table, checked.columns, checked.order, violations);
  }
  if (op.filter.has_value()) {
    absl::StatusOr<Predicate> predicate = CheckFilter(*op.filter, table, snapshot.catalog, FilterLimits());
    if (!predicate.ok() && !AddViolations(predicate.status(), violations)) return predicate.status();
    if (predicate.ok()) checked.predicate = *std::move(predicate);
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  return checked;
}

bool Fits(const Value& value, const ColumnUse& use) {
  if (value.is_null()) return use.nullable;
  if (value.kind() == ValueKind::kNative) return true;
  switch (use.type.kind) {
    case TypeKind::kBool:
      return value.kind() == ValueKind::kBool;
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return value.kind() == ValueKind::kInt64;
    case TypeKind::kFloat:
    case TypeKind::kDouble:
      return value.kind() == ValueKind::kDouble;
    case TypeKind::kText:
      return value.kind() == ValueKind::kText;
    case TypeKind::kBytes:
      return value.kind() == ValueKind::kBytes;
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      return value.kind() == ValueKind::kTimestamp;
    case TypeKind::kDate:
      return value.kind() == ValueKind::kDate;
    case TypeKind::kTime:
      return value.kind() == ValueKind::kTime;
    case TypeKind::kDecimal:
      return value.kind() == ValueKind::kDecimal;
    default:  // kUuid: the other types have no order and are refused before.
      return value.kind() == ValueKind::kUuid;
  }
}

absl::Status CheckPosition(const QueryPosition& position, const std::vector<SortColumn>& order, std::string_view field) {
  bool fits = position.after.size() == order.size();
  for (size_t i = 0; fits && i < order.size(); ++i) fits = Fits(position.after[i], order[i].use);
  if (fits) return absl::OkStatus();
  return InvalidField(field, "does not fit the table's columns, which have changed since it was given; start again without it");
}

// A collation orders the value as it is; any other expression may be another value, as that of a padded text is.
bool OrdersItsValue(const ColumnUse& use) {
  const std::string& declared = use.type.native_name;
  const bool padded = declared == "bpchar" || absl::StartsWith(declared, "character");
  const std::string plain = absl::StrCat(kAlias, ".", QuoteIdentifier(use.name));
  for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
    const std::string ordered = OrderedColumn(use, kAlias, dialect);
    const bool collated = absl::StartsWith(ordered, plain + " COLLATE ") ||
                          (!padded && absl::StartsWith(ordered, plain + "::text COLLATE "));
    if (ordered != plain && !collated) return false;
  }
  return true;
}

// What a shard's row holds. The same for both dialects, or a mixed cluster could not be merged.
struct Layout {
  std::vector<size_t> columns;     // Of the table: those asked, then hidden sort keys.
  std::vector<bool> ordered_form;  // Read as OrderedColumn.
  std::vector<size_t> sort_keys;   // Term -> its place in the row.
};

Layout LayOut(const CheckedQuestion& checked, bool distinct) {
  Layout layout;
  layout.columns = checked.columns;
  // What a distinct question tells apart must be told apart in the way that it is ordered.
  layout.ordered_form.assign(layout.columns.size(), distinct);
  for (const SortColumn& term : checked.order) {
    const auto found = std::find(checked.columns.begin(), checked.columns.end(), term.use.position);
    const bool same = OrdersItsValue(term.use);
    if (found != checked.columns.end() && (same || distinct)) {
      layout.sort_keys.push_back(static_cast<size_t>(found - checked.columns.begin()));
      continue;
    }
    layout.sort_keys.push_back(layout.columns.size());
    layout.columns.push_back(term.use.position);
    layout.ordered_form.push_back(!same);
  }
  return layout;
}

struct Shape {
  bool distinct = false;
  bool limited = false;
  int64_t limit = 0;  // Of one shard's rows.
  const QueryPosition* position = nullptr;
};

Statement Lower(const CheckedQuestion& checked, const Layout& layout, const Shape& shape, Dialect dialect, SqlTexts& texts) {
  SqlText sql(dialect);
  sql << (shape.distinct ? "SELECT DISTINCT " : "SELECT ");
  std::vector<ColumnType> types;
  for (size_t i = 0; i < layout.columns.size(); ++i) {
    const ColumnUse use = UseOf(*checked.table, layout.columns[i]);
    sql << (i == 0 ? "" : ", ");
    sql << (layout.ordered_form[i] ? OrderedColumn(use, kAlias, dialect) : absl::StrCat(kAlias, ".", QuoteIdentifier(use.name)));
    types.push_back(use.type);
  }
  sql << " FROM " << QuoteTable(checked.table->name(), dialect) << " AS " << kAlias;
  const bool filtered = checked.predicate.kind != Predicate::Kind::kTrue;
  if (filtered) {
    sql << " WHERE (";
    WritePredicate(checked.predicate, kAlias, sql);
    sql << ")";
  }
  if (shape.position != nullptr) {
    sql << (filtered ? " AND " : " WHERE ");
    WriteAfter(checked.order, shape.position->after, shape.position->inclusive, kAlias, sql);
  }
  sql << " ORDER BY ";
  WriteOrder(checked.order, kAlias, sql);
  if (shape.limited) {
    sql << " LIMIT ";
    sql.Bind(Value::Int64(shape.limit), ColumnType{TypeKind::kInt64, false, ""});
  }
  Statement statement = std::move(sql).Take();
  statement.sql = texts.Intern(std::move(statement.sql));
  statement.result_types = std::make_shared<const std::vector<ColumnType>>(std::move(types));
  statement.returns_rows = true;
  return statement;
}

// The other shards that hold the rows of a reference table and that the target allows.
absl::StatusOr<std::vector<ShardId>> Alternates(const QueryOperation& op, ShardId chosen, const Snapshot& snapshot) {
  std::vector<ShardId> others;
  for (const Shard& shard : snapshot.topology.shards()) others.push_back(shard.id);
  if (!op.target.shards.empty()) {
    QUARRY_ASSIGN_OR_RETURN(others, ShardsOfTarget(op.target, snapshot));
  }
  std::erase(others, chosen);
  return others;
}

// Of one direction into the other: the rows before a position, nearest first.
void Turn(std::vector<SortColumn>& order) {
  for (SortColumn& term : order) {
    term.descending = !term.descending;
    term.nulls_first = !term.nulls_first;
  }
}

void SetResult(const CheckedQuestion& checked, const Layout& layout, QueryPlan& plan) {
  std::vector<ColumnHeader> header;
  for (const size_t column : checked.columns) header.push_back((*checked.table->header())[column]);
  plan.header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
  plan.visible = checked.columns.size();
  for (size_t i = 0; i < checked.order.size(); ++i) {
    SortTerm term;
    term.position = layout.sort_keys[i];
    term.descending = checked.order[i].descending;
    term.nulls_first = checked.order[i].nulls_first;
    plan.merge.order.push_back(term);
  }
}

}  // namespace

absl::StatusOr<QueryPlan> PlanQuery(const QueryOperation& op, const QueryPart& part, const Snapshot& snapshot, SqlTexts& texts,
                                    std::string_view token_field) {
  QUARRY_ASSIGN_OR_RETURN(CheckedQuestion checked, CheckQuestion(op, snapshot));
  const Table& table = *checked.table;
  if (part.position != nullptr) {
    QUARRY_RETURN_IF_ERROR(CheckPosition(*part.position, checked.order, token_field));
    if (part.position->backward) Turn(checked.order);
  }
  QueryPlan plan;
  plan.table = &table;
  QUARRY_ASSIGN_OR_RETURN(plan.route, RouteQuestion(checked.predicate, table, op.target, op.bounds, snapshot, part.spread,
                                                    &plan.unmapped));
  std::vector<ShardId> alternates;
  if (table.kind() == TableKind::kReference && !part.pinned && !plan.route.shards.empty()) {
    QUARRY_ASSIGN_OR_RETURN(alternates, Alternates(op, plan.route.shards.front(), snapshot));
  }
  const Layout layout = LayOut(checked, op.distinct);
  SetResult(checked, layout, plan);
  plan.merge.distinct = op.distinct;
  plan.merge.offset = part.position == nullptr ? op.offset : 0;
  plan.merge.limit = part.limit;
  Shape shape;
  shape.distinct = op.distinct;
  shape.limited = part.limit > 0;
  shape.limit = plan.merge.offset + part.limit;
  shape.position = part.position;
  std::map<Dialect, Statement> lowered;
  const auto statement_for = [&](ShardId shard) {
    const Dialect dialect = snapshot.topology.shard(shard).dialect;
    auto found = lowered.find(dialect);
    if (found == lowered.end()) found = lowered.emplace(dialect, Lower(checked, layout, shape, dialect, texts)).first;
    return found->second;
  };
  for (const ShardId shard : plan.route.shards) plan.statements.emplace_back(shard, statement_for(shard));
  for (const ShardId shard : alternates) plan.alternates.emplace_back(shard, statement_for(shard));
  return plan;
}

}  // namespace quarry
