#include "server/http/http_server.h"

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "httplib.h"
#include "prometheus/text_serializer.h"
#include "server/http/json_call.h"

namespace quarry {
namespace {

constexpr char kJson[] = "application/json";
constexpr char kText[] = "text/plain; charset=utf-8";

void Reply(const JsonReply& reply, httplib::Response& response) {
  response.status = reply.http_status;
  response.set_content(reply.body + "\n", kJson);
  if (reply.retry_after_seconds > 0) response.set_header("Retry-After", std::to_string(reply.retry_after_seconds));
}

JsonReply TooManyCalls(int calls_max) {
  ErrorDetail detail;
  detail.reason = reason::kLimitExceeded;
  detail.facts = {{"pool", "json calls"}, {"size", std::to_string(calls_max)}};
  detail.retry_after = absl::Seconds(1);
  return ErrorReply(MakeError(absl::StatusCode::kResourceExhausted,
                              absl::StrCat("this gateway already runs ", calls_max,
                                           " JSON calls; retry after the delay, or call it over gRPC"),
                              detail));
}

// A page of another site can make a browser post forms and plain text here, but not JSON.
bool IsJson(const httplib::Request& request) {
  const std::string type = request.get_header_value("Content-Type");
  return type.empty() || absl::StartsWithIgnoreCase(type, kJson);
}

// Counts the connections that are open, those that wait for a thread included.
class CountingPool : public httplib::TaskQueue {
 public:
  CountingPool(size_t threads, std::atomic<int>& open) : open_(open), pool_(threads) {}

  void enqueue(std::function<void()> serve) override {
    ++open_;
    pool_.enqueue([this, serve = std::move(serve)] {
      serve();
      --open_;
    });
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  std::atomic<int>& open_;
  httplib::ThreadPool pool_;
};

}  // namespace

struct HttpServer::State {
  State(HttpServerOptions own_options, GrpcServer& calls, const ShardBoard& shards,
        std::vector<std::shared_ptr<const prometheus::Collectable>> collectables)
      : options(std::move(own_options)), server(calls), board(shards), metrics(std::move(collectables)) {}

  void Configure();
  void ServeMetrics(httplib::Response& response) const;
  void ServeReadiness(httplib::Response& response) const;
  void ServeCall(const httplib::Request& request, httplib::Response& response);
  static void ServeError(httplib::Response& response);

  const HttpServerOptions options;
  GrpcServer& server;
  const ShardBoard& board;
  const std::vector<std::shared_ptr<const prometheus::Collectable>> metrics;
  httplib::Server http;
  socket_t listening = INVALID_SOCKET;
  int port = 0;
  std::atomic<int> calls{0};
  std::atomic<int> connections{0};
  std::thread acceptor;
};

void HttpServer::State::ServeMetrics(httplib::Response& response) const {
  std::vector<prometheus::MetricFamily> families;
  for (const std::shared_ptr<const prometheus::Collectable>& source : metrics) {
    for (prometheus::MetricFamily& family : source->Collect()) families.push_back(std::move(family));
  }
  response.set_content(prometheus::TextSerializer().Serialize(families), "text/plain; version=0.0.4; charset=utf-8");
}

void HttpServer::State::ServeReadiness(httplib::Response& response) const {
  std::string reasons = board.not_ready();
  if (reasons.empty()) {
    response.set_content("ready\n", kText);
    return;
  }
  response.status = 503;
  reasons += "\n";
  for (const ShardView& view : board.shards()) {
    absl::StrAppend(&reasons, "shard ", view.name, ": ", ShardStateName(view.state), "\n");
  }
  response.set_content(reasons, kText);
}

void HttpServer::State::ServeCall(const httplib::Request& request, httplib::Response& response) {
  if (!IsJson(request)) {
    JsonReply reply = ErrorReply(InvalidField(
        "Content-Type", "must be application/json (with curl: -H 'content-type: application/json')"));
    reply.http_status = 415;
    Reply(reply, response);
    return;
  }
  JsonRequest call;
  call.path = request.path;
  call.body = request.body;
  call.call_id = request.get_header_value("X-Request-Id");
  call.peer = absl::StrCat("http:", request.remote_addr, ":", request.remote_port);
  call.timeout = request.get_header_value("X-Timeout");
  call.grpc_timeout = request.get_header_value("grpc-timeout");
  const bool admitted = calls.fetch_add(1) < options.calls_max;
  Reply(admitted ? RunJsonCall(server, call) : TooManyCalls(options.calls_max), response);
  calls.fetch_sub(1);
}

// What httplib refuses by itself has no body yet.
void HttpServer::State::ServeError(httplib::Response& response) {
  if (!response.body.empty()) return;
  const int status = response.status;
  const bool missing = status == 404;
  JsonReply reply = ErrorReply(MakeError(
      missing ? absl::StatusCode::kNotFound : absl::StatusCode::kInvalidArgument, reason::kInvalidField,
      missing ? "nothing is here; there are /metrics, /livez, /readyz and POST /<service>/<method>"
              : absl::StrCat("the request was refused with HTTP status ", status)));
  reply.http_status = status;
  Reply(reply, response);
}

void HttpServer::State::Configure() {
  http.new_task_queue = [this] { return new CountingPool(static_cast<size_t>(options.threads), connections); };
  http.set_payload_max_length(static_cast<size_t>(options.body_bytes_max));
  http.set_keep_alive_max_count(1000);
  http.set_keep_alive_timeout(2);  // Seconds: an idle connection holds a thread, too.
  http.set_tcp_nodelay(true);
  // The default would share a port that is taken.
  http.set_socket_options([this](socket_t socket) {
    listening = socket;
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  http.set_exception_handler([](const httplib::Request&, httplib::Response& response, const std::exception_ptr&) {
    Reply(ErrorReply(absl::InternalError("the request could not be served")), response);
  });
  http.Get("/livez", [](const httplib::Request&, httplib::Response& response) { response.set_content("ok\n", kText); });
  http.Get("/readyz", [this](const httplib::Request&, httplib::Response& response) { ServeReadiness(response); });
  http.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) { ServeMetrics(response); });
  http.Post("/.*", [this](const httplib::Request& request, httplib::Response& response) {
    ServeCall(request, response);
  });
  http.set_post_routing_handler([this](const httplib::Request&, httplib::Response& response) {
    if (connections > options.kept_open) response.set_header("Connection", "close");
  });
  http.set_error_handler([](const httplib::Request&, httplib::Response& response) { ServeError(response); });
}

HttpServer::HttpServer(HttpServerOptions options, GrpcServer& server, const ShardBoard& board,
                       std::vector<std::shared_ptr<const prometheus::Collectable>> metrics)
    : state_(std::make_unique<State>(std::move(options), server, board, std::move(metrics))) {
  state_->Configure();
}

HttpServer::~HttpServer() { Stop(); }

absl::Status HttpServer::Start() {
  State& state = *state_;
  if (state.options.port == 0) {
    state.port = state.http.bind_to_any_port(state.options.host);
  } else if (state.http.bind_to_port(state.options.host, state.options.port)) {
    state.port = state.options.port;
  }
  if (state.port <= 0) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kInvalidField,
                     absl::StrCat("cannot listen for HTTP on ", state.options.host, ":", state.options.port,
                                  ": check that the address is this machine's and that no other process has the port"));
  }
  listen(state.listening, SOMAXCONN);  // httplib's 5 make a burst of connections wait a second.
  state.acceptor = std::thread([&state] { state.http.listen_after_bind(); });
  while (!state.http.is_running()) std::this_thread::yield();
  return absl::OkStatus();
}

int HttpServer::port() const { return state_->port; }

void HttpServer::Stop() {
  if (!state_->acceptor.joinable()) return;
  state_->http.stop();
  state_->acceptor.join();
}

}  // namespace quarry
