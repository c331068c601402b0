#include "core/shard/observer.h"

namespace quarry {

const char* CallKindName(CallKind kind) {
  switch (kind) {
    case CallKind::kRead:
      return "read";
    case CallKind::kWrite:
      return "write";
    case CallKind::kLease:
      return "lease";
    case CallKind::kPing:
      return "ping";
    case CallKind::kSessionStep:
      return "session_step";
    case CallKind::kStream:
      return "stream";
    case CallKind::kControl:
      return "control";
    case CallKind::kPrepare:
      return "prepare";
    case CallKind::kCommit:
      return "commit";
    case CallKind::kRollback:
      return "rollback";
  }
  return "unknown";
}

}  // namespace quarry
