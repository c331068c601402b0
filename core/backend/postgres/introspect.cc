#include "core/backend/postgres/introspect.h"

#include <libpq-fe.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/types.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

using postgres::Oid;
using TextRow = std::vector<std::string>;

// Quotes a name as it is; a dot before it separates the schema.
std::string QuotedName(const std::string& table) {
  const auto quote = [](const std::string& part) {
    std::string quoted = "\"";
    for (const char c : part) quoted.append(c == '"' ? 2 : 1, c);
    return quoted + "\"";
  };
  const size_t dot = table.find('.');
  if (dot == std::string::npos) return quote(table);
  return absl::StrCat(quote(table.substr(0, dot)), ".", quote(table.substr(dot + 1)));
}

// to_regclass finds a table along the search path, and answers null where there is none.
constexpr char kRelation[] = "SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = to_regclass($1)";
constexpr char kColumns[] =
    "SELECT a.attname, CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, "
    "format_type(a.atttypid, a.atttypmod), a.attnotnull OR t.typnotnull, "
    "a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL, "
    "a.attgenerated <> '' OR a.attidentity = 'a', coalesce(co.collisdeterministic, true), "
    // Text is ordered by bytes: its collation is C or POSIX, of its own or of the database, and it is not padded.
    "t.oid <> 'bpchar'::regtype AND t.typbasetype <> 'bpchar'::regtype AND (co.oid IS NULL "
    "OR co.oid IN (SELECT s.oid FROM pg_collation s WHERE s.collname IN ('C', 'POSIX', 'ucs_basic') "
    "AND s.collnamespace = 'pg_catalog'::regnamespace) "
    "OR (co.collprovider = 'c' AND coalesce(co.collcollate, '') IN ('C', 'POSIX')) "
    "OR (co.collprovider = 'd' AND EXISTS (SELECT 1 FROM pg_database d WHERE d.datname = current_database() "
    "AND d.datcollate IN ('C', 'POSIX') AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c'))), "
    "EXISTS (SELECT 1 FROM pg_type b WHERE b.typtype = 'e' AND b.oid IN (t.oid, t.typbasetype)) "
    "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation co ON co.oid = a.attcollation "
    "WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
// One row for each column of a constraint, in its order.
constexpr char kConstraints[] =
    "SELECT c.contype, c.conname, a.attname, "
    "CASE WHEN c.contype = 'f' THEN (SELECT CASE WHEN pg_table_is_visible(r.oid) THEN r.relname::text "
    "ELSE n.nspname || '.' || r.relname END FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace "
    "WHERE r.oid = c.confrelid) ELSE '' END, coalesce(fa.attname, '') "
    "FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k(attnum, position) "
    "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum "
    "LEFT JOIN pg_attribute fa ON fa.attrelid = c.confrelid AND fa.attnum = c.confkey[k.position] "
    "WHERE c.conrelid = $1::oid AND c.contype IN ('p', 'u', 'f') ORDER BY c.contype, c.conname, k.position";
// Unique indexes that are no constraints, of plain columns over all rows.
constexpr char kUniqueIndexes[] =
    "SELECT r.relname, a.attname FROM pg_index i JOIN pg_class r ON r.oid = i.indexrelid "
    "CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, position) "
    "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum "
    "WHERE i.indrelid = $1::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL "
    "AND k.position <= i.indnkeyatts AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid "
    "AND c.conrelid = i.indrelid) ORDER BY r.relname, k.position";

class SchemaReader {
 public:
  SchemaReader(const std::string& conninfo, absl::Duration timeout) {
    const int64_t seconds = std::max<int64_t>(2, absl::ToInt64Seconds(timeout));
    const std::string limit = absl::StrCat(seconds);
    const std::string options = absl::StrCat("-c statement_timeout=", seconds * 1000);
    const std::string user_timeout = absl::StrCat(seconds * 1000);
    const char* keywords[] = {"connect_timeout", "options", "tcp_user_timeout", "dbname", "client_encoding", nullptr};
    const char* values[] = {limit.c_str(), options.c_str(), user_timeout.c_str(), conninfo.c_str(), "UTF8", nullptr};
    connection_ = PQconnectdbParams(keywords, values, 1);
  }
  SchemaReader(const SchemaReader&) = delete;
  SchemaReader& operator=(const SchemaReader&) = delete;
  ~SchemaReader() { PQfinish(connection_); }

  absl::Status Connected() const {
    if (PQstatus(connection_) == CONNECTION_OK) return absl::OkStatus();
    return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                     absl::StrCat("cannot read the schema: ", postgres::CauseOf(connection_)));
  }
  absl::StatusOr<std::vector<TextRow>> Query(const char* sql, const std::string& param) {
    const char* const values[] = {param.c_str()};
    using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;
    const Result result(PQexecParams(connection_, sql, 1, nullptr, values, nullptr, nullptr, 0), &PQclear);
    if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
      if (PQstatus(connection_) != CONNECTION_OK) return Connected();
      return postgres::StatusOf(postgres::ReadServerError(result.get()), "");
    }
    std::vector<TextRow> rows;
    for (int row = 0; row < PQntuples(result.get()); ++row) {
      TextRow& out = rows.emplace_back();
      for (int column = 0; column < PQnfields(result.get()); ++column) {
        out.emplace_back(PQgetvalue(result.get(), row, column));
      }
    }
    return rows;
  }

 private:
  PGconn* connection_;
};

Column ReadColumn(const TextRow& row) {
  Column column;
  column.name = row[0];
  uint32_t oid = 0;
  if (absl::SimpleAtoi(row[1], &oid)) column.type = postgres::TypeOfOid(oid);
  column.type.native_name = row[2];
  column.nullable = row[3] != "t";
  column.has_default = row[4] == "t";
  column.generated = row[5] == "t";
  column.deterministic_text = row[6] == "t";
  column.byte_order = row[7] == "t";
  column.enumeration = row[8] == "t";
  return column;
}

void AddConstraint(const TextRow& row, TableSchema* table) {
  const char kind = row[0].empty() ? ' ' : row[0][0];
  if (kind == 'p') {
    table->primary_key.push_back(row[2]);
  } else if (kind == 'u') {
    auto& all = table->unique_constraints;
    if (all.empty() || all.back().name != row[1]) all.push_back({row[1], {}});
    all.back().columns.push_back(row[2]);
  } else if (kind == 'f') {
    auto& all = table->foreign_keys;
    if (all.empty() || all.back().name != row[1]) all.push_back({row[1], {}, row[3], {}});
    all.back().columns.push_back(row[2]);
    all.back().referenced_columns.push_back(row[4]);
  }
}

absl::Status ReadTable(SchemaReader* reader, const std::string& name, ShardSchema* schema) {
  QUARRY_ASSIGN_OR_RETURN(const std::vector<TextRow> found, reader->Query(kRelation, QuotedName(name)));
  if (found.empty()) return absl::OkStatus();
  const std::string& oid = found[0][0];
  if (found[0][1] != "r" && found[0][1] != "p") {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
                     absl::StrCat("\"", name, "\" is not a table: views and foreign tables cannot be served"),
                     {{"table", name}});
  }
  TableSchema table;
  table.name = name;
  QUARRY_ASSIGN_OR_RETURN(const std::vector<TextRow> columns, reader->Query(kColumns, oid));
  for (const TextRow& row : columns) table.columns.push_back(ReadColumn(row));
  QUARRY_ASSIGN_OR_RETURN(const std::vector<TextRow> constraints, reader->Query(kConstraints, oid));
  for (const TextRow& row : constraints) AddConstraint(row, &table);
  QUARRY_ASSIGN_OR_RETURN(const std::vector<TextRow> indexes, reader->Query(kUniqueIndexes, oid));
  for (const TextRow& row : indexes) AddConstraint({"u", row[0], row[1]}, &table);
  std::sort(table.unique_constraints.begin(), table.unique_constraints.end(),
            [](const UniqueConstraint& a, const UniqueConstraint& b) { return a.name < b.name; });
  schema->tables.emplace(name, std::move(table));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ShardSchema> IntrospectPostgres(const std::string& conninfo, const std::vector<std::string>& tables,
                                               absl::Duration timeout) {
  SchemaReader reader(conninfo, timeout);
  QUARRY_RETURN_IF_ERROR(reader.Connected());
  ShardSchema schema;
  for (const std::string& table : tables) QUARRY_RETURN_IF_ERROR(ReadTable(&reader, table, &schema));
  return schema;
}

}  // namespace quarry
