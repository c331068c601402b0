// One unsharded database that answers plain SQL: what the gateway's answers are compared with. One thread each.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quarry::differential {

using TextRow = std::vector<std::optional<std::string>>;

class Reference {
 public:
  virtual ~Reference() = default;
  virtual bool postgres() const = 0;
  // Statements without rows.
  virtual absl::Status Run(const std::string& sql) = 0;
  // kOutOfRange: SQLite's own arithmetic overflowed, so that it has no answer.
  virtual absl::StatusOr<std::vector<TextRow>> Select(const std::string& sql) = 0;
};

absl::StatusOr<std::unique_ptr<Reference>> OpenPostgresReference(const std::string& conninfo);
// With LIKE that counts case.
absl::StatusOr<std::unique_ptr<Reference>> OpenSqliteReference(const std::string& file);

}  // namespace quarry::differential
