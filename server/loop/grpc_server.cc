#include "server/loop/grpc_server.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "grpc/grpc.h"

namespace quarry {
namespace {

// For the replies of the last calls to leave.
constexpr absl::Duration kRepliesGrace = absl::Seconds(1);

// When the last user of gRPC goes, its shutdown may wait ten seconds for a poller of a connection that is gone. A
// reference that is never given back leaves that to the end of the process, which waits for nobody.
void KeepGrpc() {
  [[maybe_unused]] static const bool kept = [] {
    grpc_init();
    return true;
  }();
}

}  // namespace

GrpcServer::GrpcServer(GrpcServerOptions options, const RpcTable& table, CallObserver* observer)
    : options_(std::move(options)), builder_(std::make_unique<grpc::ServerBuilder>()) {
  KeepGrpc();
  core_.limits = options_.limits;
  core_.table = &table;
  core_.observer = observer;
  core_.loop_of_transaction = options_.loop_of_transaction;
  core_.peers = options_.peers;
  core_.poll_peers = options_.poll_peers;
  for (uint32_t i = 0; i < options_.loops; ++i) {
    auto loop = std::make_unique<GrpcLoop>(builder_->AddCompletionQueue(), options_.loop);
    core_.sides.push_back(std::make_unique<LoopSide>(core_, std::move(loop), i));
  }
}

GrpcServer::~GrpcServer() {
  if (server_ != nullptr) Drain(absl::Now());
  StopLoops();
}

void GrpcServer::Listen(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(static_cast<int>(options_.limits.receive_bytes_max));
  builder.SetMaxSendMessageSize(static_cast<int>(options_.limits.send_bytes_max));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, options_.metadata_bytes_max);
  // A second server on the port must fail, not share it.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // A connection may queue more calls than run, so that the refusal of what is over the limit comes at once.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 2 * options_.limits.calls_in_flight_max);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  const std::shared_ptr<grpc::ServerCredentials> credentials =
      options_.credentials ? options_.credentials : grpc::InsecureServerCredentials();
  ports_.assign(options_.addresses.size(), 0);
  for (size_t i = 0; i < options_.addresses.size(); ++i) {
    builder.AddListeningPort(options_.addresses[i], credentials, &ports_[i]);
  }
}

absl::Status GrpcServer::Start() {
  Listen(*builder_);
  service_ = std::make_unique<RawService>(*core_.table);
  builder_->RegisterService(service_.get());
  builder_->RegisterAsyncGenericService(&unknown_);
  server_ = builder_->BuildAndStart();
  if (server_ == nullptr) {
    return MakeError(absl::StatusCode::kUnavailable, reason::kInvalidField,
                     absl::StrCat("cannot listen on ", absl::StrJoin(options_.addresses, ", "),
                                  ": check that the address is this machine's and that no other process has the port"));
  }
  for (const std::unique_ptr<LoopSide>& side : core_.sides) {
    side->loop->RunAndWait([this, &side] {
      side->offers.resize(core_.table->methods().size());
      for (const std::unique_ptr<Method>& method : core_.table->methods()) {
        OfferCalls(*side, *service_, *method);
      }
      AwaitUnknownCall(*side, unknown_);
    });
  }
  return absl::OkStatus();
}

void GrpcServer::Drain(absl::Time deadline) {
  BeginDrain();
  if (server_ != nullptr) {
    // gRPC would wait for idle connections too, up to the deadline; without calls there is nothing to wait for.
    core_.AwaitNoneRunning(deadline);
    server_->Shutdown(absl::ToChronoTime(std::min(deadline, absl::Now() + kRepliesGrace)));
    server_->Wait();
  }
  core_.AwaitNoneLive();
  server_.reset();
}

void GrpcServer::StopLoops() {
  for (const std::unique_ptr<LoopSide>& side : core_.sides) side->loop->StopAndJoin();
}

absl::StatusOr<std::unique_ptr<google::protobuf::Message>> GrpcServer::CallUnary(LocalRequest request) {
  const uint32_t turn = turn_.fetch_add(1, std::memory_order_relaxed);
  return RunLocalCall(*core_.sides[turn % core_.sides.size()], std::move(request));
}

}  // namespace quarry
