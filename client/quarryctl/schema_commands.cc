// tables, resolve, map.
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/quarryctl/arguments.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/output.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

// "sharded" of TABLE_KIND_SHARDED.
std::string KindName(v1::TableKind kind) {
  constexpr size_t kPrefix = sizeof("TABLE_KIND_") - 1;
  return absl::AsciiStrToLower(v1::TableKind_Name(kind).substr(kPrefix));
}

std::string TypeName(const v1::ColumnType& type) {
  if (!type.native_type().empty()) return type.native_type();
  return absl::AsciiStrToLower(v1::TypeCode_Name(type.code()).substr(sizeof("TYPE_CODE_") - 1));
}

absl::Status List(Session& session) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<v1::TableSummary> tables, client->ListTables());
  if (session.json()) {
    v1::ListTablesResponse list;
    for (const v1::TableSummary& table : tables) *list.add_tables() = table;
    session.out() << MessageJson(list);
    return absl::OkStatus();
  }
  TextTable text({"table", "kind", "shard key", "resolver"});
  for (const v1::TableSummary& table : tables) {
    text.Add({table.name(), KindName(table.kind()), absl::StrJoin(table.shard_key(), ", "),
              table.resolver()});
  }
  text.Print(session.out());
  return absl::OkStatus();
}

absl::Status Describe(Session& session, const std::string& name) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(name));
  if (session.json()) {
    session.out() << MessageJson(table);
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"table", table.name()},
                                                             {"kind", KindName(table.kind())}};
  if (table.kind() == v1::TABLE_KIND_SHARDED) {
    fields.emplace_back("shard key", absl::StrJoin(table.shard_key(), ", "));
    fields.emplace_back("resolver", table.resolver());
  }
  fields.emplace_back("primary key", absl::StrJoin(table.primary_key(), ", "));
  fields.emplace_back("shards", absl::StrJoin(table.shards(), ", "));
  if (table.colocated_with_size() > 0)
    fields.emplace_back("with", absl::StrJoin(table.colocated_with(), ", "));
  for (const v1::UniqueConstraint& unique : table.unique_constraints()) {
    fields.emplace_back(
        "unique", absl::StrCat(unique.name(), " (", absl::StrJoin(unique.columns(), ", "), ")"));
  }
  for (const v1::ForeignKey& foreign : table.foreign_keys()) {
    fields.emplace_back("foreign key",
                        absl::StrCat(foreign.name(), " (", absl::StrJoin(foreign.columns(), ", "),
                                     ") to ", foreign.referenced_table(), " (",
                                     absl::StrJoin(foreign.referenced_columns(), ", "), ")"));
  }
  PrintFields(fields, session.out());
  session.out() << "\n";
  TextTable columns({"column", "type", "null", "filled in"});
  for (const v1::Column& column : table.columns()) {
    const char* filled = column.generated() ? "always" : column.has_default() ? "by default" : "";
    columns.Add({column.name(), TypeName(column.type()), column.nullable() ? "yes" : "no", filled});
  }
  columns.Print(session.out());
  return absl::OkStatus();
}

// A key to resolve may be the shard-key columns alone, by position too where they are not the
// primary key.
absl::StatusOr<v1::Key> KeyToResolve(const v1::Table& table,
                                     const std::vector<std::string>& arguments) {
  const int given = static_cast<int>(arguments.size());
  const bool by_name = absl::StrContains(arguments.front(), "=");
  if (by_name || given == table.primary_key_size() || given != table.shard_key_size()) {
    return ParseKey(table, arguments);
  }
  std::vector<std::string> named;
  for (int i = 0; i < given; ++i)
    named.push_back(absl::StrCat(table.shard_key(i), "=", arguments[i]));
  return ParseKey(table, named);
}

absl::Status Resolve(Session& session, const std::string& name,
                     const std::vector<std::string>& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(name));
  QUARRY_ASSIGN_OR_RETURN(v1::Key key, KeyToResolve(table, arguments));
  QUARRY_ASSIGN_OR_RETURN(const v1::ResolveKeyResponse reply,
                          client->ResolveKey(name, client::Key(std::move(key))));
  if (session.json()) {
    session.out() << MessageJson(reply);
    return absl::OkStatus();
  }
  std::vector<std::pair<std::string, std::string>> fields = {{"shard", reply.shard()}};
  if (reply.shards_size() > 1) fields.emplace_back("shards", absl::StrJoin(reply.shards(), ", "));
  if (!reply.resolver().empty()) {
    fields.emplace_back("resolver",
                        absl::StrCat(reply.resolver(), " (", reply.resolver_type(), ")"));
  }
  if (reply.has_hash()) fields.emplace_back("hash", absl::StrCat(reply.hash()));
  if (reply.has_bucket()) fields.emplace_back("bucket", absl::StrCat(reply.bucket()));
  fields.emplace_back("because", reply.explanation());
  PrintFields(fields, session.out());
  return absl::OkStatus();
}

absl::Status Map(Session& session, const std::string& name, const std::vector<std::string>& arguments,
                 const std::string& shard) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::Table table, client->GetTable(name));
  QUARRY_ASSIGN_OR_RETURN(v1::Key key, KeyToResolve(table, arguments));
  return client->MapKey(name, client::Key(std::move(key)), shard);
}

}  // namespace

void AddSchema(CLI::App& app, Session& session) {
  CLI::App* tables = app.add_subcommand("tables", "The tables that the gateway knows");
  tables->require_subcommand(1);
  tables->footer("Example: quarryctl tables list");
  CLI::App* list = tables->add_subcommand("list", "Lists all tables");
  list->footer("Example: quarryctl tables list -o json");
  list->callback([&session] {
    if (const absl::Status status = List(session); !status.ok())
      session.Fail("tables list", status);
  });
  auto described = std::make_shared<std::string>();
  CLI::App* describe =
      tables->add_subcommand("describe", "Describes one table: columns, keys, shards");
  describe->add_option("table", *described, "Table")->required();
  describe->footer("Example: quarryctl tables describe orders");
  describe->callback([&session, described] {
    const absl::Status status = Describe(session, *described);
    if (!status.ok()) session.Fail("tables describe " + *described, status);
  });

  auto table = std::make_shared<std::string>();
  auto key = std::make_shared<std::vector<std::string>>();
  CLI::App* resolve = app.add_subcommand("resolve", "Tells which shard a key lives on, and why");
  resolve->add_option("table", *table, "Table")->required();
  resolve
      ->add_option("key", *key, "The primary key or the shard key: values in order, or name=value")
      ->required();
  resolve->footer("Example: quarryctl resolve orders customer_id=42");
  resolve->callback([&session, table, key] {
    const absl::Status status = Resolve(session, *table, *key);
    if (!status.ok()) session.Fail("resolve " + *table, status);
  });

  auto shard = std::make_shared<std::string>();
  CLI::App* map =
      app.add_subcommand("map", "Writes a key's shard into the directory of a lookup resolver");
  map->add_option("table", *table, "Table")->required();
  map->add_option("key", *key, "The shard key or the primary key: values in order, or name=value")
      ->required();
  map->add_option("--shard", *shard, "The shard where its rows shall live")->required();
  map->footer("Example: quarryctl map tenants acme --shard s1");
  map->callback([&session, table, key, shard] {
    const absl::Status status = Map(session, *table, *key, *shard);
    if (!status.ok()) session.Fail("map " + *table, status);
  });
}

}  // namespace quarry::ctl
