#include "core/catalog/catalog.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/catalog/tables.h"

namespace quarry {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Message(const absl::StatusOr<Catalog>& catalog) { return std::string(catalog.status().message()); }

absl::StatusOr<Catalog> BuildOrders(const TableSchema& on_s0, const TableSchema& on_s1) {
  return BuildCatalog({OrdersDeclaration()}, {MakeShard("s0", {on_s0}), MakeShard("s1", {on_s1})});
}

TEST(BuildCatalogTest, JoinsDeclarationAndSchemaWhenAllShardsAgree) {
  ASSERT_OK_AND_ASSIGN(const Catalog catalog, BuildOrders(OrdersSchema(), OrdersSchema()));
  ASSERT_OK_AND_ASSIGN(const Table* table, catalog.FindTable("orders"));
  EXPECT_THAT(table->primary_key(), ElementsAre(0, 1));
  EXPECT_THAT(table->shard_key(), ElementsAre(0));
  EXPECT_EQ(table->all_types()->size(), 4u);
  EXPECT_EQ((*table->header())[2].name, "price");
  EXPECT_EQ(table->FindColumn("note"), 3u);
  EXPECT_EQ(table->FindColumn("Note"), std::nullopt);
}

TEST(BuildCatalogTest, RefusesAShardKeyOutsideOfThePrimaryKey) {
  TableDeclaration declaration = OrdersDeclaration();
  declaration.shard_key = {"note"};
  const auto catalog = BuildCatalog({declaration}, {MakeShard("s0", {OrdersSchema()})});
  EXPECT_THAT(catalog, HasReason("SCHEMA_MISMATCH"));
  EXPECT_THAT(std::string(catalog.status().message()), HasSubstr("not part of the primary key"));
}

TEST(BuildCatalogTest, SuggestsTheTableThatWasMeant) {
  ASSERT_OK_AND_ASSIGN(const Catalog catalog, BuildOrders(OrdersSchema(), OrdersSchema()));
  const auto found = catalog.FindTable("ordres");
  EXPECT_THAT(found, StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(found, HasReason("TABLE_NOT_FOUND"));
  EXPECT_THAT(std::string(found.status().message()), HasSubstr("did you mean \"orders\"?"));
}

TEST(BuildCatalogTest, ReportsEveryDifferenceBetweenShardsAtOnce) {
  TableSchema other = OrdersSchema();
  other.columns[2].type.kind = TypeKind::kInt32;
  other.columns[2].has_default = true;
  other.columns[3].deterministic_text = false;
  other.columns.push_back(MakeColumn("extra", TypeKind::kText));
  other.primary_key = {"order_id", "customer_id"};
  other.unique_constraints = {{"u", {"note"}}};
  other.foreign_keys = {{"f", {"customer_id"}, "customers", {"id"}}};
  const auto catalog = BuildOrders(OrdersSchema(), other);
  EXPECT_THAT(catalog, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(catalog, HasReason("SCHEMA_MISMATCH"));
  EXPECT_THAT(Message(catalog),
              AllOf(HasSubstr("orders.price: type is decimal on s0 but int32 on s1"),
                    HasSubstr("orders.price: the value when absent is no default on s0 but a default on s1"),
                    HasSubstr("orders.note: text equality is by bytes on s0 but by collation on s1"),
                    HasSubstr("orders.extra: the column is missing on s0"),
                    HasSubstr("orders: primary key is (customer_id, order_id) on s0 but (order_id, customer_id) on s1"),
                    HasSubstr("orders: unique constraints are none on s0 but (note) on s1"),
                    HasSubstr("orders: foreign keys are none on s0 but (customer_id) to customers(id) on s1")));
}

TEST(BuildCatalogTest, AcceptsAnotherOrderOfColumnsAndOtherConstraintNames) {
  TableSchema first = OrdersSchema();
  first.unique_constraints = {{"orders_note_key", {"note"}}};
  TableSchema second = OrdersSchema();
  std::swap(second.columns[2], second.columns[3]);
  second.unique_constraints = {{"sqlite_autoindex_orders_2", {"note"}}};
  EXPECT_THAT(BuildOrders(first, second), IsOk());
}

TEST(BuildCatalogTest, RefusesATableThatAShardLacks) {
  const auto catalog =
      BuildCatalog({OrdersDeclaration()}, {MakeShard("s0", {OrdersSchema()}), MakeShard("s1", {}), MakeShard("s2", {})});
  EXPECT_THAT(catalog, HasReason("SCHEMA_MISMATCH"));
  EXPECT_THAT(Message(catalog), HasSubstr("orders: the table is missing on s1, s2"));
}

TEST(BuildCatalogTest, RefusesATableWithoutPrimaryKey) {
  TableSchema schema = OrdersSchema();
  schema.primary_key.clear();
  EXPECT_THAT(Message(BuildOrders(schema, schema)), HasSubstr("orders: the table has no primary key"));
}

TEST(BuildCatalogTest, RefusesAnUnknownShardKeyColumnAndSuggestsOne) {
  TableDeclaration declaration = OrdersDeclaration();
  declaration.shard_key = {"custmer_id"};
  const auto catalog = BuildCatalog({declaration}, {MakeShard("s0", {OrdersSchema()})});
  EXPECT_THAT(Message(catalog), AllOf(HasSubstr("orders.custmer_id"), HasSubstr("did you mean \"customer_id\"?")));
}

TEST(BuildCatalogTest, RefusesShardKeysWithoutAStableHash) {
  for (const TypeKind kind : {TypeKind::kFloat, TypeKind::kDouble, TypeKind::kJson, TypeKind::kInterval, TypeKind::kNative}) {
    TableSchema schema = OrdersSchema();
    schema.columns[0].type.kind = kind;
    EXPECT_THAT(Message(BuildOrders(schema, schema)), HasSubstr("has no stable hash")) << static_cast<int>(kind);
  }
  TableSchema schema = OrdersSchema();
  schema.columns[0].type.array = true;
  EXPECT_THAT(Message(BuildOrders(schema, schema)), HasSubstr("type int64[] has no stable hash"));
}

TEST(BuildCatalogTest, RefusesShardKeyTextThatIsNotComparedByBytes) {
  TableSchema collated = OrdersSchema();
  collated.columns[0] = MakeColumn("customer_id", TypeKind::kText);
  EXPECT_THAT(BuildOrders(collated, collated), IsOk());
  collated.columns[0].deterministic_text = false;
  EXPECT_THAT(Message(BuildOrders(collated, collated)), HasSubstr("not compared by bytes"));
  TableSchema padded = OrdersSchema();
  padded.columns[0] = MakeColumn("customer_id", TypeKind::kText, "character(8)");
  EXPECT_THAT(Message(BuildOrders(padded, padded)), HasSubstr("not compared by bytes"));
}

TEST(BuildCatalogTest, RefusesAShardKeyThatTheDatabaseComputes) {
  TableSchema schema = OrdersSchema();
  schema.columns[0].generated = true;
  EXPECT_THAT(Message(BuildOrders(schema, schema)), HasSubstr("orders.customer_id: the database computes"));
}

TEST(BuildCatalogTest, RefusesCoLocationOfUnlikeKeys) {
  TableDeclaration child;
  child.name = "lines";
  child.shard_key = {"customer_id"};
  child.co_located_with = "orders";
  child.resolver = "by_customer";
  TableSchema lines = OrdersSchema();
  lines.name = "lines";
  EXPECT_THAT(BuildCatalog({child, OrdersDeclaration()}, {MakeShard("s0", {OrdersSchema(), lines})}), IsOk());
  lines.columns[0].type.kind = TypeKind::kText;
  const auto catalog = BuildCatalog({child, OrdersDeclaration()}, {MakeShard("s0", {OrdersSchema(), lines})});
  EXPECT_THAT(Message(catalog), HasSubstr("lines: the shard key has types (text) but the table is co-located with orders, "
                                          "whose shard key has (int64)"));
}

TEST(BuildCatalogTest, RefusesOneResolverForUnlikeKeys) {
  TableDeclaration other = OrdersDeclaration();
  other.name = "parcels";
  other.shard_key = {"order_id"};
  TableSchema parcels = OrdersSchema();
  parcels.name = "parcels";
  const auto catalog = BuildCatalog({OrdersDeclaration(), other}, {MakeShard("s0", {OrdersSchema(), parcels})});
  EXPECT_THAT(Message(catalog), HasSubstr("parcels: the shard key has types (uuid) but the table shares resolver by_customer"));
}

TEST(BuildCatalogTest, ReadsASingleTableFromItsOwnShardOnly) {
  TableDeclaration single;
  single.name = "orders";
  single.kind = TableKind::kSingle;
  single.shard = "s1";
  ASSERT_OK_AND_ASSIGN(const Catalog catalog,
                       BuildCatalog({single}, {MakeShard("s0", {}), MakeShard("s1", {OrdersSchema()})}));
  EXPECT_THAT(catalog.FindTable("orders"), IsOk());
}

TEST(BuildCatalogTest, KeepsASingleTablePendingUntilItsShardAnswers) {
  TableDeclaration single;
  single.name = "settings";
  single.kind = TableKind::kSingle;
  single.shard = "s1";
  ASSERT_OK_AND_ASSIGN(const Catalog catalog, BuildCatalog({single}, {MakeShard("s0", {})}));
  const auto found = catalog.FindTable("settings");
  EXPECT_THAT(found, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(found, HasReason("SHARD_UNAVAILABLE"));
}

}  // namespace
}  // namespace quarry
