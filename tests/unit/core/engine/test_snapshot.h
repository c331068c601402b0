// A small shop over some shards, and a resolver that a test can compute in its head: the sum of the key modulo the
// number of shards (text counts as its bytes).
#pragma once

#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/catalog/catalog.h"
#include "core/model/operation.h"
#include "core/plan/snapshot.h"

namespace quarry {

class SumResolver final : public Resolver {
 public:
  explicit SumResolver(size_t shards) {
    for (size_t i = 0; i < shards; ++i) shards_.push_back(ShardId(static_cast<uint32_t>(i)));
  }
  const std::string& name() const override { return name_; }
  const std::string& type() const override { return name_; }
  const ShardSet& shards() const override { return shards_; }
  absl::StatusOr<ShardId> Resolve(absl::Span<const Value> key) const override {
    uint64_t sum = 0;
    for (const Value& value : key) {
      if (value.kind() == ValueKind::kInt64) {
        if (value.int64_value() < 0) {
          return MakeError(absl::StatusCode::kNotFound, reason::kKeyNotMapped, "no shard for negative keys");
        }
        sum += static_cast<uint64_t>(value.int64_value());
      } else {
        for (const char c : value.text()) sum += static_cast<unsigned char>(c);
      }
    }
    return shards_[sum % shards_.size()];
  }
  absl::StatusOr<RouteExplanation> Explain(absl::Span<const Value> key) const override {
    RouteExplanation explanation;
    QUARRY_ASSIGN_OR_RETURN(explanation.shard, Resolve(key));
    explanation.words = "by its sum";
    return explanation;
  }

 private:
  const std::string name_ = "sum";
  ShardSet shards_;
};

inline Column MakeColumn(std::string name, TypeKind kind, bool nullable = true) {
  Column column;
  column.name = std::move(name);
  column.type.kind = kind;
  column.nullable = nullable;
  return column;
}

inline TableDeclaration Declare(std::string name, TableKind kind, std::vector<std::string> shard_key = {}) {
  TableDeclaration declaration;
  declaration.name = std::move(name);
  declaration.kind = kind;
  declaration.shard_key = std::move(shard_key);
  if (kind == TableKind::kSharded) declaration.resolver = "sum";
  if (kind == TableKind::kSingle) declaration.shard = "s0";
  return declaration;
}

inline TableSchema MakeSchema(std::string name, std::vector<Column> columns, std::vector<std::string> key) {
  TableSchema schema;
  schema.name = std::move(name);
  schema.columns = std::move(columns);
  schema.primary_key = std::move(key);
  return schema;
}

// Shards s0, s1, …; every one of `dialects` in turn.
inline std::shared_ptr<const Snapshot> MakeSnapshot(size_t shards, std::vector<Dialect> dialects,
                                                    std::vector<std::pair<TableDeclaration, TableSchema>> tables) {
  std::vector<Shard> list;
  std::vector<ShardSchema> schemas;
  std::vector<TableDeclaration> declarations;
  std::map<std::string, TableSchema, std::less<>> by_name;
  for (auto& [declaration, schema] : tables) {
    by_name[schema.name] = schema;
    declarations.push_back(declaration);
  }
  for (size_t i = 0; i < shards; ++i) {
    Shard shard;
    shard.name = absl::StrCat("s", i);
    shard.dialect = dialects[i % dialects.size()];
    list.push_back(shard);
    ShardSchema schema;
    schema.shard = shard.name;
    schema.tables = by_name;
    schemas.push_back(schema);
  }
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->topology = Topology(Epoch{7}, std::move(list));
  absl::StatusOr<Catalog> catalog = BuildCatalog(declarations, schemas);
  if (!catalog.ok()) std::abort();
  snapshot->catalog = *std::move(catalog);
  snapshot->catalog_ready = true;
  snapshot->resolvers["sum"] = std::make_shared<SumResolver>(shards);
  return snapshot;
}

// users(id, name, balance, made): sharded by id; made is computed by the database.
// orders(customer, number, note): sharded by customer, key (customer, number); number has a default.
// countries(code, name): on every shard. jobs(id, what): on s0 alone, id has a default.
inline std::shared_ptr<const Snapshot> ShopSnapshot(size_t shards, std::vector<Dialect> dialects = {Dialect::kPostgres}) {
  std::vector<std::pair<TableDeclaration, TableSchema>> tables;
  Column made = MakeColumn("made", TypeKind::kInt64);
  made.generated = true;
  tables.emplace_back(Declare("users", TableKind::kSharded, {"id"}),
                      MakeSchema("users",
                                 {MakeColumn("id", TypeKind::kInt64, false), MakeColumn("name", TypeKind::kText),
                                  MakeColumn("balance", TypeKind::kDecimal), made},
                                 {"id"}));
  Column number = MakeColumn("number", TypeKind::kInt64, false);
  number.has_default = true;
  tables.emplace_back(Declare("orders", TableKind::kSharded, {"customer"}),
                      MakeSchema("orders",
                                 {MakeColumn("note", TypeKind::kText), MakeColumn("customer", TypeKind::kInt64, false),
                                  number},
                                 {"customer", "number"}));
  tables.emplace_back(Declare("countries", TableKind::kReference),
                      MakeSchema("countries",
                                 {MakeColumn("code", TypeKind::kText, false), MakeColumn("name", TypeKind::kText)},
                                 {"code"}));
  Column job = MakeColumn("id", TypeKind::kInt64, false);
  job.has_default = true;
  tables.emplace_back(Declare("jobs", TableKind::kSingle),
                      MakeSchema("jobs", {job, MakeColumn("what", TypeKind::kText)}, {"id"}));
  return MakeSnapshot(shards, std::move(dialects), std::move(tables));
}

inline KeyInput KeyOf(std::vector<Value> values) {
  KeyInput key;
  key.by_position = std::move(values);
  return key;
}

inline Mutation MakeMutation(MutationKind kind, std::string table, Record record, KeyInput key = KeyInput()) {
  Mutation mutation;
  mutation.kind = kind;
  mutation.table = std::move(table);
  mutation.record = std::move(record);
  mutation.key = std::move(key);
  return mutation;
}

inline Mutation InsertUser(int64_t id, std::string name = "Ada") {
  Record record;
  record["id"] = Value::Int64(id);
  record["name"] = Value::Text(std::move(name));
  return MakeMutation(MutationKind::kInsert, "users", std::move(record));
}

inline WriteOperation WriteOf(std::vector<Mutation> mutations, Atomicity atomicity = Atomicity::kAll) {
  WriteOperation op;
  op.mutations = std::move(mutations);
  op.atomicity = atomicity;
  op.indexed_paths = op.mutations.size() > 1;
  return op;
}

inline ReadOperation ReadOf(std::string table, std::vector<KeyInput> keys, std::vector<std::string> columns = {}) {
  ReadOperation op;
  op.table = std::move(table);
  op.keys = std::move(keys);
  op.columns = std::move(columns);
  return op;
}

}  // namespace quarry
