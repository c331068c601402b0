// sql: raw statements on one shard or on all.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/output.h"
#include "client/quarryctl/text_value.h"
#include "core/base/rpc_status.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

struct SqlArguments {
  std::string shard;
  bool all = false;
  std::string sql;
  std::vector<std::string> params;
  bool allow_writes = false;
  bool best_effort = false;
  int64_t max_rows = 0;
  std::string request_id;
};

TextTable TableFor(const client::RowStream& rows, bool with_shard) {
  std::vector<std::string> header;
  if (with_shard) header.push_back("shard");
  for (const v1::ColumnHeader& column : rows.columns()) header.push_back(column.name());
  TextTable table(header);
  for (size_t i = 0; i < rows.columns().size(); ++i) {
    const v1::TypeCode code = rows.columns()[i].type().code();
    if (code == v1::TYPE_CODE_INT64 || code == v1::TYPE_CODE_DOUBLE ||
        code == v1::TYPE_CODE_DECIMAL) {
      table.AlignRight(i + (with_shard ? 1 : 0));
    }
  }
  return table;
}

// One object a row. A statement that names two columns alike should rename one: most JSON readers
// keep the last.
std::string RowJson(const client::SqlRow& row, const std::vector<v1::ColumnHeader>& columns,
                    bool with_shard) {
  std::string json = "{";
  if (with_shard) absl::StrAppend(&json, "\"shard\": ", JsonString(row.shard));
  for (size_t i = 0; i < row.values.size() && i < columns.size(); ++i) {
    absl::StrAppend(&json, json.size() > 1 ? ", " : "", JsonString(columns[i].name()), ": ",
                    ToJson(row.values[i].proto(), columns[i].type()));
  }
  return json + "}";
}

absl::Status PrintRows(Session& session, client::RowStream& rows, bool with_shard) {
  std::unique_ptr<TextTable> table;
  bool whole = true;  // All rows so far are in `table`.
  for (const absl::StatusOr<client::SqlRow>& row : rows) {
    if (!row.ok()) {
      if (table != nullptr) table->Print(session.out());
      return row.status();
    }
    if (session.json()) {
      session.out() << RowJson(*row, rows.columns(), with_shard) << "\n";
      continue;
    }
    if (table == nullptr) table = std::make_unique<TextTable>(TableFor(rows, with_shard));
    std::vector<std::string> cells;
    if (with_shard) cells.push_back(row->shard);
    for (size_t i = 0; i < row->values.size() && i < rows.columns().size(); ++i) {
      cells.push_back(ToText(row->values[i].proto(), rows.columns()[i].type()));
    }
    table->Add(std::move(cells));
    if (!table->full()) continue;
    table->Print(session.out());
    table.reset();
    whole = false;
  }
  if (table == nullptr && !session.json() && !rows.columns().empty() &&
      rows.summary().rows_returned() == 0) {
    table = std::make_unique<TextTable>(TableFor(rows, with_shard));
  }
  if (table == nullptr) return absl::OkStatus();
  // Shards answer in any order; where all rows are at hand they are shown in the shards' order.
  if (with_shard && whole) table->SortByFirst();
  table->Print(session.out());
  return absl::OkStatus();
}

void PrintSummary(Session& session, const client::RowStream& rows) {
  const v1::StreamSummary& summary = rows.summary();
  for (const v1::ShardStatus& failed : summary.failed_shards()) {
    session.Fail("sql on shard " + failed.shard(), FromRpcStatus(failed.status()));
  }
  if (session.json()) return;
  session.out() << "-- " << summary.rows_returned()
                << (summary.rows_returned() == 1 ? " row" : " rows");
  if (summary.rows_affected() > 0) session.out() << ", " << summary.rows_affected() << " changed";
  session.out() << ", " << summary.served_by().shards_answered_size() << " of "
                << summary.served_by().shards_asked_size()
                << (summary.served_by().shards_asked_size() == 1 ? " shard" : " shards")
                << (summary.replayed() ? ", by an earlier call\n" : "\n");
}

absl::Status Sql(Session& session, const SqlArguments& arguments) {
  std::vector<client::Value> params;
  for (const std::string& text : arguments.params) {
    QUARRY_ASSIGN_OR_RETURN(v1::Value value, FromText(v1::ColumnType(), text));
    params.emplace_back(std::move(value));
  }
  client::SqlOptions options;
  options.allow_writes = arguments.allow_writes;
  options.best_effort = arguments.best_effort;
  options.max_rows = arguments.max_rows;
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  client::CallOptions call;
  if (arguments.allow_writes) call.request_id = session.WriteId(arguments.request_id);
  auto rows = arguments.all ? client->RunSqlOnAll(arguments.sql, params, options, call)
                            : client->RunSql(arguments.shard, arguments.sql, params, options, call);
  QUARRY_RETURN_IF_ERROR(rows.status());
  QUARRY_RETURN_IF_ERROR(PrintRows(session, *rows, arguments.all));
  PrintSummary(session, *rows);
  return absl::OkStatus();
}

}  // namespace

void AddSql(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<SqlArguments>();
  CLI::App* command =
      app.add_subcommand("sql", "Runs one SQL statement on a shard or on all shards");
  auto* place = command->add_option_group("place", "Where it runs");
  place->add_option("--shard", arguments->shard, "One shard");
  place->add_flag("--all", arguments->all, "All shards");
  place->require_option(1);
  command->add_option("sql", arguments->sql, "The statement")->required();
  command->add_option(
      "params", arguments->params,
      "Values of its placeholders; int:, text:, decimal: and so on in front say the type");
  auto* writes = command->add_flag("--allow-writes", arguments->allow_writes, "Let it change rows");
  command->add_option("--request-id", arguments->request_id, "UUID that makes a write safe to repeat")->needs(writes);
  command->add_flag("--best-effort", arguments->best_effort,
                    "With --all: go on when a shard fails");
  command->add_option("--max-rows", arguments->max_rows, "Most rows to return")
      ->check(CLI::NonNegativeNumber);
  command->footer(
      "Example: quarryctl sql --all \"SELECT count(*) AS n FROM orders\"\n"
      "         quarryctl sql --shard s1 \"SELECT * FROM orders WHERE status = ?1\" paid");
  command->callback([&session, arguments] {
    const absl::Status status = Sql(session, *arguments);
    if (!status.ok()) {
      session.Fail(arguments->all ? "sql on all shards" : "sql on shard " + arguments->shard,
                   status);
    }
  });
}

}  // namespace quarry::ctl
