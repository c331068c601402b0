// What a reply says about its call, read from the wire format without building messages: a client
// that is to be cheaper than its server does not parse what it only counts. Thread-safe: no state.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "loadtest/quarry_load/recorder.h"
#include "loadtest/quarry_load/scenario.h"

namespace quarry::load {

// Keys or rows that the reply brought or wrote. A CallError when the call was OK but its reply
// reports a failure: a batch_get with rows missing, a batch_write with a mutation that failed, an
// echo of another size than asked for. `reply` is consumed.
struct ReplyContent {
  int64_t items = 0;
  bool failed = false;
  CallError error = {};
};
ReplyContent ReadReply(const Scenario& scenario, Operation operation, grpc::ByteBuffer& reply);

// The transaction that a Begin has opened; "" when the reply is none. `reply` is consumed.
std::string TransactionOf(grpc::ByteBuffer& reply);

// Rows in one message of a stream; see IsStream.
int64_t CountRows(Operation operation, grpc::ByteBuffer& message);

// Code, reason and message of a call that failed.
CallError ErrorOf(const grpc::Status& status);

// "UNAVAILABLE"
const char* CodeName(grpc::StatusCode code);

}  // namespace quarry::load
