#include "loadtest/quarry_load/connect.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/random.h"
#include "loadtest/quarry_load/reply_reader.h"
#include "quarry/v1/schema.grpc.pb.h"

namespace quarry::load {
namespace {

constexpr int64_t kKeysResolved = 2048;

std::chrono::system_clock::time_point After(absl::Duration timeout) {
  return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout);
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  grpc::ChannelArguments arguments;
  // Otherwise all channels to one address share one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetMaxReceiveMessageSize(-1);
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  channel->GetState(/*try_to_connect=*/true);
  return channel;
}

}  // namespace

absl::StatusOr<std::vector<Channels>> Connect(const Scenario& scenario,
                                              const std::string& address) {
  std::vector<Channels> all(static_cast<size_t>(scenario.threads));
  for (Channels& channels : all) {
    for (int64_t i = 0; i < scenario.channels; ++i) channels.push_back(MakeChannel(address));
  }
  const auto deadline = After(scenario.connect_timeout);
  for (const Channels& channels : all) {
    for (const auto& channel : channels) {
      if (channel->WaitForConnected(deadline)) continue;
      return absl::UnavailableError(absl::StrCat(
          "cannot connect to ", address, " within ", absl::FormatDuration(scenario.connect_timeout),
          ": no gRPC server answers there. Is it running, and is this its gRPC port?"));
    }
  }
  return all;
}

absl::StatusOr<KeysByShard> GroupKeysByShard(const Scenario& scenario,
                                             const std::shared_ptr<grpc::Channel>& channel) {
  SeededRandom random(scenario.seed);
  std::set<int64_t> keys;
  const int64_t wanted = std::min(scenario.keys, kKeysResolved);
  while (static_cast<int64_t>(keys.size()) < wanted) keys.insert(1 + Below(scenario.keys, random));
  const auto schema = v1::SchemaService::NewStub(channel);
  std::map<std::string, std::vector<int64_t>> groups;
  for (const int64_t key : keys) {
    v1::ResolveKeyRequest request;
    request.set_table(scenario.table.name);
    request.mutable_key()->add_values()->set_int64_value(key);
    v1::ResolveKeyResponse response;
    grpc::ClientContext context;
    context.set_deadline(After(scenario.connect_timeout));
    const grpc::Status status = schema->ResolveKey(&context, request, &response);
    if (!status.ok()) {
      return absl::Status(
          static_cast<absl::StatusCode>(status.error_code()),
          absl::StrCat("cannot learn which keys share a shard: ", status.error_message()));
    }
    groups[response.shard()].push_back(key);
  }
  KeysByShard large;
  for (auto& [shard, group] : groups) {
    if (static_cast<int64_t>(group.size()) >= scenario.keys_per_shard())
      large.push_back(std::move(group));
  }
  const bool over_two =
      scenario.has(Operation::kCommitAcross) || scenario.has(Operation::kCommitApart);
  if (over_two && large.size() < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat("all of ", keys.size(), " keys tried live on one shard: commit_across and "
                     "commit_apart need two"));
  }
  if (large.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no shard holds ", scenario.keys_per_shard(), " of ", keys.size(),
                     " keys tried: a commit needs as many on one shard"));
  }
  return large;
}

}  // namespace quarry::load
