// A table with a column of every kind that aggregates treat in their own way.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/model/query.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {

// sales(customer, number, region, price, ratio, small, paid, ref, data, doc, mood): sharded by customer, key (customer, number).
inline std::shared_ptr<const Snapshot> SalesSnapshot(size_t shards, std::vector<Dialect> dialects, bool scatter_allowed = true) {
  TableDeclaration declaration = Declare("sales", TableKind::kSharded, {"customer"});
  declaration.scatter_allowed = scatter_allowed;
  Column region = MakeColumn("region", TypeKind::kText);
  region.byte_order = false;
  Column mood = MakeColumn("mood", TypeKind::kNative);
  mood.type.native_name = "mood";
  mood.enumeration = true;
  std::vector<std::pair<TableDeclaration, TableSchema>> tables;
  tables.emplace_back(declaration,
                      MakeSchema("sales",
                                 {MakeColumn("customer", TypeKind::kInt64, false), MakeColumn("number", TypeKind::kInt64, false), region,
                                  MakeColumn("price", TypeKind::kDecimal), MakeColumn("ratio", TypeKind::kDouble),
                                  MakeColumn("small", TypeKind::kInt32), MakeColumn("paid", TypeKind::kBool),
                                  MakeColumn("ref", TypeKind::kUuid), MakeColumn("data", TypeKind::kBytes),
                                  MakeColumn("doc", TypeKind::kJson), mood},
                                 {"customer", "number"}));
  tables.emplace_back(Declare("countries", TableKind::kReference),
                      MakeSchema("countries", {MakeColumn("code", TypeKind::kText, false), MakeColumn("name", TypeKind::kText)}, {"code"}));
  return MakeSnapshot(shards, std::move(dialects), std::move(tables));
}

inline AggregateOperation AggregateOf(std::vector<std::string> group_by, std::vector<AggregateTerm> aggregates) {
  AggregateOperation op;
  op.table = "sales";
  op.group_by = std::move(group_by);
  op.aggregates = std::move(aggregates);
  return op;
}

}  // namespace quarry
