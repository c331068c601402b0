#include "core/plan/fence.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace quarry {
namespace {

// Once for all: sessions find their prepared statements by it.
const std::shared_ptr<const std::string>& FenceSql(Dialect dialect) {
  static const auto* const postgres = new std::shared_ptr<const std::string>(std::make_shared<const std::string>(
      "INSERT INTO quarry.lock_fence AS f (lock_name, token) VALUES ($1, $2) ON CONFLICT (lock_name) DO UPDATE "
      "SET token = excluded.token WHERE f.token <= excluded.token RETURNING token"));
  static const auto* const sqlite = new std::shared_ptr<const std::string>(std::make_shared<const std::string>(
      "INSERT INTO quarry_lock_fence AS f (lock_name, token) VALUES (?1, ?2) ON CONFLICT (lock_name) DO UPDATE "
      "SET token = excluded.token WHERE f.token <= excluded.token RETURNING token"));
  return dialect == Dialect::kPostgres ? *postgres : *sqlite;
}

}  // namespace

Statement FenceStatement(const LockFence& fence, Dialect dialect) {
  static const ColumnType text{TypeKind::kText, false, ""};
  static const ColumnType number{TypeKind::kInt64, false, ""};
  static const auto* const params = new auto(std::make_shared<const std::vector<ColumnType>>(std::vector<ColumnType>{text, number}));
  static const auto* const result = new auto(std::make_shared<const std::vector<ColumnType>>(std::vector<ColumnType>{number}));
  Statement statement;
  statement.sql = FenceSql(dialect);
  statement.params = {Value::Text(fence.lock), Value::Int64(fence.token)};
  statement.param_types = *params;
  statement.result_types = *result;
  statement.returns_rows = true;
  statement.writes = true;
  statement.own_tables = true;
  statement.check.kind = Check::Kind::kFence;
  statement.check.table = fence.lock;
  return statement;
}

void AddFence(const LockFence& fence, Dialect dialect, Step& step) {
  if (fence.empty()) return;
  step.statements.insert(step.statements.begin(), FenceStatement(fence, dialect));
}

}  // namespace quarry
