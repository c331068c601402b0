#include "server/wiring/catalog_loader.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"

namespace quarry {
namespace {

// Two shards; the second is away until it is told to come.
class CatalogLoaderTest : public ::testing::Test {
 protected:
  CatalogLoaderParts Parts() {
    CatalogLoaderParts parts;
    parts.shards = {"s0", "s1"};
    parts.introspect = [this](size_t shard) -> absl::StatusOr<ShardSchema> {
      const absl::MutexLock lock(&mutex_);
      ++asked_[shard];
      if (shard == 1 && away_) return absl::UnavailableError("no route to host");
      return ShardSchema();
    };
    parts.build = [](const std::vector<ShardSchema>& schemas) -> absl::StatusOr<std::shared_ptr<const Snapshot>> {
      auto snapshot = std::make_shared<Snapshot>();
      snapshot->deployment = std::string(schemas.size(), '+');
      snapshot->catalog_ready = true;
      return snapshot;
    };
    parts.publish = [this](std::shared_ptr<const Snapshot> snapshot) {
      const absl::MutexLock lock(&mutex_);
      published_.push_back(std::move(snapshot));
    };
    parts.without_catalog = [](std::string problem) {
      auto snapshot = std::make_shared<Snapshot>();
      snapshot->catalog_problem = std::move(problem);
      return snapshot;
    };
    parts.retry_interval = absl::Milliseconds(1);
    return parts;
  }
  void AwaitAsked(size_t shard, int times) {
    const absl::MutexLock lock(&mutex_);
    const auto enough = [this, shard, times]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return asked_[shard] >= times; };
    mutex_.Await(absl::Condition(&enough));
  }
  void AwaitPublished(size_t times) {
    const absl::MutexLock lock(&mutex_);
    const auto enough = [this, times]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return published_.size() >= times; };
    mutex_.Await(absl::Condition(&enough));
  }
  // What the snapshots were built from: a + for each shard.
  std::vector<std::string> Published() {
    const absl::MutexLock lock(&mutex_);
    std::vector<std::string> built;
    for (const auto& snapshot : published_) built.push_back(snapshot->deployment);
    return built;
  }
  void SetAway(bool away) {
    const absl::MutexLock lock(&mutex_);
    away_ = away;
  }

 private:
  absl::Mutex mutex_;
  bool away_ ABSL_GUARDED_BY(mutex_) = true;
  std::vector<int> asked_ ABSL_GUARDED_BY(mutex_) = {0, 0};
  std::vector<std::shared_ptr<const Snapshot>> published_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(CatalogLoaderTest, PublishesWhatItHasLearntOnceWhileAShardIsAway) {
  CatalogLoader loader(Parts());
  AwaitAsked(1, 10);
  EXPECT_EQ(Published(), std::vector<std::string>({"+"}));
  SetAway(false);
  AwaitPublished(2);
  EXPECT_EQ(Published(), std::vector<std::string>({"+", "++"}));
}

TEST_F(CatalogLoaderTest, ARefreshAsksAllAndPublishesAgain) {
  SetAway(false);
  CatalogLoader loader(Parts());
  ASSERT_TRUE(loader.WaitForFirstPass(absl::Seconds(30)));
  loader.Refresh();
  AwaitAsked(0, 2);
  AwaitPublished(2);
  EXPECT_EQ(Published(), std::vector<std::string>({"++", "++"}));
}

}  // namespace
}  // namespace quarry
