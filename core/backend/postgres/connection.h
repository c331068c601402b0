// One connection to a PostgreSQL server, never blocking, always in pipeline mode. One loop.
// Work goes out in batches, each ended by a Sync; answers come back in the same order.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/postgres/types.h"
#include "core/base/async.h"
#include "core/base/loop.h"
#include "core/model/statement.h"

namespace quarry::postgres {

// A statement as the server knows it: which types it takes and gives.
struct Prepared {
  std::string name;
  std::vector<Oid> params;
  std::vector<Oid> results;
  RowHeader header;
  bool binary = true;  // False when a result column has a type that is read in text form.
};
using PreparedPtr = std::shared_ptr<const Prepared>;

// Names of types that are not built in, by OID; one per backend.
using TypeNames = absl::flat_hash_map<Oid, std::string>;

// One message to the server: a prepared statement with its parameters, or plain SQL without any.
struct Command {
  PreparedPtr prepared;
  std::vector<EncodedParam> params;
  std::string sql;
};

// Checks the number of parameters and encodes them as the server takes them.
absl::StatusOr<Command> Bind(const PreparedPtr& prepared, const std::vector<Value>& params);
Command Plain(std::string sql);

struct CommandResult {
  // An error of the server, or kCancelled when one before it in the batch failed.
  absl::Status status;
  StatementResult result;
};

// Commands up to one Sync, and their results. Complete when `done`.
struct Batch {
  std::vector<Command> commands;
  std::vector<CommandResult> results;  // One per command.
  bool commits = false;                // Its Sync or one of its commands makes something durable.
  bool done = false;
  bool lost = false;       // The connection broke before the Sync was answered.
  std::string lost_cause;
  absl::Status sync_status;  // Of the implicit commit at the Sync: a deferred constraint, for example.
  bool weak_commit = false;  // The server gave up its wait for a synchronous standby.
  // Called once when done, on the loop, within the connection's own code: it must not destroy the connection.
  absl::AnyInvocable<void()> on_done;

  // The first error of the commands or of the Sync; not of a lost connection.
  absl::Status FirstError() const;
};
using BatchPtr = std::shared_ptr<Batch>;

class Connection;

// Rows of a running statement, between the connection that reads them and the stream that gives them out.
struct StreamState {
  std::deque<Row> rows;
  size_t bytes = 0;
  size_t rows_max = 1000;
  size_t bytes_max = 256 * 1024;
  bool abandoned = false;  // Nobody reads it any more: rows are thrown away.
  Connection* connection = nullptr;  // Null once the statement has ended.
  BatchPtr batch;
  // Called when a batch is full or the statement has ended. As Batch::on_done.
  absl::AnyInvocable<void()> on_ready;
  bool full() const { return !abandoned && (rows.size() >= rows_max || bytes >= bytes_max); }
};

struct ConnectOptions {
  std::string shard;
  std::string conninfo;
  std::string application_name;
  std::vector<std::pair<std::string, std::string>> settings;  // For this session, by name.
};

// Requests to the server to stop a session's statement, one after another until it has.
struct Interrupt {
  Connection* connection;  // Null once it is gone.
  bool done = false;
  std::vector<Completer<bool>> waiters = {};
};

class Connection {
 public:
  // Host names are resolved by libpq, which blocks: use addresses, or a local resolver that answers at once.
  // kUnavailable, kResourceExhausted (no connection left) or kDeadlineExceeded. Arguments by value: it may be dropped.
  static Async<absl::StatusOr<std::unique_ptr<Connection>>> Open(Loop& loop, ConnectOptions options, absl::Time deadline);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // False once broken; nothing more can be sent.
  bool usable() const { return usable_; }
  // Nothing is under way.
  bool idle() const { return in_flight_.empty(); }
  // Something that must not be cancelled is under way.
  bool committing() const;
  PGTransactionStatusType transaction() const { return PQtransactionStatus(connection_); }
  int server_pid() const { return PQbackendPID(connection_); }
  absl::Time last_progress() const { return last_progress_; }
  const std::string& lost_cause() const { return lost_cause_; }

  // Never fails at once: a batch that could not be sent completes as lost.
  void Send(const BatchPtr& batch);
  // Sends one command whose rows go to `stream`; its `batch` is made here.
  void SendStream(Command command, const std::shared_ptr<StreamState>& stream);
  // Reads on after a batch of the stream was taken.
  void ResumeStream();

  // Sends and waits; false when the deadline ended first (the batch stays under way).
  Async<bool> Run(BatchPtr batch, absl::Time deadline);
  // Waits until nothing is under way; false when the deadline ended first.
  Async<bool> WaitIdle(absl::Time deadline);

  // The known form of `sql`, or null. Marks it as used.
  PreparedPtr FindPrepared(const std::string& sql);
  // Prepares what is not known yet, each on its own; one status per text, kUnavailable when the connection broke.
  // One call at a time. `names` outlives it.
  Async<std::vector<absl::Status>> Prepare(std::vector<std::string> sql, TypeNames* names, absl::Time deadline);
  // Forgets a prepared form that no longer fits, or all after DISCARD.
  void Forget(const std::string& sql);
  void ForgetAll();
  // Counts of FindPrepared, for metrics.
  int64_t prepared_hits() const { return hits_; }
  int64_t prepared_misses() const { return misses_; }

  // Ends it: everything under way completes as lost.
  void Break(const std::string& cause);

  // A session whose state was changed by a user's own SQL.
  bool dirty = false;
  // The latest request to stop what runs here; null when there was none. Until it is done it may hit a later statement.
  std::shared_ptr<Interrupt> interrupt;

 private:
  // What a Describe told.
  struct Description {
    std::vector<Oid> params;
    std::vector<Oid> results;
    std::vector<std::string> names;
  };
  struct Preparing {
    std::string sql;
    std::string name;
    BatchPtr batch;
    std::shared_ptr<Description> description;
  };
  struct InFlight {
    BatchPtr batch;
    size_t command = 0;  // The one whose results come next.
    std::shared_ptr<StreamState> stream;
    std::shared_ptr<Description> describing;  // Set for a batch that prepares: Parse, then Describe.
  };
  struct Cached {
    PreparedPtr prepared;
    std::list<std::string>::iterator use;
  };

  Connection(Loop& loop, PGconn* connection, std::string shard);
  static void OnNotice(void* self, const PGresult* result);
  void Start();
  void OnReady(SocketEvents ready);
  void WatchSocket();
  void ReadResults();
  void Take(PGresult* result);
  void TakeError(InFlight* flight, const PGresult* result);
  void TakeRows(InFlight* flight, const PGresult* result);
  void TakeDescription(InFlight* flight, const PGresult* result);
  void FinishBatch();
  bool paused() const;
  void SendCommand(const Command& command);
  void TakeEnd(InFlight* flight);
  // After a send: the Sync, the queue, the socket's events.
  void Sync(InFlight flight);
  Preparing SendPrepare(const std::string& sql);
  Async<absl::Status> NameTypes(std::vector<Preparing> preparing, TypeNames* names, absl::Time deadline);
  void Remember(const Preparing& preparing, const TypeNames& names);

  Loop& loop_;  // Outlives this.
  PGconn* connection_;
  const std::string shard_;
  bool usable_ = true;
  SocketEvents watched_ = SocketEvents::kNone;
  std::string lost_cause_;
  absl::Time last_progress_;
  std::deque<InFlight> in_flight_;
  std::vector<Completer<bool>> idle_waiters_;

  uint64_t next_name_ = 0;
  std::list<std::string> uses_;  // Most lately used first.
  absl::flat_hash_map<std::string, Cached> cache_;
  int64_t hits_ = 0;
  int64_t misses_ = 0;
};

}  // namespace quarry::postgres
