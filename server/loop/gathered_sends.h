// Lets replies that a loop sends one after the other leave together. gRPC 1.51 gives the kernel each reply on its own as
// soon as it is finished: a packet and a wake-up of the client for each. One thread.
#pragma once

#include <array>
#include <cstddef>

namespace quarry {

// While one lives, what its thread sends with sendmsg waits in the kernel for more (MSG_MORE); at its end all of it goes. No
// errors of its own: a connection that is gone says so to gRPC. One a thread.
class GatheredSends {
 public:
  // With `gather` false nothing waits.
  explicit GatheredSends(bool gather);
  GatheredSends(const GatheredSends&) = delete;
  GatheredSends& operator=(const GatheredSends&) = delete;
  ~GatheredSends();

  // True when what is sent on the socket may wait: it will be told to go.
  bool Add(int fd);

 private:
  std::array<int, 16> sockets_;
  size_t count_ = 0;
};

}  // namespace quarry
