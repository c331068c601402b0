#include "client/lock.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"

namespace quarry::client {
namespace {

// How long the machine has run, which no setting of its clock changes and no pause stops.
using Steady = std::chrono::steady_clock;

absl::Duration ToDuration(const google::protobuf::Duration& wire) {
  return absl::Seconds(wire.seconds()) + absl::Nanoseconds(wire.nanos());
}

Steady::time_point After(Steady::time_point begin, absl::Duration duration) {
  return begin + std::chrono::duration_cast<Steady::duration>(absl::ToChronoNanoseconds(duration));
}

absl::Status MaybeLost(const std::string& name, const absl::Status& cause) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kLockLost,
                   absl::StrCat("lock \"", name, "\" may be lost: its lease was not renewed in time",
                                cause.ok() ? "" : " (", std::string(cause.message()),
                                cause.ok() ? "" : ")"),
                   {{"lock", name}});
}

}  // namespace

class HeldLock::Keeper {
 public:
  Keeper(std::shared_ptr<Connection> connection, std::string name, const v1::AcquireResponse& grant)
      : connection_(std::move(connection)),
        name_(std::move(name)),
        lease_id_(grant.lease_id()),
        token_(grant.token()),
        ttl_(ToDuration(grant.ttl())),
        until_(After(Steady::now(), ToDuration(grant.remaining()))),
        thread_([this] { Run(); }) {}
  ~Keeper() {
    if (!released_) {
      CallOptions call;
      call.timeout = absl::Seconds(1);
      Release(call).IgnoreError();  // The lease's time ends it where this could not.
    }
  }

  const std::string& name() const { return name_; }
  const std::string& lease_id() const { return lease_id_; }
  int64_t token() const { return token_; }

  absl::Status status() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!lost_.ok()) return lost_;
    return Steady::now() < until_ ? absl::OkStatus() : MaybeLost(name_, latest_);
  }

  absl::Status Release(const CallOptions& call) {
    Stop();
    if (std::exchange(released_, true)) return status();
    v1::ReleaseRequest request;
    request.set_name(name_);
    request.set_lease_id(lease_id_);
    const absl::Duration timeout =
        call.timeout > absl::ZeroDuration() ? call.timeout : absl::Seconds(30);
    const absl::Status released = connection_->ReleaseLock(request, absl::Now() + timeout).status();
    const std::lock_guard<std::mutex> lock(mutex_);
    lost_ = released.ok() ? MakeError(absl::StatusCode::kFailedPrecondition, reason::kLockLost,
                                      absl::StrCat("lock \"", name_, "\" was released"),
                                      {{"lock", name_}})
                          : released;
    return released;
  }

 private:
  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
      if (stream_ != nullptr) stream_->Cancel();
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  void Run() {
    absl::Duration pause = ttl_ / 3;
    while (Pause(pause)) {
      const absl::Status renewed = Renew();
      const std::lock_guard<std::mutex> lock(mutex_);
      latest_ = renewed;
      if (ReasonOf(renewed) == reason::kLockLost) lost_ = renewed;
      const bool over = Steady::now() >= until_;
      if (over && lost_.ok()) lost_ = MaybeLost(name_, renewed);
      if (!lost_.ok()) return;
      pause = renewed.ok() ? ttl_ / 3 : std::min(ttl_ / 20, absl::Seconds(1));
      if (!renewed.ok()) stream_.reset();
    }
  }

  // False when it shall stop.
  bool Pause(absl::Duration pause) {
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait_for(lock, absl::ToChronoNanoseconds(pause), [this] { return stopping_; });
    return !stopping_;
  }

  absl::Status Renew() {
    std::shared_ptr<LockStream> stream;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopping_) return absl::CancelledError("released");
      if (stream_ == nullptr) {
        absl::StatusOr<std::unique_ptr<LockStream>> opened = connection_->KeepAlive();
        if (!opened.ok()) return opened.status();
        stream_ = *std::move(opened);
      }
      stream = stream_;
    }
    v1::KeepAliveRequest request;
    request.set_name(name_);
    request.set_lease_id(lease_id_);
    // The lease lasts from some moment after this one.
    const Steady::time_point sent = Steady::now();
    const absl::StatusOr<v1::KeepAliveResponse> renewed = stream->Renew(request, ttl_ / 3);
    if (!renewed.ok()) return renewed.status();
    const std::lock_guard<std::mutex> lock(mutex_);
    until_ = After(sent, ToDuration(renewed->remaining()));
    return absl::OkStatus();
  }

  const std::shared_ptr<Connection> connection_;
  const std::string name_;
  const std::string lease_id_;
  const int64_t token_;
  const absl::Duration ttl_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  // Guarded by mutex_.
  bool stopping_ = false;
  absl::Status lost_;
  absl::Status latest_;  // Of the latest renewal.
  Steady::time_point until_;
  std::shared_ptr<LockStream> stream_;
  bool released_ = false;  // The owner's.
  std::thread thread_;     // Last: it uses the rest.
};

HeldLock::HeldLock(std::shared_ptr<Connection> connection, std::string name,
                   const v1::AcquireResponse& grant)
    : keeper_(std::make_unique<Keeper>(std::move(connection), std::move(name), grant)) {}
HeldLock::HeldLock(HeldLock&&) noexcept = default;
HeldLock& HeldLock::operator=(HeldLock&&) noexcept = default;
HeldLock::~HeldLock() = default;

const std::string& HeldLock::name() const { return keeper_->name(); }
const std::string& HeldLock::lease_id() const { return keeper_->lease_id(); }
int64_t HeldLock::token() const { return keeper_->token(); }
Fence HeldLock::fence() const { return {keeper_->name(), keeper_->token()}; }
absl::Status HeldLock::status() const { return keeper_->status(); }
absl::Status HeldLock::Release(const CallOptions& call) { return keeper_->Release(call); }

}  // namespace quarry::client
