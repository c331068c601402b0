#include "loadtest/quarry_load/reply_reader.h"

#include <grpcpp/support/proto_buffer_reader.h>

#include <array>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/query.pb.h"
#include "quarry/v1/shard.pb.h"
#include "quarry/v1/transaction.pb.h"

namespace quarry::load {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

// Calls `found(field, stream)` for each length-delimited field; it may read within the field.
template <typename Found>
bool ForEachField(CodedInputStream& stream, Found found) {
  while (const uint32_t tag = stream.ReadTag()) {
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      if (!WireFormatLite::SkipField(&stream, tag)) return false;
      continue;
    }
    int length = 0;
    if (!stream.ReadVarintSizeAsInt(&length)) return false;
    const CodedInputStream::Limit limit = stream.PushLimit(length);
    found(WireFormatLite::GetTagFieldNumber(tag), stream);
    stream.Skip(stream.BytesUntilLimit());
    stream.PopLimit(limit);
  }
  return true;
}

// How often the message has the field.
int64_t CountFields(grpc::ByteBuffer& reply, int wanted) {
  grpc::ProtoBufferReader reader(&reply);
  CodedInputStream stream(&reader);
  int64_t found = 0;
  ForEachField(stream, [&found, wanted](int field, CodedInputStream&) {
    if (field == wanted) ++found;
  });
  return found;
}

CallError FromRpc(const google::rpc::Status& status) {
  const absl::Status full = FromRpcStatus(status);
  return {CodeName(static_cast<grpc::StatusCode>(status.code())), ReasonOf(full), status.message()};
}

ReplyContent ReadBatchGet(const Scenario& scenario, grpc::ByteBuffer& reply) {
  ReplyContent content;
  content.items = CountFields(reply, v1::BatchGetResponse::kFoundFieldNumber);
  const int64_t missing = scenario.batch - content.items;
  if (missing > 0 && !scenario.has(Operation::kDelete)) {
    content.failed = true;
    content.error = {
        "NOT_FOUND", "ROWS_MISSING",
        absl::StrCat(missing, " of ", scenario.batch, " rows are missing: fill the table with ",
                     "quarry-load load, or correct --keys")};
  }
  return content;
}

ReplyContent ReadBatchWrite(grpc::ByteBuffer& reply) {
  grpc::ProtoBufferReader reader(&reply);
  CodedInputStream stream(&reader);
  ReplyContent content;
  ForEachField(stream, [&content](int field, CodedInputStream& result) {
    if (field != v1::BatchWriteResponse::kResultsFieldNumber) return;
    ForEachField(result, [&content](int outcome, CodedInputStream& inner) {
      if (outcome == v1::BatchWriteResult::kAppliedFieldNumber) ++content.items;
      if (outcome != v1::BatchWriteResult::kErrorFieldNumber || content.failed) return;
      google::rpc::Status status;
      content.failed = true;
      if (status.ParseFromCodedStream(&inner)) content.error = FromRpc(status);
    });
  });
  return content;
}

ReplyContent ReadEcho(const Scenario& scenario, const grpc::ByteBuffer& reply) {
  ReplyContent content;
  content.items = 1;
  const int64_t bytes = static_cast<int64_t>(reply.Length());
  if (scenario.response_bytes > 0 && bytes != scenario.response_bytes) {
    content.failed = true;
    content.error = {"OK", "WRONG_SIZE",
                     absl::StrCat("the server answers with ", bytes, " bytes, not with ",
                                  scenario.response_bytes)};
  }
  return content;
}

}  // namespace

const char* CodeName(grpc::StatusCode code) {
  static constexpr std::array kNames = {"OK",
                                        "CANCELLED",
                                        "UNKNOWN",
                                        "INVALID_ARGUMENT",
                                        "DEADLINE_EXCEEDED",
                                        "NOT_FOUND",
                                        "ALREADY_EXISTS",
                                        "PERMISSION_DENIED",
                                        "RESOURCE_EXHAUSTED",
                                        "FAILED_PRECONDITION",
                                        "ABORTED",
                                        "OUT_OF_RANGE",
                                        "UNIMPLEMENTED",
                                        "INTERNAL",
                                        "UNAVAILABLE",
                                        "DATA_LOSS",
                                        "UNAUTHENTICATED"};
  const size_t index = static_cast<size_t>(code);
  return index < kNames.size() ? kNames[index] : "UNKNOWN";
}

ReplyContent ReadReply(const Scenario& scenario, Operation operation, grpc::ByteBuffer& reply) {
  switch (operation) {
    case Operation::kBatchGet:
      return ReadBatchGet(scenario, reply);
    case Operation::kBatchWrite:
      return ReadBatchWrite(reply);
    case Operation::kEcho:
      return ReadEcho(scenario, reply);
    case Operation::kCommit:
      return {.items = scenario.commit_mutations};
    case Operation::kCommitAcross:
    case Operation::kCommitApart:
      return {.items = 2};
    case Operation::kList:
      return {.items = CountFields(reply, v1::ListResponse::kRowsFieldNumber)};
    case Operation::kAggregate:
      return {.items = CountFields(reply, v1::AggregateResponse::kRowsFieldNumber)};
    default:
      return {.items = 1};
  }
}

std::string TransactionOf(grpc::ByteBuffer& reply) {
  grpc::ProtoBufferReader reader(&reply);
  v1::BeginResponse begun;
  return begun.ParseFromZeroCopyStream(&reader) ? begun.transaction_id() : std::string();
}

int64_t CountRows(Operation operation, grpc::ByteBuffer& message) {
  grpc::ProtoBufferReader reader(&message);
  CodedInputStream stream(&reader);
  int64_t rows = 0;
  // The fields of OnShardResponse and OnAllShardsResponse have the same numbers.
  const bool query = operation == Operation::kQuery;
  const int rows_field = query ? int{v1::QueryResponse::kBatchFieldNumber}
                               : int{v1::OnShardResponse::kRowsFieldNumber};
  const int row_field =
      query ? int{v1::QueryBatch::kRowsFieldNumber} : int{v1::RowBatch::kRowsFieldNumber};
  ForEachField(stream, [&](int field, CodedInputStream& event) {
    if (field != rows_field) return;
    ForEachField(event, [&](int part, CodedInputStream&) {
      if (part == row_field) ++rows;
    });
  });
  return rows;
}

CallError ErrorOf(const grpc::Status& status) {
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  details.set_code(status.error_code());
  details.set_message(status.error_message());
  return FromRpc(details);
}

}  // namespace quarry::load
