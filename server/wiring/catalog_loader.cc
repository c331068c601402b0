#include "server/wiring/catalog_loader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace quarry {
namespace {

constexpr size_t kAskedAtOnceMax = 16;

}  // namespace

CatalogLoader::CatalogLoader(CatalogLoaderParts parts) : parts_(std::move(parts)), thread_([this] { Run(); }) {}

CatalogLoader::~CatalogLoader() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

bool CatalogLoader::WaitForFirstPass(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&first_pass_done_), timeout);
}

void CatalogLoader::Refresh() {
  absl::MutexLock lock(&mutex_);
  refresh_ = true;
}

void CatalogLoader::Run() {
  std::vector<std::optional<ShardSchema>> known(parts_.shards.size());
  std::vector<absl::Status> errors(parts_.shards.size());
  while (true) {
    const bool news = AskMissing(known, errors);
    Publish(known, errors, news);
    // Once all have told the same there is nothing to ask until somebody wants it.
    const bool complete = published_ready_ && std::all_of(known.begin(), known.end(),
                                                          [](const auto& schema) { return schema.has_value(); });
    absl::MutexLock lock(&mutex_);
    first_pass_done_ = true;
    const auto wanted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || refresh_; };
    mutex_.AwaitWithTimeout(absl::Condition(&wanted), complete ? absl::InfiniteDuration() : parts_.retry_interval);
    if (stopping_) return;
    if (refresh_ || !published_ready_) {
      asked_ = std::exchange(refresh_, false);
      std::fill(known.begin(), known.end(), std::nullopt);
      misfit_.clear();
    }
  }
}

bool CatalogLoader::AskMissing(std::vector<std::optional<ShardSchema>>& known, std::vector<absl::Status>& errors) {
  const auto told = [&known] {
    return std::count_if(known.begin(), known.end(), [](const auto& schema) { return schema.has_value(); });
  };
  const auto before = told();
  for (size_t begin = 0; begin < known.size(); begin += kAskedAtOnceMax) {
    std::vector<std::thread> asking;
    const size_t end = std::min(begin + kAskedAtOnceMax, known.size());
    for (size_t shard = begin; shard < end; ++shard) {
      if (known[shard].has_value()) continue;
      asking.emplace_back([this, shard, &known, &errors] {
        absl::StatusOr<ShardSchema> schema = parts_.introspect(shard);
        errors[shard] = schema.status();
        if (schema.ok()) known[shard] = *std::move(schema);
      });
    }
    for (std::thread& thread : asking) thread.join();
  }
  return told() > before;
}

void CatalogLoader::Publish(const std::vector<std::optional<ShardSchema>>& known,
                            const std::vector<absl::Status>& errors, bool news) {
  std::vector<ShardSchema> schemas;
  std::string silent;
  for (size_t shard = 0; shard < known.size(); ++shard) {
    if (known[shard].has_value()) {
      schemas.push_back(*known[shard]);
    } else {
      absl::StrAppend(&silent, silent.empty() ? "" : "; ", "shard ", parts_.shards[shard], ": ",
                      std::string(errors[shard].message()));
    }
  }
  // Not without news: a new snapshot begins without what directories have told the last.
  if (news) {
    absl::StatusOr<std::shared_ptr<const Snapshot>> snapshot = parts_.build(schemas);
    misfit_ = std::string(snapshot.status().message());
    if (snapshot.ok()) {
      published_ready_ = true;
      parts_.publish(*std::move(snapshot));
    }
  }
  const std::string& problem = misfit_.empty() ? silent : misfit_;
  // A catalog that was good goes on serving: one shard that comes back different must not stop the others.
  if (!published_ready_) parts_.publish(parts_.without_catalog(problem));
  Report(problem, known.size());
}

void CatalogLoader::Report(const std::string& problem, size_t shards) {
  // Whoever asked waits for a result, also for the same as before.
  if (!std::exchange(asked_, false) && problem == last_problem_) return;
  if (problem.empty()) {
    spdlog::info("the tables of all {} shards are known and alike", shards);
  } else {
    spdlog::warn("catalog: {}", problem);
  }
  last_problem_ = problem;
}

}  // namespace quarry
