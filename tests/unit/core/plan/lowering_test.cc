#include "core/plan/lowering.h"

#include <string>
#include <utility>
#include <vector>

#include "core/catalog/catalog.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {
namespace {

Table Single() {
  return Table(Declare("users", TableKind::kSharded, {"id"}),
               MakeSchema("users", {MakeColumn("id", TypeKind::kInt64), MakeColumn("name", TypeKind::kText)}, {"id"}));
}

// The key's order is not the columns' order.
Table Composite() {
  return Table(Declare("shop.lines", TableKind::kSharded, {"b"}),
               MakeSchema("shop.lines",
                          {MakeColumn("a", TypeKind::kInt64), MakeColumn("v", TypeKind::kText),
                           MakeColumn("b", TypeKind::kUuid)},
                          {"b", "a"}));
}

std::string Text(const LoweredSql& lowered) { return *lowered.sql; }

TEST(LoweringTest, MakesPostgresTextsForASingleKey) {
  Lowering lowering;
  const Table table = Single();
  const Dialect pg = Dialect::kPostgres;
  EXPECT_EQ(Text(lowering.PointRead(table, pg, {1}, RowLock::kNone)), R"(SELECT "name" FROM "users" WHERE "id" = $1)");
  EXPECT_EQ(Text(lowering.LockedRead(table, pg, {0, 1})),
            R"(SELECT "id", "name" FROM "users" WHERE "id" = $1 FOR UPDATE)");
  EXPECT_EQ(Text(lowering.BatchRead(table, {0, 1}, RowLock::kNone)), R"(SELECT "id", "name" FROM "users" WHERE "id" = ANY($1))");
  EXPECT_EQ(Text(lowering.Insert(table, pg, {0, 1}, false)), R"(INSERT INTO "users" ("id", "name") VALUES ($1, $2))");
  EXPECT_EQ(Text(lowering.Insert(table, pg, {}, true)),
            R"(INSERT INTO "users" DEFAULT VALUES RETURNING "id", "name")");
  EXPECT_EQ(Text(lowering.Upsert(table, pg, {0, 1}, true)),
            R"(INSERT INTO "users" ("id", "name") VALUES ($1, $2) ON CONFLICT ("id") DO UPDATE SET )"
            R"("name" = excluded."name" RETURNING "id", "name")");
  EXPECT_EQ(Text(lowering.Upsert(table, pg, {0}, false)),
            R"(INSERT INTO "users" ("id") VALUES ($1) ON CONFLICT ("id") DO UPDATE SET "id" = excluded."id")");
  EXPECT_EQ(Text(lowering.Update(table, pg, {1}, false)), R"(UPDATE "users" SET "name" = $1 WHERE "id" = $2)");
  EXPECT_EQ(Text(lowering.Delete(table, pg, true)),
            R"(DELETE FROM "users" WHERE "id" = $1 RETURNING "id", "name")");
}

TEST(LoweringTest, GivesSqliteADefaultInTheFormThatIsCompared) {
  Column made = MakeColumn("made", TypeKind::kTimestamp);
  made.default_in_form = "now()";
  const Table table(Declare("users", TableKind::kSharded, {"id"}), MakeSchema("users", {MakeColumn("id", TypeKind::kInt64), made}, {"id"}));
  Lowering lowering;
  EXPECT_EQ(Text(lowering.Insert(table, Dialect::kSqlite, {0}, false)), R"(INSERT INTO "users" ("id", "made") VALUES (?1, now()))");
  EXPECT_EQ(Text(lowering.Insert(table, Dialect::kSqlite, {}, false)), R"(INSERT INTO "users" ("made") VALUES (now()))");
  EXPECT_EQ(Text(lowering.Insert(table, Dialect::kSqlite, {0, 1}, false)), R"(INSERT INTO "users" ("id", "made") VALUES (?1, ?2))");
  EXPECT_EQ(Text(lowering.Insert(table, Dialect::kPostgres, {0}, false)), R"(INSERT INTO "users" ("id") VALUES ($1))");
  EXPECT_EQ(Text(lowering.Upsert(table, Dialect::kSqlite, {0}, false)),
            R"(INSERT INTO "users" ("id", "made") VALUES (?1, now()) ON CONFLICT ("id") DO UPDATE SET "id" = excluded."id")");
}

TEST(LoweringTest, LocksRowsOnPostgresAndManyInTheOrderOfTheirKeys) {
  const Table table = Single();
  const std::string select = R"(SELECT "name" FROM "users" WHERE "id" = )";
  const std::vector<std::pair<RowLock, std::string>> locks = {
      {RowLock::kNone, ""}, {RowLock::kShare, " FOR SHARE"}, {RowLock::kUpdate, " FOR UPDATE"}};
  for (const auto& [lock, clause] : locks) {
    EXPECT_EQ(Text(Lowering::PointRead(table, Dialect::kPostgres, {1}, lock)), select + "$1" + clause);
    EXPECT_EQ(Text(Lowering::PointRead(table, Dialect::kSqlite, {1}, lock)), select + "?1");
    const std::string order = lock == RowLock::kNone ? "" : R"( ORDER BY "id")";
    EXPECT_EQ(Text(Lowering::BatchRead(table, {1}, lock)), select + "ANY($1)" + order + clause);
  }
}

TEST(LoweringTest, MakesPostgresTextsForACompositeKeyInKeyOrder) {
  Lowering lowering;
  const Table table = Composite();
  const Dialect pg = Dialect::kPostgres;
  EXPECT_EQ(Text(lowering.PointRead(table, pg, {1}, RowLock::kNone)),
            R"(SELECT "v" FROM "shop"."lines" WHERE "b" = $1 AND "a" = $2)");
  EXPECT_EQ(Text(lowering.BatchRead(table, {1, 2, 0})),
            R"(SELECT "v", "b", "a" FROM "shop"."lines" WHERE ("b", "a") IN )"
            R"((SELECT * FROM unnest($1::uuid[], $2::bigint[])))");
  EXPECT_EQ(Text(lowering.Upsert(table, pg, {0, 1, 2}, false)),
            R"(INSERT INTO "shop"."lines" ("a", "v", "b") VALUES ($1, $2, $3) ON CONFLICT ("b", "a") DO UPDATE SET )"
            R"("v" = excluded."v")");
  EXPECT_EQ(Text(lowering.Update(table, pg, {1}, true)),
            R"(UPDATE "shop"."lines" SET "v" = $1 WHERE "b" = $2 AND "a" = $3 RETURNING "a", "v", "b")");
  EXPECT_EQ(Text(lowering.Delete(table, pg, false)), R"(DELETE FROM "shop"."lines" WHERE "b" = $1 AND "a" = $2)");
}

TEST(LoweringTest, MakesSqliteListsOfKeys) {
  EXPECT_EQ(Text(Lowering::ListRead(Single(), {1, 0}, 3)),
            R"(SELECT "name", "id" FROM "users" WHERE "id" IN (?1, ?2, ?3))");
  const LoweredSql composite = Lowering::ListRead(Composite(), {1, 2, 0}, 2);
  EXPECT_EQ(Text(composite), R"(SELECT "v", "b", "a" FROM "shop.lines" WHERE ("b", "a") IN (VALUES (?1, ?2), (?3, ?4)))");
  ASSERT_EQ(composite.param_types->size(), 4u);
  EXPECT_EQ((*composite.param_types)[2].kind, TypeKind::kUuid);
}

TEST(LoweringTest, CastsKeysToTypesThatNeitherCutNorRound) {
  const std::vector<std::pair<ColumnType, std::string>> casts = {
      {{TypeKind::kText, false, "character varying(5)"}, "text"},
      {{TypeKind::kText, false, "character(5)"}, "bpchar"},
      {{TypeKind::kBool, false, "boolean"}, "boolean"},
      {{TypeKind::kInt16, false, "smallint"}, "bigint"},
      {{TypeKind::kFloat, false, "real"}, "real"},
      {{TypeKind::kDouble, false, "double precision"}, "double precision"},
      {{TypeKind::kBytes, false, "bytea"}, "bytea"},
      {{TypeKind::kTimestamp, false, "timestamp(0) without time zone"}, "timestamp"},
      {{TypeKind::kDate, false, "date"}, "date"},
      {{TypeKind::kTime, false, "time(0) without time zone"}, "time"},
      {{TypeKind::kInterval, false, "interval(0)"}, "interval"},
      {{TypeKind::kJson, false, "jsonb"}, "jsonb"},
      {{TypeKind::kDecimal, false, "numeric(9,2)"}, "numeric"},
      {{TypeKind::kTimestampTz, false, "timestamp(0) with time zone"}, "timestamptz"},
      {{TypeKind::kNative, false, "time(0) with time zone"}, "time with time zone"},
      {{TypeKind::kNative, false, "bit(3)"}, "\"bit\""},
      {{TypeKind::kNative, false, "inet"}, "inet"},
      {{TypeKind::kNative, false, "\"odd(1)\""}, "\"odd(1)\""},
  };
  for (const auto& [type, cast] : casts) {
    Lowering lowering;
    Column typed = MakeColumn("a", type.kind);
    typed.type = type;
    const Table table(Declare("t", TableKind::kReference, {}),
                      MakeSchema("t", {typed, MakeColumn("b", TypeKind::kUuid)}, {"a", "b"}));
    EXPECT_EQ(Text(lowering.BatchRead(table, {1})),
              "SELECT \"b\" FROM \"t\" WHERE (\"a\", \"b\") IN (SELECT * FROM unnest($1::" + cast + "[], $2::uuid[]))");
  }
}

TEST(LoweringTest, MakesSqliteTexts) {
  Lowering lowering;
  const Table single = Single();
  const Table composite = Composite();
  const Dialect sqlite = Dialect::kSqlite;
  EXPECT_EQ(Text(lowering.LockedRead(single, sqlite, {0, 1})),
            R"(SELECT "id", "name" FROM "users" WHERE "id" = ?1)");
  EXPECT_EQ(Text(lowering.Insert(single, sqlite, {0, 1}, true)),
            R"(INSERT INTO "users" ("id", "name") VALUES (?1, ?2) RETURNING "id", "name")");
  EXPECT_EQ(Text(lowering.PointRead(composite, sqlite, {1})),
            R"(SELECT "v" FROM "shop.lines" WHERE "b" = ?1 AND "a" = ?2)");
  EXPECT_EQ(Text(lowering.Upsert(composite, sqlite, {0, 2}, false)),
            R"(INSERT INTO "shop.lines" ("a", "b") VALUES (?1, ?2) ON CONFLICT ("b", "a") DO UPDATE SET )"
            R"("b" = excluded."b")");
  EXPECT_EQ(Text(lowering.Update(composite, sqlite, {1}, false)),
            R"(UPDATE "shop.lines" SET "v" = ?1 WHERE "b" = ?2 AND "a" = ?3)");
  EXPECT_EQ(Text(lowering.Delete(composite, sqlite, false)), R"(DELETE FROM "shop.lines" WHERE "b" = ?1 AND "a" = ?2)");
}

TEST(LoweringTest, NamesTypesOfParametersAndResultsInTheirOrder) {
  Lowering lowering;
  const Table table = Composite();
  const LoweredSql& update = lowering.Update(table, Dialect::kPostgres, {1}, true);
  ASSERT_EQ(update.param_types->size(), 3u);
  EXPECT_EQ((*update.param_types)[0].kind, TypeKind::kText);
  EXPECT_EQ((*update.param_types)[1].kind, TypeKind::kUuid);
  EXPECT_EQ((*update.param_types)[2].kind, TypeKind::kInt64);
  ASSERT_EQ(update.result_types->size(), 3u);
  EXPECT_EQ((*update.result_types)[2].kind, TypeKind::kUuid);
  const LoweredSql batch = lowering.BatchRead(table, {1});
  ASSERT_EQ(batch.param_types->size(), 2u);
  EXPECT_TRUE((*batch.param_types)[0].array);
  EXPECT_EQ((*batch.param_types)[0].kind, TypeKind::kUuid);
  EXPECT_EQ(batch.result_types->size(), 1u);
}

TEST(LoweringTest, QuotesHostileIdentifiersInBothDialects) {
  EXPECT_EQ(QuoteIdentifier(R"(a"b)"), R"("a""b")");
  EXPECT_EQ(QuoteIdentifier(R"(""; DROP TABLE x; --)"), R"("""""; DROP TABLE x; --")");
  EXPECT_EQ(QuoteIdentifier("ключ"), R"("ключ")");
  EXPECT_EQ(QuoteIdentifier("select"), R"("select")");
  EXPECT_EQ(QuoteTable("a.b", Dialect::kPostgres), R"("a"."b")");
  EXPECT_EQ(QuoteTable("a.b", Dialect::kSqlite), R"("a.b")");
  EXPECT_EQ(QuoteTable(R"(a".x"y)", Dialect::kPostgres), R"("a"""."x""y")");
  Lowering lowering;
  const Table table(Declare(R"(or"der)", TableKind::kSharded, {R"(k"ey)"}),
                    MakeSchema(R"(or"der)", {MakeColumn(R"(k"ey)", TypeKind::kInt64), MakeColumn("a.b", TypeKind::kText)},
                               {R"(k"ey)"}));
  for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
    const std::string p = dialect == Dialect::kPostgres ? "$" : "?";
    EXPECT_EQ(Text(lowering.Update(table, dialect, {1}, false)),
              R"(UPDATE "or""der" SET "a.b" = )" + p + R"(1 WHERE "k""ey" = )" + p + "2");
  }
}

TEST(LoweringTest, SharesOneTextPerShape) {
  Lowering lowering;
  const Table table = Single();
  const auto first = lowering.Update(table, Dialect::kPostgres, {1}, false).sql;
  EXPECT_EQ(lowering.Update(table, Dialect::kPostgres, {1}, false).sql, first);
  EXPECT_NE(lowering.Update(table, Dialect::kPostgres, {1}, true).sql, first);
  EXPECT_NE(*lowering.Update(table, Dialect::kSqlite, {1}, false).sql, *first);
  EXPECT_EQ(lowering.LockedRead(table, Dialect::kPostgres, {1}).sql,
            lowering.LockedRead(table, Dialect::kPostgres, {1}).sql);
}

TEST(LoweringTest, TellsColumnsBeyond255Apart) {
  std::vector<Column> columns = {MakeColumn("id", TypeKind::kInt64)};
  for (int i = 1; i < 600; ++i) columns.push_back(MakeColumn("c" + std::to_string(i), TypeKind::kText));
  const Table table(Declare("wide", TableKind::kSharded, {"id"}), MakeSchema("wide", columns, {"id"}));
  Lowering lowering;
  EXPECT_EQ(Text(lowering.PointRead(table, Dialect::kPostgres, {1})), R"(SELECT "c1" FROM "wide" WHERE "id" = $1)");
  EXPECT_EQ(Text(lowering.PointRead(table, Dialect::kPostgres, {257})),
            R"(SELECT "c257" FROM "wide" WHERE "id" = $1)");
}

}  // namespace
}  // namespace quarry
