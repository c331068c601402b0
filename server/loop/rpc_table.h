// The methods that the server answers: path -> prototypes and handler. Filled once in wiring, then read only.
// Handlers are coroutines of the loop that runs the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/loop.h"
#include "google/protobuf/message.h"

namespace quarry {

class Engine;

// What the caller sent beside its message. Read-only and valid while the call runs, from any thread.
class CallMetadata {
 public:
  virtual ~CallMetadata() = default;
  // The first value of a lower-case key.
  virtual std::optional<std::string> Find(std::string_view key) const = 0;
  // Every key with each of its values.
  virtual void ForEach(const std::function<void(std::string_view key, std::string_view value)>& see) const = 0;
  // "ipv4:127.0.0.1:50000", or "" when there is none.
  virtual std::string peer() const = 0;
};

// Of one call, on the loop that runs it. Outlives the handler.
struct CallScope {
  CallScope(Loop& loop, uint32_t index, Engine* loop_engine, const CallMetadata& caller)
      : loop_index(index), engine(loop_engine), ctx(loop), metadata(caller) {}
  uint32_t loop_index;
  Engine* engine;  // Of the loop; null when the server has none.
  CallContext ctx;
  const CallMetadata& metadata;
  // Where a unary handler may write fields of its reply as wire bytes, which go out before what it filled of the response.
  // Null where the whole reply is needed as a message.
  std::string* reply_bytes = nullptr;
};

// The sending half of a stream. One Write at a time: the next may start when the last has answered.
class MessageWriter {
 public:
  virtual ~MessageWriter() = default;
  // OK once the transport has taken the message, which waits for a slow reader. kCancelled: the caller has gone.
  // kResourceExhausted LIMIT_EXCEEDED: the message is over the limit and was not sent.
  // `first`: fields of the message that are bytes already.
  virtual Future<absl::Status> Write(const google::protobuf::Message& message, std::string_view first) = 0;
};

// The receiving half of a bidirectional stream. One Read at a time.
class MessageReader {
 public:
  virtual ~MessageReader() = default;
  // False: the caller has sent its last message. `message` outlives the Future.
  virtual Future<absl::StatusOr<bool>> Read(google::protobuf::Message& message) = 0;
};

template <typename Message>
class StreamWriter {
 public:
  explicit StreamWriter(MessageWriter& writer) : writer_(&writer) {}
  Future<absl::Status> Write(const Message& message, std::string_view first = {}) { return writer_->Write(message, first); }

 private:
  MessageWriter* writer_;
};

template <typename Message>
class StreamReader {
 public:
  explicit StreamReader(MessageReader& reader) : reader_(&reader) {}
  Future<absl::StatusOr<bool>> Read(Message& message) { return reader_->Read(message); }

 private:
  MessageReader* reader_;
};

enum class MethodKind { kUnary, kServerStream, kBidi };

// "unary", "server_stream", "bidi_stream": the usual values of the label grpc_type.
const char* MethodKindName(MethodKind kind);

// What a method does with the transaction that its request names; it says what a caller is told when the transaction's gateway
// is lost.
enum class TransactionRole : uint8_t { kStatement, kCommit, kRollback, kLook };

struct Method {
  std::string service;  // "quarry.v1.DataService"
  std::string name;     // "Get"
  std::string path;     // "/quarry.v1.DataService/Get"
  MethodKind kind = MethodKind::kUnary;
  bool endless = false;  // A stream that lives as long as its caller: no default deadline.
  bool while_draining = false;  // Answered also while the server drains, which refuses all others.
  // Calls that each loop offers gRPC at first: as many as may arrive at once. gRPC looks through all that are offered, of
  // whatever method, whenever anything of a call ends.
  int offers = kFewOffers;
  size_t index = 0;  // In the table, dense from 0.

  static constexpr int kFewOffers = 8;
  static constexpr int kManyOffers = 64;
  const google::protobuf::Message* request = nullptr;   // Prototypes.
  const google::protobuf::Message* response = nullptr;
  // The request's text field transaction_id: such a call runs on the loop that owns the transaction.
  const google::protobuf::FieldDescriptor* transaction_id = nullptr;
  TransactionRole transaction_role = TransactionRole::kStatement;

  // Of these the one of `kind` is set. Their arguments outlive the returned Async.
  std::function<Async<absl::Status>(const google::protobuf::Message& request, google::protobuf::Message& response,
                                    CallScope& scope)>
      unary;
  std::function<Async<absl::Status>(const google::protobuf::Message& request, CallScope& scope, MessageWriter& writer)>
      server_stream;
  std::function<Async<absl::Status>(CallScope& scope, MessageReader& reader, MessageWriter& writer)> bidi;
};

class RpcTable {
 public:
  // Handlers fill `response`, which lives on the call's arena.
  template <typename Request, typename Response>
  using UnaryHandler = std::function<Async<absl::Status>(const Request&, Response&, CallScope&)>;
  template <typename Request, typename Response>
  using ServerStreamHandler = std::function<Async<absl::Status>(const Request&, CallScope&, StreamWriter<Response>)>;
  template <typename Request, typename Response>
  using BidiHandler = std::function<Async<absl::Status>(CallScope&, StreamReader<Request>, StreamWriter<Response>)>;

  // What is returned may be changed until the table is in use.
  template <typename Request, typename Response>
  Method& AddUnary(std::string service, std::string name, UnaryHandler<Request, Response> handler,
                int offers = Method::kFewOffers, TransactionRole role = TransactionRole::kStatement) {
    Method& method = Add(std::move(service), std::move(name), MethodKind::kUnary, Request::default_instance(),
                         Response::default_instance());
    method.offers = offers;
    method.transaction_role = role;
    method.unary = [handler = std::move(handler)](const google::protobuf::Message& request,
                                                  google::protobuf::Message& response, CallScope& scope) {
      return handler(static_cast<const Request&>(request), static_cast<Response&>(response), scope);
    };
    return method;
  }
  template <typename Request, typename Response>
  Method& AddServerStream(std::string service, std::string name, ServerStreamHandler<Request, Response> handler,
                       bool endless = false) {
    Method& method = Add(std::move(service), std::move(name), MethodKind::kServerStream, Request::default_instance(),
                         Response::default_instance());
    method.endless = endless;
    method.server_stream = [handler = std::move(handler)](const google::protobuf::Message& request, CallScope& scope,
                                                          MessageWriter& writer) {
      return handler(static_cast<const Request&>(request), scope, StreamWriter<Response>(writer));
    };
    return method;
  }
  template <typename Request, typename Response>
  void AddBidi(std::string service, std::string name, BidiHandler<Request, Response> handler) {
    Method& method = Add(std::move(service), std::move(name), MethodKind::kBidi, Request::default_instance(),
                         Response::default_instance());
    method.endless = true;
    method.bidi = [handler = std::move(handler)](CallScope& scope, MessageReader& reader, MessageWriter& writer) {
      return handler(scope, StreamReader<Request>(reader), StreamWriter<Response>(writer));
    };
  }

  // Null when there is none.
  const Method* Find(std::string_view path) const;
  // By index.
  const std::vector<std::unique_ptr<Method>>& methods() const { return methods_; }
  // Sorted, each once.
  std::vector<std::string> services() const;

 private:
  Method& Add(std::string service, std::string name, MethodKind kind, const google::protobuf::Message& request,
              const google::protobuf::Message& response);

  std::vector<std::unique_ptr<Method>> methods_;
  std::map<std::string, const Method*, std::less<>> by_path_;
};

// How one call went.
struct CallRecord {
  const Method& method;
  const absl::Status& status;
  absl::Duration duration;
  Stage stage = Stage::kQueue;  // Where it was when it ended.
  std::string_view call_id;
  uint32_t loop_index = 0;
};

// Is told of every call, on the loop that took it.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  virtual void Started(const Method& method, uint32_t loop_index) = 0;
  virtual void Ended(const CallRecord& record) = 0;
};

}  // namespace quarry
