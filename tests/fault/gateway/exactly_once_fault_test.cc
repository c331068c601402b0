// Commits over several shards whose connections are cut at random moments, between client and gateway and between gateway
// and database, and that are tried again with the same request_id through another gateway: each takes effect once.
#include <atomic>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "tests/fault/gateway/faulty_gateways.h"
#include "tests/support/rounds.h"

namespace quarry::gateway_test {
namespace {

using client::Mutation;

const int kTriedAgain = Rounds(1'000);  // Commits that a cut has met.
const int kFoundDone = Rounds(200);      // Of those: only their answer was lost.
constexpr int kWorkers = 8;
constexpr absl::Duration kRetriesTimeMax = absl::Minutes(8);  // An instrumented build on a busy machine is slow.
constexpr int kCustomers = 16;

// Customer and order.
using OrderKey = std::pair<int64_t, int64_t>;
using OrderKeys = std::set<OrderKey>;

bool MayComeOfACut(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsUnknown(status) || absl::IsDeadlineExceeded(status);
}

bool MayBeTriedAgain(const absl::Status& status) {
  return MayComeOfACut(status) || absl::IsAborted(status) || absl::IsResourceExhausted(status);
}

OrderKeys KeysOf(const client::CommitResult& result) {
  OrderKeys keys;
  for (const client::WriteResult& write : result.results) {
    keys.emplace(write.key["customer_id"].AsInt64().value_or(-1), write.key["order_id"].AsInt64().value_or(-1));
  }
  return keys;
}

class ExactlyOnceFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    FaultyOptions options;
    options.cut_clients = true;
    ASSERT_OK_AND_ASSIGN(gateways_, FaultyGateways::Start(options));
    for (int at = 0; at < kCustomers; ++at) {
      const int64_t id = gateways_->first().NewCustomerOn(at % gateways_->shards());
      ASSERT_THAT(gateways_->first().client().Insert("customers", {{"id", id}, {"name", "n"}}), IsOk());
      customers_.push_back(id);
    }
  }

  // The gateway makes the orders' ids, so a commit that ran twice would leave twice as many orders and no error.
  std::vector<Mutation> Orders(int commit, std::mt19937_64& random) const {
    const size_t first = random() % kCustomers;
    // Never on the same shard: neighbours are on different ones.
    const size_t second = (first + 1 + random() % static_cast<uint64_t>(gateways_->shards() - 1)) % kCustomers;
    client::MutationOptions options;
    options.generate = {{"order_id", v1::COLUMN_GENERATOR_INT64_TIME_ORDERED}};
    std::vector<Mutation> mutations;
    for (const size_t at : {first, second}) {
      mutations.push_back(Mutation::Insert(
          "orders", {{"customer_id", customers_[at]}, {"status", absl::StrCat("commit ", commit)}}, options));
    }
    return mutations;
  }

  // Until it is done, each time through the next gateway.
  void CommitOnce(int commit, const std::vector<std::unique_ptr<client::Client>>& clients, std::mt19937_64& random) {
    const std::vector<Mutation> mutations = Orders(commit, random);
    client::CallOptions call;
    call.request_id = NewUuid();
    call.timeout = absl::Seconds(5);
    const absl::Time end = absl::Now() + absl::Seconds(60);
    size_t turn = random() % clients.size();
    absl::StatusOr<client::CommitResult> result;
    bool cut = false;
    for (;; ++turn) {
      result = clients[turn % clients.size()]->CommitMutations(mutations, call);
      if (result.ok()) break;
      cut = cut || MayComeOfACut(result.status());
      if (MayBeTriedAgain(result.status()) && absl::Now() < end) continue;
      ADD_FAILURE() << "commit " << commit << " of request " << call.request_id << ": " << result.status();
      return;
    }
    if (cut) ++tried_again_;
    if (cut && result->replayed) ++found_done_;
    const OrderKeys keys = KeysOf(*result);
    EXPECT_EQ(keys.size(), 2U);
    if (random() % 8 == 0) ExpectRepeats(mutations, call, *clients[(turn + 1) % clients.size()], keys);
    const absl::MutexLock lock(&mutex_);
    done_[absl::StrCat("commit ", commit)] = keys;
  }

  // Once more when it is done already: the same answer.
  void ExpectRepeats(const std::vector<Mutation>& mutations, const client::CallOptions& call, client::Client& client,
                     const OrderKeys& keys) {
    const absl::StatusOr<client::CommitResult> again = client.CommitMutations(mutations, call);
    if (!again.ok()) {
      EXPECT_TRUE(MayBeTriedAgain(again.status())) << again.status();
      return;
    }
    EXPECT_TRUE(again->replayed) << call.request_id;
    EXPECT_EQ(KeysOf(*again), keys) << call.request_id;
    ++repeated_;
  }

  // By the mark of its commit.
  std::map<std::string, OrderKeys> Stored() {
    std::map<std::string, OrderKeys> stored;
    client::QueryOptions options;
    options.columns = {"customer_id", "order_id", "status"};
    absl::StatusOr<client::QueryRows> rows = gateways_->first().client().Query("orders", {}, options);
    EXPECT_THAT(rows, IsOk());
    if (!rows.ok()) return stored;
    for (const absl::StatusOr<client::QueryRows::Row>& row : *rows) {
      EXPECT_THAT(row, IsOk());
      if (!row.ok()) break;
      stored[row->at(2).AsText().value_or("")].emplace(row->at(0).AsInt64().value_or(-1), row->at(1).AsInt64().value_or(-1));
    }
    return stored;
  }

  std::unique_ptr<FaultyGateways> gateways_;
  std::vector<int64_t> customers_;  // One shard after the other.
  std::atomic<int> tried_again_{0};
  std::atomic<int> found_done_{0};
  std::atomic<int> repeated_{0};
  absl::Mutex mutex_;
  std::map<std::string, OrderKeys> done_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(ExactlyOnceFaultTest, RetriedCommitsTakeEffectOnceWhateverIsCut) {
  const uint64_t seed = TestSeed();
  const absl::Time end = absl::Now() + kRetriesTimeMax;
  std::atomic<int> next{0};
  std::atomic<int> working{kWorkers};
  absl::Notification all_done;
  std::vector<std::vector<std::unique_ptr<client::Client>>> clients(kWorkers);
  for (auto& own : clients) {
    for (int gateway = 0; gateway < gateways_->gateways(); ++gateway) {
      own.push_back(ClientAt(gateways_->port(gateway), 2));
      ASSERT_NE(own.back(), nullptr);
    }
  }
  std::vector<std::thread> workers;
  for (size_t worker = 0; worker < kWorkers; ++worker) {
    workers.emplace_back([&, worker] {
      std::mt19937_64 random(seed + 1 + worker);
      while ((tried_again_ < kTriedAgain || found_done_ < kFoundDone) && absl::Now() < end && !HasFailure()) {
        CommitOnce(next++, clients[worker], random);
      }
      if (--working == 0) all_done.Notify();
    });
  }
  std::mt19937_64 random(seed);
  gateways_->DisturbUntil(all_done, random, absl::Milliseconds(60), next);
  for (std::thread& worker : workers) worker.join();
  ASSERT_NO_FATAL_FAILURE(gateways_->ExpectSettles());
  std::cout << next << " commits, " << gateways_->faults() << " faults, " << tried_again_ << " tried again, " << found_done_
            << " found done, " << repeated_ << " repeated" << std::endl;
  const absl::MutexLock lock(&mutex_);
  EXPECT_EQ(done_.size(), static_cast<size_t>(next));
  EXPECT_EQ(Stored(), done_);
  EXPECT_GE(tried_again_, kTriedAgain) << "too few cuts met a commit";
  EXPECT_GE(found_done_, kFoundDone) << "too few answers were lost";
}

}  // namespace
}  // namespace quarry::gateway_test
