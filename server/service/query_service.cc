#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "quarry/v1/query.pb.h"
#include "server/service/query_recorder.h"
#include "server/service/services.h"
#include "server/translate/query_request.h"
#include "server/translate/query_response.h"
#include "server/translate/record_bytes.h"
#include "server/translate/request_parts.h"
#include "server/translate/value.h"

namespace quarry {
namespace {


// A call whose values take more is not kept to be explained.
constexpr size_t kExampleBytesMax = 16 << 10;

template <typename Request>
bool IsSmall(const Request& request) {
  return request.ByteSizeLong() <= kExampleBytesMax;
}

Async<absl::Status> List(QueryRecorder* recorder, const v1::ListRequest& request, v1::ListResponse& response,
                         CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(ListOperation op, ToOperation(request));
  if (scope.engine->MergesReads(op.query.table)) op.question = QuestionOf(request);
  const QueryWatch::MakeExample example = [&op, &request, &scope]() -> std::shared_ptr<const QueryExample> {
    if (!IsSmall(request)) return nullptr;
    return std::make_shared<const QueryExample>(FirstPage(op, scope.engine->limits().page_rows));
  };
  QueryWatch watch(*recorder, scope, ShapeOf(op), example);
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<ListResult>> list = scope.engine->List(op, request.transaction_id(), scope.ctx);
  absl::StatusOr<ListResult> result = co_await list;
  if (!result.ok()) {
    watch.Ended(result.status(), 0);
    co_return result.status();
  }
  watch.Ended(absl::OkStatus(), static_cast<int64_t>(result->rows.size()));
  FillResponse(*result, now->topology, &response);
  co_return absl::OkStatus();
}

Async<absl::Status> Aggregate(QueryRecorder* recorder, const v1::AggregateRequest& request,
                              v1::AggregateResponse& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(AggregateOperation op, ToOperation(request));
  if (scope.engine->MergesReads(op.table)) op.question = QuestionOf(request);
  const QueryWatch::MakeExample example = [&op, &request]() -> std::shared_ptr<const QueryExample> {
    if (!IsSmall(request)) return nullptr;
    return std::make_shared<const QueryExample>(op);
  };
  QueryWatch watch(*recorder, scope, ShapeOf(op), example);
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<AggregateResult>> aggregate = scope.engine->Aggregate(op, request.transaction_id(), scope.ctx);
  absl::StatusOr<AggregateResult> result = co_await aggregate;
  if (!result.ok()) {
    watch.Ended(result.status(), 0);
    co_return result.status();
  }
  watch.Ended(absl::OkStatus(), static_cast<int64_t>(result->rows.size()));
  FillResponse(*result, now->topology, &response);
  co_return absl::OkStatus();
}

// UpdateWhere and DeleteWhere differ in their messages only.
template <typename Request, typename Response>
Async<absl::Status> WriteWhere(QueryRecorder* recorder, const Request& request, Response& response, CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const BulkWriteOperation op, ToOperation(request));
  QueryWatch watch(*recorder, scope, ShapeOf(op), nullptr);
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<BulkWriteResult>> write = scope.engine->WriteWhere(op, request.transaction_id(), scope.ctx);
  const absl::StatusOr<BulkWriteResult> result = co_await write;
  if (!result.ok()) {
    watch.Ended(result.status(), 0);
    co_return result.status();
  }
  int64_t rows = 0;
  absl::Status first_error;
  for (const BulkWriteResult::Part& part : result->parts) {
    rows += part.rows;
    first_error.Update(part.status);
  }
  // A part that failed makes the call a failed one here, whatever its own fault was.
  watch.Ended(first_error.ok() ? first_error : absl::UnknownError("a shard failed"), rows);
  FillResponse(*result, now->topology, &response);
  co_return absl::OkStatus();
}

// The messages of one stream.
class QueryReply {
 public:
  QueryReply(const QueryLimits& limits, StreamWriter<v1::QueryResponse> writer) : limits_(limits), writer_(writer) {}
  int64_t rows() const { return rows_; }

  Future<absl::Status> SendHeader(const RowHeader& header) {
    message_.mutable_header();
    FillHeader(header, message_.mutable_header());
    return writer_.Write(message_);
  }

  // In one message, or in several where its rows are larger than they looked; the token comes with the last.
  Async<absl::Status> SendBatch(const QueryBatch& batch) {
    rows_bytes_.clear();
    for (const Row& row : batch.rows) {
      const size_t before = rows_bytes_.size();
      AppendRow(v1::QueryBatch::kRowsFieldNumber, row, rows_bytes_);
      const auto size = static_cast<int64_t>(rows_bytes_.size() - before);
      const auto rest = static_cast<int64_t>(batch.resume_token.size()) + kFrameBytes;
      if (size + rest > limits_.message_bytes) co_return TooLarge(size);
      if (before > 0 && static_cast<int64_t>(rows_bytes_.size()) > limits_.batch_bytes) {
        // The row that does not fit opens the next message.
        Future<absl::Status> write = WriteRows(std::string_view(rows_bytes_).substr(0, before), "");
        const absl::Status sent = co_await write;
        if (!sent.ok()) co_return sent;
        rows_bytes_.erase(0, before);
      }
      ++rows_;
    }
    if (rows_bytes_.empty()) co_return absl::OkStatus();
    Future<absl::Status> write = WriteRows(rows_bytes_, batch.resume_token);
    co_return co_await write;
  }

  Future<absl::Status> SendSummary(const QuerySummary& summary, const Topology& topology) {
    message_.Clear();
    FillSummary(summary, rows_, topology, message_.mutable_summary());
    return writer_.Write(message_);
  }

 private:
  static constexpr int64_t kFrameBytes = 64;  // At most, around the one row and the token.

  Future<absl::Status> WriteRows(std::string_view rows, std::string_view resume_token) {
    message_.Clear();
    message_bytes_.clear();
    AppendQueryBatch(rows, resume_token, message_bytes_);
    return writer_.Write(message_, message_bytes_);
  }

  absl::Status TooLarge(int64_t bytes) const {
    return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                     absl::StrCat("row ", rows_ + 1, " has ", bytes, " bytes and does not fit into a message of ",
                                  limits_.message_bytes, "; ask for fewer columns"),
                     {{"bytes", absl::StrCat(bytes)}, {"bytes_max", absl::StrCat(limits_.message_bytes)}});
  }

  const QueryLimits& limits_;
  StreamWriter<v1::QueryResponse> writer_;
  v1::QueryResponse message_;
  std::string rows_bytes_;  // Kept, for their room.
  std::string message_bytes_;
  int64_t rows_ = 0;
};

Async<absl::Status> StreamRows(QueryStream& stream, QueryReply& reply, const Topology& topology) {
  Future<absl::Status> header = reply.SendHeader(stream.header());
  const absl::Status headed = co_await header;
  if (!headed.ok()) co_return headed;
  while (true) {
    Async<absl::StatusOr<std::optional<QueryBatch>>> next = stream.Next();
    const absl::StatusOr<std::optional<QueryBatch>> batch = co_await next;
    if (!batch.ok()) co_return batch.status();
    if (!batch->has_value()) break;
    Async<absl::Status> send = reply.SendBatch(**batch);
    const absl::Status sent = co_await send;
    if (!sent.ok()) co_return sent;
  }
  Future<absl::Status> summary = reply.SendSummary(stream.summary(), topology);
  co_return co_await summary;
}

Async<absl::Status> Query(QueryRecorder* recorder, QueryLimits limits, const v1::QueryRequest& request,
                          CallScope& scope, StreamWriter<v1::QueryResponse> writer) {
  QUARRY_CO_ASSIGN_OR_RETURN(const QueryOperation op, ToOperation(request));
  const QueryWatch::MakeExample example = [&op, &request]() -> std::shared_ptr<const QueryExample> {
    if (!IsSmall(request)) return nullptr;
    QueryOperation from_start = op;
    from_start.resume_token.clear();
    return std::make_shared<const QueryExample>(std::move(from_start));
  };
  QueryWatch watch(*recorder, scope, ShapeOf(op), example);
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  Async<absl::StatusOr<std::unique_ptr<QueryStream>>> start =
      scope.engine->Query(op, request.transaction_id(), scope.ctx);
  absl::StatusOr<std::unique_ptr<QueryStream>> stream = co_await start;
  if (!stream.ok()) {
    watch.Ended(stream.status(), 0);
    co_return stream.status();
  }
  QueryReply reply(limits, writer);
  Async<absl::Status> run = StreamRows(**stream, reply, now->topology);
  absl::Status status = co_await run;
  stream->reset();  // What still runs on shards ends here, and counts up to now.
  watch.Ended(status, reply.rows());
  co_return status;
}

}  // namespace

void AddQueries(RpcTable& table, QueryRecorder& recorder, const QueryLimits& limits) {
  QueryRecorder* to = &recorder;
  table.AddUnary<v1::ListRequest, v1::ListResponse>(
      kDataService, "List", [to](const v1::ListRequest& request, v1::ListResponse& response, CallScope& scope) {
        return List(to, request, response, scope);
      });
  table.AddServerStream<v1::QueryRequest, v1::QueryResponse>(
      kDataService, "Query",
      [to, limits](const v1::QueryRequest& request, CallScope& scope, StreamWriter<v1::QueryResponse> writer) {
        return Query(to, limits, request, scope, writer);
      });
  table.AddUnary<v1::AggregateRequest, v1::AggregateResponse>(
      kDataService, "Aggregate",
      [to](const v1::AggregateRequest& request, v1::AggregateResponse& response, CallScope& scope) {
        return Aggregate(to, request, response, scope);
      });
  table.AddUnary<v1::UpdateWhereRequest, v1::UpdateWhereResponse>(
      kDataService, "UpdateWhere",
      [to](const v1::UpdateWhereRequest& request, v1::UpdateWhereResponse& response, CallScope& scope) {
        return WriteWhere(to, request, response, scope);
      });
  table.AddUnary<v1::DeleteWhereRequest, v1::DeleteWhereResponse>(
      kDataService, "DeleteWhere",
      [to](const v1::DeleteWhereRequest& request, v1::DeleteWhereResponse& response, CallScope& scope) {
        return WriteWhere(to, request, response, scope);
      });
}

}  // namespace quarry
