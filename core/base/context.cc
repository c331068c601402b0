#include "core/base/context.h"

namespace quarry {

const char* StageName(Stage stage) {
  switch (stage) {
    case Stage::kQueue:
      return "queue";
    case Stage::kPlan:
      return "plan";
    case Stage::kPool:
      return "pool";
    case Stage::kQuery:
      return "query";
    case Stage::kCommit:
      return "commit";
    case Stage::kMerge:
      return "merge";
  }
  return "unknown";
}

}  // namespace quarry
