#include "loadtest/micro/shop.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/routing/resolver.h"

namespace quarry {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    std::abort();
  }
  return *std::move(result);
}

Column MakeColumn(std::string name, TypeKind kind, std::string native_name, bool nullable = true) {
  Column column;
  column.name = std::move(name);
  column.type.kind = kind;
  column.type.native_name = std::move(native_name);
  column.nullable = nullable;
  return column;
}

TableSchema OrdersSchema() {
  TableSchema schema;
  schema.name = "orders";
  schema.columns = {MakeColumn("id", TypeKind::kInt64, "bigint", false),
                    MakeColumn("customer_id", TypeKind::kInt64, "bigint"),
                    MakeColumn("status", TypeKind::kText, "text"),
                    MakeColumn("email", TypeKind::kText, "text"),
                    MakeColumn("total", TypeKind::kDecimal, "numeric(12,2)"),
                    MakeColumn("paid", TypeKind::kBool, "boolean"),
                    MakeColumn("created_at", TypeKind::kTimestampTz, "timestamp with time zone"),
                    MakeColumn("note", TypeKind::kText, "text")};
  schema.primary_key = {"id"};
  return schema;
}

KeyInput IdKey(int64_t id) {
  KeyInput key;
  key.by_position.push_back(Value::Int64(id));
  return key;
}

StepResult AnswerOf(const Step& step) {
  StepResult answer;
  answer.statements.reserve(step.statements.size());
  for (const Statement& statement : step.statements) {
    StatementResult& result = answer.statements.emplace_back();
    if (statement.writes) result.affected = 1;
    if (!statement.returns_rows) continue;
    // The key is a read's first parameter and an update's last.
    const Value& key = statement.writes ? statement.params.back() : statement.params.front();
    if (key.kind() != ValueKind::kArray) {
      result.batch.rows.push_back(OrderRow(key.int64_value()));
      continue;
    }
    result.batch.rows.reserve(key.elements().size());
    for (const Value& id : key.elements()) result.batch.rows.push_back(OrderRow(id.int64_value()));
  }
  return answer;
}

}  // namespace

std::shared_ptr<const Snapshot> ShopSnapshot(Dialect dialect) {
  TableDeclaration declaration;
  declaration.name = "orders";
  declaration.shard_key = {"id"};
  declaration.resolver = "by_id";

  std::vector<Shard> shards;
  std::vector<ShardSchema> schemas;
  ResolverSpec spec;
  for (size_t i = 0; i < kShopShards; ++i) {
    Shard& shard = shards.emplace_back();
    shard.name = "shard" + std::to_string(i);
    shard.dialect = dialect;
    spec.shards.push_back(shard.name);
    ShardSchema& schema = schemas.emplace_back();
    schema.shard = shard.name;
    schema.tables["orders"] = OrdersSchema();
  }
  spec.name = declaration.resolver;
  spec.type = "hash";
  spec.key_columns = declaration.shard_key;
  spec.key_types = {OrdersSchema().columns[0].type};
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);

  auto snapshot = std::make_shared<Snapshot>();
  snapshot->topology = Topology(Epoch{7}, std::move(shards));
  snapshot->catalog = OrDie(BuildCatalog({declaration}, schemas));
  snapshot->catalog_ready = true;
  snapshot->resolvers[spec.name] = OrDie(registry.Make(spec));
  return snapshot;
}

int64_t OrderId(size_t i) { return static_cast<int64_t>(i) * 7919; }

Row OrderRow(int64_t id) {
  Row row;
  row.reserve(8);
  row.push_back(Value::Int64(id));
  row.push_back(Value::Int64(4711));
  row.push_back(Value::Text("shipped"));
  row.push_back(Value::Text("ada.lovelace@example.com"));
  row.push_back(Value::Decimal("129.90"));
  row.push_back(Value::Bool(true));
  row.push_back(Value::Timestamp(1'700'000'000'123'456));
  row.push_back(Value::Text("leave it at the door, please"));
  return row;
}

Record OrderRecord(int64_t id) {
  static const TableSchema schema = OrdersSchema();
  Row row = OrderRow(id);
  Record record;
  for (size_t i = 0; i < row.size(); ++i) record.emplace(schema.columns[i].name, std::move(row[i]));
  return record;
}

std::vector<ReadOperation> Gets(const std::vector<std::string>& columns) {
  std::vector<ReadOperation> gets = BatchGets(1);
  for (ReadOperation& get : gets) get.columns = columns;
  return gets;
}

std::vector<ReadOperation> BatchGets(size_t keys) {
  std::vector<ReadOperation> gets(kShopKeys);
  for (size_t i = 0; i < kShopKeys; ++i) {
    gets[i].table = "orders";
    for (size_t k = 0; k < keys; ++k) gets[i].keys.push_back(IdKey(OrderId(i * keys + k)));
  }
  return gets;
}

std::vector<WriteOperation> Inserts(size_t mutations) {
  std::vector<WriteOperation> inserts(kShopKeys);
  for (size_t i = 0; i < kShopKeys; ++i) {
    inserts[i].indexed_paths = mutations > 1;
    if (mutations > 1) inserts[i].atomicity = Atomicity::kEach;
    for (size_t m = 0; m < mutations; ++m) {
      Mutation& mutation = inserts[i].mutations.emplace_back();
      mutation.table = "orders";
      mutation.record = OrderRecord(OrderId(i * mutations + m));
    }
  }
  return inserts;
}

std::vector<WriteOperation> Updates(const std::vector<std::string>& returning) {
  std::vector<WriteOperation> updates(kShopKeys);
  for (size_t i = 0; i < kShopKeys; ++i) {
    Mutation& mutation = updates[i].mutations.emplace_back();
    mutation.kind = MutationKind::kUpdate;
    mutation.table = "orders";
    mutation.key = IdKey(OrderId(i));
    mutation.record["status"] = Value::Text("shipped");
    mutation.record["paid"] = Value::Bool(true);
    mutation.returning = returning;
  }
  return updates;
}

TaskResult AnswerOf(const Task& task) {
  TaskResult result;
  result.steps.reserve(task.steps.size());
  for (const Step& step : task.steps) result.steps.push_back(AnswerOf(step));
  return result;
}

}  // namespace quarry
