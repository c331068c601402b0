// Small schemas for the catalog's tests.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/catalog/catalog.h"

namespace quarry {

inline Column MakeColumn(std::string name, TypeKind kind, std::string native_name = "") {
  Column column;
  column.name = std::move(name);
  column.type.kind = kind;
  column.type.native_name = std::move(native_name);
  return column;
}

inline TableSchema OrdersSchema() {
  TableSchema schema;
  schema.name = "orders";
  schema.columns = {MakeColumn("customer_id", TypeKind::kInt64), MakeColumn("order_id", TypeKind::kUuid),
                    MakeColumn("price", TypeKind::kDecimal), MakeColumn("note", TypeKind::kText)};
  schema.columns[0].nullable = false;
  schema.columns[1].nullable = false;
  schema.primary_key = {"customer_id", "order_id"};
  return schema;
}

inline TableDeclaration OrdersDeclaration() {
  TableDeclaration declaration;
  declaration.name = "orders";
  declaration.shard_key = {"customer_id"};
  declaration.resolver = "by_customer";
  return declaration;
}

inline ShardSchema MakeShard(std::string name, std::vector<TableSchema> tables) {
  ShardSchema shard;
  shard.shard = std::move(name);
  for (TableSchema& table : tables) {
    std::string table_name = table.name;
    shard.tables.emplace(std::move(table_name), std::move(table));
  }
  return shard;
}

}  // namespace quarry
