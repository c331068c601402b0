// transactions list, show, resolve; init-shard.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/output.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

std::string StateName(v1::TransactionState state) {
  return absl::AsciiStrToLower(
      v1::TransactionState_Name(state).substr(sizeof("TRANSACTION_STATE_") - 1));
}

std::string AgeText(const google::protobuf::Duration& age) {
  const absl::Duration exact = absl::Seconds(age.seconds()) + absl::Nanoseconds(age.nanos());
  return absl::FormatDuration(absl::Trunc(exact, absl::Milliseconds(100)));
}

template <typename Names>
std::string Join(const Names& names) {
  return absl::StrJoin(names, ", ");
}

// A shard that did not answer may hold more than what is printed: never silently.
template <typename Statuses>
void TellFailed(const std::string& what, const Statuses& failed, Session& session) {
  for (const v1::ShardStatus& shard : failed) {
    session.Fail(what, WithFact(FromRpcStatus(shard.status()), "shard", shard.shard()));
  }
}

absl::Status List(Session& session, const std::string& min_age) {
  std::optional<absl::Duration> age;
  if (!min_age.empty()) {
    age.emplace();
    if (!absl::ParseDuration(min_age, &*age) || *age < absl::ZeroDuration())
      return InvalidField("min-age", "expects a duration with its unit, such as 0s, 500ms or 1h");
  }
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::ListInDoubtTransactionsResponse list,
                          client->ListInDoubtTransactions(age));
  if (session.json()) {
    session.out() << MessageJson(list);
  } else {
    TextTable table({"transaction", "state", "home", "prepared on", "wrote on", "age"});
    for (const v1::InDoubtTransaction& one : list.transactions()) {
      table.Add({one.transaction_id(), StateName(one.state()),
                 absl::StrCat(one.home(), one.home_unknown() ? " (not configured)" : ""),
                 Join(one.prepared_shards()), Join(one.participants()), AgeText(one.age())});
    }
    table.Print(session.out());
    session.out() << "-- " << list.transactions_size() << " not at their end\n";
  }
  TellFailed("transactions list: asking a shard", list.failed_shards(), session);
  return absl::OkStatus();
}

absl::Status Show(Session& session, const std::string& id) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::GetTransactionResponse fate, client->GetTransaction(id));
  if (session.json()) {
    session.out() << MessageJson(fate);
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"transaction", id},
                                                             {"state", StateName(fate.state())},
                                                             {"shards", Join(fate.shards())}};
  if (!fate.home().empty()) fields.emplace_back("deciding shard", fate.home());
  if (fate.unfinished_shards_size() > 0)
    fields.emplace_back("unfinished on", Join(fate.unfinished_shards()));
  PrintFields(fields, session.out());
  return absl::OkStatus();
}

absl::Status Resolve(Session& session, const std::string& id) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::ResolveTransactionResponse end, client->ResolveTransaction(id));
  if (session.json()) {
    session.out() << MessageJson(end);
  } else {
    PrintFields({{"transaction", id}, {"state", StateName(end.state())}, {"deciding shard", end.home()}},
                session.out());
    if (end.unfinished_shards_size() > 0) {
      session.out() << "! not ended yet on " << Join(end.unfinished_shards())
                    << "; recovery goes on as soon as its shards answer\n";
    }
  }
  TellFailed("transactions resolve: asking a shard", end.failed_shards(), session);
  if (end.contradicting_shards_size() > 0) {
    return absl::DataLossError(absl::StrCat(
        "the part of transaction ", id, " on ", Join(end.contradicting_shards()),
        " is not as decided; was a shard restored, or a prepared transaction ended by hand? Compare "
        "the rows of its shards and repair by hand"));
  }
  if (end.state() == v1::TRANSACTION_STATE_IN_DOUBT && end.failed_shards_size() == 0) {
    return absl::UnavailableError(
        absl::StrCat("shard ", end.home(), " has not decided transaction ", id, " in time"));
  }
  return absl::OkStatus();
}

absl::Status InitShard(Session& session, const std::string& shard, bool all) {
  if (shard.empty() == !all) {
    return InvalidField("shard", all ? "is given together with --all; give one of both"
                                     : "is missing; name a shard, or give --all");
  }
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::ShardStatus> shards, client->InitShard(shard));
  if (session.json()) {
    v1::InitShardResponse list;
    for (const v1::ShardStatus& one : shards) *list.add_shards() = one;
    session.out() << MessageJson(list);
  } else {
    for (const v1::ShardStatus& one : shards) {
      if (one.status().code() == 0) session.out() << one.shard() << "  ready\n";
    }
  }
  for (const v1::ShardStatus& one : shards) {
    if (one.status().code() == 0) continue;
    session.Fail("init-shard", WithFact(FromRpcStatus(one.status()), "shard", one.shard()));
  }
  return absl::OkStatus();
}

using OfOne = absl::Status (*)(Session&, const std::string&);

void AddOfOne(CLI::App& transactions, Session& session, const std::string& name,
              const char* description, const std::string& footer, OfOne run) {
  auto id = std::make_shared<std::string>();
  CLI::App* command = transactions.add_subcommand(name, description);
  command->add_option("id", *id, "Id of the transaction")->required();
  command->footer(footer);
  command->callback([&session, name, id, run] {
    if (const absl::Status status = run(session, *id); !status.ok())
      session.Fail("transactions " + name, status);
  });
}

void AddInitShard(CLI::App& app, Session& session) {
  auto shard = std::make_shared<std::string>();
  auto all = std::make_shared<bool>(false);
  CLI::App* init = app.add_subcommand(
      "init-shard",
      "Creates Quarry's own tables on a shard, and checks that transactions over several shards can "
      "use it");
  init->add_option("shard", *shard, "Name of the shard");
  init->add_flag("--all", *all, "On all shards");
  init->footer(
      "The gateway's database user must be allowed to create the schema quarry. It may be run\n"
      "again at any time. Example: quarryctl init-shard --all");
  init->callback([&session, shard, all] {
    if (const absl::Status status = InitShard(session, *shard, *all); !status.ok())
      session.Fail("init-shard", status);
  });
}

}  // namespace

void AddTransactions(CLI::App& app, Session& session) {
  CLI::App* transactions = app.add_subcommand(
      "transactions", "Transactions over several shards: what became of them, and ending them");
  transactions->require_subcommand(1);
  transactions->footer("Example: quarryctl transactions list");
  auto min_age = std::make_shared<std::string>();
  CLI::App* list = transactions->add_subcommand(
      "list", "Lists those that are not at their end, asking all shards");
  list->add_option("--min-age", *min_age,
                   "Leave out younger ones (the gateway's transactions.recovery_age)");
  list->footer(
      "A shard that cannot be asked is reported and makes the exit code that of its error.\n"
      "Example: quarryctl transactions list --min-age 0s");
  list->callback([&session, min_age] {
    if (const absl::Status status = List(session, *min_age); !status.ok())
      session.Fail("transactions list", status);
  });
  AddOfOne(*transactions, session, "show", "Tells what became of one",
           "Example: quarryctl transactions show ID", Show);
  AddOfOne(*transactions, session, "resolve",
           "Ends one now: as it is decided, else by rolling it back",
           "Recovery does so by itself after some seconds. What is committed stays committed; a\n"
           "commit that is still under way is rolled back. Example: quarryctl transactions resolve ID",
           Resolve);
  AddInitShard(app, session);
}

}  // namespace quarry::ctl
