// Operation on a table -> SQL text of a dialect. Identifiers come from the catalog and are quoted; values are always parameters.
// Texts are made once per shape and shared, so that sessions find their prepared statements by them. One loop.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/catalog/catalog.h"
#include "core/model/operation.h"
#include "core/model/statement.h"

namespace quarry {

struct LoweredSql {
  std::shared_ptr<const std::string> sql;
  std::shared_ptr<const std::vector<ColumnType>> param_types;
  std::shared_ptr<const std::vector<ColumnType>> result_types;
};

// The dialect's quoting of an identifier that came from a catalog; a PostgreSQL "schema.table" is quoted by part.
std::string QuoteIdentifier(const std::string& name);
std::string QuoteTable(const std::string& name, Dialect dialect);

class Lowering {
 public:
  // SELECT columns WHERE the primary key equals the parameters. Not remembered: the planner's ReadShape is.
  static LoweredSql PointRead(const Table& table, Dialect dialect, const std::vector<size_t>& columns,
                               RowLock lock = RowLock::kNone);
  // PostgreSQL only: the same for many keys, one array parameter per key column.
  static LoweredSql BatchRead(const Table& table, const std::vector<size_t>& columns,
                               RowLock lock = RowLock::kNone);
  // SQLite only: the same for `keys` keys, one parameter for each of their columns, key after key.
  static LoweredSql ListRead(const Table& table, const std::vector<size_t>& columns, size_t keys);
  // A point read that holds the row to the end of the transaction.
  const LoweredSql& LockedRead(const Table& table, Dialect dialect, const std::vector<size_t>& columns);
  // SQLite only: the row that the same session has just inserted, by the integer that it was given for a key.
  static LoweredSql InsertedRead(const Table& table, const std::vector<size_t>& columns);
  // Parameters in order of `columns`. `returning` adds all columns.
  const LoweredSql& Insert(const Table& table, Dialect dialect, const std::vector<size_t>& columns, bool returning);
  const LoweredSql& Upsert(const Table& table, Dialect dialect, const std::vector<size_t>& columns, bool returning);
  // Parameters: `columns`, then the primary key.
  const LoweredSql& Update(const Table& table, Dialect dialect, const std::vector<size_t>& columns, bool returning);
  // Parameters: the primary key.
  const LoweredSql& Delete(const Table& table, Dialect dialect, bool returning);

  // Forgets all shapes: tables of an old snapshot are about to go.
  void Clear() { shapes_.clear(); }

 private:
  enum class Shape : char { kLockedRead, kInsert, kUpsert, kUpdate, kDelete };
  template <typename Make>
  const LoweredSql& Cached(const Table& table, Dialect dialect, Shape shape, const std::vector<size_t>& columns,
                           bool returning, Make make);

  absl::flat_hash_map<std::string, std::unique_ptr<LoweredSql>> shapes_;
};

}  // namespace quarry
