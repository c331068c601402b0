#include "server/translate/query_request.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/plan/filter.h"
#include "server/translate/request.h"
#include "server/translate/request_parts.h"
#include "server/translate/value.h"

namespace quarry {
namespace {

constexpr char kParams[] = "params";

// Structured conditions -> the syntax tree.
class ConditionReader {
 public:
  explicit ConditionReader(Violations& violations) : violations_(violations) {}

  Condition Read(const v1::Condition& wire, const FieldPath& path, size_t depth) {
    Condition condition;
    condition.place = path.ToString();
    if (!WithinLimits(path, depth)) return condition;
    switch (wire.kind_case()) {
      case v1::Condition::kAnd:
        return ReadList(wire.and_(), Condition::Kind::kAnd, FieldPath(path, "and"), depth, std::move(condition));
      case v1::Condition::kOr:
        return ReadList(wire.or_(), Condition::Kind::kOr, FieldPath(path, "or"), depth, std::move(condition));
      case v1::Condition::kNot:
        condition.kind = Condition::Kind::kNot;
        condition.children.push_back(Read(wire.not_(), FieldPath(path, "not"), depth + 1));
        return condition;
      case v1::Condition::kHas:
        return ReadHas(wire.has(), FieldPath(path, "has"), depth, std::move(condition));
      case v1::Condition::kCompare:
        return ReadCompare(wire.compare(), FieldPath(path, "compare"), std::move(condition));
      case v1::Condition::kIn:
        return ReadIn(wire.in(), FieldPath(path, "in"), std::move(condition));
      case v1::Condition::kBetween:
        return ReadBetween(wire.between(), FieldPath(path, "between"), std::move(condition));
      case v1::Condition::kLike:
        return ReadText(Condition::Kind::kLike, wire.like().column(), wire.like().pattern(), FieldPath(path, "like"),
                        "pattern", std::move(condition));
      case v1::Condition::kPrefix:
        return ReadText(Condition::Kind::kPrefix, wire.prefix().column(), wire.prefix().prefix(),
                        FieldPath(path, "prefix"), "prefix", std::move(condition));
      case v1::Condition::kIsNull:
        condition.kind = Condition::Kind::kIsNull;
        condition.column = ColumnOf(wire.is_null().column(), FieldPath(path, "is_null"));
        return condition;
      case v1::Condition::KIND_NOT_SET:
        break;
    }
    violations_.Add(path, "has no condition set; set and, or, not, compare, in, between, like, prefix, is_null or has");
    return condition;
  }

 private:
  bool WithinLimits(const FieldPath& path, size_t depth) {
    if (depth > limits_.depth_max) {
      violations_.Add(path, absl::StrCat("is deeper than ", limits_.depth_max, " levels; use in for many values"));
      return false;
    }
    if (++nodes_ <= limits_.nodes_max) return true;
    if (nodes_ == limits_.nodes_max + 1) {
      violations_.Add(path, absl::StrCat("is one condition more than ", limits_.nodes_max, "; use in for many values"));
    }
    return false;
  }

  std::string ColumnOf(const std::string& column, const FieldPath& path) {
    if (column.empty()) violations_.Add(FieldPath(path, "column"), "is empty; name a column");
    return column;
  }

  Condition ReadList(const v1::ConditionList& wire, Condition::Kind kind, const FieldPath& path, size_t depth,
                     Condition condition) {
    condition.kind = kind;
    if (wire.conditions().empty()) violations_.Add(path, "holds no condition; give at least one");
    condition.children.reserve(static_cast<size_t>(wire.conditions_size()));
    for (int i = 0; i < wire.conditions_size() && nodes_ <= limits_.nodes_max; ++i) {
      condition.children.push_back(Read(wire.conditions(i), FieldPath(path, static_cast<size_t>(i)), depth + 1));
    }
    return condition;
  }

  Condition ReadHas(const v1::HasCondition& wire, const FieldPath& path, size_t depth, Condition condition) {
    condition.kind = Condition::Kind::kHas;
    condition.column = wire.relation();
    if (wire.relation().empty()) violations_.Add(FieldPath(path, "relation"), "is empty; name a relation");
    if (wire.has_condition()) {
      condition.children.push_back(Read(wire.condition(), FieldPath(path, "condition"), depth + 1));
    }
    return condition;
  }

  Condition ReadCompare(const v1::CompareCondition& wire, const FieldPath& path, Condition condition) {
    condition.kind = Condition::Kind::kCompare;
    condition.column = ColumnOf(wire.column(), path);
    switch (wire.op()) {
      case v1::COMPARE_OPERATOR_EQUAL:
        condition.op = CompareOp::kEqual;
        break;
      case v1::COMPARE_OPERATOR_NOT_EQUAL:
        condition.op = CompareOp::kNotEqual;
        break;
      case v1::COMPARE_OPERATOR_LESS:
        condition.op = CompareOp::kLess;
        break;
      case v1::COMPARE_OPERATOR_LESS_OR_EQUAL:
        condition.op = CompareOp::kLessOrEqual;
        break;
      case v1::COMPARE_OPERATOR_GREATER:
        condition.op = CompareOp::kGreater;
        break;
      case v1::COMPARE_OPERATOR_GREATER_OR_EQUAL:
        condition.op = CompareOp::kGreaterOrEqual;
        break;
      default:
        violations_.Add(FieldPath(path, "op"), "is not a known comparison");
    }
    switch (wire.with_case()) {
      case v1::CompareCondition::kValue:
        condition.values.push_back(ToValue(wire.value(), FieldPath(path, "value"), violations_));
        break;
      case v1::CompareCondition::kOtherColumn:
        condition.other_column = wire.other_column();
        if (wire.other_column().empty()) violations_.Add(FieldPath(path, "other_column"), "is empty; name a column");
        break;
      case v1::CompareCondition::WITH_NOT_SET:
        violations_.Add(path, "compares with nothing; set value or other_column");
    }
    return condition;
  }

  Condition ReadIn(const v1::InCondition& wire, const FieldPath& path, Condition condition) {
    condition.kind = Condition::Kind::kIn;
    condition.column = ColumnOf(wire.column(), path);
    const FieldPath values(path, "values");
    if (static_cast<size_t>(wire.values_size()) > limits_.list_max) {
      violations_.Add(values, absl::StrCat("has ", wire.values_size(), " values; at most ", limits_.list_max));
      return condition;
    }
    condition.values.reserve(static_cast<size_t>(wire.values_size()));
    for (int i = 0; i < wire.values_size(); ++i) {
      condition.values.push_back(ToValue(wire.values(i), FieldPath(values, static_cast<size_t>(i)), violations_));
    }
    return condition;
  }

  Condition ReadBetween(const v1::BetweenCondition& wire, const FieldPath& path, Condition condition) {
    condition.kind = Condition::Kind::kBetween;
    condition.column = ColumnOf(wire.column(), path);
    condition.values.push_back(ToValue(wire.low(), FieldPath(path, "low"), violations_));
    condition.values.push_back(ToValue(wire.high(), FieldPath(path, "high"), violations_));
    return condition;
  }

  Condition ReadText(Condition::Kind kind, const std::string& column, const std::string& text, const FieldPath& path,
                     std::string_view field, Condition condition) {
    condition.kind = kind;
    condition.column = ColumnOf(column, path);
    v1::Value value;
    value.set_text_value(text);
    condition.values.push_back(ToValue(value, FieldPath(path, field), violations_));
    return condition;
  }

  Violations& violations_;
  const FilterLimits limits_;
  size_t nodes_ = 0;
};

// The names of the @name parameters in a text; what stands in quotes is none.
std::set<std::string> NamedParams(const std::string& text) {
  std::set<std::string> names;
  char quote = '\0';
  for (size_t i = 0; i < text.size(); ++i) {
    if (quote != '\0') {
      if (text[i] == quote) quote = '\0';
    } else if (text[i] == '\'' || text[i] == '"') {
      quote = text[i];
    } else if (text[i] == '@') {
      size_t end = i + 1;
      while (end < text.size() && (absl::ascii_isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_' ||
                                   text[end] == '$')) {
        ++end;
      }
      names.insert(text.substr(i + 1, end - i - 1));
      i = end - 1;
    }
  }
  return names;
}

// The condition of a request, from its one of two forms.
std::optional<Condition> FromForms(const std::string& text, const char* text_field, const v1::Condition* tree,
                                   const char* tree_field, const Params& params, Violations& violations) {
  if (!text.empty() && tree != nullptr) {
    violations.Add(text_field, absl::StrCat("and ", tree_field, " exclude each other; give one of them"));
    return std::nullopt;
  }
  if (!text.empty()) return ToCondition(text, params, text_field, violations);
  if (tree != nullptr) return ToCondition(*tree, tree_field, violations);
  return std::nullopt;
}

// filter, params and where of a request without other texts.
template <typename Request>
std::optional<Condition> ToFilter(const Request& request, Violations& violations) {
  const Params params = ToParams(request.params(), kParams, violations);
  if (request.filter().empty()) RefuseUnused(params, kParams, violations);
  return FromForms(request.filter(), "filter", request.has_where() ? &request.where() : nullptr, "where", params,
                   violations);
}

// Each text gets the parameters that are not the other's alone; so one that neither uses is reported, once.
void ToFilterAndHaving(const v1::AggregateRequest& request, AggregateOperation& op, Violations& violations) {
  const Params params = ToParams(request.params(), kParams, violations);
  const std::set<std::string> in_filter = NamedParams(request.filter());
  const std::set<std::string> in_having = NamedParams(request.having());
  Params for_filter;
  Params for_having;
  Params for_nobody;
  for (const auto& [name, value] : params) {
    const bool filter_uses = in_filter.count(name) > 0;
    const bool having_uses = in_having.count(name) > 0;
    if (filter_uses) for_filter.emplace(name, value);
    if (having_uses) for_having.emplace(name, value);
    if (!filter_uses && !having_uses) for_nobody.emplace(name, value);
  }
  RefuseUnused(for_nobody, kParams, violations);
  op.filter = FromForms(request.filter(), "filter", request.has_where() ? &request.where() : nullptr, "where",
                        for_filter, violations);
  op.having = FromForms(request.having(), "having", request.has_having_where() ? &request.having_where() : nullptr,
                        "having_where", for_having, violations);
}

// "*" alone is all, as no name is.
template <typename Strings>
std::vector<std::string> ToColumns(const Strings& names) {
  if (names.size() == 1 && names.Get(0) == "*") return {};
  return ToNames(names);
}

NullPlacement ToNulls(v1::NullPlacement nulls, const FieldPath& path, Violations& violations) {
  switch (nulls) {
    case v1::NULL_PLACEMENT_UNSPECIFIED:
      return NullPlacement::kDefault;
    case v1::NULL_PLACEMENT_FIRST:
      return NullPlacement::kFirst;
    case v1::NULL_PLACEMENT_LAST:
      return NullPlacement::kLast;
    default:
      violations.Add(path, "is not a known place of NULL");
      return NullPlacement::kDefault;
  }
}

template <typename Terms>
std::vector<OrderTerm> ToOrder(const Terms& wire, Violations& violations) {
  std::vector<OrderTerm> order;
  std::set<std::string> seen;
  const FieldPath all("order_by");
  for (int i = 0; i < wire.size(); ++i) {
    const FieldPath path(all, static_cast<size_t>(i));
    const v1::OrderBy& term = wire.Get(i);
    if (term.column().empty()) {
      violations.Add(FieldPath(path, "column"), "is empty; name a column");
    } else if (!seen.insert(term.column()).second) {
      violations.Add(FieldPath(path, "column"), absl::StrCat("names \"", term.column(), "\" twice"));
    }
    order.push_back({term.column(), term.descending(), ToNulls(term.nulls(), FieldPath(path, "nulls"), violations)});
  }
  return order;
}

int64_t ToCount(int64_t count, const char* field, const char* zero, Violations& violations) {
  if (count < 0) violations.Add(field, absl::StrCat("is negative; 0 means ", zero));
  return count;
}

// What List, Query and Aggregate share beside their condition.
template <typename Request, typename Operation>
void ToReach(const Request& request, Operation& op, Violations& violations) {
  op.table = request.table();
  op.order_by = ToOrder(request.order_by(), violations);
  if (request.has_target()) op.target = ToTarget(request.target(), {}, violations);
  op.allow_partial = request.allow_partial();
  op.bounds.shards_max = ToCount(request.max_shards(), "max_shards", "no bound", violations);
  CheckReadOptions(request.read_options(), !request.transaction_id().empty(), violations);
  op.snapshot = ToSnapshot(request.read_options(), request.allow_partial(), violations);
}

// Of what decides which rows come and in which order; a token is bound to it.
uint64_t TokenHash(const v1::QueryRequest& request) {
  v1::QueryRequest body = request;
  body.clear_resume_token();
  body.clear_limit();
  body.clear_max_rows();
  body.clear_max_bytes();
  body.clear_max_shards();
  body.clear_transaction_id();
  body.clear_read_options();
  return RequestHash(body);
}

uint64_t TokenHash(const v1::ListRequest& request) {
  v1::ListRequest body = request;
  body.clear_page_token();
  body.clear_page_size();
  body.clear_max_shards();
  body.clear_transaction_id();
  body.clear_read_options();
  return RequestHash(body);
}

std::vector<Include> ToIncludes(const v1::ListRequest& request, Violations& violations) {
  std::vector<Include> includes;
  std::set<std::string> seen;
  const FieldPath all("includes");
  for (int i = 0; i < request.includes_size(); ++i) {
    const FieldPath path(all, static_cast<size_t>(i));
    const v1::Include& wire = request.includes(i);
    if (wire.relation().empty()) {
      violations.Add(FieldPath(path, "relation"), "is empty; name a relation");
    } else if (!seen.insert(wire.relation()).second) {
      violations.Add(FieldPath(path, "relation"), absl::StrCat("names \"", wire.relation(), "\" twice"));
    }
    if (wire.max_rows() < 0) violations.Add(FieldPath(path, "max_rows"), "is negative; 0 means the configured limit");
    includes.push_back({wire.relation(), ToColumns(wire.columns()), wire.max_rows()});
  }
  return includes;
}

struct FunctionName {
  AggregateFunction function;
  const char* name;
};

std::optional<FunctionName> ToFunction(v1::AggregateFunction function) {
  switch (function) {
    case v1::AGGREGATE_FUNCTION_COUNT:
      return FunctionName{AggregateFunction::kCount, "count"};
    case v1::AGGREGATE_FUNCTION_COUNT_DISTINCT:
      return FunctionName{AggregateFunction::kCountDistinct, "count_distinct"};
    case v1::AGGREGATE_FUNCTION_SUM:
      return FunctionName{AggregateFunction::kSum, "sum"};
    case v1::AGGREGATE_FUNCTION_AVG:
      return FunctionName{AggregateFunction::kAvg, "avg"};
    case v1::AGGREGATE_FUNCTION_MIN:
      return FunctionName{AggregateFunction::kMin, "min"};
    case v1::AGGREGATE_FUNCTION_MAX:
      return FunctionName{AggregateFunction::kMax, "max"};
    default:
      return std::nullopt;
  }
}

AggregateTerm ToTerm(const v1::AggregateTerm& wire, const FieldPath& path, Violations& violations) {
  AggregateTerm term;
  const std::optional<FunctionName> function = ToFunction(wire.function());
  if (!function.has_value()) {
    violations.Add(FieldPath(path, "function"), "is not a known function; set count, count distinct, sum, avg, min or max");
    return term;
  }
  term.function = function->function;
  if (wire.column() != "*") term.column = wire.column();
  if (term.column.empty() && term.function != AggregateFunction::kCount) {
    violations.Add(FieldPath(path, "column"), absl::StrCat("is empty; ", function->name, " needs a column"));
  }
  term.name = wire.name();
  if (term.name.empty()) {
    term.name = term.column.empty() ? function->name : absl::StrCat(function->name, "_", term.column);
  }
  return term;
}

void ToGroups(const v1::AggregateRequest& request, AggregateOperation& op, Violations& violations) {
  std::set<std::string> names;
  const FieldPath groups("group_by");
  for (int i = 0; i < request.group_by_size(); ++i) {
    const FieldPath path(groups, static_cast<size_t>(i));
    if (request.group_by(i).empty()) violations.Add(path, "is empty; name a column");
    if (!names.insert(request.group_by(i)).second) {
      violations.Add(path, absl::StrCat("names \"", request.group_by(i), "\" twice"));
    }
  }
  op.group_by = ToNames(request.group_by());
  const FieldPath aggregates("aggregates");
  for (int i = 0; i < request.aggregates_size(); ++i) {
    const FieldPath path(aggregates, static_cast<size_t>(i));
    AggregateTerm term = ToTerm(request.aggregates(i), path, violations);
    if (!term.name.empty() && !names.insert(term.name).second) {
      violations.Add(FieldPath(path, "name"), absl::StrCat("\"", term.name, "\" is taken; give another name"));
    }
    op.aggregates.push_back(std::move(term));
  }
  if (request.group_by().empty() && request.aggregates().empty()) {
    violations.Add("aggregates", "holds nothing to compute; give at least one aggregate, or a column in group_by");
  }
}

// A bulk write without a condition is a slip unless it says that it means every row.
template <typename Request>
BulkWriteOperation ToBulkWrite(const Request& request, Violations& violations) {
  BulkWriteOperation op;
  op.table = request.table();
  op.filter = ToFilter(request, violations);
  op.everything = request.everything();
  const bool conditional = !request.filter().empty() || request.has_where();
  if (!conditional && !op.everything) {
    violations.Add("filter", "is missing; say which rows with filter or where, or set everything for all of them");
  } else if (conditional && op.everything) {
    violations.Add("everything", "contradicts the condition; leave one of them out");
  }
  if (request.has_target()) op.target = ToTarget(request.target(), {}, violations);
  op.many_shards = request.allow_many_shards();
  op.batch_rows = ToCount(request.batch_rows(), "batch_rows", "the configured number", violations);
  op.request_id = ToRequestId(request.request_id(), violations);
  if (request.has_fence()) op.fence = ToFence(request.fence(), violations);
  if (violations.empty() && !op.request_id.empty()) op.request_hash = RequestHash(request);
  return op;
}

}  // namespace

Condition ToCondition(const v1::Condition& wire, const FieldPath& path, Violations& violations) {
  return ConditionReader(violations).Read(wire, path, 1);
}

absl::StatusOr<QueryOperation> ToOperation(const v1::QueryRequest& request) {
  Violations violations;
  QueryOperation op;
  ToReach(request, op, violations);
  op.columns = ToColumns(request.columns());
  op.filter = ToFilter(request, violations);
  op.distinct = request.distinct();
  op.limit = ToCount(request.limit(), "limit", "all rows", violations);
  op.offset = ToCount(request.offset(), "offset", "none", violations);
  op.bounds.rows_max = ToCount(request.max_rows(), "max_rows", "no bound", violations);
  op.bounds.bytes_max = ToCount(request.max_bytes(), "max_bytes", "no bound", violations);
  op.resume_token = request.resume_token();
  if (!violations.empty()) return violations.ToStatus();
  op.request_hash = TokenHash(request);
  return op;
}

QueryOperation FirstPage(const ListOperation& op, int64_t page_rows) {
  QueryOperation query = op.query;
  query.limit = op.page_size > 0 ? op.page_size : page_rows;
  return query;
}

absl::StatusOr<ListOperation> ToOperation(const v1::ListRequest& request) {
  Violations violations;
  ListOperation op;
  ToReach(request, op.query, violations);
  op.query.columns = ToColumns(request.columns());
  op.query.filter = ToFilter(request, violations);
  op.page_size = ToCount(request.page_size(), "page_size", "the configured size", violations);
  op.page_token = request.page_token();
  op.includes = ToIncludes(request, violations);
  if (!violations.empty()) return violations.ToStatus();
  op.query.request_hash = TokenHash(request);
  op.freshness = ToFreshness(request, request.read_options());
  return op;
}

absl::StatusOr<AggregateOperation> ToOperation(const v1::AggregateRequest& request) {
  Violations violations;
  AggregateOperation op;
  ToReach(request, op, violations);
  ToFilterAndHaving(request, op, violations);
  ToGroups(request, op, violations);
  op.limit = ToCount(request.limit(), "limit", "all groups", violations);
  op.offset = ToCount(request.offset(), "offset", "none", violations);
  if (!violations.empty()) return violations.ToStatus();
  op.freshness = ToFreshness(request, request.read_options());
  return op;
}

absl::StatusOr<BulkWriteOperation> ToOperation(const v1::UpdateWhereRequest& request) {
  Violations violations;
  BulkWriteOperation op = ToBulkWrite(request, violations);
  op.set = ToRecord(request.set().columns(), "set", violations);
  if (op.set.empty()) violations.Add("set", "holds no column; give at least one and its new value");
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

absl::StatusOr<BulkWriteOperation> ToOperation(const v1::DeleteWhereRequest& request) {
  Violations violations;
  BulkWriteOperation op = ToBulkWrite(request, violations);
  op.deletes = true;
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

}  // namespace quarry
