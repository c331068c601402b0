// One call to another gateway, as bytes, on the queue of the loop that starts it. Internal to server/loop. One loop's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "core/base/loop.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/status.h"
#include "server/loop/grpc_loop.h"

namespace quarry {

// The connections of one loop to other gateways, by address.
class PeerChannels {
 public:
  // One that is there, or a new one, which connects with its first call.
  std::shared_ptr<grpc::Channel> To(const std::string& address);
  // The next call connects anew, at once.
  void Forget(const std::string& address) { channels_.erase(address); }

 private:
  absl::flat_hash_map<std::string, std::shared_ptr<grpc::Channel>> channels_;
};

struct PeerRequest {
  std::string path;
  bool unary = true;  // Else the peer sends any number of messages.
  grpc::ByteBuffer message;
  std::vector<std::pair<std::string, std::string>> metadata;
  absl::Time deadline = absl::InfiniteFuture();
};

// A handle: dropping it cancels the call, which lives on until gRPC has let go of it.
class PeerCall {
 public:
  // Sends the request. `loop` outlives the call.
  PeerCall(GrpcLoop& loop, std::shared_ptr<grpc::Channel> channel, PeerRequest request);
  ~PeerCall();
  PeerCall(const PeerCall&) = delete;
  PeerCall& operator=(const PeerCall&) = delete;

  // True: `message` has the next one; of a unary call once its status is there, too. False: the call has ended. One at a time.
  Future<bool> Next();
  // After Next.
  grpc::ByteBuffer& message();
  // After Next has said false, or of a unary call true.
  const grpc::Status& status() const;
  // False: for certain nothing of the request has reached the peer.
  bool sent() const;

 private:
  class Exchange;
  Exchange* exchange_;
};

}  // namespace quarry
