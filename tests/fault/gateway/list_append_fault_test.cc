// Transactions that read lists with a lock and append to them, over several shards and through two gateways, while
// connections and backends die; and readers of snapshots. Everybody writes down what they saw, and the checker looks for
// what must not have been.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "tests/fault/gateway/faulty_gateways.h"
#include "tests/support/history/checker.h"
#include "tests/support/rounds.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using history::Outcome;

constexpr int kLists = 24;
constexpr int kWriters = 5;
constexpr int kReaders = 2;
const int kCommitsWanted = Rounds(1'200);
const int kCommitsMax = Rounds(3'000);  // More would only make the lists long.
const int kSnapshotsWanted = Rounds(400);
constexpr absl::Duration kHistoryTimeMax = absl::Minutes(9);  // An instrumented build on a busy machine is slow.

int64_t NowMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

history::List ListOf(const std::string& text) {
  history::List list;
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    int64_t value = -1;
    EXPECT_TRUE(absl::SimpleAtoi(part, &value)) << "not a list: " << text;
    list.push_back(value);
  }
  return list;
}

// Which commits pass the gate of snapshots: those of several shards, or all.
enum class Order { kCrossShard, kStrict };

class ListAppendFaultTest : public testing::TestWithParam<Order> {
 protected:
  void SetUp() override {
    FaultyOptions options;
    if (GetParam() == Order::kStrict) options.overrides = {"transactions.snapshot_order=strict"};
    ASSERT_OK_AND_ASSIGN(gateways_, FaultyGateways::Start(options));
    for (int at = 0; at < kLists; ++at) {
      const int64_t id = gateways_->first().NewCustomerOn(at % gateways_->shards());
      ASSERT_THAT(gateways_->first().client().Insert("customers", {{"id", id}, {"name", ""}}), IsOk());
      lists_.push_back({id});
    }
  }

  // Two or three lists in the order in which their rows are locked: by shard, then by key. Where commits of one shard do not
  // pass the gate there are none: each list is on a shard of its own.
  std::vector<int> Choose(std::mt19937_64& random) const {
    const size_t count = 2 + random() % 2;
    std::vector<int> chosen;
    while (chosen.size() < count) {
      const int list = static_cast<int>(random() % kLists);
      const bool taken = std::any_of(chosen.begin(), chosen.end(), [&](int other) {
        return GetParam() == Order::kStrict ? other == list : ShardOf(other) == ShardOf(list);
      });
      if (!taken) chosen.push_back(list);
    }
    std::sort(chosen.begin(), chosen.end(),
              [&](int a, int b) { return std::make_pair(ShardOf(a), a) < std::make_pair(ShardOf(b), b); });
    return chosen;
  }
  int ShardOf(int list) const { return list % gateways_->shards(); }
  const Key& KeyOf(int list) const { return lists_[static_cast<size_t>(list)]; }

  // The texts of the lists, noted as reads. `together`: in one call.
  absl::StatusOr<std::vector<std::string>> ReadLocked(client::Transaction& own, const std::vector<int>& chosen,
                                                      v1::RowLock lock, bool together, history::Transaction& told) const {
    client::ReadOptions options;
    options.columns = {"name"};
    options.lock = lock;
    std::vector<std::string> texts;
    if (together) {
      std::vector<Key> keys;
      for (const int list : chosen) keys.push_back(KeyOf(list));
      QUARRY_ASSIGN_OR_RETURN(const client::BatchGetResult read, own.BatchGet("customers", keys, options));
      for (const std::optional<client::ReadResult>& row : read.rows) {
        if (!row.has_value()) return absl::DataLossError("a list is gone");
        texts.push_back(row->record["name"].AsText().value_or("?"));
      }
    } else {
      for (const int list : chosen) {
        QUARRY_ASSIGN_OR_RETURN(const client::ReadResult row, own.Get("customers", KeyOf(list), options));
        texts.push_back(row.record["name"].AsText().value_or("?"));
      }
    }
    for (size_t at = 0; at < chosen.size(); ++at) told.operations.push_back(history::Read(chosen[at], ListOf(texts[at])));
    return texts;
  }

  absl::Status AppendTo(client::Transaction& own, int list, std::string& text, history::Transaction& told) {
    const int64_t value = ++last_value_;
    absl::StrAppend(&text, text.empty() ? "" : ",", value);
    told.operations.push_back(history::Append(list, value));
    return own.Update("customers", KeyOf(list), {{"name", text}}).status();
  }

  // What the transaction does before it ends.
  absl::Status ReadAndAppend(client::Transaction& own, std::mt19937_64& random, history::Transaction& told) {
    const std::vector<int> chosen = Choose(random);
    const bool only_reads = random() % 6 == 0;
    const bool together = random() % 2 == 0;
    QUARRY_ASSIGN_OR_RETURN(
        std::vector<std::string> texts,
        ReadLocked(own, chosen, only_reads ? v1::ROW_LOCK_SHARE : v1::ROW_LOCK_UPDATE, together, told));
    if (only_reads) return absl::OkStatus();
    for (size_t at = 0; at < chosen.size(); ++at) {
      // The first two always: on two shards, where that is what passes the gate.
      if (at >= 2 && random() % 2 == 0) continue;
      QUARRY_RETURN_IF_ERROR(AppendTo(own, chosen[at], texts[at], told));
      if (random() % 4 == 0) QUARRY_RETURN_IF_ERROR(AppendTo(own, chosen[at], texts[at], told));
    }
    if (random() % 4 != 0) return absl::OkStatus();
    return ReadLocked(own, {chosen[0]}, v1::ROW_LOCK_UPDATE, false, told).status();
  }

  void Write(client::Client& client, int process, std::mt19937_64& random) {
    static constexpr std::array<v1::IsolationLevel, 4> kLevels = {
        v1::ISOLATION_LEVEL_UNSPECIFIED, v1::ISOLATION_LEVEL_UNSPECIFIED, v1::ISOLATION_LEVEL_REPEATABLE_READ,
        v1::ISOLATION_LEVEL_SERIALIZABLE};
    history::Transaction told;
    told.process = process;
    told.outcome = Outcome::kAborted;
    v1::BeginRequest begin;
    begin.set_isolation(kLevels[random() % kLevels.size()]);
    client::CallOptions call;
    call.timeout = absl::Seconds(10);
    told.invoked = NowMicros();
    absl::StatusOr<client::Transaction> own = client.Begin(begin, call);
    if (!own.ok()) return;
    const absl::Status done = ReadAndAppend(*own, random, told);
    EXPECT_FALSE(absl::IsDataLoss(done)) << done;
    if (!done.ok() || random() % 12 == 0) {
      own->Rollback(call).IgnoreError();
    } else {
      const absl::Status committed = own->Commit(call).status();
      told.outcome = committed.ok() ? Outcome::kCommitted : absl::IsAborted(committed) ? Outcome::kAborted : Outcome::kUnknown;
    }
    told.completed = NowMicros();
    Tell(std::move(told), own->id());
  }

  void ReadSnapshot(client::Client& client, int process, std::mt19937_64& random) {
    history::Transaction told;
    told.process = process;
    client::ReadOptions options;
    options.columns = {"name"};
    client::CallOptions call;
    call.timeout = absl::Seconds(10);
    told.invoked = NowMicros();
    absl::StatusOr<client::BatchGetResult> read;
    if (random() % 2 == 0) {
      options.snapshot = true;
      read = client.BatchGet("customers", lists_, options, call);
    } else {
      v1::BeginRequest begin;
      begin.set_read_only(true);
      begin.set_snapshot(true);
      absl::StatusOr<client::Transaction> own = client.Begin(begin, call);
      if (!own.ok()) return;
      read = own->BatchGet("customers", lists_, options, call);
    }
    if (!read.ok()) return;
    told.completed = NowMicros();
    EXPECT_EQ(read->served_by.level(),
              GetParam() == Order::kStrict ? v1::READ_LEVEL_STRICT_SNAPSHOT : v1::READ_LEVEL_SNAPSHOT);
    ASSERT_TRUE(read->missing.empty());
    for (int list = 0; list < kLists; ++list) {
      const std::optional<client::ReadResult>& row = read->rows[static_cast<size_t>(list)];
      told.operations.push_back(history::Read(list, ListOf(row->record["name"].AsText().value_or("?"))));
    }
    ++snapshots_;
    Tell(std::move(told), "");
  }

  void Tell(history::Transaction told, const std::string& id) {
    if (told.outcome == Outcome::kCommitted && !id.empty()) ++commits_;
    const absl::MutexLock lock(&mutex_);
    if (told.outcome == Outcome::kUnknown) unknown_.emplace_back(history_.transactions.size(), id);
    history_.transactions.push_back(std::move(told));
  }

  void RunAll(uint64_t seed) {
    const absl::Time end = absl::Now() + kHistoryTimeMax;
    std::atomic<int> working{kWriters + kReaders};
    absl::Notification all_done;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kWriters + kReaders; ++thread) {
      const int port = gateways_->port(thread % gateways_->gateways());
      threads.emplace_back([this, &working, &all_done, seed, thread, port, end] {
        std::mt19937_64 random(seed + 1 + static_cast<uint64_t>(thread));
        const std::unique_ptr<client::Client> client = ClientAt(port, 1, 3);
        const bool writes = thread < kWriters;
        while (client != nullptr && (commits_ < kCommitsWanted || snapshots_ < kSnapshotsWanted) && absl::Now() < end) {
          if (writes && commits_ >= kCommitsMax) break;
          writes ? Write(*client, thread, random) : ReadSnapshot(*client, thread, random);
        }
        if (--working == 0) all_done.Notify();
      });
    }
    std::mt19937_64 random(seed);
    gateways_->DisturbUntil(all_done, random, absl::Milliseconds(200), snapshots_);
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(commits_, kCommitsWanted) << "too few commits in time";
    EXPECT_GE(snapshots_, kSnapshotsWanted) << "too few snapshots in time";
  }

  // What is told of a transaction whose commit had no answer is held against the lists as well. It may have committed at any
  // later time.
  void AskForOutcomes() {
    const std::unique_ptr<client::Client> client = ClientAt(gateways_->port(0), 1, 3);
    ASSERT_NE(client, nullptr);
    const absl::MutexLock lock(&mutex_);
    for (const auto& [at, id] : unknown_) {
      const absl::StatusOr<v1::GetTransactionResponse> reply = client->GetTransaction(id);
      if (!reply.ok()) continue;
      EXPECT_NE(reply->state(), v1::TRANSACTION_STATE_IN_DOUBT) << id;
      history::Transaction& told = history_.transactions[at];
      told.completed = std::numeric_limits<int64_t>::max();
      if (reply->state() == v1::TRANSACTION_STATE_COMMITTED) told.outcome = Outcome::kCommitted;
      if (reply->state() == v1::TRANSACTION_STATE_ROLLED_BACK) told.outcome = Outcome::kAborted;
      ++settled_;
    }
  }

  void ReadFinalLists() {
    client::ReadOptions options;
    options.columns = {"name"};
    ASSERT_OK_AND_ASSIGN(const client::BatchGetResult read,
                         gateways_->first().client().BatchGet("customers", lists_, options));
    ASSERT_TRUE(read.missing.empty());
    const absl::MutexLock lock(&mutex_);
    for (int list = 0; list < kLists; ++list) {
      const std::optional<client::ReadResult>& row = read.rows[static_cast<size_t>(list)];
      history_.final_lists[list] = ListOf(row->record["name"].AsText().value_or("?"));
    }
  }

  void ExpectCorrect() {
    const absl::MutexLock lock(&mutex_);
    size_t values = 0;
    for (const auto& [key, list] : history_.final_lists) values += list.size();
    std::cout << history_.transactions.size() << " transactions, " << commits_ << " commits, " << snapshots_ << " snapshots, "
              << unknown_.size() << " without an answer, " << settled_ << " of them told later, " << values << " values, "
              << gateways_->faults() << " faults" << std::endl;
    EXPECT_GT(values, static_cast<size_t>(kCommitsWanted));
    const std::vector<history::Finding> findings = history::Check(history_, {history::Level::kSnapshot, true});
    EXPECT_TRUE(findings.empty()) << history::Explain(findings);
  }

  std::unique_ptr<FaultyGateways> gateways_;
  std::vector<Key> lists_;  // One shard after the other.
  std::atomic<int64_t> last_value_{0};
  std::atomic<int> commits_{0};
  std::atomic<int> snapshots_{0};
  int settled_ = 0;
  absl::Mutex mutex_;
  history::History history_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<size_t, std::string>> unknown_ ABSL_GUARDED_BY(mutex_);  // Position in the history, id.
};

INSTANTIATE_TEST_SUITE_P(Orders, ListAppendFaultTest, testing::Values(Order::kCrossShard, Order::kStrict),
                         [](const testing::TestParamInfo<Order>& info) {
                           return std::string(info.param == Order::kStrict ? "Strict" : "CrossShard");
                         });

TEST_P(ListAppendFaultTest, NothingIsSeenThatTheLevelForbids) {
  const uint64_t seed = TestSeed();
  RunAll(seed);
  ASSERT_NO_FATAL_FAILURE(gateways_->ExpectSettles());
  ASSERT_NO_FATAL_FAILURE(AskForOutcomes());
  ASSERT_NO_FATAL_FAILURE(ReadFinalLists());
  ExpectCorrect();
}

}  // namespace
}  // namespace quarry::gateway_test
