// The words of a filter's text. Pure; one user.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/model/value.h"

namespace quarry {

struct FilterToken {
  enum class Kind : uint8_t {
    kEnd,
    kName,    // text; `quoted` when it stood in double quotes and so is no keyword.
    kText,    // text, without its quotes.
    kNumber,  // value: int64, decimal, or double.
    kParam,   // text, without "@".
    kSymbol,  // text: ( ) , . = == != <> < <= > >=
  };
  Kind kind = Kind::kEnd;
  std::string text;
  Value value;
  bool quoted = false;
  size_t begin = 0;  // Bytes.
  size_t end = 0;

  bool Is(std::string_view symbol) const { return kind == Kind::kSymbol && text == symbol; }
  // A keyword, in any case; `word` is in upper case.
  bool IsWord(std::string_view word) const;
};

class FilterLexer {
 public:
  // `text` is valid UTF-8 without NUL and outlives this.
  FilterLexer(std::string_view text, std::string_view field) : text_(text), field_(field) {}
  // The next token; kEnd at the end, again and again.
  absl::StatusOr<FilterToken> Next();
  // The error that names the character at byte `at`.
  absl::Status Error(size_t at, std::string_view what) const;
  // From 1.
  size_t CharacterAt(size_t byte) const;

 private:
  absl::StatusOr<FilterToken> Name();
  absl::StatusOr<FilterToken> Quoted(char quote);
  absl::StatusOr<FilterToken> Number();
  absl::StatusOr<FilterToken> Param();
  absl::StatusOr<FilterToken> Symbol();
  FilterToken Token(FilterToken::Kind kind, size_t begin) const;
  char Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  const std::string_view text_;
  const std::string_view field_;
  size_t at_ = 0;
};

// What a message shows of a name from a caller: at most 64 bytes, in printable ASCII.
std::string ShownName(const std::string& name);
// What a message shows of a token; never the value of a literal.
std::string Describe(const FilterToken& token);

}  // namespace quarry
