#include "core/lock/lock_table.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/codec.h"
#include "core/model/value.h"

namespace quarry {
namespace {

constexpr char kVersion = 1;

using Kind = LockEvent::Kind;
using Outcome = LockAnswer::Outcome;

// True when the lease was cut to `most`: that must be stored, or it would be cut anew at each look and never end.
bool Cut(LockLease& lease, absl::Duration most, absl::Time now) {
  if (lease.expires <= now + most) return false;
  lease.expires = now + most;
  return true;
}

// True when leases were cut.
bool DropExpired(absl::Time now, const LockLimits& limits, LockState& state) {
  bool cut = false;
  if (state.holder.has_value()) {
    cut = Cut(*state.holder, state.holder->ttl, now);
    if (state.holder->expires <= now) state.holder.reset();
  }
  for (LockLease& waiter : state.waiters) cut |= Cut(waiter, limits.place_ttl, now);
  std::erase_if(state.waiters, [now](const LockLease& waiter) { return waiter.expires <= now; });
  return cut;
}

bool Holds(const LockState& state, const std::string& id) { return state.holder.has_value() && state.holder->id == id; }

std::vector<LockLease>::iterator PlaceOf(LockState& state, const std::string& id) {
  return std::find_if(state.waiters.begin(), state.waiters.end(), [&id](const LockLease& waiter) { return waiter.id == id; });
}

LockLease LeaseOf(const LockEvent& event, absl::Duration lasts) {
  LockLease lease;
  lease.id = event.lease_id;
  lease.owner = event.owner;
  lease.call = event.call;
  lease.ttl = event.ttl;
  lease.expires = event.now + lasts;
  return lease;
}

void Grant(const LockEvent& event, LockState& state, LockAnswer& answer) {
  answer.renewed = Holds(state, event.lease_id);
  if (!answer.renewed) ++state.token;
  state.holder = LeaseOf(event, event.ttl);
  answer.outcome = Outcome::kGranted;
  answer.changed = true;
}

void Wait(const LockEvent& event, const LockLimits& limits, LockState& state, LockAnswer& answer) {
  const auto place = PlaceOf(state, event.lease_id);
  answer.position = static_cast<size_t>(place - state.waiters.begin());
  if (place == state.waiters.end()) {
    if (state.waiters.size() >= limits.waiters_max) {
      answer.outcome = Outcome::kQueueFull;
      return;
    }
    state.waiters.push_back(LeaseOf(event, limits.place_ttl));
    answer.changed = true;
  } else if (place->call != event.call || place->expires - event.now < limits.place_ttl * 2 / 3) {
    *place = LeaseOf(event, limits.place_ttl);
    answer.changed = true;
  }
  answer.outcome = Outcome::kWaiting;
}

void Acquire(const LockEvent& event, const LockLimits& limits, LockState& state, LockAnswer& answer) {
  if (Holds(state, event.lease_id)) return Grant(event, state, answer);
  const auto place = PlaceOf(state, event.lease_id);
  if (!state.holder.has_value() && place == state.waiters.begin()) {
    if (!state.waiters.empty()) state.waiters.erase(place);
    return Grant(event, state, answer);
  }
  if (event.wait) return Wait(event, limits, state, answer);
  answer.outcome = Outcome::kHeld;
}

void KeepAlive(const LockEvent& event, LockState& state, LockAnswer& answer) {
  answer.outcome = Outcome::kLost;
  if (!Holds(state, event.lease_id)) return;
  state.holder->expires = event.now + state.holder->ttl;
  answer.outcome = Outcome::kGranted;
  answer.changed = true;
}

void Release(const LockEvent& event, LockState& state, LockAnswer& answer) {
  answer.outcome = Outcome::kLost;
  const bool any_call = event.kind == Kind::kRelease;
  if (Holds(state, event.lease_id)) {
    if (!any_call && state.holder->call != event.call) return;
    state.holder.reset();
  } else {
    const auto place = PlaceOf(state, event.lease_id);
    if (place == state.waiters.end() || (!any_call && place->call != event.call)) return;
    state.waiters.erase(place);
  }
  answer.outcome = Outcome::kReleased;
  answer.changed = true;
}

void AppendLease(const LockLease& lease, std::string& out) {
  AppendValue(Value::Text(lease.id), &out);
  AppendValue(Value::Text(lease.owner), &out);
  AppendValue(Value::Int64(std::bit_cast<int64_t>(lease.call)), &out);
  AppendValue(Value::Int64(absl::ToInt64Microseconds(lease.ttl)), &out);
  AppendValue(Value::Int64(absl::ToUnixMicros(lease.expires)), &out);
}

absl::Status Damaged() {
  return MakeError(absl::StatusCode::kDataLoss, reason::kShardCorrupt,
                   "the stored state of the lock is not one that this version of Quarry writes; delete its row from "
                   "Quarry's table of locks to free it");
}

absl::StatusOr<Value> TakeKind(ValueKind kind, std::string_view* bytes) {
  absl::StatusOr<Value> value = TakeValue(bytes);
  if (!value.ok() || value->kind() != kind) return Damaged();
  return value;
}

absl::StatusOr<LockLease> TakeLease(std::string_view* bytes) {
  QUARRY_ASSIGN_OR_RETURN(Value id, TakeKind(ValueKind::kText, bytes));
  QUARRY_ASSIGN_OR_RETURN(Value owner, TakeKind(ValueKind::kText, bytes));
  QUARRY_ASSIGN_OR_RETURN(const Value call, TakeKind(ValueKind::kInt64, bytes));
  QUARRY_ASSIGN_OR_RETURN(const Value ttl, TakeKind(ValueKind::kInt64, bytes));
  QUARRY_ASSIGN_OR_RETURN(const Value expires, TakeKind(ValueKind::kInt64, bytes));
  LockLease lease;
  lease.id = std::move(id).TakeText();
  lease.owner = std::move(owner).TakeText();
  lease.call = std::bit_cast<uint64_t>(call.int64_value());
  lease.ttl = absl::Microseconds(ttl.int64_value());
  lease.expires = absl::FromUnixMicros(expires.int64_value());
  return lease;
}

}  // namespace

LockAnswer ApplyLockEvent(const LockEvent& event, const LockLimits& limits, LockState& state) {
  LockAnswer answer;
  answer.changed = DropExpired(event.now, limits, state) && event.kind != Kind::kLook;
  switch (event.kind) {
    case Kind::kAcquire:
      Acquire(event, limits, state, answer);
      break;
    case Kind::kKeepAlive:
      KeepAlive(event, state, answer);
      break;
    case Kind::kRelease:
    case Kind::kLeave:
      Release(event, state, answer);
      break;
    case Kind::kLook:
      break;
  }
  answer.token = state.token;
  if (state.holder.has_value()) answer.remaining = state.holder->expires - event.now;
  return answer;
}

absl::Time BusyUntil(const LockState& state) {
  absl::Time until = absl::InfinitePast();
  if (state.holder.has_value()) until = state.holder->expires;
  for (const LockLease& waiter : state.waiters) until = std::max(until, waiter.expires);
  return until;
}

std::string EncodeLockState(const LockState& state) {
  std::string out;
  if (!state.holder.has_value() && state.waiters.empty()) return out;
  out.push_back(kVersion);
  AppendValue(Value::Bool(state.holder.has_value()), &out);
  if (state.holder.has_value()) AppendLease(*state.holder, out);
  for (const LockLease& waiter : state.waiters) AppendLease(waiter, out);
  return out;
}

absl::StatusOr<LockState> DecodeLockState(std::string_view bytes, int64_t token) {
  LockState state;
  state.token = token;
  if (bytes.empty()) return state;
  if (bytes.front() != kVersion) return Damaged();
  bytes.remove_prefix(1);
  QUARRY_ASSIGN_OR_RETURN(const Value held, TakeKind(ValueKind::kBool, &bytes));
  if (held.bool_value()) {
    QUARRY_ASSIGN_OR_RETURN(state.holder, TakeLease(&bytes));
  }
  while (!bytes.empty()) {
    QUARRY_ASSIGN_OR_RETURN(LockLease waiter, TakeLease(&bytes));
    state.waiters.push_back(std::move(waiter));
  }
  return state;
}

}  // namespace quarry
