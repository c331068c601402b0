// Asks the shards for their schemas in the background and publishes a snapshot each time it has learnt more. A shard that
// does not answer is asked again and again; it holds up nobody.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "core/catalog/catalog.h"
#include "core/plan/snapshot.h"

namespace quarry {

struct CatalogLoaderParts {
  std::vector<std::string> shards;  // Names, in order.
  // Blocking; called from several threads at once.
  std::function<absl::StatusOr<ShardSchema>(size_t shard)> introspect;
  std::function<absl::StatusOr<std::shared_ptr<const Snapshot>>(const std::vector<ShardSchema>&)> build;
  // Any thread. The newest snapshot, ready or with the reason why not.
  std::function<void(std::shared_ptr<const Snapshot>)> publish;
  std::function<std::shared_ptr<const Snapshot>(std::string problem)> without_catalog;
  absl::Duration retry_interval = absl::Seconds(1);
};

// Thread-safe.
class CatalogLoader {
 public:
  explicit CatalogLoader(CatalogLoaderParts parts);
  ~CatalogLoader();  // Waits for the questions under way.
  CatalogLoader(const CatalogLoader&) = delete;
  CatalogLoader& operator=(const CatalogLoader&) = delete;

  // True once every shard has been asked once, however it answered; false when that takes longer than `timeout`.
  bool WaitForFirstPass(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks every shard again, for example after a migration. The old snapshot serves until the new one is good.
  // The log tells the result, whatever it is.
  void Refresh() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Run();
  // Whether a shard told its schema.
  bool AskMissing(std::vector<std::optional<ShardSchema>>& known, std::vector<absl::Status>& errors);
  void Publish(const std::vector<std::optional<ShardSchema>>& known, const std::vector<absl::Status>& errors, bool news);
  // Logs what came of asking: `problem`, or that the tables fit.
  void Report(const std::string& problem, size_t shards);

  const CatalogLoaderParts parts_;
  bool published_ready_ = false;  // The thread's own.
  std::string misfit_;            // The thread's own: why the newest schemas make no snapshot; empty when they do.
  std::string last_problem_;      // The thread's own.
  bool asked_ = false;            // The thread's own: this pass answers a Refresh.
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool refresh_ ABSL_GUARDED_BY(mutex_) = false;
  bool first_pass_done_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace quarry
