#include "core/topology/peer_table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace quarry {

const char* PeerStateName(PeerState state) {
  switch (state) {
    case PeerState::kUnasked:
      return "unasked";
    case PeerState::kServing:
      return "serving";
    case PeerState::kSilent:
      return "silent";
    case PeerState::kSelf:
      return "self";
    case PeerState::kOtherDeployment:
      return "other_deployment";
  }
  return "unasked";
}

const char* ForwardResultName(ForwardResult result) {
  switch (result) {
    case ForwardResult::kOk:
      return "ok";
    case ForwardResult::kError:
      return "error";
    case ForwardResult::kUnavailable:
      return "unavailable";
    case ForwardResult::kGone:
      return "gone";
    case ForwardResult::kLost:
      return "lost";
    case ForwardResult::kCancelled:
      return "cancelled";
    case ForwardResult::kRefused:
      return "refused";
  }
  return "error";
}

PeerTable::PeerTable(Options options) : options_(std::move(options)) {}

void PeerTable::SetAddresses(const std::vector<std::string>& addresses) {
  const absl::MutexLock lock(&mutex_);
  for (auto& [address, entry] : entries_) entry.listed = false;
  for (const std::string& address : addresses) {
    Entry& entry = entries_[address];
    entry.peer.address = address;
    entry.listed = true;
  }
  for (auto at = entries_.begin(); at != entries_.end();) {
    const bool kept = at->second.listed || at->second.peer.state == PeerState::kServing;
    at = kept ? std::next(at) : entries_.erase(at);
  }
}

std::vector<std::string> PeerTable::addresses() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<std::string> addresses;
  for (const auto& [address, entry] : entries_) addresses.push_back(address);
  return addresses;
}

bool PeerTable::Enter(Entry& entry, PeerState state, absl::Time now) {
  if (entry.peer.state == state) return false;
  entry.peer.state = state;
  entry.peer.since = now;
  return true;
}

bool PeerTable::Answered(const std::string& address, const PeerIdentity& identity, absl::Time now) {
  const absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(address);
  if (found == entries_.end()) return false;
  Entry& entry = found->second;
  const bool restarted = entry.peer.identity.instance != identity.instance;
  entry.peer.identity = identity;
  entry.peer.last_error = absl::OkStatus();
  if (identity.deployment != options_.self.deployment) {
    entry.peer.last_error = absl::FailedPreconditionError(
        absl::StrCat("the gateway at ", address, " is of deployment ", identity.deployment, ", this one of ",
                     options_.self.deployment, ": transactions are not passed on to it; mend peers, or deployment"));
    return Enter(entry, PeerState::kOtherDeployment, now);
  }
  const PeerState state = identity.instance == options_.self.instance ? PeerState::kSelf : PeerState::kServing;
  const bool entered = Enter(entry, state, now);
  if (restarted) entry.peer.since = now;
  return entered || restarted;
}

bool PeerTable::Failed(const std::string& address, const absl::Status& error, absl::Time now) {
  const absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(address);
  if (found == entries_.end()) return false;
  found->second.peer.last_error = error;
  return Enter(found->second, PeerState::kSilent, now);
}

PeerTable::Place PeerTable::Find(uint64_t instance, absl::Time now) const {
  const absl::MutexLock lock(&mutex_);
  Place place;
  for (const auto& [address, entry] : entries_) {
    if (entry.peer.identity.instance != instance) continue;
    if (entry.peer.state == PeerState::kServing) return {Reach::kServing, address};
    // One that has never given an identity of this deployment has nothing of ours.
    const bool ours = entry.peer.identity.deployment == options_.self.deployment;
    if (entry.peer.state == PeerState::kSilent && ours && now - entry.peer.since < options_.gone_after) {
      place = {Reach::kSilent, address};
    }
  }
  return place;
}

std::vector<Peer> PeerTable::peers() const {
  const absl::MutexLock lock(&mutex_);
  std::vector<Peer> peers;
  for (const auto& [address, entry] : entries_) peers.push_back(entry.peer);
  return peers;
}

}  // namespace quarry
