#include "tests/support/history/checker.h"

#include "absl/strings/str_cat.h"
#include "tests/support/history/cycles.h"
#include "tests/support/history/lists.h"

namespace quarry::history {

std::string NameOf(Anomaly anomaly) {
  static const char* const kNames[] = {"G0 (write cycle)", "G1a (aborted read)", "G1b (intermediate read)",
                                       "G1c (circular information flow)", "G-single (read skew)", "lost update",
                                       "G2 (write skew)", "real time violated", "duplicate append", "missing append",
                                       "forked list", "unknown value", "own write unseen"};
  return kNames[static_cast<size_t>(anomaly)];
}

std::vector<Finding> Check(const History& history, const CheckOptions& options) {
  Findings findings;
  const Lists lists(history, findings);
  FindCycles(lists, options, findings);
  return findings.Take();
}

std::string Explain(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) absl::StrAppend(&text, finding.explanation, "\n");
  return text;
}

}  // namespace quarry::history
