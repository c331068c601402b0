// The system's abseil is built without ThreadSanitizer, which then sees no lock taken through absl::Mutex, gRPC's own
// included, and no absl::Notification. Linked into each binary of the thread sanitizer's build, these stand before abseil's functions of the same
// name, call them, and tell the sanitizer (sanitizer/tsan_interface.h).
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

#pragma clang diagnostic ignored "-Wthread-safety-analysis"

#define QUARRY_TEXT_OF(name) #name
#define QUARRY_TEXT(name) QUARRY_TEXT_OF(name)

namespace quarry {
namespace {

// abseil's function whose mangled name is `name` within abseil's inline namespace; `kind` is "_ZNK" for a const one.
template <typename Function>
Function* RealFunction(const char* kind, const char* name) {
  const std::string space = QUARRY_TEXT(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string mangled = std::string(kind) + "4absl" + std::to_string(space.size()) + space + name;
  void* function = dlsym(RTLD_NEXT, mangled.c_str());
  if (function == nullptr) std::abort();
  return reinterpret_cast<Function*>(function);
}

template <typename Function>
Function* RealFunction(const char* name) {
  return RealFunction<Function>("_ZN", name);
}

void BeforeLock(void* mutex, unsigned flags) { __tsan_mutex_pre_lock(mutex, flags); }
void AfterLock(void* mutex, unsigned flags) { __tsan_mutex_post_lock(mutex, flags, 0); }
void BeforeUnlock(void* mutex, unsigned flags) { __tsan_mutex_pre_unlock(mutex, flags); }
void AfterUnlock(void* mutex, unsigned flags) { __tsan_mutex_post_unlock(mutex, flags); }

// A wait gives up the lock, when it is held, and returns with it. abseil's waits call each other: only the outermost
// counts.
class Waiting {
 public:
  explicit Waiting(void* mutex, bool held = true) : mutex_(inside_ ? nullptr : mutex) {
    if (mutex_ == nullptr) return;
    inside_ = true;
    if (held) BeforeUnlock(mutex_, 0);
    if (held) AfterUnlock(mutex_, 0);
    BeforeLock(mutex_, 0);
  }
  ~Waiting() {
    if (mutex_ == nullptr) return;
    AfterLock(mutex_, 0);
    inside_ = false;
  }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  static inline thread_local bool inside_ = false;
  void* const mutex_;
};

constexpr unsigned kReader = __tsan_mutex_read_lock;

}  // namespace
}  // namespace quarry

namespace absl {
ABSL_NAMESPACE_BEGIN

using ::quarry::AfterLock;
using ::quarry::AfterUnlock;
using ::quarry::BeforeLock;
using ::quarry::BeforeUnlock;
using ::quarry::kReader;
using ::quarry::RealFunction;
using ::quarry::Waiting;

Mutex::~Mutex() {
  static auto* const real = RealFunction<void(Mutex*)>("5MutexD1Ev");
  real(this);
  __tsan_mutex_destroy(this, 0);
}

void Mutex::Lock() {
  static auto* const real = RealFunction<void(Mutex*)>("5Mutex4LockEv");
  BeforeLock(this, 0);
  real(this);
  AfterLock(this, 0);
}

bool Mutex::TryLock() {
  static auto* const real = RealFunction<bool(Mutex*)>("5Mutex7TryLockEv");
  BeforeLock(this, __tsan_mutex_try_lock);
  const bool taken = real(this);
  AfterLock(this, __tsan_mutex_try_lock | (taken ? 0u : __tsan_mutex_try_lock_failed));
  return taken;
}

void Mutex::Unlock() {
  static auto* const real = RealFunction<void(Mutex*)>("5Mutex6UnlockEv");
  BeforeUnlock(this, 0);
  real(this);
  AfterUnlock(this, 0);
}

void Mutex::ReaderLock() {
  static auto* const real = RealFunction<void(Mutex*)>("5Mutex10ReaderLockEv");
  BeforeLock(this, kReader);
  real(this);
  AfterLock(this, kReader);
}

void Mutex::ReaderUnlock() {
  static auto* const real = RealFunction<void(Mutex*)>("5Mutex12ReaderUnlockEv");
  BeforeUnlock(this, kReader);
  real(this);
  AfterUnlock(this, kReader);
}

void Mutex::Await(const Condition& condition) {
  static auto* const real = RealFunction<void(Mutex*, const Condition&)>("5Mutex5AwaitERKNS0_9ConditionE");
  const Waiting wait(this);
  real(this, condition);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static auto* const real =
      RealFunction<bool(Mutex*, const Condition&, Duration)>("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
  const Waiting wait(this);
  return real(this, condition, timeout);
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static auto* const real =
      RealFunction<bool(Mutex*, const Condition&, Time)>("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  const Waiting wait(this);
  return real(this, condition, deadline);
}

void Mutex::LockWhen(const Condition& condition) {
  static auto* const real = RealFunction<void(Mutex*, const Condition&)>("5Mutex8LockWhenERKNS0_9ConditionE");
  const Waiting wait(this, /*held=*/false);
  real(this, condition);
}

bool Mutex::LockWhenWithTimeout(const Condition& condition, Duration timeout) {
  static auto* const real = RealFunction<bool(Mutex*, const Condition&, Duration)>(
      "5Mutex19LockWhenWithTimeoutERKNS0_9ConditionENS0_8DurationE");
  const Waiting wait(this, /*held=*/false);
  return real(this, condition, timeout);
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  static auto* const real = RealFunction<bool(Mutex*, const Condition&, Time)>(
      "5Mutex20LockWhenWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  const Waiting wait(this, /*held=*/false);
  return real(this, condition, deadline);
}

void CondVar::Wait(Mutex* mutex) {
  static auto* const real = RealFunction<void(CondVar*, Mutex*)>("7CondVar4WaitEPNS0_5MutexE");
  const Waiting wait(mutex);
  real(this, mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static auto* const real =
      RealFunction<bool(CondVar*, Mutex*, Duration)>("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  const Waiting wait(mutex);
  return real(this, mutex, timeout);
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const real =
      RealFunction<bool(CondVar*, Mutex*, Time)>("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  const Waiting wait(mutex);
  return real(this, mutex, deadline);
}

void Notification::Notify() {
  static auto* const real = RealFunction<void(Notification*)>("12Notification6NotifyEv");
  __tsan_release(this);
  real(this);
}

void Notification::WaitForNotification() const {
  static auto* const real = RealFunction<void(const Notification*)>("_ZNK", "12Notification19WaitForNotificationEv");
  real(this);
  __tsan_acquire(const_cast<Notification*>(this));
}

bool Notification::WaitForNotificationWithTimeout(Duration timeout) const {
  static auto* const real = RealFunction<bool(const Notification*, Duration)>(
      "_ZNK", "12Notification30WaitForNotificationWithTimeoutENS0_8DurationE");
  const bool notified = real(this, timeout);
  __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static auto* const real = RealFunction<bool(const Notification*, Time)>(
      "_ZNK", "12Notification31WaitForNotificationWithDeadlineENS0_4TimeE");
  const bool notified = real(this, deadline);
  __tsan_acquire(const_cast<Notification*>(this));
  return notified;
}

ABSL_NAMESPACE_END
}  // namespace absl
