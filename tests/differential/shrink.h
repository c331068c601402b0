// Makes a question that the gateway answers wrongly, and the rows that it needs for that, small. One thread.
#pragma once

#include <memory>
#include <string>

#include "tests/differential/answer.h"
#include "tests/differential/question.h"
#include "tests/differential/world.h"

namespace quarry::differential {

struct JudgeCounts {
  int64_t asked = 0;
  int64_t with_rows = 0;
  int64_t beyond_sqlite = 0;  // Questions that the reference SQLite has no way to say.
};

// A gateway and both references, asked by one thread.
class Judge {
 public:
  static absl::StatusOr<std::unique_ptr<Judge>> Make(const World& world);
  // "" when the gateway and the references agree. Which of them is named in the text.
  std::string Ask(const Schema& schema, const Question& question);
  // The requests and SQL of a question, and all answers.
  std::string Report(const Schema& schema, const Question& question);
  const JudgeCounts& counts() const { return counts_; }

 private:
  std::unique_ptr<v1::DataService::StubInterface> gateway_;
  std::unique_ptr<Reference> postgres_;
  std::unique_ptr<Reference> sqlite_;
  JudgeCounts counts_;
};

// Drops branches of filters, columns, terms and includes, then rows by halves, as long as some difference stays. Leaves the world
// with the rows that are left. Returns what there is to tell.
std::string Shrink(World& world, Question question);

}  // namespace quarry::differential
