#include "core/base/frame_pool.h"

#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace quarry {
namespace {

TEST(FramePoolTest, GivesAFreedFrameToTheNextOfItsSize) {
  FramePool pool;
  void* const first = pool.Allocate(200);
  void* const other = pool.Allocate(200);
  EXPECT_NE(first, other);
  pool.Free(first, 200);
  void* const smaller = pool.Allocate(70);
  EXPECT_NE(smaller, first);
  EXPECT_EQ(pool.Allocate(193), first);  // The same step of 64 bytes.
  pool.Free(first, 193);
  pool.Free(smaller, 70);
  pool.Free(other, 200);
}

TEST(FramePoolTest, LiveFramesNeverOverlap) {
  FramePool pool;
  std::vector<std::pair<unsigned char*, size_t>> frames;
  for (size_t round = 0; round < 3; ++round) {
    for (size_t size = 1; size < 10'000; size += 37) {
      auto* const frame = static_cast<unsigned char*>(pool.Allocate(size));
      std::memset(frame, static_cast<int>(size & 0xff), size);
      frames.emplace_back(frame, size);
    }
    for (const auto& [frame, size] : frames) {
      EXPECT_EQ(frame[0], size & 0xff);
      EXPECT_EQ(frame[size - 1], size & 0xff);
      pool.Free(frame, size);
    }
    frames.clear();
  }
}

TEST(FramePoolTest, AFrameMayBeFreedOnAnotherThread) {
  void* const frame = FramePool::OfThread().Allocate(300);
  std::thread([frame] { FramePool::OfThread().Free(frame, 300); }).join();
}

}  // namespace
}  // namespace quarry
