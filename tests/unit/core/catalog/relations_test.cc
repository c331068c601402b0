#include "core/catalog/relations.h"

#include <string>
#include <vector>

#include "core/catalog/catalog.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/catalog/tables.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TableSchema Schema(std::string name, std::vector<std::string> columns, std::vector<std::string> key,
                   std::vector<ForeignKey> foreign_keys = {}) {
  TableSchema schema;
  schema.name = std::move(name);
  for (std::string& column : columns) schema.columns.push_back(MakeColumn(std::move(column), TypeKind::kInt64));
  schema.primary_key = std::move(key);
  schema.foreign_keys = std::move(foreign_keys);
  return schema;
}

TableDeclaration Sharded(std::string name, std::string key, std::string resolver = "by_customer") {
  TableDeclaration declaration;
  declaration.name = std::move(name);
  declaration.shard_key = {std::move(key)};
  declaration.resolver = std::move(resolver);
  return declaration;
}

TableDeclaration Other(std::string name, TableKind kind, std::string shard = "") {
  TableDeclaration declaration;
  declaration.name = std::move(name);
  declaration.kind = kind;
  declaration.shard = std::move(shard);
  return declaration;
}

Relation Find(const Catalog& catalog, const std::string& table, const std::string& name) {
  const absl::StatusOr<const Relation*> relation = catalog.FindRelation(table, name);
  EXPECT_THAT(relation, IsOk());
  return relation.ok() ? **relation : Relation();
}

std::vector<std::string> Names(const Catalog& catalog, const std::string& table) {
  std::vector<std::string> names;
  for (const Relation& relation : catalog.relations(table)) names.push_back(relation.name);
  return names;
}

TEST(RelationsTest, AForeignKeyNamesItsParentAndItsChildren) {
  const Catalog catalog({Table(Sharded("customers", "id"), Schema("customers", {"id"}, {"id"})),
                         Table(Sharded("orders", "customer"),
                               Schema("orders", {"customer", "number"}, {"customer", "number"},
                                      {{"orders_fk", {"customer"}, "customers", {"id"}}}))});
  const Relation parent = Find(catalog, "orders", "customers");
  EXPECT_FALSE(parent.many);
  EXPECT_TRUE(parent.same_shard) << parent.apart;
  EXPECT_THAT(parent.columns, ElementsAre("customer"));
  EXPECT_THAT(parent.related_columns, ElementsAre("id"));
  const Relation children = Find(catalog, "customers", "orders");
  EXPECT_TRUE(children.many);
  EXPECT_TRUE(children.same_shard);
  EXPECT_EQ(children.related_table, "orders");
  EXPECT_TRUE(catalog.relations("nothing").empty());
}

TEST(RelationsTest, TwoKeysToOneTableAreNamedByTheirConstraints) {
  const Catalog catalog({Table(Sharded("customers", "id"), Schema("customers", {"id"}, {"id"})),
                         Table(Sharded("gifts", "giver"),
                               Schema("gifts", {"giver", "taker"}, {"giver", "taker"},
                                      {{"giver_fk", {"giver"}, "customers", {"id"}}, {"taker_fk", {"taker"}, "customers", {"id"}}}))});
  EXPECT_THAT(Names(catalog, "gifts"), ElementsAre("giver_fk", "taker_fk"));
  EXPECT_THAT(Names(catalog, "customers"), ElementsAre("giver_fk", "taker_fk"));
  const absl::Status ambiguous = catalog.FindRelation("gifts", "customers").status();
  EXPECT_THAT(ambiguous, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(std::string(ambiguous.message()), HasSubstr("name one of them: giver_fk, taker_fk"));
  EXPECT_TRUE(Find(catalog, "gifts", "giver_fk").same_shard);
  EXPECT_THAT(Find(catalog, "gifts", "taker_fk").apart, HasSubstr("does not contain the shard keys (giver) and (id)"));
}

TEST(RelationsTest, ATableThatReferencesItselfHasBothWays) {
  const Catalog catalog({Table(Other("staff", TableKind::kSingle, "s0"),
                               Schema("staff", {"id", "boss"}, {"id"}, {{"boss_fk", {"boss"}, "staff", {"id"}}}))});
  EXPECT_THAT(Names(catalog, "staff"), ElementsAre("boss_fk", "boss_fk_children"));
  EXPECT_THAT(Find(catalog, "staff", "boss_fk").columns, ElementsAre("boss"));
  EXPECT_THAT(Find(catalog, "staff", "boss_fk_children").columns, ElementsAre("id"));
}

TEST(RelationsTest, KnowsWhichTablesShareTheirShards) {
  const auto child = [](const std::string& name) {
    return Schema(name, {"id", "parent"}, {"id"}, {{name + "_fk", {"parent"}, "parents", {"id"}}});
  };
  const auto same = [&](const TableDeclaration& own, const TableDeclaration& parents) {
    const Catalog catalog({Table(parents, Schema("parents", {"id"}, {"id"})), Table(own, child(own.name))});
    const Relation up = Find(catalog, own.name, "parents");
    const Relation down = Find(catalog, "parents", own.name);
    EXPECT_EQ(up.apart.empty(), up.same_shard);
    return std::pair(up.same_shard, down.same_shard);
  };
  const TableDeclaration reference = Other("parents", TableKind::kReference);
  const TableDeclaration single = Other("parents", TableKind::kSingle, "s0");
  // A reference table is everywhere, but a question to it goes to one shard.
  EXPECT_EQ(same(Sharded("c", "id"), reference), std::pair(true, false));
  EXPECT_EQ(same(Other("c", TableKind::kReference), reference), std::pair(true, true));
  EXPECT_EQ(same(Other("c", TableKind::kSingle, "s1"), reference), std::pair(true, false));
  EXPECT_EQ(same(Other("c", TableKind::kSingle, "s0"), single), std::pair(true, true));
  EXPECT_EQ(same(Other("c", TableKind::kSingle, "s1"), single), std::pair(false, false));
  EXPECT_EQ(same(Sharded("c", "id"), single), std::pair(false, false));
  EXPECT_EQ(same(Sharded("c", "id"), Sharded("parents", "id")), std::pair(false, false));
  EXPECT_EQ(same(Sharded("c", "parent"), Sharded("parents", "id")), std::pair(true, true));
  EXPECT_EQ(same(Sharded("c", "parent", "by_other"), Sharded("parents", "id")), std::pair(false, false));
}

TEST(RelationsTest, DeclaredRelationsAddToForeignKeysAndTakeTheirNames) {
  TableDeclaration orders = Sharded("orders", "customer");
  orders.relations = {{"buyer", "customers", {"customer"}, {"id"}}, {"customers", "customers", {"number"}, {"id"}}};
  const Catalog catalog({Table(Sharded("customers", "id"), Schema("customers", {"id"}, {"id"})),
                         Table(orders, Schema("orders", {"customer", "number"}, {"customer", "number"},
                                              {{"orders_fk", {"customer"}, "customers", {"id"}}}))});
  EXPECT_THAT(Names(catalog, "orders"), ElementsAre("buyer", "customers"));
  EXPECT_TRUE(Find(catalog, "orders", "buyer").same_shard);
  EXPECT_FALSE(Find(catalog, "orders", "customers").same_shard);
}

TEST(RelationsTest, BuildingRefusesDeclaredRelationsThatDoNotFit) {
  TableDeclaration orders = OrdersDeclaration();
  orders.relations = {{"self", "orders", {"custmer_id"}, {"customer_id"}}, {"odd", "orders", {"note"}, {"customer_id"}}};
  const absl::Status status = BuildCatalog({orders}, {MakeShard("s0", {OrdersSchema()})}).status();
  EXPECT_THAT(status, HasReason(reason::kSchemaMismatch));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("relation self: table orders has no column custmer_id (did you mean \"customer_id\"?)"));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("relation odd: column note has type text but orders.customer_id has type int64"));
}

TEST(RelationsTest, TextHasByteOrderWhereEveryShardSaysSo) {
  TableSchema other = OrdersSchema();
  other.columns[3].byte_order = false;
  ASSERT_OK_AND_ASSIGN(const Catalog catalog, BuildCatalog({OrdersDeclaration()}, {MakeShard("s0", {OrdersSchema()}), MakeShard("s1", {other})}));
  EXPECT_FALSE(catalog.tables().begin()->second.columns()[3].byte_order);
  EXPECT_TRUE(catalog.tables().begin()->second.columns()[2].byte_order);
}

}  // namespace
}  // namespace quarry
