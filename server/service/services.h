// Every RPC of the server, one short handler each: request -> operation -> engine -> reply.
// The functions add their methods to the table; what they are given outlives it.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "core/topology/peer_table.h"
#include "core/txn/transactions.h"
#include "server/loop/rpc_table.h"
#include "server/observe/shard_board.h"
#include "server/service/query_recorder.h"

namespace quarry {

struct RawSqlLimits {
  int64_t rows_max = 1'000'000;       // Of one call that does not say.
  int64_t bytes_max = int64_t{1} << 30;
  int64_t batch_bytes = 1 << 20;      // Of rows in one message of a stream.
  size_t width_max = 16;              // Shards at a time.
  absl::Duration progress_interval = absl::Seconds(1);
};

struct QueryLimits {
  int64_t batch_bytes = 1 << 20;    // Of rows in one message of a stream.
  int64_t message_bytes = 4 << 20;  // One message.
};

struct GatewayInfo {
  std::string version;
  std::string deployment;
  absl::Time start_time;
  std::map<std::string, int64_t> waiters_max = {};  // By shard, over all loops.
};

inline constexpr char kDataService[] = "quarry.v1.DataService";

// Rows by key.
void AddDataService(RpcTable& table);
// The same service's calls by condition: List, Query, Aggregate, UpdateWhere, DeleteWhere.
void AddQueries(RpcTable& table, QueryRecorder& recorder, const QueryLimits& limits);
void AddShardService(RpcTable& table, const RawSqlLimits& limits);
void AddTransactionService(RpcTable& table, const TransactionOptions& options);
void AddLockService(RpcTable& table);
void AddSchemaService(RpcTable& table);
void AddAdminService(RpcTable& table, GatewayInfo info, const ShardBoard& board, const QueryStats& queries);
// PeerService, and AdminService.ListGateways.
void AddPeers(RpcTable& table, const PeerTable& peers);
// grpc.health.v1: "" for the gateway, one name for each service of the table, "shard/<name>" for each shard.
void AddHealthService(RpcTable& table, ShardBoard& board);
// Server reflection, v1 and v1alpha, of the table's services.
void AddReflection(RpcTable& table);

}  // namespace quarry
