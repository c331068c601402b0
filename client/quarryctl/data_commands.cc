// get, insert, update, upsert, delete.
#include <iostream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "client/quarryctl/arguments.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/output.h"
#include "client/quarryctl/text_value.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

struct GetArguments {
  std::string table;
  std::vector<std::string> key;
  std::vector<std::string> columns;
};

struct WriteArguments {
  std::string table;
  std::vector<std::string> columns;
  std::string json;
  std::vector<std::string> returning;
  std::string etag;
  std::string filter;
  std::string request_id;
};

enum class WriteKind { kInsert, kUpdate, kUpsert, kDelete };

absl::Status Get(Session& session, const GetArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(arguments.table));
  QUARRY_ASSIGN_OR_RETURN(v1::Key key, ParseKey(table, arguments.key));
  client::ReadOptions options;
  options.columns = arguments.columns;
  QUARRY_ASSIGN_OR_RETURN(const client::ReadResult row,
                          client->Get(arguments.table, client::Key(std::move(key)), options));
  if (session.json()) {
    session.out() << RecordJson(row.record.proto(), table) << "\n";
  } else {
    PrintFields(RecordFields(row.record.proto(), table), session.out());
    session.out() << "-- shard " << absl::StrJoin(row.served_by.shards_answered(), ", ")
                  << (row.etag.empty() ? "" : ", etag ") << row.etag << "\n";
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Record> RecordOf(const v1::Table& table, const WriteArguments& arguments) {
  if (arguments.json.empty()) return ParseAssignments(table, arguments.columns);
  if (!arguments.columns.empty())
    return InvalidField("json", "give either --json or name=value, not both");
  if (arguments.json != "-") return ParseRecordJson(table, arguments.json);
  const std::string text{std::istreambuf_iterator<char>(std::cin),
                         std::istreambuf_iterator<char>()};
  return ParseRecordJson(table, text);
}

absl::StatusOr<client::Mutation> MutationOf(WriteKind kind, const v1::Table& table,
                                            const WriteArguments& arguments) {
  client::MutationOptions options;
  options.returning = arguments.returning;
  options.etag = arguments.etag;
  options.filter = arguments.filter;
  if (kind == WriteKind::kDelete && arguments.json.empty()) {
    QUARRY_ASSIGN_OR_RETURN(v1::Key key, ParseKey(table, arguments.columns));
    return client::Mutation::Delete(table.name(), client::Key(std::move(key)), options);
  }
  QUARRY_ASSIGN_OR_RETURN(v1::Record record, RecordOf(table, arguments));
  if (kind == WriteKind::kInsert) {
    return client::Mutation::Insert(table.name(), client::Record(std::move(record)), options);
  }
  if (kind == WriteKind::kUpsert) {
    return client::Mutation::Upsert(table.name(), client::Record(std::move(record)), options);
  }
  const client::Key key(TakeKey(table, record));
  if (kind == WriteKind::kDelete) return client::Mutation::Delete(table.name(), key, options);
  return client::Mutation::Update(table.name(), key, client::Record(std::move(record)), options);
}

void PrintWriteJson(const client::WriteResult& result, const v1::Table& table, std::ostream& out) {
  out << "{\"key\": " << RecordJson(result.key.proto(), table);
  if (result.record.size() > 0) out << ", \"record\": " << RecordJson(result.record.proto(), table);
  if (!result.etag.empty()) out << ", \"etag\": " << JsonString(result.etag);
  out << ", \"shards\": [";
  const char* comma = "";
  for (const std::string& shard : result.served_by.shards_answered()) {
    out << comma << JsonString(shard);
    comma = ", ";
  }
  out << "], \"replayed\": " << (result.replayed ? "true" : "false");
  if (!result.unfinished_transaction_id.empty()) {
    out << ", \"unfinished_transaction_id\": " << JsonString(result.unfinished_transaction_id);
  }
  out << "}\n";
}

absl::Status Write(Session& session, WriteKind kind, const char* done,
                   const WriteArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(arguments.table));
  QUARRY_ASSIGN_OR_RETURN(const client::Mutation mutation, MutationOf(kind, table, arguments));
  client::CallOptions call;
  call.request_id = session.WriteId(arguments.request_id);
  QUARRY_ASSIGN_OR_RETURN(const client::WriteResult result, client->Write(mutation, call));
  if (session.json()) {
    PrintWriteJson(result, table, session.out());
    return absl::OkStatus();
  }
  const bool returned = result.record.size() > 0;
  PrintFields(RecordFields(returned ? result.record.proto() : result.key.proto(), table),
              session.out());
  session.out() << "-- " << done << " on shard "
                << absl::StrJoin(result.served_by.shards_answered(), ", ");
  if (!result.etag.empty()) session.out() << ", etag " << result.etag;
  session.out() << (result.replayed ? ", by an earlier call with this request id\n" : "\n");
  if (!result.unfinished_transaction_id.empty()) {
    session.out() << "-- committed; some shard has yet to show it: quarryctl transactions show "
                  << result.unfinished_transaction_id << "\n";
  }
  return absl::OkStatus();
}

void AddWrite(CLI::App& app, Session& session, WriteKind kind, const char* name, const char* done,
              const char* about, const char* example) {
  auto arguments = std::make_shared<WriteArguments>();
  CLI::App* command = app.add_subcommand(name, about);
  command->add_option("table", arguments->table, "Table")->required();
  const bool key_only = kind == WriteKind::kDelete;
  command->add_option("columns", arguments->columns,
                      key_only ? "The key: values in primary-key order, or name=value"
                               : "name=value (text), or name:=JSON (name:=null is NULL)");
  command->add_option("--json", arguments->json,
                      "The columns as one JSON object; - reads it from standard input");
  command
      ->add_option("--returning", arguments->returning,
                   "Columns to print, with commas; * means all")
      ->delimiter(',')
      ->allow_extra_args(false);
  if (kind != WriteKind::kInsert) {
    command->add_option("--etag", arguments->etag, "Only if the row still has this etag");
    command->add_option("--if", arguments->filter,
                        "Only if the row matches this filter, such as 'version = 3'");
  }
  command->add_option("--request-id", arguments->request_id,
                      "UUID that makes the write safe to repeat");
  command->footer(std::string("Example: ") + example);
  command->callback([&session, kind, name, done, arguments] {
    const absl::Status status = Write(session, kind, done, *arguments);
    if (!status.ok()) session.Fail(std::string(name) + " " + arguments->table, status);
  });
}

}  // namespace

void AddGet(CLI::App& app, Session& session) {
  auto arguments = std::make_shared<GetArguments>();
  CLI::App* command = app.add_subcommand("get", "Prints one row by its key");
  command->add_option("table", arguments->table, "Table")->required();
  command->add_option("key", arguments->key, "Values in primary-key order, or name=value")
      ->required();
  command->add_option("--columns", arguments->columns, "Columns to print, with commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->footer(
      "Example: quarryctl get orders customer_id=42 order_id=7\n"
      "         quarryctl get orders 42 7 -o json");
  command->callback([&session, arguments] {
    const absl::Status status = Get(session, *arguments);
    if (!status.ok()) session.Fail("get " + arguments->table, status);
  });
}

void AddWrites(CLI::App& app, Session& session) {
  AddWrite(app, session, WriteKind::kInsert, "insert", "inserted", "Adds one row",
           "quarryctl insert settings name=theme value=dark --returning '*'");
  AddWrite(app, session, WriteKind::kUpdate, "update", "updated",
           "Changes columns of one row; the key columns say which",
           "quarryctl update customers customer_id=42 name='Ada L.' country=GB");
  AddWrite(app, session, WriteKind::kUpsert, "upsert", "written",
           "Adds one row, or changes it where it exists",
           "quarryctl upsert settings --json '{\"name\": \"theme\", \"value\": \"light\"}'");
  AddWrite(app, session, WriteKind::kDelete, "delete", "deleted", "Removes one row by its key",
           "quarryctl delete settings theme");
}

}  // namespace quarry::ctl
