// The flags of a question on the command line, and the requests that they become.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "CLI/App.hpp"
#include "absl/status/statusor.h"
#include "client/query.h"
#include "quarry/v1/query.pb.h"

namespace quarry::ctl {

struct QueryArguments {
  std::string table;
  std::string filter;
  std::vector<std::string> params;    // "name=value"
  std::vector<std::string> columns;
  std::vector<std::string> order;     // "price", "-price"
  std::vector<std::string> group_by;
  std::vector<std::string> aggregates;  // "sum(price) as total"
  std::string having;
  std::vector<std::string> shards;
  int page_size = 0;
  std::string page_token;
  int64_t limit = 0;
  int64_t offset = 0;
  bool distinct = false;
  bool allow_partial = false;
  int max_shards = 0;
};

// table, --filter, --param, --shard.
void AddFilterFlags(CLI::App& command, QueryArguments& arguments);
// --order, --allow-partial, --max-shards.
void AddReadFlags(CLI::App& command, QueryArguments& arguments);
// --columns.
void AddColumnsFlag(CLI::App& command, QueryArguments& arguments);
// --limit, --offset.
void AddLimitFlags(CLI::App& command, QueryArguments& arguments);
// --group-by, --agg, --having.
void AddAggregateFlags(CLI::App& command, QueryArguments& arguments);

// INVALID_ARGUMENT lists everything that is wrong with the flags.
absl::StatusOr<client::Filter> FilterOf(const QueryArguments& arguments);
absl::StatusOr<std::vector<client::Aggregate>> AggregatesOf(const std::vector<std::string>& texts);
std::vector<client::Order> OrderOf(const QueryArguments& arguments);
client::Reach ReachOf(const QueryArguments& arguments);

absl::StatusOr<v1::ListRequest> ListRequestOf(const QueryArguments& arguments);
absl::StatusOr<v1::QueryRequest> QueryRequestOf(const QueryArguments& arguments);
absl::StatusOr<v1::AggregateRequest> AggregateRequestOf(const QueryArguments& arguments);

}  // namespace quarry::ctl
