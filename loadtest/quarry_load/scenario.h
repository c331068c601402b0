// What a run does: every setting of a scenario file and of the command line, as plain data.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quarry::load {

enum class Operation : uint8_t {
  kGet,
  kBatchGet,
  kInsert,
  kUpdate,
  kUpsert,
  kDelete,
  kReadModifyWrite,
  kBatchWrite,
  kCommit,
  kSqlScan,
  kQuery,
  kList,
  kAggregate,
  kCommitAcross,
  kCommitApart,
  kBeginSnapshot,
  kEcho,
};
inline constexpr int kOperations = 17;

// Answered by a stream of messages with rows.
inline bool IsStream(Operation operation) {
  return operation == Operation::kSqlScan || operation == Operation::kQuery;
}

// Two calls, the second after the first has answered.
inline bool IsPair(Operation operation) {
  return operation == Operation::kReadModifyWrite || operation == Operation::kCommitApart ||
         operation == Operation::kBeginSnapshot;
}

// "get", "batch_get" and so on.
const char* OperationName(Operation operation);
const std::vector<std::string>& OperationNames();
// kInvalidArgument names the operations there are.
absl::StatusOr<Operation> ParseOperation(std::string_view name);

enum class Distribution : uint8_t { kUniform, kZipfian, kLatest, kHotTenant, kSequential };
enum class Arrivals : uint8_t { kFixed, kPoisson };
// Which columns an update sets.
enum class UpdatedColumns : uint8_t { kBalance, kPayload, kBoth };

struct WeightedOperation {
  Operation operation = Operation::kGet;
  double weight = 1;
};

// The table that is read and written: one integer key, one integer and one text.
struct TableLayout {
  std::string name = "usertable";
  std::string id = "id";
  std::string balance = "balance";
  std::string payload = "payload";
};

struct Scenario {
  std::string name;  // Of the file, or "" for one made of options alone.
  std::string description;

  std::vector<WeightedOperation> operations;
  TableLayout table;
  int64_t keys = 100'000;  // The rows that are there: 1 to this.
  Distribution distribution = Distribution::kUniform;
  double theta = 0.99;
  double hot_fraction = 0.9;  // Share of the calls that go to the hot tenant.
  int64_t tenants = 100;      // Ranges of equal length that the keys are divided into.
  int64_t insert_from = 0;    // 0: the key after `keys`.
  int64_t delete_from = 1;
  int64_t value_bytes = 100;
  int64_t batch = 100;  // Keys of a batch_get, mutations of a batch_write.
  int64_t commit_mutations = 2;
  UpdatedColumns update = UpdatedColumns::kBalance;
  std::vector<std::string> read_columns;  // Empty: all.
  bool request_ids = false;               // A fresh UUID with every write.
  bool snapshot = false;                  // query, list and aggregate read one cut.
  std::string transaction;                // Of get and update: an open one; "": none.
  std::string sql;                        // Of sql_scan; "": all rows of the table.
  std::string shard;                      // Of sql_scan, query, list and aggregate; "": all.
  int64_t query_rows = 100;               // Of query and list, at most; 0: all.
  std::string query_order;                // Of query and list; "": by key.
  int64_t request_bytes = 40;             // Of echo.
  int64_t response_bytes = 0;             // Of echo; 0: any.

  int64_t concurrency = 16;
  double rate = 0;  // Calls a second; 0: a closed loop.
  Arrivals arrivals = Arrivals::kFixed;
  int64_t in_flight_max = 1000;  // Of an open loop.
  int64_t threads = 1;
  int64_t channels = 1;                            // Of each thread.
  absl::Duration deadline = absl::ZeroDuration();  // Of each call; 0: none.
  absl::Duration warmup = absl::Seconds(1);
  absl::Duration duration = absl::Seconds(10);
  int64_t calls = 0;  // > 0: ends after as many calls, whatever the duration.
  absl::Duration connect_timeout = absl::Seconds(5);
  absl::Duration drain_timeout = absl::Seconds(10);
  uint64_t seed = 0;  // 0: one is drawn.
  double max_error_rate = 0;

  bool open_loop() const { return rate > 0; }
  bool has(Operation operation) const;
  // It must be known which keys share a shard.
  bool needs_shards_of_keys() const;
  // Keys that one commit of it changes on one shard.
  int64_t keys_per_shard() const;
  int64_t first_insert() const { return insert_from > 0 ? insert_from : keys + 1; }
};

// How many batches write each of the keys once, over all threads: the last one of each may be
// short.
int64_t BatchesToWrite(const Scenario& scenario);

// kInvalidArgument with everything that does not fit together, a line each.
absl::Status Validate(const Scenario& scenario);

}  // namespace quarry::load
