#include "tests/support/watched_vfs.h"

#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace quarry {
namespace {

struct State {
  std::mutex mutex;
  WatchedVfs::Watch watch;
  std::map<sqlite3_file*, std::string> names;
  // A set of methods of the real file system, and its watched copy.
  std::map<const sqlite3_io_methods*, std::unique_ptr<sqlite3_io_methods>> copies;
  std::map<const sqlite3_io_methods*, const sqlite3_io_methods*> originals;
  sqlite3_vfs vfs{};
  sqlite3_vfs* real = nullptr;
};

State& TheState() {
  static State& state = *new State();
  return state;
}

const sqlite3_io_methods* Before(sqlite3_file* file, WatchedVfs::Call call) {
  State& state = TheState();
  // Held across the watch: whoever sets another may destroy what this one uses.
  const std::lock_guard<std::mutex> lock(state.mutex);
  if (state.watch) state.watch(call, state.names[file]);
  return state.originals[file->pMethods];
}

int Write(sqlite3_file* file, const void* bytes, int size, sqlite3_int64 offset) {
  return Before(file, WatchedVfs::Call::kWrite)->xWrite(file, bytes, size, offset);
}

int Sync(sqlite3_file* file, int flags) { return Before(file, WatchedVfs::Call::kSync)->xSync(file, flags); }

int Open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
  State& state = TheState();
  const int code = state.real->xOpen(state.real, name, file, flags, out);
  if (file->pMethods == nullptr) return code;
  const std::lock_guard<std::mutex> lock(state.mutex);
  std::unique_ptr<sqlite3_io_methods>& copy = state.copies[file->pMethods];
  if (copy == nullptr) {
    copy = std::make_unique<sqlite3_io_methods>(*file->pMethods);
    copy->xWrite = &Write;
    copy->xSync = &Sync;
    state.originals[copy.get()] = file->pMethods;
  }
  file->pMethods = copy.get();
  state.names[file] = name == nullptr ? "" : name;
  return code;
}

}  // namespace

WatchedVfs::WatchedVfs() {
  State& state = TheState();
  state.real = sqlite3_vfs_find(nullptr);
  state.vfs = *state.real;
  state.vfs.pNext = nullptr;
  state.vfs.zName = "watched";
  state.vfs.xOpen = &Open;
  sqlite3_vfs_register(&state.vfs, 1);
}

WatchedVfs::~WatchedVfs() {
  Set(nullptr);
  sqlite3_vfs_unregister(&TheState().vfs);
  sqlite3_vfs_register(TheState().real, 1);
}

void WatchedVfs::Set(Watch watch) {
  State& state = TheState();
  const std::lock_guard<std::mutex> lock(state.mutex);
  state.watch = std::move(watch);
}

}  // namespace quarry
