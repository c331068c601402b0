// What becomes of transactions over several shards, as clients and operators ask for it.
#include <string>
#include <vector>

#include "core/base/rpc_status.h"
#include "quarry/v1/admin.pb.h"
#include "quarry/v1/transaction.pb.h"
#include "tests/unit/server/service/service_fixture.h"

namespace quarry {
namespace {

constexpr char kGet[] = "/quarry.v1.TransactionService/GetTransaction";
constexpr char kListInDoubt[] = "/quarry.v1.AdminService/ListInDoubtTransactions";
constexpr char kResolve[] = "/quarry.v1.AdminService/ResolveTransaction";
constexpr char kInit[] = "/quarry.v1.AdminService/InitShard";

class TransactionAdminTest : public ServiceFixture {
 protected:
  // The fakes belong to their loop.
  template <typename Work>
  void At(size_t shard, Work work) {
    server_->loop(0).RunAndWait([&] { work(shards_[shard]->two_phase().state()); });
  }
  // An id that another gateway has given.
  std::string ForeignId() {
    std::string id;
    server_->loop(0).RunAndWait([&] {
      Engine::Parts parts;
      parts.snapshot = [snapshot = TestSnapshot()] { return snapshot; };
      Engine other(server_->loop(0), std::move(parts));
      id = other.Begin(BeginOptions()).value_or("");
    });
    EXPECT_NE(id, "");
    return id;
  }
  void Prepare(size_t shard, const std::string& id, const std::string& home) {
    At(shard, [&](FakeTwoPhase::State& state) { state.branches[id] = GlobalTransaction{id, home}; });
  }
  void Commit(size_t shard, const std::string& id, absl::Duration age) {
    Decision decision;
    decision.transaction_id = id;
    decision.verdict = Verdict::kCommit;
    decision.participants = {"s1", "s0"};
    decision.age = age;
    At(shard, [&](FakeTwoPhase::State& state) { state.decisions[id] = decision; });
  }
  void TakeDown(size_t shard) {
    At(shard, [](FakeTwoPhase::State& state) {
      for (const char* call : {"ListBranches", "ListDecisions", "FindDecision", "DecideAbort", "Init"}) {
        state.fail[call] = MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down");
      }
    });
  }
  absl::StatusOr<v1::GetTransactionResponse> Get(const std::string& id) {
    v1::GetTransactionRequest request;
    request.set_transaction_id(id);
    return Call<v1::GetTransactionResponse>(kGet, request);
  }
  absl::StatusOr<v1::ResolveTransactionResponse> Resolve(const std::string& id) {
    v1::ResolveTransactionRequest request;
    request.set_id(id);
    return Call<v1::ResolveTransactionResponse>(kResolve, request);
  }
};

TEST_F(TransactionAdminTest, GetTransactionAsksTheShardsAboutOtherGatewaysTransactions) {
  const std::string id = ForeignId();
  EXPECT_THAT(Get(id), HasReason(reason::kTransactionNotFound));
  Prepare(0, id, "s1");
  ASSERT_OK_AND_ASSIGN(v1::GetTransactionResponse fate, Get(id));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_IN_DOUBT);
  EXPECT_EQ(fate.home(), "s1");
  Commit(1, id, absl::ZeroDuration());
  ASSERT_OK_AND_ASSIGN(fate, Get(id));
  EXPECT_EQ(fate.state(), v1::TRANSACTION_STATE_COMMITTED);
  ASSERT_EQ(fate.shards_size(), 2);
  EXPECT_EQ(fate.shards(0), "s0");
  ASSERT_EQ(fate.unfinished_shards_size(), 1);
  EXPECT_EQ(fate.unfinished_shards(0), "s0");
  TakeDown(1);
  const absl::Status status = Get(ForeignId()).status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s1");
}

TEST_F(TransactionAdminTest, ListsWhatIsInDoubtAndTheShardsThatMayHoldMore) {
  const std::string prepared = ForeignId();
  Prepare(0, prepared, "elsewhere");
  const std::string young = ForeignId();
  Commit(0, young, absl::Milliseconds(1500));
  TakeDown(1);
  v1::ListInDoubtTransactionsRequest request;
  ASSERT_OK_AND_ASSIGN(v1::ListInDoubtTransactionsResponse list, Call<v1::ListInDoubtTransactionsResponse>(kListInDoubt, request));
  ASSERT_EQ(list.transactions_size(), 1);
  const v1::InDoubtTransaction& one = list.transactions(0);
  EXPECT_EQ(one.transaction_id(), prepared);
  EXPECT_EQ(one.state(), v1::TRANSACTION_STATE_IN_DOUBT);
  EXPECT_EQ(one.home(), "elsewhere");
  EXPECT_TRUE(one.home_unknown());
  ASSERT_EQ(one.prepared_shards_size(), 1);
  EXPECT_EQ(one.prepared_shards(0), "s0");
  EXPECT_EQ(one.age().seconds(), 3600);
  ASSERT_EQ(list.failed_shards_size(), 1);
  EXPECT_EQ(list.failed_shards(0).shard(), "s1");
  EXPECT_THAT(FromRpcStatus(list.failed_shards(0).status()), HasReason(reason::kShardUnavailable));
  request.mutable_min_age()->set_seconds(1);
  ASSERT_OK_AND_ASSIGN(list, Call<v1::ListInDoubtTransactionsResponse>(kListInDoubt, request));
  ASSERT_EQ(list.transactions_size(), 2);
  for (const v1::InDoubtTransaction& each : list.transactions()) {
    if (each.transaction_id() != young) continue;
    EXPECT_EQ(each.state(), v1::TRANSACTION_STATE_COMMITTED);
    ASSERT_EQ(each.participants_size(), 2);
    EXPECT_EQ(each.participants(0), "s0");
    EXPECT_FALSE(each.home_unknown());
  }
  request.mutable_min_age()->set_seconds(-1);
  EXPECT_THAT(Call<v1::ListInDoubtTransactionsResponse>(kListInDoubt, request), HasReason(reason::kInvalidField));
}

TEST_F(TransactionAdminTest, ResolvesByADecisionOrByRollingBack) {
  EXPECT_THAT(Resolve(""), HasReason(reason::kInvalidField));
  EXPECT_THAT(Resolve("nonsense"), HasReason(reason::kTransactionNotFound));
  const std::string id = ForeignId();
  EXPECT_THAT(Resolve(id), HasReason(reason::kTransactionNotFound));
  Prepare(0, id, "s1");
  ASSERT_OK_AND_ASSIGN(v1::ResolveTransactionResponse end, Resolve(id));
  EXPECT_EQ(end.state(), v1::TRANSACTION_STATE_ROLLED_BACK);
  EXPECT_EQ(end.home(), "s1");
  EXPECT_EQ(end.unfinished_shards_size(), 0);
  const std::string waiting = ForeignId();
  Prepare(0, waiting, "s1");
  TakeDown(1);
  ASSERT_OK_AND_ASSIGN(end, Resolve(waiting));
  EXPECT_EQ(end.state(), v1::TRANSACTION_STATE_IN_DOUBT);
  ASSERT_EQ(end.unfinished_shards_size(), 1);
  EXPECT_EQ(end.unfinished_shards(0), "s0");
  ASSERT_EQ(end.failed_shards_size(), 1);
  EXPECT_EQ(end.failed_shards(0).shard(), "s1");
}

TEST_F(TransactionAdminTest, InitTellsOfEachShard) {
  v1::InitShardRequest request;
  EXPECT_THAT(Call<v1::InitShardResponse>(kInit, request), HasReason(reason::kInvalidField));
  request.set_shard("s9");
  EXPECT_THAT(Call<v1::InitShardResponse>(kInit, request), HasReason(reason::kShardNotFound));
  request.set_shard("s0");
  ASSERT_OK_AND_ASSIGN(v1::InitShardResponse reply, Call<v1::InitShardResponse>(kInit, request));
  ASSERT_EQ(reply.shards_size(), 1);
  EXPECT_EQ(reply.shards(0).status().code(), 0);
  TakeDown(1);
  request.set_all_shards(true);
  ASSERT_OK_AND_ASSIGN(reply, Call<v1::InitShardResponse>(kInit, request));
  ASSERT_EQ(reply.shards_size(), 2);
  EXPECT_EQ(reply.shards(0).status().code(), 0);
  EXPECT_EQ(reply.shards(1).shard(), "s1");
  EXPECT_THAT(FromRpcStatus(reply.shards(1).status()), HasReason(reason::kShardUnavailable));
}

}  // namespace
}  // namespace quarry
