#include "core/plan/filter_lexer.h"

#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/catalog/text_forms.h"

namespace quarry {
namespace {

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }
// Beyond ASCII every letter may stand in a name.
bool StartsName(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return absl::ascii_isalpha(byte) || c == '_' || byte >= 0x80;
}
bool ContinuesName(char c) { return StartsName(c) || IsDigit(c) || c == '$'; }

}  // namespace

std::string ShownName(const std::string& name) {
  constexpr size_t kShownMax = 64;
  std::string shown;
  for (const char c : name.substr(0, kShownMax)) {
    const auto byte = static_cast<unsigned char>(c);
    shown.push_back(byte < 0x20 || byte >= 0x7f ? '?' : c);
  }
  return name.size() > kShownMax ? shown + "..." : shown;
}

bool FilterToken::IsWord(std::string_view word) const {
  return kind == Kind::kName && !quoted &&
         absl::EqualsIgnoreCase(absl::string_view(text.data(), text.size()), absl::string_view(word.data(), word.size()));
}

std::string Describe(const FilterToken& token) {
  switch (token.kind) {
    case FilterToken::Kind::kEnd:
      return "the end of the text";
    case FilterToken::Kind::kName:
      return absl::StrCat("\"", ShownName(token.text), "\"");
    case FilterToken::Kind::kText:
      return "a text";
    case FilterToken::Kind::kNumber:
      return "a number";
    case FilterToken::Kind::kParam:
      return absl::StrCat("@", ShownName(token.text));
    case FilterToken::Kind::kSymbol:
      break;
  }
  return absl::StrCat("\"", token.text, "\"");
}

size_t FilterLexer::CharacterAt(size_t byte) const {
  size_t characters = 1;
  for (size_t i = 0; i < byte && i < text_.size(); ++i) characters += (static_cast<unsigned char>(text_[i]) & 0xc0) != 0x80;
  return characters;
}

absl::Status FilterLexer::Error(size_t at, std::string_view what) const {
  return InvalidField(field_, absl::StrCat("character ", CharacterAt(at), ": ", std::string(what)));
}

FilterToken FilterLexer::Token(FilterToken::Kind kind, size_t begin) const {
  FilterToken token;
  token.kind = kind;
  token.begin = begin;
  token.end = at_;
  return token;
}

absl::StatusOr<FilterToken> FilterLexer::Next() {
  while (at_ < text_.size() && absl::ascii_isspace(static_cast<unsigned char>(text_[at_]))) ++at_;
  if (at_ == text_.size()) return Token(FilterToken::Kind::kEnd, at_);
  const char c = text_[at_];
  const bool sign = c == '-' || c == '+';
  if (IsDigit(c) || ((sign || c == '.') && IsDigit(Peek(1))) || (sign && Peek(1) == '.' && IsDigit(Peek(2)))) return Number();
  if (StartsName(c)) return Name();
  if (c == '"' || c == '\'') return Quoted(c);
  if (c == '@') return Param();
  return Symbol();
}

absl::StatusOr<FilterToken> FilterLexer::Name() {
  const size_t begin = at_;
  while (at_ < text_.size() && ContinuesName(text_[at_])) ++at_;
  FilterToken token = Token(FilterToken::Kind::kName, begin);
  token.text = std::string(text_.substr(begin, at_ - begin));
  return token;
}

absl::StatusOr<FilterToken> FilterLexer::Quoted(char quote) {
  const size_t begin = at_++;
  std::string inside;
  for (;; ++at_) {
    if (at_ == text_.size()) {
      return Error(begin, quote == '"' ? "the name that starts here has no closing \"" : "the text that starts here has no closing '");
    }
    if (text_[at_] != quote) {
      inside.push_back(text_[at_]);
    } else if (Peek(1) == quote) {
      inside.push_back(quote);
      ++at_;
    } else {
      break;
    }
  }
  ++at_;
  if (quote == '"' && inside.empty()) return Error(begin, "the name is empty");
  FilterToken token = Token(quote == '"' ? FilterToken::Kind::kName : FilterToken::Kind::kText, begin);
  token.quoted = quote == '"';
  token.text = std::move(inside);
  return token;
}

absl::StatusOr<FilterToken> FilterLexer::Number() {
  const size_t begin = at_;
  const auto digits = [this] {
    const size_t start = at_;
    while (IsDigit(Peek())) ++at_;
    return at_ > start;
  };
  if (Peek() == '-' || Peek() == '+') ++at_;
  digits();
  bool whole = true;
  bool exponent = false;
  if (Peek() == '.') {
    whole = false;
    ++at_;
    if (!digits()) return Error(at_, "expected a digit after the point");
  }
  if (Peek() == 'e' || Peek() == 'E') {
    exponent = true;
    ++at_;
    if (Peek() == '-' || Peek() == '+') ++at_;
    if (!digits()) return Error(at_, "expected a digit of the exponent");
  }
  if (at_ < text_.size() && ContinuesName(text_[at_])) return Error(at_, "expected a space or an operator after the number");
  const std::string text(text_.substr(begin, at_ - begin));
  FilterToken token = Token(FilterToken::Kind::kNumber, begin);
  if (exponent) {
    double number = 0;
    if (!absl::SimpleAtod(text, &number) || !std::isfinite(number)) return Error(begin, "the number is too large for 64 bits");
    token.value = Value::Double(number);
    return token;
  }
  if (int64_t number = 0; whole && absl::SimpleAtoi(text, &number)) {
    token.value = Value::Int64(number);
    return token;
  }
  std::optional<std::string> decimal = CanonicalDecimal(text);
  if (!decimal.has_value()) return Error(begin, "the number has too many digits");
  token.value = Value::Decimal(*std::move(decimal));
  return token;
}

absl::StatusOr<FilterToken> FilterLexer::Param() {
  const size_t begin = at_++;
  const size_t name = at_;
  while (at_ < text_.size() && ContinuesName(text_[at_])) ++at_;
  if (at_ == name) return Error(begin, "expected the name of a parameter after @");
  FilterToken token = Token(FilterToken::Kind::kParam, begin);
  token.text = std::string(text_.substr(name, at_ - name));
  return token;
}

absl::StatusOr<FilterToken> FilterLexer::Symbol() {
  const size_t begin = at_;
  for (const std::string_view symbol : {"==", "!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "."}) {
    if (text_.substr(at_, symbol.size()) != symbol) continue;
    at_ += symbol.size();
    FilterToken token = Token(FilterToken::Kind::kSymbol, begin);
    token.text = std::string(symbol);
    return token;
  }
  return Error(begin, "this character has no meaning here; texts stand in '…', names in \"…\" where they are not plain");
}

}  // namespace quarry
