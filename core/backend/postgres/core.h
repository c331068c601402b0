// What the parts of one PostgreSQL backend share: how it connects, its pool of leased connections, its counters, and
// the work that goes on after its caller has left. One loop.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/lease_pool.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/options.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"

namespace quarry::postgres {

// Runs coroutines to their end, or until it is destroyed itself.
class Background {
 public:
  explicit Background(Loop& loop) : loop_(loop) {}
  ~Background();
  void Run(Async<void> work);

 private:
  Loop& loop_;  // Outlives this.
  uint64_t next_ = 0;
  bool closing_ = false;
  absl::flat_hash_map<uint64_t, Running> running_;
  // Gone with this, so that a deferred clean-up knows.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// Which session limits a connection gets.
enum class ConnectionUse { kLeased, kShared };

// Quarry's tables in a database: request ids, for writes of one shard; all of them for transactions over several shards and
// for locks.
enum class OwnTables { kRequests, kAll };

// A look at them: who waits for it, and what came of it.
struct LookAtTables {
  OwnTables tables;
  std::vector<Completer<bool>> line = {};
  absl::Status status = {};
};

class Core {
 public:
  Core(Loop& loop, PostgresOptions options);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;

  // kUnavailable at once while attempts back off after failures. kDeadlineExceeded: `deadline` left no time for it.
  Async<absl::StatusOr<std::unique_ptr<Connection>>> Connect(ConnectionUse use, absl::Time deadline);
  // Takes back what Lease gave: to the pool when it is clean, after a clean-up in the background when it can be made
  // clean, else closed. Null gives back the place alone.
  void GiveBack(std::unique_ptr<Connection> connection);
  // Asks the server, in the background, to stop what runs on `connection`, until it has.
  void StartInterrupt(Connection* connection);
  // Waits until nothing runs on `connection` and no interrupt is on its way to it.
  Async<bool> Settle(Connection* connection, absl::Time deadline);
  // From now on old request ids are forgotten.
  void StartPurge();

  Loop& loop;  // Outlives this.
  const PostgresOptions options;
  TypeNames type_names;
  LeasePool<Connection> pool;
  int64_t leased_open = 0;  // Connections of the pool, idle ones included.
  int64_t statements = 0;
  int64_t prepared_hits = 0;  // Of connections that were closed since.
  int64_t prepared_misses = 0;
  int64_t groups = 0;
  int64_t grouped_writes = 0;
  int64_t joined_reads = 0;
  // Request ids that a call of this loop is at, and who waits for it to end.
  absl::flat_hash_map<std::string, std::vector<Completer<bool>>> requests_at_work;
  // The look at Quarry's own tables that is under way; null while nobody looks.
  std::shared_ptr<LookAtTables> tables_at_work;
  bool requests_ready = false;  // The table of request ids is known to be there.
  bool tables_ready = false;    // And the other tables of schema quarry.
  bool two_phase_checked = false;  // The server is known to be fit for transactions over several shards.

 private:
  Async<void> RunInterrupt(std::shared_ptr<Interrupt> interrupt);
  Async<void> CancelOnce(int pid);
  Async<void> Recycle(std::unique_ptr<Connection> connection);
  Async<bool> Clean(Connection* connection);
  void Close(std::unique_ptr<Connection> connection);

  bool purging_ = false;
  int failures_ = 0;
  absl::Time next_attempt_ = absl::InfinitePast();
  absl::Status last_failure_;
  std::unique_ptr<Connection> control_;  // For interrupts.
  bool control_opens_ = false;
  std::vector<Completer<bool>> control_line_;  // Interrupts that wait for it.

 public:
  Background background;  // Destroyed first: its work uses the rest.
};

// A connection out of the pool and its way back. Dropping it gives it back.
class Leased {
 public:
  explicit Leased(Core* core) : core_(core) {}
  Leased(Leased&& other) noexcept
      : core_(std::exchange(other.core_, nullptr)), connection_(std::move(other.connection_)) {}
  Leased& operator=(Leased&&) = delete;
  ~Leased() {
    if (core_ != nullptr) core_->GiveBack(std::move(connection_));
  }
  Connection* operator->() const { return connection_.get(); }
  Connection* get() const { return connection_.get(); }
  void Put(std::unique_ptr<Connection> connection) { connection_ = std::move(connection); }

 private:
  Core* core_;
  std::unique_ptr<Connection> connection_;
};

// Waits in a line of the core until somebody sets its members; false when the deadline ends first.
Async<bool> WaitInLine(Core& core, std::vector<Completer<bool>>& line, absl::Time deadline);

// A place in the pool with an open connection in it.
Async<absl::StatusOr<Leased>> Lease(Core& core, const CallContext& ctx);

}  // namespace quarry::postgres
