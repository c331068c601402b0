#include "core/plan/plan_bulk_write.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/plan/filter.h"
#include "core/plan/lowering.h"
#include "core/plan/route.h"
#include "core/plan/scatter_check.h"

namespace quarry {
namespace {

std::string NamesOf(const Table& table, const std::vector<size_t>& columns) {
  std::vector<std::string> names;
  for (const size_t column : columns) names.push_back(table.columns()[column].name);
  return absl::StrJoin(names, ", ");
}

std::string KeyList(const BulkWritePlan& plan) {
  return absl::StrJoin(plan.key, ", ", [](std::string* out, const SortColumn& term) {
    absl::StrAppend(out, QuoteIdentifier(term.use.name));
  });
}

absl::Status CheckSet(const BulkWriteOperation& op, const Table& table, const BulkWriteLimits& limits, BulkWritePlan& plan,
                      std::vector<FieldViolation>& violations) {
  if (op.deletes) return absl::OkStatus();
  if (op.set.empty()) violations.push_back({"set", "names no column; say what the rows become"});
  plan.set = CheckRecord(table, op.set, "set", violations);
  int64_t bytes = 0;
  for (const auto& [column, value] : plan.set) {
    bytes += static_cast<int64_t>(ByteSize(value));
    const auto in = [column = column](const std::vector<size_t>& columns) {
      return std::find(columns.begin(), columns.end(), column) != columns.end();
    };
    if (!in(table.shard_key()) && !in(table.primary_key())) continue;
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kShardKeyImmutable,
                     absl::StrCat("column ", table.columns()[column].name, " of table ", table.name(), " is part of the ",
                                  in(table.shard_key()) ? "shard key" : "primary key",
                                  " and is not changed by an update; delete the row and insert it anew"),
                     {{"table", table.name()}, {"column", table.columns()[column].name}});
  }
  if (bytes > limits.row_bytes_max) {
    violations.push_back({"set", absl::StrCat("has ", bytes, " bytes; at most ", limits.row_bytes_max,
                                              " are allowed (limits.row_bytes)")});
  }
  return absl::OkStatus();
}

void CheckKeyOrder(const Table& table, BulkWritePlan& plan, std::vector<FieldViolation>& violations) {
  for (size_t i = 0; i < table.primary_key().size(); ++i) {
    SortColumn term;
    term.use = UseOf(table, table.primary_key()[i]);
    if (!HasOrder(term.use.type)) {
      violations.push_back({"table", absl::StrCat("key column \"", term.use.name, "\" is of type ", TypeName(term.use.type),
                                                  ", which has no order that all databases share, so its rows cannot be "
                                                  "written in batches; write them by key with BatchWrite")});
    }
    plan.key.push_back(std::move(term));
    SortTerm order;
    order.position = i;
    plan.key_order.push_back(order);
  }
}

absl::Status ManyShards(const Table& table, const ScatterRoute& route) {
  const std::string key = NamesOf(table, table.shard_key());
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kScatterNotAllowed,
                   absl::StrCat("the write may touch rows of table ", table.name(), " on ", route.shards.size(),
                                " shards; say ", key, " in the filter, or set allow_many_shards (each shard then commits on its own)"),
                   {{"table", table.name()}, {"shard_key", key}, {"shards", absl::StrCat(route.shards.size())}});
}

// " WHERE …" of rows that match and come after `after`.
void WriteWhere(const BulkWritePlan& plan, const Row* after, SqlText& sql) {
  const bool filtered = plan.predicate.kind != Predicate::Kind::kTrue;
  if (filtered) {
    sql << " WHERE (";
    WritePredicate(plan.predicate, kAlias, sql);
    sql << ")";
  }
  if (after == nullptr) return;
  sql << (filtered ? " AND " : " WHERE ");
  WriteAfter(plan.key, *after, false, kAlias, sql);
}

std::vector<ColumnType> KeyTypes(const BulkWritePlan& plan) {
  std::vector<ColumnType> types;
  for (const SortColumn& term : plan.key) types.push_back(term.use.type);
  return types;
}

Statement Finish(SqlText sql, std::vector<ColumnType> types, SqlTexts& texts) {
  Statement statement = std::move(sql).Take();
  statement.sql = texts.Intern(std::move(statement.sql));
  statement.result_types = std::make_shared<const std::vector<ColumnType>>(std::move(types));
  statement.returns_rows = true;
  statement.writes = true;
  return statement;
}

}  // namespace

absl::StatusOr<BulkWritePlan> PlanBulkWrite(const BulkWriteOperation& op, const Snapshot& snapshot, const BulkWriteLimits& limits) {
  BulkWritePlan plan;
  QUARRY_ASSIGN_OR_RETURN(plan.table, FindTable(snapshot, op.table));
  const Table& table = *plan.table;
  plan.deletes = op.deletes;
  if (table.kind() == TableKind::kReference && snapshot.topology.shards().size() > 1) {
    return InvalidField("table", absl::StrCat("\"", table.name(), "\" is a reference table: every shard holds its rows, and they "
                                              "must change on all at once; write them by key with BatchWrite"));
  }
  std::vector<FieldViolation> violations;
  QUARRY_RETURN_IF_ERROR(CheckSet(op, table, limits, plan, violations));
  CheckKeyOrder(table, plan, violations);
  if (op.batch_rows < 0 || op.batch_rows > limits.batch_rows_max) {
    violations.push_back({"batch_rows", absl::StrCat("is between 1 and ", limits.batch_rows_max, ", or 0 for the default")});
  }
  if (!op.filter.has_value() && !op.everything) {
    violations.push_back({"filter", absl::StrCat("is missing; without one every row of \"", table.name(), "\" would be ",
                                                 op.deletes ? "deleted" : "updated", ": say so with everything = true")});
  }
  if (op.filter.has_value()) {
    absl::StatusOr<Predicate> predicate = CheckFilter(*op.filter, table, snapshot.catalog, FilterLimits());
    const ErrorDetail detail = DetailOf(predicate.status());
    if (!predicate.ok() && detail.violations.empty()) return predicate.status();
    violations.insert(violations.end(), detail.violations.begin(), detail.violations.end());
    if (predicate.ok()) plan.predicate = *std::move(predicate);
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  QUARRY_ASSIGN_OR_RETURN(plan.route, RouteQuestion(plan.predicate, table, op.target, ScatterBounds(), snapshot, ShardId{0},
                                                    &plan.unmapped));
  if (plan.route.shards.size() > 1 && !op.many_shards) return ManyShards(table, plan.route);
  return plan;
}

Statement BulkBatch(const BulkWritePlan& plan, const Row* after, int64_t rows, Dialect dialect, SqlTexts& texts) {
  const std::string table = QuoteTable(plan.table->name(), dialect);
  const std::string key = KeyList(plan);
  SqlText sql(dialect);
  // Materialized, or a changed row could be found again while the statement runs.
  sql << "WITH quarry_batch AS MATERIALIZED (SELECT " << key << " FROM " << table << " AS " << kAlias;
  WriteWhere(plan, after, sql);
  sql << " ORDER BY ";
  WriteOrder(plan.key, kAlias, sql);
  sql << " LIMIT ";
  sql.Bind(Value::Int64(rows), ColumnType{TypeKind::kInt64, false, ""});
  sql << (dialect == Dialect::kPostgres ? " FOR UPDATE) " : ") ");
  if (plan.deletes) {
    sql << "DELETE FROM " << table;
  } else {
    sql << "UPDATE " << table << " SET ";
    for (size_t i = 0; i < plan.set.size(); ++i) {
      const Column& column = plan.table->columns()[plan.set[i].first];
      sql << (i == 0 ? "" : ", ") << QuoteIdentifier(column.name) << " = ";
      sql.Bind(plan.set[i].second, column.type);
    }
  }
  sql << " WHERE (" << key << ") IN (SELECT " << key << " FROM quarry_batch) RETURNING " << key;
  return Finish(std::move(sql), KeyTypes(plan), texts);
}

Statement BulkRest(const BulkWritePlan& plan, const Row* after, Dialect dialect, SqlTexts& texts) {
  SqlText sql(dialect);
  sql << "SELECT 1 FROM " << QuoteTable(plan.table->name(), dialect) << " AS " << kAlias;
  WriteWhere(plan, after, sql);
  sql << " LIMIT 1";
  return Finish(std::move(sql), {ColumnType{TypeKind::kInt32, false, ""}}, texts);
}

}  // namespace quarry
