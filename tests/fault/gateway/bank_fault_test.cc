// Money that moves between accounts on many shards while connections and backends die, and readers that add all of it up:
// one cut over the shards always holds the same total. The same reads without a snapshot show that the difference matters.
#include <array>
#include <atomic>
#include <cstdint>
#include <iostream>
#include <map>
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
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "tests/fault/gateway/faulty_gateways.h"
#include "tests/support/rounds.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Mutation;

constexpr int kAccounts = 32;
constexpr int64_t kOpening = 1'000;
constexpr int64_t kTotal = kAccounts * kOpening;
constexpr int kTellers = 4;
constexpr int kAuditors = 4;
constexpr int kTransfersLeast = 100;
constexpr int kFaultsLeast = 10;
constexpr absl::Duration kBankTimeMax = absl::Minutes(14);  // An instrumented build on a busy machine is slow.

// How accounts are added up.
enum class Reading { kAggregate, kTransaction, kQuery, kList, kBatchGet };
constexpr std::array<Reading, 5> kReadings = {Reading::kAggregate, Reading::kTransaction, Reading::kQuery, Reading::kList,
                                              Reading::kBatchGet};
std::string NameOf(Reading reading) {
  static const char* const kNames[] = {"Aggregate", "transaction", "Query", "List", "BatchGet"};
  return kNames[static_cast<size_t>(reading)];
}

// One way to read a total, at one gateway. An error is that of the call; a total of too few accounts is one, too.
class Auditor {
 public:
  Auditor(std::shared_ptr<client::Connection> gateway, const std::vector<Key>& accounts)
      : gateway_(std::move(gateway)), accounts_(accounts) {}

  // All totals that one cut has shown.
  absl::StatusOr<std::vector<int64_t>> Totals(Reading reading, bool snapshot) {
    switch (reading) {
      case Reading::kAggregate:
        return One(Sum("", snapshot));
      case Reading::kTransaction:
        return InTransaction(snapshot);
      case Reading::kQuery:
        return One(Stream(snapshot));
      case Reading::kList:
        return One(Page(snapshot));
      case Reading::kBatchGet:
        return One(Rows("", snapshot));
    }
    return absl::InternalError("no such reading");
  }

 private:
  static absl::Time Deadline() { return absl::Now() + absl::Seconds(10); }
  static absl::StatusOr<std::vector<int64_t>> One(absl::StatusOr<int64_t> total) {
    if (!total.ok()) return total.status();
    return std::vector<int64_t>{*total};
  }
  static void ExpectLevel(const v1::ServedBy& served_by, bool snapshot) {
    EXPECT_EQ(served_by.level() == v1::READ_LEVEL_SNAPSHOT, snapshot) << served_by.ShortDebugString();
  }
  static absl::Status ExpectAll(int64_t accounts) {
    EXPECT_EQ(accounts, kAccounts) << "accounts are missing from an answer that calls itself whole";
    return accounts == kAccounts ? absl::OkStatus() : absl::DataLossError("not all accounts were read");
  }

  absl::StatusOr<int64_t> Sum(const std::string& transaction, bool snapshot) {
    v1::AggregateRequest request = client::internal::MakeAggregate(
        "customers", {}, {{v1::AGGREGATE_FUNCTION_SUM, "visits"}, {}}, {}, transaction);
    if (snapshot && transaction.empty()) request.mutable_read_options()->set_snapshot(true);
    QUARRY_ASSIGN_OR_RETURN(const v1::AggregateResponse reply, gateway_->Aggregate(request, Deadline()));
    ExpectLevel(reply.served_by(), snapshot);
    QUARRY_RETURN_IF_ERROR(ExpectAll(reply.rows(0).values(1).int64_value()));
    const v1::Value& sum = reply.rows(0).values(0);
    int64_t total = sum.int64_value();
    if (sum.kind_case() == v1::Value::kDecimalValue && !absl::SimpleAtoi(sum.decimal_value(), &total)) {
      return absl::DataLossError(absl::StrCat("no whole sum: ", sum.ShortDebugString()));
    }
    return total;
  }

  absl::StatusOr<int64_t> Rows(const std::string& transaction, bool snapshot) {
    v1::BatchGetRequest request;
    request.set_table("customers");
    request.set_transaction_id(transaction);
    request.add_columns("visits");
    for (const Key& account : accounts_) *request.add_keys() = account.proto();
    if (snapshot && transaction.empty()) request.mutable_read_options()->set_snapshot(true);
    QUARRY_ASSIGN_OR_RETURN(const v1::BatchGetResponse reply, gateway_->BatchGet(request, Deadline()));
    ExpectLevel(reply.served_by(), snapshot);
    QUARRY_RETURN_IF_ERROR(ExpectAll(reply.found_size()));
    int64_t total = 0;
    for (const v1::FoundRow& row : reply.found()) total += row.record().columns().at("visits").int64_value();
    return total;
  }

  absl::StatusOr<int64_t> Page(bool snapshot) {
    client::ListOptions options;
    options.columns = {"visits"};
    options.page_size = kAccounts + 1;
    v1::ListRequest request = client::internal::MakeList("customers", {}, options, "");
    if (snapshot) request.mutable_read_options()->set_snapshot(true);
    QUARRY_ASSIGN_OR_RETURN(const v1::ListResponse reply, gateway_->List(request, Deadline()));
    ExpectLevel(reply.served_by(), snapshot);
    QUARRY_RETURN_IF_ERROR(ExpectAll(reply.rows_size()));
    int64_t total = 0;
    for (const v1::Row& row : reply.rows()) total += row.values(0).int64_value();
    return total;
  }

  absl::StatusOr<int64_t> Stream(bool snapshot) {
    client::QueryOptions options;
    options.columns = {"visits"};
    v1::QueryRequest request = client::internal::MakeQuery("customers", {}, options, "");
    if (snapshot) request.mutable_read_options()->set_snapshot(true);
    QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<client::QueryEventStream> stream, gateway_->Query(request, Deadline()));
    int64_t total = 0;
    int64_t rows = 0;
    while (true) {
      QUARRY_ASSIGN_OR_RETURN(const std::optional<v1::QueryResponse> event, stream->Next());
      if (!event.has_value()) return absl::DataLossError("a stream ended without a summary");
      for (const v1::Row& row : event->batch().rows()) total += row.values(0).int64_value();
      rows += event->batch().rows_size();
      if (!event->has_summary()) continue;
      ExpectLevel(event->summary().served_by(), snapshot);
      QUARRY_RETURN_IF_ERROR(ExpectAll(rows));
      return total;
    }
  }

  // Twice, in two ways: the cut stays the same.
  absl::StatusOr<std::vector<int64_t>> InTransaction(bool snapshot) {
    v1::BeginRequest begin;
    begin.set_read_only(true);
    begin.set_snapshot(snapshot);
    QUARRY_ASSIGN_OR_RETURN(const v1::BeginResponse begun, gateway_->Begin(begin, Deadline()));
    const std::string& id = begun.transaction_id();
    absl::StatusOr<int64_t> rows = Rows(id, snapshot);
    absl::StatusOr<int64_t> sum = rows.ok() ? Sum(id, snapshot) : rows;
    v1::RollbackRequest end;
    end.set_transaction_id(id);
    gateway_->Rollback(end, Deadline()).IgnoreError();
    if (!sum.ok()) return sum.status();
    return std::vector<int64_t>{*rows, *sum};
  }

  const std::shared_ptr<client::Connection> gateway_;
  const std::vector<Key>& accounts_;
};

// What all threads have seen.
struct Seen {
  std::atomic<int> exact{0};      // Snapshots.
  std::atomic<int> plain{0};
  std::atomic<int> torn{0};       // Of those.
  std::atomic<int> transfers{0};
  absl::Mutex mutex;
  std::map<std::string, int> errors ABSL_GUARDED_BY(mutex);

  void Note(const std::string& what, const absl::Status& status) {
    const absl::MutexLock lock(&mutex);
    ++errors[absl::StrCat(what, " ", absl::StatusCodeToString(status.code()), " ", ReasonOf(status))];
  }
};

class BankFaultTest : public testing::Test {
 protected:
  void Open(const FaultyOptions& options) {
    ASSERT_OK_AND_ASSIGN(gateways_, FaultyGateways::Start(options));
    for (int at = 0; at < kAccounts; ++at) {
      const int64_t id = gateways_->first().NewCustomerOn(at % gateways_->shards());
      ASSERT_THAT(gateways_->first().client().Insert("customers", {{"id", id}, {"name", "n"}, {"visits", kOpening}}), IsOk());
      accounts_.push_back({id});
    }
  }

  // Reads both rows with a lock, and writes them.
  static absl::Status TransferLocked(client::Client& client, const Key& from, const Key& to, int64_t amount) {
    client::CallOptions call;
    call.timeout = absl::Seconds(10);
    return client.RunTransaction(
        [&](client::Transaction& own) -> absl::Status {
          client::ReadOptions locking;
          locking.lock = v1::ROW_LOCK_UPDATE;
          QUARRY_ASSIGN_OR_RETURN(const client::BatchGetResult read, own.BatchGet("customers", {from, to}, locking));
          if (!read.rows[0].has_value() || !read.rows[1].has_value()) return absl::DataLossError("an account is gone");
          const int64_t has = read.rows[0]->record["visits"].AsInt64().value_or(-1);
          const int64_t gets = read.rows[1]->record["visits"].AsInt64().value_or(-1);
          if (has < amount) return absl::OkStatus();
          QUARRY_RETURN_IF_ERROR(own.Update("customers", from, {{"visits", has - amount}}).status());
          return own.Update("customers", to, {{"visits", gets + amount}}).status();
        },
        {}, call);
  }

  // In one call, which holds only while both rows are as they were read.
  static absl::Status TransferByEtag(client::Client& client, const Key& from, const Key& to, int64_t amount) {
    client::CallOptions call;
    call.timeout = absl::Seconds(10);
    QUARRY_ASSIGN_OR_RETURN(const client::BatchGetResult read, client.BatchGet("customers", {from, to}, {}, call));
    if (!read.rows[0].has_value() || !read.rows[1].has_value()) return absl::DataLossError("an account is gone");
    const int64_t has = read.rows[0]->record["visits"].AsInt64().value_or(-1);
    const int64_t gets = read.rows[1]->record["visits"].AsInt64().value_or(-1);
    if (has < amount) return absl::OkStatus();
    client::MutationOptions from_unchanged;
    from_unchanged.etag = read.rows[0]->etag;
    client::MutationOptions to_unchanged;
    to_unchanged.etag = read.rows[1]->etag;
    return client
        .CommitMutations({Mutation::Update("customers", from, {{"visits", has - amount}}, from_unchanged),
                          Mutation::Update("customers", to, {{"visits", gets + amount}}, to_unchanged)},
                         call)
        .status();
  }

  void Write(client::Client& client, std::mt19937_64& random) {
    const size_t from = random() % kAccounts;
    const size_t to = (from + 1 + random() % (kAccounts - 1)) % kAccounts;
    const auto amount = static_cast<int64_t>(1 + random() % 50);
    const bool locked = random() % 2 == 0;
    const absl::Status status = locked ? TransferLocked(client, accounts_[from], accounts_[to], amount)
                                       : TransferByEtag(client, accounts_[from], accounts_[to], amount);
    if (status.ok()) {
      ++seen_.transfers;
    } else {
      EXPECT_FALSE(absl::IsDataLoss(status)) << status;
      seen_.Note(locked ? "locked transfer" : "transfer by etag", status);
    }
  }

  // A snapshot; now and then the same without one, for comparison.
  void Audit(Auditor& auditor, std::mt19937_64& random) {
    const Reading reading = kReadings[random() % kReadings.size()];
    const absl::StatusOr<std::vector<int64_t>> cut = auditor.Totals(reading, true);
    if (cut.ok()) {
      for (const int64_t total : *cut) EXPECT_EQ(total, kTotal) << "a torn snapshot, by " << NameOf(reading);
      ++seen_.exact;
    } else {
      EXPECT_FALSE(absl::IsDataLoss(cut.status())) << cut.status();
      seen_.Note(absl::StrCat("snapshot by ", NameOf(reading)), cut.status());
    }
    if (random() % 4 != 0) return;
    const absl::StatusOr<std::vector<int64_t>> loose = auditor.Totals(reading, false);
    if (!loose.ok()) {
      seen_.Note(absl::StrCat("plain ", NameOf(reading)), loose.status());
      return;
    }
    ++seen_.plain;
    if (loose->front() != kTotal) ++seen_.torn;
  }

  // Writers and readers at all gateways, until enough snapshots are read, and a read without one has shown what they are for.
  void RunAll(uint64_t seed, int wanted) {
    const absl::Time end = absl::Now() + kBankTimeMax;
    std::atomic<int> working{kTellers + kAuditors};
    absl::Notification all_done;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kTellers + kAuditors; ++thread) {
      const int port = gateways_->port(thread % gateways_->gateways());
      threads.emplace_back([this, &working, &all_done, seed, thread, port, wanted, end] {
        std::mt19937_64 random(seed + 1 + static_cast<uint64_t>(thread));
        const std::unique_ptr<client::Client> client = ClientAt(port, 1, 3);
        Auditor auditor(ConnectionAt(port), accounts_);
        while (client != nullptr && !Enough(wanted) && absl::Now() < end) {
          thread < kTellers ? Write(*client, random) : Audit(auditor, random);
        }
        if (--working == 0) all_done.Notify();
      });
    }
    std::mt19937_64 random(seed);
    gateways_->DisturbUntil(all_done, random, absl::Milliseconds(200), seen_.exact);
    for (std::thread& thread : threads) thread.join();
    EXPECT_GE(seen_.exact, wanted) << "too few snapshots in time";
  }

  // So many snapshots are worth something beside reads that were torn, transfers and faults.
  bool Enough(int wanted) const {
    return seen_.exact >= wanted && seen_.torn > 0 && seen_.transfers > kTransfersLeast && gateways_->faults() > kFaultsLeast;
  }

  void Report() {
    const absl::MutexLock lock(&seen_.mutex);
    std::cout << seen_.exact << " snapshots, " << seen_.plain << " reads without one, " << seen_.torn << " of them torn ("
              << (seen_.plain > 0 ? 100.0 * seen_.torn / seen_.plain : 0) << " %), " << seen_.transfers << " transfers, "
              << gateways_->faults() << " faults; errors: "
              << absl::StrJoin(seen_.errors, ", ", absl::PairFormatter(": ")) << std::endl;
    EXPECT_GT(seen_.torn, 0) << "this run shows nothing about snapshots";
    EXPECT_GT(seen_.transfers, kTransfersLeast);
    EXPECT_GT(gateways_->faults(), kFaultsLeast);
  }

  void ExpectNothingLost() {
    for (int gateway = 0; gateway < gateways_->gateways(); ++gateway) {
      Auditor auditor(ConnectionAt(gateways_->port(gateway)), accounts_);
      for (const Reading reading : kReadings) {
        ASSERT_OK_AND_ASSIGN(const std::vector<int64_t> totals, auditor.Totals(reading, false));
        for (const int64_t total : totals) EXPECT_EQ(total, kTotal) << NameOf(reading) << " at gateway " << gateway;
      }
    }
  }

  void RunBank(const FaultyOptions& options, int reads) {
    const uint64_t seed = TestSeed();
    ASSERT_NO_FATAL_FAILURE(Open(options));
    RunAll(seed, Rounds(reads));
    ASSERT_NO_FATAL_FAILURE(gateways_->ExpectSettles());
    ASSERT_NO_FATAL_FAILURE(ExpectNothingLost());
    Report();
  }

  std::unique_ptr<FaultyGateways> gateways_;
  std::vector<Key> accounts_;  // One shard after the other.
  Seen seen_;
};

TEST_F(BankFaultTest, SnapshotsThroughTwoGatewaysHoldTheTotal) { RunBank({}, 2'000); }

TEST_F(BankFaultTest, SnapshotsOverBothBackendsHoldTheTotal) {
  FaultyOptions options;
  options.gateways = 1;
  options.kind_of_shard = [](int shard) { return shard % 2 == 0 ? Kind::kPostgres : Kind::kSqlite; };
  RunBank(options, 1'000);
}

}  // namespace
}  // namespace quarry::gateway_test
