#include "server/loop/gathered_sends.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>

#include "absl/base/config.h"

namespace quarry {
namespace {

thread_local GatheredSends* gathering = nullptr;

}  // namespace

GatheredSends::GatheredSends(bool gather) {
  if (gather) gathering = this;
}

GatheredSends::~GatheredSends() {
  gathering = nullptr;
  for (size_t i = 0; i < count_; ++i) {
    // gRPC sets it on each of its sockets; to set it again sends what waits. A unix socket, where nothing waits, refuses.
    const int on = 1;
    setsockopt(sockets_[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
}

bool GatheredSends::Add(int fd) {
  const auto end = sockets_.begin() + count_;
  if (std::find(sockets_.begin(), end, fd) != end) return true;
  if (count_ == sockets_.size()) return false;
  sockets_[count_++] = fd;
  return true;
}

}  // namespace quarry

// Stands in front of the C library's, for gRPC's shared library too.
#ifndef ABSL_HAVE_THREAD_SANITIZER  // Which has its own, and must see each call.
extern "C" ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  const bool waits = quarry::gathering != nullptr && quarry::gathering->Add(fd);
  return syscall(SYS_sendmsg, fd, message, waits ? flags | MSG_MORE : flags);
}
#endif
