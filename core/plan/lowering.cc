#include "core/plan/lowering.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace quarry {
namespace {

// Callers choose column lists, so they must not fill the memory.
constexpr size_t kShapesMax = 4'096;

std::string Param(Dialect dialect, size_t number) {
  return absl::StrCat(dialect == Dialect::kPostgres ? "$" : "?", number);
}

std::string ColumnName(const Table& table, size_t column) {
  return QuoteIdentifier(table.columns()[column].name);
}

std::string ColumnList(const Table& table, const std::vector<size_t>& columns) {
  std::string list;
  for (const size_t column : columns) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", ColumnName(table, column));
  }
  return list;
}

std::string AllColumns(const Table& table) {
  std::string list;
  for (size_t i = 0; i < table.columns().size(); ++i) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", ColumnName(table, i));
  }
  return list;
}

// "k1" = $n AND "k2" = $n+1
std::string KeyEquals(const Table& table, Dialect dialect, size_t first_param) {
  std::string where;
  for (const size_t column : table.primary_key()) {
    absl::StrAppend(&where, where.empty() ? "" : " AND ", ColumnName(table, column), " = ",
                    Param(dialect, first_param++));
  }
  return where;
}

std::vector<ColumnType> Types(const Table& table, const std::vector<size_t>& columns) {
  std::vector<ColumnType> types;
  types.reserve(columns.size());
  for (const size_t column : columns) types.push_back(table.columns()[column].type);
  return types;
}

std::vector<ColumnType> WithKey(const Table& table, std::vector<ColumnType> types) {
  for (const size_t column : table.primary_key()) types.push_back(table.columns()[column].type);
  return types;
}

LoweredSql Finish(const Table& table, std::string sql, std::vector<ColumnType> params, bool returning) {
  LoweredSql lowered;
  if (returning) {
    absl::StrAppend(&sql, " RETURNING ", AllColumns(table));
    lowered.result_types = table.all_types();
  }
  lowered.sql = std::make_shared<const std::string>(std::move(sql));
  lowered.param_types = std::make_shared<const std::vector<ColumnType>>(std::move(params));
  return lowered;
}

LoweredSql Reading(const Table& table, const std::vector<size_t>& columns, std::vector<ColumnType> params,
                   std::string sql) {
  LoweredSql lowered = Finish(table, std::move(sql), std::move(params), false);
  lowered.result_types = std::make_shared<const std::vector<ColumnType>>(Types(table, columns));
  return lowered;
}

std::string InsertText(const Table& table, Dialect dialect, const std::vector<size_t>& columns) {
  std::string names = ColumnList(table, columns);
  std::string values;
  for (size_t i = 1; i <= columns.size(); ++i) absl::StrAppend(&values, values.empty() ? "" : ", ", Param(dialect, i));
  for (size_t i = 0; i < table.columns().size() && dialect == Dialect::kSqlite; ++i) {
    const std::string& made = table.columns()[i].default_in_form;
    if (made.empty() || std::find(columns.begin(), columns.end(), i) != columns.end()) continue;
    absl::StrAppend(&names, names.empty() ? "" : ", ", ColumnName(table, i));
    absl::StrAppend(&values, values.empty() ? "" : ", ", made);
  }
  if (names.empty()) return absl::StrCat("INSERT INTO ", QuoteTable(table.name(), dialect), " DEFAULT VALUES");
  return absl::StrCat("INSERT INTO ", QuoteTable(table.name(), dialect), " (", names, ") VALUES (", values, ")");
}

// The name of a PostgreSQL type without length or precision: a cast to varchar(5) would cut a longer key, and to
// numeric(9, 2) round one, so that it met a row it does not name.
std::string UnlimitedType(const ColumnType& type) {
  const bool quoted = type.native_name.find('"') != std::string::npos;
  const size_t open = quoted ? std::string::npos : type.native_name.find('(');
  const std::string base = type.native_name.substr(0, open);
  switch (type.kind) {
    case TypeKind::kBool:
      return "boolean";
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64:
      return "bigint";
    case TypeKind::kFloat:
      return "real";
    case TypeKind::kDouble:
      return "double precision";
    case TypeKind::kText:
      return base == "character" ? "bpchar" : "text";  // "character" alone is character(1).
    case TypeKind::kBytes:
      return "bytea";
    case TypeKind::kTimestamp:
      return "timestamp";
    case TypeKind::kTimestampTz:
      return "timestamptz";
    case TypeKind::kDate:
      return "date";
    case TypeKind::kTime:
      return "time";
    case TypeKind::kInterval:
      return "interval";
    case TypeKind::kDecimal:
      return "numeric";
    case TypeKind::kUuid:
      return "uuid";
    case TypeKind::kJson:
      return "jsonb";
    case TypeKind::kUnknown:
    case TypeKind::kNative:
      break;
  }
  if (quoted || open == std::string::npos) return type.native_name;
  if (base == "bit") return "\"bit\"";  // As with "character".
  return base + type.native_name.substr(type.native_name.find(')') + 1);
}

bool InPrimaryKey(const Table& table, size_t column) {
  const std::vector<size_t>& key = table.primary_key();
  return std::find(key.begin(), key.end(), column) != key.end();
}

}  // namespace

std::string QuoteIdentifier(const std::string& name) {
  return absl::StrCat("\"", absl::StrReplaceAll(name, {{"\"", "\"\""}}), "\"");
}

std::string QuoteTable(const std::string& name, Dialect dialect) {
  const size_t dot = name.find('.');
  if (dialect == Dialect::kSqlite || dot == std::string::npos) return QuoteIdentifier(name);
  return absl::StrCat(QuoteIdentifier(name.substr(0, dot)), ".", QuoteIdentifier(name.substr(dot + 1)));
}

template <typename Make>
const LoweredSql& Lowering::Cached(const Table& table, Dialect dialect, Shape shape,
                                   const std::vector<size_t>& columns, bool returning, Make make) {
  std::string key;
  key.reserve(12 + columns.size() * 2);
  const Table* address = &table;
  key.append(reinterpret_cast<const char*>(&address), sizeof(address));  // NOLINT(bugprone-sizeof-expression): the address is meant.
  key.push_back(static_cast<char>(dialect));
  key.push_back(static_cast<char>(shape));
  key.push_back(returning ? 1 : 0);
  for (const size_t column : columns) {
    key.push_back(static_cast<char>(column & 0xff));
    key.push_back(static_cast<char>(column >> 8));
  }
  if (shapes_.size() >= kShapesMax) shapes_.clear();
  std::unique_ptr<LoweredSql>& lowered = shapes_[key];
  if (lowered == nullptr) lowered = std::make_unique<LoweredSql>(make());
  return *lowered;
}

namespace {

// SQLite's transactions that may write have the file to themselves.
const char* LockClause(Dialect dialect, RowLock lock) {
  if (dialect == Dialect::kSqlite || lock == RowLock::kNone) return "";
  return lock == RowLock::kShare ? " FOR SHARE" : " FOR UPDATE";
}

}  // namespace

LoweredSql Lowering::PointRead(const Table& table, Dialect dialect, const std::vector<size_t>& columns, RowLock lock) {
  return Reading(table, columns, Types(table, table.primary_key()),
                 absl::StrCat("SELECT ", ColumnList(table, columns), " FROM ", QuoteTable(table.name(), dialect),
                              " WHERE ", KeyEquals(table, dialect, 1), LockClause(dialect, lock)));
}

LoweredSql Lowering::BatchRead(const Table& table, const std::vector<size_t>& columns, RowLock lock) {
  const std::vector<size_t>& key = table.primary_key();
  std::string where;
  if (key.size() == 1) {
    where = absl::StrCat(ColumnName(table, key[0]), " = ANY($1)");
  } else {
    std::string arrays;
    // With several arrays unnest does not say of itself what they hold.
    for (size_t i = 0; i < key.size(); ++i) {
      const ColumnType& type = table.columns()[key[i]].type;
      absl::StrAppend(&arrays, i == 0 ? "$" : ", $", i + 1, "::", UnlimitedType(type), "[]");
    }
    where = absl::StrCat("(", ColumnList(table, key), ") IN (SELECT * FROM unnest(", arrays, "))");
  }
  std::vector<ColumnType> params = Types(table, key);
  for (ColumnType& type : params) type.array = true;
  return Reading(table, columns, std::move(params),
                 absl::StrCat("SELECT ", ColumnList(table, columns), " FROM ",
                              QuoteTable(table.name(), Dialect::kPostgres), " WHERE ", where,
                              // In one order for all, so that two calls do not wait for each other.
                              lock == RowLock::kNone ? "" : absl::StrCat(" ORDER BY ", ColumnList(table, key)),
                              LockClause(Dialect::kPostgres, lock)));
}

LoweredSql Lowering::ListRead(const Table& table, const std::vector<size_t>& columns, size_t keys) {
  const std::vector<size_t>& key = table.primary_key();
  const bool composite = key.size() > 1;
  std::string list;
  std::vector<ColumnType> params;
  for (size_t i = 0; i < keys; ++i) {
    absl::StrAppend(&list, i == 0 ? "" : ", ", composite ? "(" : "");
    for (size_t part = 0; part < key.size(); ++part) {
      absl::StrAppend(&list, part == 0 ? "" : ", ", Param(Dialect::kSqlite, params.size() + 1));
      params.push_back(table.columns()[key[part]].type);
    }
    if (composite) list += ")";
  }
  return Reading(table, columns, std::move(params),
                 absl::StrCat("SELECT ", ColumnList(table, columns), " FROM ", QuoteTable(table.name(), Dialect::kSqlite),
                              " WHERE ", composite ? "(" : "", ColumnList(table, key), composite ? ") IN (VALUES " : " IN (",
                              list, ")"));
}

const LoweredSql& Lowering::LockedRead(const Table& table, Dialect dialect, const std::vector<size_t>& columns) {
  return Cached(table, dialect, Shape::kLockedRead, columns, true, [&] {
    LoweredSql lowered = PointRead(table, dialect, columns);
    if (dialect == Dialect::kPostgres) {
      lowered.sql = std::make_shared<const std::string>(absl::StrCat(*lowered.sql, " FOR UPDATE"));
    }
    return lowered;
  });
}

LoweredSql Lowering::InsertedRead(const Table& table, const std::vector<size_t>& columns) {
  return Reading(table, columns, {},
                 absl::StrCat("SELECT ", ColumnList(table, columns), " FROM ", QuoteTable(table.name(), Dialect::kSqlite), " WHERE ",
                              ColumnName(table, table.primary_key()[0]), " = last_insert_rowid()"));
}

const LoweredSql& Lowering::Insert(const Table& table, Dialect dialect, const std::vector<size_t>& columns,
                                   bool returning) {
  return Cached(table, dialect, Shape::kInsert, columns, returning, [&] {
    return Finish(table, InsertText(table, dialect, columns), Types(table, columns), returning);
  });
}

const LoweredSql& Lowering::Upsert(const Table& table, Dialect dialect, const std::vector<size_t>& columns,
                                   bool returning) {
  return Cached(table, dialect, Shape::kUpsert, columns, returning, [&] {
    std::string sets;
    for (const size_t column : columns) {
      if (InPrimaryKey(table, column)) continue;
      const std::string name = ColumnName(table, column);
      absl::StrAppend(&sets, sets.empty() ? "" : ", ", name, " = excluded.", name);
    }
    if (sets.empty()) {
      // Nothing but the key: a write that changes nothing, so that the row is still returned and locked.
      const std::string name = ColumnName(table, table.primary_key()[0]);
      sets = absl::StrCat(name, " = excluded.", name);
    }
    return Finish(table,
                  absl::StrCat(InsertText(table, dialect, columns), " ON CONFLICT (",
                               ColumnList(table, table.primary_key()), ") DO UPDATE SET ", sets),
                  Types(table, columns), returning);
  });
}

const LoweredSql& Lowering::Update(const Table& table, Dialect dialect, const std::vector<size_t>& columns,
                                   bool returning) {
  return Cached(table, dialect, Shape::kUpdate, columns, returning, [&] {
    std::string sets;
    size_t param = 0;
    for (const size_t column : columns) {
      absl::StrAppend(&sets, sets.empty() ? "" : ", ", ColumnName(table, column), " = ",
                      Param(dialect, ++param));
    }
    return Finish(table,
                  absl::StrCat("UPDATE ", QuoteTable(table.name(), dialect), " SET ", sets, " WHERE ",
                               KeyEquals(table, dialect, param + 1)),
                  WithKey(table, Types(table, columns)), returning);
  });
}

const LoweredSql& Lowering::Delete(const Table& table, Dialect dialect, bool returning) {
  return Cached(table, dialect, Shape::kDelete, {}, returning, [&] {
    return Finish(table,
                  absl::StrCat("DELETE FROM ", QuoteTable(table.name(), dialect), " WHERE ",
                               KeyEquals(table, dialect, 1)),
                  WithKey(table, {}), returning);
  });
}

}  // namespace quarry
