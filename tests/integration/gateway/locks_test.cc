// Locks through real clients: kept alive, waited for, lost, and the fences of all writes.
#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Fence;
using client::HeldLock;
using client::Mutation;

QUARRY_GATEWAY_SUITE(LocksTest);

client::LockOptions For(absl::Duration ttl, bool wait = true) {
  client::LockOptions options;
  options.owner = "locks_test";
  options.ttl = ttl;
  options.wait = wait;
  return options;
}

client::CallOptions Under(const std::string& lock, int64_t token) {
  client::CallOptions call;
  call.fence = Fence{lock, token};
  return call;
}

const auto& Lost() {
  static const auto matcher = Fails(absl::StatusCode::kFailedPrecondition, reason::kLockLost);
  return matcher;
}

TEST_P(LocksTest, AHeldLockIsKeptBeyondItsTimeAndGivenBackWhenItGoes) {
  const std::string name = NewUuid();
  int64_t token = 0;
  {
    ASSERT_OK_AND_ASSIGN(HeldLock lock, client().AcquireLock(name, For(absl::Seconds(2))));
    token = lock.token();
    const auto free_or_lost = [&] {
      return !lock.held() || client().AcquireLock(name, For(absl::Seconds(1), false)).ok();
    };
    EXPECT_FALSE(Eventually(free_or_lost, absl::Seconds(5))) << lock.status();
    EXPECT_THAT(client().AcquireLock(name, For(absl::Seconds(1), false)),
                Fails(absl::StatusCode::kFailedPrecondition, reason::kLockHeld));
    ASSERT_OK_AND_ASSIGN(const v1::GetLockResponse seen, client().GetLock(name));
    EXPECT_TRUE(seen.held());
    EXPECT_EQ(seen.owner(), "locks_test");
    EXPECT_EQ(seen.token(), token);
    EXPECT_THAT(seen.served_by().shards_asked(), testing::ElementsAre("s0"));
  }
  ASSERT_OK_AND_ASSIGN(HeldLock next, client().AcquireLock(name, For(absl::Seconds(5), false)));
  EXPECT_GT(next.token(), token);
  ASSERT_THAT(next.Release(), IsOk());
  EXPECT_FALSE(next.held());
  EXPECT_THAT(client().GetLock(NewUuid()), Fails(absl::StatusCode::kNotFound, reason::kLockNotFound));
}

TEST_P(LocksTest, WhoLosesTheLeaseIsToldAndHisWritesAreRefused) {
  const std::string name = NewUuid();
  ASSERT_OK_AND_ASSIGN(const v1::AcquireResponse first, client().AcquireLease(name, For(absl::Milliseconds(200))));
  // Nobody renews it: the second gets it by waiting.
  ASSERT_OK_AND_ASSIGN(HeldLock second, client().AcquireLock(name, For(absl::Seconds(20))));
  EXPECT_GT(second.token(), first.token());
  EXPECT_THAT(client().ReleaseLease(name, first.lease_id()), Lost());
  const int64_t id = AddCustomer(0);
  client::CallOptions now;
  now.fence = second.fence();
  ASSERT_THAT(client().Update("customers", {id}, {{"visits", 1}}, {}, now), IsOk());
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 2}}, {}, Under(name, first.token())), Lost());
  ASSERT_OK_AND_ASSIGN(const auto row, client().Get("customers", {id}));
  EXPECT_EQ(row.record["visits"], client::Value(1));
}

TEST_P(LocksTest, EveryWriteCallChecksItsFence) {
  const std::string name = NewUuid();
  const int64_t id = AddCustomer(0);
  const client::CallOptions late = Under(name, 3);
  ASSERT_THAT(client().Update("customers", {id}, {{"visits", 1}}, {}, Under(name, 4)), IsOk());
  const int64_t other = gateway_.NewCustomerOn(0);
  const client::Record record = {{"id", other}, {"name", "late"}};
  EXPECT_THAT(client().Insert("customers", record, {}, late), Lost());
  EXPECT_THAT(client().Upsert("customers", record, {}, late), Lost());
  EXPECT_THAT(client().Delete("customers", {id}, {}, late), Lost());
  EXPECT_THAT(client().CommitMutations({Mutation::Insert("customers", record)}, late), Lost());
  ASSERT_OK_AND_ASSIGN(const auto batch, client().BatchWrite({Mutation::Insert("customers", record),
                                                              Mutation::Delete("customers", {id})}, late));
  for (const auto& result : batch) EXPECT_THAT(result, Lost());
  const client::Filter filter("id = @id", {{"id", client::Value(id)}});
  EXPECT_THAT(client().UpdateWhere("customers", filter, {{"visits", 9}}, {}, late), Lost());
  EXPECT_THAT(client().DeleteWhere("customers", filter, {}, late), Lost());
  ASSERT_OK_AND_ASSIGN(const auto row, client().Get("customers", {id}));
  EXPECT_EQ(row.record["visits"], client::Value(1));
  EXPECT_THAT(client().Get("customers", {other}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
}

TEST_P(LocksTest, BadFencesAndNamesAreNamed) {
  const int64_t id = gateway_.NewId();
  EXPECT_THAT(client().Delete("customers", {id}, {}, Under("", 1)), InvalidAt("fence.lock"));
  EXPECT_THAT(client().Delete("customers", {id}, {}, Under("x", 0)), InvalidAt("fence.token"));
  EXPECT_THAT(client().AcquireLease("", For(absl::Seconds(1))), InvalidAt("name"));
  EXPECT_THAT(client().AcquireLease("x", For(absl::Hours(48))), InvalidAt("ttl"));
  EXPECT_THAT(client().ReleaseLease("x", "no uuid"), InvalidAt("lease_id"));
}

TEST_P(LocksTest, MetricsTellOfHoldersAndWaiters) {
  const std::string name = NewUuid();
  ASSERT_OK_AND_ASSIGN(HeldLock lock, client().AcquireLock(name, For(absl::Seconds(20))));
  EXPECT_GE(gateway_.Metric("quarry_locks_held").value_or(0), 1);
  std::thread waiter([&] { EXPECT_THAT(client().AcquireLock(name, For(absl::Seconds(20))), IsOk()); });
  EXPECT_TRUE(Eventually([&] { return gateway_.Metric("quarry_lock_waiters") == 1; }));
  ASSERT_THAT(lock.Release(), IsOk());
  waiter.join();
  EXPECT_EQ(gateway_.Metric("quarry_lock_waiters"), 0);
  EXPECT_GE(gateway_.Metric("quarry_lock_wait_seconds_count").value_or(0), 2);
}

TEST_P(LocksTest, ManyClientsTakeTurns) {
  const std::string name = NewUuid();
  const int64_t id = AddCustomer(0);
  constexpr int kClients = 4;
  constexpr int kRounds = 5;
  std::vector<std::thread> threads;
  for (int i = 0; i < kClients; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        absl::StatusOr<HeldLock> lock = client().AcquireLock(name, For(absl::Seconds(20)));
        ASSERT_THAT(lock, IsOk());
        client::CallOptions call;
        call.fence = lock->fence();
        // Read, then write: without the lock an update would be lost.
        ASSERT_OK_AND_ASSIGN(auto row, client().Get("customers", {id}));
        const int64_t visits = row.record["visits"].AsInt64().value_or(-1);
        ASSERT_THAT(client().Update("customers", {id}, {{"visits", visits + 1}}, {}, call), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK_AND_ASSIGN(auto row, client().Get("customers", {id}));
  EXPECT_EQ(row.record["visits"], client::Value(kClients * kRounds));
}

// Two gateways over the same PostgreSQL shards.
TEST(TwoGatewaysLockTest, ShareTheirLocksAndTheirLine) {
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> one, TestGateway::Start({Kind::kPostgres, 2}));
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Gateway> two, one->StartAnother());
  const std::unique_ptr<client::Client> other = ClientAt(two->grpc_port(), 1);
  ASSERT_NE(other, nullptr);
  ASSERT_OK_AND_ASSIGN(HeldLock first, one->client().AcquireLock("shared", For(absl::Seconds(20))));
  EXPECT_THAT(other->AcquireLock("shared", For(absl::Seconds(20), false)),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kLockHeld));
  std::vector<int64_t> tokens = {first.token()};
  std::string order;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    client::Client& from = i % 2 == 0 ? *other : one->client();
    threads.emplace_back([&, i] {
      absl::StatusOr<HeldLock> lock = from.AcquireLock("shared", For(absl::Seconds(20)));
      ASSERT_THAT(lock, IsOk());
      const std::lock_guard<std::mutex> guard(mutex);
      tokens.push_back(lock->token());
      absl::StrAppend(&order, i);
      ASSERT_THAT(lock->Release(), IsOk());
    });
    ASSERT_TRUE(Eventually([&] { return other->GetLock("shared")->waiters() == i + 1; }));
  }
  ASSERT_THAT(first.Release(), IsOk());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(order, "0123") << "first come, first served, whatever the gateway";
  EXPECT_TRUE(std::is_sorted(tokens.begin(), tokens.end()));
}

}  // namespace
}  // namespace quarry::gateway_test
