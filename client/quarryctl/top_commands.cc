// top, insights: what queries cost, and what would make them cheaper.
#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/output.h"
#include "client/quarryctl/text_value.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

struct TopArguments {
  std::string by = "time";
  int limit = 20;
  bool shards = false;
};

std::string Millis(const google::protobuf::Duration& duration) {
  return absl::StrFormat("%.1f", static_cast<double>(duration.seconds()) * 1e3 + duration.nanos() / 1e6);
}

v1::QueryRanking RankingOf(const std::string& by) {
  if (by == "calls") return v1::QUERY_RANKING_CALLS;
  return by == "rows" ? v1::QUERY_RANKING_ROWS : v1::QUERY_RANKING_TOTAL_DURATION;
}

// A line for each shape and shard.
void PrintShards(const std::vector<v1::TopQuery>& queries, std::ostream& out) {
  TextTable table({"query", "shard", "calls", "rows", "total ms", "mean ms", "method", "table", "shape"});
  for (size_t column = 2; column <= 5; ++column) table.AlignRight(column);
  for (const v1::TopQuery& query : queries) {
    for (const v1::TopQueryShard& shard : query.shards()) {
      table.Add({query.query_id(), shard.shard(), absl::StrCat(shard.calls()), absl::StrCat(shard.rows()),
                 Millis(shard.total_duration()), Millis(shard.mean_duration()), query.method(), query.table(),
                 query.shape()});
    }
  }
  table.Print(out);
}

absl::Status Top(Session& session, const TopArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::TopQuery> queries,
                          client->ListTopQueries(RankingOf(arguments.by), arguments.limit));
  if (session.json()) {
    v1::ListTopQueriesResponse list;
    for (const v1::TopQuery& query : queries) *list.add_queries() = query;
    session.out() << MessageJson(list);
    return absl::OkStatus();
  }
  if (arguments.shards) {
    PrintShards(queries, session.out());
    return absl::OkStatus();
  }
  TextTable table({"query", "calls", "errors", "rows", "total ms", "mean ms", "max ms", "shards/call", "scatter",
                   "method", "table", "shape"});
  for (size_t column = 1; column <= 8; ++column) table.AlignRight(column);
  for (const v1::TopQuery& query : queries) {
    const double calls = std::max<double>(1, query.calls());
    const double shards = query.shards_asked() / calls;
    const double scatter = 100 * query.scatter_calls() / calls;
    table.Add({query.query_id(), absl::StrCat(query.calls()), absl::StrCat(query.errors()),
               absl::StrCat(query.rows()), Millis(query.total_duration()), Millis(query.mean_duration()),
               Millis(query.max_duration()), absl::StrFormat("%.1f", shards), absl::StrFormat("%.0f%%", scatter),
               query.method(), query.table(), query.shape()});
  }
  table.Print(session.out());
  return absl::OkStatus();
}

// ---- insights ----

struct Insight {
  std::string query_id;
  std::string what;
  std::string fix;
};

// "id = ?" is not in "order_id = ?".
bool HasTerm(const std::string& shape, const std::string& term) {
  for (size_t at = shape.find(term); at != std::string::npos; at = shape.find(term, at + 1)) {
    if (at == 0 || shape[at - 1] == ' ' || shape[at - 1] == '(') return true;
  }
  return false;
}

bool NamesKey(const v1::TopQuery& query, const v1::Table& table) {
  return std::all_of(table.shard_key().begin(), table.shard_key().end(), [&query](const std::string& column) {
    return HasTerm(query.shape(), column + " = ?") || HasTerm(query.shape(), column + " IN (?)");
  });
}

void FindScatter(const v1::TopQuery& query, const v1::Table& table, std::vector<Insight>& insights) {
  if (query.scatter_calls() == 0 || table.shard_key().empty() || NamesKey(query, table)) return;
  std::string key;
  for (const std::string& column : table.shard_key()) absl::StrAppend(&key, key.empty() ? "" : ", ", column);
  insights.push_back({query.query_id(),
                      absl::StrCat(query.scatter_calls(), " of ", query.calls(), " calls asked several shards: ",
                                   query.method(), " ", query.table(), " ", query.shape()),
                      absl::StrCat("add equality on the shard key (", key,
                                   ") to the filter where the caller knows it, or set max_shards to bound it")});
}

// PostgreSQL says "Seq Scan on t", SQLite "SCAN t" without USING INDEX.
bool ScansAll(const std::string& plan) {
  if (absl::StrContains(plan, "Seq Scan")) return true;
  const size_t scan = plan.find("SCAN ");
  if (scan == std::string::npos) return false;
  return !absl::StrContains(plan.substr(scan, plan.find('\n', scan) - scan), "USING");
}

void FindSequentialScan(const v1::TopQuery& query, const v1::ExplainResponse& reply, std::vector<Insight>& insights) {
  if (absl::StartsWith(query.shape(), "all rows") || absl::StrContains(query.shape(), " of all rows")) return;
  for (const v1::ShardQuery& shard : reply.shard_queries()) {
    if (!ScansAll(shard.database_plan())) continue;
    insights.push_back({query.query_id(),
                        absl::StrCat("shard ", shard.shard(), " reads its whole table: ", query.method(), " ",
                                     query.table(), " ", query.shape()),
                        absl::StrCat("an index on the columns of the filter and the order, on every shard of ",
                                     query.table(), "; small tables are read whole in any case")});
    return;
  }
}

// One shard that gives more than twice its fair part of at least a thousand rows.
void FindSkew(const v1::TopQuery& query, const v1::ExplainResponse& reply, std::vector<Insight>& insights) {
  int64_t total = 0;
  const v1::ShardQuery* most = nullptr;
  for (const v1::ShardQuery& shard : reply.shard_queries()) {
    total += shard.rows();
    if (most == nullptr || shard.rows() > most->rows()) most = &shard;
  }
  const int shards = reply.shard_queries_size();
  if (shards < 2 || total < 1'000 || most->rows() * shards <= 2 * total) return;
  insights.push_back({query.query_id(),
                      absl::StrCat("shard ", most->shard(), " gives ", most->rows(), " of ", total, " rows: ",
                                   query.method(), " ", query.table(), " ", query.shape()),
                      "a shard key with more different values, or a resolver that spreads the heavy ones "
                      "(lookup, consistent_hash with weights)"});
}

absl::Status FindInsights(client::Client& client, const v1::TopQuery& query, std::vector<Insight>& insights) {
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client.GetTable(query.table()));
  FindScatter(query, table, insights);
  if (!query.has_example()) return absl::OkStatus();
  v1::ExplainRequest request;
  request.set_query_id(query.query_id());
  request.set_analyze(true);
  QUARRY_ASSIGN_OR_RETURN(const v1::ExplainResponse reply, client.Explain(request));
  FindSequentialScan(query, reply, insights);
  FindSkew(query, reply, insights);
  return absl::OkStatus();
}

absl::Status Insights(Session& session, const TopArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::TopQuery> queries,
                          client->ListTopQueries(RankingOf(arguments.by), arguments.limit));
  std::vector<Insight> insights;
  for (const v1::TopQuery& query : queries) {
    // One that cannot be analyzed now says nothing of the others.
    const absl::Status status = FindInsights(*client, query, insights);
    if (!status.ok()) session.Fail("explain of query " + query.query_id(), status);
  }
  if (session.json()) {
    for (const Insight& insight : insights) {
      session.out() << "{\"query_id\": " << JsonString(insight.query_id) << ", \"what\": " << JsonString(insight.what)
                    << ", \"fix\": " << JsonString(insight.fix) << "}\n";
    }
    return absl::OkStatus();
  }
  for (const Insight& insight : insights) {
    session.out() << "! " << Printable(insight.what) << "\n  " << insight.fix << "\n  quarryctl explain --query-id "
                  << insight.query_id << " --analyze\n";
  }
  session.out() << "-- " << insights.size() << " found in " << queries.size() << " shapes of queries\n";
  return absl::OkStatus();
}

using RunTop = absl::Status (*)(Session&, const TopArguments&);

CLI::App* AddOne(CLI::App& app, Session& session, const char* name, const char* description, const char* footer, RunTop run,
                 const std::shared_ptr<TopArguments>& arguments) {
  CLI::App* command = app.add_subcommand(name, description);
  command->add_option("--by", arguments->by, "What counts as costly (time)")
      ->check(CLI::IsMember({"time", "calls", "rows"}));
  command->add_option("--limit", arguments->limit, "How many shapes to look at (20)")->check(CLI::Range(1, 1000));
  command->footer(footer);
  command->callback([&session, name, arguments, run] {
    if (const absl::Status status = run(session, *arguments); !status.ok()) session.Fail(name, status);
  });
  return command;
}

}  // namespace

void AddTop(CLI::App& app, Session& session) {
  const auto top = std::make_shared<TopArguments>();
  AddOne(app, session, "top", "Lists the queries that cost most since the gateway started",
         "Example: quarryctl top --by rows --limit 5", Top, top)
      ->add_flag("--shards", top->shards, "A line for each query and shard: which shard takes the time (JSON always has them)");
  AddOne(app, session, "insights",
         "Looks for queries that could be cheaper: runs the costliest again (reads only) and suggests what to change",
         "Example: quarryctl insights --limit 10", Insights, std::make_shared<TopArguments>());
}

}  // namespace quarry::ctl
