// Questions over many rows, as a program writes them, and their answers.
#pragma once

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/connection.h"
#include "client/options.h"
#include "client/values.h"

namespace quarry::client {

// Which rows: Filter("price < @max AND status = 'new'", {{"max", 10}}). Without anything: all rows.
struct Filter {
  Filter() = default;
  Filter(const char* filter_text, std::vector<std::pair<std::string, Value>> parameters = {})
      : text(filter_text), params(std::move(parameters)) {}
  Filter(std::string filter_text, std::vector<std::pair<std::string, Value>> parameters = {})
      : text(std::move(filter_text)), params(std::move(parameters)) {}
  Filter(v1::Condition condition) : where(std::move(condition)) {}

  std::string text;
  std::vector<std::pair<std::string, Value>> params;  // By name without "@".
  std::optional<v1::Condition> where;                 // Instead of a text.
};

struct Order {
  std::string column;
  bool descending = false;
  v1::NullPlacement nulls = v1::NULL_PLACEMENT_UNSPECIFIED;
};

// Where a question may go.
struct Reach {
  std::optional<v1::Target> target = {};  // Absent: where the filter says.
  bool allow_partial = false;             // Shards that fail are named instead of failing the call.
  int max_shards = 0;                     // 0 means no bound.
};

struct QueryOptions {
  std::vector<std::string> columns = {};  // Empty means all.
  std::vector<Order> order_by = {};
  bool distinct = false;
  int64_t limit = 0;  // 0 means all.
  int64_t offset = 0;
  std::string resume_token = {};  // Of an earlier, equal question.
  int64_t max_rows = 0;           // One more fails the call; 0 means no bound.
  Reach reach = {};
};

struct ListOptions {
  std::vector<std::string> columns = {};  // Empty means all.
  std::vector<Order> order_by = {};
  int page_size = 0;            // 0 means the gateway's.
  std::string page_token = {};  // Empty means the first page.
  std::vector<v1::Include> includes = {};
  Reach reach = {};
};

struct Aggregate {
  v1::AggregateFunction function = v1::AGGREGATE_FUNCTION_COUNT;
  std::string column = {};  // Empty: counts rows.
  std::string name = {};    // Empty: "count", or "sum_price" and so on.
};

struct AggregateOptions {
  std::vector<std::string> group_by = {};
  Filter having = {};  // Over names of aggregates and columns of group_by; its params join the filter's.
  std::vector<Order> order_by = {};
  int64_t limit = 0;  // 0 means all.
  int64_t offset = 0;
  Reach reach = {};
};

struct BulkOptions {
  bool everything = false;        // Must be true to write every row, without a filter.
  bool allow_many_shards = false;
  int batch_rows = 0;             // 0 means the gateway's.
  std::optional<v1::Target> target = {};
};

// What a bulk write did. A shard that failed is named in `shards`; what it committed before stays.
struct BulkResult {
  int64_t rows = 0;
  std::vector<v1::ShardWrites> shards;
  bool replayed = false;
  v1::ServedBy served_by;
  // OK, or the error of the first shard that failed.
  absl::Status status() const;
};

// The rows of one Query, as they arrive: memory holds one message of the stream at a time.
// for (const absl::StatusOr<std::vector<Value>>& row : rows) ...: an error is the last thing it
// yields. One pass, one thread. Destroying it cancels the call; the client outlives it.
class QueryRows {
 public:
  using Row = std::vector<Value>;  // In the order of columns().
  explicit QueryRows(std::unique_ptr<QueryEventStream> events) : events_(std::move(events)) {}

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = absl::StatusOr<Row>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    explicit Iterator(QueryRows* rows) : rows_(rows) {}
    reference operator*() const { return rows_->current_; }
    pointer operator->() const { return &rows_->current_; }
    Iterator& operator++() {
      if (!rows_->Advance()) rows_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.rows_ == b.rows_; }

   private:
    QueryRows* rows_;  // nullptr at the end.
  };

  Iterator begin() { return Iterator(Advance() ? this : nullptr); }
  Iterator end() { return Iterator(nullptr); }

  // Known from the first row on, and after the last one.
  const std::vector<v1::ColumnHeader>& columns() const { return columns_; }
  // Goes on after the last batch whose rows have all been read, in another Query.
  const std::string& resume_token() const { return resume_token_; }
  // Totals; valid after the last row.
  const v1::QuerySummary& summary() const { return summary_; }

 private:
  // Makes the next row or the error current; false when there is neither.
  bool Advance();
  // False when the messages have ended. An error is current then.
  bool ReadEvent();

  std::unique_ptr<QueryEventStream> events_;  // nullptr when it has ended.
  std::vector<v1::ColumnHeader> columns_;
  std::string resume_token_;
  v1::QuerySummary summary_;
  bool summarized_ = false;
  v1::QueryBatch batch_;
  int next_row_ = 0;
  absl::StatusOr<Row> current_ = absl::UnknownError("no row was read");
};

class Client;

// The rows of all pages from one on, fetched as they are needed. As QueryRows; the client outlives
// it.
class ListRows {
 public:
  using Row = std::vector<Value>;
  ListRows(Client* client, v1::ListRequest request, CallOptions call)
      : client_(client), request_(std::move(request)), call_(std::move(call)) {}

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = absl::StatusOr<Row>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    explicit Iterator(ListRows* rows) : rows_(rows) {}
    reference operator*() const { return rows_->current_; }
    pointer operator->() const { return &rows_->current_; }
    Iterator& operator++() {
      if (!rows_->Advance()) rows_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.rows_ == b.rows_; }

   private:
    ListRows* rows_;  // nullptr at the end.
  };

  Iterator begin() { return Iterator(Advance() ? this : nullptr); }
  Iterator end() { return Iterator(nullptr); }

  // The page of the current row: its header, tokens, included rows and failed shards. Its rows are
  // moved out as they are read.
  const v1::ListResponse& page() const { return page_; }

 private:
  bool Advance();

  Client* client_;
  v1::ListRequest request_;
  CallOptions call_;  // Of each page.
  v1::ListResponse page_;
  int next_row_ = 0;
  bool last_ = false;
  absl::StatusOr<Row> current_ = absl::UnknownError("no row was read");
};

namespace internal {

// Requests from what a program writes. `transaction_id` may be empty.
v1::QueryRequest MakeQuery(const std::string& table, const Filter& filter,
                           const QueryOptions& options, const std::string& transaction_id);
v1::ListRequest MakeList(const std::string& table, const Filter& filter, const ListOptions& options,
                         const std::string& transaction_id);
v1::AggregateRequest MakeAggregate(const std::string& table, const Filter& filter,
                                   const std::vector<client::Aggregate>& aggregates,
                                   const AggregateOptions& options,
                                   const std::string& transaction_id);
v1::UpdateWhereRequest MakeUpdateWhere(const std::string& table, const Filter& filter,
                                       const Record& set, const BulkOptions& options);
v1::DeleteWhereRequest MakeDeleteWhere(const std::string& table, const Filter& filter,
                                       const BulkOptions& options);

}  // namespace internal
}  // namespace quarry::client
