// What every database keeps beyond backend_contract.h: SQL, rows, types, constraints, and the bounds of its pool. A binary
// adds its database to both suites with
//   INSTANTIATE_TEST_SUITE_P(Sqlite, BackendContract, testing::Values(BackendCase{"sqlite", MakeFixture}), CaseName);
//   INSTANTIATE_TEST_SUITE_P(Sqlite, BackendRowsContract, …the same…);
// and links quarry_backend_rows_contract.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/catalog/catalog.h"
#include "core/model/ids.h"
#include "core/model/value.h"
#include "tests/contract/backend/backend_contract.h"

namespace quarry {

// The pool that a fixture's backend must have.
inline constexpr int64_t kContractSessionsMax = 4;
inline constexpr int64_t kContractWaitersMax = 2;
inline constexpr char kContractShard[] = "s0";

// SQL written with $1, $2, … and PostgreSQL's type names, in another dialect: placeholders, and in DDL NUMERIC, JSON, JSONB
// and BYTEA.
std::string InDialect(Dialect dialect, const std::string& postgres_sql);

// One empty database and one Backend over it, with the bounds above and the shard name kContractShard.
class RowsFixture : public BackendFixture {
 public:
  virtual Dialect dialect() const = 0;
  // Several statements, separated by semicolons, past the backend. Blocks.
  virtual absl::Status Schema(const std::string& ddl) = 0;
  // What the database says of these tables. Blocks.
  virtual absl::StatusOr<ShardSchema> Introspect(std::vector<std::string> tables) = 0;

  Statement Insert(int64_t id) final;
  int64_t Inserted() final;
  Statement Refused() final;
  Statement Endless() final;
  Statement Numbers(int64_t count) final;

 private:
  void MakeTable();

  bool has_table_ = false;  // Of the rows that Insert leaves.
};

class BackendRowsContract : public BackendContract {
 public:
  // Only databases are instances of this suite.
  RowsFixture& fixture() { return dynamic_cast<RowsFixture&>(BackendContract::fixture()); }
  bool sqlite() { return fixture().dialect() == Dialect::kSqlite; }
  std::string Sql(const std::string& postgres_sql) { return InDialect(fixture().dialect(), postgres_sql); }
  void CreateTables(const std::string& ddl);

  // ---- Statements ----
  Statement Read(const std::string& sql, std::vector<Value> params = {});
  Statement Write(const std::string& sql, std::vector<Value> params = {});
  // A write that returns rows.
  Statement WriteReturning(const std::string& sql, std::vector<Value> params = {});

  // ---- Calls, driven to their end ----
  // All rows of one read.
  absl::StatusOr<std::vector<Row>> Rows(const std::string& sql, std::vector<Value> params = {});
  int64_t Count(const std::string& table);
};

}  // namespace quarry
