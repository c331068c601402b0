// A small shop for tests of filters, and conditions and predicates as text.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/plan/filter.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {

inline ForeignKey KeyTo(std::string name, std::vector<std::string> columns, std::string table,
                        std::vector<std::string> referenced) {
  return ForeignKey{std::move(name), std::move(columns), std::move(table), std::move(referenced)};
}

inline Column TypedColumn(std::string name, TypeKind kind, std::string native_name) {
  Column column = MakeColumn(std::move(name), kind);
  column.type.native_name = std::move(native_name);
  return column;
}

// customers(id, …, country): sharded by id. orders(customer, number, …): sharded by customer, with a foreign key to customers and
// one to countries, a reference table. notes(id, customer, author): sharded by id, so apart from the customers it belongs to.
inline std::shared_ptr<const Snapshot> FilterSnapshot(std::vector<Dialect> dialects = {Dialect::kPostgres}) {
  Column status = TypedColumn("status", TypeKind::kNative, "order_status");
  status.enumeration = true;
  status.byte_order = false;
  Column label = TypedColumn("label", TypeKind::kText, "character varying(5)");
  label.byte_order = false;
  Column nick = MakeColumn("nick", TypeKind::kText);
  nick.deterministic_text = false;
  nick.byte_order = false;
  Column tags = MakeColumn("tags", TypeKind::kText);
  tags.type.array = true;
  TableSchema customers = MakeSchema(
      "customers", {MakeColumn("id", TypeKind::kInt64, false), MakeColumn("name", TypeKind::kText), label, nick,
                    MakeColumn("age", TypeKind::kInt16), MakeColumn("country", TypeKind::kText), MakeColumn("rate", TypeKind::kDouble)},
      {"id"});
  TableSchema orders = MakeSchema(
      "orders", {MakeColumn("customer", TypeKind::kInt64, false), MakeColumn("number", TypeKind::kInt64, false),
                 TypedColumn("price", TypeKind::kDecimal, "numeric(10,2)"), MakeColumn("paid", TypeKind::kBool),
                 MakeColumn("made", TypeKind::kTimestampTz), MakeColumn("day", TypeKind::kDate), status,
                 MakeColumn("extra", TypeKind::kJson), tags, MakeColumn("country", TypeKind::kText), MakeColumn("raw", TypeKind::kBytes),
                 MakeColumn("ref", TypeKind::kUuid)},
      {"customer", "number"});
  orders.foreign_keys = {KeyTo("orders_customer_fkey", {"customer"}, "customers", {"id"}),
                         KeyTo("orders_country_fkey", {"country"}, "countries", {"code"})};
  TableSchema notes = MakeSchema("notes", {MakeColumn("id", TypeKind::kInt64, false), MakeColumn("customer", TypeKind::kInt64),
                                           MakeColumn("author", TypeKind::kInt64)},
                                 {"id"});
  notes.foreign_keys = {KeyTo("notes_customer_fkey", {"customer"}, "customers", {"id"}),
                        KeyTo("notes_author_fkey", {"author"}, "customers", {"id"})};
  TableSchema countries =
      MakeSchema("countries", {MakeColumn("code", TypeKind::kText, false), MakeColumn("name", TypeKind::kText)}, {"code"});
  TableSchema jobs = MakeSchema("jobs", {MakeColumn("id", TypeKind::kInt64, false), MakeColumn("country", TypeKind::kText)}, {"id"});
  jobs.foreign_keys = {KeyTo("jobs_country_fkey", {"country"}, "countries", {"code"})};
  return MakeSnapshot(8, std::move(dialects),
                      {{Declare("customers", TableKind::kSharded, {"id"}), customers},
                       {Declare("orders", TableKind::kSharded, {"customer"}), orders},
                       {Declare("notes", TableKind::kSharded, {"id"}), notes},
                       {Declare("countries", TableKind::kReference), countries},
                       {Declare("jobs", TableKind::kSingle), jobs}});
}

inline const Table& TableOf(const Snapshot& snapshot, const std::string& name) {
  return snapshot.catalog.tables().find(name)->second;
}

using Params = std::map<std::string, Value>;

// Parsed and checked against a table of the shop.
inline absl::StatusOr<Predicate> CheckText(const Snapshot& snapshot, const std::string& table, const std::string& text,
                                           const Params& params = {}) {
  const FilterLimits limits;
  QUARRY_ASSIGN_OR_RETURN(const Condition condition, ParseFilter(text, params, limits, "filter"));
  return CheckFilter(condition, TableOf(snapshot, table), snapshot.catalog, limits);
}

inline Statement Lower(const Predicate& predicate, Dialect dialect) {
  SqlText sql(dialect);
  WritePredicate(predicate, "t0", sql);
  return std::move(sql).Take();
}

inline std::string OpName(CompareOp op) {
  const char* const names[] = {"=", "!=", "<", "<=", ">", ">="};
  return names[static_cast<size_t>(op)];
}

template <typename Node>
std::string Joined(const std::vector<Node>& nodes, const std::string& word, std::string (*text)(const Node&)) {
  std::string joined;
  for (const Node& node : nodes) joined += (joined.empty() ? "" : " " + word + " ") + text(node);
  return "(" + joined + ")";
}

inline std::string ValuesText(const std::vector<Value>& values) {
  std::string text;
  for (const Value& value : values) text += (text.empty() ? "" : ", ") + absl::StrCat(ValueKindName(value.kind()), " ", DebugString(value));
  return text;
}

inline std::string ConditionText(const Condition& condition) {
  switch (condition.kind) {
    case Condition::Kind::kAnd:
      return Joined(condition.children, "and", ConditionText);
    case Condition::Kind::kOr:
      return Joined(condition.children, "or", ConditionText);
    case Condition::Kind::kNot:
      return "not " + ConditionText(condition.children[0]);
    case Condition::Kind::kCompare:
      return absl::StrCat(condition.column, " ", OpName(condition.op), " ",
                          condition.values.empty() ? condition.other_column : ValuesText(condition.values));
    case Condition::Kind::kIn:
      return absl::StrCat(condition.column, " in [", ValuesText(condition.values), "]");
    case Condition::Kind::kBetween:
      return absl::StrCat(condition.column, " between ", ValuesText(condition.values));
    case Condition::Kind::kLike:
      return absl::StrCat(condition.column, " like ", ValuesText(condition.values));
    case Condition::Kind::kPrefix:
      return absl::StrCat(condition.column, " begins ", ValuesText(condition.values));
    case Condition::Kind::kIsNull:
      return condition.column + " is null";
    case Condition::Kind::kHas:
      return absl::StrCat("has(", condition.column, condition.children.empty() ? "" : ", ",
                          condition.children.empty() ? "" : ConditionText(condition.children[0]), ")");
  }
  return "";
}

inline std::string PredicateText(const Predicate& predicate) {
  const std::string& column = predicate.column.name;
  switch (predicate.kind) {
    case Predicate::Kind::kTrue:
      return "true";
    case Predicate::Kind::kFalse:
      return "false";
    case Predicate::Kind::kAnd:
      return Joined(predicate.children, "and", PredicateText);
    case Predicate::Kind::kOr:
      return Joined(predicate.children, "or", PredicateText);
    case Predicate::Kind::kNot:
      return "not " + PredicateText(predicate.children[0]);
    case Predicate::Kind::kCompare:
      return absl::StrCat(column, " ", OpName(predicate.op), " ",
                          predicate.other.has_value() ? predicate.other->name : ValuesText(predicate.values));
    case Predicate::Kind::kIn:
      return absl::StrCat(column, " in [", ValuesText(predicate.values), "]");
    case Predicate::Kind::kLike:
      return absl::StrCat(column, " like ", ValuesText(predicate.values));
    case Predicate::Kind::kPrefix:
      return absl::StrCat(column, " begins ", ValuesText(predicate.values));
    case Predicate::Kind::kIsNull:
      return column + " is null";
    case Predicate::Kind::kHas:
      return absl::StrCat("has(", predicate.related->table, ", ", PredicateText(predicate.related->predicate), ")");
  }
  return "";
}

}  // namespace quarry
