// The gateways of a deployment as one of them sees the others: which instance answers at which address. Whoever asks them
// writes it down here; whoever has a call for another gateway looks here. Any thread. Time is an argument.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/base/counter.h"

namespace quarry {

enum class PeerState : uint8_t {
  kUnasked,
  kServing,
  kSilent,           // It does not answer now.
  kSelf,             // The address is this gateway's own.
  kOtherDeployment,  // It serves something else, and is left alone.
};
inline constexpr size_t kPeerStates = 5;
// "unasked", "serving", "silent", "self", "other_deployment".
const char* PeerStateName(PeerState state);

// What a gateway says about itself.
struct PeerIdentity {
  uint64_t instance = 0;  // Random for each start.
  std::string deployment;
  std::string version;
};

struct Peer {
  std::string address;  // "host:port".
  PeerState state = PeerState::kUnasked;
  PeerIdentity identity;  // The last that it gave; of kUnasked none.
  absl::Time since = absl::InfinitePast();  // When it came into its state.
  absl::Status last_error;                  // Why it is silent or left alone.
};

// How calls for other gateways end.
enum class ForwardResult : uint8_t {
  kOk,
  kError,        // The owner's own.
  kUnavailable,  // The owner could not be reached; nothing ran.
  kGone,         // There is no such gateway any more.
  kLost,         // The connection broke before the answer.
  kCancelled,    // By its caller, or by its deadline.
  kRefused,      // A forwarded call that came here for another gateway.
};
inline constexpr size_t kForwardResults = 7;
// "ok", "error", "unavailable", "gone", "lost", "cancelled", "refused".
const char* ForwardResultName(ForwardResult result);

class PeerTable {
 public:
  struct Options {
    PeerIdentity self;
    absl::Duration gone_after = absl::Seconds(1);  // Without an answer, from the first failure.
  };
  explicit PeerTable(Options options);

  const PeerIdentity& self() const { return options_.self; }

  // Who should be asked. An address that has left the list stays as long as it answers: its gateway may still have
  // transactions.
  void SetAddresses(const std::vector<std::string>& addresses);
  std::vector<std::string> addresses() const;

  // What asking an address came to. True when its state or instance has changed. An address that is not in the table is ignored.
  bool Answered(const std::string& address, const PeerIdentity& identity, absl::Time now);
  bool Failed(const std::string& address, const absl::Status& error, absl::Time now);

  enum class Reach : uint8_t {
    kServing,
    kSilent,  // It answered once, and has not for less than gone_after.
    kGone,    // Nobody answers with this instance.
  };
  struct Place {
    Reach reach = Reach::kGone;
    std::string address;  // Of kGone empty.
  };
  Place Find(uint64_t instance, absl::Time now) const;

  // Sorted by address.
  std::vector<Peer> peers() const;

  void Count(ForwardResult result) { forwarded_[static_cast<size_t>(result)].Add(1); }
  uint64_t forwarded(ForwardResult result) const { return forwarded_[static_cast<size_t>(result)].value(); }

 private:
  struct Entry {
    Peer peer;
    bool listed = true;
  };
  // True when that is news.
  static bool Enter(Entry& entry, PeerState state, absl::Time now);

  const Options options_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::array<Counter, kForwardResults> forwarded_;
};

}  // namespace quarry
