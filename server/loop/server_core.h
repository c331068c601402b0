// What the server's calls share: settings, methods, and each loop's side. Internal to server/loop.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/topology/peer_table.h"
#include "google/protobuf/message.h"
#include "server/loop/grpc_loop.h"
#include "server/loop/peer_call.h"
#include "server/loop/rpc_table.h"

namespace quarry {

// The handler answers for its own deadline, and says what a commit came to; this long after it the call is dropped.
inline constexpr absl::Duration kDeadlineGrace = absl::Milliseconds(250);

// Bounds of one call.
struct CallLimits {
  int calls_in_flight_max = 4096;  // Per loop; one more is refused at once.
  absl::Duration deadline_default = absl::Seconds(30);  // Of calls that bring none.
  int64_t receive_bytes_max = 4 << 20;
  int64_t send_bytes_max = 4 << 20;
};

struct ServerCore;

// One loop's side. What has no atomic is touched on its thread only, once it serves.
struct LoopSide {
  LoopSide(ServerCore& server, std::unique_ptr<GrpcLoop> own_loop, uint32_t own_index);
  // "3f9a-00000001f2": unique within the process, short enough to need no memory of its own.
  std::string NextCallId();

  ServerCore& core;
  std::unique_ptr<GrpcLoop> loop;
  const uint32_t index;
  Engine* engine = nullptr;
  int in_flight = 0;
  uint64_t calls = 0;
  uint32_t id_prefix;
  // Of one method: how many calls gRPC may hand over without asking.
  struct Offer {
    int open = 0;
    int wanted = 0;
  };
  std::vector<Offer> offers;  // By the method's index.
  PeerChannels peer_channels;
};

struct ServerCore {
  CallLimits limits;
  const RpcTable* table = nullptr;
  CallObserver* observer = nullptr;  // May be null.
  // The loop that owns a transaction.
  std::function<absl::StatusOr<uint32_t>(const std::string&)> loop_of_transaction;
  // The other gateways; null: every call runs here.
  PeerTable* peers = nullptr;
  // Asks them all, from any thread, and then calls `done` on whichever; null: the table is all that can be known.
  std::function<void(absl::AnyInvocable<void()> done)> poll_peers;
  std::vector<std::unique_ptr<LoopSide>> sides;
  std::atomic<bool> draining{false};

  // The side that must run a call with this request: of its transaction, or `home`.
  LoopSide& SideFor(const Method& method, const google::protobuf::Message& request, LoopSide& home) const;

  // Calls that exist, waiting ones included, so that a shutdown knows when the last has gone.
  void AddLive() ABSL_LOCKS_EXCLUDED(mutex);
  void RemoveLive() ABSL_LOCKS_EXCLUDED(mutex);
  void AwaitNoneLive() ABSL_LOCKS_EXCLUDED(mutex);

  // Calls whose handlers run, so that a drain knows when it need not wait any more.
  void AddRunning() { running.fetch_add(1, std::memory_order_relaxed); }
  void RemoveRunning() ABSL_LOCKS_EXCLUDED(mutex);
  void AwaitNoneRunning(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex);

  std::atomic<int64_t> live{0};
  std::atomic<int64_t> running{0};
  absl::Mutex mutex;
};

// Refusals that both ways into the server share.
absl::Status TooManyCalls(const LoopSide& side);
absl::Status DrainingError();
absl::Status DeadlineError(Stage stage);
// When a call's work ends so that its caller, who leaves at `deadline`, still hears what came of it: a twentieth of its
// time before, at most 50 ms.
absl::Time WorkDeadline(absl::Time arrived, absl::Time deadline);
absl::Status ReplyTooLarge(int64_t bytes, int64_t bytes_max);
absl::Status BadBytes(const google::protobuf::Message& prototype);
// True for what may stand in logs as it is: 1 to 64 letters, digits, '.', '_', '-', ':' and '/'.
bool IsSaneCallId(std::string_view id);

}  // namespace quarry
