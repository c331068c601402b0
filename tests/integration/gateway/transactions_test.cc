// Interactive transactions over several connections, so that their calls arrive on every loop.
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Mutation;
using client::Record;
using client::Value;

QUARRY_GATEWAY_SUITE(TransactionsTest);

v1::TransactionState StateOf(client::Client& client, const std::string& id) {
  const absl::StatusOr<v1::GetTransactionResponse> reply = client.GetTransaction(id);
  return reply.ok() ? reply->state() : v1::TRANSACTION_STATE_UNSPECIFIED;
}

int64_t VisitsOf(client::Client& client, int64_t id) {
  const absl::StatusOr<client::ReadResult> read = client.Get("customers", {id});
  return read.ok() ? read->record["visits"].AsInt64().value_or(-2) : -1;
}

TEST_P(TransactionsTest, ItSeesItsOwnWritesAndNobodyElseDoesUntilItCommits) {
  const int64_t id = AddCustomer(1);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  EXPECT_EQ(StateOf(client(), txn.id()), v1::TRANSACTION_STATE_ACTIVE);
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 5}}), IsOk());
  ASSERT_THAT(txn.Insert("orders", {{"customer_id", id}, {"order_id", 1}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::ReadResult own, txn.Get("customers", {id}));
  EXPECT_EQ(own.record["visits"], Value(5));
  ASSERT_OK_AND_ASSIGN(const client::BatchGetResult orders, txn.BatchGet("orders", {{id, 1}, {id, 2}}));
  EXPECT_EQ(orders.missing, std::vector<int>{1});
  EXPECT_EQ(VisitsOf(client(), id), 0);
  EXPECT_THAT(client().Get("orders", {id, 1}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  ASSERT_THAT(txn.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), id), 5);
  EXPECT_THAT(client().Get("orders", {id, 1}), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse fate, client().GetTransaction(txn.id()));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_COMMITTED);
  ASSERT_EQ(fate.shards_size(), 1);
  EXPECT_EQ(fate.shards(0), "s1");
  v1::CommitRequest again;
  again.set_transaction_id(txn.id());
  ASSERT_OK_AND_ASSIGN(const v1::CommitResponse committed, raw().Commit(again, Soon()));  // No error, the same answer.
  ASSERT_EQ(committed.served_by().shards_answered_size(), 1);
  EXPECT_EQ(committed.served_by().shards_answered(0), "s1");
}

TEST_P(TransactionsTest, CallsOfOneTransactionMayComeOverAnyConnection) {
  // More connections than loops: some calls arrive where the transaction does not live.
  const std::unique_ptr<client::Client> many = gateway_.NewClient(8);
  for (int round = 0; round < 4; ++round) {
    const int64_t id = gateway_.NewId();
    ASSERT_OK_AND_ASSIGN(client::Transaction txn, many->Begin());
    ASSERT_THAT(txn.Insert("customers", {{"id", id}, {"name", "n"}}), IsOk());
    for (int step = 1; step <= 12; ++step) {
      ASSERT_THAT(txn.Update("customers", {id}, {{"visits", step}}), IsOk());
      ASSERT_OK_AND_ASSIGN(const client::ReadResult read, txn.Get("customers", {id}));
      EXPECT_EQ(read.record["visits"], Value(step));
    }
    client::SqlOptions in_transaction;
    in_transaction.allow_writes = true;
    ASSERT_OK_AND_ASSIGN(
        client::RowStream rows,
        txn.RunSql("", "SELECT visits FROM customers WHERE id = " + Mark(1), {id}, in_transaction));
    int count = 0;
    for (const absl::StatusOr<client::SqlRow>& row : rows) {
      ASSERT_THAT(row, IsOk());
      EXPECT_EQ(row->values[0], Value(12));
      ++count;
    }
    EXPECT_EQ(count, 1);
    ASSERT_THAT(round % 2 == 0 ? txn.Commit().status() : txn.Rollback(), IsOk());
    EXPECT_EQ(VisitsOf(*many, id), round % 2 == 0 ? 12 : -1);
    EXPECT_EQ(StateOf(*many, txn.id()),
              round % 2 == 0 ? v1::TRANSACTION_STATE_COMMITTED : v1::TRANSACTION_STATE_ROLLED_BACK);
  }
}

TEST_P(TransactionsTest, SavepointsUndoAPartAndKeepTheRest) {
  const int64_t id = AddCustomer();
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Savepoint("start"), IsOk()) << "before any statement";
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 1}}), IsOk());
  ASSERT_THAT(txn.Savepoint("a"), IsOk());
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 2}}), IsOk());
  ASSERT_THAT(txn.Savepoint("a"), IsOk()) << "hides the older one";
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 3}}), IsOk());
  ASSERT_THAT(txn.RollbackTo("a"), IsOk());
  EXPECT_EQ(txn.Get("customers", {id})->record["visits"], Value(2));
  ASSERT_THAT(txn.ReleaseSavepoint("a"), IsOk());
  ASSERT_THAT(txn.RollbackTo("a"), IsOk()) << "the older one is back";
  EXPECT_EQ(txn.Get("customers", {id})->record["visits"], Value(1));
  EXPECT_THAT(txn.RollbackTo("unset"), Fails(absl::StatusCode::kNotFound, reason::kSavepointNotFound));
  ASSERT_THAT(txn.RollbackTo("start"), IsOk());
  EXPECT_EQ(txn.Get("customers", {id})->record["visits"], Value(0));
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 9}}), IsOk());
  ASSERT_THAT(txn.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), id), 9);
}

TEST_P(TransactionsTest, AStatementThatFailsLeavesTheTransactionAsItWas) {
  const int64_t id = AddCustomer(0);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 1}}), IsOk());
  EXPECT_THAT(txn.Insert("customers", {{"id", id}, {"name", "again"}}),
              Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  EXPECT_THAT(txn.Update("customers", {id}, {{"visits", -1}}),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation));
  EXPECT_THAT(txn.Get("nowhere", {id}), Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
  const int64_t other = gateway_.NewCustomerOn(0);
  ASSERT_OK_AND_ASSIGN(const auto batch,
                       txn.BatchWrite({Mutation::Insert("customers", {{"id", other}, {"name", "n"}}),
                                       Mutation::Insert("customers", {{"id", id}, {"name", "again"}}),
                                       Mutation::Update("customers", {other}, {{"visits", 4}})}));
  EXPECT_THAT(batch[0], IsOk());
  EXPECT_THAT(batch[1], Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  EXPECT_THAT(batch[2], IsOk());
  ASSERT_THAT(txn.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), id), 1);
  EXPECT_EQ(VisitsOf(client(), other), 4);
}

TEST_P(TransactionsTest, ASecondShardIsRefusedWhereOneWasAskedForAndTheTransactionGoesOn) {
  const int64_t here = AddCustomer(0);
  const int64_t there = AddCustomer(1);
  v1::BeginRequest one_shard;
  one_shard.set_single_shard(true);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin(one_shard));
  ASSERT_THAT(txn.Update("customers", {here}, {{"visits", 1}}), IsOk());
  const auto crossing = Fails(absl::StatusCode::kFailedPrecondition, reason::kCrossShardTransaction);
  EXPECT_THAT(txn.Update("customers", {there}, {{"visits", 1}}), crossing);
  EXPECT_THAT(txn.Get("customers", {there}), crossing);
  EXPECT_THAT(txn.BatchGet("customers", {{here}, {there}}), crossing);
  ASSERT_THAT(txn.Update("customers", {here}, {{"visits", 2}}), IsOk());
  ASSERT_THAT(txn.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), here), 2);
  EXPECT_EQ(VisitsOf(client(), there), 0);
}

TEST_P(TransactionsTest, SeveralShardsCommitTogether) {
  const int64_t a = AddCustomer(0);
  const int64_t b = AddCustomer(1);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Update("customers", {a}, {{"visits", 1}}), IsOk());
  ASSERT_THAT(txn.Update("customers", {b}, {{"visits", 1}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::BatchGetResult own, txn.BatchGet("customers", {{a}, {b}}));
  EXPECT_TRUE(own.missing.empty());
  EXPECT_EQ(VisitsOf(client(), a) + VisitsOf(client(), b), 0);
  ASSERT_OK_AND_ASSIGN(const client::CommitResult committed, txn.Commit());
  EXPECT_FALSE(committed.unfinished);
  EXPECT_EQ(committed.served_by.shards_answered_size(), 2);
  EXPECT_EQ(VisitsOf(client(), a) + VisitsOf(client(), b), 2);
  ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse fate, client().GetTransaction(txn.id()));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(fate.shards_size(), 2);
}

TEST_P(TransactionsTest, ALockedRowWaitsForItsHolder) {
  const int64_t a = AddCustomer(0);
  const int64_t b = AddCustomer(1);
  ASSERT_OK_AND_ASSIGN(client::Transaction holder, client().Begin());
  client::ReadOptions locking;
  locking.lock = v1::ROW_LOCK_UPDATE;
  ASSERT_THAT(holder.BatchGet("customers", {{b}, {a}}, locking), IsOk());
  client::CallOptions hurried;
  hurried.timeout = absl::Milliseconds(700);
  EXPECT_FALSE(client().Update("customers", {a}, {{"visits", 9}}, {}, hurried).ok());
  ASSERT_THAT(holder.Update("customers", {a}, {{"visits", 1}}), IsOk());
  ASSERT_THAT(holder.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), a), 1);
  EXPECT_THAT(client().Get("customers", {a}, locking), InvalidAt("lock"));
}

TEST_P(TransactionsTest, SeveralShardsRollBackTogether) {
  const int64_t a = AddCustomer(0);
  const int64_t b = AddCustomer(1);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Update("customers", {a}, {{"visits", 1}}), IsOk());
  ASSERT_THAT(txn.Update("customers", {b}, {{"visits", 1}}), IsOk());
  ASSERT_THAT(txn.Rollback(), IsOk());
  EXPECT_EQ(VisitsOf(client(), a) + VisitsOf(client(), b), 0);
  // Nobody waits for what it had.
  ASSERT_THAT(client().Update("customers", {a}, {{"visits", 7}}), IsOk());
  ASSERT_THAT(client().Update("customers", {b}, {{"visits", 7}}), IsOk());
}

TEST_P(TransactionsTest, ASavepointSpansShards) {
  const int64_t a = AddCustomer(0);
  const int64_t b = AddCustomer(1);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Update("customers", {a}, {{"visits", 1}}), IsOk());
  ASSERT_THAT(txn.Savepoint("half"), IsOk());
  ASSERT_THAT(txn.Update("customers", {a}, {{"visits", 2}}), IsOk());
  ASSERT_THAT(txn.Update("customers", {b}, {{"visits", 2}}), IsOk());
  ASSERT_THAT(txn.RollbackTo("half"), IsOk());
  ASSERT_THAT(txn.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), a), 1);
  EXPECT_EQ(VisitsOf(client(), b), 0);
}

// The level that a reply names when it is read as it comes, in a transaction, and at one cut.
void ExpectLevels(TestGateway& gateway, v1::ReadLevel of_snapshots) {
  client::Client& client = gateway.client();
  std::vector<client::Key> keys;
  for (const int64_t id : {gateway.NewCustomerOn(0), gateway.NewCustomerOn(1)}) {
    ASSERT_THAT(client.Insert("customers", {{"id", id}, {"name", "Ada"}}), IsOk());
    keys.push_back({id});
  }
  client::ReadOptions cut;
  cut.snapshot = true;
  ASSERT_OK_AND_ASSIGN(client::BatchGetResult read, client.BatchGet("customers", keys));
  EXPECT_EQ(read.served_by.level(), v1::READ_LEVEL_READ_YOUR_WRITES);
  ASSERT_OK_AND_ASSIGN(read, client.BatchGet("customers", keys, cut));
  EXPECT_EQ(read.served_by.level(), of_snapshots);
  v1::BeginRequest begin;
  begin.set_read_only(true);
  for (const bool snapshot : {false, true}) {
    begin.set_snapshot(snapshot);
    ASSERT_OK_AND_ASSIGN(client::Transaction transaction, client.Begin(begin));
    ASSERT_OK_AND_ASSIGN(read, transaction.BatchGet("customers", keys));
    EXPECT_EQ(read.served_by.level(), snapshot ? of_snapshots : v1::READ_LEVEL_READ_YOUR_WRITES);
    ASSERT_THAT(transaction.Commit(), IsOk());
  }
}

TEST_P(TransactionsTest, AReplyNamesItsLevel) { ExpectLevels(gateway_, v1::READ_LEVEL_SNAPSHOT); }

TEST(TransactionsSettingsTest, AReplyNamesTheStrictLevelWhereAllCommitsPassTheGate) {
  GatewaySettings settings;
  settings.overrides = {"transactions.snapshot_order=strict"};
  for (const Kind kind : {Kind::kSqlite, Kind::kPostgres}) {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> own, TestGateway::Start({kind, 2}, settings));
    ExpectLevels(*own, v1::READ_LEVEL_STRICT_SNAPSHOT);
  }
}

TEST_P(TransactionsTest, ASnapshotSeesOneCutAndNothingLater) {
  const int64_t a = AddCustomer(0);
  const int64_t b = AddCustomer(1);
  v1::BeginRequest snapshot;
  snapshot.set_read_only(true);
  snapshot.set_snapshot(true);
  ASSERT_OK_AND_ASSIGN(client::Transaction reader, client().Begin(snapshot));
  ASSERT_THAT(client().CommitMutations({Mutation::Update("customers", {a}, {{"visits", 4}}),
                                        Mutation::Update("customers", {b}, {{"visits", 4}})}),
              IsOk());
  for (const int64_t id : {a, b}) {
    ASSERT_OK_AND_ASSIGN(client::ReadResult row, reader.Get("customers", {id}));
    EXPECT_EQ(row.record["visits"], Value(0));
    EXPECT_EQ(row.served_by.level(), v1::READ_LEVEL_SNAPSHOT);
  }
  EXPECT_THAT(reader.Update("customers", {a}, {{"visits", 9}}), Fails(absl::StatusCode::kFailedPrecondition, reason::kReadOnly));
  ASSERT_THAT(reader.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), a) + VisitsOf(client(), b), 8);
  v1::BeginRequest writes;
  writes.set_snapshot(true);
  EXPECT_THAT(client().Begin(writes), InvalidAt("snapshot"));
}

TEST_P(TransactionsTest, AReadOnlyTransactionRefusesWritesAndAReferenceTableIsReadOnItsShard) {
  const int64_t id = AddCustomer(1);
  v1::BeginRequest options;
  options.set_read_only(true);
  options.set_isolation(v1::ISOLATION_LEVEL_REPEATABLE_READ);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin(options));
  ASSERT_THAT(txn.Get("customers", {id}), IsOk());
  ASSERT_THAT(client().Update("customers", {id}, {{"visits", 6}}), IsOk());
  EXPECT_EQ(txn.Get("customers", {id})->record["visits"], Value(0)) << "one state for all statements";
  EXPECT_THAT(txn.Get("countries", {"none"}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  EXPECT_THAT(txn.Update("customers", {id}, {{"visits", 7}}),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kReadOnly));
  ASSERT_THAT(txn.Rollback(), IsOk());
  ASSERT_THAT(txn.Rollback(), IsOk());
  EXPECT_EQ(VisitsOf(client(), id), 6);
}

TEST_P(TransactionsTest, AnIdleOneIsRolledBackAndGivesItsSessionBack) {
  const int64_t id = AddCustomer();
  v1::BeginRequest options;
  options.mutable_idle_timeout()->set_seconds(1);
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin(options));
  ASSERT_THAT(txn.Update("customers", {id}, {{"visits", 1}}), IsOk());
  EXPECT_TRUE(Eventually([&] { return StateOf(client(), txn.id()) == v1::TRANSACTION_STATE_ROLLED_BACK; }));
  EXPECT_THAT(txn.Update("customers", {id}, {{"visits", 2}}),
              Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  EXPECT_THAT(txn.Commit(), Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  EXPECT_EQ(VisitsOf(client(), id), 0);
  EXPECT_TRUE(gateway_.SettlesToNoSessions());
  options.mutable_idle_timeout()->set_seconds(86'400);
  EXPECT_THAT(client().Begin(options), InvalidAt("idle_timeout"));
}

TEST_P(TransactionsTest, UnknownAndEndedOnesAreToldApart) {
  v1::GetTransactionRequest request;
  request.set_transaction_id("t2-0000000000000000-00-00000000000000000000000000000000");
  EXPECT_THAT(raw().GetTransaction(request, Soon()),
              Fails(absl::StatusCode::kNotFound, reason::kTransactionNotFound));
  request.set_transaction_id("t2-0000000000000000-ff-00000000000000000000000000000000");
  EXPECT_THAT(raw().GetTransaction(request, Soon()).status().code(),
              testing::AnyOf(absl::StatusCode::kNotFound, absl::StatusCode::kInvalidArgument));
  request.set_transaction_id("'; DROP TABLE customers; --");
  EXPECT_THAT(raw().GetTransaction(request, Soon()),
              Fails(absl::StatusCode::kNotFound, reason::kTransactionNotFound));
  request.clear_transaction_id();
  EXPECT_THAT(raw().GetTransaction(request, Soon()), InvalidAt("transaction_id"));
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Commit(), IsOk());
  v1::RollbackRequest rollback;
  rollback.set_transaction_id(txn.id());
  EXPECT_THAT(raw().Rollback(rollback, Soon()),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kTransactionCommitted));
}

TEST_P(TransactionsTest, CountersOfConcurrentTransactionsLoseNothing) {
  const int64_t id = AddCustomer();
  const std::unique_ptr<client::Client> many = gateway_.NewClient(4, 6);
  std::vector<std::thread> threads;
  std::vector<absl::Status> outcomes(4);
  constexpr int kEach = 5;
  client::CallOptions patient;
  patient.timeout = absl::Seconds(60);
  for (absl::Status& outcome : outcomes) {
    threads.emplace_back([&] {
      for (int i = 0; i < kEach && outcome.ok(); ++i) {
        outcome = many->RunTransaction(
            [&](client::Transaction& txn) -> absl::Status {
              const absl::StatusOr<client::ReadResult> read = txn.Get("customers", {id});
              if (!read.ok()) return read.status();
              client::MutationOptions unchanged;
              unchanged.etag = read->etag;
              return txn.Update("customers", {id}, {{"visits", *read->record["visits"].AsInt64() + 1}}, unchanged).status();
            },
            {}, patient);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // A run that found the row changed gave up after its attempts at most; what it reported is what happened.
  for (const absl::Status& outcome : outcomes) {
    EXPECT_TRUE(outcome.ok() || absl::IsAborted(outcome)) << outcome;
  }
  const int64_t visits = VisitsOf(client(), id);
  EXPECT_GT(visits, 0);
  EXPECT_LE(visits, kEach * static_cast<int64_t>(outcomes.size()));
  if (std::all_of(outcomes.begin(), outcomes.end(), [](const absl::Status& s) { return s.ok(); })) {
    EXPECT_EQ(visits, kEach * static_cast<int64_t>(outcomes.size()));
  }
}

TEST_P(TransactionsTest, ARequestIdWithinATransactionIsAnsweredOnceAndForgottenWithItsSavepoint) {
  const int64_t id = AddCustomer();
  client::CallOptions call;
  call.request_id = NewUuid();
  ASSERT_OK_AND_ASSIGN(client::Transaction txn, client().Begin());
  ASSERT_THAT(txn.Savepoint("before"), IsOk());
  const Mutation update = Mutation::Update("customers", {id}, {{"visits", 1}});
  ASSERT_THAT(txn.Write(update, call), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::WriteResult again, txn.Write(update, call));
  EXPECT_TRUE(again.replayed);
  ASSERT_THAT(txn.RollbackTo("before"), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::WriteResult anew, txn.Write(update, call));
  EXPECT_FALSE(anew.replayed);
  ASSERT_THAT(txn.Commit(), IsOk());
  EXPECT_EQ(VisitsOf(client(), id), 1);
}

}  // namespace
}  // namespace quarry::gateway_test
