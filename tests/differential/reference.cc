#include "tests/differential/reference.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "tests/differential/values.h"

namespace quarry::differential {
namespace {

class PostgresReference final : public Reference {
 public:
  explicit PostgresReference(PGconn* connection) : connection_(connection) {}
  ~PostgresReference() override { PQfinish(connection_); }
  bool postgres() const override { return true; }

  absl::Status Run(const std::string& sql) override { return Ask(sql).status(); }

  absl::StatusOr<std::vector<TextRow>> Select(const std::string& sql) override {
    QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<PGresult> result, Ask(sql));
    std::vector<TextRow> rows;
    for (int at = 0; at < PQntuples(result.get()); ++at) {
      TextRow row;
      for (int column = 0; column < PQnfields(result.get()); ++column) {
        const bool null = PQgetisnull(result.get(), at, column) != 0;
        const int size = PQgetlength(result.get(), at, column);
        row.push_back(null ? std::nullopt : std::optional(std::string(PQgetvalue(result.get(), at, column), static_cast<size_t>(size))));
      }
      rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  absl::StatusOr<std::shared_ptr<PGresult>> Ask(const std::string& sql) {
    const std::shared_ptr<PGresult> result(PQexec(connection_, sql.c_str()), PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY) return result;
    return absl::InternalError(absl::StrCat("the reference PostgreSQL: ", PQresultErrorMessage(result.get())));
  }

  PGconn* const connection_;
};

class SqliteReference final : public Reference {
 public:
  explicit SqliteReference(sqlite3* db) : db_(db) {}
  ~SqliteReference() override { sqlite3_close(db_); }
  bool postgres() const override { return false; }

  absl::Status Run(const std::string& sql) override {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus() : Failure();
  }

  absl::StatusOr<std::vector<TextRow>> Select(const std::string& sql) override {
    sqlite3_stmt* prepared = nullptr;
    if (sqlite3_prepare_v2(db_, sql.c_str(), -1, &prepared, nullptr) != SQLITE_OK) return Failure();
    const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared, sqlite3_finalize);
    std::vector<TextRow> rows;
    int code = SQLITE_ROW;
    while ((code = sqlite3_step(prepared)) == SQLITE_ROW) {
      TextRow row;
      for (int column = 0; column < sqlite3_column_count(prepared); ++column) row.push_back(TextOf(prepared, column));
      rows.push_back(std::move(row));
    }
    if (code != SQLITE_DONE) return Failure();
    return rows;
  }

 private:
  static std::optional<std::string> TextOf(sqlite3_stmt* statement, int column) {
    const int type = sqlite3_column_type(statement, column);
    if (type == SQLITE_NULL) return std::nullopt;
    if (type == SQLITE_FLOAT) return DoubleText(sqlite3_column_double(statement, column));
    const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
    return std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement, column)));
  }

  absl::Status Failure() const {
    const std::string message = sqlite3_errmsg(db_);
    if (message == "integer overflow") return absl::OutOfRangeError(message);
    return absl::InternalError(absl::StrCat("the reference SQLite: ", message));
  }

  sqlite3* const db_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Reference>> OpenPostgresReference(const std::string& conninfo) {
  auto reference = std::make_unique<PostgresReference>(PQconnectdb(conninfo.c_str()));
  QUARRY_RETURN_IF_ERROR(reference->Run("SET TimeZone = 'UTC'; SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'"));
  return reference;
}

absl::StatusOr<std::unique_ptr<Reference>> OpenSqliteReference(const std::string& file) {
  sqlite3* db = nullptr;
  const int code = sqlite3_open(file.c_str(), &db);
  auto reference = std::make_unique<SqliteReference>(db);
  if (code != SQLITE_OK) return absl::InternalError(absl::StrCat("cannot open the reference SQLite ", file));
  QUARRY_RETURN_IF_ERROR(reference->Run("PRAGMA case_sensitive_like = ON; PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY"));
  return reference;
}

}  // namespace quarry::differential
