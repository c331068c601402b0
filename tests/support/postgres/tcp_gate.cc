#include "tests/support/postgres/tcp_gate.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "absl/time/clock.h"

namespace quarry {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

void CloseWithReset(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close(fd);
}

bool SendAll(int fd, const std::string& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t put = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (put <= 0) return false;
    sent += static_cast<size_t>(put);
  }
  return true;
}

}  // namespace

TcpGate::TcpGate(int port) : target_port_(port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  wake_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Loop(); });
}

TcpGate::~TcpGate() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    CutAll();
  }
  Wake();
  thread_.join();
  close(listener_);
  close(wake_);
}

int64_t TcpGate::accepted() const {
  absl::MutexLock lock(&mutex_);
  return accepted_;
}

void TcpGate::Cut() {
  absl::MutexLock lock(&mutex_);
  CutAll();
  Wake();
}

void TcpGate::CutAfterBytesToServer(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  left_to_server_ = bytes;
}

void TcpGate::CutAfterBytesToClient(int64_t bytes) {
  absl::MutexLock lock(&mutex_);
  left_to_client_ = bytes;
}

void TcpGate::Stall(bool stalled) {
  absl::MutexLock lock(&mutex_);
  stalled_ = stalled;
  Wake();
}

void TcpGate::Refuse(bool refused) {
  absl::MutexLock lock(&mutex_);
  refused_ = refused;
}

void TcpGate::Delay(absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  delay_ = delay;
}

void TcpGate::Open() {
  absl::MutexLock lock(&mutex_);
  stalled_ = refused_ = false;
  delay_ = absl::ZeroDuration();
  left_to_server_ = left_to_client_ = -1;
  Wake();
}

void TcpGate::Wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

// Sockets are closed by the gate's own thread, which may be polling them: here they are only marked and shut.
void TcpGate::CutAll() {
  for (const auto& link : links_) link->dead = true;
}

void TcpGate::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  ++accepted_;
  const int server = refused_ ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(target_port_);
  if (server < 0 || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    CloseWithReset(client);
    if (server >= 0) close(server);
    return;
  }
  const int on = 1;
  setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  auto link = std::make_unique<Link>();
  link->client = client;
  link->server = server;
  link->up.from = link->down.to = client;
  link->up.to = link->down.from = server;
  link->up.to_server = true;
  links_.push_back(std::move(link));
}

size_t TcpGate::Admit(bool to_server, size_t size) {
  int64_t& left = to_server ? left_to_server_ : left_to_client_;
  if (left < 0) return size;
  const size_t admitted = std::min(size, static_cast<size_t>(left));
  left -= static_cast<int64_t>(admitted);
  return admitted;
}

void TcpGate::Move(Link* link, Flow* flow, bool readable) {
  if (link->dead || stalled_) return;
  if (readable && !flow->ended) {
    std::string bytes(65536, '\0');
    const ssize_t got = recv(flow->from, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) {
      bytes.resize(static_cast<size_t>(got));
      flow->waiting.push_back({absl::Now() + delay_, std::move(bytes)});
    } else if (got == 0 || errno != EAGAIN) {
      flow->ended = true;
    }
  }
  while (!flow->waiting.empty() && flow->waiting.front().due <= absl::Now()) {
    std::string bytes = std::move(flow->waiting.front().bytes);
    flow->waiting.pop_front();
    const size_t admitted = Admit(flow->to_server, bytes.size());
    const bool cut = admitted < bytes.size();
    bytes.resize(admitted);
    if (!SendAll(flow->to, bytes)) link->dead = true;
    if (!cut) continue;
    (flow->to_server ? left_to_server_ : left_to_client_) = -1;
    CutAll();
    return;
  }
  if (flow->ended && flow->waiting.empty()) link->dead = true;
}

absl::Duration TcpGate::UntilDue() {
  absl::Time first = absl::InfiniteFuture();
  for (const auto& link : links_) {
    for (const Flow* flow : {&link->up, &link->down}) {
      if (!flow->waiting.empty()) first = std::min(first, flow->waiting.front().due);
    }
  }
  return first - absl::Now();
}

void TcpGate::Loop() {
  while (true) {
    std::vector<pollfd> polled = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    std::vector<Link*> order;
    int timeout = -1;
    {
      absl::MutexLock lock(&mutex_);
      for (auto& link : links_) {
        if (!link->dead) continue;
        CloseWithReset(link->client);
        // What was delivered to the server is still read and run by it.
        close(link->server);
        link.reset();
      }
      links_.erase(std::remove(links_.begin(), links_.end(), nullptr), links_.end());
      if (stopped_) return;
      if (!stalled_) {
        const absl::Duration wait = std::clamp(UntilDue(), absl::ZeroDuration(), absl::Hours(1));
        timeout = static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1))));
        for (const auto& link : links_) {
          order.push_back(link.get());
          polled.push_back({link->client, POLLIN, 0});
          polled.push_back({link->server, POLLIN, 0});
        }
      }
    }
    poll(polled.data(), polled.size(), timeout);
    absl::MutexLock lock(&mutex_);
    if (polled[1].revents != 0) {
      uint64_t drained;
      [[maybe_unused]] const ssize_t got = read(wake_, &drained, sizeof(drained));
    }
    // Links are removed by this thread only, so the pointers still stand.
    for (size_t i = 0; i < order.size(); ++i) {
      Move(order[i], &order[i]->up, polled[2 + 2 * i].revents != 0);
      Move(order[i], &order[i]->down, polled[3 + 2 * i].revents != 0);
    }
    if (polled[0].revents != 0 && !stopped_) Accept();
  }
}

}  // namespace quarry
