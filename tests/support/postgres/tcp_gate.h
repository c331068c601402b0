// A TCP proxy on 127.0.0.1 whose connections a test cuts, stalls or delays. Its own thread; callable from any other.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace quarry {

class TcpGate {
 public:
  // Forwards to `port` of 127.0.0.1.
  explicit TcpGate(int port);
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;
  ~TcpGate();

  int port() const { return port_; }
  // Connections accepted since start.
  int64_t accepted() const;
  // Closes all connections, with a reset.
  void Cut();
  // Cuts everything once so many more bytes have passed on all connections together, in the named direction. The
  // bytes up to the limit are delivered. One use each.
  void CutAfterBytesToServer(int64_t bytes);
  void CutAfterBytesToClient(int64_t bytes);
  // Bytes are taken from nobody and new connections are not forwarded until false.
  void Stall(bool stalled);
  // New connections are closed at once until false.
  void Refuse(bool refused);
  // Each chunk is held back for so long.
  void Delay(absl::Duration delay);
  // As at the start; what was cut stays cut.
  void Open();

 private:
  struct Chunk {
    absl::Time due;
    std::string bytes;
  };
  struct Flow {
    int from = -1;
    int to = -1;
    bool to_server = false;
    bool ended = false;
    std::deque<Chunk> waiting;
  };
  struct Link {
    int client = -1;
    int server = -1;
    Flow up;
    Flow down;
    bool dead = false;
  };

  void Loop();
  void Accept() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Move(Link* link, Flow* flow, bool readable) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CutAll() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration UntilDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Bytes of `chunk` that may still pass; counts them.
  size_t Admit(bool to_server, size_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Wake();

  const int target_port_;
  int port_ = 0;
  int listener_ = -1;
  int wake_ = -1;
  mutable absl::Mutex mutex_;
  std::vector<std::unique_ptr<Link>> links_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  bool stalled_ ABSL_GUARDED_BY(mutex_) = false;
  bool refused_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration delay_ ABSL_GUARDED_BY(mutex_);
  int64_t accepted_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t left_to_server_ ABSL_GUARDED_BY(mutex_) = -1;  // -1: no limit.
  int64_t left_to_client_ ABSL_GUARDED_BY(mutex_) = -1;
  std::thread thread_;
};

}  // namespace quarry
