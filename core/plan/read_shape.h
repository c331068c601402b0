// What all reads of one table and one list of columns share, found once: so that a repeated read does no planning but for
// its key. One loop.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/status/statusor.h"
#include "core/merge/merge.h"
#include "core/model/operation.h"
#include "core/plan/lowering.h"
#include "core/plan/snapshot.h"

namespace quarry {

struct ReadShape {
  const Table* table = nullptr;
  const Resolver* resolver = nullptr;  // Of a sharded table.
  std::shared_ptr<const ReadLayout> layout;
  // One key a statement, by dialect.
  std::array<LoweredSql, 2> point;
  std::shared_ptr<const ManyKeysForm> arrays;  // PostgreSQL's form for many keys.
  std::vector<LoweredSql> lists;               // SQLite's, for kListSizes keys each.

  static constexpr std::array<size_t, 3> kListSizes = {8, 32, 128};

  const LoweredSql& point_for(Dialect dialect) const { return point[static_cast<size_t>(dialect)]; }
  // False where the keys of a batch's rows cannot be told apart by their bytes.
  bool batches_on(Dialect dialect) const { return dialect == Dialect::kPostgres ? arrays != nullptr : !lists.empty(); }
};

class ReadShapes {
 public:
  // The shape of a read of `table`'s `columns` (empty: all) that holds `lock`. Errors as FindTable and CheckColumns. Valid until the next call
  // with another snapshot.
  absl::StatusOr<std::shared_ptr<const ReadShape>> Find(const std::string& table, const std::vector<std::string>& columns,
                                                        RowLock lock, const Snapshot& snapshot);
  // Forgets all: their tables are about to go.
  void Clear() { shapes_.clear(); }

 private:
  struct Asked {
    const std::string& table;
    const std::vector<std::string>& columns;
    RowLock lock;
  };
  struct Stored {
    std::string table;
    std::vector<std::string> columns;
    RowLock lock;
  };
  struct Hash {
    using is_transparent = void;
    template <typename Either>
    size_t operator()(const Either& shape) const {
      return absl::HashOf(shape.table, shape.columns, shape.lock);  // Lives in this process alone.
    }
  };
  struct Equal {
    using is_transparent = void;
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return a.table == b.table && a.columns == b.columns && a.lock == b.lock;
    }
  };

  absl::flat_hash_map<Stored, std::shared_ptr<const ReadShape>, Hash, Equal> shapes_;
};

}  // namespace quarry
