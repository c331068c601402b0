// Questions and bulk writes over several PostgreSQL servers, one of which dies at a random moment of the call: the end is an
// error that names the shard, or a whole answer, and what goes on afterwards neither loses nor repeats a row.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/rpc_status.h"
#include "tests/fault/gateway/dying_shards.h"
#include "tests/support/rounds.h"

namespace quarry::gateway_test {
namespace {

using client::Filter;
using client::Record;
using client::Value;

constexpr int kMicrosMax = 60'000;  // About what the longest of these calls takes.

const int kDeathRounds = std::max(2, Rounds(6));  // Odd ones differ from even ones.

class KilledShardsTest : public testing::TestWithParam<Death> {
 protected:
  static void SetUpTestSuite() {
    absl::StatusOr<std::unique_ptr<DyingShards>> started = DyingShards::Start();
    ASSERT_THAT(started, IsOk());
    shared_ = started->release();
  }
  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }
  KilledShardsTest() {
    const char* given = std::getenv("QUARRY_TEST_SEED");
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
    random_.seed(seed);
  }
  void SetUp() override {
    ASSERT_NE(shared_, nullptr);
    deaths_before_ = shards().deaths();
  }

  static DyingShards& shards() { return *shared_; }
  static TestGateway& gateway() { return shared_->gateway(); }
  static client::Client& client() { return gateway().client(); }
  int AnyShard() { return static_cast<int>(random_() % DyingShards::kShards); }
  absl::Duration AnyMoment(int micros_max = kMicrosMax) {
    return absl::Microseconds(static_cast<int64_t>(random_() % static_cast<uint64_t>(micros_max)));
  }
  // The error of a call that lost the shard: typed, and it names it.
  static void ExpectNames(const absl::Status& status, int victim) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
    EXPECT_THAT(ReasonOf(status), testing::AnyOf(reason::kShardUnavailable, reason::kCircuitOpen)) << status;
    EXPECT_EQ(Fact(status, "shard"), TestGateway::ShardName(victim)) << status;
    EXPECT_NE(status.message().find(TestGateway::ShardName(victim)), std::string::npos) << status;
    EXPECT_TRUE(DetailOf(status).retry_after.has_value()) << status;
  }
  static client::QueryOptions InOrder() {
    client::QueryOptions options;
    options.columns = {"id", "visits", "name"};
    options.order_by = {{"visits"}};
    return options;
  }
  // The ids of `rows` from now on, and how they ended. When `row` of them have been read, `at_row` is called.
  static std::vector<int64_t> Ids(client::QueryRows& rows, absl::Status& status, size_t row = 0,
                                  const std::function<void()>& at_row = nullptr) {
    std::vector<int64_t> ids;
    if (row == 0 && at_row) at_row();
    bool reached = row == 0;
    for (const absl::StatusOr<client::QueryRows::Row>& answer : rows) {
      status = answer.status();
      if (!answer.ok()) break;
      ids.push_back(answer->at(0).AsInt64().value_or(-1));
      if (ids.size() != row || !at_row) continue;
      at_row();
      reached = true;
    }
    EXPECT_TRUE(reached || !at_row) << "it ended before row " << row << ": " << status;
    if (!reached && at_row) at_row();
    return ids;
  }
  // As many rounds as are asked for, and more until a death has hit: a backend dies only where one is at work just then.
  bool More(int round, int hit) const {
    const bool seen = shared_->deaths() > deaths_before_ && hit > 0;
    return round < kDeathRounds || (!seen && round < 10 * kDeathRounds);
  }
  // `hit`: calls that have noticed. What has given no row yet, and a write with a request_id, is tried once more, which finds
  // the server there when a mere backend has died.
  void ExpectSeen(int hit, bool tried_again) {
    EXPECT_GT(shards().deaths(), deaths_before_) << "nobody ever died";
    EXPECT_TRUE(hit > 0 || (tried_again && GetParam() != Death::kServer)) << "no death ever hit a call";
  }
  static std::vector<int64_t> Expected(size_t from = 0, size_t count = DyingShards::kRows) {
    const std::vector<int64_t>& all = shards().in_order();
    return {all.begin() + static_cast<std::ptrdiff_t>(from), all.begin() + static_cast<std::ptrdiff_t>(from + count)};
  }
  void EndRound(int victim) {
    ASSERT_THAT(shards().Revive(victim), IsOk());
    shards().ExpectCalm();
  }

  std::mt19937_64 random_;

 private:
  int deaths_before_ = 0;
  static inline DyingShards* shared_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Deaths, KilledShardsTest, testing::Values(Death::kServer, Death::kTerminated, Death::kCrashed),
                         [](const testing::TestParamInfo<Death>& info) { return NameOf(info.param); });

TEST_P(KilledShardsTest, AStreamEndsWithTheShardsNameAndGoesOnAtItsToken) {
  int hit = 0;
  for (int round = 0; More(round, hit); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    const size_t row = random_() % 8 == 0 ? 0 : random_() % (DyingShards::kRows * 2 / 3);
    const absl::Duration after = AnyMoment(5'000);
    const bool waits = random_() % 2 == 0;  // For the death, before it reads on.
    ASSERT_OK_AND_ASSIGN(client::QueryRows rows, client().Query("customers", {}, InOrder()));
    std::unique_ptr<Killer> killer;
    absl::Status status;
    std::vector<int64_t> ids = Ids(rows, status, row, [&] {
      killer = std::make_unique<Killer>(shards(), victim, GetParam(), after);
      if (waits) killer->Join();
    });
    killer->Join();
    ASSERT_EQ(ids, Expected(0, ids.size())) << "what was given is the beginning, in order";
    if (status.ok()) {
      EXPECT_EQ(ids.size(), static_cast<size_t>(DyingShards::kRows)) << "a shorter answer that calls itself whole";
      EXPECT_EQ(rows.summary().rows(), DyingShards::kRows);
    } else {
      ++hit;
      ExpectNames(status, victim);
      EXPECT_TRUE(gateway().SettlesToNoSessions()) << "the other shards go on for nobody";
    }
    ASSERT_NO_FATAL_FAILURE(EndRound(victim));
    if (status.ok()) continue;
    client::QueryOptions rest = InOrder();
    rest.resume_token = rows.resume_token();
    EXPECT_EQ(rest.resume_token.empty(), ids.empty());
    ASSERT_OK_AND_ASSIGN(client::QueryRows more, client().Query("customers", {}, rest));
    const size_t given = ids.size();
    ASSERT_EQ(Ids(more, status), Expected(given, DyingShards::kRows - given));
    EXPECT_THAT(status, IsOk());
  }
  ExpectSeen(hit, false);
}

TEST_P(KilledShardsTest, AReaderThatRetriesSeesEveryRowOnceThroughDeathAndReturn) {
  const std::unique_ptr<client::Client> reader = gateway().NewClient(2, 200);
  ASSERT_NE(reader, nullptr);
  for (int round = 0; More(round, 1); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    const size_t row = random_() % (DyingShards::kRows * 2 / 3);
    const absl::Duration after = AnyMoment(5'000);
    const absl::Duration pause = AnyMoment(300'000);
    ASSERT_OK_AND_ASSIGN(client::QueryRows rows, reader->Query("customers", {}, InOrder()));
    std::unique_ptr<Killer> killer;
    absl::Status status;
    const std::vector<int64_t> ids = Ids(rows, status, row, [&] {
      killer = std::make_unique<Killer>(shards(), victim, GetParam(), after, pause);
    });
    killer->Join();
    ASSERT_THAT(status, IsOk());
    ASSERT_EQ(ids, Expected());
    EXPECT_EQ(rows.summary().rows(), DyingShards::kRows);
    ASSERT_NO_FATAL_FAILURE(EndRound(victim));
  }
}

TEST_P(KilledShardsTest, APartOfAStreamSaysWhichShardIsMissing) {
  int hit = 0;
  for (int round = 0; More(round, hit); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    client::QueryOptions options = InOrder();
    options.reach.allow_partial = true;
    const size_t row = random_() % (DyingShards::kRows * 2 / 3);
    const absl::Duration after = AnyMoment(5'000);
    ASSERT_OK_AND_ASSIGN(client::QueryRows rows, client().Query("customers", {}, options));
    std::unique_ptr<Killer> killer;
    absl::Status status;
    const std::vector<int64_t> ids =
        Ids(rows, status, row, [&] { killer = std::make_unique<Killer>(shards(), victim, GetParam(), after); });
    killer->Join();
    ASSERT_THAT(status, IsOk());
    std::vector<int64_t> of_victim;
    std::vector<int64_t> of_others;
    for (const int64_t id : ids) (shards().ShardOf(id) == victim ? of_victim : of_others).push_back(id);
    std::vector<int64_t> all_of_victim;
    std::vector<int64_t> all_of_others;
    std::vector<int64_t> in_order;
    for (const int64_t id : shards().in_order()) {
      (shards().ShardOf(id) == victim ? all_of_victim : all_of_others).push_back(id);
      if (shards().ShardOf(id) != victim || all_of_victim.size() <= of_victim.size()) in_order.push_back(id);
    }
    ASSERT_EQ(of_others, all_of_others) << "the others answer whole";
    ASSERT_EQ(ids, in_order) << "and the missing shard has given its beginning";
    ASSERT_EQ(rows.summary().rows(), static_cast<int64_t>(ids.size()));
    if (of_victim.size() < all_of_victim.size()) {
      ++hit;
      ASSERT_EQ(rows.summary().failed_shards_size(), 1) << "a shorter answer that names no shard";
    }
    for (const v1::ShardStatus& failed : rows.summary().failed_shards()) {
      EXPECT_EQ(failed.shard(), TestGateway::ShardName(victim));
      ExpectNames(FromRpcStatus(failed.status()), victim);
    }
    ASSERT_NO_FATAL_FAILURE(EndRound(victim));
  }
  ExpectSeen(hit, false);
}

TEST_P(KilledShardsTest, PagesFailWithTheShardsNameAndTheSameTokenGoesOn) {
  int hit = 0;
  client::ListOptions options;
  options.columns = {"id", "visits"};
  options.order_by = {{"visits"}};
  options.page_size = 1'000;
  for (int round = 0; More(round, hit); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    const bool partial = round % 2 == 1;
    Killer killer(shards(), victim, GetParam(), AnyMoment(200'000), AnyMoment(100'000));
    options.reach.allow_partial = partial;
    // Again and again, from before the death until it is over.
    const absl::Time last = absl::Now() + absl::Seconds(60);
    while (!killer.done() && absl::Now() < last) {
      std::vector<int64_t> ids;
      options.page_token.clear();
      do {
        ASSERT_LT(absl::Now(), last);
        const absl::StatusOr<v1::ListResponse> page = client().List("customers", {}, options);
        if (!page.ok()) {
          ++hit;
          ExpectNames(page.status(), victim);
          EXPECT_FALSE(partial);
          continue;
        }
        if (page->failed_shards_size() > 0) {
          ++hit;
          EXPECT_TRUE(partial);
          ASSERT_EQ(page->failed_shards_size(), 1);
          EXPECT_EQ(page->failed_shards(0).shard(), TestGateway::ShardName(victim));
          ExpectNames(FromRpcStatus(page->failed_shards(0).status()), victim);
          EXPECT_EQ(page->next_page_token(), "") << "nobody goes on over a hole";
          continue;
        }
        for (const v1::Row& row : page->rows()) ids.push_back(row.values(0).int64_value());
        options.page_token = page->next_page_token();
      } while (!options.page_token.empty() || ids.empty());
      ASSERT_EQ(ids, Expected());
    }
    killer.Join();
    ASSERT_NO_FATAL_FAILURE(EndRound(victim));
  }
  ExpectSeen(hit, true);
}

// What an Aggregate has counted: rows and the sum of their ids, by visits.
using Groups = std::map<int64_t, std::pair<int64_t, std::string>>;

Groups GroupsOf(const v1::AggregateResponse& reply) {
  Groups groups;
  for (const v1::Row& row : reply.rows()) {
    groups[row.values(0).int64_value()] = {row.values(1).int64_value(), row.values(2).decimal_value()};
  }
  return groups;
}

// Without the rows of the shard; -1: of all.
Groups ExpectedGroups(const DyingShards& shards, int without) {
  std::map<int64_t, std::pair<int64_t, int64_t>> sums;
  for (const int64_t id : shards.in_order()) {
    if (shards.ShardOf(id) == without) continue;
    auto& [count, sum] = sums[DyingShards::VisitsOf(id)];
    ++count;
    sum += id;
  }
  Groups groups;
  for (const auto& [visits, group] : sums) groups[visits] = {group.first, absl::StrCat(group.second)};
  return groups;
}

TEST_P(KilledShardsTest, AnAggregateIsExactOrNamesTheShard) {
  int hit = 0;
  client::AggregateOptions options;
  options.group_by = {"visits"};
  const std::vector<client::Aggregate> aggregates = {{}, {v1::AGGREGATE_FUNCTION_SUM, "id"}};
  const Groups whole = ExpectedGroups(shards(), -1);
  for (int round = 0; More(round, hit); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    // Reckoned before, or a death falls between two calls more often than into one.
    const Groups rest = ExpectedGroups(shards(), victim);
    options.reach.allow_partial = round % 2 == 1;
    Killer killer(shards(), victim, GetParam(), AnyMoment(100'000), AnyMoment(50'000));
    const absl::Time last = absl::Now() + absl::Seconds(60);
    int well_after = 0;
    // From before the death until it is over.
    for (int hits = 0; well_after < 10 && absl::Now() < last;) {
      const absl::StatusOr<v1::AggregateResponse> reply = client().Aggregate("customers", {}, aggregates, options);
      if (!reply.ok()) {
        EXPECT_FALSE(options.reach.allow_partial);
        ExpectNames(reply.status(), victim);
        ++hits, ++hit;
        continue;
      }
      if (reply->failed_shards_size() > 0) {
        ASSERT_TRUE(options.reach.allow_partial);
        ASSERT_EQ(reply->failed_shards_size(), 1);
        EXPECT_EQ(reply->failed_shards(0).shard(), TestGateway::ShardName(victim));
        ExpectNames(FromRpcStatus(reply->failed_shards(0).status()), victim);
        ASSERT_EQ(GroupsOf(*reply), rest);
        ++hits, ++hit;
        continue;
      }
      ASSERT_EQ(GroupsOf(*reply), whole);
      // A death between two calls, or one that a second try has hidden, hits nobody.
      well_after += hits > 0 || killer.done() ? 1 : 0;
    }
    EXPECT_EQ(well_after, 10) << "it does not come back";
    killer.Join();
    ASSERT_NO_FATAL_FAILURE(EndRound(victim));
  }
  ExpectSeen(hit, true);
}

// Of a bulk write that has lost a shard. `done`: rows that the database shows as written, of `all` on the shard.
void ExpectHonest(const v1::ShardWrites& part, int64_t done, int64_t all, int64_t batch_rows) {
  const absl::Status status = FromRpcStatus(part.status());
  if (status.ok()) {
    EXPECT_EQ(part.rows(), all);
    EXPECT_EQ(done, all);
  } else if (absl::IsUnavailable(status)) {
    EXPECT_EQ(part.rows(), done) << status;
  } else {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnknown));
    EXPECT_GE(done, part.rows()) << status;
    EXPECT_LE(done, part.rows() + batch_rows) << "only the batch in flight is in doubt: " << status;
  }
  EXPECT_EQ(Fact(status, "shard"), status.ok() ? "" : part.shard()) << status;
  EXPECT_EQ(part.batches(), (part.rows() + batch_rows - 1) / batch_rows);
}

TEST_P(KilledShardsTest, UpdateWhereCountsWhatItHasWrittenAndItsRepetitionFinishes) {
  constexpr int kBatch = 50;
  const Filter filter("visits < 100");  // A fifth of the rows.
  int hit = 0;
  for (int round = 0; More(round, hit); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    const std::string mark = absl::StrCat(random_() % 1'000'000'000, ".", 100 + round);
    client::BulkOptions options;
    options.allow_many_shards = true;
    options.batch_rows = kBatch;
    v1::UpdateWhereRequest request = client::internal::MakeUpdateWhere(
        "customers", filter, Record{{"balance", Value::Decimal(mark)}}, options);
    if (round % 2 == 0) request.set_request_id(NewUuid());
    // A server that stays away keeps the outcome of a commit to itself: then the deadline is near.
    const bool comes_back = random_() % 2 == 0;
    Killer killer(shards(), victim, GetParam(), AnyMoment(), comes_back ? AnyMoment(200'000) : absl::InfiniteDuration());
    const absl::Time deadline = absl::Now() + absl::Seconds(comes_back ? 30 : 4);
    const absl::StatusOr<v1::UpdateWhereResponse> reply = gateway().raw().UpdateWhere(request, deadline);
    killer.Join();
    ASSERT_THAT(reply, IsOk()) << "the other shards have answered";
    ASSERT_NO_FATAL_FAILURE(EndRound(victim));
    int64_t sum = 0;
    int64_t all_rows = 0;
    ASSERT_EQ(reply->shards_size(), DyingShards::kShards);
    for (int shard = 0; shard < DyingShards::kShards; ++shard) {
      const v1::ShardWrites& part = reply->shards(shard);
      EXPECT_EQ(part.shard(), TestGateway::ShardName(shard));
      const int64_t all = shards().Number(shard, "SELECT count(*) FROM customers WHERE visits < 100");
      const int64_t done = shards().Number(shard, absl::StrCat("SELECT count(*) FROM customers WHERE balance = ", mark));
      ExpectHonest(part, done, all, kBatch);
      EXPECT_TRUE(shard == victim || part.status().code() == 0)
          << "the others are not concerned: " << part.ShortDebugString();
      if (part.status().code() != 0) ++hit;
      sum += part.rows();
      all_rows += all;
    }
    EXPECT_EQ(reply->rows(), sum);
    absl::StatusOr<v1::UpdateWhereResponse> again;
    ASSERT_TRUE(Eventually([&] {
      again = gateway().raw().UpdateWhere(request, Soon());
      if (!again.ok()) return false;
      for (const v1::ShardWrites& part : again->shards()) {
        if (part.status().code() != 0) return false;
      }
      return true;
    })) << again.status();
    EXPECT_EQ(again->rows(), all_rows);
    for (int shard = 0; shard < DyingShards::kShards; ++shard) {
      EXPECT_EQ(shards().Number(shard, absl::StrCat("SELECT count(*) FROM customers WHERE balance = ", mark)),
                again->shards(shard).rows());
    }
  }
  ExpectSeen(hit, true);
}

TEST_P(KilledShardsTest, DeleteWhereWithARequestIdDeletesEachRowOnceAndCountsIt) {
  constexpr int kBatch = 50;
  constexpr int64_t kDoomed = 6'000;
  const std::unique_ptr<client::Client> patient = gateway().NewClient(2, 200);
  ASSERT_NE(patient, nullptr);
  int hit = 0;
  for (int round = 0; More(round, hit); ++round) {
    SCOPED_TRACE(round);
    const int victim = AnyShard();
    ASSERT_THAT(shards().RunOnAll(absl::StrCat("TRUNCATE all_types; INSERT INTO all_types(id, c_int8) SELECT id, ", round,
                                               " FROM generate_series(1::bigint, ", kDoomed, ") AS id WHERE {mine}")),
                IsOk());
    const Filter filter("c_int8 = @round", {{"round", round}});
    std::vector<int64_t> all;
    for (int shard = 0; shard < DyingShards::kShards; ++shard) {
      all.push_back(shards().Number(shard, "SELECT count(*) FROM all_types"));
    }
    client::BulkOptions options;
    options.allow_many_shards = true;
    options.batch_rows = kBatch;
    client::CallOptions call;
    call.request_id = NewUuid();
    if (round % 2 == 0) {
      // The client alone sees it through.
      Killer killer(shards(), victim, GetParam(), AnyMoment(), AnyMoment(200'000));
      ASSERT_OK_AND_ASSIGN(const client::BulkResult result, patient->DeleteWhere("all_types", filter, options, call));
      EXPECT_THAT(result.status(), IsOk());
      EXPECT_EQ(result.rows, kDoomed);
      killer.Join();
      ASSERT_NO_FATAL_FAILURE(EndRound(victim));
    } else {
      Killer killer(shards(), victim, GetParam(), AnyMoment());
      call.timeout = absl::Seconds(4);
      ASSERT_OK_AND_ASSIGN(const client::BulkResult result, client().DeleteWhere("all_types", filter, options, call));
      call.timeout = absl::Seconds(30);
      killer.Join();
      ASSERT_NO_FATAL_FAILURE(EndRound(victim));
      ASSERT_EQ(result.shards.size(), static_cast<size_t>(DyingShards::kShards));
      for (int shard = 0; shard < DyingShards::kShards; ++shard) {
        const auto at = static_cast<size_t>(shard);
        const int64_t left = shards().Number(shard, "SELECT count(*) FROM all_types");
        ExpectHonest(result.shards[at], all[at] - left, all[at], kBatch);
        EXPECT_TRUE(shard == victim || result.shards[at].status().code() == 0) << "the others are not concerned";
        if (result.shards[at].status().code() != 0) ++hit;
      }
      // Rows that come now are none of this call's.
      const int64_t late = 1'000'000 + round;
      ASSERT_THAT(client().Insert("all_types", {{"id", late}, {"c_int8", round + 1'000}}), IsOk());
      ASSERT_OK_AND_ASSIGN(const client::BulkResult again, patient->DeleteWhere("all_types", filter, options, call));
      EXPECT_THAT(again.status(), IsOk());
      EXPECT_EQ(again.rows, kDoomed) << "stored batches count, and none twice";
      EXPECT_THAT(client().Get("all_types", {late}), IsOk());
    }
    for (int shard = 0; shard < DyingShards::kShards; ++shard) {
      EXPECT_EQ(shards().Number(shard, absl::StrCat("SELECT count(*) FROM all_types WHERE c_int8 = ", round)), 0);
    }
  }
  ExpectSeen(hit, true);
}

}  // namespace
}  // namespace quarry::gateway_test
