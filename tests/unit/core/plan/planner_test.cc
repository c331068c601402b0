#include "core/plan/planner.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/plan/filter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class PlannerTest : public ::testing::Test {
 protected:
  absl::StatusOr<ReadPlan> Read(const ReadOperation& op, std::optional<ShardId> pinned = std::nullopt) {
    return planner_.PlanRead(op, snapshot_, pinned, ShardId{1});
  }
  absl::StatusOr<WritePlan> Write(const WriteOperation& op) { return planner_.PlanWrite(op, snapshot_); }
  absl::StatusOr<WritePlan> WriteOne(Mutation mutation) {
    std::vector<Mutation> mutations;
    mutations.push_back(std::move(mutation));
    return Write(WriteOf(std::move(mutations)));
  }
  static std::vector<std::string> Fields(const absl::Status& status) {
    std::vector<std::string> fields;
    for (const FieldViolation& violation : DetailOf(status).violations) fields.push_back(violation.field);
    return fields;
  }

  std::shared_ptr<const Snapshot> snapshot_ = ShopSnapshot(3);
  PlanLimits limits_;
  Planner planner_{limits_};
};

KeyInput Id(int64_t id) { return KeyOf({Value::Int64(id)}); }

Mutation UpdateUser(int64_t id, Record record) {
  return MakeMutation(MutationKind::kUpdate, "users", std::move(record), Id(id));
}

Record NameRecord() {
  Record record;
  record["name"] = Value::Text("Eve");
  return record;
}

const Statement& OnlyStatement(const WritePlan& plan) { return plan.tasks.at(0).steps.at(0).statements.at(0); }

// ---- Reads ----

TEST_F(PlannerTest, SendsAGetToTheShardOfItsKey) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("users", {Id(5)})));
  ASSERT_EQ(plan.tasks.size(), 1u);
  EXPECT_EQ(plan.tasks[0].shard, ShardId{2});
  ASSERT_EQ(plan.tasks[0].steps.size(), 1u);
  const Statement& statement = plan.tasks[0].steps[0].statements[0];
  EXPECT_EQ(*statement.sql, R"(SELECT "id", "name", "balance", "made" FROM "users" WHERE "id" = $1)");
  EXPECT_THAT(statement.params, ElementsAre(Value::Int64(5)));
  EXPECT_FALSE(statement.writes);
  EXPECT_TRUE(statement.returns_rows);
}

TEST_F(PlannerTest, GroupsABatchByShardAscendingAndAsksADuplicateKeyOnce) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("users", {Id(5), Id(0), Id(3), Id(0), Id(8)})));
  ASSERT_EQ(plan.tasks.size(), 2u);
  EXPECT_EQ(plan.tasks[0].shard, ShardId{0});
  EXPECT_EQ(plan.tasks[1].shard, ShardId{2});
  const Statement& first = plan.tasks[0].steps[0].statements[0];
  EXPECT_THAT(*first.sql, HasSubstr("= ANY($1)"));
  EXPECT_EQ(first.params[0], Value::Array({Value::Int64(0), Value::Int64(3)}));
  EXPECT_EQ(plan.merge.items, 5u);
}

TEST_F(PlannerTest, ReadsKeysByListsOfFixedSizesOnSqlite) {
  snapshot_ = ShopSnapshot(3, {Dialect::kSqlite});
  ASSERT_OK_AND_ASSIGN(ReadPlan plan, Read(ReadOf("users", {Id(0), Id(3), Id(0)})));
  ASSERT_EQ(plan.tasks.size(), 1u);
  ASSERT_EQ(plan.tasks[0].steps.size(), 1u);
  const Statement& statement = plan.tasks[0].steps[0].statements[0];
  EXPECT_THAT(*statement.sql, HasSubstr(R"(WHERE "id" IN (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8))"));
  const Value last = Value::Int64(3);
  EXPECT_THAT(statement.params, ElementsAre(Value::Int64(0), last, last, last, last, last, last, last));

  std::vector<KeyInput> keys;
  for (int64_t i = 0; i < 150; ++i) keys.push_back(Id(3 * i));
  ASSERT_OK_AND_ASSIGN(plan, Read(ReadOf("users", keys)));
  ASSERT_EQ(plan.tasks[0].steps.size(), 2u);
  EXPECT_EQ(plan.tasks[0].steps[0].statements[0].params.size(), 128u);
  EXPECT_EQ(plan.tasks[0].steps[1].statements[0].params.size(), 32u);
}

TEST_F(PlannerTest, ReadsOneKeyAStepWhereABatchsRowsCannotBeToldApart) {
  snapshot_ = MakeSnapshot(2, {Dialect::kSqlite},
                           {{Declare("rates", TableKind::kReference),
                             MakeSchema("rates", {MakeColumn("rate", TypeKind::kDecimal)}, {"rate"})}});
  const std::vector<KeyInput> keys = {KeyOf({Value::Decimal("1.5")}), KeyOf({Value::Decimal("1.50")})};
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("rates", keys)));
  EXPECT_EQ(plan.tasks[0].steps.size(), 2u);
  EXPECT_FALSE(plan.merge.tasks[0].batched);
}

TEST_F(PlannerTest, ReadsOfOneTableAndColumnListShareTheirTextsAndLayout) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan first, Read(ReadOf("users", {Id(0)}, {"name"})));
  ASSERT_OK_AND_ASSIGN(const ReadPlan again, Read(ReadOf("users", {Id(7)}, {"name"})));
  ASSERT_OK_AND_ASSIGN(const ReadPlan other, Read(ReadOf("users", {Id(7)}, {"id"})));
  EXPECT_EQ(first.merge.layout, again.merge.layout);
  EXPECT_EQ(first.tasks[0].steps[0].statements[0].sql, again.tasks[0].steps[0].statements[0].sql);
  EXPECT_NE(first.merge.layout, other.merge.layout);
  const std::shared_ptr<const Snapshot> before = std::exchange(snapshot_, ShopSnapshot(3));
  ASSERT_OK_AND_ASSIGN(const ReadPlan reloaded, Read(ReadOf("users", {Id(7)}, {"name"})));
  EXPECT_NE(first.merge.layout, reloaded.merge.layout);
}

TEST_F(PlannerTest, GivesAPointReadItsFormForManyKeysOnPostgresOnly) {
  ASSERT_OK_AND_ASSIGN(ReadPlan plan, Read(ReadOf("users", {Id(0)}, {"name"})));
  const Statement& statement = plan.tasks[0].steps[0].statements[0];
  ASSERT_NE(statement.many, nullptr);
  EXPECT_EQ(*statement.many->sql, R"(SELECT "name", "id" FROM "users" WHERE "id" = ANY($1))");
  EXPECT_THAT(statement.many->key_positions, ElementsAre(1u));
  snapshot_ = ShopSnapshot(3, {Dialect::kSqlite});
  ASSERT_OK_AND_ASSIGN(plan, Read(ReadOf("users", {Id(0)}, {"name"})));
  EXPECT_EQ(plan.tasks[0].steps[0].statements[0].many, nullptr);
}

TEST_F(PlannerTest, UsesEachShardsOwnDialect) {
  snapshot_ = ShopSnapshot(2, {Dialect::kPostgres, Dialect::kSqlite});
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("users", {Id(0), Id(1)})));
  ASSERT_EQ(plan.tasks.size(), 2u);
  EXPECT_THAT(*plan.tasks[0].steps[0].statements[0].sql, HasSubstr("$1"));
  EXPECT_THAT(*plan.tasks[1].steps[0].statements[0].sql, HasSubstr("?1"));
}

TEST_F(PlannerTest, ReadsTheKeyAlongWhenTheAskedColumnsLackIt) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("users", {Id(0), Id(3)}, {"name"})));
  EXPECT_THAT(*plan.tasks[0].steps[0].statements[0].sql, HasSubstr(R"(SELECT "name", "id" FROM)"));
  EXPECT_THAT(plan.merge.layout->projection, ElementsAre(0u));
  EXPECT_THAT(plan.merge.layout->key_positions, ElementsAre(1u));
  EXPECT_FALSE(plan.merge.layout->with_etag);
  ASSERT_EQ(plan.merge.layout->header->size(), 1u);
}

TEST_F(PlannerTest, LeavesRowsAsTheyAreWhenTheAskedColumnsHoldTheKey) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("users", {Id(0), Id(3)}, {"name", "id"})));
  EXPECT_THAT(plan.merge.layout->projection, IsEmpty());
  EXPECT_THAT(plan.merge.layout->key_positions, ElementsAre(1u));
  EXPECT_FALSE(plan.merge.layout->with_etag);
}

TEST_F(PlannerTest, GivesAnEtagOnlyWhenAllColumnsAreRead) {
  ASSERT_OK_AND_ASSIGN(ReadPlan plan, Read(ReadOf("users", {Id(0)})));
  EXPECT_TRUE(plan.merge.layout->with_etag);
  ASSERT_OK_AND_ASSIGN(plan, Read(ReadOf("users", {Id(0)}, {"*"})));
  EXPECT_TRUE(plan.merge.layout->with_etag);
  ASSERT_OK_AND_ASSIGN(plan, Read(ReadOf("users", {Id(0)}, {"id", "name", "balance", "made"})));
  EXPECT_TRUE(plan.merge.layout->with_etag);
  ASSERT_OK_AND_ASSIGN(plan, Read(ReadOf("users", {Id(0)}, {"name", "id", "balance", "made"})));
  EXPECT_FALSE(plan.merge.layout->with_etag);
}

TEST_F(PlannerTest, RefusesBadKeysAndNamesEveryOneOfThem) {
  KeyInput wrong_name;
  wrong_name.by_name["ID"] = Value::Int64(1);
  const absl::Status status =
      Read(ReadOf("users", {Id(1), KeyOf({Value::Text("x")}), KeyOf({Value::Null()}), KeyOf({}), wrong_name,
                            KeyOf({Value::Int64(1), Value::Int64(2)})}))
          .status();
  EXPECT_THAT(status, HasReason(reason::kInvalidField));
  EXPECT_THAT(Fields(status),
              ElementsAre("keys[1][0]", "keys[2][0]", "keys[3]", "keys[4].id", "keys[4].ID", "keys[5]"));
}

TEST_F(PlannerTest, RefusesUnknownTablesColumnsAndTooManyKeys) {
  EXPECT_THAT(Read(ReadOf("user", {Id(1)})), HasReason(reason::kTableNotFound));
  EXPECT_THAT(std::string(Read(ReadOf("user", {Id(1)})).status().message()), HasSubstr("users"));
  EXPECT_THAT(Fields(Read(ReadOf("users", {Id(1)}, {"name", "nam"})).status()), ElementsAre("columns[1]"));
  limits_.batch_items_max = 2;
  Planner small(limits_);
  EXPECT_THAT(small.PlanRead(ReadOf("users", {Id(1), Id(2), Id(3)}), snapshot_, std::nullopt, ShardId{0}),
              HasReason(reason::kInvalidField));
}

TEST_F(PlannerTest, RefusesAllWhileTheCatalogIsNotKnown) {
  Snapshot starting;
  starting.topology = snapshot_->topology;
  starting.catalog_problem = "no shard has answered";
  snapshot_ = std::make_shared<const Snapshot>(starting);
  EXPECT_THAT(Read(ReadOf("users", {Id(1)})), HasReason(reason::kCatalogNotReady));
  EXPECT_THAT(WriteOne(InsertUser(1)), HasReason(reason::kCatalogNotReady));
}

TEST_F(PlannerTest, AKeyThatNoShardHoldsIsMissingForAReadAndAnErrorForAWrite) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("users", {Id(-1), Id(1)})));
  EXPECT_TRUE(plan.unplaced);
  EXPECT_EQ(plan.tasks.size(), 1U);
  EXPECT_EQ(plan.merge.items, 2U);
  const absl::Status status = WriteOne(InsertUser(-1)).status();
  EXPECT_THAT(status, HasReason(reason::kKeyNotMapped));
  EXPECT_EQ(DetailOf(status).facts.at("table"), "users");
}

TEST_F(PlannerTest, ReadsAReferenceTableOnTheSpreadShardWithTheOthersInReserve) {
  const ReadOperation op = ReadOf("countries", {KeyOf({Value::Text("de")}), KeyOf({Value::Text("fr")})});
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(op));
  ASSERT_EQ(plan.tasks.size(), 1u);
  EXPECT_EQ(plan.tasks[0].shard, ShardId{1});
  EXPECT_THAT(plan.alternates, ElementsAre(ShardId{0}, ShardId{2}));
  ASSERT_OK_AND_ASSIGN(const ReadPlan pinned, Read(op, ShardId{2}));
  EXPECT_EQ(pinned.tasks[0].shard, ShardId{2});
  EXPECT_THAT(pinned.alternates, IsEmpty());
}

TEST_F(PlannerTest, ReadsAReferenceTableOnTheNamedShardAndNoOther) {
  ReadOperation op = ReadOf("countries", {KeyOf({Value::Text("de")})});
  op.target.shards = {"s2"};
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(op));
  EXPECT_EQ(plan.tasks[0].shard, ShardId{2});
  EXPECT_THAT(plan.alternates, IsEmpty());
  op.target.shards = {"s9"};
  EXPECT_THAT(Read(op), HasReason(reason::kShardNotFound));
}

TEST_F(PlannerTest, ReadsAReferenceTableOnTheFirstShardWhenTheTargetIsItsOwnKey) {
  ReadOperation op = ReadOf("countries", {KeyOf({Value::Text("de")})});
  op.target.key = KeyOf({Value::Text("fr")});
  op.target.key_table = "countries";
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(op));
  EXPECT_EQ(plan.tasks.at(0).shard, ShardId{0});
}

TEST_F(PlannerTest, RefusesATargetThatLacksTheRow) {
  ReadOperation op = ReadOf("users", {Id(0), Id(5)});
  op.target.shards = {"s0", "s1"};
  const absl::Status status = Read(op).status();
  EXPECT_THAT(Fields(status), ElementsAre("target"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("does not hold the row: keys[1] lives on shard s2"));
  op.target.shards = {"s0", "s2"};
  EXPECT_THAT(Read(op), IsOk());
}

TEST_F(PlannerTest, MarksEveryStatementOfALockingRead) {
  ReadOperation op = ReadOf("users", {Id(0), Id(3), Id(5)});
  for (const RowLock lock : {RowLock::kNone, RowLock::kShare, RowLock::kUpdate}) {
    op.lock = lock;
    ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(op));
    ASSERT_EQ(plan.tasks.size(), 2u);
    for (const Task& task : plan.tasks) {
      for (const Step& step : task.steps) EXPECT_EQ(step.statements.at(0).locks, lock != RowLock::kNone);
    }
  }
}

TEST_F(PlannerTest, ReadsASingleTableOnItsShard) {
  ASSERT_OK_AND_ASSIGN(const ReadPlan plan, Read(ReadOf("jobs", {Id(5), Id(7)})));
  ASSERT_EQ(plan.tasks.size(), 1u);
  EXPECT_EQ(plan.tasks[0].shard, ShardId{0});
  EXPECT_THAT(plan.alternates, IsEmpty());
}

TEST(PlannerReadTest, ReadsKeysWhoseEqualityIsNotThatOfTheirBytesOneByOne) {
  std::vector<Column> columns = {MakeColumn("k", TypeKind::kText, false), MakeColumn("v", TypeKind::kText)};
  const auto batched = [&columns] {
    const auto snapshot = MakeSnapshot(
        1, {Dialect::kPostgres}, {{Declare("t", TableKind::kReference), MakeSchema("t", columns, {"k"})}});
    Planner planner{PlanLimits()};
    const std::string one = columns[0].type.kind == TypeKind::kInterval ? "P1D" : "1";
    const std::string two = columns[0].type.kind == TypeKind::kInterval ? "P2D" : "2";
    const ReadOperation op = ReadOf("t", {KeyOf({Value::Text(one)}), KeyOf({Value::Text(two)})});
    const absl::StatusOr<ReadPlan> plan = planner.PlanRead(op, snapshot, std::nullopt, ShardId{0});
    EXPECT_THAT(plan, IsOk());
    return plan->merge.tasks[0].batched;
  };
  EXPECT_TRUE(batched());
  columns[0].type.native_name = "character(3)";  // Comes back padded.
  EXPECT_FALSE(batched());
  columns[0].type.native_name = "text";
  columns[0].deterministic_text = false;  // Finds rows in another spelling.
  EXPECT_FALSE(batched());
  columns[0].type.kind = TypeKind::kInterval;  // P1D is PT24H.
  EXPECT_FALSE(batched());
}

// ---- Writes ----

TEST_F(PlannerTest, LowersAnInsertWithColumnsInCatalogOrder) {
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(InsertUser(4)));
  EXPECT_EQ(plan.tasks.at(0).shard, ShardId{1});
  EXPECT_EQ(*OnlyStatement(plan).sql, R"(INSERT INTO "users" ("id", "name") VALUES ($1, $2))");
  EXPECT_THAT(OnlyStatement(plan).params, ElementsAre(Value::Int64(4), Value::Text("Ada")));
  EXPECT_TRUE(OnlyStatement(plan).writes);
  EXPECT_FALSE(OnlyStatement(plan).returns_rows);
  EXPECT_EQ(plan.merge.mutations[0].key.at("id"), Value::Int64(4));
}

TEST_F(PlannerTest, LowersAnUpdateThatNeedsItsRow) {
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(UpdateUser(4, NameRecord())));
  EXPECT_EQ(*OnlyStatement(plan).sql, R"(UPDATE "users" SET "name" = $1 WHERE "id" = $2)");
  EXPECT_THAT(OnlyStatement(plan).params, ElementsAre(Value::Text("Eve"), Value::Int64(4)));
  EXPECT_EQ(OnlyStatement(plan).check.kind, Check::Kind::kRowRequired);
  EXPECT_FALSE(OnlyStatement(plan).check.precondition);
}

TEST_F(PlannerTest, LowersADeleteByItsKeyAlone) {
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(MakeMutation(MutationKind::kDelete, "users", {}, Id(4))));
  EXPECT_EQ(*OnlyStatement(plan).sql, R"(DELETE FROM "users" WHERE "id" = $1)");
  EXPECT_THAT(OnlyStatement(plan).params, ElementsAre(Value::Int64(4)));
}

TEST_F(PlannerTest, RefusesADeleteWithARecord) {
  const absl::Status status = WriteOne(MakeMutation(MutationKind::kDelete, "users", NameRecord(), Id(4))).status();
  EXPECT_THAT(Fields(status), ElementsAre("record"));
}

TEST_F(PlannerTest, ReturnsTheAskedColumns) {
  Mutation mutation = InsertUser(4);
  mutation.returning = {"name"};
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(mutation));
  EXPECT_THAT(*OnlyStatement(plan).sql, HasSubstr(R"(RETURNING "id", "name", "balance", "made")"));
  EXPECT_THAT(plan.merge.mutations[0].projection, ElementsAre(1u));
  ASSERT_EQ(plan.merge.mutations[0].header->size(), 1u);
}

TEST_F(PlannerTest, AsksTheDatabaseForTheKeyThatItMakes) {
  Record record;
  record["customer"] = Value::Int64(4);
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(MakeMutation(MutationKind::kInsert, "orders", record)));
  EXPECT_EQ(*OnlyStatement(plan).sql,
            R"(INSERT INTO "orders" ("customer") VALUES ($1) RETURNING "note", "customer", "number")");
  EXPECT_TRUE(plan.merge.mutations[0].returns_row);
  EXPECT_EQ(plan.merge.mutations[0].header, nullptr);
  ASSERT_OK_AND_ASSIGN(const WritePlan empty, WriteOne(MakeMutation(MutationKind::kInsert, "jobs", {})));
  EXPECT_THAT(*OnlyStatement(empty).sql, HasSubstr("DEFAULT VALUES"));
}

TEST_F(PlannerTest, RefusesAnInsertWithoutItsShardKeyBeforeAnySql) {
  Record record;
  record["number"] = Value::Int64(4);
  absl::Status status = WriteOne(MakeMutation(MutationKind::kInsert, "orders", record)).status();
  EXPECT_THAT(Fields(status), ElementsAre("record.customer"));
  record["customer"] = Value::Null();
  status = WriteOne(MakeMutation(MutationKind::kInsert, "orders", record)).status();
  EXPECT_THAT(Fields(status), ElementsAre("record.customer"));
}

TEST_F(PlannerTest, RefusesAnUpsertWithoutItsWholeKey) {
  Record record;
  record["customer"] = Value::Int64(4);
  EXPECT_THAT(WriteOne(MakeMutation(MutationKind::kUpsert, "orders", record)), HasReason(reason::kInvalidField));
}

TEST_F(PlannerTest, RefusesToChangeAKeyInPlaceButTakesItUnchanged) {
  Record record = NameRecord();
  record["id"] = Value::Int64(5);
  const absl::Status status = WriteOne(UpdateUser(4, record)).status();
  EXPECT_THAT(status, HasReason(reason::kShardKeyImmutable));
  EXPECT_EQ(DetailOf(status).facts.at("column"), "id");
  record["id"] = Value::Int64(4);
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(UpdateUser(4, record)));
  EXPECT_EQ(*OnlyStatement(plan).sql, R"(UPDATE "users" SET "name" = $1 WHERE "id" = $2)");
}

TEST_F(PlannerTest, TakesADecimalKeyOfAnotherScaleAsUnchanged) {
  snapshot_ = MakeSnapshot(1, {Dialect::kPostgres},
                           {{Declare("t", TableKind::kReference),
                             MakeSchema("t", {MakeColumn("k", TypeKind::kDecimal), MakeColumn("v", TypeKind::kText)},
                                        {"k"})}});
  Record record;
  record["k"] = Value::Decimal("1.50");
  record["v"] = Value::Text("x");
  EXPECT_THAT(WriteOne(MakeMutation(MutationKind::kUpdate, "t", record, KeyOf({Value::Decimal("1.5")}))), IsOk());
}

TEST_F(PlannerTest, RefusesAnUpdateThatChangesNothing) {
  EXPECT_THAT(Fields(WriteOne(UpdateUser(4, {})).status()), ElementsAre("record"));
}

TEST_F(PlannerTest, RefusesPreconditionsThatCannotHold) {
  const auto fields = [this](MutationKind kind, std::optional<bool> exists, std::string etag) {
    Mutation mutation = InsertUser(4);
    mutation.kind = kind;
    if (kind == MutationKind::kUpdate || kind == MutationKind::kDelete) mutation.key = Id(4);
    if (kind == MutationKind::kDelete) mutation.record = {};
    mutation.precondition.exists = exists;
    mutation.precondition.etag = std::move(etag);
    return Fields(WriteOne(mutation).status());
  };
  EXPECT_THAT(fields(MutationKind::kInsert, true, ""), ElementsAre("precondition.exists"));
  EXPECT_THAT(fields(MutationKind::kInsert, std::nullopt, "e"), ElementsAre("precondition.etag"));
  EXPECT_THAT(fields(MutationKind::kUpdate, false, ""), ElementsAre("precondition.exists"));
  EXPECT_THAT(fields(MutationKind::kDelete, false, "e"), ElementsAre("precondition.exists", "precondition.etag"));
  EXPECT_THAT(fields(MutationKind::kUpsert, false, "e"), ElementsAre("precondition.etag"));
  EXPECT_THAT(fields(MutationKind::kInsert, false, ""), IsEmpty());
  EXPECT_THAT(fields(MutationKind::kUpdate, true, "e"), IsEmpty());
  EXPECT_THAT(fields(MutationKind::kDelete, std::nullopt, "e"), IsEmpty());
  EXPECT_THAT(fields(MutationKind::kUpsert, true, "e"), IsEmpty());
}

TEST_F(PlannerTest, LocksAndChecksTheRowBeforeAWriteWithAnEtag) {
  Mutation mutation = UpdateUser(4, NameRecord());
  mutation.precondition.etag = "abc";
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(mutation));
  const std::vector<Statement>& statements = plan.tasks[0].steps[0].statements;
  ASSERT_EQ(statements.size(), 2u);
  EXPECT_THAT(*statements[0].sql, HasSubstr("FOR UPDATE"));
  EXPECT_TRUE(statements[0].writes);
  EXPECT_EQ(statements[0].check.kind, Check::Kind::kEtag);
  EXPECT_EQ(statements[0].check.etag, "abc");
}

TEST_F(PlannerTest, AsksWhetherTheLockedRowMatchesBeforeAWriteWithAFilter) {
  Mutation mutation = UpdateUser(4, NameRecord());
  ASSERT_OK_AND_ASSIGN(mutation.precondition.filter,
                       ParseFilter("name = @old", {{"old", Value::Text("Ada")}}, FilterLimits(), "precondition.filter"));
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(mutation));
  const std::vector<Statement>& statements = plan.tasks[0].steps[0].statements;
  ASSERT_EQ(statements.size(), 3u);
  EXPECT_THAT(*statements[0].sql, HasSubstr("FOR UPDATE"));
  EXPECT_EQ(statements[0].check.kind, Check::Kind::kRowRequired);
  EXPECT_EQ(*statements[1].sql,
            "SELECT 1 FROM \"users\" AS t0 WHERE t0.\"id\" = $1 AND ((t0.\"name\" = $2))");
  EXPECT_THAT(statements[1].params, ElementsAre(Value::Int64(4), Value::Text("Ada")));
  EXPECT_EQ(statements[1].check.kind, Check::Kind::kMatch);
  ASSERT_OK_AND_ASSIGN(const WritePlan again, WriteOne(mutation));
  EXPECT_EQ(again.tasks[0].steps[0].statements[1].sql, statements[1].sql) << "sessions find prepared statements by it";
}

TEST_F(PlannerTest, RefusesAFilterThatCannotGuardTheWrite) {
  const auto fields = [this](Mutation mutation, const std::string& text) {
    absl::StatusOr<Condition> filter = ParseFilter(text, {}, FilterLimits(), "precondition.filter");
    EXPECT_THAT(filter, IsOk());
    mutation.precondition.filter = *std::move(filter);
    return Fields(WriteOne(mutation).status());
  };
  EXPECT_THAT(fields(UpdateUser(4, NameRecord()), "nome = 'Ada'"), ElementsAre("precondition.filter: character 1"));
  EXPECT_THAT(fields(UpdateUser(4, NameRecord()), "name = 3"), ElementsAre("precondition.filter: character 1"));
  EXPECT_THAT(fields(InsertUser(4), "name = 'Ada'"), ElementsAre("precondition.filter"));
  Mutation creates = InsertUser(4);
  creates.kind = MutationKind::kUpsert;
  EXPECT_THAT(fields(creates, "name = 'Ada'"), IsEmpty());
  creates.precondition.exists = false;
  EXPECT_THAT(fields(creates, "name = 'Ada'"), ElementsAre("precondition.filter"));
}

TEST_F(PlannerTest, TurnsAnUpsertByItsPreconditionIntoWhatItMeans) {
  Mutation mutation = InsertUser(4);
  mutation.kind = MutationKind::kUpsert;
  mutation.precondition.exists = false;
  ASSERT_OK_AND_ASSIGN(WritePlan plan, WriteOne(mutation));
  EXPECT_THAT(*OnlyStatement(plan).sql, ::testing::Not(HasSubstr("ON CONFLICT")));
  mutation.precondition.exists = true;
  ASSERT_OK_AND_ASSIGN(plan, WriteOne(mutation));
  EXPECT_EQ(OnlyStatement(plan).check.kind, Check::Kind::kRowRequired);
  EXPECT_TRUE(OnlyStatement(plan).check.precondition);
  ASSERT_EQ(plan.tasks[0].steps[0].statements.size(), 2u);
  // An insert would ask for columns that the row has.
  EXPECT_THAT(*plan.tasks[0].steps[0].statements[1].sql, ::testing::StartsWith("UPDATE"));
}

TEST_F(PlannerTest, RefusesARowThatIsTooLarge) {
  limits_.row_bytes_max = 100;
  Planner small(limits_);
  WriteOperation op = WriteOf({InsertUser(1), InsertUser(4, std::string(200, 'x'))});
  const absl::Status status = small.PlanWrite(op, snapshot_).status();
  EXPECT_THAT(status, HasReason(reason::kRowTooLarge));
  EXPECT_EQ(DetailOf(status).facts.at("item"), "1");
  op.atomicity = Atomicity::kEach;
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, small.PlanWrite(op, snapshot_));
  ASSERT_EQ(plan.refused.size(), 1u);
  EXPECT_EQ(plan.refused[0].first, 1u);
  EXPECT_THAT(plan.refused[0].second, HasReason(reason::kRowTooLarge));
}

TEST_F(PlannerTest, RefusesAnEmptyBatchAndOneThatIsTooLarge) {
  EXPECT_THAT(Write(WriteOf({})), HasReason(reason::kInvalidField));
  limits_.batch_items_max = 1;
  Planner small(limits_);
  EXPECT_THAT(small.PlanWrite(WriteOf({InsertUser(1), InsertUser(4)}), snapshot_), HasReason(reason::kInvalidField));
  EXPECT_THAT(small.PlanWrite(WriteOf({InsertUser(1)}), snapshot_), IsOk());
}

std::vector<Mutation> ManyBad() {
  Mutation unknown_column = InsertUser(1);
  unknown_column.record["nme"] = Value::Text("x");
  unknown_column.record["balance"] = Value::Bool(true);
  unknown_column.returning = {"nothing"};
  Mutation bad_key = UpdateUser(4, {});
  bad_key.key = KeyOf({Value::Text("x")});
  bad_key.record["name"] = Value::Int64(1);
  bad_key.precondition.exists = false;
  Mutation computed = InsertUser(7);
  computed.record["made"] = Value::Int64(1);
  std::vector<Mutation> mutations = {unknown_column, bad_key, InsertUser(10), computed};
  return mutations;
}

TEST_F(PlannerTest, NamesEveryBadFieldOfAnAtomicWriteAtOnce) {
  const absl::Status status = Write(WriteOf(ManyBad())).status();
  EXPECT_THAT(Fields(status),
              UnorderedElementsAre("mutations[0].record.nme", "mutations[0].record.balance",
                                   "mutations[0].returning[0]", "mutations[1].precondition.exists",
                                   "mutations[1].key[0]", "mutations[1].record.name", "mutations[3].record.made"));
}

TEST_F(PlannerTest, RefusesOnlyTheBadItemsOfABatch) {
  std::vector<Mutation> mutations = ManyBad();
  Mutation unknown_table = InsertUser(1);
  unknown_table.table = "nope";
  mutations.push_back(unknown_table);
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, Write(WriteOf(std::move(mutations), Atomicity::kEach)));
  std::vector<uint32_t> items;
  for (const auto& [item, status] : plan.refused) items.push_back(item);
  EXPECT_THAT(items, ElementsAre(0u, 1u, 3u, 4u));
  EXPECT_THAT(plan.refused.back().second, HasReason(reason::kTableNotFound));
  ASSERT_EQ(plan.tasks.size(), 1u);
  EXPECT_EQ(plan.tasks[0].steps[0].item, 2u);
}

TEST_F(PlannerTest, RefusesASecondShardWhereOneWasAskedForNamingThem) {
  WriteOperation op = WriteOf({InsertUser(1), InsertUser(2)});
  EXPECT_THAT(Write(op), IsOk());
  op.single_shard = true;
  const absl::Status status = Write(op).status();
  EXPECT_THAT(status, HasReason(reason::kCrossShardTransaction));
  EXPECT_EQ(DetailOf(status).facts.at("shards"), "s1,s2");
  EXPECT_THAT(std::string(status.message()), HasSubstr("s1, s2"));
  EXPECT_THAT(Write(WriteOf({InsertUser(1), InsertUser(4)})), IsOk());
}

TEST_F(PlannerTest, SplitsABatchByShardKeepingItsOrder) {
  WriteOperation op =
      WriteOf({InsertUser(2), InsertUser(1), InsertUser(5), UpdateUser(2, NameRecord())}, Atomicity::kEach);
  op.request_id = "7b3c";
  op.request_hash = 9;
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, Write(op));
  ASSERT_EQ(plan.tasks.size(), 2u);
  EXPECT_EQ(plan.tasks[0].shard, ShardId{1});
  EXPECT_EQ(plan.tasks[1].shard, ShardId{2});
  std::vector<uint32_t> items;
  for (const Step& step : plan.tasks[1].steps) items.push_back(step.item);
  EXPECT_THAT(items, ElementsAre(0u, 2u, 3u));
  for (const Task& task : plan.tasks) {
    EXPECT_EQ(task.atomicity, Atomicity::kEach);
    ASSERT_TRUE(task.guard.has_value());
    EXPECT_EQ(task.guard->request_id, "7b3c");
    EXPECT_EQ(task.guard->request_hash, 9u);
  }
  op.single_shard = true;
  EXPECT_THAT(Write(op), HasReason(reason::kCrossShardTransaction));
}

Mutation InsertCountry() {
  Record record;
  record["code"] = Value::Text("de");
  return MakeMutation(MutationKind::kInsert, "countries", std::move(record));
}

TEST_F(PlannerTest, SendsAReferenceWriteEverywhereAndASingleTablesWriteToItsShard) {
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(InsertCountry()));
  EXPECT_THAT(plan.tasks, IsEmpty());
  ASSERT_EQ(plan.reference_writes.size(), 1u);
  EXPECT_THAT(*plan.reference_writes[0].step.statements[0].sql, HasSubstr(R"(RETURNING "code", "name")"));
  ASSERT_OK_AND_ASSIGN(const WritePlan single, WriteOne(MakeMutation(MutationKind::kDelete, "jobs", {}, Id(7))));
  EXPECT_EQ(single.tasks.at(0).shard, ShardId{0});
}

TEST_F(PlannerTest, TreatsAReferenceTableAsAnyOtherWhenThereIsOneShard) {
  snapshot_ = ShopSnapshot(1);
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(InsertCountry()));
  EXPECT_EQ(plan.tasks.size(), 1u);
  EXPECT_THAT(plan.reference_writes, IsEmpty());
}

TEST_F(PlannerTest, TakesAReferenceWriteForMoreThanOneShard) {
  WriteOperation op = WriteOf({InsertCountry(), InsertUser(1)});
  EXPECT_THAT(Write(op), IsOk());
  op.single_shard = true;
  const absl::Status status = Write(op).status();
  EXPECT_THAT(status, HasReason(reason::kCrossShardTransaction));
  EXPECT_THAT(std::string(status.message()), HasSubstr("s1"));
}

TEST_F(PlannerTest, GivesReplicasTheRowThatTheFirstShardMade) {
  ASSERT_OK_AND_ASSIGN(const WritePlan plan, WriteOne(InsertCountry()));
  const Row made = {Value::Text("de"), Value::Text("by default")};
  const Step step = planner_.ReplicaStep(plan.reference_writes[0], made, Dialect::kSqlite);
  EXPECT_EQ(*step.statements.at(0).sql, R"(INSERT INTO "countries" ("code", "name") VALUES (?1, ?2))");
  EXPECT_EQ(step.statements[0].params, made);
  Record record;
  record["name"] = Value::Text("x");
  ASSERT_OK_AND_ASSIGN(const WritePlan update, WriteOne(MakeMutation(MutationKind::kUpdate, "countries", record,
                                                                     KeyOf({Value::Text("de")}))));
  const Step changed = planner_.ReplicaStep(update.reference_writes[0], made, Dialect::kPostgres);
  EXPECT_EQ(*changed.statements.at(0).sql, R"(UPDATE "countries" SET "name" = $1 WHERE "code" = $2)");
  EXPECT_THAT(changed.statements[0].params, ElementsAre(Value::Text("by default"), Value::Text("de")));
  EXPECT_EQ(changed.statements[0].check.kind, Check::Kind::kRowRequired);
  Mutation upsert = InsertCountry();
  upsert.kind = MutationKind::kUpsert;
  ASSERT_OK_AND_ASSIGN(const WritePlan either, WriteOne(upsert));
  const Step put = planner_.ReplicaStep(either.reference_writes.at(0), made, Dialect::kPostgres);
  EXPECT_EQ(*put.statements.at(0).sql, R"(INSERT INTO "countries" ("code", "name") VALUES ($1, $2) ON CONFLICT ("code") )"
                                       R"(DO UPDATE SET "name" = excluded."name")");
  EXPECT_EQ(put.statements[0].params, made);
}

TEST_F(PlannerTest, ForgetsTheTextsOfAnOlderSnapshot) {
  ASSERT_OK_AND_ASSIGN(const WritePlan before, WriteOne(InsertUser(1)));
  snapshot_ = ShopSnapshot(3, {Dialect::kSqlite});
  ASSERT_OK_AND_ASSIGN(const WritePlan after, WriteOne(InsertUser(1)));
  EXPECT_THAT(*OnlyStatement(before).sql, HasSubstr("$1"));
  EXPECT_THAT(*OnlyStatement(after).sql, HasSubstr("?1"));
}

}  // namespace
}  // namespace quarry
