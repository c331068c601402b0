// Gateways of this process over shards that lose connections and backends at random moments, for tests of what must hold
// all the same. Each PostgreSQL shard is reached through a gate, and so is each gateway.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/postgres/tcp_gate.h"

namespace quarry::gateway_test {

// From QUARRY_TEST_SEED, or a new one; printed.
uint64_t TestSeed();

struct FaultyOptions {
  int shards = 4;
  int gateways = 2;  // One where a shard is SQLite's.
  std::function<Kind(int shard)> kind_of_shard = {};  // Null: all PostgreSQL.
  std::vector<std::string> overrides = {};
  bool cut_clients = false;  // Connections between clients and gateways as well.
};

// Made, disturbed and ended on one thread; ports may be asked for on any.
class FaultyGateways {
 public:
  static absl::StatusOr<std::unique_ptr<FaultyGateways>> Start(const FaultyOptions& options);
  // Gateways before the gates.
  ~FaultyGateways();

  TestGateway& first() { return *first_; }
  int shards() const { return options_.shards; }
  int gateways() const { return options_.gateways; }
  // Where clients reach a gateway.
  int port(int gateway) const { return client_gates_[static_cast<size_t>(gateway)]->port(); }

  // One fault after the other, with random pauses of at most `pause_max`, until it is told to stop. Every second one, by chance,
  // waits until `done` has changed since the one before: where calls are slow, faults by the clock alone would let none end.
  void DisturbUntil(const absl::Notification& stop, std::mt19937_64& random, absl::Duration pause_max, const std::atomic<int>& done);
  int faults() const { return faults_; }
  // Ends all faults, and expects that within ten seconds no transaction is in doubt and none prepared, that every gateway
  // reads all shards again, and that no session stays behind.
  void ExpectSettles();

 private:
  explicit FaultyGateways(FaultyOptions options) : options_(std::move(options)) {}
  absl::Status StartAll();
  bool IsPostgres(int shard) const {
    return !options_.kind_of_shard || options_.kind_of_shard(shard) == Kind::kPostgres;
  }
  void Disturb(std::mt19937_64& random);
  static void Cut(TcpGate& gate, std::mt19937_64& random);
  int grpc_port(int gateway) const;
  int http_port(int gateway) const;

  const FaultyOptions options_;
  std::vector<std::unique_ptr<TcpGate>> shard_gates_;  // Null for a SQLite shard.
  std::vector<std::unique_ptr<TcpGate>> client_gates_;
  std::unique_ptr<TestGateway> first_;
  std::vector<std::unique_ptr<Gateway>> others_;
  std::atomic<int> faults_{0};
};

}  // namespace quarry::gateway_test
