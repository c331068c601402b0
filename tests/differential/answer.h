// Answers of the gateway and of the references in one form, and their comparison.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "quarry/v1/data.grpc.pb.h"
#include "tests/differential/question.h"
#include "tests/differential/reference.h"
#include "tests/differential/values.h"

namespace quarry::differential {

using CellRow = std::vector<Cell>;

struct Answer {
  absl::Status status;
  std::vector<CellRow> rows;
  // For each include: the row of the parent, then the related row.
  std::vector<std::vector<CellRow>> included;
  // What the answer says about itself and does not keep: "the summary counts 3 rows of 2".
  std::vector<std::string> contradictions;
};

// A query is read to its end, a list page by page to its end and back.
Answer AskGateway(v1::DataService::StubInterface& gateway, const Schema& schema, const Question& question);
// nullopt when the reference has no way to say it.
absl::StatusOr<std::optional<Answer>> AskReference(Reference& reference, const Schema& schema, const Question& question);

// What differs, "" when nothing does.
std::string Difference(const Schema& schema, const Question& question, const Answer& gateway, const Answer& reference);
// The first rows, for people.
std::string Shown(const Answer& answer);

}  // namespace quarry::differential
