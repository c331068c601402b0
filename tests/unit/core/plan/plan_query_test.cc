#include "core/plan/plan_query.h"

#include <string>

#include "core/plan/plan_bulk_write.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class PlanQueryTest : public ::testing::Test {
 protected:
  explicit PlanQueryTest() {
    op_.table = "users";
    op_.columns = {"name"};
  }
  absl::StatusOr<QueryPlan> Plan() { return PlanQuery(op_, part_, *snapshot_, texts_); }
  // The text for the shard at `index`: s0 is PostgreSQL, s1 SQLite.
  std::string Sql(size_t index = 0) {
    const absl::StatusOr<QueryPlan> plan = Plan();
    EXPECT_THAT(plan, IsOk());
    return plan.ok() ? *plan->statements.at(index).second.sql : "";
  }
  void Order(std::string column, bool descending = false, NullPlacement nulls = NullPlacement::kDefault) {
    OrderTerm term;
    term.column = std::move(column);
    term.descending = descending;
    term.nulls = nulls;
    op_.order_by.push_back(std::move(term));
  }
  void After(Row values) {
    position_.after = std::move(values);
    part_.position = &position_;
  }
  void Equal(std::string column, Value value) {
    Condition condition;
    condition.kind = Condition::Kind::kCompare;
    condition.column = std::move(column);
    condition.values = {std::move(value)};
    op_.filter = std::move(condition);
  }

  std::shared_ptr<const Snapshot> snapshot_ = ShopSnapshot(2, {Dialect::kPostgres, Dialect::kSqlite});
  QueryOperation op_;
  QueryPosition position_;
  QueryPart part_;
  SqlTexts texts_;
};

TEST_F(PlanQueryTest, ReadsTheHiddenKeyLastAndEndsTheOrderInIt) {
  ASSERT_OK_AND_ASSIGN(const QueryPlan plan, Plan());
  EXPECT_EQ(*plan.statements[0].second.sql, "SELECT t0.\"name\", t0.\"id\" FROM \"users\" AS t0 ORDER BY t0.\"id\"");
  EXPECT_EQ(plan.visible, 1u);
  ASSERT_THAT(plan.merge.order, SizeIs(1));
  EXPECT_EQ(plan.merge.order[0].position, 1u);
  EXPECT_THAT(*plan.header, SizeIs(1));
  EXPECT_THAT(*plan.statements[0].second.result_types, SizeIs(2));
  EXPECT_TRUE(plan.statements[0].second.returns_rows);
}

TEST_F(PlanQueryTest, SaysWhereNullsGoOnlyWhereTheDatabaseWouldDoOtherwise) {
  Order("balance");
  EXPECT_THAT(Sql(0), HasSubstr("ORDER BY t0.\"balance\", t0.\"id\""));
  EXPECT_THAT(Sql(1), HasSubstr("ORDER BY t0.\"balance\" COLLATE quarry_decimal NULLS LAST, t0.\"id\""));
  op_.order_by.clear();
  Order("balance", true, NullPlacement::kLast);
  EXPECT_THAT(Sql(0), HasSubstr("ORDER BY t0.\"balance\" DESC NULLS LAST, t0.\"id\""));
  EXPECT_THAT(Sql(1), HasSubstr("ORDER BY t0.\"balance\" COLLATE quarry_decimal DESC, t0.\"id\""));
}

TEST_F(PlanQueryTest, GivesEveryShardTheWholeLimit) {
  op_.offset = 5;
  op_.limit = part_.limit = 10;
  ASSERT_OK_AND_ASSIGN(const QueryPlan plan, Plan());
  EXPECT_THAT(*plan.statements[0].second.sql, HasSubstr(" LIMIT $1"));
  EXPECT_THAT(plan.statements[0].second.params, ElementsAre(Value::Int64(15)));
  EXPECT_EQ(plan.merge.offset, 5);
  EXPECT_EQ(plan.merge.limit, 10);
  After({Value::Int64(3)});
  ASSERT_OK_AND_ASSIGN(const QueryPlan later, Plan());
  EXPECT_EQ(later.merge.offset, 0);
  EXPECT_THAT(later.statements[0].second.params, ElementsAre(Value::Int64(3), Value::Int64(10)));
}

TEST_F(PlanQueryTest, ComparesWholeRowsWhereOneDirectionAndNoNullsAllowIt) {
  op_.table = "orders";
  op_.columns = {"note"};
  After({Value::Int64(3), Value::Int64(4)});
  EXPECT_THAT(Sql(0), HasSubstr("WHERE (t0.\"customer\", t0.\"number\") > ($1, $2) ORDER BY"));
  position_.inclusive = true;
  position_.backward = true;
  EXPECT_THAT(Sql(1), HasSubstr("WHERE (t0.\"customer\", t0.\"number\") <= (?1, ?2) ORDER BY t0.\"customer\" DESC, "
                                "t0.\"number\" DESC"));
}

TEST_F(PlanQueryTest, ComparesTermByTermWhereDirectionsDiffer) {
  op_.table = "orders";
  op_.columns = {"note"};
  Order("customer", true);
  After({Value::Int64(3), Value::Int64(4)});
  EXPECT_THAT(Sql(0), HasSubstr("WHERE t0.\"customer\" <= $1 AND (t0.\"customer\" < $2 OR (t0.\"customer\" = $3 AND "
                                "(t0.\"number\" > $4))) ORDER BY"));
}

TEST_F(PlanQueryTest, KnowsWhatComesAfterNullsAndBeforeThem) {
  Order("balance");
  After({Value::Decimal("1.5"), Value::Int64(4)});
  EXPECT_THAT(Sql(0), HasSubstr("WHERE ((t0.\"balance\" > $1 OR t0.\"balance\" IS NULL) OR (t0.\"balance\" = $2 AND "
                                "(t0.\"id\" > $3)))"));
  After({Value::Null(), Value::Int64(4)});
  EXPECT_THAT(Sql(0), HasSubstr("WHERE (1 = 0 OR (t0.\"balance\" IS NULL AND (t0.\"id\" > $1)))"));
  position_.backward = true;
  EXPECT_THAT(Sql(0), HasSubstr("WHERE (t0.\"balance\" IS NOT NULL OR (t0.\"balance\" IS NULL AND (t0.\"id\" < $1)))"));
  EXPECT_THAT(Sql(0), HasSubstr("ORDER BY t0.\"balance\" DESC, t0.\"id\" DESC"));
}

TEST_F(PlanQueryTest, RefusesAPositionThatDoesNotFitTheTable) {
  After({Value::Text("x")});
  EXPECT_EQ(DetailOf(Plan().status()).violations.at(0).field, "page_token");
  After({Value::Null()});
  EXPECT_THAT(Plan(), HasReason(reason::kInvalidField));
  After({});
  EXPECT_THAT(Plan(), HasReason(reason::kInvalidField));
}

TEST_F(PlanQueryTest, CompletesADistinctOrderWithTheSelectedColumns) {
  op_.columns = {"name", "balance"};
  op_.distinct = true;
  Order("balance", true);
  ASSERT_OK_AND_ASSIGN(const QueryPlan plan, Plan());
  EXPECT_EQ(*plan.statements[1].second.sql,
            "SELECT DISTINCT t0.\"name\", t0.\"balance\" COLLATE quarry_decimal FROM \"users\" AS t0 ORDER BY "
            "t0.\"balance\" COLLATE quarry_decimal DESC NULLS FIRST, t0.\"name\" NULLS LAST");
  EXPECT_TRUE(plan.merge.distinct);
  Order("id");
  EXPECT_EQ(DetailOf(Plan().status()).violations.at(0).field, "order_by[1]");
}

TEST_F(PlanQueryTest, NarrowsToTheShardsOfFilterAndTarget) {
  Equal("id", Value::Int64(3));
  ASSERT_OK_AND_ASSIGN(const QueryPlan one, Plan());
  EXPECT_THAT(one.route.shards, ElementsAre(ShardId{1}));
  op_.target.shards = {"s0"};
  ASSERT_OK_AND_ASSIGN(const QueryPlan none, Plan());
  EXPECT_THAT(none.statements, IsEmpty());
  op_ = QueryOperation();
  op_.table = "countries";
  part_.spread = ShardId{1};
  ASSERT_OK_AND_ASSIGN(const QueryPlan reference, Plan());
  EXPECT_THAT(reference.route.shards, ElementsAre(ShardId{1}));
  ASSERT_THAT(reference.alternates, SizeIs(1));
  EXPECT_EQ(reference.alternates[0].first, ShardId{0});
  part_.pinned = true;
  EXPECT_THAT(Plan()->alternates, IsEmpty());
}

TEST_F(PlanQueryTest, KeepsTheReserveOfAReferenceTableWithinTheTarget) {
  snapshot_ = ShopSnapshot(4);
  op_ = QueryOperation();
  op_.table = "countries";
  op_.target.shards = {"s3", "s1"};
  part_.spread = ShardId{2};
  ASSERT_OK_AND_ASSIGN(const QueryPlan plan, Plan());
  EXPECT_THAT(plan.route.shards, ElementsAre(ShardId{1}));
  ASSERT_THAT(plan.alternates, SizeIs(1));
  EXPECT_EQ(plan.alternates[0].first, ShardId{3});
}

TEST_F(PlanQueryTest, RefusesATargetWithoutTheShardOfASingleTable) {
  op_ = QueryOperation();
  op_.table = "jobs";
  op_.target.shards = {"s1"};
  const ErrorDetail detail = DetailOf(Plan().status());
  ASSERT_THAT(detail.violations, SizeIs(1));
  EXPECT_EQ(detail.violations[0].field, "target");
  EXPECT_EQ(detail.violations[0].description, "leaves out shard s0, where table jobs lives; name it, or leave target out");
  op_.target.shards = {"s0", "s1"};
  EXPECT_THAT(Plan(), IsOk());
}

// things(id, doc): sharded by id; `key` is the kind of a second key column "k".
std::shared_ptr<const Snapshot> ThingsSnapshot(TypeKind key) {
  return MakeSnapshot(1, {Dialect::kPostgres},
                      {{Declare("things", TableKind::kSharded, {"id"}),
                        MakeSchema("things",
                                   {MakeColumn("id", TypeKind::kInt64, false), MakeColumn("k", key, false),
                                    MakeColumn("doc", TypeKind::kJson)},
                                   {"id", "k"})}});
}

TEST_F(PlanQueryTest, RefusesOrdersByTypesWithoutOne) {
  const auto problem = [this] {
    const ErrorDetail detail = DetailOf(Plan().status());
    return detail.violations.size() == 1 ? absl::StrCat(detail.violations[0].field, ": ", detail.violations[0].description)
                                         : absl::StrCat(detail.violations.size(), " violations");
  };
  snapshot_ = ThingsSnapshot(TypeKind::kInt64);
  op_.table = "things";
  op_.columns = {"id"};
  Order("doc");
  EXPECT_EQ(problem(), "order_by[0]: column \"doc\" is of type json, which has no order that all databases share; order by "
                       "another column");
  op_.order_by.clear();
  op_.columns = {"id", "doc"};
  EXPECT_THAT(Plan(), IsOk());
  op_.distinct = true;
  EXPECT_EQ(problem(), "distinct: column \"doc\" is of type json, which has no order that all databases share, so rows cannot be "
                       "told apart by it; leave it out of columns");
  snapshot_ = ThingsSnapshot(TypeKind::kInterval);
  op_.distinct = false;
  EXPECT_EQ(problem(), "table: column \"k\" is of type interval, which has no order that all databases share, and it is part of the "
                       "primary key, which ends every order");
}

TEST_F(PlanQueryTest, TakesPositionsOfTheColumnsOwnKindOnly) {
  const std::vector<std::pair<TypeKind, Value>> fitting = {
      {TypeKind::kBool, Value::Bool(true)},
      {TypeKind::kInt16, Value::Int64(1)},
      {TypeKind::kFloat, Value::Double(1.5)},
      {TypeKind::kText, Value::Text("1")},
      {TypeKind::kBytes, Value::Bytes("1")},
      {TypeKind::kTimestamp, Value::Timestamp(1)},
      {TypeKind::kTimestampTz, Value::Timestamp(1)},
      {TypeKind::kDate, Value::Date("2026-01-31")},
      {TypeKind::kTime, Value::Time("10:11:00")},
      {TypeKind::kDecimal, Value::Decimal("1.5")},
      {TypeKind::kUuid, Value::Uuid("0190a6e0-0000-7000-8000-000000000001")}};
  op_.table = "things";
  op_.columns = {"id"};
  for (const auto& [kind, own] : fitting) {
    snapshot_ = ThingsSnapshot(kind);
    for (const auto& [other, value] : fitting) {
      After({Value::Int64(1), value});
      const absl::StatusOr<QueryPlan> plan = Plan();
      const std::string what = absl::StrCat(TypeName({kind, false, ""}), " ", ValueKindName(value.kind()));
      if (value.kind() == own.kind()) {
        EXPECT_THAT(plan, IsOk()) << what;
      } else {
        EXPECT_THAT(plan, HasReason(reason::kInvalidField)) << what;
      }
    }
  }
}

TEST_F(PlanQueryTest, GivesTheSameTextForTheSameShape) {
  Equal("id", Value::Int64(3));
  const std::shared_ptr<const std::string> first = Plan()->statements.at(0).second.sql;
  Equal("id", Value::Int64(5));
  EXPECT_EQ(Plan()->statements.at(0).second.sql, first);
}

TEST_F(PlanQueryTest, KeepsItsTextsWithinBounds) {
  for (int i = 0; i < 10'000; ++i) {
    texts_.Intern(std::make_shared<const std::string>(absl::StrCat("SELECT ", i)));
  }
  EXPECT_LE(texts_.size(), 4'096u);
  SqlTexts large;
  for (char c = 'a'; c <= 'z'; ++c) {
    const auto text = std::make_shared<const std::string>(size_t{1} << 20, c);
    EXPECT_EQ(large.Intern(text), text);
    EXPECT_EQ(large.Intern(std::make_shared<const std::string>(*text)), text);
    EXPECT_LE(large.size(), 8u);
  }
  SqlTexts small;
  const auto huge = std::make_shared<const std::string>(size_t{3} << 20, 'x');
  EXPECT_EQ(small.Intern(huge), huge);
  EXPECT_EQ(small.size(), 0u) << "a text of more than a quarter of the room is not kept";
}

class PlanBulkWriteTest : public PlanQueryTest {
 protected:
  PlanBulkWriteTest() {
    bulk_.table = "orders";
    bulk_.everything = true;
    bulk_.many_shards = true;
    bulk_.set["note"] = Value::Text("done");
  }
  BulkWriteOperation bulk_;
};

TEST_F(PlanBulkWriteTest, WritesBatchesAlongTheKey) {
  ASSERT_OK_AND_ASSIGN(const BulkWritePlan plan, PlanBulkWrite(bulk_, *snapshot_, BulkWriteLimits()));
  const Row after = {Value::Int64(1), Value::Int64(2)};
  const Statement batch = BulkBatch(plan, &after, 50, Dialect::kPostgres, texts_);
  EXPECT_EQ(*batch.sql,
            "WITH quarry_batch AS MATERIALIZED (SELECT \"customer\", \"number\" FROM \"orders\" AS t0 WHERE "
            "(t0.\"customer\", t0.\"number\") > ($1, $2) ORDER BY t0.\"customer\", t0.\"number\" LIMIT $3 FOR UPDATE) "
            "UPDATE \"orders\" SET \"note\" = $4 WHERE (\"customer\", \"number\") IN (SELECT \"customer\", \"number\" FROM "
            "quarry_batch) RETURNING \"customer\", \"number\"");
  EXPECT_THAT(batch.params, ElementsAre(Value::Int64(1), Value::Int64(2), Value::Int64(50), Value::Text("done")));
  EXPECT_TRUE(batch.writes);
  bulk_.deletes = true;
  ASSERT_OK_AND_ASSIGN(const BulkWritePlan deletes, PlanBulkWrite(bulk_, *snapshot_, BulkWriteLimits()));
  EXPECT_THAT(*BulkBatch(deletes, nullptr, 50, Dialect::kSqlite, texts_).sql,
              HasSubstr("LIMIT ?1) DELETE FROM \"orders\" WHERE (\"customer\", \"number\") IN"));
  EXPECT_EQ(*BulkRest(deletes, nullptr, Dialect::kSqlite, texts_).sql, "SELECT 1 FROM \"orders\" AS t0 LIMIT 1");
}

TEST_F(PlanBulkWriteTest, TellsWhatIsTooLargeAndWhatHasNoOrder) {
  BulkWriteLimits limits;
  limits.row_bytes_max = 64;
  limits.batch_rows_max = 50;
  const auto problems = [&] {
    std::vector<std::string> lines;
    for (const FieldViolation& violation : DetailOf(PlanBulkWrite(bulk_, *snapshot_, limits).status()).violations) {
      lines.push_back(absl::StrCat(violation.field, ": ", violation.description));
    }
    return lines;
  };
  bulk_.set["note"] = Value::Text(std::string(100, 'x'));
  bulk_.batch_rows = 51;
  const std::string rows = "batch_rows: is between 1 and 50, or 0 for the default";
  EXPECT_THAT(problems(), ElementsAre(::testing::MatchesRegex("set: has 1[0-9][0-9] bytes; at most 64 are allowed "
                                                              "\\(limits.row_bytes\\)"),
                                      rows));
  bulk_.set["note"] = Value::Text("x");
  bulk_.batch_rows = -1;
  EXPECT_THAT(problems(), ElementsAre(rows));
  bulk_.batch_rows = 50;
  EXPECT_THAT(problems(), IsEmpty());
  snapshot_ = ThingsSnapshot(TypeKind::kInterval);
  bulk_.table = "things";
  bulk_.deletes = true;
  EXPECT_THAT(problems(), ElementsAre("table: key column \"k\" is of type interval, which has no order that all databases share, so "
                                      "its rows cannot be written in batches; write them by key with BatchWrite"));
}

}  // namespace
}  // namespace quarry
