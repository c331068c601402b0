// Memory of what lives as long as a call: the call itself and its coroutine frames, a dozen, of the same sizes each time.
// Freed frames are kept by size, per thread, so that the next call takes them without asking the allocator.
#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace quarry {

class FramePool {
 public:
  FramePool() = default;
  FramePool(const FramePool&) = delete;
  FramePool& operator=(const FramePool&) = delete;
  ~FramePool() {
    for (Class& frames : classes_) {
      while (frames.first != nullptr) ::operator delete(Pop(frames));
    }
  }

  static FramePool& OfThread() {
    thread_local FramePool pool;
    return pool;
  }

  void* Allocate(size_t size) {
    const size_t at = ClassOf(size);
    if (at >= kClasses) return ::operator new(size);
    Class& frames = classes_[at];
    return frames.first != nullptr ? Pop(frames) : ::operator new((at + 1) * kStep);
  }

  // `size` as it was allocated, on whatever thread.
  void Free(void* frame, size_t size) {
    const size_t at = ClassOf(size);
    if (at >= kClasses || classes_[at].count == kKeptMax) {
      ::operator delete(frame);
      return;
    }
    Class& frames = classes_[at];
    frames.first = new (frame) Node{frames.first};
    ++frames.count;
  }

 private:
  static constexpr size_t kStep = 64;
  static constexpr size_t kClasses = 128;   // Frames up to 8 KiB.
  static constexpr size_t kKeptMax = 1024;  // Of each size.
  struct Node {
    Node* next;
  };
  struct Class {
    Node* first = nullptr;
    size_t count = 0;
  };

  static size_t ClassOf(size_t size) { return (size - 1) / kStep; }
  static void* Pop(Class& frames) {
    Node* const node = frames.first;
    frames.first = node->next;
    --frames.count;
    return node;
  }

  std::array<Class, kClasses> classes_;
};

// A base of coroutine promises, and of classes with a virtual destructor.
struct PooledFrame {
#ifndef QUARRY_PLAIN_FRAMES  // Sanitizers see the use of a freed frame only when its memory is given back.
  static void* operator new(size_t size) { return FramePool::OfThread().Allocate(size); }
  static void operator delete(void* frame, size_t size) { FramePool::OfThread().Free(frame, size); }
#endif
};

}  // namespace quarry
