// Answers that must follow from each other, whatever the data: no reference is asked.
#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "tests/differential/answer.h"
#include "tests/differential/layout.h"
#include "tests/differential/test_names.h"
#include "tests/differential/world.h"
#include "tests/support/rounds.h"

namespace quarry::differential {
namespace {

const int kRelationQuestions = Rounds(120);

Schema ShuffledRows(Schema schema, uint64_t seed) {
  Dice dice(seed);
  for (TestTable& table : schema.tables) {
    for (size_t i = table.rows.size(); i > 1; --i) std::swap(table.rows[i - 1], table.rows[static_cast<size_t>(dice.Below(static_cast<int64_t>(i)))]);
  }
  return schema;
}

class ShardCountTest : public testing::TestWithParam<std::tuple<Backends, const char*>> {};

TEST_P(ShardCountTest, NeitherTheNumberOfShardsNorTheOrderOfInsertsChangesAnswers) {
  const auto& [backends, placement] = GetParam();
  const uint64_t seed = SeedOf(TestSeed(), 1000 + static_cast<uint64_t>(backends));
  std::vector<std::unique_ptr<World>> worlds;
  std::vector<std::unique_ptr<v1::DataService::StubInterface>> clients;
  for (const int shards : {1, 2, 5, 8}) {
    Dice same(seed);
    Schema schema = MakeSmallSchema("hash", shards, same);
    std::vector<int> owners(static_cast<size_t>(shards));
    std::iota(owners.begin(), owners.end(), 0);
    schema.yaml = SharedOut(schema, placement, owners);
    WorldOptions options{.backends = backends, .shards = shards, .overrides = {}, .references = false};
    absl::StatusOr<std::unique_ptr<World>> world = World::Start(options, ShuffledRows(schema, seed + static_cast<uint64_t>(shards)));
    ASSERT_TRUE(world.ok()) << NameOf(options) << ": " << world.status();
    worlds.push_back(*std::move(world));
    clients.push_back(worlds.back()->NewClient());
  }
  const Schema& schema = worlds[0]->schema();
  Dice dice(seed);
  for (int i = 0; i < kRelationQuestions; ++i) {
    const Question question = AnyQuestion(schema, static_cast<size_t>(1 + i % 2), dice);
    const Answer one = AskGateway(*clients[0], schema, question);
    ASSERT_TRUE(one.status.ok()) << "QUARRY_SEED=" << TestSeed() << ", question " << i << ": " << one.status;
    for (size_t at = 1; at < worlds.size(); ++at) {
      const std::string difference = Difference(schema, question, AskGateway(*clients[at], schema, question), one);
      ASSERT_EQ(difference, "") << "QUARRY_SEED=" << TestSeed() << ", question " << i << " on " << NameOf(worlds[at]->options())
                                << " against one shard";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Placements, ShardCountTest, testing::Combine(testing::Values(Backends::kSqlite), testing::ValuesIn(kShareablePlacements)),
                         PlacementName);
// Databases of PostgreSQL take their time to make and to stop.
INSTANTIATE_TEST_SUITE_P(Backends, ShardCountTest,
                         testing::Values(std::tuple(Backends::kPostgres, "hash"), std::tuple(Backends::kMixed, "hash"),
                                         std::tuple(Backends::kPostgres, "range"), std::tuple(Backends::kMixed, "consistent_hash")),
                         PlacementName);

class RelationsOfAnswersTest : public testing::TestWithParam<Backends> {
 protected:
  void SetUp() override {
    seed_ = SeedOf(TestSeed(), 2000 + static_cast<uint64_t>(GetParam()));
    Dice dice(seed_);
    WorldOptions options{.backends = GetParam(), .shards = 2 + dice.Below(6), .overrides = {}, .references = false};
    absl::StatusOr<std::unique_ptr<World>> world =
        World::Start(options, MakeSmallSchema(GetParam() == Backends::kSqlite ? "range" : "geo", options.shards, dice));
    ASSERT_TRUE(world.ok()) << NameOf(options) << ": " << world.status();
    world_ = *std::move(world);
    client_ = world_->NewClient();
  }

  const Schema& schema() const { return world_->schema(); }
  const TestTable& table() const { return schema().tables[1]; }

  std::vector<CellRow> Rows(const Question& question) {
    Answer answer = AskGateway(*client_, schema(), question);
    EXPECT_TRUE(answer.status.ok()) << "QUARRY_SEED=" << TestSeed() << ": " << answer.status;
    for (const std::string& contradiction : answer.contradictions) ADD_FAILURE() << "QUARRY_SEED=" << TestSeed() << ": " << contradiction;
    return std::move(answer.rows);
  }

  int64_t Count(std::optional<Filter> filter, Dice& dice) {
    Question question;
    question.kind = Question::Kind::kAggregate;
    question.table = 1;
    question.seed = dice.Next();
    question.structured = dice.Percent(50);
    question.filter = std::move(filter);
    question.aggregates.push_back({});
    const std::vector<CellRow> rows = Rows(question);
    return rows.size() == 1 && rows[0][0].has_value() ? std::stoll(*rows[0][0]) : -1;
  }

  Question AnyRowsQuestion(Dice& dice) {
    Question question;
    question.table = 1;
    question.seed = dice.Next();
    question.structured = dice.Percent(50);
    if (dice.Percent(60)) question.filter = AnyFilter(ScopeOf(schema(), table()), 2, dice);
    const auto column = static_cast<size_t>(dice.Below(static_cast<int64_t>(table().columns.size())));
    question.order.push_back({column, dice.Percent(50), static_cast<v1::NullPlacement>(1 + dice.Below(2))});
    return question;
  }

  uint64_t seed_ = 0;
  std::unique_ptr<World> world_;
  std::unique_ptr<v1::DataService::StubInterface> client_;
};

TEST_P(RelationsOfAnswersTest, AFilterItsNegationAndWhatIsUnknownMakeTheWhole) {
  Dice dice(seed_ + 1);
  const int64_t all = Count(std::nullopt, dice);
  EXPECT_EQ(all, static_cast<int64_t>(table().rows.size()));
  for (int i = 0; i < kRelationQuestions; ++i) {
    Filter filter = AnyFilter(ScopeOf(schema(), table()), 3, dice);
    if (UsesRelations(filter)) continue;
    const Filter unknown = UnknownOf(filter);
    const int64_t yes = Count(filter, dice);
    const int64_t no = Count(Negated(filter), dice);
    ASSERT_EQ(yes + no + Count(unknown, dice), all)
        << "QUARRY_SEED=" << TestSeed() << ", filter " << FilterCondition(filter, ScopeOf(schema(), table())).ShortDebugString() << " is true of "
        << yes << " rows and false of " << no;
  }
}

TEST_P(RelationsOfAnswersTest, TheReversedOrderGivesTheReversedRows) {
  Dice dice(seed_ + 2);
  for (int i = 0; i < kRelationQuestions / 2; ++i) {
    Question question = AnyRowsQuestion(dice);
    for (const size_t key : table().primary_key) {
      if (key != question.order[0].column) question.order.push_back({key, dice.Percent(50), v1::NULL_PLACEMENT_UNSPECIFIED});
    }
    const std::vector<CellRow> rows = Rows(question);
    for (QuestionOrder& term : question.order) {
      term.descending = !term.descending;
      if (term.nulls != v1::NULL_PLACEMENT_UNSPECIFIED) {
        term.nulls = term.nulls == v1::NULL_PLACEMENT_FIRST ? v1::NULL_PLACEMENT_LAST : v1::NULL_PLACEMENT_FIRST;
      }
    }
    std::vector<CellRow> reversed = Rows(question);
    std::reverse(reversed.begin(), reversed.end());
    ASSERT_EQ(rows, reversed) << "QUARRY_SEED=" << TestSeed() << ", " << ToQuery(schema(), question).ShortDebugString();
  }
}

TEST_P(RelationsOfAnswersTest, LeastAndGreatestAreTheFirstOfBothOrders) {
  Dice dice(seed_ + 3);
  for (size_t column = 0; column < table().columns.size(); ++column) {
    Question question;
    question.table = 1;
    question.kind = Question::Kind::kAggregate;
    question.aggregates = {{v1::AGGREGATE_FUNCTION_MIN, static_cast<int>(column)}, {v1::AGGREGATE_FUNCTION_MAX, static_cast<int>(column)}};
    if (dice.Percent(50)) question.filter = AnyFilter(ScopeOf(schema(), table()), 1, dice);
    const std::vector<CellRow> extremes = Rows(question);
    ASSERT_EQ(extremes.size(), 1u);
    question.kind = Question::Kind::kQuery;
    question.aggregates.clear();
    question.columns = {column};
    question.limit = 1;
    for (const bool descending : {false, true}) {
      question.order = {{column, descending, v1::NULL_PLACEMENT_LAST}};
      const std::vector<CellRow> first = Rows(question);
      ASSERT_EQ(first.empty() ? Cell() : first[0][0], extremes[0][descending ? 1 : 0])
          << "QUARRY_SEED=" << TestSeed() << ", " << ToQuery(schema(), question).ShortDebugString();
    }
  }
}

TEST_P(RelationsOfAnswersTest, LimitAndOffsetCutTheSameRows) {
  Dice dice(seed_ + 4);
  for (int i = 0; i < kRelationQuestions / 2; ++i) {
    Question question = AnyRowsQuestion(dice);
    question.distinct = dice.Percent(30);
    const std::vector<CellRow> all = Rows(question);
    question.limit = 1 + dice.Below(static_cast<int64_t>(all.size()) + 3);
    question.offset = dice.Percent(50) ? 0 : dice.Below(static_cast<int64_t>(all.size()) + 3);
    const std::vector<CellRow> some = Rows(question);
    const size_t begin = std::min(static_cast<size_t>(question.offset), all.size());
    const size_t end = std::min(begin + static_cast<size_t>(question.limit), all.size());
    const std::vector<CellRow> expected(all.begin() + static_cast<std::ptrdiff_t>(begin), all.begin() + static_cast<std::ptrdiff_t>(end));
    ASSERT_EQ(some, expected) << "QUARRY_SEED=" << TestSeed() << ", " << ToQuery(schema(), question).ShortDebugString();
  }
}

TEST_P(RelationsOfAnswersTest, AllPagesTogetherAreTheStream) {
  Dice dice(seed_ + 5);
  for (int i = 0; i < kRelationQuestions / 3; ++i) {
    Question question = AnyRowsQuestion(dice);
    const std::vector<CellRow> stream = Rows(question);
    question.kind = Question::Kind::kList;
    ASSERT_EQ(Rows(question), stream) << "QUARRY_SEED=" << TestSeed() << ", " << ToList(schema(), question).ShortDebugString();
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RelationsOfAnswersTest, testing::Values(Backends::kSqlite, Backends::kPostgres, Backends::kMixed),
                         BackendsName);

}  // namespace
}  // namespace quarry::differential
