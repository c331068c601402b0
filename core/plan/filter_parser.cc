#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/did_you_mean.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/status_macros.h"
#include "core/catalog/text_forms.h"
#include "core/plan/filter.h"
#include "core/plan/filter_lexer.h"

namespace quarry {
namespace {

using Kind = FilterToken::Kind;

std::optional<CompareOp> OpOf(const FilterToken& token) {
  if (token.kind != Kind::kSymbol) return std::nullopt;
  if (token.text == "=" || token.text == "==") return CompareOp::kEqual;
  if (token.text == "!=" || token.text == "<>") return CompareOp::kNotEqual;
  if (token.text == "<") return CompareOp::kLess;
  if (token.text == "<=") return CompareOp::kLessOrEqual;
  if (token.text == ">") return CompareOp::kGreater;
  if (token.text == ">=") return CompareOp::kGreaterOrEqual;
  return std::nullopt;
}

// a op b is b Flipped(op) a.
CompareOp Flipped(CompareOp op) {
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

bool IsReserved(const FilterToken& token) {
  for (const char* word : {"AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "IS", "NULL"}) {
    if (token.IsWord(word)) return true;
  }
  return false;
}

class FilterParser {
 public:
  FilterParser(std::string_view text, const std::map<std::string, Value>& params, const FilterLimits& limits,
               std::string_view field)
      : lexer_(text, field), params_(params), limits_(limits), field_(field) {}

  absl::StatusOr<Condition> Parse() {
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_RETURN_IF_ERROR(Advance());
    if (token_.kind == Kind::kEnd) return lexer_.Error(0, "the filter is empty; leave it out to take all rows");
    QUARRY_ASSIGN_OR_RETURN(Condition condition, Expression(1));
    if (token_.kind != Kind::kEnd) return Expected("AND, OR or the end of the text");
    std::vector<FieldViolation> unused;
    for (const auto& [name, value] : params_) {
      if (used_.contains(name)) continue;
      unused.push_back({std::string(field_), absl::StrCat("parameter @", absl::CHexEscape(name.substr(0, 64)),
                                                          " is given, but the text does not use it; leave it out")});
    }
    if (!unused.empty()) return InvalidFields(std::move(unused));
    return condition;
  }

 private:
  // The token at hand becomes the next, with one more looked at.
  absl::Status Advance() {
    token_ = std::move(next_);
    QUARRY_ASSIGN_OR_RETURN(next_, lexer_.Next());
    return absl::OkStatus();
  }

  absl::Status Expected(std::string_view what) const {
    return lexer_.Error(token_.begin, absl::StrCat("expected ", std::string(what), ", found ", Describe(token_)));
  }

  absl::Status Take(std::string_view symbol) {
    if (!token_.Is(symbol)) return Expected(absl::StrCat("\"", std::string(symbol), "\""));
    return Advance();
  }

  absl::StatusOr<Condition> Make(Condition::Kind kind, size_t byte) {
    if (++nodes_ > limits_.nodes_max) {
      return lexer_.Error(byte, absl::StrCat("the filter has more than ", limits_.nodes_max, " conditions; use IN for long lists"));
    }
    Condition condition;
    condition.kind = kind;
    condition.place = absl::StrCat(std::string(field_), ": character ", lexer_.CharacterAt(byte));
    return condition;
  }

  // operands joined by AND, or by OR.
  absl::StatusOr<Condition> Expression(size_t depth) {
    const size_t begin = token_.begin;
    QUARRY_ASSIGN_OR_RETURN(Condition first, Operand(depth));
    const bool conjunction = token_.IsWord("AND");
    if (!conjunction && !token_.IsWord("OR")) return first;
    QUARRY_ASSIGN_OR_RETURN(Condition all, Make(conjunction ? Condition::Kind::kAnd : Condition::Kind::kOr, begin));
    all.children.push_back(std::move(first));
    while (token_.IsWord(conjunction ? "AND" : "OR")) {
      QUARRY_RETURN_IF_ERROR(Advance());
      QUARRY_ASSIGN_OR_RETURN(Condition operand, Operand(depth));
      all.children.push_back(std::move(operand));
    }
    if (token_.IsWord("AND") || token_.IsWord("OR")) {
      return lexer_.Error(token_.begin, "AND and OR stand side by side; say with parentheses which belongs together, as in "
                                        "a = 1 AND (b = 2 OR c = 3)");
    }
    return all;
  }

  absl::StatusOr<Condition> Operand(size_t depth) {
    if (depth > limits_.depth_max) {
      return lexer_.Error(token_.begin, absl::StrCat("the filter is nested deeper than ", limits_.depth_max, " levels"));
    }
    const size_t begin = token_.begin;
    if (token_.IsWord("NOT")) {
      QUARRY_RETURN_IF_ERROR(Advance());
      QUARRY_ASSIGN_OR_RETURN(Condition inner, Operand(depth + 1));
      return Negated(std::move(inner), begin);
    }
    if (token_.Is("(")) {
      QUARRY_RETURN_IF_ERROR(Advance());
      QUARRY_ASSIGN_OR_RETURN(Condition inner, Expression(depth + 1));
      if (!token_.Is(")")) return Expected("AND, OR or \")\"");
      QUARRY_RETURN_IF_ERROR(Advance());
      return inner;
    }
    if (token_.IsWord("HAS") && next_.Is("(")) return Has(depth);
    if (token_.IsWord("STARTS_WITH") && next_.Is("(")) return StartsWith();
    if (AtLiteral()) return LiteralFirst();
    return ColumnFirst();
  }

  absl::StatusOr<Condition> Negated(Condition inner, size_t begin) {
    QUARRY_ASSIGN_OR_RETURN(Condition negated, Make(Condition::Kind::kNot, begin));
    negated.children.push_back(std::move(inner));
    return negated;
  }

  absl::StatusOr<Condition> Has(size_t depth) {
    QUARRY_ASSIGN_OR_RETURN(Condition has, Make(Condition::Kind::kHas, token_.begin));
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_ASSIGN_OR_RETURN(has.column, ColumnName("the name of a relation"));
    if (token_.Is(",")) {
      QUARRY_RETURN_IF_ERROR(Advance());
      QUARRY_ASSIGN_OR_RETURN(Condition inner, Expression(depth + 1));
      has.children.push_back(std::move(inner));
    }
    if (!token_.Is(")")) return Expected(has.children.empty() ? "\",\" or \")\"" : "AND, OR or \")\"");
    QUARRY_RETURN_IF_ERROR(Advance());
    return has;
  }

  absl::StatusOr<Condition> StartsWith() {
    QUARRY_ASSIGN_OR_RETURN(Condition prefix, Make(Condition::Kind::kPrefix, token_.begin));
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_ASSIGN_OR_RETURN(prefix.column, ColumnName("a column"));
    QUARRY_RETURN_IF_ERROR(Take(","));
    QUARRY_RETURN_IF_ERROR(AddValue(prefix));
    QUARRY_RETURN_IF_ERROR(Take(")"));
    return prefix;
  }

  absl::StatusOr<Condition> LiteralFirst() {
    QUARRY_ASSIGN_OR_RETURN(Condition compare, Make(Condition::Kind::kCompare, token_.begin));
    QUARRY_RETURN_IF_ERROR(AddValue(compare));
    const std::optional<CompareOp> op = OpOf(token_);
    if (!op.has_value()) return Expected("one of = != < <= > >= (a value stands alone only in comparisons)");
    compare.op = Flipped(*op);
    QUARRY_RETURN_IF_ERROR(Advance());
    if (AtLiteral()) return Expected("a column: one side of a comparison is a column");
    QUARRY_ASSIGN_OR_RETURN(compare.column, ColumnName("a column"));
    return compare;
  }

  absl::StatusOr<Condition> ColumnFirst() {
    const size_t begin = token_.begin;
    QUARRY_ASSIGN_OR_RETURN(std::string column, ColumnName("a condition"));
    if (token_.IsWord("IS")) return IsNull(std::move(column), begin);
    const size_t not_at = token_.begin;
    const bool negated = token_.IsWord("NOT");
    if (negated) QUARRY_RETURN_IF_ERROR(Advance());
    absl::StatusOr<Condition> condition;
    if (token_.IsWord("IN")) {
      condition = In(std::move(column), begin);
    } else if (token_.IsWord("BETWEEN")) {
      condition = Between(std::move(column), begin);
    } else if (token_.IsWord("LIKE")) {
      condition = Like(std::move(column), begin);
    } else if (negated) {
      return Expected("IN, BETWEEN or LIKE");
    } else {
      return Compare(std::move(column), begin);
    }
    if (!negated || !condition.ok()) return condition;
    return Negated(*std::move(condition), not_at);
  }

  absl::StatusOr<Condition> Compare(std::string column, size_t begin) {
    QUARRY_ASSIGN_OR_RETURN(Condition compare, Make(Condition::Kind::kCompare, begin));
    compare.column = std::move(column);
    const std::optional<CompareOp> op = OpOf(token_);
    if (!op.has_value()) return Expected("one of = != < <= > >=, IN, BETWEEN, LIKE, IS or NOT");
    compare.op = *op;
    QUARRY_RETURN_IF_ERROR(Advance());
    if (AtLiteral() || token_.kind != Kind::kName || IsReserved(token_)) {
      QUARRY_RETURN_IF_ERROR(AddValue(compare));
    } else {
      QUARRY_ASSIGN_OR_RETURN(compare.other_column, ColumnName("a value or a column"));
    }
    return compare;
  }

  absl::StatusOr<Condition> IsNull(std::string column, size_t begin) {
    QUARRY_RETURN_IF_ERROR(Advance());
    const size_t not_at = token_.begin;
    const bool negated = token_.IsWord("NOT");
    if (negated) QUARRY_RETURN_IF_ERROR(Advance());
    if (!token_.IsWord("NULL")) return Expected(negated ? "NULL" : "NULL or NOT NULL");
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_ASSIGN_OR_RETURN(Condition is_null, Make(Condition::Kind::kIsNull, begin));
    is_null.column = std::move(column);
    if (!negated) return is_null;
    return Negated(std::move(is_null), not_at);
  }

  absl::StatusOr<Condition> Like(std::string column, size_t begin) {
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_ASSIGN_OR_RETURN(Condition like, Make(Condition::Kind::kLike, begin));
    like.column = std::move(column);
    QUARRY_RETURN_IF_ERROR(AddValue(like));
    return like;
  }

  absl::StatusOr<Condition> Between(std::string column, size_t begin) {
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_ASSIGN_OR_RETURN(Condition between, Make(Condition::Kind::kBetween, begin));
    between.column = std::move(column);
    QUARRY_RETURN_IF_ERROR(AddValue(between));
    if (!token_.IsWord("AND")) return Expected("AND and the upper end");
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_RETURN_IF_ERROR(AddValue(between));
    return between;
  }

  absl::StatusOr<Condition> In(std::string column, size_t begin) {
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_ASSIGN_OR_RETURN(Condition in, Make(Condition::Kind::kIn, begin));
    in.column = std::move(column);
    if (token_.kind == Kind::kParam) {
      const FilterToken at = token_;
      QUARRY_ASSIGN_OR_RETURN(const Value list, Param());
      if (list.kind() != ValueKind::kArray) {
        return lexer_.Error(at.begin, absl::StrCat("IN takes a list, but ", Describe(at), " is one value; write (", Describe(at), ")"));
      }
      in.values = list.elements();
      if (in.values.size() > limits_.list_max) return TooLong(at.begin);
      return in;
    }
    if (!token_.Is("(")) return Expected("\"(\" or a parameter that holds a list");
    QUARRY_RETURN_IF_ERROR(Advance());
    while (!(in.values.empty() && token_.Is(")"))) {
      if (in.values.size() == limits_.list_max) return TooLong(token_.begin);
      QUARRY_RETURN_IF_ERROR(AddValue(in));
      if (!token_.Is(",")) break;
      QUARRY_RETURN_IF_ERROR(Advance());
    }
    if (!token_.Is(")")) return Expected("\",\" or \")\"");
    QUARRY_RETURN_IF_ERROR(Advance());
    return in;
  }

  absl::Status TooLong(size_t at) const {
    return lexer_.Error(at, absl::StrCat("the list has more than ", limits_.list_max, " values; ask in several calls"));
  }

  // name.name.…
  absl::StatusOr<std::string> ColumnName(std::string_view what) {
    std::string name;
    for (;;) {
      if (token_.kind != Kind::kName) return Expected(what);
      if (IsReserved(token_)) {
        return lexer_.Error(token_.begin, absl::StrCat("expected ", std::string(what), ", found the keyword ",
                                                       absl::AsciiStrToUpper(token_.text), "; a column of this name stands in \"…\""));
      }
      name += token_.text;
      QUARRY_RETURN_IF_ERROR(Advance());
      if (!token_.Is(".")) return name;
      name += ".";
      QUARRY_RETURN_IF_ERROR(Advance());
      what = "a column after the point";
    }
  }

  bool AtLiteral() const {
    if (token_.kind == Kind::kText || token_.kind == Kind::kNumber || token_.kind == Kind::kParam) return true;
    if (token_.IsWord("TRUE") || token_.IsWord("FALSE")) return true;
    // DATE '…': the name alone is a column.
    return token_.kind == Kind::kName && !token_.quoted && next_.kind == Kind::kText;
  }

  absl::Status AddValue(Condition& condition) {
    const size_t begin = token_.begin;
    QUARRY_ASSIGN_OR_RETURN(Value value, Literal());
    if (value.kind() == ValueKind::kArray) return lexer_.Error(begin, "this parameter holds a list; lists stand after IN alone");
    condition.values.push_back(std::move(value));
    return absl::OkStatus();
  }

  absl::StatusOr<Value> Literal() {
    const FilterToken at = token_;
    if (at.kind == Kind::kParam) return Param();
    if (at.IsWord("NULL")) {
      return lexer_.Error(at.begin, "NULL equals nothing; write IS NULL or IS NOT NULL");
    }
    if (at.IsWord("TRUE") || at.IsWord("FALSE")) {
      QUARRY_RETURN_IF_ERROR(Advance());
      return Value::Bool(at.IsWord("TRUE"));
    }
    if (at.kind == Kind::kName && !at.quoted && next_.kind == Kind::kText) return TypedLiteral();
    if (at.kind != Kind::kText && at.kind != Kind::kNumber) return Expected("a value: a number, 'text', TRUE, FALSE or @parameter");
    QUARRY_RETURN_IF_ERROR(Advance());
    return at.kind == Kind::kText ? Value::Text(at.text) : at.value;
  }

  absl::StatusOr<Value> Param() {
    const FilterToken at = token_;
    QUARRY_RETURN_IF_ERROR(Advance());
    const auto found = params_.find(at.text);
    if (found == params_.end()) {
      std::vector<std::string> names;
      for (const auto& [name, value] : params_) names.push_back(name);
      return lexer_.Error(at.begin, absl::StrCat("no parameter ", Describe(at), " is given", DidYouMean(at.text, names)));
    }
    used_.insert(at.text);
    return found->second;
  }

  // TIMESTAMP '…', DATE '…', TIME '…', UUID '…', DECIMAL '…', X'…'
  absl::StatusOr<Value> TypedLiteral() {
    const FilterToken type = token_;
    const FilterToken at = next_;
    QUARRY_RETURN_IF_ERROR(Advance());
    QUARRY_RETURN_IF_ERROR(Advance());
    const std::string& text = at.text;
    if (type.IsWord("TIMESTAMP")) {
      // Whether a zone must follow is the column's to say.
      if (ParseTimestamp(text, true).has_value() || ParseTimestamp(text, false).has_value()) return Value::Text(text);
      return lexer_.Error(at.begin, "expected a timestamp of the form '2026-01-31T23:59:59.123456Z'");
    }
    if (type.IsWord("DATE")) {
      if (std::optional<std::string> date = CanonicalDate(text)) return Value::Date(*std::move(date));
      return lexer_.Error(at.begin, "expected a date of the form '2026-01-31'");
    }
    if (type.IsWord("TIME")) {
      if (std::optional<std::string> time = CanonicalTime(text)) return Value::Time(*std::move(time));
      return lexer_.Error(at.begin, "expected a time of the form '23:59:59.123456'");
    }
    if (type.IsWord("UUID")) {
      if (std::optional<std::string> uuid = CanonicalUuid(text)) return Value::Uuid(*std::move(uuid));
      return lexer_.Error(at.begin, "expected a UUID of the form '0190a6e0-0000-7000-8000-000000000001'");
    }
    if (type.IsWord("DECIMAL")) {
      if (std::optional<std::string> decimal = CanonicalDecimal(text)) return Value::Decimal(*std::move(decimal));
      return lexer_.Error(at.begin, "expected a decimal number of the form '-12.340'");
    }
    if (type.IsWord("X") && type.end == at.begin) return Bytes(at);
    return lexer_.Error(type.begin, absl::StrCat("expected TIMESTAMP, DATE, TIME, UUID, DECIMAL or X before a text, found ", Describe(type)));
  }

  absl::StatusOr<Value> Bytes(const FilterToken& at) const {
    for (const char c : at.text) {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return lexer_.Error(at.begin, "expected hexadecimal digits, as in X'00ff'");
    }
    if (at.text.size() % 2 != 0) return lexer_.Error(at.begin, "expected an even number of hexadecimal digits, as in X'00ff'");
    return Value::Bytes(absl::HexStringToBytes(at.text));
  }

  FilterLexer lexer_;
  const std::map<std::string, Value>& params_;
  const FilterLimits& limits_;
  const std::string_view field_;
  FilterToken token_;
  FilterToken next_;
  std::set<std::string> used_;
  size_t nodes_ = 0;
};

// The first byte that is not valid; only of invalid text.
size_t FirstInvalid(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    size_t length = 1;
    while (length <= 4 && at + length <= text.size() && !IsValidText(text.substr(at, length))) ++length;
    if (length > 4 || at + length > text.size()) break;
    at += length;
  }
  return at;
}

}  // namespace

absl::StatusOr<Condition> ParseFilter(std::string_view text, const std::map<std::string, Value>& params,
                                      const FilterLimits& limits, std::string_view field) {
  if (text.size() > limits.text_bytes_max) {
    return InvalidField(field, absl::StrCat("has ", text.size(), " bytes, more than the ", limits.text_bytes_max,
                                            " that are allowed; pass long lists as a parameter: IN @list"));
  }
  if (!IsValidText(text)) {
    return FilterLexer(text, field).Error(FirstInvalid(text), "the text is not valid UTF-8 or holds a NUL");
  }
  return FilterParser(text, params, limits, field).Parse();
}

}  // namespace quarry
