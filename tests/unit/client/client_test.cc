// The client against a server whose answers are scripted: what is tried again, what is not, and
// how.
#include "client/client.h"

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_connection.h"
#include "client/internal/retry_connection.h"
#include "tests/support/postgres/tcp_gate.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/client/scripted_server.h"

namespace quarry::client {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::SizeIs;

absl::Status Unavailable() {
  return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "shard s1 is down");
}

absl::Status WithRetryAfter(absl::StatusCode code, const char* reason, absl::Duration after) {
  ErrorDetail detail;
  detail.reason = reason;
  detail.retry_after = after;
  return MakeError(code, "wait a little", detail);
}

class ClientTest : public ::testing::Test {
 protected:
  ClientTest() {
    seed_ = std::random_device{}();
    RecordProperty("seed", std::to_string(seed_));
    server_.set_table(OrdersTable());
    Connect({});
  }
  ~ClientTest() override {
    if (HasFailure()) std::cerr << "seed " << seed_ << "\n";
  }

  void Connect(const RetryOptions& retry) {
    ClientOptions options;
    options.address = server_.address();
    options.retry = retry;
    auto clock = std::make_shared<FakeClock>(absl::Now());
    environment_.clock = clock;
    environment_.random = std::make_shared<SeededRandom>(seed_);
    environment_.sleep = [this, clock](absl::Duration wait) {
      waits_.push_back(wait);
      clock->Advance(wait);
    };
    auto channels = internal::ConnectChannels(options);
    ASSERT_THAT(channels, IsOk());
    auto policy = std::make_shared<internal::RetryPolicy>(retry, environment_);
    client_ =
        Client::Over(internal::WithRetries(*std::move(channels), policy), options, environment_);
  }

  uint64_t seed_ = 0;
  ScriptedServer server_;
  internal::Environment environment_;
  std::vector<absl::Duration> waits_;
  std::unique_ptr<Client> client_;
};

TEST(ConnectionTest, AConnectionMayTakeLongerThanARetryWaits) {
  ScriptedServer server;
  server.set_table(OrdersTable());
  TcpGate far(std::stoi(server.address().substr(server.address().rfind(':') + 1)));
  far.Delay(absl::Milliseconds(250));
  ClientOptions options;
  options.address = absl::StrCat("127.0.0.1:", far.port());
  options.retry.attempts_max = 1;
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Client> client, Client::Connect(options));
  EXPECT_THAT(client->GetTable("orders").status(), IsOk());
}

TEST(ConnectionTest, CallsGoToAllAddressesOfAName) {
  ScriptedServer servers[2];
  auto client = Client::Connect(
      {.address = absl::StrCat("ipv4:", servers[0].address(), ",", servers[1].address()), .channels = 1});
  ASSERT_THAT(client, IsOk());
  // The second connection comes a moment after the first.
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  while (servers[0].calls().empty() || servers[1].calls().empty()) {
    ASSERT_LT(absl::Now(), deadline) << "one of two servers got every call";
    ASSERT_THAT((*client)->Get("orders", {7, 1}), IsOk());
  }
}

TEST_F(ClientTest, ReadsARowByKey) {
  ASSERT_OK_AND_ASSIGN(const ReadResult row, client_->Get("orders", {42, 7}));
  EXPECT_EQ(row.record["customer_id"].AsInt64(), 42);
  EXPECT_EQ(row.record["order_id"].AsInt64(), 7);
  EXPECT_TRUE(row.record["status"].is_null());
  EXPECT_EQ(row.etag, "e1");
}

TEST_F(ClientTest, CarriesReasonFactsAndViolationsOfAnError) {
  const absl::Status sent = WithFact(InvalidField("record.total", "is no decimal"), "shard", "s3");
  server_.AnswerWith({sent});
  const absl::Status got = client_->Get("orders", {1, 2}).status();
  EXPECT_THAT(got, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(got.message(), sent.message());
  EXPECT_THAT(got, HasReason(reason::kInvalidField));
  EXPECT_EQ(DetailOf(got).facts.at("shard"), "s3");
  ASSERT_THAT(DetailOf(got).violations, SizeIs(1));
  EXPECT_EQ(DetailOf(got).violations[0].field, "record.total");
}

TEST_F(ClientTest, TriesAReadAgainWhenUnavailable) {
  server_.AnswerWith({Unavailable(), Unavailable()});
  EXPECT_THAT(client_->Get("orders", {1, 2}), IsOk());
  EXPECT_THAT(server_.calls(), ElementsAre("Get", "Get", "Get"));
  ASSERT_THAT(waits_, SizeIs(2));
  EXPECT_LE(waits_[0], RetryOptions().backoff_initial);
  EXPECT_LE(waits_[1], RetryOptions().backoff_initial * 2);
}

TEST_F(ClientTest, WaitsAtLeastAsLongAsTheGatewayAsks) {
  server_.AnswerWith(
      {WithRetryAfter(absl::StatusCode::kUnavailable, reason::kCircuitOpen, absl::Seconds(2)),
       WithRetryAfter(absl::StatusCode::kResourceExhausted, reason::kPoolExhausted,
                      absl::Seconds(3))});
  EXPECT_THAT(client_->Get("orders", {1, 2}), IsOk());
  ASSERT_THAT(waits_, SizeIs(2));
  EXPECT_GE(waits_[0], absl::Seconds(2));
  EXPECT_GE(waits_[1], absl::Seconds(3));
}

TEST_F(ClientTest, DoesNotRetryWhatWaitingDoesNotMove) {
  for (const absl::Status& status :
       {absl::AbortedError("deadlock"), absl::ResourceExhaustedError("too many rows"),
        absl::NotFoundError("no row"), absl::DeadlineExceededError("late"),
        absl::UnknownError("odd"), absl::InternalError("broken"), absl::AlreadyExistsError("taken"),
        absl::FailedPreconditionError("no")}) {
    const size_t before = server_.calls().size();
    server_.AnswerWith({status});
    EXPECT_THAT(client_->Get("orders", {1, 2}), StatusIs(status.code()));
    EXPECT_EQ(server_.calls().size(), before + 1) << status;
  }
  EXPECT_THAT(waits_, IsEmpty());
}

TEST_F(ClientTest, GivesUpAfterTheLastAttemptAndSaysHowManyThereWere) {
  RetryOptions retry;
  retry.attempts_max = 3;
  Connect(retry);
  server_.AnswerWith({Unavailable(), Unavailable(), Unavailable(), Unavailable()});
  const absl::Status status = client_->Get("orders", {1, 2}).status();
  EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
  EXPECT_EQ(status.message(), "shard s1 is down (after 3 attempts)");
  EXPECT_THAT(server_.calls(), SizeIs(3));
}

TEST_F(ClientTest, DoesNotWaitPastTheDeadline) {
  server_.AnswerWith(
      {WithRetryAfter(absl::StatusCode::kUnavailable, reason::kCircuitOpen, absl::Seconds(20))});
  CallOptions call;
  call.timeout = absl::Seconds(10);
  EXPECT_THAT(client_->Get("orders", {1, 2}, {}, call), StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(waits_, IsEmpty());
}

TEST_F(ClientTest, SpendsNoMoreRetriesThanItsBudget) {
  RetryOptions retry;
  retry.attempts_max = 100;
  retry.budget_burst = 4;
  retry.budget_ratio = 0.1;
  Connect(retry);
  for (int i = 0; i < 30; ++i) {
    server_.AnswerWith(
        {Unavailable(), Unavailable(), Unavailable(), Unavailable(), Unavailable(), Unavailable()});
    EXPECT_THAT(client_->Get("orders", {1, 2}), StatusIs(absl::StatusCode::kUnavailable));
  }
  // The burst, then one retry for every ten of the other calls.
  EXPECT_GE(waits_.size(), 6u);
  EXPECT_LE(waits_.size(), 7u);
}

TEST_F(ClientTest, RepeatsAWriteUnderTheSameRequestId) {
  server_.AnswerWith(
      {Unavailable(), MakeError(absl::StatusCode::kUnknown, reason::kWriteOutcomeUnknown, "lost")});
  const Record record{{"customer_id", 1}, {"order_id", 2}};
  ASSERT_OK_AND_ASSIGN(const WriteResult result, client_->Insert("orders", record));
  EXPECT_EQ(result.key["order_id"].AsInt64(), 2);
  const auto ids = server_.request_ids();
  ASSERT_THAT(ids, SizeIs(3));
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(ids[1], ids[2]);
  EXPECT_EQ(CanonicalUuid(ids[0]), ids[0]);
  EXPECT_EQ(ids[0][14], '7');
}

TEST_F(ClientTest, GivesEveryWriteAnIdOfItsOwn) {
  ASSERT_THAT(client_->Insert("orders", {{"customer_id", 1}}), IsOk());
  ASSERT_THAT(client_->Insert("orders", {{"customer_id", 1}}), IsOk());
  CallOptions call;
  call.request_id = "0190163d-8694-739b-aea5-966c26f8ad91";
  ASSERT_THAT(client_->Insert("orders", {{"customer_id", 1}}, {}, call), IsOk());
  const auto ids = server_.request_ids();
  ASSERT_THAT(ids, SizeIs(3));
  EXPECT_NE(ids[0], ids[1]);
  EXPECT_EQ(ids[2], call.request_id);
}

TEST_F(ClientTest, NeverRepeatsAWriteInATransaction) {
  ASSERT_OK_AND_ASSIGN(Transaction transaction, client_->Begin());
  server_.AnswerWith({Unavailable()});
  EXPECT_THAT(transaction.Insert("orders", {{"customer_id", 1}}),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(transaction.Commit(), IsOk());
  EXPECT_THAT(server_.calls(), ElementsAre("Begin", "Insert", "Commit"));
}

TEST_F(ClientTest, RollsBackATransactionThatIsDropped) {
  { ASSERT_OK_AND_ASSIGN(Transaction transaction, client_->Begin()); }
  EXPECT_THAT(server_.calls(), ElementsAre("Begin", "Rollback"));
}

TEST_F(ClientTest, RunsAnAbortedTransactionAgain) {
  const absl::Status aborted =
      MakeError(absl::StatusCode::kAborted, reason::kSerializationFailure, "try again");
  server_.AnswerWith(
      {absl::OkStatus(), aborted, absl::OkStatus(), absl::OkStatus(), absl::OkStatus(), aborted});
  int runs = 0;
  const absl::Status status = client_->RunTransaction([&runs](Transaction& transaction) {
    ++runs;
    return transaction.Insert("orders", {{"customer_id", 1}}).status();
  });
  EXPECT_THAT(status, IsOk());
  EXPECT_EQ(runs, 3);
  EXPECT_THAT(server_.calls(), ElementsAre("Begin", "Insert", "Rollback", "Begin", "Insert",
                                           "Commit", "Begin", "Insert", "Commit"));
}

TEST_F(ClientTest, ReturnsAnyOtherErrorOfATransactionAndRollsBack) {
  const absl::Status status = client_->RunTransaction(
      [](Transaction&) { return absl::FailedPreconditionError("not enough stock"); });
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(server_.calls(), ElementsAre("Begin", "Rollback"));
}

TEST_F(ClientTest, AsksWhatBecameOfACommitWhoseReplyWasLost) {
  RetryOptions retry;
  retry.attempts_max = 1;
  Connect(retry);
  const auto nothing = [](Transaction&) { return absl::OkStatus(); };
  const absl::Status lost =
      MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown, "lost");

  server_.set_transaction_state(v1::TRANSACTION_STATE_COMMITTED);
  server_.AnswerWith({absl::OkStatus(), lost});
  EXPECT_THAT(client_->RunTransaction(nothing), IsOk());

  server_.set_transaction_state(v1::TRANSACTION_STATE_IN_DOUBT);
  server_.AnswerWith({absl::OkStatus(), lost});
  EXPECT_THAT(client_->RunTransaction(nothing), HasReason(reason::kCommitOutcomeUnknown));

  // A gateway that went away in the middle of a commit tells no more than one that does not know.
  server_.AnswerWith({absl::OkStatus(), Unavailable()});
  const absl::Status broken = client_->RunTransaction(nothing);
  EXPECT_THAT(broken, StatusIs(absl::StatusCode::kUnknown));
  EXPECT_THAT(broken, HasReason(reason::kCommitOutcomeUnknown));
  EXPECT_THAT(DetailOf(broken).facts, Contains(Key("transaction")));

  server_.set_transaction_state(v1::TRANSACTION_STATE_ROLLED_BACK);
  server_.AnswerWith({absl::OkStatus(), lost});
  EXPECT_THAT(client_->RunTransaction(nothing), IsOk());  // The second run commits.
}

TEST_F(ClientTest, SendsABatchAgainForTheRowsOfAShardThatCameBack) {
  int down = 2;
  server_.set_on_mutation([&down](const v1::Mutation& mutation) {
    const bool second = mutation.insert().record().columns().at("order_id").int64_value() == 2;
    return second && down-- > 0 ? Unavailable() : absl::OkStatus();
  });
  const std::vector<Mutation> mutations = {
      Mutation::Insert("orders", {{"customer_id", 1}, {"order_id", 1}}),
      Mutation::Insert("orders", {{"customer_id", 1}, {"order_id", 2}})};
  ASSERT_OK_AND_ASSIGN(const auto results, client_->BatchWrite(mutations));
  EXPECT_THAT(results[0], IsOk());
  EXPECT_TRUE(results[0]->replayed);
  EXPECT_THAT(results[1], IsOk());
  EXPECT_EQ(server_.applied(), 2);
  EXPECT_THAT(server_.calls(), SizeIs(3));
}

v1::OnAllShardsResponse Event(const std::string& kind) {
  v1::OnAllShardsResponse event;
  if (kind == "header") event.mutable_header()->add_columns()->set_name("n");
  if (kind == "summary") event.mutable_summary()->set_rows_returned(2);
  if (kind == "rows") {
    event.mutable_rows()->set_shard("s1");
    for (int n : {1, 2}) event.mutable_rows()->add_rows()->add_values()->set_int64_value(n);
  }
  return event;
}

TEST_F(ClientTest, YieldsRowsOfAStreamAndTriesItsStartAgain) {
  server_.set_events({Event("header"), Event("rows"), Event("summary")});
  server_.AnswerWith({Unavailable()});
  ASSERT_OK_AND_ASSIGN(RowStream rows, client_->RunSqlOnAll("SELECT n FROM t"));
  std::vector<int64_t> numbers;
  for (const absl::StatusOr<SqlRow>& row : rows) {
    ASSERT_THAT(row, IsOk());
    numbers.push_back(*row->values.at(0).AsInt64());
  }
  EXPECT_THAT(numbers, ElementsAre(1, 2));
  EXPECT_EQ(rows.summary().rows_returned(), 2);
  EXPECT_THAT(server_.calls(), SizeIs(2));
}

TEST_F(ClientTest, ReportsAStreamThatEndsWithoutItsSummary) {
  server_.set_events({Event("header"), Event("rows")});
  ASSERT_OK_AND_ASSIGN(RowStream rows, client_->RunSqlOnAll("SELECT n FROM t"));
  absl::Status last;
  for (const absl::StatusOr<SqlRow>& row : rows) last = row.status();
  EXPECT_THAT(last, StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(ClientTest, RefusesOptionsThatMakeNoSense) {
  ClientOptions options;
  options.address = "";
  options.channels = 0;
  const absl::Status status = Client::Connect(options).status();
  EXPECT_THAT(DetailOf(status).violations, SizeIs(2));
}

TEST(JitteredBackoffTest, IsUniformBelowABoundThatDoublesToItsMaximum) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  RetryOptions options;
  for (int retry = 1; retry <= 100; ++retry) {
    const absl::Duration bound =
        retry > 7 ? options.backoff_max
                  : std::min(options.backoff_max, options.backoff_initial * (1 << (retry - 1)));
    absl::Duration most;
    for (int i = 0; i < 200; ++i) {
      const absl::Duration wait = internal::JitteredBackoff(options, retry, random);
      EXPECT_GE(wait, absl::ZeroDuration());
      EXPECT_LE(wait, bound);
      most = std::max(most, wait);
    }
    EXPECT_GT(most, bound * 0.8) << retry;
  }
}

}  // namespace
}  // namespace quarry::client
