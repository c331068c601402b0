// Random questions to gateways over every kind of shards and resolvers, against one unsharded PostgreSQL and one unsharded SQLite.
#include <atomic>
#include <cstdio>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "tests/differential/shrink.h"
#include "tests/differential/world.h"
#include "tests/support/rounds.h"

namespace quarry::differential {
namespace {

const int kQuestions = Rounds(20'000);
constexpr int kWorlds = 8;
constexpr int kThreads = 4;

// Worlds of one to eight shards on every kind of database, whichever seed.
WorldOptions OptionsOf(int world, Dice& dice) {
  static constexpr Backends kBackends[] = {Backends::kPostgres, Backends::kSqlite, Backends::kMixed};
  WorldOptions options;
  options.backends = kBackends[world % 3];
  options.shards = world == 0 ? 8 : world == 1 ? 8 : world == 2 ? 3 : world == 3 ? 1 : 1 + dice.Below(8);
  return options;
}

// Asks questions from several threads; the first that is answered wrongly stops all.
class Examiner {
 public:
  Examiner(const World& world, uint64_t seed, int64_t questions) : world_(world), seed_(seed), questions_(questions) {}

  void Run() {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back([this] { Work(); });
    for (std::thread& thread : threads) thread.join();
  }

  const std::optional<Question>& wrong() const { return wrong_; }
  const std::string& difference() const { return difference_; }
  const JudgeCounts& counts() const { return counts_; }

 private:
  void Work() {
    const absl::StatusOr<std::unique_ptr<Judge>> judge = Judge::Make(world_);
    if (!judge.ok()) return Stop(std::nullopt, judge.status().ToString());
    while (!stopped_) {
      const int64_t number = next_++;
      if (number >= questions_) break;
      Dice dice(SeedOf(seed_, static_cast<uint64_t>(number)));
      const size_t table = static_cast<size_t>(number) % world_.schema().tables.size();
      Question question = AnyQuestion(world_.schema(), table, dice);
      std::string difference = (*judge)->Ask(world_.schema(), question);
      if (!difference.empty()) return Stop(std::move(question), absl::StrCat("question ", number, " ", difference));
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    counts_.asked += (*judge)->counts().asked;
    counts_.with_rows += (*judge)->counts().with_rows;
    counts_.beyond_sqlite += (*judge)->counts().beyond_sqlite;
  }

  void Stop(std::optional<Question> question, std::string difference) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopped_.exchange(true)) return;
    wrong_ = std::move(question);
    difference_ = std::move(difference);
  }

  const World& world_;
  const uint64_t seed_;
  const int64_t questions_;
  std::atomic<int64_t> next_{0};
  std::atomic<bool> stopped_{false};
  std::mutex mutex_;
  std::optional<Question> wrong_;
  std::string difference_;
  JudgeCounts counts_;
};

class DifferentialTest : public testing::TestWithParam<int> {};

TEST_P(DifferentialTest, AnswersLikeOneDatabase) {
  const uint64_t seed = SeedOf(TestSeed(), static_cast<uint64_t>(GetParam()));
  // A world takes its time to make: many questions are asked of each, and more worlds are made only for many more questions.
  const int64_t rounds = 1 + kQuestions / (kWorlds * 20'000);
  for (int64_t round = 0; round < rounds; ++round) {
    Dice dice(SeedOf(seed, static_cast<uint64_t>(round)));
    const WorldOptions options = OptionsOf(GetParam(), dice);
    absl::StatusOr<std::unique_ptr<World>> world = World::Start(options, MakeSchema(options.shards, dice));
    ASSERT_TRUE(world.ok()) << NameOf(options) << ": " << world.status();
    const absl::Time begin = absl::Now();
    Examiner examiner(**world, dice.Next(), kQuestions / kWorlds / rounds + 1);
    examiner.Run();
    const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
    const JudgeCounts& counts = examiner.counts();
    std::printf("[  figures ] %s: %lld questions in %.1f s, %lld with rows, %lld beyond SQLite\n", NameOf(options).c_str(),
                static_cast<long long>(counts.asked), seconds, static_cast<long long>(counts.with_rows),
                static_cast<long long>(counts.beyond_sqlite));
    if (examiner.difference().empty()) {
      // Else the questions say little; a few of them may.
      EXPECT_TRUE(counts.asked < 500 || counts.with_rows * 4 >= counts.asked);
      EXPECT_TRUE(counts.asked < 500 || counts.beyond_sqlite * 4 <= counts.asked);
      continue;
    }
    const std::string report = examiner.wrong().has_value() ? Shrink(**world, *examiner.wrong()) : "";
    FAIL() << "QUARRY_SEED=" << TestSeed() << ", " << NameOf(options) << "\n  first seen: " << examiner.difference() << "\n" << report;
  }
}

// What the comparison is worth: each reference is made wrong by one row, and that is seen.
TEST(JudgeTest, SeesOneWrongRowInEitherReference) {
  Dice dice(TestSeed());
  absl::StatusOr<std::unique_ptr<World>> world =
      World::Start({.backends = Backends::kSqlite, .shards = 3, .overrides = {}, .references = true}, MakeSmallSchema("hash", 3, dice));
  ASSERT_TRUE(world.ok()) << world.status();
  const Schema& schema = (*world)->schema();
  absl::StatusOr<std::unique_ptr<Judge>> judge = Judge::Make(**world);
  ASSERT_TRUE(judge.ok()) << judge.status();
  Question rows;
  rows.table = 1;
  Question pages = rows;
  pages.kind = Question::Kind::kList;
  Question count = rows;
  count.kind = Question::Kind::kAggregate;
  count.aggregates.push_back({});
  for (const bool postgres : {true, false}) {
    const absl::StatusOr<std::unique_ptr<Reference>> reference = (*world)->NewReference(postgres);
    ASSERT_TRUE(reference.ok()) << reference.status();
    for (const Question& question : {rows, pages, count}) EXPECT_EQ((*judge)->Ask(schema, question), "");
    const TestTable& table = schema.tables[1];
    const std::vector<Row> last = {table.rows.back()};
    std::string where;
    for (const size_t key : table.primary_key) {
      absl::StrAppend(&where, where.empty() ? " WHERE " : " AND ", Quoted(table.columns[key].name), " = ",
                      LiteralFor(last[0][key], table.columns[key].type, postgres));
    }
    ASSERT_EQ((*reference)->Run(absl::StrCat("UPDATE ", Quoted(table.name), " SET tag = 'wrong'", where)), absl::OkStatus());
    for (const Question& question : {rows, pages}) EXPECT_NE((*judge)->Ask(schema, question).find("column tag differs"), std::string::npos);
    ASSERT_EQ((*reference)->Run(absl::StrCat("DELETE FROM ", Quoted(table.name), where)), absl::OkStatus());
    for (const Question& question : {rows, pages, count}) EXPECT_NE((*judge)->Ask(schema, question), "");
    ASSERT_EQ((*reference)->Run(InsertSql(table, last, postgres ? Store::kReferencePostgres : Store::kReferenceSqlite)), absl::OkStatus());
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, DifferentialTest, testing::Range(0, kWorlds));

}  // namespace
}  // namespace quarry::differential
