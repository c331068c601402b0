#include "core/engine/directory.h"

#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/key_bytes.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

const LookupResolver* DirectoryOf(const Table& table, const Snapshot& snapshot) {
  if (table.kind() != TableKind::kSharded) return nullptr;
  const absl::StatusOr<const Resolver*> resolver = ResolverOf(table, snapshot);
  if (!resolver.ok()) return nullptr;
  const LookupResolver* lookup = AsLookup(**resolver);
  return lookup != nullptr && lookup->directory().has_value() ? lookup : nullptr;
}

void AddUnplaced(const LookupResolver* resolver, Key shard_key, bool assign, std::vector<DirectoryKey>& keys) {
  if (resolver->Resolve(shard_key).ok()) return;
  DirectoryKey key;
  key.resolver = resolver;
  key.shard_key = std::move(shard_key);
  key.assign = assign;
  keys.push_back(std::move(key));
}

// The shard key in a record that is about to be inserted.
std::optional<Key> ShardKeyIn(const Table& table, const Record& record) {
  Key key;
  for (const size_t position : table.shard_key()) {
    const Column& column = table.columns()[position];
    const auto value = record.find(column.name);
    if (value == record.end()) return std::nullopt;
    absl::StatusOr<Value> checked = CheckValue(column, value->second);
    if (!checked.ok()) return std::nullopt;
    key.push_back(*std::move(checked));
  }
  return key;
}

std::string TableName(Dialect dialect) {
  return dialect == Dialect::kPostgres ? "quarry.directory" : "quarry_directory";
}

Statement Make(std::string sql, std::vector<Value> params, bool writes) {
  static const auto kTypes = std::make_shared<const std::vector<ColumnType>>(std::vector<ColumnType>{
      {TypeKind::kText, false, ""}, {TypeKind::kBytes, false, ""}, {TypeKind::kText, false, ""}});
  Statement statement;
  statement.sql = std::make_shared<const std::string>(std::move(sql));
  if (!params.empty()) {
    statement.param_types =
        std::make_shared<const std::vector<ColumnType>>(kTypes->begin(), kTypes->begin() + static_cast<long>(params.size()));
  }
  statement.params = std::move(params);
  statement.writes = writes;
  return statement;
}

std::string KeyOf(const DirectoryKey& key) {
  std::vector<size_t> positions(key.shard_key.size());
  std::iota(positions.begin(), positions.end(), size_t{0});
  return KeyBytes(key.shard_key, positions);
}

// Finds the key's shard; with `place`, writes it down first where nobody has.
Step LookUp(const DirectoryKey& key, const std::string* place, Dialect dialect) {
  const std::string mark = dialect == Dialect::kPostgres ? "$" : "?";
  const std::string table = TableName(dialect);
  const Value resolver = Value::Text(key.resolver->name());
  const Value bytes = Value::Bytes(KeyOf(key));
  Step step;
  if (place != nullptr) {
    step.statements.push_back(Make(absl::StrCat("INSERT INTO ", table, " (resolver, key, shard) VALUES (", mark, "1, ",
                                                mark, "2, ", mark, "3) ON CONFLICT DO NOTHING"),
                                   {resolver, bytes, Value::Text(*place)}, true));
  }
  Statement read = Make(absl::StrCat("SELECT shard FROM ", table, " WHERE resolver = ", mark, "1 AND key = ", mark, "2"),
                        {resolver, bytes}, false);
  read.returns_rows = true;
  step.statements.push_back(std::move(read));
  return step;
}

}  // namespace

std::vector<DirectoryKey> KeysToLookUp(const ReadOperation& op, const Snapshot& snapshot) {
  std::vector<DirectoryKey> keys;
  const absl::StatusOr<const Table*> table = FindTable(snapshot, op.table);
  if (!table.ok()) return keys;
  const LookupResolver* resolver = DirectoryOf(**table, snapshot);
  if (resolver == nullptr) return keys;
  for (const KeyInput& input : op.keys) {
    const absl::StatusOr<Key> key = CheckKey(**table, input, "key");
    if (key.ok()) AddUnplaced(resolver, ShardKeyOf(**table, *key), false, keys);
  }
  return keys;
}

std::vector<DirectoryKey> KeysToLookUp(const WriteOperation& op, const Snapshot& snapshot) {
  std::vector<DirectoryKey> keys;
  for (const Mutation& mutation : op.mutations) {
    const absl::StatusOr<const Table*> table = FindTable(snapshot, mutation.table);
    if (!table.ok()) continue;
    const LookupResolver* resolver = DirectoryOf(**table, snapshot);
    if (resolver == nullptr) continue;
    if (mutation.kind == MutationKind::kInsert || mutation.kind == MutationKind::kUpsert) {
      std::optional<Key> key = ShardKeyIn(**table, mutation.record);
      if (key.has_value()) AddUnplaced(resolver, *std::move(key), true, keys);
      continue;
    }
    const absl::StatusOr<Key> key = CheckKey(**table, mutation.key, "key");
    if (key.ok()) AddUnplaced(resolver, ShardKeyOf(**table, *key), false, keys);
  }
  return keys;
}

Async<absl::Status> Directory::EnsureTable(ShardId at, Dialect dialect, const CallContext& ctx) {
  if (table_exists_.contains(static_cast<uint32_t>(at))) co_return absl::OkStatus();
  Task task;
  task.shard = at;
  Step step;
  const bool postgres = dialect == Dialect::kPostgres;
  if (postgres) step.statements.push_back(Make("CREATE SCHEMA IF NOT EXISTS quarry", {}, true));
  step.statements.push_back(Make(absl::StrCat("CREATE TABLE IF NOT EXISTS ", TableName(dialect), " (resolver text NOT NULL, key ",
                                              postgres ? "bytea" : "blob",
                                              " NOT NULL, shard text NOT NULL, PRIMARY KEY (resolver, key))"),
                                 {}, true));
  task.steps.push_back(std::move(step));
  absl::StatusOr<TaskResult> made = co_await shards_[Index(at)]->Execute(task, ctx);
  // Two gateways may make it at once: the one that loses finds it there.
  if (absl::IsAlreadyExists(made.status())) made = co_await shards_[Index(at)]->Execute(task, ctx);
  if (!made.ok()) co_return made.status();
  table_exists_.insert(static_cast<uint32_t>(at));
  co_return absl::OkStatus();
}

Async<absl::Status> Directory::LearnAt(ShardId at, const std::vector<const DirectoryKey*>& keys,
                                       const Snapshot& snapshot, const CallContext& ctx) {
  const Dialect dialect = snapshot.topology.shard(at).dialect;
  QUARRY_CO_RETURN_IF_ERROR(co_await EnsureTable(at, dialect, ctx));
  Task task;
  task.shard = at;
  task.atomicity = Atomicity::kAll;
  for (const DirectoryKey* key : keys) {
    absl::StatusOr<ShardId> assigned = absl::NotFoundError("");
    if (key->assign) assigned = key->resolver->NewKeyShard(key->shard_key);
    const std::string* place = assigned.ok() ? &snapshot.topology.name(*assigned) : nullptr;
    task.steps.push_back(LookUp(*key, place, dialect));
  }
  absl::StatusOr<TaskResult> answers = co_await shards_[Index(at)]->Execute(task, ctx);
  if (!answers.ok()) co_return answers.status();
  for (size_t i = 0; i < keys.size(); ++i) {
    const std::vector<Row>& rows = answers->steps[i].statements.back().batch.rows;
    if (rows.empty()) continue;
    QUARRY_CO_ASSIGN_OR_RETURN(const ShardId shard, snapshot.topology.Find(rows.front().front().text()));
    keys[i]->resolver->Learn(keys[i]->shard_key, shard);
  }
  co_return absl::OkStatus();
}

Async<absl::Status> Directory::Learn(const std::vector<DirectoryKey>& keys, const Snapshot& snapshot,
                                     const CallContext& ctx) {
  std::map<ShardId, std::vector<const DirectoryKey*>> by_shard;
  for (const DirectoryKey& key : keys) by_shard[*key.resolver->directory()].push_back(&key);
  for (const auto& [at, its_keys] : by_shard) {
    const absl::Status learned = co_await LearnAt(at, its_keys, snapshot, ctx);
    if (!learned.ok()) {
      co_return WithMessage(learned, absl::StrCat("the directory of where keys live, on shard ", snapshot.topology.name(at),
                                                  ", cannot be used: ", std::string(learned.message())));
    }
  }
  co_return absl::OkStatus();
}

Async<absl::Status> Directory::Map(const DirectoryKey& key, ShardId shard, const Snapshot& snapshot,
                                   const CallContext& ctx) {
  const ShardId at = *key.resolver->directory();
  const Dialect dialect = snapshot.topology.shard(at).dialect;
  QUARRY_CO_RETURN_IF_ERROR(co_await EnsureTable(at, dialect, ctx));
  Task task;
  task.shard = at;
  task.steps.push_back(LookUp(key, &snapshot.topology.name(shard), dialect));
  const absl::StatusOr<TaskResult> answer = co_await shards_[Index(at)]->Execute(task, ctx);
  if (!answer.ok()) co_return answer.status();
  const std::string& mapped = answer->steps.front().statements.back().batch.rows.front().front().text();
  QUARRY_CO_ASSIGN_OR_RETURN(const ShardId found, snapshot.topology.Find(mapped));
  key.resolver->Learn(key.shard_key, found);
  if (found == shard) co_return absl::OkStatus();
  co_return MakeError(absl::StatusCode::kAlreadyExists, reason::kKeyMapped,
                      absl::StrCat("resolver ", key.resolver->name(), " has the key on shard ", mapped,
                                   " already; a key that has a shard is not mapped anew"),
                      {{"resolver", key.resolver->name()}, {"shard", mapped}});
}

}  // namespace quarry
