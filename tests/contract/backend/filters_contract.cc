// A filter means on the database what Evaluate says that it means: over columns of every ordered type, with nulls, NaN and texts that
// collations would order in other ways.
#include <iostream>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/merge/aggregate.h"
#include "core/model/order.h"
#include "core/plan/filter.h"
#include "core/plan/lowering.h"
#include "gmock/gmock.h"
#include "tests/contract/backend/rows_contract.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

// One table of one shard, and its rows.
class Filtered {
 public:
  Filtered(BackendRowsContract& test, Dialect dialect) : test_(test), dialect_(dialect) {}

  absl::Status Create(const std::string& postgres, const std::string& sqlite) {
    const absl::Status made = test_.fixture().Schema(dialect_ == Dialect::kSqlite ? sqlite : postgres);
    if (!made.ok()) return made;
    absl::StatusOr<ShardSchema> schema = test_.fixture().Introspect({"r"});
    if (!schema.ok()) return schema.status();
    TableDeclaration declaration;
    declaration.name = "r";
    declaration.kind = TableKind::kSingle;
    declaration.shard = kContractShard;
    absl::StatusOr<Catalog> catalog = BuildCatalog({declaration}, {*std::move(schema)});
    if (!catalog.ok()) return catalog.status();
    catalog_ = *std::move(catalog);
    return absl::OkStatus();
  }

  const Table& table() const { return catalog_.tables().begin()->second; }
  const std::vector<Row>& rows() const { return rows_; }

  void Insert(Row row) {
    Lowering lowering;
    std::vector<size_t> all;
    for (size_t i = 0; i < row.size(); ++i) all.push_back(i);
    const LoweredSql& sql = lowering.Insert(table(), dialect_, all, false);
    Statement statement;
    statement.sql = sql.sql;
    statement.param_types = sql.param_types;
    statement.params = row;
    statement.writes = true;
    ASSERT_THAT(test_.Execute(BackendRowsContract::TaskOf({statement})), IsOk());
    rows_.push_back(std::move(row));
  }

  absl::StatusOr<Predicate> Check(const Condition& condition) const {
    return CheckFilter(condition, table(), catalog_, FilterLimits());
  }

  absl::StatusOr<std::set<int64_t>> Matching(const Predicate& predicate) {
    SqlText sql(dialect_);
    sql << "SELECT id FROM r AS t0 WHERE ";
    WritePredicate(predicate, "t0", sql);
    Statement statement = std::move(sql).Take();
    statement.returns_rows = true;
    absl::StatusOr<TaskResult> result = test_.Execute(BackendRowsContract::TaskOf({statement}));
    if (!result.ok()) return WithMessage(result.status(), absl::StrCat(std::string(result.status().message()), " in ", *statement.sql));
    std::set<int64_t> ids;
    for (const Row& row : result->steps.at(0).statements.at(0).batch.rows) ids.insert(row[0].int64_value());
    return ids;
  }

  absl::StatusOr<std::set<int64_t>> Matching(const std::string& text) {
    const FilterLimits limits;
    absl::StatusOr<Condition> condition = ParseFilter(text, {}, limits, "filter");
    if (!condition.ok()) return condition.status();
    const absl::StatusOr<Predicate> predicate = Check(*condition);
    if (!predicate.ok()) return predicate.status();
    return Matching(*predicate);
  }

  std::set<int64_t> Expected(const Predicate& predicate) const {
    std::set<int64_t> ids;
    for (const Row& row : rows_) {
      if (Evaluate(predicate, row) == true) ids.insert(row[0].int64_value());
    }
    return ids;
  }

 private:
  BackendRowsContract& test_;
  const Dialect dialect_;
  Catalog catalog_;
  std::vector<Row> rows_;
};

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The values of each column of the table below; some of them lie beyond their columns.
std::vector<std::vector<Value>> Values() {
  const auto texts = [](const std::vector<std::string>& all) {
    std::vector<Value> values;
    for (const std::string& text : all) values.push_back(Value::Text(text));
    return values;
  };
  const std::vector<Value> integers = {Value::Int64(-3), Value::Int64(0), Value::Int64(7), Value::Int64(32'767)};
  const std::vector<Value> some_texts = texts({"", "a", "B", "b", "ab", "a b", "Ä", "z", "a%", "a_", "a\\", "\xf4\x8f\xbf\xbf", "'"});
  return {integers,
          integers,
          integers,
          integers,
          {Value::Double(-1.5), Value::Double(0), Value::Double(2), Value::Double(kNaN), Value::Double(kInfinity), Value::Double(1e300)},
          {Value::Decimal("1.5"), Value::Decimal("1.50"), Value::Decimal("-20"), Value::Decimal("9"), Value::Decimal("10"), Value::Decimal("NaN")},
          some_texts,
          some_texts,
          {Value::Bytes(""), Value::Bytes(std::string("\0", 1)), Value::Bytes("\xff"), Value::Bytes("a")},
          {Value::Bool(false), Value::Bool(true)},
          {Value::Timestamp(0), Value::Timestamp(1), Value::Timestamp(-1), Value::Native("timestamp", "infinity")},
          {Value::Timestamp(0), Value::Timestamp(1'769'854'272'123'456), Value::Native("timestamptz", "-infinity")},
          {Value::Date("2026-01-31"), Value::Date("0999-12-31"), Value::Native("date", "infinity")},
          {Value::Time("00:00:00"), Value::Time("10:00:00.5"), Value::Time("10:00:00"), Value::Time("24:00:00")},
          {Value::Uuid("0190a6e0-0000-7000-8000-000000000001"), Value::Uuid("f190a6e0-0000-7000-8000-000000000001")}};
}

constexpr char kPostgresTable[] =
    "CREATE TABLE r(id bigint PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f8 double precision, n numeric, t text COLLATE \"en-x-icu\", "
    "v varchar(20), b bytea, bo boolean, ts timestamp, tz timestamptz, d date, tm time, u uuid)";
constexpr char kSqliteTable[] =
    "CREATE TABLE r(id BIGINT PRIMARY KEY, i2 SMALLINT, i4 INT4, i8 BIGINT, f8 DOUBLE, n DECIMAL_TEXT, t TEXT COLLATE NOCASE, "
    "v VARCHAR(20), b BLOB, bo BOOLEAN, ts TIMESTAMP, tz TIMESTAMPTZ, d DATE, tm TIME, u UUID)";

class RandomConditions {
 public:
  RandomConditions(const Table& table, uint64_t seed) : table_(table), values_(Values()), random_(seed) {}

  size_t Below(size_t bound) { return random_() % bound; }
  Value ValueOf(size_t column) { return values_[column][Below(values_[column].size())]; }

  Value Asked(size_t column) {
    const bool number = column <= 5 && Below(4) == 0;
    if (!number) return ValueOf(column);
    const std::vector<Value> odd = {Value::Int64(40'000), Value::Decimal("1.5"), Value::Decimal("-99999999999999999999"), Value::Double(7)};
    return odd[Below(odd.size())];
  }

  Condition Leaf() {
    Condition condition;
    const size_t column = 1 + Below(values_.size() - 1);
    condition.column = table_.columns()[column].name;
    const bool text = column == 6 || column == 7;
    switch (Below(text ? 7 : 5)) {
      case 0:
      case 1:
        condition.kind = Condition::Kind::kCompare;
        condition.op = static_cast<CompareOp>(Below(6));
        condition.values = {Asked(column)};
        if (Below(6) == 0 && (column <= 3 || text)) {
          condition.values.clear();
          condition.other_column = table_.columns()[text ? 13 - column : 1 + Below(3)].name;
        }
        break;
      case 2:
        condition.kind = Condition::Kind::kIn;
        for (size_t i = Below(4); i > 0; --i) condition.values.push_back(Asked(column));
        break;
      case 3:
        condition.kind = Condition::Kind::kBetween;
        condition.values = {Asked(column), Asked(column)};
        break;
      case 4:
        condition.kind = Condition::Kind::kIsNull;
        break;
      case 5:
        condition.kind = Condition::Kind::kPrefix;
        condition.values = {ValueOf(column)};
        break;
      default: {
        const char* const patterns[] = {"%", "a%", "_", "%b", "a\\%", "a\\\\", "%\xc3\x84%", "", "_%_"};
        condition.kind = Condition::Kind::kLike;
        condition.values = {Value::Text(patterns[Below(9)])};
      }
    }
    return condition;
  }

  Condition Any(size_t depth) {
    const size_t choice = depth == 0 ? 3 : Below(6);
    if (choice >= 3) return Leaf();
    Condition condition;
    condition.kind = choice == 0 ? Condition::Kind::kNot : choice == 1 ? Condition::Kind::kAnd : Condition::Kind::kOr;
    for (size_t i = choice == 0 ? 1 : 1 + Below(11); i > 0; --i) condition.children.push_back(Any(depth - 1));
    return condition;
  }

 private:
  const Table& table_;
  const std::vector<std::vector<Value>> values_;
  std::mt19937_64 random_;
};

TEST_P(BackendRowsContract, FiltersMeanOnTheDatabaseWhatTheyMeanInAMerge) {
  const uint64_t seed = std::random_device()();
  std::cerr << "seed " << seed << "\n";
  Filtered filtered(*this, fixture().dialect());
  ASSERT_THAT(filtered.Create(kPostgresTable, kSqliteTable), IsOk());
  RandomConditions random(filtered.table(), seed);
  for (int64_t id = 0; id < 60; ++id) {
    Row row = {Value::Int64(id)};
    for (size_t column = 1; column < 15; ++column) row.push_back(random.Below(6) == 0 ? Value::Null() : random.ValueOf(column));
    ASSERT_NO_FATAL_FAILURE(filtered.Insert(std::move(row)));
  }
  size_t matched = 0;
  for (int i = 0; i < 600; ++i) {
    ASSERT_OK_AND_ASSIGN(const Predicate predicate, filtered.Check(random.Any(3)));
    ASSERT_OK_AND_ASSIGN(const std::set<int64_t> found, filtered.Matching(predicate));
    SqlText sql(fixture().dialect());
    WritePredicate(predicate, "t0", sql);
    const Statement statement = std::move(sql).Take();
    std::string params;
    for (const Value& value : statement.params) absl::StrAppend(&params, DebugString(value), " ");
    ASSERT_EQ(found, filtered.Expected(predicate)) << *statement.sql << "\n" << params;
    matched += found.size();
  }
  EXPECT_GT(matched, 1'000U);
}

TEST_P(BackendRowsContract, FiltersOfPostgresTypesOfItsOwn) {
  if (sqlite()) GTEST_SKIP() << "SQLite has none of these types and collations: its columns are covered by the tests above";
  Filtered filtered(*this, fixture().dialect());
  ASSERT_THAT(filtered.Create("CREATE TYPE mood AS ENUM ('low', 'high');"
                              "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);"
                              "CREATE TABLE r(id bigint PRIMARY KEY, m mood, c char(5), f real, k text COLLATE nocase, n name, a inet)",
                              ""),
              IsOk());
  EXPECT_TRUE(filtered.table().columns()[1].enumeration);
  EXPECT_FALSE(filtered.table().columns()[2].byte_order);
  EXPECT_FALSE(filtered.table().columns()[6].enumeration);
  ASSERT_THAT(fixture().Schema("INSERT INTO r VALUES (1, 'low', 'ab', 0.1, 'Ab', 'x', '::1'), (2, 'high', 'abc', 2, 'ab', 'y', NULL)"), IsOk());
  using Ids = std::set<int64_t>;
  const std::vector<std::pair<std::string, Ids>> cases = {
      {"m = 'low'", {1}},           {"m > 'high'", {1}},           {"m IN ('high', 'none')", {2}}, {"m LIKE 'h%'", {2}},
      {"c = 'ab'", {1}},            {"c = 'ab   '", {1}},          {"c < 'abc'", {1}},             {"c IN ('abc', 'q')", {2}},
      {"starts_with(c, 'ab')", {1, 2}}, {"f = 0.1", {1}},          {"f < 1e39", {1, 2}},           {"f IN (0.1, 2)", {1, 2}},
      {"k = 'ab'", {2}},            {"k IN ('Ab')", {1}},          {"k < 'a'", {1}},               {"k LIKE 'a%'", {2}},
      {"n = 'x'", {1}},             {"n IN ('x', 'y')", {1, 2}},   {"a IS NULL", {2}},             {"k = n OR id = id", {1, 2}}};
  for (const auto& [text, ids] : cases) {
    const absl::StatusOr<Ids> found = filtered.Matching(text);
    ASSERT_THAT(found, IsOk()) << text;
    EXPECT_EQ(*found, ids) << text;
  }
  EXPECT_THAT(std::string(filtered.Matching("a = '::1'").status().message()), HasSubstr("takes IS NULL and IS NOT NULL only"));
}

TEST_P(BackendRowsContract, FiltersFollowRelations) {
  const std::string tables =
      "CREATE TABLE p(id BIGINT PRIMARY KEY, name TEXT);"
      "CREATE TABLE c(id BIGINT PRIMARY KEY, p BIGINT REFERENCES p(id), boss BIGINT REFERENCES c(id), n BIGINT)";
  CreateTables(tables);
  ASSERT_THAT(fixture().Schema("INSERT INTO p VALUES (1, 'a'), (2, 'b'), (3, NULL);"
                               "INSERT INTO c VALUES (1, 1, NULL, 5), (2, 1, 1, 6), (3, 2, 1, NULL), (4, NULL, 3, 7)"),
              IsOk());
  ASSERT_OK_AND_ASSIGN(const ShardSchema schema, fixture().Introspect({"p", "c"}));
  std::vector<TableDeclaration> declarations(2);
  for (TableDeclaration& declaration : declarations) {
    declaration.kind = TableKind::kSingle;
    declaration.shard = kContractShard;
  }
  declarations[0].name = "p";
  declarations[1].name = "c";
  ASSERT_OK_AND_ASSIGN(const Catalog catalog, BuildCatalog(declarations, {schema}));
  const auto matching = [&](const std::string& table, const std::string& text) -> std::vector<int64_t> {
    const FilterLimits limits;
    const absl::StatusOr<Condition> condition = ParseFilter(text, {}, limits, "filter");
    EXPECT_THAT(condition, IsOk());
    const absl::StatusOr<Predicate> predicate = CheckFilter(*condition, catalog.tables().find(table)->second, catalog, limits);
    EXPECT_THAT(predicate, IsOk());
    if (!predicate.ok()) return {};
    SqlText sql(fixture().dialect());
    sql << "SELECT id FROM " << table << " AS t0 WHERE ";
    WritePredicate(*predicate, "t0", sql);
    sql << " ORDER BY id";
    Statement statement = std::move(sql).Take();
    statement.returns_rows = true;
    const absl::StatusOr<TaskResult> result = Execute(TaskOf({statement}));
    EXPECT_THAT(result, IsOk()) << *statement.sql;
    std::vector<int64_t> ids;
    if (result.ok()) {
      for (const Row& row : result->steps.at(0).statements.at(0).batch.rows) ids.push_back(row[0].int64_value());
    }
    return ids;
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(matching("p", "has(c)"), (Ids{1, 2}));
  EXPECT_EQ(matching("p", "NOT has(c, n > 5)"), (Ids{2, 3}));
  EXPECT_EQ(matching("p", "c.n = 6 AND c.n = 5"), (Ids{1}));
  EXPECT_EQ(matching("p", "has(c, n = 6 AND n = 5)"), (Ids{}));
  EXPECT_EQ(matching("c", "p.name = 'a'"), (Ids{1, 2}));
  EXPECT_EQ(matching("c", "c_boss_fkey.p.name = 'a'"), (Ids{2, 3}));
  EXPECT_EQ(matching("c", "has(c_boss_fkey_children, n IS NULL)"), (Ids{1}));
  EXPECT_EQ(matching("c", "has(c_boss_fkey, has(c_boss_fkey, id = 1))"), (Ids{4}));
}

}  // namespace
}  // namespace quarry
