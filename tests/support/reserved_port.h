// A TCP port of 127.0.0.1 for a server that another program will start.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

namespace quarry {

// While it lives, nobody who asks the system for a free port is given this one: it is bound, but does not listen. Servers that
// name it get it, again and again, as long as they set SO_REUSEADDR.
class ReservedPort {
 public:
  ReservedPort() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const int on = 1;
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(place);
    const bool bound = setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
                       bind(fd_, reinterpret_cast<sockaddr*>(&place), size) == 0 &&
                       getsockname(fd_, reinterpret_cast<sockaddr*>(&place), &size) == 0;
    if (!bound) std::abort();
    number_ = ntohs(place.sin_port);
  }
  ReservedPort(const ReservedPort&) = delete;
  ReservedPort& operator=(const ReservedPort&) = delete;
  ~ReservedPort() { close(fd_); }
  int number() const { return number_; }

 private:
  const int fd_;
  int number_ = 0;
};

}  // namespace quarry
