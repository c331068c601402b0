// Parsing of short configurations for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "core/config/config.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace quarry {

// Two SQLite shards, a hash resolver and a sharded table.
inline constexpr char kShop[] = R"(
shards:
  s0: {sqlite: {file: s0.db}}
  s1: {sqlite: {file: s1.db}}
resolvers:
  by_customer: {type: hash, modulus: 2}
tables:
  customers: {kind: sharded, key: id, resolver: by_customer}
)";

inline ConfigOptions WithoutFiles() {
  ConfigOptions options;
  options.read_file = [](const std::string&, size_t) { return absl::NotFoundError("No such file or directory"); };
  return options;
}

inline absl::StatusOr<Config> Parse(const std::string& yaml, const ConfigOptions& options = WithoutFiles()) {
  return ParseConfig(yaml, "quarry.yaml", options);
}

// Every violation as "place path: description".
inline std::vector<std::string> Mistakes(const absl::StatusOr<Config>& config) {
  std::vector<std::string> lines;
  for (const FieldViolation& violation : DetailOf(config.status()).violations) {
    lines.push_back(violation.field + ": " + violation.description);
  }
  return lines;
}

}  // namespace quarry
