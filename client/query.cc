#include "client/query.h"

#include "client/client.h"
#include "core/base/rpc_status.h"
#include "core/base/status_macros.h"

namespace quarry::client {
namespace {

template <typename Request>
void SetFilter(const Filter& filter, Request& request) {
  request.set_filter(filter.text);
  for (const auto& [name, value] : filter.params) (*request.mutable_params())[name] = value.proto();
  if (filter.where.has_value()) *request.mutable_where() = *filter.where;
}

template <typename Request>
void SetOrder(const std::vector<Order>& order, Request& request) {
  for (const Order& term : order) {
    v1::OrderBy* out = request.add_order_by();
    out->set_column(term.column);
    out->set_descending(term.descending);
    out->set_nulls(term.nulls);
  }
}

template <typename Request>
void SetReach(const Reach& reach, Request& request) {
  if (reach.target.has_value()) *request.mutable_target() = *reach.target;
  request.set_allow_partial(reach.allow_partial);
  request.set_max_shards(reach.max_shards);
}

template <typename Request>
void SetBulk(const Filter& filter, const BulkOptions& options, Request& request) {
  SetFilter(filter, request);
  request.set_everything(options.everything);
  request.set_allow_many_shards(options.allow_many_shards);
  request.set_batch_rows(options.batch_rows);
  if (options.target.has_value()) *request.mutable_target() = *options.target;
}

template <typename Reply>
BulkResult ToBulkResult(const Reply& reply) {
  BulkResult result;
  result.rows = reply.rows();
  result.shards.assign(reply.shards().begin(), reply.shards().end());
  result.replayed = reply.replayed();
  result.served_by = reply.served_by();
  return result;
}

std::vector<Value> ToRow(v1::Row& row) {
  std::vector<Value> values;
  values.reserve(static_cast<size_t>(row.values_size()));
  for (v1::Value& value : *row.mutable_values()) values.emplace_back(std::move(value));
  return values;
}

}  // namespace

absl::Status BulkResult::status() const {
  for (const v1::ShardWrites& shard : shards) {
    if (shard.status().code() != 0) return FromRpcStatus(shard.status());
  }
  return absl::OkStatus();
}

bool QueryRows::Advance() {
  while (next_row_ >= batch_.rows_size()) {
    if (!batch_.resume_token().empty()) resume_token_ = batch_.resume_token();
    if (events_ == nullptr) return false;
    if (!ReadEvent()) return !current_.ok();
  }
  current_ = ToRow(*batch_.mutable_rows(next_row_++));
  return true;
}

bool QueryRows::ReadEvent() {
  absl::StatusOr<std::optional<v1::QueryResponse>> event = events_->Next();
  if (event.ok() && event->has_value()) {
    v1::QueryResponse& message = **event;
    if (message.has_header()) {
      columns_.assign(message.header().columns().begin(), message.header().columns().end());
    } else if (message.has_batch()) {
      batch_.Swap(message.mutable_batch());
      next_row_ = 0;
    } else if (message.has_summary()) {
      summary_.Swap(message.mutable_summary());
      summarized_ = true;
    }
    return true;
  }
  events_.reset();
  if (!event.ok()) {
    current_ = event.status();
  } else if (!summarized_) {
    current_ = absl::UnavailableError(
        "the stream ended without its summary: rows may be missing; go on with resume_token");
  } else {
    current_ = Row();
  }
  return false;
}

bool ListRows::Advance() {
  while (next_row_ >= page_.rows_size()) {
    if (last_) return false;
    absl::StatusOr<v1::ListResponse> page = client_->ListPage(request_, call_);
    if (!page.ok()) {
      last_ = true;
      page_.clear_rows();
      next_row_ = 0;
      current_ = page.status();
      return true;
    }
    page_ = *std::move(page);
    next_row_ = 0;
    request_.set_page_token(page_.next_page_token());
    last_ = page_.next_page_token().empty();
  }
  current_ = ToRow(*page_.mutable_rows(next_row_++));
  return true;
}

namespace internal {

v1::QueryRequest MakeQuery(const std::string& table, const Filter& filter,
                           const QueryOptions& options, const std::string& transaction_id) {
  v1::QueryRequest request;
  request.set_table(table);
  for (const std::string& column : options.columns) request.add_columns(column);
  SetFilter(filter, request);
  SetOrder(options.order_by, request);
  SetReach(options.reach, request);
  request.set_distinct(options.distinct);
  request.set_limit(options.limit);
  request.set_offset(options.offset);
  request.set_resume_token(options.resume_token);
  request.set_max_rows(options.max_rows);
  request.set_transaction_id(transaction_id);
  return request;
}

v1::ListRequest MakeList(const std::string& table, const Filter& filter, const ListOptions& options,
                         const std::string& transaction_id) {
  v1::ListRequest request;
  request.set_table(table);
  for (const std::string& column : options.columns) request.add_columns(column);
  SetFilter(filter, request);
  SetOrder(options.order_by, request);
  SetReach(options.reach, request);
  request.set_page_size(options.page_size);
  request.set_page_token(options.page_token);
  for (const v1::Include& include : options.includes) *request.add_includes() = include;
  request.set_transaction_id(transaction_id);
  return request;
}

v1::AggregateRequest MakeAggregate(const std::string& table, const Filter& filter,
                                   const std::vector<client::Aggregate>& aggregates,
                                   const AggregateOptions& options,
                                   const std::string& transaction_id) {
  v1::AggregateRequest request;
  request.set_table(table);
  SetFilter(filter, request);
  request.set_having(options.having.text);
  for (const auto& [name, value] : options.having.params) {
    (*request.mutable_params())[name] = value.proto();
  }
  if (options.having.where.has_value()) *request.mutable_having_where() = *options.having.where;
  for (const std::string& column : options.group_by) request.add_group_by(column);
  for (const client::Aggregate& aggregate : aggregates) {
    v1::AggregateTerm* term = request.add_aggregates();
    term->set_function(aggregate.function);
    term->set_column(aggregate.column);
    term->set_name(aggregate.name);
  }
  SetOrder(options.order_by, request);
  SetReach(options.reach, request);
  request.set_limit(options.limit);
  request.set_offset(options.offset);
  request.set_transaction_id(transaction_id);
  return request;
}

v1::UpdateWhereRequest MakeUpdateWhere(const std::string& table, const Filter& filter,
                                       const Record& set, const BulkOptions& options) {
  v1::UpdateWhereRequest request;
  request.set_table(table);
  SetBulk(filter, options, request);
  *request.mutable_set() = set.proto();
  return request;
}

v1::DeleteWhereRequest MakeDeleteWhere(const std::string& table, const Filter& filter,
                                       const BulkOptions& options) {
  v1::DeleteWhereRequest request;
  request.set_table(table);
  SetBulk(filter, options, request);
  return request;
}

}  // namespace internal

absl::StatusOr<QueryRows> Client::QueryIn(const std::string& transaction_id,
                                          const std::string& table, const Filter& filter,
                                          const QueryOptions& options, const CallOptions& call) {
  const v1::QueryRequest request = internal::MakeQuery(table, filter, options, transaction_id);
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<QueryEventStream> events,
                          connection_->Query(request, Deadline(call)));
  return QueryRows(std::move(events));
}

absl::StatusOr<v1::ListResponse> Client::ListPage(const v1::ListRequest& request,
                                                  const CallOptions& call) {
  return connection_->List(request, Deadline(call));
}

absl::StatusOr<v1::AggregateResponse> Client::AggregateIn(
    const std::string& transaction_id, const std::string& table, const Filter& filter,
    const std::vector<client::Aggregate>& aggregates, const AggregateOptions& options,
    const CallOptions& call) {
  return connection_->Aggregate(
      internal::MakeAggregate(table, filter, aggregates, options, transaction_id), Deadline(call));
}

absl::StatusOr<BulkResult> Client::UpdateWhereIn(const std::string& transaction_id,
                                                 const std::string& table, const Filter& filter,
                                                 const Record& set, const BulkOptions& options,
                                                 const CallOptions& call) {
  v1::UpdateWhereRequest request = internal::MakeUpdateWhere(table, filter, set, options);
  request.set_transaction_id(transaction_id);
  request.set_request_id(RequestId(call, transaction_id));
  SetFence(call, request);
  QUARRY_ASSIGN_OR_RETURN(const v1::UpdateWhereResponse reply,
                          connection_->UpdateWhere(request, Deadline(call)));
  return ToBulkResult(reply);
}

absl::StatusOr<BulkResult> Client::DeleteWhereIn(const std::string& transaction_id,
                                                 const std::string& table, const Filter& filter,
                                                 const BulkOptions& options,
                                                 const CallOptions& call) {
  v1::DeleteWhereRequest request = internal::MakeDeleteWhere(table, filter, options);
  request.set_transaction_id(transaction_id);
  request.set_request_id(RequestId(call, transaction_id));
  SetFence(call, request);
  QUARRY_ASSIGN_OR_RETURN(const v1::DeleteWhereResponse reply,
                          connection_->DeleteWhere(request, Deadline(call)));
  return ToBulkResult(reply);
}

absl::StatusOr<v1::ExplainResponse> Client::Explain(const v1::ExplainRequest& request,
                                                    const CallOptions& call) {
  return connection_->Explain(request, Deadline(call));
}

absl::StatusOr<std::vector<v1::TopQuery>> Client::ListTopQueries(v1::QueryRanking order_by,
                                                                 int limit,
                                                                 const CallOptions& call) {
  v1::ListTopQueriesRequest request;
  request.set_order_by(order_by);
  request.set_limit(limit);
  QUARRY_ASSIGN_OR_RETURN(const v1::ListTopQueriesResponse reply,
                          connection_->ListTopQueries(request, Deadline(call)));
  return std::vector<v1::TopQuery>(reply.queries().begin(), reply.queries().end());
}

}  // namespace quarry::client
