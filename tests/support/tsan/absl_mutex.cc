// The system's abseil is built without ThreadSanitizer, which then sees no lock taken through absl::Mutex, gRPC's own
// included. Linked into each binary of the thread sanitizer's build, these stand before abseil's functions of the same
// name, call them, and tell the sanitizer (sanitizer/tsan_interface.h).
#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

#pragma clang diagnostic ignored "-Wthread-safety-analysis"

#define QUARRY_TEXT_OF(name) #name
#define QUARRY_TEXT(name) QUARRY_TEXT_OF(name)

namespace quarry {
namespace {

// abseil's function whose mangled name is `name` within abseil's inline namespace.
template <typename Function>
Function* RealFunction(const char* name) {
  const std::string space = QUARRY_TEXT(ABSL_OPTION_INLINE_NAMESPACE_NAME);
  const std::string mangled = "_ZN4absl" + std::to_string(space.size()) + space + name;
  void* function = dlsym(RTLD_NEXT, mangled.c_str());
  if (function == nullptr) std::abort();
  return reinterpret_cast<Function*>(function);
}

void BeforeLock(void* mutex, unsigned flags) { __tsan_mutex_pre_lock(mutex, flags); }
void AfterLock(void* mutex, unsigned flags) { __tsan_mutex_post_lock(mutex, flags, 0); }
void BeforeUnlock(void* mutex, unsigned flags) { __tsan_mutex_pre_unlock(mutex, flags); }
void AfterUnlock(void* mutex, unsigned flags) { __tsan_mutex_post_unlock(mutex, flags); }

// A wait gives the lock up and takes it again.
void BeforeWait(void* mutex) {
  BeforeUnlock(mutex, 0);
  AfterUnlock(mutex, 0);
  BeforeLock(mutex, 0);
}

constexpr unsigned kReader = __tsan_mutex_read_lock;

}  // namespace
}  // namespace quarry

namespace absl {
ABSL_NAMESPACE_BEGIN

using ::quarry::AfterLock;
using ::quarry::AfterUnlock;
using ::quarry::BeforeLock;
using ::quarry::BeforeUnlock;
using ::quarry::BeforeWait;
using ::quarry::kReader;
using ::quarry::RealFunction;

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
  BeforeWait(this);
  real(this, condition);
  AfterLock(this, 0);
}

bool Mutex::AwaitWithTimeout(const Condition& condition, Duration timeout) {
  static auto* const real =
      RealFunction<bool(Mutex*, const Condition&, Duration)>("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE");
  BeforeWait(this);
  const bool holds = real(this, condition, timeout);
  AfterLock(this, 0);
  return holds;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static auto* const real =
      RealFunction<bool(Mutex*, const Condition&, Time)>("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE");
  BeforeWait(this);
  const bool holds = real(this, condition, deadline);
  AfterLock(this, 0);
  return holds;
}

void Mutex::LockWhen(const Condition& condition) {
  static auto* const real = RealFunction<void(Mutex*, const Condition&)>("5Mutex8LockWhenERKNS0_9ConditionE");
  BeforeLock(this, 0);
  real(this, condition);
  AfterLock(this, 0);
}

void CondVar::Wait(Mutex* mutex) {
  static auto* const real = RealFunction<void(CondVar*, Mutex*)>("7CondVar4WaitEPNS0_5MutexE");
  BeforeWait(mutex);
  real(this, mutex);
  AfterLock(mutex, 0);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static auto* const real =
      RealFunction<bool(CondVar*, Mutex*, Duration)>("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  BeforeWait(mutex);
  const bool timed_out = real(this, mutex, timeout);
  AfterLock(mutex, 0);
  return timed_out;
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static auto* const real =
      RealFunction<bool(CondVar*, Mutex*, Time)>("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE");
  BeforeWait(mutex);
  const bool timed_out = real(this, mutex, deadline);
  AfterLock(mutex, 0);
  return timed_out;
}

ABSL_NAMESPACE_END
}  // namespace absl
