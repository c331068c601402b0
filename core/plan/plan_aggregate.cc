#include "core/plan/plan_aggregate.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "core/base/did_you_mean.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/filter.h"
#include "core/plan/lower_aggregate.h"
#include "core/plan/route.h"
#include "core/plan/scatter_check.h"

namespace quarry {
namespace {


struct CheckedOperation {
  CheckedAggregate aggregate;
  std::vector<ColumnUse> result;  // Group columns, then aggregates.
  std::optional<Predicate> having;
  std::vector<SortTerm> order;
};

std::vector<std::string> NamesOf(const std::vector<ColumnUse>& columns) {
  std::vector<std::string> names;
  for (const ColumnUse& column : columns) names.push_back(column.name);
  return names;
}

std::optional<size_t> PositionOf(const std::vector<ColumnUse>& columns, std::string_view name) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == name) return i;
  }
  return std::nullopt;
}

// Labels of an enumeration are taken as texts: their own order differs from one database to the other.
ColumnUse UseAsOrdered(const Table& table, size_t position) {
  ColumnUse use = UseOf(table, position);
  if (table.columns()[position].enumeration && !use.type.array) {
    use.type = ColumnType{TypeKind::kText, false, "text"};
    use.byte_order = false;
    use.byte_equality = false;
  }
  return use;
}

bool IsInteger(const ColumnType& type) {
  return !type.array && (type.kind == TypeKind::kInt16 || type.kind == TypeKind::kInt32 || type.kind == TypeKind::kInt64);
}

bool IsNumber(const ColumnType& type) {
  return IsInteger(type) || (!type.array && (type.kind == TypeKind::kDecimal || type.kind == TypeKind::kFloat ||
                                             type.kind == TypeKind::kDouble));
}

const char* NameOf(AggregateFunction function) {
  constexpr const char* kNames[] = {"count", "count distinct", "sum", "avg", "min", "max"};
  return kNames[static_cast<size_t>(function)];
}

// As PostgreSQL's.
ColumnType ResultType(AggregateFunction function, const ColumnType& input) {
  switch (function) {
    case AggregateFunction::kCount:
    case AggregateFunction::kCountDistinct:
      return ColumnType{TypeKind::kInt64, false, ""};
    case AggregateFunction::kSum:
      if (input.kind == TypeKind::kInt16 || input.kind == TypeKind::kInt32) return ColumnType{TypeKind::kInt64, false, ""};
      if (input.kind == TypeKind::kFloat || input.kind == TypeKind::kDouble) return input;
      return ColumnType{TypeKind::kDecimal, false, ""};
    case AggregateFunction::kAvg:
      return ColumnType{input.kind == TypeKind::kFloat || input.kind == TypeKind::kDouble ? TypeKind::kDouble : TypeKind::kDecimal,
                        false, ""};
    case AggregateFunction::kMin:
    case AggregateFunction::kMax:
      break;
  }
  return input;
}

FieldViolation NoSuchColumn(std::string field, const Table& table, const std::string& name) {
  return {std::move(field), absl::StrCat("table \"", table.name(), "\" has no column \"", name, "\"",
                                         DidYouMean(name, ColumnNames(table.schema())))};
}

std::string OfType(const ColumnUse& use) { return absl::StrCat("column \"", use.name, "\" is of type ", TypeName(use.type)); }

void CheckNumbers(const AggregateOperation& op, std::vector<FieldViolation>& violations) {
  CheckWindow(op.limit, op.offset, violations);
  for (const auto& [field, size] : {std::pair("aggregates", op.aggregates.size()), std::pair("group_by", op.group_by.size())}) {
    if (size > kAggregatesMax) {
      violations.push_back({field, absl::StrCat("has ", size, " entries; at most ", kAggregatesMax, " are taken, so split the call")});
    }
  }
  if (op.aggregates.empty() && op.group_by.empty()) {
    violations.push_back({"aggregates", "asks for nothing: give at least one aggregate, or columns to group by"});
  }
}

void CheckGroup(const AggregateOperation& op, const Table& table, CheckedOperation& checked, std::vector<FieldViolation>& violations) {
  for (size_t i = 0; i < op.group_by.size(); ++i) {
    const std::string field = absl::StrCat("group_by[", i, "]");
    const std::optional<size_t> at = table.FindColumn(op.group_by[i]);
    if (!at.has_value()) {
      violations.push_back(NoSuchColumn(field, table, op.group_by[i]));
      continue;
    }
    ColumnUse use = UseAsOrdered(table, *at);
    if (PositionOf(checked.aggregate.group, use.name).has_value()) {
      violations.push_back({field, absl::StrCat("column \"", use.name, "\" is named twice; name it once")});
      continue;
    }
    if (!HasOrder(use.type)) {
      violations.push_back({field, absl::StrCat(OfType(use), ", whose equal values not all databases tell alike; group by another "
                                                             "column")});
    }
    checked.aggregate.group.push_back(use);
    use.position = checked.result.size();
    checked.result.push_back(std::move(use));
  }
}

// The column fits the function; nothing when it does.
std::string Misfit(AggregateFunction function, const ColumnUse& use) {
  switch (function) {
    case AggregateFunction::kCount:
      return "";
    case AggregateFunction::kSum:
    case AggregateFunction::kAvg:
      if (IsNumber(use.type)) return "";
      return absl::StrCat(OfType(use), "; ", NameOf(function), " takes integers, decimals and floats");
    default:
      if (HasOrder(use.type)) return "";
      return absl::StrCat(OfType(use), ", which has no order that all databases share, so it has no ", NameOf(function),
                          "; only count takes it");
  }
}

void CheckName(const std::string& name, size_t index, const CheckedOperation& checked, std::vector<FieldViolation>& violations) {
  const std::string field = absl::StrCat("aggregates[", index, "].name");
  if (name.empty()) {
    violations.push_back({field, "is empty; name the aggregate, for the result's header"});
  } else if (PositionOf(checked.result, name).has_value()) {
    violations.push_back({field, absl::StrCat("\"", name, "\" names another column of the result already; choose another name")});
  }
}

void CheckAggregates(const AggregateOperation& op, const Table& table, CheckedOperation& checked, std::vector<FieldViolation>& violations) {
  for (size_t i = 0; i < op.aggregates.size(); ++i) {
    const AggregateTerm& term = op.aggregates[i];
    const std::string field = absl::StrCat("aggregates[", i, "].column");
    CheckName(term.name, i, checked, violations);
    CheckedAggregate::Column column;
    column.function = term.function;
    column.name = term.name;
    if (!term.column.empty()) {
      const std::optional<size_t> at = table.FindColumn(term.column);
      if (at.has_value()) {
        column.input = UseAsOrdered(table, *at);
        if (std::string misfit = Misfit(term.function, *column.input); !misfit.empty()) {
          violations.push_back({field, std::move(misfit)});
        }
      } else {
        violations.push_back(NoSuchColumn(field, table, term.column));
      }
    } else if (term.function != AggregateFunction::kCount) {
      violations.push_back({field, absl::StrCat("is empty; ", NameOf(term.function), " needs a column")});
    }
    ColumnUse result;
    result.position = checked.result.size();
    result.name = term.name;
    result.type = ResultType(term.function, column.input.has_value() ? column.input->type : ColumnType());
    checked.result.push_back(std::move(result));
    checked.aggregate.columns.push_back(std::move(column));
  }
}

void CheckOrder(const AggregateOperation& op, CheckedOperation& checked, std::vector<FieldViolation>& violations) {
  const auto named = [&checked](size_t position) {
    return std::any_of(checked.order.begin(), checked.order.end(),
                       [position](const SortTerm& term) { return term.position == position; });
  };
  for (size_t i = 0; i < op.order_by.size(); ++i) {
    const OrderTerm& asked = op.order_by[i];
    const std::string field = absl::StrCat("order_by[", i, "]");
    const std::optional<size_t> at = PositionOf(checked.result, asked.column);
    if (!at.has_value()) {
      violations.push_back({field, absl::StrCat("\"", asked.column, "\" is neither an aggregate's name nor a column of group_by",
                                                DidYouMean(asked.column, NamesOf(checked.result)))});
    } else if (named(*at)) {
      violations.push_back({field, absl::StrCat("\"", asked.column, "\" is named twice; its second place decides nothing")});
    } else {
      const bool first = asked.nulls == NullPlacement::kDefault ? asked.descending : asked.nulls == NullPlacement::kFirst;
      checked.order.push_back({*at, asked.descending, first});
    }
  }
  for (size_t i = 0; i < checked.aggregate.group.size(); ++i) {
    if (!named(i)) checked.order.push_back({i, false, false});
  }
}

absl::StatusOr<CheckedOperation> CheckOperation(const AggregateOperation& op, const Snapshot& snapshot) {
  CheckedOperation checked;
  QUARRY_ASSIGN_OR_RETURN(const Table* table, FindTable(snapshot, op.table));
  checked.aggregate.table = table;
  std::vector<FieldViolation> violations;
  CheckNumbers(op, violations);
  CheckGroup(op, *table, checked, violations);
  CheckAggregates(op, *table, checked, violations);
  CheckOrder(op, checked, violations);
  if (op.filter.has_value()) {
    absl::StatusOr<Predicate> predicate = CheckFilter(*op.filter, *table, snapshot.catalog, FilterLimits());
    if (!predicate.ok() && !AddViolations(predicate.status(), violations)) return predicate.status();
    if (predicate.ok()) checked.aggregate.predicate = *std::move(predicate);
  }
  if (op.having.has_value()) {
    absl::StatusOr<Predicate> having = CheckCondition(*op.having, checked.result, "the results of the aggregate", FilterLimits());
    if (!having.ok() && !AddViolations(having.status(), violations)) return having.status();
    if (having.ok()) checked.having = *std::move(having);
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  return checked;
}

// Rows that agree in the columns lie on one shard.
bool HoldShardKey(const Table& table, const std::vector<ColumnUse>& group, const std::optional<ColumnUse>& also) {
  if (table.kind() != TableKind::kSharded) return true;
  return std::all_of(table.shard_key().begin(), table.shard_key().end(), [&](size_t column) {
    return (also.has_value() && also->position == column) ||
           std::any_of(group.begin(), group.end(), [column](const ColumnUse& use) { return use.position == column; });
  });
}

// What the shards may do alone, now that it is known which are asked.
void GiveToShards(const AggregateOperation& op, bool one_shard, CheckedOperation& checked) {
  CheckedAggregate& aggregate = checked.aggregate;
  for (CheckedAggregate::Column& column : aggregate.columns) {
    column.by_value = column.function == AggregateFunction::kCountDistinct && !one_shard &&
                      !HoldShardKey(*aggregate.table, aggregate.group, column.input);
  }
  const bool whole_groups = one_shard || HoldShardKey(*aggregate.table, aggregate.group, std::nullopt);
  const bool ordered = std::none_of(checked.order.begin(), checked.order.end(), [&aggregate](const SortTerm& term) {
    // Shards give no average but what it is made from.
    return term.position >= aggregate.group.size() &&
           aggregate.columns[term.position - aggregate.group.size()].function == AggregateFunction::kAvg;
  });
  if (!whole_groups || !ordered || checked.having.has_value() || op.limit == 0 || aggregate.group.empty()) return;
  aggregate.order = checked.order;
  aggregate.groups_max = op.offset + op.limit;
}

AggregateSpec SpecOf(const AggregateOperation& op, CheckedOperation& checked) {
  const CheckedAggregate& aggregate = checked.aggregate;
  AggregateSpec spec;
  spec.group_columns = aggregate.group.size();
  std::vector<ColumnHeader> header;
  for (const ColumnUse& column : checked.result) header.push_back({column.name, column.type});
  spec.header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
  size_t position = aggregate.group.size();
  for (size_t i = 0; i < aggregate.columns.size(); ++i) {
    const CheckedAggregate::Column& from = aggregate.columns[i];
    AggregateColumn column;
    column.function = from.function;
    column.position = position;
    if (from.input.has_value()) column.input = from.input->type;
    column.result = checked.result[aggregate.group.size() + i].type;
    column.distinct_by_value = from.by_value;
    if (!from.by_value) position += from.function == AggregateFunction::kAvg ? 2 : 1;
    spec.columns.push_back(std::move(column));
  }
  spec.having = std::move(checked.having);
  spec.order = std::move(checked.order);
  spec.limit = op.limit;
  spec.offset = op.offset;
  return spec;
}

Task TaskOf(ShardId shard, const Statement& statement) {
  Task task;
  task.shard = shard;
  task.steps.emplace_back().statements.push_back(statement);
  return task;
}

}  // namespace

absl::StatusOr<AggregatePlan> PlanAggregate(const AggregateOperation& op, const Snapshot& snapshot, ShardId spread,
                                            SqlTexts& texts, const AggregateLimits& limits) {
  QUARRY_ASSIGN_OR_RETURN(CheckedOperation checked, CheckOperation(op, snapshot));
  checked.aggregate.groups_bound = limits.groups_max + 1;
  checked.aggregate.values_bound = limits.values_max + 1;
  AggregatePlan plan;
  QUARRY_ASSIGN_OR_RETURN(plan.route, RouteQuestion(checked.aggregate.predicate, *checked.aggregate.table, op.target, op.bounds,
                                                    snapshot, spread, &plan.unmapped));
  GiveToShards(op, plan.route.shards.size() <= 1, checked);
  std::map<Dialect, LoweredAggregate> lowered;
  for (const ShardId shard : plan.route.shards) {
    const Dialect dialect = snapshot.topology.shard(shard).dialect;
    auto found = lowered.find(dialect);
    if (found == lowered.end()) found = lowered.emplace(dialect, LowerAggregate(checked.aggregate, dialect, texts)).first;
    AggregatePart& part = plan.parts.emplace_back();
    part.shard = shard;
    part.partial = TaskOf(shard, found->second.partial);
    for (const auto& [column, statement] : found->second.distinct) part.distinct.emplace_back(column, TaskOf(shard, statement));
  }
  plan.spec = SpecOf(op, checked);
  plan.spec.groups_max = limits.groups_max;
  plan.spec.distinct_max = limits.values_max;
  return plan;
}

}  // namespace quarry
