#include "client/internal/lock_stream.h"

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "client/internal/grpc_status.h"
#include "core/base/error.h"

namespace quarry::client::internal {
namespace {

// By callbacks, for a gateway that stands still must not hold a renewal for ever.
class GrpcLockStream final : public LockStream,
                             private grpc::ClientBidiReactor<v1::KeepAliveRequest, v1::KeepAliveResponse> {
 public:
  explicit GrpcLockStream(v1::LockService::Stub& stub) {
    stub.async()->KeepAlive(&context_, this);
    AddHold();
    StartCall();
  }
  ~GrpcLockStream() override {
    context_.TryCancel();
    std::unique_lock<std::mutex> lock(mutex_);
    End();
    changed_.wait(lock, [this] { return done_; });
  }

  absl::StatusOr<v1::KeepAliveResponse> Renew(const v1::KeepAliveRequest& request,
                                              absl::Duration timeout) override {
    std::unique_lock<std::mutex> lock(mutex_);
    if (ending_) return absl::UnavailableError("the stream has ended");
    request_ = request;
    answered_ = false;
    StartRead(&response_);
    StartWrite(&request_);
    const bool in_time = changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                                           [this] { return answered_ || done_; });
    if (!in_time) {
      context_.TryCancel();
      End();  // An answer that comes at this very moment ends nothing.
      changed_.wait(lock, [this] { return done_; });
      return MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                       "the gateway has not answered the renewal in time");
    }
    if (answered_) return response_;
    const absl::Status status = FromGrpc(status_);
    return status.ok() ? absl::UnavailableError("the gateway has ended the stream") : status;
  }
  void Cancel() override { context_.TryCancel(); }

 private:
  void OnReadDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    answered_ = ok;
    if (!ok) End();
    changed_.notify_all();
  }
  void OnDone(const grpc::Status& status) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }
  void End() {
    if (ending_) return;
    ending_ = true;
    RemoveHold();
  }

  grpc::ClientContext context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_.
  v1::KeepAliveRequest request_;
  v1::KeepAliveResponse response_;
  grpc::Status status_;
  bool answered_ = false;
  bool ending_ = false;
  bool done_ = false;
};

}  // namespace

std::unique_ptr<LockStream> OpenLockStream(v1::LockService::Stub& stub) {
  return std::make_unique<GrpcLockStream>(stub);
}

}  // namespace quarry::client::internal
