// list, query, aggregate, explain, update-where, delete-where.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "client/quarryctl/arguments.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/query_arguments.h"
#include "client/quarryctl/row_printer.h"
#include "client/quarryctl/text_value.h"
#include "core/base/error.h"
#include "core/base/rpc_status.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

std::string Count(int64_t count, const char* thing) { return absl::StrCat(count, " ", thing, count == 1 ? "" : "s"); }

template <typename Failed>
void ReportFailed(Session& session, const std::string& what, const Failed& failed) {
  for (const v1::ShardStatus& shard : failed) {
    session.Fail(absl::StrCat(what, " on shard ", shard.shard()), FromRpcStatus(shard.status()));
  }
}

void PrintTotals(Session& session, int64_t rows, const v1::ServedBy& served_by) {
  if (session.json()) return;
  session.out() << "-- " << Count(rows, "row") << ", " << served_by.shards_answered_size() << " of "
                << Count(served_by.shards_asked_size(), "shard") << "\n";
}

template <typename Reply>
int64_t PrintReply(Session& session, const Reply& reply) {
  RowPrinter printer(session);
  printer.SetColumns({reply.header().columns().begin(), reply.header().columns().end()});
  for (const v1::Row& row : reply.rows()) printer.Add(row);
  printer.Finish();
  return printer.rows();
}

absl::Status List(Session& session, const QueryArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const v1::ListRequest request, ListRequestOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::ListResponse page, client->ListPage(request));
  const int64_t rows = PrintReply(session, page);
  PrintTotals(session, rows, page.served_by());
  if (!page.next_page_token().empty()) {
    // Beside the rows, so that they stay rows.
    if (session.json()) {
      session.err() << "next page: --page-token " << page.next_page_token() << "\n";
    } else {
      session.out() << "-- next page: --page-token " << page.next_page_token() << "\n";
    }
  }
  ReportFailed(session, "list " + arguments.table, page.failed_shards());
  return absl::OkStatus();
}

absl::Status Query(Session& session, const QueryArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::Filter filter, FilterOf(arguments));
  client::QueryOptions options;
  options.columns = arguments.columns;
  options.order_by = OrderOf(arguments);
  options.distinct = arguments.distinct;
  options.limit = arguments.limit;
  options.offset = arguments.offset;
  options.reach = ReachOf(arguments);
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(client::QueryRows rows, client->Query(arguments.table, filter, options));
  RowPrinter printer(session);
  absl::Status status;
  for (const absl::StatusOr<client::QueryRows::Row>& row : rows) {
    if (!row.ok()) {
      status = row.status();
      break;
    }
    if (printer.rows() == 0) printer.SetColumns(rows.columns());
    printer.Add(*row);
  }
  if (printer.rows() == 0) printer.SetColumns(rows.columns());
  if (status.ok() || printer.rows() > 0) printer.Finish();
  QUARRY_RETURN_IF_ERROR(status);
  PrintTotals(session, printer.rows(), rows.summary().served_by());
  ReportFailed(session, "query " + arguments.table, rows.summary().failed_shards());
  return absl::OkStatus();
}

absl::Status Aggregate(Session& session, const QueryArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::Filter filter, FilterOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(const std::vector<client::Aggregate> aggregates, AggregatesOf(arguments.aggregates));
  client::AggregateOptions options;
  options.group_by = arguments.group_by;
  options.having = client::Filter(arguments.having);
  options.order_by = OrderOf(arguments);
  options.limit = arguments.limit;
  options.offset = arguments.offset;
  options.reach = ReachOf(arguments);
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::AggregateResponse reply,
                          client->Aggregate(arguments.table, filter, aggregates, options));
  PrintTotals(session, PrintReply(session, reply), reply.served_by());
  ReportFailed(session, "aggregate " + arguments.table, reply.failed_shards());
  return absl::OkStatus();
}

// ---- explain ----

struct ExplainArguments {
  QueryArguments query;
  std::string query_id;
  bool analyze = false;
};

absl::StatusOr<v1::ExplainRequest> ExplainRequestOf(const ExplainArguments& arguments) {
  v1::ExplainRequest request;
  request.set_analyze(arguments.analyze);
  if (arguments.query_id.empty() == arguments.query.table.empty()) {
    return InvalidField("table", "or --query-id says what to explain; give one of them");
  }
  if (!arguments.query_id.empty()) {
    request.set_query_id(arguments.query_id);
  } else if (!arguments.query.aggregates.empty() || !arguments.query.group_by.empty()) {
    QUARRY_ASSIGN_OR_RETURN(*request.mutable_aggregate(), AggregateRequestOf(arguments.query));
  } else if (arguments.query.page_size > 0) {
    QUARRY_ASSIGN_OR_RETURN(*request.mutable_list(), ListRequestOf(arguments.query));
  } else {
    QUARRY_ASSIGN_OR_RETURN(*request.mutable_query(), QueryRequestOf(arguments.query));
  }
  return request;
}

std::string Indented(const std::string& text) { return "    " + absl::StrReplaceAll(text, {{"\n", "\n    "}}); }

void PrintExplanation(Session& session, const v1::ExplainResponse& reply, bool analyzed) {
  std::ostream& out = session.out();
  const std::string shards = reply.shards().empty() ? "none" : absl::StrJoin(reply.shards(), ", ");
  PrintFields({{"shards", shards}, {"why", reply.reason()}, {"merge", reply.merge()}}, out);
  for (const v1::ShardQuery& shard : reply.shard_queries()) {
    out << "\n" << shard.shard();
    if (analyzed && shard.status().code() != 0) {
      out << ": " << shard.status().message();
    } else if (analyzed) {
      const absl::Duration took =
          absl::Seconds(shard.duration().seconds()) + absl::Nanoseconds(shard.duration().nanos());
      out << ": " << Count(shard.rows(), "row") << " in " << absl::FormatDuration(took);
    }
    out << "\n" << Indented(Printable(shard.sql())) << "\n";
    if (!shard.database_plan().empty()) out << Indented(shard.database_plan()) << "\n";
  }
  if (!reply.warnings().empty()) out << "\n";
  for (const std::string& warning : reply.warnings()) out << "! " << warning << "\n";
}

absl::Status Explain(Session& session, const ExplainArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const v1::ExplainRequest request, ExplainRequestOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::ExplainResponse reply, client->Explain(request));
  if (session.json()) {
    session.out() << MessageJson(reply);
  } else {
    PrintExplanation(session, reply, arguments.analyze);
  }
  return absl::OkStatus();
}

// ---- update-where, delete-where ----

struct BulkArguments {
  QueryArguments query;
  std::vector<std::string> set;
  bool everything = false;
  bool yes = false;
  bool all_shards = false;
  int batch_rows = 0;
  std::string request_id;
};

absl::Status PrintBulk(Session& session, const std::string& what, const client::BulkResult& result) {
  if (session.json()) {
    v1::UpdateWhereResponse reply;
    reply.set_rows(result.rows);
    for (const v1::ShardWrites& shard : result.shards) *reply.add_shards() = shard;
    reply.set_replayed(result.replayed);
    *reply.mutable_served_by() = result.served_by;
    session.out() << MessageJson(reply);
  } else {
    TextTable table({"shard", "rows", "batches", "status"});
    table.AlignRight(1);
    table.AlignRight(2);
    for (const v1::ShardWrites& shard : result.shards) {
      table.Add({shard.shard(), absl::StrCat(shard.rows()), absl::StrCat(shard.batches()),
                 shard.status().code() == 0 ? "done" : shard.status().message()});
    }
    table.Print(session.out());
    session.out() << "-- " << Count(result.rows, "row") << (result.replayed ? ", by an earlier call\n" : "\n");
  }
  for (const v1::ShardWrites& shard : result.shards) {
    if (shard.status().code() == 0) continue;
    session.Fail(absl::StrCat(what, " on shard ", shard.shard()), FromRpcStatus(shard.status()));
  }
  return absl::OkStatus();
}

absl::Status WriteWhere(Session& session, bool deletes, const BulkArguments& arguments) {
  if (!arguments.yes) {
    return InvalidField("--yes", absl::StrCat("is missing: this ", deletes ? "deletes" : "changes",
                                              " every row that matches; `quarryctl aggregate ", arguments.query.table,
                                              " --agg 'count(*)' --filter …` counts them first"));
  }
  QUARRY_ASSIGN_OR_RETURN(const client::Filter filter, FilterOf(arguments.query));
  client::BulkOptions options;
  options.everything = arguments.everything;
  options.allow_many_shards = arguments.all_shards;
  options.batch_rows = arguments.batch_rows;
  options.target = ReachOf(arguments.query).target;
  client::CallOptions call;
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  const std::string& name = arguments.query.table;
  if (deletes) {
    call.request_id = session.WriteId(arguments.request_id);
    QUARRY_ASSIGN_OR_RETURN(const client::BulkResult result, client->DeleteWhere(name, filter, options, call));
    return PrintBulk(session, "delete-where " + name, result);
  }
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(name));
  QUARRY_ASSIGN_OR_RETURN(v1::Record set, ParseAssignments(table, arguments.set));
  call.request_id = session.WriteId(arguments.request_id);
  QUARRY_ASSIGN_OR_RETURN(const client::BulkResult result,
                          client->UpdateWhere(name, filter, client::Record(std::move(set)), options, call));
  return PrintBulk(session, "update-where " + name, result);
}

void AddBulk(CLI::App& app, Session& session, bool deletes, const std::string& name, const char* description,
             const char* example) {
  auto arguments = std::make_shared<BulkArguments>();
  CLI::App* command = app.add_subcommand(name, description);
  AddFilterFlags(*command, arguments->query);
  if (!deletes) {
    command->add_option("set", arguments->set, "name=value or name:=JSON, the new values")->required();
  }
  command->add_flag("--everything", arguments->everything, "Every row of the table, without a filter");
  command->add_flag("--yes", arguments->yes, "Really do it");
  command->add_flag("--all-shards", arguments->all_shards,
                    "Let it write on more than one shard, each on its own");
  command->add_option("--batch-rows", arguments->batch_rows, "Rows that commit together on a shard")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--request-id", arguments->request_id, "UUID that makes the call safe to repeat");
  command->footer(std::string("Example: ") + example);
  command->callback([&session, deletes, name, arguments] {
    const absl::Status status = WriteWhere(session, deletes, *arguments);
    if (!status.ok()) session.Fail(name + " " + arguments->query.table, status);
  });
}

using RunQuery = absl::Status (*)(Session&, const QueryArguments&);

CLI::App* AddQuestion(CLI::App& app, Session& session, const std::string& name, const char* description,
                      const std::shared_ptr<QueryArguments>& arguments, RunQuery run) {
  CLI::App* command = app.add_subcommand(name, description);
  AddFilterFlags(*command, *arguments);
  AddReadFlags(*command, *arguments);
  command->callback([&session, name, arguments, run] {
    const absl::Status status = run(session, *arguments);
    if (!status.ok()) session.Fail(name + " " + arguments->table, status);
  });
  return command;
}

}  // namespace

void AddQuestions(CLI::App& app, Session& session) {
  auto list = std::make_shared<QueryArguments>();
  CLI::App* command =
      AddQuestion(app, session, "list", "Prints one page of the rows that match", list, List);
  AddColumnsFlag(*command, *list);
  command->add_option("--page-size", list->page_size, "Most rows of the page")->check(CLI::NonNegativeNumber);
  command->add_option("--page-token", list->page_token, "Of the page before");
  command->footer(
      "Example: quarryctl list orders --filter 'total > @least' --param least=100 --order -total,order_id\n"
      "         quarryctl list customers --columns customer_id,name --page-size 20");

  auto query = std::make_shared<QueryArguments>();
  command = AddQuestion(app, session, "query", "Streams all rows that match", query, Query);
  AddColumnsFlag(*command, *query);
  AddLimitFlags(*command, *query);
  command->add_flag("--distinct", query->distinct, "Equal rows once");
  command->footer("Example: quarryctl query orders --filter \"status = 'paid'\" -o json > paid.jsonl");

  auto aggregate = std::make_shared<QueryArguments>();
  command = AddQuestion(app, session, "aggregate", "Counts and sums the rows that match, by group", aggregate, Aggregate);
  AddAggregateFlags(*command, *aggregate);
  AddLimitFlags(*command, *aggregate);
  command->footer(
      "Example: quarryctl aggregate orders --group-by status --agg 'count(*) as n' --agg 'sum(total) as value' "
      "--having 'n > 10' --order -value");
}

void AddExplain(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<ExplainArguments>();
  CLI::App* command = app.add_subcommand(
      "explain", "Tells where a question goes, with which SQL, and what makes it costly");
  AddFilterFlags(*command, arguments->query);
  command->get_option("table")->required(false);
  AddReadFlags(*command, arguments->query);
  AddColumnsFlag(*command, arguments->query);
  AddLimitFlags(*command, arguments->query);
  AddAggregateFlags(*command, arguments->query);
  command->add_flag("--distinct", arguments->query.distinct, "Equal rows once");
  command->add_option("--page-size", arguments->query.page_size, "As a page of list")->check(CLI::NonNegativeNumber);
  command->add_option("--query-id", arguments->query_id, "An earlier call, as top names it");
  command->add_flag("--analyze", arguments->analyze, "Run it, and tell rows, times and the databases' plans");
  command->footer("Example: quarryctl explain orders --filter 'customer_id = 42' --analyze");
  command->callback([&session, arguments] {
    const absl::Status status = Explain(session, *arguments);
    if (!status.ok()) session.Fail("explain", status);
  });
}

void AddBulkWrites(CLI::App& app, Session& session) {
  AddBulk(app, session, false, "update-where", "Changes every row that matches, in batches",
          "quarryctl update-where orders status=late --filter \"status = 'open' AND placed < @day\" "
          "--param day=timestamptz:2026-01-01T00:00:00Z --all-shards --yes");
  AddBulk(app, session, true, "delete-where", "Deletes every row that matches, in batches",
          "quarryctl delete-where orders --filter 'customer_id = 42' --yes");
}

}  // namespace quarry::ctl
