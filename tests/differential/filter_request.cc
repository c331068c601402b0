#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "tests/differential/filter.h"

namespace quarry::differential {
namespace {

const char* OpText(CompareOp op) {
  switch (op) {
    case CompareOp::kEqual:
      return "=";
    case CompareOp::kNotEqual:
      return "<>";
    case CompareOp::kLess:
      return "<";
    case CompareOp::kLessOrEqual:
      return "<=";
    case CompareOp::kGreater:
      return ">";
    case CompareOp::kGreaterOrEqual:
      return ">=";
  }
  return "";
}

v1::CompareOperator OpProto(CompareOp op) {
  switch (op) {
    case CompareOp::kEqual:
      return v1::COMPARE_OPERATOR_EQUAL;
    case CompareOp::kNotEqual:
      return v1::COMPARE_OPERATOR_NOT_EQUAL;
    case CompareOp::kLess:
      return v1::COMPARE_OPERATOR_LESS;
    case CompareOp::kLessOrEqual:
      return v1::COMPARE_OPERATOR_LESS_OR_EQUAL;
    case CompareOp::kGreater:
      return v1::COMPARE_OPERATOR_GREATER;
    case CompareOp::kGreaterOrEqual:
      return v1::COMPARE_OPERATOR_GREATER_OR_EQUAL;
  }
  return v1::COMPARE_OPERATOR_UNSPECIFIED;
}

std::string InQuotes(const std::string& text) { return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "''"}}), "'"); }

// "" where the filter language has no literal.
std::string Literal(const Value& value, TypeKind type) {
  switch (value.kind()) {
    case ValueKind::kBool:
      return value.bool_value() ? "TRUE" : "false";
    case ValueKind::kInt64:
      return absl::StrCat(value.int64_value());
    case ValueKind::kText:
      return InQuotes(value.text());
    case ValueKind::kBytes:
      return absl::StrCat("X'", absl::BytesToHexString(value.text()), "'");
    case ValueKind::kTimestamp: {
      const absl::Time time = absl::FromUnixMicros(value.timestamp_micros());
      const char* const zone = type == TypeKind::kTimestampTz ? "Z" : "";
      return absl::StrCat("TIMESTAMP ", InQuotes(absl::FormatTime("%E4Y-%m-%dT%H:%M:%E6S", time, absl::UTCTimeZone()) + zone));
    }
    case ValueKind::kDate:
      return absl::StrCat("DATE ", InQuotes(value.text()));
    case ValueKind::kTime:
      return absl::StrCat("time ", InQuotes(value.text()));
    case ValueKind::kUuid:
      return absl::StrCat("UUID ", InQuotes(value.text()));
    case ValueKind::kDecimal:
      return absl::StrCat("DECIMAL ", InQuotes(value.text()));
    default:
      return "";
  }
}

class TextWriter {
 public:
  TextWriter(Dice& dice, google::protobuf::Map<std::string, v1::Value>& params) : dice_(dice), params_(params) {}

  std::string Write(const Filter& filter, const Scope& scope) {
    switch (filter.kind) {
      case Filter::Kind::kAnd:
      case Filter::Kind::kOr:
        return Joined(filter, scope);
      case Filter::Kind::kNot:
        return absl::StrCat("NOT (", Write(filter.children[0], scope), ")");
      case Filter::Kind::kHas: {
        const TestRelation& relation = scope.table->relations[static_cast<size_t>(filter.relation)];
        if (filter.children.empty()) return absl::StrCat("has(", relation.name, ")");
        return absl::StrCat("HAS(", relation.name, ", ", Write(filter.children[0], RelatedScope(scope, filter.relation)), ")");
      }
      default:
        return Leaf(filter, scope);
    }
  }

 private:
  std::string Joined(const Filter& filter, const Scope& scope) {
    std::string text;
    for (const Filter& child : filter.children) {
      if (!text.empty()) text += filter.kind == Filter::Kind::kAnd ? " AND " : " or ";
      absl::StrAppend(&text, "(", Write(child, scope), ")");
    }
    return text;
  }

  std::string Leaf(const Filter& filter, const Scope& scope) {
    const Scope at = filter.relation < 0 ? scope : RelatedScope(scope, filter.relation);
    const TestColumn& column = at.columns[filter.column];
    std::string name = NameText(column.name);
    if (filter.relation >= 0) name = absl::StrCat(scope.table->relations[static_cast<size_t>(filter.relation)].name, ".", name);
    const auto value = [&](size_t i) { return ValueText(filter.values[i], column.type.kind); };
    switch (filter.kind) {
      case Filter::Kind::kCompare:
        if (dice_.Percent(85)) return absl::StrCat(name, " ", OpText(filter.op), " ", value(0));
        return absl::StrCat(value(0), OpText(Mirrored(filter.op)), name);
      case Filter::Kind::kCompareColumns:
        return absl::StrCat(name, " ", OpText(filter.op), " ", NameText(at.columns[filter.other].name));
      case Filter::Kind::kIn:
        return absl::StrCat(name, " IN ", ListText(filter, column.type.kind));
      case Filter::Kind::kBetween: {
        const std::string low = value(0);
        return absl::StrCat(name, " BETWEEN ", low, " AND ", value(1));
      }
      case Filter::Kind::kLike:
        return absl::StrCat(name, " LIKE ", value(0));
      case Filter::Kind::kPrefix:
        return absl::StrCat("starts_with(", name, ", ", value(0), ")");
      default:
        return absl::StrCat(name, " IS NULL");
    }
  }

  std::string NameText(const std::string& name) {
    const bool plain = name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789") == std::string::npos;
    return plain && dice_.Percent(90) ? name : Quoted(name);
  }

  static CompareOp Mirrored(CompareOp op) {
    switch (op) {
      case CompareOp::kLess:
        return CompareOp::kGreater;
      case CompareOp::kLessOrEqual:
        return CompareOp::kGreaterOrEqual;
      case CompareOp::kGreater:
        return CompareOp::kLess;
      case CompareOp::kGreaterOrEqual:
        return CompareOp::kLessOrEqual;
      default:
        return op;
    }
  }

  std::string ValueText(const Value& value, TypeKind type) {
    const bool plain_digits = value.kind() == ValueKind::kDecimal && value.text().find_first_not_of("-.0123456789") == std::string::npos;
    const std::string literal = plain_digits && dice_.Percent(50) ? value.text() : Literal(value, type);
    if (!literal.empty() && dice_.Percent(40)) return literal;
    return Param(ToProto(value));
  }

  std::string ListText(const Filter& filter, TypeKind type) {
    if (dice_.Percent(50)) {
      v1::Value list;
      list.mutable_array_value();
      for (const Value& value : filter.values) *list.mutable_array_value()->add_elements() = ToProto(value);
      return Param(std::move(list));
    }
    std::string text;
    for (const Value& value : filter.values) absl::StrAppend(&text, text.empty() ? "" : ", ", ValueText(value, type));
    return absl::StrCat("(", text, ")");
  }

  std::string Param(v1::Value value) {
    const std::string name = absl::StrCat("p", params_.size());
    params_[name] = std::move(value);
    return absl::StrCat("@", name);
  }

  Dice& dice_;
  google::protobuf::Map<std::string, v1::Value>& params_;
};

}  // namespace

std::string FilterText(const Filter& filter, const Scope& scope, Dice& dice, google::protobuf::Map<std::string, v1::Value>& params) {
  return TextWriter(dice, params).Write(filter, scope);
}

v1::Condition FilterCondition(const Filter& filter, const Scope& scope) {
  v1::Condition condition;
  const TestRelation* relation = filter.relation < 0 ? nullptr : &scope.table->relations[static_cast<size_t>(filter.relation)];
  const Scope at = relation == nullptr ? scope : RelatedScope(scope, filter.relation);
  const auto name = [&](size_t column) {
    return relation == nullptr ? at.columns[column].name : absl::StrCat(relation->name, ".", at.columns[column].name);
  };
  switch (filter.kind) {
    case Filter::Kind::kAnd:
      for (const Filter& child : filter.children) *condition.mutable_and_()->add_conditions() = FilterCondition(child, scope);
      break;
    case Filter::Kind::kOr:
      for (const Filter& child : filter.children) *condition.mutable_or_()->add_conditions() = FilterCondition(child, scope);
      break;
    case Filter::Kind::kNot:
      *condition.mutable_not_() = FilterCondition(filter.children[0], scope);
      break;
    case Filter::Kind::kHas:
      condition.mutable_has()->set_relation(relation->name);
      if (!filter.children.empty()) *condition.mutable_has()->mutable_condition() = FilterCondition(filter.children[0], at);
      break;
    case Filter::Kind::kCompare:
    case Filter::Kind::kCompareColumns:
      condition.mutable_compare()->set_column(name(filter.column));
      condition.mutable_compare()->set_op(OpProto(filter.op));
      if (filter.kind == Filter::Kind::kCompare) {
        *condition.mutable_compare()->mutable_value() = ToProto(filter.values[0]);
      } else {
        condition.mutable_compare()->set_other_column(name(filter.other));
      }
      break;
    case Filter::Kind::kIn:
      condition.mutable_in()->set_column(name(filter.column));
      for (const Value& value : filter.values) *condition.mutable_in()->add_values() = ToProto(value);
      break;
    case Filter::Kind::kBetween:
      condition.mutable_between()->set_column(name(filter.column));
      *condition.mutable_between()->mutable_low() = ToProto(filter.values[0]);
      *condition.mutable_between()->mutable_high() = ToProto(filter.values[1]);
      break;
    case Filter::Kind::kLike:
      condition.mutable_like()->set_column(name(filter.column));
      condition.mutable_like()->set_pattern(filter.values[0].text());
      break;
    case Filter::Kind::kPrefix:
      condition.mutable_prefix()->set_column(name(filter.column));
      condition.mutable_prefix()->set_prefix(filter.values[0].text());
      break;
    case Filter::Kind::kIsNull:
      condition.mutable_is_null()->set_column(name(filter.column));
      break;
  }
  return condition;
}

}  // namespace quarry::differential
