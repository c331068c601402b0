// How one PostgreSQL shard is reached and how much of it is used by one loop.
#pragma once

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace quarry {

struct PostgresOptions {
  std::string shard;     // Name, for messages.
  std::string conninfo;  // As libpq reads it; may hold a password, so it is never shown.
  std::string application_name = "quarry";
  std::string deployment = "quarry";  // Whose branches and gate are ours: the same for all its gateways.
  // Transactions over several shards although a standby may lack what the primary has acknowledged: after a failover a
  // part of one may be missing. The guide says what is lost.
  bool allow_async_two_phase = false;
  // Every commit passes the snapshot gate, not only those over several shards.
  bool strict_snapshots = false;
  bool has_replicas = false;  // The shard is known to have standbys, connected now or not.
  int64_t sessions_max = 8;    // Leased sessions: transactions, streams, raw SQL, guarded writes.
  int64_t waiters_max = 256;   // Calls that wait for one of them.
  int64_t pipelines = 2;       // Shared connections for single reads; one more serves single writes.
  int64_t queue_max = 4096;    // Single statements that wait for the shared connections.
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration request_keep = absl::Hours(24);     // How long a request id is remembered.
  absl::Duration purge_interval = absl::Minutes(1);  // Between two looks for request ids to forget.
  // A single statement that waits longer for a lock, or runs longer, leaves the shared connection to the others and
  // goes on in a session of its own.
  absl::Duration shared_lock_timeout = absl::Milliseconds(100);
  absl::Duration shared_statement_timeout = absl::Seconds(1);
  // A shared connection that gives no sign for so long while it owes answers is given up.
  absl::Duration shared_silence_max = absl::Seconds(10);
};

}  // namespace quarry
