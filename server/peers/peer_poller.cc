#include "server/peers/peer_poller.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"
#include "core/txn/transaction_id.h"
#include "grpc/grpc.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/proto_utils.h"
#include "grpcpp/security/credentials.h"
#include "quarry/v1/peer.pb.h"
#include "server/peers/dns.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

constexpr char kIdentify[] = "/quarry.v1.PeerService/Identify";
// Between the beginnings of two rounds, however many ask for one.
constexpr absl::Duration kRoundGap = absl::Milliseconds(20);

using IdentifyStub = grpc::TemplatedGenericStub<v1::IdentifyRequest, v1::IdentifyResponse>;

absl::StatusOr<PeerIdentity> IdentityIn(const v1::IdentifyResponse& response) {
  PeerIdentity identity;
  QUARRY_ASSIGN_OR_RETURN(identity.instance, ParseInstance(response.instance(), "instance"));
  identity.deployment = response.deployment();
  identity.version = response.version();
  return identity;
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

}  // namespace

struct PeerPoller::Asking {
  std::string address;
  grpc::ClientContext context;
  v1::IdentifyRequest request;
  v1::IdentifyResponse response;
  grpc::Status status;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::IdentifyResponse>> reader;
};

PeerPoller::PeerPoller(PeerPollerOptions options, PeerTable& table)
    : options_(std::move(options)), table_(table) {}

void PeerPoller::Start() { thread_ = std::thread([this] { Run(); }); }

PeerPoller::~PeerPoller() {
  {
    const absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void PeerPoller::PollNow(absl::AnyInvocable<void()> done) {
  const absl::MutexLock lock(&mutex_);
  waiting_.push_back(std::move(done));
}

void PeerPoller::Run() {
  while (true) {
    const absl::Time began = absl::Now();
    std::vector<absl::AnyInvocable<void()>> waiting;
    {
      const absl::MutexLock lock(&mutex_);
      waiting.swap(waiting_);
    }
    Round();
    for (absl::AnyInvocable<void()>& done : waiting) done();
    const absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&stopping_), began + kRoundGap);
    const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !waiting_.empty(); };
    mutex_.AwaitWithDeadline(absl::Condition(&wanted), began + options_.interval);
    if (stopping_) return;
  }
}

void PeerPoller::Round() {
  table_.SetAddresses(Addresses());
  const std::vector<std::string> addresses = table_.addresses();
  for (auto at = channels_.begin(); at != channels_.end();) {
    const bool kept = std::binary_search(addresses.begin(), addresses.end(), at->first);
    at = kept ? std::next(at) : channels_.erase(at);
  }
  grpc::CompletionQueue queue;
  std::vector<std::unique_ptr<Asking>> asked;
  for (const std::string& address : addresses) {
    std::shared_ptr<grpc::Channel>& channel = channels_[address];
    if (channel == nullptr) channel = Connect(address);
    auto asking = std::make_unique<Asking>();
    asking->address = address;
    asking->context.set_deadline(absl::ToChronoTime(absl::Now() + options_.answer_max));
    asking->reader = IdentifyStub(channel).PrepareUnaryCall(&asking->context, kIdentify, asking->request, &queue);
    asking->reader->StartCall();
    asking->reader->Finish(&asking->response, &asking->status, asking.get());
    asked.push_back(std::move(asking));
  }
  queue.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) Note(*static_cast<Asking*>(tag));
}

std::vector<std::string> PeerPoller::Addresses() {
  std::string problem;
  if (!options_.dns.empty()) {
    absl::StatusOr<std::vector<std::string>> resolved =
        options_.resolve ? options_.resolve(options_.dns) : ResolveAddresses(options_.dns);
    // A name that cannot be asked about says nothing about the gateways that it stood for.
    if (resolved.ok()) {
      resolved_ = *std::move(resolved);
    } else {
      problem = std::string(resolved.status().message());
    }
  }
  if (problem != last_problem_ && !problem.empty()) spdlog::warn("peers: {}", problem);
  last_problem_ = std::move(problem);
  std::vector<std::string> addresses = options_.addresses;
  addresses.insert(addresses.end(), resolved_.begin(), resolved_.end());
  return addresses;
}

void PeerPoller::Note(const Asking& asking) {
  absl::StatusOr<PeerIdentity> identity = absl::UnavailableError(asking.status.error_message());
  if (asking.status.ok()) identity = IdentityIn(asking.response);
  bool changed = false;
  if (identity.ok()) {
    changed = table_.Answered(asking.address, *identity, absl::Now());
  } else {
    changed = table_.Failed(asking.address, identity.status(), absl::Now());
    // The next round connects anew instead of waiting for this channel's next try.
    channels_.erase(asking.address);
  }
  if (changed) LogChange(asking.address);
}

void PeerPoller::LogChange(const std::string& address) const {
  for (const Peer& peer : table_.peers()) {
    if (peer.address != address) continue;
    const std::string instance = InstanceText(peer.identity.instance);
    const std::string error(peer.last_error.message());
    switch (peer.state) {
      case PeerState::kServing:
        spdlog::info("peers: {} serves as instance {}, version {}", address, instance, peer.identity.version);
        break;
      case PeerState::kSelf:
        spdlog::info("peers: {} is this gateway", address);
        break;
      case PeerState::kOtherDeployment:
        spdlog::warn("peers: {}", error);
        break;
      case PeerState::kSilent:
        spdlog::warn("peers: {} does not answer: {}; its transactions end if it does not come back", address, error);
        break;
      case PeerState::kUnasked:
        break;
    }
  }
}

}  // namespace quarry
