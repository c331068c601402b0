#include "core/engine/plan_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"

namespace quarry {
namespace {

bool HasExpressions(std::string_view line) {
  for (const std::string_view label : {"Cond: ", "Filter: ", "Key: ", "By: "}) {
    if (line.find(label) != std::string_view::npos) return true;
  }
  return false;
}

bool InName(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || (c & 0x80) != 0; }

// Behind the closing quote of what is quoted at `at`, lines later where a value has line feeds; a doubled quote is within.
size_t EndOfQuoted(std::string_view plan, size_t at) {
  const char quote = plan[at];
  for (++at; at < plan.size(); ++at) {
    if (plan[at] != quote) continue;
    if (at + 1 == plan.size() || plan[at + 1] != quote) return at + 1;
    ++at;
  }
  return plan.size();
}

size_t EndOfWord(std::string_view plan, size_t at) {
  while (at < plan.size() && (InName(plan[at]) || plan[at] == '.')) ++at;
  return at;
}

}  // namespace

std::string WithoutValues(std::string_view plan) {
  std::string text;
  size_t at = 0;
  while (at < plan.size()) {
    const bool begins = at == 0 || plan[at - 1] == '\n';
    const size_t line_end = std::min(plan.find('\n', at), plan.size() - 1) + 1;
    size_t end = at + 1;
    bool value = false;
    if (begins && !HasExpressions(plan.substr(at, line_end - at))) {
      end = line_end;
    } else if (plan[at] == '\'' || plan.substr(at, 2) == "E'") {
      end = EndOfQuoted(plan, plan[at] == 'E' ? at + 1 : at);
      value = true;
    } else if (plan[at] == '"') {
      end = EndOfQuoted(plan, at);
    } else if (InName(plan[at])) {
      end = EndOfWord(plan, at);
      value = absl::ascii_isdigit(static_cast<unsigned char>(plan[at]));
    }
    text += value ? "?" : plan.substr(at, end - at);
    at = end;
  }
  return text;
}

}  // namespace quarry
