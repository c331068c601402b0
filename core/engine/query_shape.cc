#include "core/engine/query_shape.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/plan/compare_sql.h"
#include "core/routing/stable_hash.h"

namespace quarry {
namespace {

constexpr size_t kTextBytesMax = 2'000;

void Append(const Condition& condition, std::string& text);

void AppendList(const Condition& condition, const char* between, std::string& text) {
  for (size_t i = 0; i < condition.children.size(); ++i) {
    if (i > 0) text += between;
    const Condition& child = condition.children[i];
    const bool list = child.kind == Condition::Kind::kAnd || child.kind == Condition::Kind::kOr;
    if (list) text += '(';
    Append(child, text);
    if (list) text += ')';
  }
}

void Append(const Condition& condition, std::string& text) {
  switch (condition.kind) {
    case Condition::Kind::kAnd:
      return AppendList(condition, " AND ", text);
    case Condition::Kind::kOr:
      return AppendList(condition, " OR ", text);
    case Condition::Kind::kNot:
      text += "NOT (";
      AppendList(condition, "", text);
      text += ')';
      return;
    case Condition::Kind::kCompare:
      absl::StrAppend(&text, condition.column, " ", SqlOf(condition.op), " ",
                      condition.other_column.empty() ? "?" : condition.other_column);
      return;
    case Condition::Kind::kIn:
      absl::StrAppend(&text, condition.column, " IN (?)");
      return;
    case Condition::Kind::kBetween:
      absl::StrAppend(&text, condition.column, " BETWEEN ? AND ?");
      return;
    case Condition::Kind::kLike:
      absl::StrAppend(&text, condition.column, " LIKE ?");
      return;
    case Condition::Kind::kPrefix:
      absl::StrAppend(&text, "STARTS_WITH(", condition.column, ", ?)");
      return;
    case Condition::Kind::kIsNull:
      absl::StrAppend(&text, condition.column, " IS NULL");
      return;
    case Condition::Kind::kHas:
      absl::StrAppend(&text, "HAS(", condition.column, condition.children.empty() ? "" : ", ");
      AppendList(condition, "", text);
      text += ')';
      return;
  }
}

std::string FilterText(const std::optional<Condition>& filter) {
  if (!filter.has_value()) return "all rows";
  std::string text;
  Append(*filter, text);
  return text;
}

void AppendOrder(const std::vector<OrderTerm>& order, std::string& text) {
  const char* between = " ORDER BY ";
  for (const OrderTerm& term : order) {
    absl::StrAppend(&text, between, term.column, term.descending ? " DESC" : "");
    if (term.nulls != NullPlacement::kDefault) {
      text += term.nulls == NullPlacement::kFirst ? " NULLS FIRST" : " NULLS LAST";
    }
    between = ", ";
  }
}

const char* FunctionText(AggregateFunction function) {
  switch (function) {
    case AggregateFunction::kCount:
      return "count(";
    case AggregateFunction::kCountDistinct:
      return "count(distinct ";
    case AggregateFunction::kSum:
      return "sum(";
    case AggregateFunction::kAvg:
      return "avg(";
    case AggregateFunction::kMin:
      return "min(";
    case AggregateFunction::kMax:
      return "max(";
  }
  return "(";
}

QueryShape Finish(std::string method, const std::string& table, std::string text) {
  QueryShape shape;
  shape.method = std::move(method);
  shape.table = table;
  const std::string all = absl::StrCat(shape.method, " ", table, " ", text);
  shape.id = HashBytesExtended(all, 0);
  if (text.size() > kTextBytesMax) {
    size_t end = kTextBytesMax;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // Not within a character.
    text.resize(end);
    text += "…";
  }
  shape.text = std::move(text);
  return shape;
}

std::string RowsText(const QueryOperation& op) {
  std::string text = op.distinct ? absl::StrCat("DISTINCT ", absl::StrJoin(op.columns, ", "), " of ") : "";
  text += FilterText(op.filter);
  AppendOrder(op.order_by, text);
  return text;
}

}  // namespace

QueryShape ShapeOf(const QueryOperation& op) { return Finish("Query", op.table, RowsText(op)); }

QueryShape ShapeOf(const ListOperation& op) {
  std::string text = RowsText(op.query);
  const char* between = " WITH ";
  for (const Include& include : op.includes) absl::StrAppend(&text, std::exchange(between, ", "), include.relation);
  return Finish("List", op.query.table, std::move(text));
}

QueryShape ShapeOf(const AggregateOperation& op) {
  std::vector<std::string> terms;
  for (const AggregateTerm& term : op.aggregates) {
    terms.push_back(absl::StrCat(FunctionText(term.function), term.column.empty() ? "*" : term.column, ")"));
  }
  std::string text = absl::StrCat(absl::StrJoin(terms, ", "), terms.empty() ? "" : " of ", FilterText(op.filter));
  if (!op.group_by.empty()) absl::StrAppend(&text, " GROUP BY ", absl::StrJoin(op.group_by, ", "));
  if (op.having.has_value()) absl::StrAppend(&text, " HAVING ", FilterText(op.having));
  AppendOrder(op.order_by, text);
  return Finish("Aggregate", op.table, std::move(text));
}

QueryShape ShapeOf(const BulkWriteOperation& op) {
  if (op.deletes) return Finish("DeleteWhere", op.table, FilterText(op.filter));
  std::vector<std::string> columns;
  for (const auto& [column, value] : op.set) columns.push_back(column);
  return Finish("UpdateWhere", op.table,
                absl::StrCat("SET ", absl::StrJoin(columns, ", "), " of ", FilterText(op.filter)));
}

std::string QueryIdText(uint64_t id) { return absl::StrFormat("%016x", id); }

}  // namespace quarry
