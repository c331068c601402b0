// A shard is divided in two: half of its share goes to a new shard, the rows are moved, and the gateway starts anew.
#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "tests/differential/answer.h"
#include "tests/differential/layout.h"
#include "tests/differential/question.h"
#include "tests/differential/test_names.h"
#include "tests/differential/world.h"
#include "tests/support/rounds.h"

namespace quarry::differential {
namespace {

const int kOrders = std::max(2, Rounds(8));
const int kDivisionQuestions = Rounds(120);
// Shares of what s1 has before, and of what it has after.
const std::vector<int> kBefore = {0, 1, 1, 2};
const std::vector<int> kAfter = {0, 1, 3, 2};

std::vector<std::string> Texts(const google::protobuf::RepeatedPtrField<v1::Row>& rows) {
  std::vector<std::string> texts;
  for (const v1::Row& row : rows) texts.push_back(row.ShortDebugString());
  return texts;
}

std::vector<std::string> Part(const std::vector<std::string>& rows, size_t begin, size_t end) {
  return {rows.begin() + static_cast<std::ptrdiff_t>(begin), rows.begin() + static_cast<std::ptrdiff_t>(end)};
}

class DivisionTest : public testing::TestWithParam<std::tuple<Backends, const char*>> {
 protected:
  void SetUp() override {
    Dice dice(SeedOf(TestSeed(), 4000 + static_cast<uint64_t>(std::get<0>(GetParam()))));
    WorldOptions options{.backends = std::get<0>(GetParam()), .shards = 3, .overrides = {}, .references = false};
    Schema schema = MakeSmallSchema("hash", options.shards, dice);
    schema.yaml = SharedOut(schema, std::get<1>(GetParam()), kBefore);
    absl::StatusOr<std::unique_ptr<World>> world = World::Start(options, std::move(schema));
    ASSERT_TRUE(world.ok()) << world.status();
    world_ = *std::move(world);
    client_ = world_->NewClient();
  }

  void Divide() {
    const absl::StatusOr<int> moved = world_->AddShard(SharedOut(schema(), std::get<1>(GetParam()), kAfter));
    ASSERT_TRUE(moved.ok()) << moved.status();
    EXPECT_GT(*moved, 0);
    client_ = world_->NewClient();
  }

  const Schema& schema() const { return world_->schema(); }

  // Pages and streams of all rows, by one or two columns that are no key.
  std::vector<Question> Orders() const {
    const TestTable& table = schema().tables[1];
    Dice dice(SeedOf(TestSeed(), 4100));
    std::vector<Question> questions;
    for (int i = 0; i < kOrders; ++i) {
      Question& question = questions.emplace_back();
      question.table = 1;
      for (int term = 0; term <= i % 2; ++term) {
        const auto column = table.primary_key.size() + static_cast<size_t>(dice.Below(static_cast<int64_t>(table.columns.size() - table.primary_key.size())));
        if (term > 0 && column == question.order[0].column) continue;
        question.order.push_back({column, dice.Percent(50), static_cast<v1::NullPlacement>(dice.Below(3))});
      }
    }
    return questions;
  }

  v1::ListResponse Page(v1::ListRequest request, const std::string& token) {
    grpc::ClientContext context;
    SetDeadline(context);
    request.set_page_token(token);
    v1::ListResponse response;
    const grpc::Status status = client_->List(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  // The rows from a token on, in the order of the request.
  std::vector<std::string> Pages(const v1::ListRequest& request, std::string token, bool backward) {
    std::vector<std::string> rows;
    while (!token.empty() && !HasFailure()) {
      const v1::ListResponse page = Page(request, token);
      const std::vector<std::string> some = Texts(page.rows());
      rows.insert(backward ? rows.begin() : rows.end(), some.begin(), some.end());
      token = backward ? page.previous_page_token() : page.next_page_token();
    }
    return rows;
  }

  // Up to `limit` rows, 0 for all; the last token.
  std::vector<std::string> Stream(v1::QueryRequest request, int64_t limit, std::string& token) {
    grpc::ClientContext context;
    SetDeadline(context);
    request.set_limit(limit);
    request.set_resume_token(token);
    const auto stream = client_->Query(&context, request);
    std::vector<std::string> rows;
    v1::QueryResponse event;
    while (stream->Read(&event)) {
      const std::vector<std::string> some = Texts(event.batch().rows());
      rows.insert(rows.end(), some.begin(), some.end());
      if (event.has_batch()) token = event.batch().resume_token();
    }
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return rows;
  }

  static void SetDeadline(grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  }

  std::unique_ptr<World> world_;
  std::unique_ptr<v1::DataService::StubInterface> client_;
};

TEST_P(DivisionTest, PageTokensGoOnInBothDirections) {
  struct Stop {
    size_t begin = 0;  // Of its page's rows.
    size_t end = 0;
    std::string previous;
    std::string next;
  };
  struct Listing {
    v1::ListRequest request;
    std::vector<std::string> rows;
    std::vector<Stop> stops;
  };
  std::vector<Listing> listings;
  for (const Question& question : Orders()) {
    Listing& listing = listings.emplace_back();
    listing.request = ToList(schema(), question);
    listing.request.set_page_size(9);
    do {
      const v1::ListResponse page = Page(listing.request, listing.stops.empty() ? "" : listing.stops.back().next);
      const std::vector<std::string> some = Texts(page.rows());
      listing.stops.push_back({listing.rows.size(), listing.rows.size() + some.size(), page.previous_page_token(), page.next_page_token()});
      listing.rows.insert(listing.rows.end(), some.begin(), some.end());
    } while (!listing.stops.back().next.empty() && !HasFailure());
    ASSERT_EQ(listing.rows.size(), schema().tables[1].rows.size());
    ASSERT_GT(listing.stops.size(), 2u);
  }
  ASSERT_NO_FATAL_FAILURE(Divide());
  for (const Listing& listing : listings) {
    for (const Stop& stop : listing.stops) {
      SCOPED_TRACE(absl::StrCat("QUARRY_SEED=", TestSeed(), ", row ", stop.begin, " of ", listing.request.ShortDebugString()));
      ASSERT_EQ(Pages(listing.request, stop.next, false), Part(listing.rows, stop.end, listing.rows.size()));
      ASSERT_EQ(Pages(listing.request, stop.previous, true), Part(listing.rows, 0, stop.begin));
    }
  }
}

TEST_P(DivisionTest, ResumeTokensGoOn) {
  struct Cut {
    v1::QueryRequest request;
    std::vector<std::string> rest;
    std::string token;
  };
  std::vector<Cut> cuts;
  for (const Question& question : Orders()) {
    const v1::QueryRequest request = ToQuery(schema(), question);
    std::string end;
    const std::vector<std::string> rows = Stream(request, 0, end);
    ASSERT_EQ(rows.size(), schema().tables[1].rows.size());
    for (const size_t given : {size_t{1}, rows.size() / 3, rows.size() / 2, rows.size() - 1}) {
      Cut& cut = cuts.emplace_back(Cut{request, Part(rows, given, rows.size()), ""});
      ASSERT_EQ(Stream(request, static_cast<int64_t>(given), cut.token), Part(rows, 0, given));
      ASSERT_NE(cut.token, "");
    }
  }
  ASSERT_NO_FATAL_FAILURE(Divide());
  for (Cut& cut : cuts) {
    ASSERT_EQ(Stream(cut.request, 0, cut.token), cut.rest)
        << "QUARRY_SEED=" << TestSeed() << ", " << cut.request.ShortDebugString();
  }
}

TEST_P(DivisionTest, AnswersStayWhatTheyWere) {
  Dice dice(SeedOf(TestSeed(), 4200 + static_cast<uint64_t>(std::get<0>(GetParam()))));
  std::vector<std::pair<Question, Answer>> asked;
  for (int i = 0; i < kDivisionQuestions; ++i) {
    Question question = AnyQuestion(schema(), static_cast<size_t>(1 + i % 2), dice);
    Answer answer = AskGateway(*client_, schema(), question);
    ASSERT_TRUE(answer.status.ok()) << "QUARRY_SEED=" << TestSeed() << ", question " << i << ": " << answer.status;
    asked.emplace_back(std::move(question), std::move(answer));
  }
  ASSERT_NO_FATAL_FAILURE(Divide());
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto& [question, answer] = asked[i];
    ASSERT_EQ(Difference(schema(), question, AskGateway(*client_, schema(), question), answer), "")
        << "QUARRY_SEED=" << TestSeed() << ", question " << i << " after the division, against before";
  }
}

INSTANTIATE_TEST_SUITE_P(Worlds, DivisionTest,
                         testing::Combine(testing::Values(Backends::kSqlite, Backends::kMixed),  // PostgreSQL's rows move in these.
                                          testing::ValuesIn(kShareablePlacements)),
                         PlacementName);

}  // namespace
}  // namespace quarry::differential
