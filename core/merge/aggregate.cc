#include "core/merge/aggregate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/merge/double_sum.h"
#include "core/model/codec.h"
#include "core/model/decimal.h"

namespace quarry {
namespace {

// What one column of one group comes to so far. Nothing seen: monostate.
struct Accumulator {
  int64_t count = 0;  // Of kCount, kCountDistinct and kAvg.
  std::variant<std::monostate, Value, Decimal, DoubleSum> content;
};

bool IsFloat(const ColumnType& type) { return type.kind == TypeKind::kFloat || type.kind == TypeKind::kDouble; }

// Equal values, as PostgreSQL groups them, give equal bytes.
void AppendCanonical(const Value& value, std::string* out) {
  if (value.kind() == ValueKind::kDecimal) return AppendValue(Value::Decimal(ShortestDecimal(value.text())), out);
  if (value.kind() == ValueKind::kDouble) {
    const double number = value.double_value();
    if (number == 0) return AppendValue(Value::Double(0), out);
    if (std::isnan(number)) return AppendValue(Value::Double(std::numeric_limits<double>::quiet_NaN()), out);
  }
  AppendValue(value, out);
}

// Of equal values the one to show, so that the result does not depend on which shard was quick: the least scale, +0.0.
bool ShowsBetter(const Value& value, const Value& shown) {
  if (value.kind() == ValueKind::kDecimal && shown.kind() == ValueKind::kDecimal) return value.text().size() < shown.text().size();
  return value.kind() == ValueKind::kDouble && shown.kind() == ValueKind::kDouble && value.double_value() == 0 &&
         std::signbit(shown.double_value()) && !std::signbit(value.double_value());
}

void KeepExtreme(bool greatest, Value value, Accumulator& into) {
  Value* extreme = std::get_if<Value>(&into.content);
  if (extreme == nullptr) {
    into.content = std::move(value);
    return;
  }
  const int compared = CompareValues(value, *extreme);
  if ((greatest ? compared > 0 : compared < 0) || (compared == 0 && ShowsBetter(value, *extreme))) *extreme = std::move(value);
}

// False when the value is no number of the expected kind.
bool AddToSum(bool floats, const Value& value, Accumulator& into) {
  if (floats) {
    if (value.kind() != ValueKind::kDouble) return false;
    if (!std::holds_alternative<DoubleSum>(into.content)) into.content.emplace<DoubleSum>();
    std::get<DoubleSum>(into.content).Add(value.double_value());
    return true;
  }
  std::optional<Decimal> number;
  if (value.kind() == ValueKind::kInt64) number = Decimal(value.int64_value());
  if (value.kind() == ValueKind::kDecimal) number = Decimal::Parse(value.text());
  if (!number.has_value()) return false;
  if (Decimal* sum = std::get_if<Decimal>(&into.content)) {
    *sum += *number;
  } else {
    into.content = *std::move(number);
  }
  return true;
}

bool AddToCount(const Value& value, Accumulator& into) {
  if (value.kind() != ValueKind::kInt64) return false;
  into.count += value.int64_value();
  return true;
}

// False when the row does not hold what the column needs.
bool Merge(const AggregateColumn& column, Row& row, Accumulator& into) {
  Value& value = row[column.position];
  switch (column.function) {
    case AggregateFunction::kCount:
      return AddToCount(value, into);
    case AggregateFunction::kCountDistinct:
      return column.distinct_by_value || AddToCount(value, into);
    case AggregateFunction::kSum:
      return value.is_null() || AddToSum(IsFloat(column.input), value, into);
    case AggregateFunction::kAvg:
      return AddToCount(row[column.position + 1], into) &&
             (value.is_null() || AddToSum(IsFloat(column.input), value, into));
    case AggregateFunction::kMin:
    case AggregateFunction::kMax:
      break;
  }
  const bool greatest = column.function == AggregateFunction::kMax;
  if (!value.is_null()) KeepExtreme(greatest, std::move(value), into);
  return true;
}

size_t RowWidth(const AggregateSpec& spec) {
  size_t width = spec.group_columns;
  for (const AggregateColumn& column : spec.columns) {
    if (column.function == AggregateFunction::kCountDistinct && column.distinct_by_value) continue;
    width = std::max(width, column.position + (column.function == AggregateFunction::kAvg ? 2 : 1));
  }
  return width;
}

absl::Status UnexpectedRow() {
  return MakeError(absl::StatusCode::kInternal, reason::kDatabaseError,
                   "a shard's partial aggregates do not have the shape that was asked for; compare the table's column types on all "
                   "shards");
}

absl::Status OutOfRange(const std::string& name, const ColumnType& type) {
  return MakeError(absl::StatusCode::kOutOfRange, reason::kValueOutOfRange,
                   absl::StrCat("the result of aggregate ", name, " does not fit its type ", TypeName(type),
                                "; aggregate fewer rows at once, or a column of a wider type"),
                   {{"column", name}});
}

std::string NameOf(const AggregateSpec& spec, size_t column) {
  return spec.header == nullptr ? absl::StrCat(column) : (*spec.header)[spec.group_columns + column].name;
}

absl::Status TooMany(const char* field, std::string_view what, int64_t limit) {
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("the aggregate holds more than ", limit, " ", std::string(what),
                                "; narrow its filter, or group by fewer or coarser columns"),
                   {{"field", field}, {"limit", absl::StrCat(limit)}});
}

absl::StatusOr<Value> FloatResult(const std::string& name, const AggregateColumn& column, double number, bool overflowed) {
  if (column.result.kind == TypeKind::kFloat) {
    const double rounded = static_cast<double>(static_cast<float>(number));
    overflowed = overflowed || (std::isinf(rounded) && std::isfinite(number));
    number = rounded;
  }
  if (overflowed) return OutOfRange(name, column.result);
  return Value::Double(number);
}

absl::StatusOr<Value> SumResult(const std::string& name, const AggregateColumn& column, const Accumulator& from) {
  if (const auto* sum = std::get_if<DoubleSum>(&from.content)) {
    return FloatResult(name, column, sum->Total(), sum->overflowed());
  }
  const auto* sum = std::get_if<Decimal>(&from.content);
  if (sum == nullptr) return Value::Null();
  if (column.result.kind == TypeKind::kDecimal) return Value::Decimal(sum->ToString());
  const std::optional<int64_t> whole = sum->ToInt64();
  if (!whole.has_value()) return OutOfRange(name, column.result);
  return Value::Int64(*whole);
}

absl::StatusOr<Value> AvgResult(const std::string& name, const AggregateColumn& column, const Accumulator& from) {
  if (from.count == 0) return Value::Null();
  if (const auto* sum = std::get_if<DoubleSum>(&from.content)) {
    return FloatResult(name, column, sum->Total() / static_cast<double>(from.count), sum->overflowed());
  }
  const auto* sum = std::get_if<Decimal>(&from.content);
  if (sum == nullptr) return Value::Null();
  return Value::Decimal(Divide(*sum, Decimal(from.count))->ToString());
}

absl::StatusOr<Value> ResultOf(const std::string& name, const AggregateColumn& column, Accumulator& from) {
  switch (column.function) {
    case AggregateFunction::kCount:
    case AggregateFunction::kCountDistinct:
      return Value::Int64(from.count);
    case AggregateFunction::kSum:
      return SumResult(name, column, from);
    case AggregateFunction::kAvg:
      return AvgResult(name, column, from);
    case AggregateFunction::kMin:
    case AggregateFunction::kMax:
      break;
  }
  Value* const extreme = std::get_if<Value>(&from.content);
  return extreme == nullptr ? Value::Null() : std::move(*extreme);
}

// The first rows in order, of any number; all when `keep` is 0.
class FirstRows {
 public:
  FirstRows(const std::vector<SortTerm>& order, size_t keep) : order_(order), keep_(keep) {}
  void Add(Row row) {
    const auto before = [this](const Row& a, const Row& b) { return Before(a, b); };
    if (keep_ == 0 || rows_.size() < keep_) {
      rows_.push_back(std::move(row));
      if (keep_ != 0) std::push_heap(rows_.begin(), rows_.end(), before);
    } else if (Before(row, rows_.front())) {
      std::pop_heap(rows_.begin(), rows_.end(), before);
      rows_.back() = std::move(row);
      std::push_heap(rows_.begin(), rows_.end(), before);
    }
  }
  std::vector<Row> Sorted() && {
    std::sort(rows_.begin(), rows_.end(), [this](const Row& a, const Row& b) { return Before(a, b); });
    return std::move(rows_);
  }

 private:
  bool Before(const Row& a, const Row& b) const { return CompareRows(a, b, order_) < 0; }

  const std::vector<SortTerm>& order_;  // Outlives this.
  const size_t keep_;
  std::vector<Row> rows_;  // A heap, the last one in front, when there is a bound.
};

size_t RowsToKeep(const AggregateSpec& spec) {
  if (spec.limit == 0) return 0;
  const int64_t offset = std::min(spec.offset, std::numeric_limits<int64_t>::max() - spec.limit);
  return static_cast<size_t>(offset + spec.limit);
}

}  // namespace

struct AggregateMerge::State {
  struct Group {
    Row values;
    bool counted = false;  // Add has given rows: not only distinct values, of rows that came between two statements.
  };

  explicit State(AggregateSpec the_spec) : spec(std::move(the_spec)), width(RowWidth(spec)) {}
  absl::StatusOr<size_t> GroupOf(Row& row);
  size_t NewGroup(Row values);
  Accumulator& At(size_t group, size_t column) { return accumulators[group * spec.columns.size() + column]; }

  const AggregateSpec spec;
  const size_t width;  // Of a shard's rows.
  absl::flat_hash_map<std::string, size_t> by_values;
  std::vector<Group> groups;
  std::vector<Accumulator> accumulators;  // Group after group.
  absl::flat_hash_set<std::string> distinct;  // Group, column and value.
  std::string bytes;  // Scratch.
};

size_t AggregateMerge::State::NewGroup(Row values) {
  groups.emplace_back().values = std::move(values);
  accumulators.resize(accumulators.size() + spec.columns.size());
  return groups.size() - 1;
}

absl::StatusOr<size_t> AggregateMerge::State::GroupOf(Row& row) {
  bytes.clear();
  for (size_t i = 0; i < spec.group_columns; ++i) AppendCanonical(row[i], &bytes);
  const auto found = by_values.find(bytes);
  if (found != by_values.end()) {
    Row& shown = groups[found->second].values;
    for (size_t i = 0; i < spec.group_columns; ++i) {
      if (ShowsBetter(row[i], shown[i])) shown[i] = std::move(row[i]);
    }
    return found->second;
  }
  if (static_cast<int64_t>(groups.size()) >= spec.groups_max) return TooMany("group_by", "groups (limits.aggregate_groups)", spec.groups_max);
  Row values;
  values.reserve(spec.group_columns + spec.columns.size());
  for (size_t i = 0; i < spec.group_columns; ++i) values.push_back(std::move(row[i]));
  const size_t group = NewGroup(std::move(values));
  by_values.emplace(bytes, group);
  return group;
}

AggregateMerge::AggregateMerge(AggregateSpec spec) : state_(std::make_unique<State>(std::move(spec))) {}
AggregateMerge::~AggregateMerge() = default;

absl::Status AggregateMerge::Add(std::vector<Row> rows) {
  State& state = *state_;
  for (Row& row : rows) {
    if (row.size() < state.width) return UnexpectedRow();
    QUARRY_ASSIGN_OR_RETURN(const size_t group, state.GroupOf(row));
    state.groups[group].counted = true;
    for (size_t i = 0; i < state.spec.columns.size(); ++i) {
      if (!Merge(state.spec.columns[i], row, state.At(group, i))) return UnexpectedRow();
    }
  }
  return absl::OkStatus();
}

absl::Status AggregateMerge::AddDistinct(size_t column, std::vector<Row> rows) {
  State& state = *state_;
  for (Row& row : rows) {
    if (row.size() != state.spec.group_columns + 1 || column >= state.spec.columns.size()) return UnexpectedRow();
    if (row.back().is_null()) continue;
    QUARRY_ASSIGN_OR_RETURN(const size_t group, state.GroupOf(row));
    state.bytes.clear();
    AppendValue(Value::Int64(static_cast<int64_t>(group)), &state.bytes);
    AppendValue(Value::Int64(static_cast<int64_t>(column)), &state.bytes);
    AppendCanonical(row.back(), &state.bytes);
    if (!state.distinct.insert(state.bytes).second) continue;
    if (static_cast<int64_t>(state.distinct.size()) > state.spec.distinct_max) {
      return TooMany("aggregates", "distinct values (limits.aggregate_values)", state.spec.distinct_max);
    }
    ++state.At(group, column).count;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Row>> AggregateMerge::Finish() && {
  State& state = *state_;
  const AggregateSpec& spec = state.spec;
  if (spec.group_columns == 0 && state.groups.empty()) state.NewGroup({});
  FirstRows first(spec.order, RowsToKeep(spec));
  for (size_t group = 0; group < state.groups.size(); ++group) {
    if (spec.group_columns > 0 && !state.groups[group].counted) continue;
    Row row = std::move(state.groups[group].values);
    for (size_t i = 0; i < spec.columns.size(); ++i) {
      QUARRY_ASSIGN_OR_RETURN(Value result, ResultOf(NameOf(spec, i), spec.columns[i], state.At(group, i)));
      row.push_back(std::move(result));
    }
    if (spec.having.has_value() && Evaluate(*spec.having, row) != true) continue;
    first.Add(std::move(row));
  }
  std::vector<Row> rows = std::move(first).Sorted();
  const size_t skipped = std::min(static_cast<size_t>(std::max<int64_t>(spec.offset, 0)), rows.size());
  rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(skipped));
  return rows;
}

absl::Status OfPartialSums(const AggregateSpec& spec, const absl::Status& status) {
  if (ReasonOf(status) != reason::kValueOutOfRange) return status;
  std::vector<std::string> names;
  for (size_t i = 0; i < spec.columns.size(); ++i) {
    const AggregateColumn& column = spec.columns[i];
    const bool sums = column.function == AggregateFunction::kSum || column.function == AggregateFunction::kAvg;
    if (sums && IsFloat(column.input)) names.push_back(NameOf(spec, i));
  }
  if (names.empty()) return status;
  return OutOfRange(absl::StrJoin(names, ", "), ColumnType{TypeKind::kDouble, false, ""});
}

}  // namespace quarry
