#include "tests/fault/gateway/faulty_gateways.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include "absl/time/clock.h"
#include "core/base/status_macros.h"

namespace quarry::gateway_test {
namespace {

// One that serves a gateway of a test, whatever it does.
constexpr char kTerminateOne[] =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname LIKE 'shard_%' "
    "AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1";

constexpr uint64_t kBytesMax = 6'000;  // About what a few transactions send.
constexpr absl::Duration kProgressPoll = absl::Milliseconds(5);

}  // namespace

uint64_t TestSeed() {
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
  return seed;
}

absl::StatusOr<std::unique_ptr<FaultyGateways>> FaultyGateways::Start(const FaultyOptions& options) {
  auto gateways = std::unique_ptr<FaultyGateways>(new FaultyGateways(options));
  QUARRY_RETURN_IF_ERROR(gateways->StartAll());
  return gateways;
}

FaultyGateways::~FaultyGateways() {
  others_.clear();
  first_.reset();
}

absl::Status FaultyGateways::StartAll() {
  bool all_postgres = true;
  for (int shard = 0; shard < options_.shards; ++shard) {
    shard_gates_.push_back(IsPostgres(shard) ? std::make_unique<TcpGate>(Postgres().port()) : nullptr);
    all_postgres = all_postgres && IsPostgres(shard);
  }
  GatewaySettings settings;
  settings.kind_of_shard = options_.kind_of_shard;
  settings.port_of_shard = [this](int shard) {
    const std::unique_ptr<TcpGate>& gate = shard_gates_[static_cast<size_t>(shard)];
    return gate == nullptr ? 0 : gate->port();
  };
  settings.overrides = {"breaker.probe_interval=20ms",      "breaker.faults=1000",
                        "pools.sessions=12",                "transactions.recovery_interval=200ms",
                        "transactions.recovery_age=1s",     "transactions.commit_timeout=5s"};
  settings.overrides.insert(settings.overrides.end(), options_.overrides.begin(), options_.overrides.end());
  const Setup setup{all_postgres ? Kind::kPostgres : Kind::kSqlite, options_.shards};
  QUARRY_ASSIGN_OR_RETURN(first_, TestGateway::Start(setup, settings));
  for (int gateway = 1; gateway < options_.gateways; ++gateway) {
    QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<Gateway> other, first_->StartAnother());
    others_.push_back(std::move(other));
  }
  for (int gateway = 0; gateway < options_.gateways; ++gateway) {
    client_gates_.push_back(std::make_unique<TcpGate>(grpc_port(gateway)));
  }
  return absl::OkStatus();
}

int FaultyGateways::grpc_port(int gateway) const {
  return gateway == 0 ? first_->gateway().grpc_port() : others_[static_cast<size_t>(gateway - 1)]->grpc_port();
}

int FaultyGateways::http_port(int gateway) const {
  return gateway == 0 ? first_->gateway().http_port() : others_[static_cast<size_t>(gateway - 1)]->http_port();
}

void FaultyGateways::Cut(TcpGate& gate, std::mt19937_64& random) {
  const auto bytes = static_cast<int64_t>(random() % kBytesMax);
  switch (random() % 3) {
    case 0:
      gate.Cut();
      break;
    case 1:
      gate.CutAfterBytesToServer(bytes);
      break;
    default:
      gate.CutAfterBytesToClient(bytes);
  }
}

void FaultyGateways::Disturb(std::mt19937_64& random) {
  if (options_.cut_clients && random() % 2 == 0) {
    Cut(*client_gates_[random() % client_gates_.size()], random);
  } else if (random() % 3 == 0) {
    // It may meet nobody; nor does it matter when the server is busy.
    Postgres().QueryOne("postgres", kTerminateOne).IgnoreError();
  } else if (TcpGate* gate = shard_gates_[random() % shard_gates_.size()].get(); gate != nullptr) {
    Cut(*gate, random);
  } else {
    return;
  }
  ++faults_;
}

void FaultyGateways::DisturbUntil(const absl::Notification& stop, std::mt19937_64& random, absl::Duration pause_max,
                                  const std::atomic<int>& done) {
  const auto micros = static_cast<uint64_t>(absl::ToInt64Microseconds(pause_max));
  int done_before = done;
  while (!stop.WaitForNotificationWithTimeout(absl::Microseconds(static_cast<int64_t>(random() % micros)))) {
    const bool waits = random() % 2 == 0;
    while (waits && done == done_before && !stop.WaitForNotificationWithTimeout(kProgressPoll)) {
    }
    done_before = done;
    Disturb(random);
  }
}

void FaultyGateways::ExpectSettles() {
  for (auto* gates : {&shard_gates_, &client_gates_}) {
    for (const std::unique_ptr<TcpGate>& gate : *gates) {
      if (gate != nullptr) gate->Open();
    }
  }
  const absl::Time end = absl::Now() + absl::Seconds(10);
  for (int gateway = 0; gateway < gateways(); ++gateway) {
    const std::unique_ptr<client::Client> client = ClientAt(grpc_port(gateway), 2);
    ASSERT_NE(client, nullptr);
    absl::StatusOr<v1::ListInDoubtTransactionsResponse> listed;
    EXPECT_TRUE(Eventually(
        [&] {
          listed = client->ListInDoubtTransactions(absl::ZeroDuration());
          return listed.ok() && listed->transactions().empty() && listed->failed_shards().empty();
        },
        end - absl::Now()))
        << "gateway " << gateway << ": " << listed.status() << (listed.ok() ? listed->ShortDebugString() : "");
    absl::Status counted;
    EXPECT_TRUE(Eventually([&] {
      counted = client->Aggregate("customers", {}, {{}}).status();
      return counted.ok();
    })) << counted;
  }
  absl::StatusOr<std::string> prepared;
  EXPECT_TRUE(Eventually(
      [&] {
        prepared = Postgres().QueryOne("postgres", "SELECT count(*) FROM pg_prepared_xacts");
        return prepared.ok() && *prepared == "0";
      },
      std::max(end - absl::Now(), absl::Milliseconds(1))))
      << prepared.status() << " " << prepared.value_or("");
  for (int gateway = 0; gateway < gateways(); ++gateway) EXPECT_TRUE(SettlesToNoSessions(http_port(gateway)));
}

}  // namespace quarry::gateway_test
