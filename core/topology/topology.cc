#include "core/topology/topology.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/base/error.h"

namespace quarry {

Topology::Topology(Epoch epoch, std::vector<Shard> shards) : epoch_(epoch), shards_(std::move(shards)) {
  for (size_t i = 0; i < shards_.size(); ++i) {
    shards_[i].id = static_cast<ShardId>(i);
    by_name_.emplace(shards_[i].name, shards_[i].id);
  }
}

absl::StatusOr<ShardId> Topology::Find(std::string_view name) const {
  if (const auto found = by_name_.find(name); found != by_name_.end()) return found->second;
  std::vector<std::string> names;
  for (const Shard& shard : shards_) names.push_back(shard.name);
  return MakeError(absl::StatusCode::kNotFound, reason::kShardNotFound,
                   absl::StrCat("no shard is named \"", std::string(name), "\"", DidYouMean(name, names),
                                "; shards are: ", absl::StrJoin(names, ", ")),
                   {{"shard", std::string(name)}});
}

}  // namespace quarry
