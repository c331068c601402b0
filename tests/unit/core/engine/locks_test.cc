// Locks and fences through engines over real databases; two engines are two gateways over the same shards.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/ids.h"
#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

constexpr char kLockRequest[] = "0190163d-8694-739b-aea5-966c26f8ad91";

MATCHER_P2(FailsWith, code, reason, "") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && ReasonOf(status) == reason;
}
const auto& LockLost() {
  static const auto matcher = FailsWith(absl::StatusCode::kFailedPrecondition, std::string(reason::kLockLost));
  return matcher;
}

class LocksTest : public QueryClusterTest {
 protected:
  LocksTest() {
    for (int i = 0; i < 2; ++i) gateways_.push_back(MakeGateway());
  }
  ~LocksTest() override {
    gateways_.clear();
    loop_.RunOnce(absl::ZeroDuration());
  }
  std::unique_ptr<Engine> MakeGateway() {
    Engine::Parts parts;
    for (const std::unique_ptr<TestDatabase>& database : databases_) parts.shards.push_back(database->MakeBackend(loop_));
    parts.snapshot = [this] { return snapshot_; };
    parts.locks.options = options_;
    return std::make_unique<Engine>(loop_, std::move(parts));
  }
  LockStore& At(size_t gateway) { return **gateways_[gateway]->locks(); }
  std::string NewLease() { return ids_.UuidV7(loop_.Now()); }
  LockRequest Ask(const std::string& name, const std::string& lease, bool wait = true) {
    LockRequest request;
    request.name = name;
    request.lease_id = lease;
    request.owner = "test";
    request.ttl = ttl_;
    request.wait = wait;
    return request;
  }
  absl::StatusOr<LockGrant> Acquire(size_t gateway, const std::string& name, const std::string& lease, bool wait = true) {
    return Run(At(gateway).Acquire(Ask(name, lease, wait), ctx_));
  }
  template <typename T>
  bool Answered(const std::optional<T>& result, absl::Duration within) {
    const absl::Time end = absl::Now() + within;
    while (!result.has_value() && absl::Now() < end) loop_.RunOnce(absl::Milliseconds(10));
    return result.has_value();
  }
  void Let(absl::Duration pass) {
    const absl::Time end = absl::Now() + pass;
    while (absl::Now() < end) loop_.RunOnce(absl::Milliseconds(5));
  }
  LockFence FenceOf(const std::string& name, int64_t token) {
    LockFence fence;
    fence.lock = name;
    fence.token = token;
    return fence;
  }
  WriteOperation InsertItems(std::vector<int64_t> ids, LockFence fence, Atomicity atomicity = Atomicity::kAll) {
    std::vector<Mutation> mutations;
    for (const int64_t id : ids) {
      Record record;
      record["id"] = Value::Int64(id);
      record["shop"] = Value::Int64(1);
      mutations.push_back(MakeMutation(MutationKind::kInsert, "items", std::move(record)));
    }
    WriteOperation op = WriteOf(std::move(mutations), atomicity);
    op.fence = std::move(fence);
    return op;
  }
  absl::StatusOr<WriteResult> Write(const WriteOperation& op, const std::string& transaction = "") {
    return Run(engine_->Write(op, transaction, ctx_));
  }
  int64_t Items() { return static_cast<int64_t>(QueryRows(ItemsBy({}))->size()); }

  LockOptions options_;
  absl::Duration ttl_ = absl::Seconds(20);
  SeededRandom lease_random_{11};
  IdGenerator ids_{1, lease_random_};
  std::vector<std::unique_ptr<Engine>> gateways_;
};

TEST_F(LocksTest, WaitersOfTwoGatewaysGetTheLockInTheirOrderWithGrowingTokens) {
  const std::string holder = NewLease();
  ASSERT_OK_AND_ASSIGN(const LockGrant first, Acquire(0, "orders", holder));
  EXPECT_GT(first.token, 0);
  EXPECT_THAT(Acquire(1, "orders", NewLease(), false),
              FailsWith(absl::StatusCode::kFailedPrecondition, std::string(reason::kLockHeld)));
  std::vector<std::string> leases = {NewLease(), NewLease(), NewLease()};
  std::vector<std::optional<absl::StatusOr<LockGrant>>> grants(3);
  std::vector<Running> waiting;
  for (size_t i = 0; i < 3; ++i) {
    waiting.emplace_back(At(i % 2).Acquire(Ask("orders", leases[i]), ctx_),
                         [&grants, i](absl::StatusOr<LockGrant> grant) { grants[i].emplace(std::move(grant)); });
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (Run(At(0).Look("orders", ctx_))->waiters != i + 1 && absl::Now() < end) Let(absl::Milliseconds(5));
  }
  ASSERT_THAT(Run(At(0).Release("orders", holder, ctx_)), IsOk());
  int64_t token = first.token;
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(Answered(grants[i], absl::Seconds(10))) << i;
    ASSERT_THAT(*grants[i], IsOk());
    EXPECT_GT((*grants[i])->token, token);
    token = (*grants[i])->token;
    for (size_t later = i + 1; later < 3; ++later) EXPECT_FALSE(grants[later].has_value());
    ASSERT_THAT(Run(At(1).Release("orders", leases[i], ctx_)), IsOk());
  }
  ASSERT_OK_AND_ASSIGN(const LockView view, Run(At(1).Look("orders", ctx_)));
  EXPECT_FALSE(view.held);
  EXPECT_EQ(view.token, token);
}

TEST_F(LocksTest, AskingAgainUnderTheSameLeaseIsTheSameGrant) {
  const std::string lease = NewLease();
  ASSERT_OK_AND_ASSIGN(const LockGrant first, Acquire(0, "a", lease));
  ASSERT_OK_AND_ASSIGN(const LockGrant again, Acquire(1, "a", lease));
  EXPECT_EQ(again.token, first.token);
  ASSERT_OK_AND_ASSIGN(const LockGrant kept, Run(At(1).KeepAlive("a", lease, ctx_)));
  EXPECT_EQ(kept.token, first.token);
  EXPECT_GT(kept.remaining, ttl_ / 2);
  ASSERT_THAT(Run(At(0).Release("a", lease, ctx_)), IsOk());
  EXPECT_THAT(Run(At(0).Release("a", lease, ctx_)), LockLost());
  EXPECT_THAT(Run(At(0).KeepAlive("a", lease, ctx_)), LockLost());
  EXPECT_THAT(Run(At(0).KeepAlive("never used", lease, ctx_)), LockLost());
  EXPECT_THAT(Run(At(0).Look("never used", ctx_)),
              FailsWith(absl::StatusCode::kNotFound, std::string(reason::kLockNotFound)));
}

TEST_F(LocksTest, ALeaseThatRunsOutGoesToTheNextInLine) {
  ttl_ = absl::Milliseconds(300);
  const std::string old = NewLease();
  const absl::Time began = absl::Now();
  ASSERT_OK_AND_ASSIGN(const LockGrant first, Acquire(0, "a", old));
  ASSERT_OK_AND_ASSIGN(const LockGrant second, Acquire(1, "a", NewLease()));
  EXPECT_GE(absl::Now() - began, absl::Milliseconds(200)) << "not before its time";
  EXPECT_GT(second.token, first.token);
  EXPECT_THAT(Run(At(0).KeepAlive("a", old, ctx_)), LockLost());
}

TEST_F(LocksTest, ACallThatIsCutLeavesTheLine) {
  ASSERT_THAT(Acquire(0, "a", NewLease()), IsOk());
  {
    const Running cut(At(1).Acquire(Ask("a", NewLease()), ctx_), [](const absl::StatusOr<LockGrant>&) { FAIL(); });
    const absl::Time end = absl::Now() + absl::Seconds(10);
    while (Run(At(0).Look("a", ctx_))->waiters == 0 && absl::Now() < end) Let(absl::Milliseconds(5));
  }
  const absl::Time end = absl::Now() + absl::Seconds(5);
  while (Run(At(0).Look("a", ctx_))->waiters != 0 && absl::Now() < end) Let(absl::Milliseconds(5));
  EXPECT_EQ(Run(At(0).Look("a", ctx_))->waiters, 0u);
}

TEST_F(LocksTest, ADeadlineInLineSaysSo) {
  ASSERT_THAT(Acquire(0, "a", NewLease()), IsOk());
  CallContext short_ctx(loop_);
  short_ctx.deadline = loop_.Now() + absl::Milliseconds(100);
  EXPECT_THAT(Run(At(1).Acquire(Ask("a", NewLease()), short_ctx)),
              FailsWith(absl::StatusCode::kDeadlineExceeded, std::string(reason::kDeadline)));
}

TEST_F(LocksTest, LinesAndStoresHaveBoundsAndForgottenLocksKeepTheirTokens) {
  options_.limits.waiters_max = 1;
  options_.locks_max = 3;
  gateways_[0] = MakeGateway();
  ASSERT_THAT(Acquire(0, "a", NewLease()), IsOk());
  std::optional<absl::StatusOr<LockGrant>> ignored;
  const Running waits(At(0).Acquire(Ask("a", NewLease()), ctx_),
                      [&ignored](absl::StatusOr<LockGrant> grant) { ignored.emplace(std::move(grant)); });
  const absl::Time end = absl::Now() + absl::Seconds(10);
  while (Run(At(0).Look("a", ctx_))->waiters == 0 && absl::Now() < end) Let(absl::Milliseconds(5));
  const auto full = FailsWith(absl::StatusCode::kResourceExhausted, std::string(reason::kLimitExceeded));
  EXPECT_THAT(Acquire(0, "a", NewLease()), full);

  int64_t highest = 0;
  for (int i = 0; i < 4; ++i) {  // Several grants of one lock.
    const std::string lease = NewLease();
    ASSERT_OK_AND_ASSIGN(const LockGrant grant, Acquire(0, "b", lease));
    EXPECT_GT(grant.token, highest);
    highest = grant.token;
    ASSERT_THAT(Run(At(0).Release("b", lease, ctx_)), IsOk());
  }
  // b makes room for the other two, and comes back with a token that none of its holders had.
  const std::string c = NewLease();
  ASSERT_THAT(Acquire(0, "c", c), IsOk());
  ASSERT_THAT(Acquire(0, "d", NewLease()), IsOk());
  EXPECT_THAT(Run(At(0).Look("b", ctx_)), FailsWith(absl::StatusCode::kNotFound, std::string(reason::kLockNotFound)));
  EXPECT_THAT(Acquire(0, "b", NewLease()), full);
  ASSERT_THAT(Run(At(0).Release("c", c, ctx_)), IsOk());
  ASSERT_OK_AND_ASSIGN(const LockGrant again, Acquire(0, "b", NewLease()));
  EXPECT_GT(again.token, highest);
}

TEST_F(LocksTest, BadRequestsNameEveryField) {
  LockRequest request;
  request.lease_id = NewLease();
  request.owner = std::string(201, 'x');
  request.ttl = absl::Hours(25);
  const absl::Status status = Run(At(0).Acquire(request, ctx_)).status();
  EXPECT_EQ(DetailOf(status).violations.size(), 3u) << status;
}

// Each holder adds one to what it has read, without any other protection.
TEST_F(LocksTest, CallersOfTwoGatewaysNeverHoldTheLockTogether) {
  constexpr int kCallers = 6;
  constexpr int kRounds = 8;
  int holders = 0;
  int done = 0;
  int64_t token = 0;
  const auto work = [&](size_t gateway, int caller) -> Async<bool> {
    for (int round = 0; round < kRounds; ++round) {
      const std::string lease = ids_.UuidV7(loop_.Now());
      LockRequest request = Ask("shared", lease);
      const absl::StatusOr<LockGrant> grant = co_await At(gateway).Acquire(std::move(request), ctx_);
      if (!grant.ok()) {
        ADD_FAILURE() << caller << ": " << grant.status();
        co_return false;
      }
      EXPECT_EQ(++holders, 1);
      EXPECT_GT(grant->token, token);
      token = grant->token;
      SleepUntil pause(loop_, loop_.Now() + absl::Milliseconds(1));
      co_await pause;
      --holders;
      const absl::Status released = co_await At(gateway).Release("shared", lease, ctx_);
      EXPECT_THAT(released, IsOk());
    }
    co_return true;
  };
  std::vector<Running> running;
  for (int i = 0; i < kCallers; ++i) {
    running.emplace_back(work(static_cast<size_t>(i) % 2, i), [&done](bool) { ++done; });
  }
  const absl::Time end = absl::Now() + absl::Seconds(60);
  while (done < kCallers && absl::Now() < end) loop_.RunOnce(absl::Milliseconds(10));
  EXPECT_EQ(done, kCallers);
}

TEST_F(LocksTest, AFenceRefusesWhatAnOlderHolderWritesOnEveryShard) {
  // Two tokens of one lock; the shards learn of the higher one where its holder writes.
  ASSERT_THAT(Write(InsertItems({1}, FenceOf("a", 5))), IsOk());
  ASSERT_THAT(Write(InsertItems({4}, FenceOf("a", 5))), IsOk()) << "the same holder goes on";
  ASSERT_THAT(Write(InsertItems({7}, FenceOf("a", 6))), IsOk());
  const absl::StatusOr<WriteResult> late = Write(InsertItems({10}, FenceOf("a", 5)));
  EXPECT_THAT(late, LockLost());
  EXPECT_EQ(DetailOf(late.status()).facts["lock"], "a");
  EXPECT_THAT(Write(InsertItems({10}, FenceOf("another lock", 1))), IsOk());
  EXPECT_THAT(Write(InsertItems({2}, FenceOf("a", 5))), IsOk()) << "shard s2 has not seen token 6 yet";
  EXPECT_EQ(Items(), 5);
}

TEST_F(LocksTest, AFencedBatchIsRefusedItemByItem) {
  ASSERT_THAT(Write(InsertItems({1, 2, 3}, FenceOf("a", 9), Atomicity::kEach)), IsOk());
  ASSERT_OK_AND_ASSIGN(const WriteResult late, Write(InsertItems({4, 5, 6, 7}, FenceOf("a", 8), Atomicity::kEach)));
  for (const MutationResult& mutation : late.mutations) EXPECT_THAT(mutation.status, LockLost());
  EXPECT_EQ(Items(), 3);
}

TEST_F(LocksTest, AFencedBulkWriteIsRefused) {
  Fill(Mixed(30));
  BulkWriteOperation op;
  op.table = "items";
  op.everything = true;
  op.set["name"] = Value::Text("marked");
  op.many_shards = true;
  op.batch_rows = 4;
  op.fence = FenceOf("a", 2);
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult result, WriteWhere(op));
  int64_t rows = 0;
  for (const BulkWriteResult::Part& part : result.parts) rows += part.rows;
  EXPECT_EQ(rows, 30);
  op.fence = FenceOf("a", 1);
  op.set["name"] = Value::Text("late");
  EXPECT_THAT(WriteWhere(op), LockLost());
  QueryOperation late = ItemsBy({});
  late.filter = Compare("name", CompareOp::kEqual, Value::Text("late"));
  EXPECT_TRUE(QueryRows(late)->empty());
}

TEST_F(LocksTest, AFencedWriteOfAReferenceTableIsCheckedOnEveryShard) {
  const auto insert = [this](const std::string& code, int64_t token) {
    Record record;
    record["code"] = Value::Text(code);
    record["name"] = Value::Text(code);
    WriteOperation op = WriteOf({MakeMutation(MutationKind::kInsert, "countries", std::move(record))});
    op.fence = FenceOf("a", token);
    return Write(op);
  };
  ASSERT_THAT(insert("it", 3), IsOk());
  EXPECT_THAT(insert("es", 2), LockLost());
  for (int64_t id = 0; id < 3; ++id) EXPECT_THAT(Write(InsertItems({id}, FenceOf("a", 2))), LockLost()) << id;
}

TEST_F(LocksTest, AFenceInATransactionHoldsUntilItsEnd) {
  ASSERT_OK_AND_ASSIGN(const std::string transaction, engine_->Begin({}));
  ASSERT_THAT(Write(InsertItems({1}, FenceOf("a", 5)), transaction), IsOk());
  // The later holder's write on the same shard comes after the transaction, or not at all.
  CallContext short_ctx(loop_);
  short_ctx.deadline = loop_.Now() + absl::Milliseconds(200);
  const WriteOperation later = InsertItems({4}, FenceOf("a", 6));
  EXPECT_FALSE(Run(engine_->Write(later, "", short_ctx)).ok());
  ASSERT_THAT(Run(engine_->Commit(transaction, false, ctx_)).status, IsOk());
  ASSERT_THAT(Write(later), IsOk());
  ASSERT_OK_AND_ASSIGN(const std::string late, engine_->Begin({}));
  EXPECT_THAT(Write(InsertItems({7}, FenceOf("a", 5)), late), LockLost());
  ASSERT_THAT(Run(engine_->Commit(late, false, ctx_)).status, IsOk()) << "a refused write leaves the transaction as it was";
  EXPECT_EQ(Items(), 2);
}

TEST_F(LocksTest, ARepeatedRequestIsAnsweredWhoeverHoldsTheLockByNow) {
  WriteOperation op = InsertItems({1}, FenceOf("a", 5));
  op.request_id = kLockRequest;
  op.request_hash = 1;
  ASSERT_THAT(Write(op), IsOk());
  ASSERT_THAT(Write(InsertItems({4}, FenceOf("a", 6))), IsOk());
  ASSERT_OK_AND_ASSIGN(const WriteResult again, Write(op));
  EXPECT_TRUE(again.replayed);
  op.request_id = "0190163d-8694-739b-aea5-966c26f8ad92";
  op.mutations = InsertItems({7}, {}).mutations;
  EXPECT_THAT(Write(op), LockLost());
  op.fence = FenceOf("a", 6);
  EXPECT_THAT(Write(op), IsOk()) << "a refused request is not remembered";
}

}  // namespace
}  // namespace quarry
