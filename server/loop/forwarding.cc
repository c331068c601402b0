#include "server/loop/forwarding.h"

#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "core/txn/transaction_id.h"
#include "google/rpc/status.pb.h"
#include "server/loop/peer_call.h"

namespace quarry {
namespace {

constexpr absl::Duration kRetryAfter = absl::Milliseconds(300);
constexpr int kTriesMax = 2;

// Counts the call once, as cancelled when its coroutine is dropped.
class Tally {
 public:
  explicit Tally(PeerTable& peers) : peers_(peers) {}
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;
  ~Tally() { peers_.Count(result_); }
  void Set(ForwardResult result) { result_ = result; }

 private:
  PeerTable& peers_;
  ForwardResult result_ = ForwardResult::kCancelled;
};

absl::Status OwnerGone(const ForwardTask& task, bool has_peers) {
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("transaction ", task.transaction_id, ": its gateway is gone",
                                has_peers ? "" : " (or is one that this gateway does not know: it has no peers)",
                                ": what was not decided is rolled back; run it again"),
                   {{"transaction", task.transaction_id}});
}

absl::Status PeerUnavailable(const ForwardTask& task, const std::string& address, const std::string& why) {
  ErrorDetail detail;
  detail.reason = reason::kPeerUnavailable;
  detail.facts = {{"transaction", task.transaction_id}, {"gateway", address}};
  detail.retry_after = kRetryAfter;
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("the gateway at ", address, ", which has transaction ", task.transaction_id,
                                ", cannot be reached now", why.empty() ? "" : absl::StrCat(" (", why, ")"), "; nothing of this call ran: retry after a pause"),
                   detail);
}

// Whether the call ran is not known, and in a transaction that cannot be mended by calling again.
absl::Status AnswerLost(const ForwardTask& task, const std::string& address, const grpc::Status& transport) {
  const std::string what = absl::StrCat("the connection to the gateway at ", address, ", which has transaction ",
                                        task.transaction_id, ", broke before its answer (", transport.error_message(), ")");
  std::map<std::string, std::string> facts = {{"transaction", task.transaction_id}, {"gateway", address}};
  switch (task.method->transaction_role) {
    case TransactionRole::kCommit:
      return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                       absl::StrCat(what, "; ask GetTransaction whether it is committed"), std::move(facts));
    case TransactionRole::kLook:
    case TransactionRole::kRollback: {
      ErrorDetail detail;
      detail.reason = reason::kPeerUnavailable;
      detail.facts = std::move(facts);
      detail.retry_after = kRetryAfter;
      return MakeError(absl::StatusCode::kUnavailable, absl::StrCat(what, "; retry after a pause"), detail);
    }
    case TransactionRole::kStatement:
      break;
  }
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat(what, ": it cannot go on; run it again"), std::move(facts));
}

absl::Status DeadlineAway(const ForwardTask& task, const std::string& address) {
  if (task.method->transaction_role != TransactionRole::kCommit) return DeadlineError(Stage::kQuery);
  return MakeError(absl::StatusCode::kUnknown, reason::kCommitOutcomeUnknown,
                   absl::StrCat("the deadline ended before the gateway at ", address, " said whether transaction ",
                                task.transaction_id, " is committed; ask GetTransaction"),
                   {{"transaction", task.transaction_id}, {"gateway", address}});
}

// What the caller sent, apart from what gRPC says anew for each hop.
std::vector<std::pair<std::string, std::string>> MetadataFor(const ForwardTask& task, uint64_t self) {
  std::vector<std::pair<std::string, std::string>> metadata;
  task.metadata->ForEach([&metadata](std::string_view key, std::string_view value) {
    for (const std::string_view own : {"user-agent", "content-type", "te", "x-request-id", kForwardedKey}) {
      if (key == own) return;
    }
    if (key.empty() || key.front() == ':' || key.substr(0, 5) == "grpc-") return;
    metadata.emplace_back(key, value);
  });
  metadata.emplace_back("x-request-id", task.call_id);
  metadata.emplace_back(kForwardedKey, InstanceText(self));
  return metadata;
}

// As the owner's handler ended; nullopt: it was none that spoke, for each of ours gives its status with details.
std::optional<absl::Status> StatusOfOwner(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status full;
  if (status.error_details().empty() || !full.ParseFromString(status.error_details())) return std::nullopt;
  return FromRpcStatus(full);
}

// One attempt at one address.
struct Attempt {
  bool ran_not = false;  // For certain; another address, or another time, may do.
  std::string why;       // It ran not.
  ForwardResult result = ForwardResult::kCancelled;
  absl::Status status;
};

Attempt Judge(const ForwardTask& task, const std::string& address, const PeerCall& call) {
  Attempt attempt;
  if (const std::optional<absl::Status> own = StatusOfOwner(call.status()); own.has_value()) {
    attempt.status = *own;
    attempt.result = own->ok() ? ForwardResult::kOk : ForwardResult::kError;
    // Another instance has come to live there.
    attempt.ran_not = absl::IsUnavailable(*own) && ReasonOf(*own) == reason::kPeerUnavailable;
    if (attempt.ran_not) attempt.why = "another gateway is there";
    return attempt;
  }
  switch (call.status().error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      attempt.status = DeadlineAway(task, address);
      return attempt;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:  // Too large for its limits: refused before it began.
      attempt.result = ForwardResult::kError;
      attempt.status = absl::ResourceExhaustedError(call.status().error_message());
      return attempt;
    default:
      attempt.ran_not = !call.sent();
      attempt.why = call.status().error_message();
      attempt.result = ForwardResult::kLost;
      attempt.status = AnswerLost(task, address, call.status());
      return attempt;
  }
}

Async<Attempt> Try(LoopSide& home, const ForwardTask& task, std::string address, ReplySink& sink) {
  PeerRequest request;
  request.path = task.method->path;
  request.unary = task.method->kind == MethodKind::kUnary;
  request.message = task.request;
  request.metadata = MetadataFor(task, home.core.peers->self().instance);
  request.deadline = task.deadline;
  PeerCall call(*home.loop, home.peer_channels.To(address), std::move(request));
  bool began = false;
  while (true) {
    Future<bool> next = call.Next();
    const bool more = co_await next;
    if (!more || (task.method->kind == MethodKind::kUnary && !call.status().ok())) break;
    began = true;
    grpc::ByteBuffer message;
    message.Swap(&call.message());
    Future<absl::Status> taking = sink.Take(message);
    const absl::Status taken = co_await taking;
    if (!taken.ok()) co_return Attempt{false, "", ForwardResult::kError, taken};
    if (task.method->kind == MethodKind::kUnary) break;
  }
  Attempt attempt = Judge(task, address, call);
  if (attempt.status.ok() && task.method->kind == MethodKind::kUnary && !began) {
    attempt.status = absl::InternalError(absl::StrCat("the gateway at ", address, " ended the call without a reply"));
  }
  if (began) attempt.ran_not = false;
  if (attempt.ran_not || attempt.result == ForwardResult::kLost) home.peer_channels.Forget(address);
  co_return attempt;
}

// Waits until all peers have been asked, beginning now.
Async<void> AskPeers(LoopSide& home) {
  if (!home.core.poll_peers) co_return;
  Completer<bool> asked(*home.loop);
  Future<bool> answer = asked.future();
  GrpcLoop* const loop = home.loop.get();
  home.core.poll_peers([loop, asked] { loop->Post([asked]() mutable { asked.Set(true); }); });
  co_await answer;
}

Async<PeerTable::Place> PlaceOf(LoopSide& home, uint64_t instance) {
  const PeerTable& peers = *home.core.peers;
  PeerTable::Place place = peers.Find(instance, home.loop->Now());
  if (place.reach == PeerTable::Reach::kServing) co_return place;
  Async<void> ask = AskPeers(home);
  co_await ask;
  place = peers.Find(instance, home.loop->Now());
  co_return place;
}

bool CameFromAGateway(const CallMetadata& metadata) { return metadata.Find(kForwardedKey).has_value(); }

absl::Status SecondHop(const ForwardTask& task, const PeerTable& peers) {
  ErrorDetail detail;
  detail.reason = reason::kPeerUnavailable;
  detail.facts = {{"transaction", task.transaction_id}, {"instance", InstanceText(peers.self().instance)}};
  detail.retry_after = kRetryAfter;
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("a gateway sent a call of transaction ", task.transaction_id,
                                " here, but another instance has it: the sender's peers have changed; retry"),
                   detail);
}

}  // namespace

std::string TransactionIdOf(const Method& method, const google::protobuf::Message& request) {
  return request.GetReflection()->GetString(request, method.transaction_id);
}

std::optional<uint64_t> OwnerElsewhere(const ServerCore& core, const Method& method,
                                       const google::protobuf::Message& request) {
  if (core.peers == nullptr || method.transaction_id == nullptr) return std::nullopt;
  std::string scratch;
  const std::string& id = request.GetReflection()->GetStringReference(request, method.transaction_id, &scratch);
  if (id.empty()) return std::nullopt;
  const absl::StatusOr<TransactionOwner> owner = ParseTransactionId(id);
  // What is no id is the engine's to refuse.
  if (!owner.ok() || owner->instance == core.peers->self().instance) return std::nullopt;
  return owner->instance;
}

Async<ForwardEnd> Forward(LoopSide& home, ForwardTask task, ReplySink& sink) {
  PeerTable& peers = *home.core.peers;
  Tally tally(peers);
  if (CameFromAGateway(*task.metadata)) {
    tally.Set(ForwardResult::kRefused);
    co_return ForwardEnd{false, SecondHop(task, peers)};
  }
  std::string address, why;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    Async<PeerTable::Place> find = PlaceOf(home, task.instance);
    const PeerTable::Place place = co_await find;
    if (place.reach == PeerTable::Reach::kGone) {
      tally.Set(ForwardResult::kGone);
      const TransactionRole role = task.method->transaction_role;
      if (role == TransactionRole::kCommit || role == TransactionRole::kLook) co_return ForwardEnd{true, absl::OkStatus()};
      co_return ForwardEnd{false, OwnerGone(task, !peers.addresses().empty())};
    }
    address = place.address;
    if (place.reach == PeerTable::Reach::kSilent) break;
    Async<Attempt> attempt = Try(home, task, address, sink);
    Attempt end = co_await attempt;
    if (!end.ran_not) {
      tally.Set(end.result);
      co_return ForwardEnd{false, std::move(end.status)};
    }
    why = std::move(end.why);
    Async<void> ask = AskPeers(home);
    co_await ask;
  }
  tally.Set(ForwardResult::kUnavailable);
  co_return ForwardEnd{false, PeerUnavailable(task, address, why)};
}

}  // namespace quarry
