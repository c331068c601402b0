// shards, health.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/output.h"
#include "client/quarryctl/text_value.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

std::string StateName(v1::ServerState state) {
  switch (state) {
    case v1::SERVER_STATE_UP:
      return "up";
    case v1::SERVER_STATE_DOWN:
      return "down";
    default:
      return "not tried";
  }
}

std::string BackendName(v1::BackendKind kind) {
  return absl::AsciiStrToLower(v1::BackendKind_Name(kind).substr(sizeof("BACKEND_KIND_") - 1));
}

const char* RoleName(v1::Role role) {
  return role == v1::ROLE_REPLICA ? "replica" : role == v1::ROLE_PRIMARY ? "primary" : "";
}

absl::Status ListShards(Session& session) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::Shard> shards, client->ListShards());
  if (session.json()) {
    v1::ListShardsResponse list;
    for (const v1::Shard& shard : shards) *list.add_shards() = shard;
    session.out() << MessageJson(list);
    return absl::OkStatus();
  }
  TextTable table(
      {"shard", "database", "role", "state", "sessions", "waiting", "address", "error"});
  for (const v1::Shard& shard : shards) {
    for (const v1::ShardServer& server : shard.servers()) {
      const v1::PoolStats& pool = server.pool();
      table.Add({shard.name(), BackendName(shard.kind()), RoleName(server.role()),
                 StateName(server.state()),
                 absl::StrCat(pool.sessions_in_use(), "/", pool.sessions_max()),
                 absl::StrCat(pool.waiters()), server.address(), server.last_error().message()});
    }
  }
  table.Print(session.out());
  return absl::OkStatus();
}

// Any answer of the health service proves a live process; it never asks a database. A reason comes from a gateway alone: one
// that is full refuses, and one of an older version that drains.
absl::Status Live(Session& session) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  const absl::StatusOr<bool> answer = client->Health();
  if (!answer.ok() && ReasonOf(answer.status()).empty()) return answer.status();
  const bool serving = answer.value_or(false);
  if (session.json()) {
    session.out() << "{\"live\": true, \"serving\": " << (serving ? "true" : "false") << "}\n";
  } else {
    session.out() << (serving ? "live, serving\n" : "live, not serving\n");
  }
  return absl::OkStatus();
}

// Why a gateway whose shards are up does not serve; empty when that is not because of its tables.
std::string TablesProblem(client::Client& client) {
  client::CallOptions once;
  once.timeout = absl::Milliseconds(900);  // Less than the delay to a retry.
  const absl::Status status = client.ListTables(once).status();
  return ReasonOf(status) == reason::kCatalogNotReady ? std::string(status.message()) : "";
}

absl::Status Health(Session& session) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const bool serving, client->Health());
  QUARRY_ASSIGN_OR_RETURN(const v1::GetInfoResponse info, client->GetInfo());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::Shard> shards, client->ListShards());
  const std::string problem = serving ? "" : TablesProblem(*client);
  bool healthy = serving;
  TextTable table({"shard", "state"});
  std::string json;
  for (const v1::Shard& shard : shards) {
    healthy = healthy && shard.state() == v1::SERVER_STATE_UP;
    table.Add({shard.name(), StateName(shard.state())});
    absl::StrAppend(&json, json.empty() ? "" : ", ", JsonString(shard.name()), ": ",
                    JsonString(StateName(shard.state())));
  }
  if (!healthy) session.set_exit_code(kExitUnhealthy);
  if (session.json()) {
    session.out() << "{\"serving\": " << (serving ? "true" : "false")
                  << (problem.empty() ? "" : ", \"problem\": " + JsonString(problem))
                  << ", \"version\": " << JsonString(info.version()) << ", \"shards\": {" << json
                  << "}}\n";
    return absl::OkStatus();
  }
  PrintFields({{"gateway", serving ? "serving" : "not serving"},
               {"version", info.version()},
               {"deployment", info.deployment()},
               {"epoch", absl::StrCat(info.epoch())},
               {"up for", absl::FormatDuration(absl::Seconds(info.uptime().seconds()))}},
              session.out());
  session.out() << "\n";
  table.Print(session.out());
  if (!problem.empty()) session.out() << "\n" << problem << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddShards(CLI::App& app, Session& session) {
  CLI::App* shards = app.add_subcommand("shards", "The databases behind the gateway");
  shards->require_subcommand(1);
  shards->footer("Example: quarryctl shards list");
  CLI::App* list =
      shards->add_subcommand("list", "Lists all shards with their servers, state and sessions");
  list->footer("Example: quarryctl shards list -o json");
  list->callback([&session] {
    if (const absl::Status status = ListShards(session); !status.ok())
      session.Fail("shards list", status);
  });
  CLI::App* health =
      app.add_subcommand("health", "Tells whether the gateway and its shards can be used now");
  health->footer("Example: quarryctl health || echo 'exit code 12: something is down'");
  auto live = std::make_shared<bool>(false);
  health->add_flag("--live", *live,
                   "Only whether the gateway answers, whatever it and its shards can do now");
  health->callback([&session, live] {
    const absl::Status status = *live ? Live(session) : Health(session);
    if (!status.ok()) session.Fail("health", status);
  });
}

}  // namespace quarry::ctl
