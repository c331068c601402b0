// The database of one shard of a test.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "core/backend/backend.h"
#include "core/base/loop.h"
#include "core/catalog/catalog.h"

namespace quarry {

class TestDatabase {
 public:
  virtual ~TestDatabase() = default;
  virtual Dialect dialect() const = 0;
  virtual absl::Status RunScript(const std::string& sql) = 0;
  virtual absl::StatusOr<ShardSchema> Introspect(const std::vector<std::string>& tables) = 0;
  virtual std::unique_ptr<Backend> MakeBackend(Loop& loop) = 0;
};

// New and empty, a SQLite file.
std::unique_ptr<TestDatabase> MakeSqliteTestDatabase(size_t shard);
// What this test's binary makes its shards of.
std::unique_ptr<TestDatabase> MakeTestDatabase(size_t shard);

}  // namespace quarry
