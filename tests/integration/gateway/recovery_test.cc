// Transactions over several shards that a gateway leaves unfinished, and what gateways tell of them afterwards.
#include <memory>
#include <string>
#include <vector>

#include "core/base/failpoint.h"
#include "core/base/rpc_status.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

QUARRY_GATEWAY_SUITE(RecoveryTest);

// Of this process, and so of its gateways.
class ArmedFailpoints {
 public:
  explicit ArmedFailpoints(const std::string& text) { EXPECT_THAT(ArmFailpoints(text), IsOk()); }
  ~ArmedFailpoints() { EXPECT_THAT(ArmFailpoints(""), IsOk()); }
};

int64_t VisitsOf(client::Client& client, int64_t id) {
  const absl::StatusOr<client::ReadResult> read = client.Get("customers", {id});
  return read.ok() ? read->record["visits"].AsInt64().value_or(-2) : -1;
}

// A customer on each of the first two shards, and an open transaction that has changed both.
struct Crossing {
  int64_t here = 0;
  int64_t there = 0;
  std::string id;
};

Crossing Cross(TestGateway& gateway) {
  Crossing crossing;
  crossing.here = gateway.NewCustomerOn(0);
  crossing.there = gateway.NewCustomerOn(1);
  v1::BeginRequest begin;
  const absl::StatusOr<v1::BeginResponse> begun = gateway.raw().Begin(begin, Soon());
  EXPECT_THAT(begun, IsOk());
  if (!begun.ok()) return crossing;
  crossing.id = begun->transaction_id();
  for (const int64_t customer : {crossing.here, crossing.there}) {
    EXPECT_THAT(gateway.client().Insert("customers", {{"id", customer}, {"name", "n"}}), IsOk());
    v1::UpdateRequest update;
    update.set_table("customers");
    update.set_transaction_id(crossing.id);
    update.mutable_key()->add_values()->set_int64_value(customer);
    (*update.mutable_record()->mutable_columns())["visits"].set_int64_value(5);
    EXPECT_THAT(gateway.raw().Update(update, Soon()), IsOk());
  }
  return crossing;
}

absl::StatusOr<v1::CommitResponse> Commit(TestGateway& gateway, const std::string& id) {
  v1::CommitRequest request;
  request.set_transaction_id(id);
  request.set_request_id(NewUuid());
  return gateway.raw().Commit(request, Soon());
}

std::unique_ptr<TestGateway> StartOwn(const Setup& setup, const std::string& recovery_age) {
  GatewaySettings settings;
  settings.overrides = {"transactions.recovery_age=" + recovery_age};
  absl::StatusOr<std::unique_ptr<TestGateway>> own = TestGateway::Start(setup, settings);
  EXPECT_THAT(own, IsOk());
  return own.ok() ? *std::move(own) : nullptr;
}

TEST_P(RecoveryTest, EveryShardCanTakePartAndSaysSo) {
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::ShardStatus> all, client().InitShard(""));
  ASSERT_EQ(static_cast<int>(all.size()), shards());
  for (const v1::ShardStatus& shard : all) EXPECT_THAT(FromRpcStatus(shard.status()), IsOk()) << shard.shard();
  ASSERT_OK_AND_ASSIGN(const std::vector<v1::ShardStatus> one, client().InitShard("s1"));
  EXPECT_EQ(one.size(), 1u);
  EXPECT_THAT(client().InitShard("s99"), Fails(absl::StatusCode::kNotFound, reason::kShardNotFound));
}

TEST_P(RecoveryTest, ACommitThatCouldNotBeFinishedIsFinishedByRecovery) {
  const std::unique_ptr<TestGateway> own = StartOwn(GetParam(), "100ms");
  ASSERT_NE(own, nullptr);
  const Crossing crossing = Cross(*own);
  {
    const ArmedFailpoints stuck("commit.before_finish=error");
    ASSERT_OK_AND_ASSIGN(const v1::CommitResponse committed, Commit(*own, crossing.id));
    EXPECT_TRUE(committed.unfinished());
    EXPECT_TRUE(Eventually([&] { return VisitsOf(own->client(), crossing.there) == 5; }));
  }
  EXPECT_EQ(VisitsOf(own->client(), crossing.here), 5);
  ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse fate, own->client().GetTransaction(crossing.id));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(fate.home(), "s0");
  EXPECT_EQ(fate.unfinished_shards_size(), 0);
  EXPECT_TRUE(Eventually([&] { return own->Metric("quarry_recovery_resolved_total").value_or(0) >= 1; }));
  EXPECT_EQ(own->Metric("quarry_audit_findings"), 0);
}

TEST_P(RecoveryTest, AWriteToAReferenceTableSaysThatSomeShardHasYetToShowIt) {
  const std::unique_ptr<TestGateway> own = StartOwn(GetParam(), "100ms");
  ASSERT_NE(own, nullptr);
  const std::string code = absl::StrCat("u", own->NewCustomerOn(0));
  client::Record country = {{"code", code}, {"name", code}};
  std::string transaction_id;
  {
    const ArmedFailpoints stuck("commit.before_finish=error");
    ASSERT_OK_AND_ASSIGN(const client::WriteResult written, own->client().Insert("countries", country));
    transaction_id = written.unfinished_transaction_id;
    ASSERT_NE(transaction_id, "");
    EXPECT_TRUE(Eventually([&] {
      const auto fate = own->client().GetTransaction(transaction_id);
      return fate.ok() && fate->state() == v1::TRANSACTION_STATE_COMMITTED && fate->unfinished_shards_size() == 0;
    }));
  }
  ASSERT_OK_AND_ASSIGN(const client::WriteResult written, own->client().Update("countries", {code}, {{"visits", 8}}));
  EXPECT_EQ(written.unfinished_transaction_id, "");
}

TEST_P(RecoveryTest, AnOperatorSeesWhatIsUnfinishedAndEndsIt) {
  const std::unique_ptr<TestGateway> own = StartOwn(GetParam(), "1h");
  ASSERT_NE(own, nullptr);
  const Crossing crossing = Cross(*own);
  {
    const ArmedFailpoints stuck("commit.before_finish=error");
    ASSERT_OK_AND_ASSIGN(const v1::CommitResponse committed, Commit(*own, crossing.id));
    EXPECT_TRUE(committed.unfinished());
  }
  EXPECT_EQ(VisitsOf(own->client(), crossing.there), 0);
  EXPECT_EQ(VisitsOf(own->client(), crossing.here), 5);
  ASSERT_OK_AND_ASSIGN(v1::ListInDoubtTransactionsResponse list,
                       own->client().ListInDoubtTransactions(absl::ZeroDuration()));
  EXPECT_EQ(list.failed_shards_size(), 0);
  ASSERT_EQ(list.transactions_size(), 1);
  const v1::InDoubtTransaction& one = list.transactions(0);
  EXPECT_EQ(one.transaction_id(), crossing.id);
  EXPECT_EQ(one.state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(one.home(), "s0");
  EXPECT_FALSE(one.home_unknown());
  ASSERT_EQ(one.prepared_shards_size(), 1);
  EXPECT_EQ(one.prepared_shards(0), "s1");
  EXPECT_EQ(one.participants_size(), 2);
  ASSERT_OK_AND_ASSIGN(list, own->client().ListInDoubtTransactions());
  EXPECT_EQ(list.transactions_size(), 0);  // Not old enough to be told unasked.
  ASSERT_OK_AND_ASSIGN(const v1::ResolveTransactionResponse end, own->client().ResolveTransaction(crossing.id));
  EXPECT_EQ(end.state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(end.unfinished_shards_size(), 0);
  EXPECT_EQ(end.contradicting_shards_size(), 0);
  EXPECT_EQ(VisitsOf(own->client(), crossing.there), 5);
  ASSERT_OK_AND_ASSIGN(list, own->client().ListInDoubtTransactions(absl::ZeroDuration()));
  EXPECT_EQ(list.transactions_size(), 0);
}

// docs/runbooks.md has these statements.
TEST(LostPartTest, IsFoundUntilItsRowsAreSaidToFit) {
  GatewaySettings settings;
  settings.overrides = {"transactions.recovery_age=100ms", "transactions.audit_interval=100ms"};
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> own, TestGateway::Start({Kind::kPostgres, 2}, settings));
  const Crossing crossing = Cross(*own);
  ASSERT_THAT(Commit(*own, crossing.id), IsOk());
  const std::string of_it = absl::StrCat(" WHERE transaction_id = '", crossing.id, "'");
  EXPECT_TRUE(Eventually([&] {
    return NumberOn(*own, 0, "SELECT count(*) FROM quarry.txn_decision" + of_it + " AND finished IS NOT NULL") == 1;
  }));
  const auto settles_at = [&](int findings) {
    return Eventually([&] { return own->Metric("quarry_audit_findings") == findings; });
  };
  const auto run = [&](const std::string& sql) {
    EXPECT_THAT(ReadAll(own->raw().OnShard(SqlOn(1, sql, {}, true), Soon())).status, IsOk()) << sql;
  };
  run("DELETE FROM quarry.txn_part" + of_it);
  EXPECT_TRUE(settles_at(1));
  run(absl::StrCat("INSERT INTO quarry.txn_part (transaction_id) VALUES ('", crossing.id, "')"));
  EXPECT_TRUE(settles_at(0));
}

TEST_P(RecoveryTest, TheNextGatewayTellsWhatBecameOfTheLastOnesTransactions) {
  const std::unique_ptr<TestGateway> own = StartOwn(GetParam(), "100ms");
  ASSERT_NE(own, nullptr);
  const Crossing committed = Cross(*own);
  ASSERT_THAT(Commit(*own, committed.id), IsOk());
  const Crossing open = Cross(*own);
  ASSERT_THAT(own->Restart(), IsOk());
  ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse fate, own->client().GetTransaction(committed.id));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_COMMITTED);
  EXPECT_EQ(fate.home(), "s0");
  ASSERT_EQ(fate.shards_size(), 2);
  EXPECT_EQ(fate.shards(0), "s0");
  EXPECT_THAT(Commit(*own, committed.id), IsOk());
  EXPECT_THAT(own->client().GetTransaction(open.id), Fails(absl::StatusCode::kNotFound, reason::kTransactionNotFound));
  // Who asks for its commit again makes the answer definite.
  EXPECT_THAT(Commit(*own, open.id), Fails(absl::StatusCode::kAborted, reason::kTransactionEnded));
  ASSERT_OK_AND_ASSIGN(const v1::GetTransactionResponse ended, own->client().GetTransaction(open.id));
  EXPECT_EQ(ended.state(), v1::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_EQ(VisitsOf(own->client(), open.here), 0);
  EXPECT_EQ(VisitsOf(own->client(), open.there), 0);
}

}  // namespace
}  // namespace quarry::gateway_test
