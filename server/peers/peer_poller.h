// Asks the configured peers who they are, again and again, and keeps the peer table up to date. One thread of its own; its
// functions may be called from any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/topology/peer_table.h"
#include "grpcpp/channel.h"

namespace quarry {

struct PeerPollerOptions {
  std::vector<std::string> addresses;  // "host:port".
  std::string dns;                     // "host:port" whose host stands for many addresses; may be empty.
  absl::Duration interval = absl::Seconds(2);
  absl::Duration answer_max = absl::Seconds(1);  // Who needs longer counts as silent.
  // Null: the system's resolver.
  std::function<absl::StatusOr<std::vector<std::string>>(const std::string& name)> resolve;
};

class PeerPoller {
 public:
  // `table` outlives this.
  PeerPoller(PeerPollerOptions options, PeerTable& table);
  // Ends within answer_max, or when the resolver gives up. Who waits for a PollNow is not called any more.
  ~PeerPoller();
  PeerPoller(const PeerPoller&) = delete;
  PeerPoller& operator=(const PeerPoller&) = delete;

  // Begins to ask, at once. Once.
  void Start();
  // Asks all peers, beginning after this call and after Start, and then calls `done` on the poller's thread; it must not block.
  void PollNow(absl::AnyInvocable<void()> done);

 private:
  struct Asking;
  void Run();
  void Round();
  std::vector<std::string> Addresses();
  void Note(const Asking& asking);
  void LogChange(const std::string& address) const;

  const PeerPollerOptions options_;
  PeerTable& table_;
  // The thread's own.
  std::vector<std::string> resolved_;  // The last that the name stood for.
  std::string last_problem_;
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;

  absl::Mutex mutex_;
  std::vector<absl::AnyInvocable<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace quarry
