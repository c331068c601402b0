// SQLite's way to the disk, watched: which files are written and synced, and a process that is killed at one of those calls.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <string>

namespace quarry {

// While it lives, databases that are opened go through it. One at a time in a process, and no database opened under it may
// outlive it.
class WatchedVfs {
 public:
  enum class Call : uint8_t { kWrite, kSync };
  using Watch = std::function<void(Call call, const std::string& file)>;

  WatchedVfs();
  WatchedVfs(const WatchedVfs&) = delete;
  WatchedVfs& operator=(const WatchedVfs&) = delete;
  ~WatchedVfs();
  // Called before each call, on the thread that makes it, one at a time. Empty: nothing is watched. The watch of before is
  // not running any more when this returns.
  static void Set(Watch watch);
};

}  // namespace quarry
