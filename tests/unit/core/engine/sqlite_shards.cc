#include "tests/unit/core/engine/test_database.h"

namespace quarry {

std::unique_ptr<TestDatabase> MakeTestDatabase(size_t shard) { return MakeSqliteTestDatabase(shard); }

}  // namespace quarry
