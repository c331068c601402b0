// Pages and resumed streams while other threads insert, delete and move rows: what was there throughout is seen once, in order.
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_status.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "tests/differential/world.h"
#include "tests/support/rounds.h"

namespace quarry::differential {
namespace {

constexpr int kStableRows = 300;
const int kPageRounds = Rounds(30);
const int kStreamRounds = Rounds(12);
constexpr int64_t kRanks = 12;
constexpr size_t kBodyBytes = 12 << 10;  // Several batches a stream.

// Even ids stay where they are; odd ones come, go and change their rank.
Schema ItemsSchema(Dice& dice) {
  Schema schema;
  TestTable items;
  items.name = "items";
  items.placement = "hash";
  items.columns = {{"id", {TypeKind::kInt64}, false}, {"rank", {TypeKind::kInt32}, true}, {"note", {TypeKind::kInt64}, false},
                   {"body", {TypeKind::kText}, false}};
  items.primary_key = {0};
  for (int i = 0; i < kStableRows; ++i) {
    const Value rank = dice.Percent(10) ? Value::Null() : Value::Int64(dice.Below(kRanks));
    items.rows.push_back({Value::Int64(2 * i), rank, Value::Int64(0), Value::Text(std::string(kBodyBytes, 'x'))});
  }
  schema.tables.push_back(std::move(items));
  schema.yaml = "resolvers:\n  by_id: {type: hash}\ntables:\n  items: {kind: sharded, key: id, resolver: by_id}\n";
  return schema;
}

void SetDeadline(grpc::ClientContext& context) { context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60)); }

// Changes rows until it is told to stop, but one at least: half of the tries meet no row.
class Churn {
 public:
  Churn(const World& world, uint64_t seed) : client_(world.NewClient()), dice_(seed), thread_([this] { Work(); }) {}
  ~Churn() {
    stopped_ = true;
    thread_.join();
    EXPECT_GT(changes_, 0) << "no row was changed: " << last_error_;
  }

 private:
  void Work() {
    for (int tries = 0; !stopped_ || (changes_ == 0 && tries < 100); ++tries) {
      grpc::ClientContext context;
      SetDeadline(context);
      const grpc::Status status = Change(context);
      changes_ += status.ok() ? 1 : 0;
      if (!status.ok()) last_error_ = status.error_message();
    }
  }

  grpc::Status Change(grpc::ClientContext& context) {
    const int kind = dice_.Below(4);
    v1::Value id;
    id.set_int64_value(2 * dice_.Below(kStableRows) + (kind == 3 ? 0 : 1));
    v1::Record record;
    (*record.mutable_columns())["note"].set_int64_value(dice_.Below(1000));
    if (kind != 3) (*record.mutable_columns())["rank"].set_int64_value(dice_.Below(kRanks));
    if (kind == 0) {
      (*record.mutable_columns())["id"] = id;
      (*record.mutable_columns())["body"].set_text_value(std::string(static_cast<size_t>(dice_.Below(kBodyBytes)), 'y'));
      v1::InsertRequest request;
      request.set_table("items");
      *request.mutable_record() = record;
      v1::InsertResponse response;
      return client_->Insert(&context, request, &response);
    }
    if (kind == 1) {
      v1::DeleteRequest request;
      request.set_table("items");
      *request.mutable_key()->add_values() = id;
      v1::DeleteResponse response;
      return client_->Delete(&context, request, &response);
    }
    v1::UpdateRequest request;
    request.set_table("items");
    *request.mutable_key()->add_values() = id;
    *request.mutable_record() = record;
    v1::UpdateResponse response;
    return client_->Update(&context, request, &response);
  }

  const std::unique_ptr<v1::DataService::StubInterface> client_;
  Dice dice_;
  std::atomic<bool> stopped_{false};
  std::atomic<int64_t> changes_{0};
  std::string last_error_;  // Of the thread, until it has ended.
  std::thread thread_;
};

struct Order {
  bool ranked = true;  // By rank, then id; else by id alone.
  bool descending = false;
};

// What a reader saw, checked against what was there throughout.
class Sighting {
 public:
  Sighting(const Schema& schema, const Order& order) : schema_(schema), order_(order) {}

  void See(const v1::Row& row) {
    ASSERT_EQ(row.values_size(), 4);
    const bool null = row.values(1).kind_case() == v1::Value::kNullValue;
    Place place(null ? 1 : 0, null ? 0 : row.values(1).int64_value(), row.values(0).int64_value());
    if (!order_.ranked) place = Place(0, 0, std::get<2>(place));
    if (order_.descending) place = Place(-std::get<0>(place), -std::get<1>(place), std::get<2>(place));
    if (order_.descending && !order_.ranked) std::get<2>(place) = -std::get<2>(place);
    EXPECT_TRUE(places_.empty() || places_.back() < place) << "row " << row.values(0).int64_value() << " is out of order or comes twice";
    places_.push_back(place);
    ++seen_[row.values(0).int64_value()];
  }

  void CheckStable() const {
    for (const Row& row : schema_.tables[0].rows) {
      const auto found = seen_.find(row[0].int64_value());
      EXPECT_EQ(found == seen_.end() ? 0 : found->second, 1) << "sightings of row " << row[0].int64_value() << ", which was there throughout";
    }
  }

 private:
  using Place = std::tuple<int64_t, int64_t, int64_t>;
  const Schema& schema_;
  const Order order_;
  std::vector<Place> places_;
  std::map<int64_t, int> seen_;
};

template <typename Request>
void SetOrder(const Order& order, Request& request) {
  request.set_table("items");
  v1::OrderBy& term = *request.add_order_by();
  term.set_column(order.ranked ? "rank" : "id");
  term.set_descending(order.descending);
}

class ChurnTest : public testing::TestWithParam<std::tuple<Backends, int>> {
 protected:
  void SetUp() override {
    seed_ = SeedOf(TestSeed(), 3000 + static_cast<uint64_t>(std::get<1>(GetParam())));
    Dice dice(seed_);
    WorldOptions options{.backends = std::get<0>(GetParam()), .shards = std::get<1>(GetParam()), .overrides = {}, .references = false};
    absl::StatusOr<std::unique_ptr<World>> world = World::Start(options, ItemsSchema(dice));
    ASSERT_TRUE(world.ok()) << world.status();
    world_ = *std::move(world);
    client_ = world_->NewClient();
  }

  Order AnyOrder(Dice& dice) { return {.ranked = dice.Percent(75), .descending = dice.Percent(50)}; }

  // One page; its rows in order, and the token of the next in the direction.
  std::vector<v1::Row> Page(v1::ListRequest& request, Dice& dice, bool backward, std::string& token) {
    grpc::ClientContext context;
    SetDeadline(context);
    request.set_page_token(token);
    request.set_page_size(1 + dice.Below(dice.Percent(30) ? 8 : 80));
    v1::ListResponse response;
    const grpc::Status status = client_->List(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    token = status.ok() ? (backward ? response.previous_page_token() : response.next_page_token()) : "";
    last_back_token_ = response.previous_page_token();
    return {response.rows().begin(), response.rows().end()};
  }

  // Reads so many batches; false when the stream came to its end before.
  bool ReadSome(v1::QueryRequest& request, int batches, const std::function<void(const v1::Row&)>& see) {
    grpc::ClientContext context;
    SetDeadline(context);
    const auto stream = client_->Query(&context, request);
    v1::QueryResponse event;
    bool summary = false;
    while (batches > 0 && stream->Read(&event)) {
      summary = summary || event.has_summary();
      if (!event.has_batch()) continue;
      for (const v1::Row& row : event.batch().rows()) see(row);
      EXPECT_NE(event.batch().resume_token(), "");
      request.set_resume_token(event.batch().resume_token());
      --batches;
    }
    if (batches == 0) {
      context.TryCancel();
      while (stream->Read(&event)) continue;
      static_cast<void>(stream->Finish());
      return true;
    }
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok() && summary) << status.error_message();
    return false;
  }

  uint64_t seed_ = 0;
  std::unique_ptr<World> world_;
  std::unique_ptr<v1::DataService::StubInterface> client_;
  std::string last_back_token_;
};

TEST_P(ChurnTest, PagesShowWhatWasThereThroughoutOnce) {
  const Churn first(*world_, seed_ + 1);
  const Churn second(*world_, seed_ + 2);
  Dice dice(seed_ + 3);
  for (int round = 0; round < kPageRounds && !HasFailure(); ++round) {
    SCOPED_TRACE(absl::StrCat("QUARRY_SEED=", TestSeed(), ", round ", round));
    const Order order = AnyOrder(dice);
    v1::ListRequest request;
    SetOrder(order, request);
    Sighting forward(world_->schema(), order);
    std::string token;
    std::vector<v1::Row> last;
    do {
      last = Page(request, dice, false, token);
      for (const v1::Row& row : last) forward.See(row);
    } while (!token.empty());
    forward.CheckStable();
    // From the last page back to the first: that page's rows, then what lies before them.
    std::vector<v1::Row> all = last;
    token = last_back_token_;
    while (!token.empty()) {
      const std::vector<v1::Row> before = Page(request, dice, true, token);
      all.insert(all.begin(), before.begin(), before.end());
    }
    Sighting backward(world_->schema(), order);
    for (const v1::Row& row : all) backward.See(row);
    backward.CheckStable();
  }
}

TEST_P(ChurnTest, CutAndResumedStreamsShowWhatWasThereThroughoutOnce) {
  const Churn first(*world_, seed_ + 4);
  const Churn second(*world_, seed_ + 5);
  Dice dice(seed_ + 6);
  int resumed = 0;
  for (int round = 0; round < kStreamRounds && !HasFailure(); ++round) {
    SCOPED_TRACE(absl::StrCat("QUARRY_SEED=", TestSeed(), ", round ", round));
    const Order order = AnyOrder(dice);
    v1::QueryRequest request;
    SetOrder(order, request);
    Sighting sighting(world_->schema(), order);
    while (ReadSome(request, 1 + dice.Below(3), [&sighting](const v1::Row& row) { sighting.See(row); })) ++resumed;
    sighting.CheckStable();
  }
  EXPECT_GE(resumed, kStreamRounds) << "the streams were too short to be cut";
}

TEST_P(ChurnTest, CutStreamsKeepTheirLimitOffsetAndDistinct) {
  Dice dice(seed_ + 7);
  int resumed = 0;
  for (int round = 0; round < kStreamRounds && !HasFailure(); ++round) {
    v1::QueryRequest request;
    SetOrder(AnyOrder(dice), request);
    request.set_distinct(dice.Percent(40));
    if (dice.Percent(70)) request.set_limit(1 + dice.Below(kStableRows));
    if (dice.Percent(60)) request.set_offset(dice.Below(kStableRows));
    SCOPED_TRACE(absl::StrCat("QUARRY_SEED=", TestSeed(), ", ", request.ShortDebugString()));
    std::vector<int64_t> whole;
    EXPECT_FALSE(ReadSome(request, std::numeric_limits<int>::max(), [&](const v1::Row& row) { whole.push_back(row.values(0).int64_value()); }));
    request.clear_resume_token();
    std::vector<int64_t> pieces;
    while (ReadSome(request, 1, [&](const v1::Row& row) { pieces.push_back(row.values(0).int64_value()); })) ++resumed;
    EXPECT_EQ(pieces, whole);
  }
  EXPECT_GE(resumed, kStreamRounds / 2) << "the streams were too short to be cut";
}

INSTANTIATE_TEST_SUITE_P(Shards, ChurnTest,
                         testing::Combine(testing::Values(Backends::kSqlite, Backends::kPostgres), testing::Values(2, 5)),
                         [](const testing::TestParamInfo<std::tuple<Backends, int>>& info) {
                           return absl::StrCat(std::get<0>(info.param) == Backends::kSqlite ? "sqlite" : "postgres", std::get<1>(info.param));
                         });

}  // namespace
}  // namespace quarry::differential
