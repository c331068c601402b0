#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/key_bytes.h"
#include "core/plan/fence.h"
#include "core/plan/filter.h"
#include "core/plan/planner.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

using ColumnValues = std::vector<std::pair<size_t, Value>>;

Statement WriteStatement(const LoweredSql& lowered, std::vector<Value> params, bool returning) {
  Statement statement;
  statement.sql = lowered.sql;
  statement.param_types = lowered.param_types;
  statement.result_types = lowered.result_types;
  statement.params = std::move(params);
  statement.returns_rows = returning;
  statement.writes = true;
  return statement;
}

std::vector<size_t> AllOf(const Table& table) {
  std::vector<size_t> all(table.columns().size());
  std::iota(all.begin(), all.end(), size_t{0});
  return all;
}

// SQLite's RETURNING is not yet what triggers make of the row: it is read after them.
bool ReadsBack(const Table& table, Dialect dialect, bool returning) {
  return returning && dialect == Dialect::kSqlite && table.schema().triggers;
}

const Value* FindValue(const ColumnValues& values, size_t column) {
  for (const auto& [position, value] : values) {
    if (position == column) return &value;
  }
  return nullptr;
}

// Leaves room for the key behind the values.
void Split(ColumnValues values, size_t key_size, std::vector<size_t>& columns, std::vector<Value>& params) {
  columns.reserve(values.size());
  params.reserve(values.size() + key_size);
  std::sort(values.begin(), values.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [column, value] : values) {
    columns.push_back(column);
    params.push_back(std::move(value));
  }
}

absl::Status CheckRowSize(const Table& table, const ColumnValues& values, int64_t row_bytes_max) {
  int64_t size = 0;
  for (const auto& [column, value] : values) size += static_cast<int64_t>(ByteSize(value));
  if (size <= row_bytes_max) return absl::OkStatus();
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kRowTooLarge,
                   absl::StrCat("the row for table ", table.name(), " has ", size, " bytes; at most ", row_bytes_max,
                                " are allowed (limits.row_bytes)"),
                   {{"table", table.name()}, {"bytes", absl::StrCat(size)}});
}

// The violations of a failed check, beside those found before.
// Whether the precondition fits its mutation; gives its filter, checked.
std::optional<Predicate> CheckPrecondition(const Mutation& mutation, const Table& table, const Catalog& catalog,
                                           const std::string& path, std::vector<FieldViolation>& violations) {
  const Precondition& given = mutation.precondition;
  const std::string field = path + "precondition";
  const bool insert = mutation.kind == MutationKind::kInsert;
  const bool creates = insert || mutation.kind == MutationKind::kUpsert;
  if (insert && given.exists.value_or(false)) {
    violations.push_back({field + ".exists", "an insert makes a new row: only exists = false fits it"});
  }
  if (!creates && !given.exists.value_or(true)) {
    violations.push_back({field + ".exists", "an update or delete needs its row: only exists = true fits it"});
  }
  if (!given.etag.empty() && (insert || !given.exists.value_or(true))) {
    violations.push_back({field + ".etag", "a row that must not exist has no etag"});
  }
  if (!given.filter.has_value()) return std::nullopt;
  if (insert || !given.exists.value_or(true)) {
    violations.push_back({field + ".filter", "a row that must not exist matches nothing"});
    return std::nullopt;
  }
  absl::StatusOr<Predicate> predicate = CheckFilter(*given.filter, table, catalog, FilterLimits());
  if (predicate.ok()) return *std::move(predicate);
  AddViolations(predicate.status(), violations);
  return std::nullopt;
}

// The dialect of the shard that sees the mutation first.
Dialect FirstDialect(const Topology& topology, std::optional<ShardId> shard) {
  return topology.shard(shard.value_or(ShardId{0})).dialect;
}

// Once is enough where all steps are one transaction; steps that each stand alone are each checked.
void FenceTask(const LockFence& fence, Dialect dialect, Task& task) {
  if (fence.empty()) return;
  for (Step& step : task.steps) {
    AddFence(fence, dialect, step);
    if (task.atomicity == Atomicity::kAll) return;
  }
}

// Finds the row, which is locked by now, if it matches.
Statement MatchStatement(const Table& table, const Predicate& filter, const Key& key, Dialect dialect, SqlTexts& texts) {
  SqlText sql(dialect);
  sql << "SELECT 1 FROM " << QuoteTable(table.name(), dialect) << " AS " << kAlias << " WHERE ";
  for (size_t i = 0; i < key.size(); ++i) {
    const Column& column = table.columns()[table.primary_key()[i]];
    sql << kAlias << "." << QuoteIdentifier(column.name) << " = ";
    sql.Bind(key[i], column.type) << " AND ";
  }
  sql << "(";
  WritePredicate(filter, kAlias, sql);
  sql << ")";
  Statement statement = std::move(sql).Take();
  statement.sql = texts.Intern(std::move(statement.sql));
  statement.result_types = std::make_shared<const std::vector<ColumnType>>(1, ColumnType{TypeKind::kInt32, false, ""});
  statement.returns_rows = true;
  statement.check.kind = Check::Kind::kMatch;
  statement.check.table = table.name();
  return statement;
}

// What an upsert writes to a row that its precondition has found: no new row can come of it, so what only a new one needs may
// be absent.
Statement ChangeFound(const Table& table, ColumnValues values, const Key& key, Dialect dialect, bool returning, Lowering& lowering) {
  const std::vector<size_t>& primary_key = table.primary_key();
  const auto in_key = [&primary_key](size_t column) {
    return std::find(primary_key.begin(), primary_key.end(), column) != primary_key.end();
  };
  values.erase(std::remove_if(values.begin(), values.end(), [&](const auto& entry) { return in_key(entry.first); }),
               values.end());
  if (values.empty()) values.emplace_back(primary_key[0], key[0]);  // Nothing but the key: a write that changes nothing.
  std::vector<size_t> columns;
  std::vector<Value> params;
  Split(std::move(values), key.size(), columns, params);
  params.insert(params.end(), key.begin(), key.end());
  return WriteStatement(lowering.Update(table, dialect, columns, returning), std::move(params), returning);
}

// Finishes what every kind of mutation shares: the columns to return.
void SetReturning(const Table& table, const Mutation& mutation, const std::string& path, bool needs_row,
                  MutationMerge& merge, std::vector<FieldViolation>& violations) {
  merge.returns_row = needs_row || !mutation.returning.empty();
  for (const size_t column : table.primary_key()) {
    merge.key_columns.emplace_back(table.columns()[column].name, column);
  }
  if (mutation.returning.empty()) return;
  absl::StatusOr<std::vector<size_t>> returned = CheckColumns(table, mutation.returning, path + "returning");
  if (!returned.ok()) {
    AddViolations(returned.status(), violations);
    return;
  }
  merge.projection = *std::move(returned);
  std::vector<ColumnHeader> header;
  for (const size_t column : merge.projection) header.push_back((*table.header())[column]);
  merge.header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
}

}  // namespace

// Locks the row and looks at it before the write: for an etag or a filter, or for an upsert that must find its row.
void Planner::AddPrecondition(const Table& table, const Precondition& given, const std::optional<Predicate>& filter, bool upsert,
                              const Key& key, Dialect dialect, Step& step) {
  const bool must_exist = given.exists.value_or(false);
  if (given.etag.empty() && !filter.has_value() && !(must_exist && upsert)) return;
  Statement read = WriteStatement(lowering_.LockedRead(table, dialect, AllOf(table)), key, true);
  read.check.kind = given.etag.empty() ? Check::Kind::kRowRequired : Check::Kind::kEtag;
  read.check.etag = given.etag;
  read.check.table = table.name();
  read.check.precondition = must_exist;
  step.statements.push_back(std::move(read));
  if (filter.has_value()) step.statements.push_back(MatchStatement(table, *filter, key, dialect, texts_));
}

// The row as its triggers have left it; `key` is empty when the database has just made it.
void Planner::AddReadBack(const Table& table, const Key& key, Step& step) {
  const LoweredSql made = key.empty() ? Lowering::InsertedRead(table, AllOf(table)) : LoweredSql();
  const LoweredSql& lowered = key.empty() ? made : lowering_.LockedRead(table, Dialect::kSqlite, AllOf(table));
  step.statements.push_back(WriteStatement(lowered, key, true));
}

absl::StatusOr<Planner::Planned> Planner::PlanInsert(const Table& table, const Mutation& mutation,
                                                     const Snapshot& snapshot, const std::string& path) {
  std::vector<FieldViolation> violations;
  const std::optional<Predicate> filter = CheckPrecondition(mutation, table, snapshot.catalog, path, violations);
  ColumnValues values = CheckRecord(table, mutation.record, path + "record", violations);
  Planned planned;
  bool database_makes_key = false;
  for (const size_t column : table.primary_key()) {
    const Column& schema = table.columns()[column];
    if (const Value* value = FindValue(values, column)) {
      planned.key.push_back(*value);
      planned.merge.key[schema.name] = *value;
      continue;
    }
    const std::vector<size_t>& shard_key = table.shard_key();
    const bool routes = std::find(shard_key.begin(), shard_key.end(), column) != shard_key.end();
    // The other shards of a reference table are given the row as the first one made it, key included.
    const bool settable = table.kind() != TableKind::kReference || !schema.generated;
    if (!routes && settable && (schema.has_default || schema.generated)) {
      database_makes_key = true;
    } else if (mutation.record.find(schema.name) == mutation.record.end()) {
      violations.push_back({absl::StrCat(path, "record.", schema.name),
                            routes ? "is missing: it is part of the shard key, which says where the row lives"
                                   : "is missing: it is part of the primary key and has no default"});
    }
  }
  const bool needs_row = database_makes_key || table.kind() == TableKind::kReference || !mutation.generate.empty();
  SetReturning(table, mutation, path, needs_row, planned.merge, violations);
  if (!violations.empty()) return InvalidFields(std::move(violations));
  QUARRY_RETURN_IF_ERROR(CheckRowSize(table, values, limits_.row_bytes_max));
  const bool upsert =
      mutation.kind == MutationKind::kUpsert && mutation.precondition.exists.value_or(true);
  if (upsert && database_makes_key) {
    return InvalidField(path + "record", "an upsert needs the whole primary key, for it says which row is meant");
  }
  if (table.kind() != TableKind::kReference) {
    Key shard_key;
    shard_key.reserve(table.shard_key().size());
    for (const size_t column : table.shard_key()) shard_key.push_back(*FindValue(values, column));
    if (table.kind() == TableKind::kSingle) {
      QUARRY_ASSIGN_OR_RETURN(planned.shard, snapshot.topology.Find(table.declaration().shard));
    } else {
      QUARRY_ASSIGN_OR_RETURN(planned.shard, ShardOfShardKey(table, shard_key, snapshot));
    }
  }
  const Dialect dialect = FirstDialect(snapshot.topology, planned.shard);
  if (upsert) AddPrecondition(table, mutation.precondition, filter, true, planned.key, dialect, planned.step);
  const bool returning = planned.merge.returns_row;
  if (!planned.step.statements.empty()) {
    const bool reads_back = ReadsBack(table, dialect, returning);
    planned.step.statements.push_back(ChangeFound(table, std::move(values), planned.key, dialect, returning && !reads_back, lowering_));
    if (reads_back) AddReadBack(table, planned.key, planned.step);
    return planned;
  }
  std::vector<size_t> columns;
  std::vector<Value> params;
  Split(std::move(values), 0, columns, params);
  // Of what the database makes for a key, only a number alone is found again without RETURNING.
  const bool number = table.primary_key().size() == 1 && table.columns()[table.primary_key()[0]].type.kind == TypeKind::kInt64;
  const bool findable = !database_makes_key || number;
  const bool reads_back = findable && ReadsBack(table, dialect, returning);
  const bool returned = returning && !reads_back;
  const LoweredSql& lowered = upsert ? lowering_.Upsert(table, dialect, columns, returned)
                                     : lowering_.Insert(table, dialect, columns, returned);
  planned.step.statements.push_back(WriteStatement(lowered, std::move(params), returned));
  if (reads_back) AddReadBack(table, planned.key, planned.step);
  return planned;
}

absl::StatusOr<Planner::Planned> Planner::PlanChange(const Table& table, const Mutation& mutation,
                                                     const Snapshot& snapshot, const std::string& path) {
  std::vector<FieldViolation> violations;
  const std::optional<Predicate> filter = CheckPrecondition(mutation, table, snapshot.catalog, path, violations);
  Planned planned;
  const bool deletes = mutation.kind == MutationKind::kDelete;
  const bool needs_row = !deletes && table.kind() == TableKind::kReference;
  SetReturning(table, mutation, path, needs_row, planned.merge, violations);
  absl::StatusOr<Key> key = CheckKey(table, mutation.key, path + "key");
  if (!key.ok()) AddViolations(key.status(), violations);
  ColumnValues values = CheckRecord(table, mutation.record, path + "record", violations);
  if (deletes && !mutation.record.empty()) {
    violations.push_back({path + "record", "a delete takes a key and no record"});
  }
  if (!deletes && mutation.record.empty()) violations.push_back({path + "record", "holds no column to change"});
  if (!violations.empty()) return InvalidFields(std::move(violations));
  planned.key = *std::move(key);
  for (size_t i = 0; i < table.primary_key().size(); ++i) {
    const size_t column = table.primary_key()[i];
    const std::string& name = table.columns()[column].name;
    planned.merge.key[name] = planned.key[i];
    const Value* value = FindValue(values, column);
    if (value == nullptr) continue;
    // By the bytes of keys: a decimal's scale makes no other key.
    if (KeyBytes({*value}, {0}) != KeyBytes({planned.key[i]}, {0})) {
      return MakeError(absl::StatusCode::kInvalidArgument, reason::kShardKeyImmutable,
                       absl::StrCat(path, "record.", name, ": a row's key does not change in place; insert the row "
                                    "under its new key and delete the old one"),
                       {{"table", table.name()}, {"column", name}});
    }
    values.erase(std::remove_if(values.begin(), values.end(),
                                [column](const auto& entry) { return entry.first == column; }),
                 values.end());
  }
  if (!deletes && values.empty()) return InvalidField(path + "record", "holds no column to change");
  QUARRY_RETURN_IF_ERROR(CheckRowSize(table, values, limits_.row_bytes_max));
  if (table.kind() != TableKind::kReference) {
    QUARRY_ASSIGN_OR_RETURN(planned.shard, ShardOfRow(table, planned.key, snapshot));
  }
  const Dialect dialect = FirstDialect(snapshot.topology, planned.shard);
  AddPrecondition(table, mutation.precondition, filter, false, planned.key, dialect, planned.step);
  std::vector<size_t> columns;
  std::vector<Value> params;
  Split(std::move(values), planned.key.size(), columns, params);
  params.insert(params.end(), planned.key.begin(), planned.key.end());
  const bool reads_back = !deletes && ReadsBack(table, dialect, planned.merge.returns_row);
  const bool returned = planned.merge.returns_row && !reads_back;
  const LoweredSql& lowered = deletes ? lowering_.Delete(table, dialect, returned)
                                      : lowering_.Update(table, dialect, columns, returned);
  Statement write = WriteStatement(lowered, std::move(params), returned);
  write.check.kind = Check::Kind::kRowRequired;
  write.check.table = table.name();
  write.check.precondition = mutation.precondition.exists.value_or(false);
  planned.step.statements.push_back(std::move(write));
  if (reads_back) AddReadBack(table, planned.key, planned.step);
  return planned;
}

absl::StatusOr<Planner::Planned> Planner::PlanMutation(const Mutation& mutation, const Snapshot& snapshot,
                                                       const std::string& path) {
  absl::StatusOr<const Table*> table = FindTable(snapshot, mutation.table);
  if (!table.ok()) return table.status();
  const bool creates = mutation.kind == MutationKind::kInsert || mutation.kind == MutationKind::kUpsert;
  absl::StatusOr<Planned> planned = creates ? PlanInsert(**table, mutation, snapshot, path)
                                            : PlanChange(**table, mutation, snapshot, path);
  if (planned.ok()) planned->table = *table;
  return planned;
}

absl::StatusOr<WritePlan> Planner::PlanWrite(const WriteOperation& op,
                                             const std::shared_ptr<const Snapshot>& snapshot) {
  Follow(snapshot);
  if (op.mutations.empty()) return InvalidField("mutations", "holds no mutation");
  if (static_cast<int64_t>(op.mutations.size()) > limits_.batch_items_max) {
    return InvalidField("mutations", absl::StrCat("has ", op.mutations.size(), " items; at most ",
                                                  limits_.batch_items_max, " are written at once, so split the call"));
  }
  WritePlan plan;
  std::vector<std::optional<Planned>> planned(op.mutations.size());
  std::vector<FieldViolation> violations;
  for (uint32_t item = 0; item < op.mutations.size(); ++item) {
    const std::string path = op.indexed_paths ? absl::StrCat("mutations[", item, "].") : "";
    absl::StatusOr<Planned> result = PlanMutation(op.mutations[item], *snapshot, path);
    if (result.ok()) {
      planned[item] = *std::move(result);
      planned[item]->step.item = item;
    } else if (op.atomicity == Atomicity::kEach) {
      plan.refused.emplace_back(item, result.status());
    } else {
      const ErrorDetail detail = DetailOf(result.status());
      if (detail.violations.empty()) return WithFact(result.status(), "item", absl::StrCat(item));
      violations.insert(violations.end(), detail.violations.begin(), detail.violations.end());
    }
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  QUARRY_RETURN_IF_ERROR(PlaceAll(op, *snapshot, std::move(planned), plan));
  return plan;
}

absl::Status Planner::PlaceAll(const WriteOperation& op, const Snapshot& snapshot,
                               std::vector<std::optional<Planned>> planned, WritePlan& plan) {
  plan.merge.mutations.resize(planned.size());
  std::map<ShardId, Task> tasks;
  for (uint32_t item = 0; item < planned.size(); ++item) {
    if (!planned[item].has_value()) continue;
    Planned& one = *planned[item];
    plan.merge.mutations[item] = std::move(one.merge);
    const bool everywhere = !one.shard.has_value() && snapshot.topology.shards().size() > 1;
    if (everywhere) {
      ReferenceWrite write;
      write.item = item;
      write.table = one.table;
      write.kind = op.mutations[item].kind;
      write.key = std::move(one.key);
      write.step = std::move(one.step);
      write.fence = op.fence;
      AddFence(op.fence, FirstDialect(snapshot.topology, std::nullopt), write.step);
      plan.reference_writes.push_back(std::move(write));
      continue;
    }
    Task& task = tasks[one.shard.value_or(ShardId{0})];
    task.steps.push_back(std::move(one.step));
  }
  if (op.single_shard && (tasks.size() > 1 || !plan.reference_writes.empty())) {
    std::vector<std::string> names;
    for (const auto& [shard, task] : tasks) names.push_back(snapshot.topology.name(shard));
    if (!plan.reference_writes.empty()) names.push_back("all (reference table)");
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kCrossShardTransaction,
                     absl::StrCat("the mutations belong to several shards (", absl::StrJoin(names, ", "),
                                  "), and single_shard refuses a second one: split the call by shard key, or leave single_shard out"),
                     {{"shards", absl::StrJoin(names, ",")}});
  }
  for (auto& [shard, task] : tasks) {
    task.shard = shard;
    task.atomicity = op.atomicity;
    if (!op.request_id.empty()) task.guard = RequestGuard{op.request_id, op.request_hash};
    FenceTask(op.fence, snapshot.topology.shard(shard).dialect, task);
    plan.tasks.push_back(std::move(task));
  }
  return absl::OkStatus();
}

Step Planner::ReplicaStep(const ReferenceWrite& write, const Row& row, Dialect dialect) {
  constexpr bool returning = false;
  const Table& table = *write.table;
  Step step;
  step.item = write.item;
  AddFence(write.fence, dialect, step);
  if (write.kind == MutationKind::kDelete) {
    step.statements.push_back(WriteStatement(lowering_.Delete(table, dialect, returning), write.key, returning));
    return step;
  }
  const bool update = write.kind == MutationKind::kUpdate;
  std::vector<size_t> columns;
  std::vector<Value> params;
  for (size_t i = 0; i < table.columns().size(); ++i) {
    const std::vector<size_t>& key = table.primary_key();
    const bool in_key = std::find(key.begin(), key.end(), i) != key.end();
    if (table.columns()[i].generated || (update && in_key)) continue;
    columns.push_back(i);
    params.push_back(row[i]);
  }
  if (update) params.insert(params.end(), write.key.begin(), write.key.end());
  const LoweredSql& lowered = update ? lowering_.Update(table, dialect, columns, returning)
                              : write.kind == MutationKind::kUpsert
                                  ? lowering_.Upsert(table, dialect, columns, returning)
                                  : lowering_.Insert(table, dialect, columns, returning);
  Statement statement = WriteStatement(lowered, std::move(params), returning);
  if (update) {
    statement.check.kind = Check::Kind::kRowRequired;
    statement.check.table = table.name();
  }
  step.statements.push_back(std::move(statement));
  return step;
}

}  // namespace quarry
