#include "core/lock/lock_sql.h"

#include <memory>
#include <utility>
#include <vector>

#include "core/base/status_macros.h"

namespace quarry {
namespace {

using Sql = std::shared_ptr<const std::string>;
using Types = std::shared_ptr<const std::vector<ColumnType>>;

Sql Text(const char* text) { return std::make_shared<const std::string>(text); }

Types TypesOf(const std::vector<TypeKind>& kinds) {
  std::vector<ColumnType> types;
  for (const TypeKind kind : kinds) types.push_back(ColumnType{kind, false, ""});
  return std::make_shared<const std::vector<ColumnType>>(std::move(types));
}

// Shared texts, by which sessions find their prepared statements.
struct Texts {
  Sql find;
  Sql change;
  Sql count_up;
  Sql insert;
  Sql raise_token;
  Sql forget;
  Sql count;
};

#define QUARRY_PG_NOW "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
#define QUARRY_SQLITE_NOW "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"

const Texts& TextsOf(Dialect dialect) {
  static const auto* const postgres = new Texts{
      Text("SELECT version, token, state, " QUARRY_PG_NOW " FROM quarry.locks WHERE name = $1"),
      Text("UPDATE quarry.locks SET version = $3, token = $4, busy_until = $5, state = $6 WHERE name = $1 AND version = $2"),
      Text("UPDATE quarry.lock_store SET locks = locks + 1 WHERE id = 1 AND locks < $1"),
      Text("INSERT INTO quarry.locks (name, version, token, busy_until, state) "
           "SELECT $1::text, $2::bigint, token, 0, $3::bytea FROM quarry.lock_store WHERE id = 1"),
      Text("UPDATE quarry.lock_store SET token = greatest(token, coalesce((SELECT max(token) FROM quarry.locks "
           "WHERE busy_until <= " QUARRY_PG_NOW "), 0)) WHERE id = 1"),
      // A row that is used meanwhile is looked at again, and its token is higher then.
      Text("DELETE FROM quarry.locks WHERE busy_until <= " QUARRY_PG_NOW
           " AND token <= (SELECT token FROM quarry.lock_store WHERE id = 1)"),
      Text("UPDATE quarry.lock_store SET locks = (SELECT count(*) FROM quarry.locks) WHERE id = 1"),
  };
  static const auto* const sqlite = new Texts{
      Text("SELECT version, token, state, " QUARRY_SQLITE_NOW " FROM quarry_locks WHERE name = ?1"),
      Text("UPDATE quarry_locks SET version = ?3, token = ?4, busy_until = ?5, state = ?6 WHERE name = ?1 AND version = ?2"),
      Text("UPDATE quarry_lock_store SET locks = locks + 1 WHERE id = 1 AND locks < ?1"),
      Text("INSERT INTO quarry_locks (name, version, token, busy_until, state) "
           "SELECT ?1, ?2, token, 0, ?3 FROM quarry_lock_store WHERE id = 1"),
      Text("UPDATE quarry_lock_store SET token = max(token, coalesce((SELECT max(token) FROM quarry_locks "
           "WHERE busy_until <= " QUARRY_SQLITE_NOW "), 0)) WHERE id = 1"),
      Text("DELETE FROM quarry_locks WHERE busy_until <= " QUARRY_SQLITE_NOW
           " AND token <= (SELECT token FROM quarry_lock_store WHERE id = 1)"),
      Text("UPDATE quarry_lock_store SET locks = (SELECT count(*) FROM quarry_locks) WHERE id = 1"),
  };
  return dialect == Dialect::kPostgres ? *postgres : *sqlite;
}

Statement Write(const Sql& sql, std::vector<Value> params, Types types) {
  Statement statement;
  statement.sql = sql;
  statement.params = std::move(params);
  statement.param_types = std::move(types);
  statement.writes = true;
  statement.own_tables = true;
  return statement;
}

}  // namespace

Statement FindLock(const std::string& name, Dialect dialect) {
  static const auto* const params = new Types(TypesOf({TypeKind::kText}));
  static const auto* const result =
      new Types(TypesOf({TypeKind::kInt64, TypeKind::kInt64, TypeKind::kBytes, TypeKind::kInt64}));
  Statement statement = Write(TextsOf(dialect).find, {Value::Text(name)}, *params);
  statement.result_types = *result;
  statement.returns_rows = true;
  statement.writes = false;
  return statement;
}

absl::StatusOr<LockRow> ToLockRow(const Row& row) {
  LockRow lock;
  lock.version = row[0].int64_value();
  lock.now = absl::FromUnixMicros(row[3].int64_value());
  QUARRY_ASSIGN_OR_RETURN(lock.state, DecodeLockState(row[2].text(), row[1].int64_value()));
  return lock;
}

Statement ChangeLock(const std::string& name, int64_t from_version, int64_t to_version, const LockState& state, Dialect dialect) {
  static const auto* const params = new Types(TypesOf({TypeKind::kText, TypeKind::kInt64, TypeKind::kInt64, TypeKind::kInt64,
                                                       TypeKind::kInt64, TypeKind::kBytes}));
  const absl::Time busy = BusyUntil(state);
  const int64_t busy_until = busy == absl::InfinitePast() ? 0 : absl::ToUnixMicros(busy);
  Statement statement = Write(TextsOf(dialect).change,
                              {Value::Text(name), Value::Int64(from_version), Value::Int64(to_version),
                               Value::Int64(state.token), Value::Int64(busy_until), Value::Bytes(EncodeLockState(state))},
                              *params);
  statement.check.kind = Check::Kind::kRowRequired;
  statement.check.table = "of Quarry's locks";
  return statement;
}

Step MakeLock(const std::string& name, int64_t version, int64_t locks_max, Dialect dialect) {
  static const auto* const count = new Types(TypesOf({TypeKind::kInt64}));
  static const auto* const row = new Types(TypesOf({TypeKind::kText, TypeKind::kInt64, TypeKind::kBytes}));
  Step step;
  Statement more = Write(TextsOf(dialect).count_up, {Value::Int64(locks_max)}, *count);
  more.check.kind = Check::Kind::kRowRequired;
  more.check.table = "of the number of Quarry's locks";
  step.statements.push_back(std::move(more));
  step.statements.push_back(
      Write(TextsOf(dialect).insert, {Value::Text(name), Value::Int64(version), Value::Bytes("")}, *row));
  return step;
}

Step ForgetIdleLocks(Dialect dialect) {
  static const auto* const none = new Types(TypesOf({}));
  const Texts& texts = TextsOf(dialect);
  Step step;
  for (const Sql& sql : {texts.raise_token, texts.forget, texts.count}) step.statements.push_back(Write(sql, {}, *none));
  return step;
}

}  // namespace quarry
