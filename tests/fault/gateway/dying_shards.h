// A gateway over PostgreSQL servers of their own that die and come back, for tests that kill one under a running call.
// Rows are known: whoever reads them can tell a short answer from a whole one.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {

enum class Death {
  kServer,      // SIGKILL to the postmaster and all its backends; somebody must start it again.
  kTerminated,  // pg_terminate_backend of the backends that serve a statement.
  kCrashed,     // SIGKILL to such a backend: the postmaster ends all others and recovers by itself.
};
std::string NameOf(Death death);

class DyingShards {
 public:
  static constexpr int kShards = 3;
  static constexpr int64_t kRows = 30'000;  // Customers 1 to kRows, on the shards that the gateway routes them to.
  static constexpr int64_t kMarks = 500;    // Values of `visits`, dealt evenly.

  // Servers, gateway, rows.
  static absl::StatusOr<std::unique_ptr<DyingShards>> Start();
  DyingShards();
  ~DyingShards();

  TestGateway& gateway() { return *gateway_; }
  static int64_t VisitsOf(int64_t id) { return id * 7919 % kMarks; }
  // All ids by visits and id.
  const std::vector<int64_t>& in_order() const { return in_order_; }
  int ShardOf(int64_t id) const { return shard_of_[static_cast<size_t>(id)]; }
  int64_t RowsOn(int shard) const;

  // Statements on the server itself, past the gateway.
  absl::Status Run(int shard, const std::string& sql);
  int64_t Number(int shard, const std::string& sql);
  // The same on every shard: "{shard}" stands for its number, "{mine}" for the condition that `id` lives there.
  absl::Status RunOnAll(const std::string& sql);

  void Kill(int shard, Death death);
  // How often that met somebody.
  int deaths() const { return deaths_; }
  // After a death: the server runs and answers.
  absl::Status Revive(int shard);
  // Runs on a second thread, one after the other. A server lives no longer than the thread that has started it, so this one
  // lives as long as they do.
  std::future<void> Later(std::function<void()> work);
  // Lets time go by on the second thread: a moment of a death is a time, and no event tells it. Ends with this object.
  void Pass(absl::Duration time);
  // No statement of a gateway runs on any shard, no session is in use, no breaker is open, and every row can be asked for.
  void ExpectCalm();

 private:
  std::vector<std::unique_ptr<PostgresCluster>> servers_;
  std::vector<std::string> databases_;
  std::unique_ptr<TestGateway> gateway_;
  std::vector<int64_t> in_order_;
  std::vector<int> shard_of_;  // By id.
  std::atomic<int> deaths_{0};
  absl::Mutex mutex_;
  std::deque<std::packaged_task<void()>> work_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread second_;  // Last: it uses the rest.
};

// Kills a shard after a while, on the second thread of the shards.
class Killer {
 public:
  // `pause`: until a dead server is started again; infinite: it is not.
  Killer(DyingShards& shards, int victim, Death death, absl::Duration after, absl::Duration pause = absl::InfiniteDuration());
  Killer(const Killer&) = delete;
  Killer& operator=(const Killer&) = delete;
  ~Killer() { Join(); }
  void Join() { done_.wait(); }
  bool done() const { return done_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }

 private:
  std::shared_future<void> done_;
};

}  // namespace quarry::gateway_test
