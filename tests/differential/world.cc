#include "tests/differential/world.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/internal/grpc_status.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/status_macros.h"
#include "core/config/config.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "quarry/v1/schema.grpc.pb.h"
#include "tests/integration/gateway/harness.h"

namespace quarry::differential {
namespace {

using gateway_test::Postgres;

constexpr size_t kBatchRows = 500;

std::string NewDatabaseName() {
  static std::atomic<int> next{0};
  return absl::StrCat("differential_", next++);
}

void AddRecord(const TestTable& table, const Row& row, v1::Record& record) {
  for (size_t at = 0; at < row.size(); ++at) (*record.mutable_columns())[table.columns[at].name] = ToProto(row[at]);
}

// One BatchWrite for some of the mutations after the other; the first failure ends it.
absl::Status WriteAll(v1::DataService::StubInterface& gateway, const std::vector<v1::Mutation>& mutations) {
  for (size_t begin = 0; begin < mutations.size(); begin += kBatchRows) {
    v1::BatchWriteRequest request;
    for (size_t at = begin; at < std::min(begin + kBatchRows, mutations.size()); ++at) *request.add_mutations() = mutations[at];
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    v1::BatchWriteResponse response;
    QUARRY_RETURN_IF_ERROR(client::internal::FromGrpc(gateway.BatchWrite(&context, request, &response)));
    for (int i = 0; i < response.results_size(); ++i) {
      if (!response.results(i).has_error()) continue;
      return absl::InternalError(absl::StrCat(response.results(i).error().message(), " in ", request.mutations(i).ShortDebugString()));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string NameOf(const WorldOptions& options) {
  static const char* const kNames[] = {"sqlite", "postgres", "mixed"};
  return absl::StrCat(kNames[static_cast<size_t>(options.backends)], ", ", options.shards, " shards");
}

absl::StatusOr<std::unique_ptr<World>> World::Start(const WorldOptions& options, Schema schema) {
  auto world = std::unique_ptr<World>(new World(options, std::move(schema)));
  for (int shard = 0; shard < options.shards; ++shard) QUARRY_RETURN_IF_ERROR(world->CreateShard(shard));
  QUARRY_RETURN_IF_ERROR(world->StartGateway());
  if (options.references) QUARRY_RETURN_IF_ERROR(world->CreateReferences());
  QUARRY_RETURN_IF_ERROR(world->InsertAll());
  return world;
}

World::~World() = default;

bool World::IsPostgres(int shard) const {
  return options_.backends == Backends::kPostgres || (options_.backends == Backends::kMixed && shard % 2 == 1);
}

std::string World::SqliteFile(int shard) const { return absl::StrCat(data_.path(), "/s", shard, ".db"); }

absl::Status World::CreateShard(int shard) {
  if (IsPostgres(shard)) {
    shard_databases_.push_back(NewDatabaseName());
    const std::string& name = shard_databases_.back();
    shard_places_.push_back(absl::StrCat("{postgres: {primary: \"", Postgres().conninfo(name), "\"}}"));
    QUARRY_RETURN_IF_ERROR(Postgres().CreateDatabase(name).status());
    return Postgres().Run(name, Ddl(schema_, Store::kShardPostgres));
  }
  shard_databases_.emplace_back();
  shard_places_.push_back(absl::StrCat("{sqlite: {file: s", shard, ".db}}"));
  SqliteOptions options;
  options.file = SqliteFile(shard);
  options.shard = absl::StrCat("s", shard);
  QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(options));
  return database->RunScript(Ddl(schema_, Store::kShardSqlite));
}

absl::Status World::StartGateway() {
  std::string yaml = absl::StrCat("deployment: differential\ndata_dir: ", data_.path(),
                                  "\nlisten: {grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\nlog: {level: error}\nloops: 2\n"
                                  "pools: {sessions: 4, pipelines: 1}\ntokens: {secret: 00112233445566778899aabbccddeeff}\nshards:\n");
  for (size_t shard = 0; shard < shard_places_.size(); ++shard) absl::StrAppend(&yaml, "  s", shard, ": ", shard_places_[shard], "\n");
  ConfigOptions config_options;
  config_options.overrides = options_.overrides;
  QUARRY_ASSIGN_OR_RETURN(Config config, ParseConfig(yaml + schema_.yaml, "differential.yaml", config_options));
  GatewayOptions options;
  options.version = "test";
  options.catalog_wait = absl::Seconds(20);
  QUARRY_ASSIGN_OR_RETURN(gateway_, Gateway::Start(std::move(config), options));
  return absl::OkStatus();
}

absl::Status World::CreateReferences() {
  reference_database_ = NewDatabaseName();
  QUARRY_RETURN_IF_ERROR(Postgres().CreateDatabase(reference_database_).status());
  for (const bool postgres : {true, false}) {
    QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Reference> reference, NewReference(postgres));
    QUARRY_RETURN_IF_ERROR(reference->Run(Ddl(schema_, postgres ? Store::kReferencePostgres : Store::kReferenceSqlite)));
  }
  return absl::OkStatus();
}

std::shared_ptr<grpc::Channel> World::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", grpc_port()), grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<v1::DataService::StubInterface> World::NewClient() const { return v1::DataService::NewStub(NewChannel()); }

absl::StatusOr<std::unique_ptr<Reference>> World::NewReference(bool postgres) const {
  if (postgres) return OpenPostgresReference(Postgres().conninfo(reference_database_));
  return OpenSqliteReference(data_.path() + "/reference.db");
}

absl::Status World::Insert(const TestTable& table, const std::vector<Row>& rows) {
  std::vector<v1::Mutation> mutations;
  for (const Row& row : rows) {
    mutations.emplace_back().mutable_insert()->set_table(table.name);
    AddRecord(table, row, *mutations.back().mutable_insert()->mutable_record());
  }
  QUARRY_RETURN_IF_ERROR(WriteAll(*NewClient(), mutations));
  for (const bool postgres : {true, false}) {
    if (!options_.references || rows.empty()) continue;
    QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Reference> reference, NewReference(postgres));
    QUARRY_RETURN_IF_ERROR(reference->Run(InsertSql(table, rows, postgres ? Store::kReferencePostgres : Store::kReferenceSqlite)));
  }
  return absl::OkStatus();
}

absl::Status World::InsertAll() {
  for (const TestTable& table : schema_.tables) QUARRY_RETURN_IF_ERROR(Insert(table, table.rows));
  if (!options_.references) return absl::OkStatus();
  QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Reference> reference, NewReference(true));
  return reference->Run("ANALYZE");
}

absl::Status World::ReplaceRows(size_t table_at, std::vector<Row> rows) {
  TestTable& table = schema_.tables[table_at];
  std::vector<v1::Mutation> mutations;
  for (const Row& row : table.rows) {
    v1::DeleteMutation& mutation = *mutations.emplace_back().mutable_delete_();
    mutation.set_table(table.name);
    for (const size_t at : table.primary_key) *mutation.mutable_key()->add_values() = ToProto(row[at]);
  }
  QUARRY_RETURN_IF_ERROR(WriteAll(*NewClient(), mutations));
  for (const bool postgres : {true, false}) {
    if (!options_.references) continue;
    QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Reference> reference, NewReference(postgres));
    QUARRY_RETURN_IF_ERROR(reference->Run(absl::StrCat("DELETE FROM ", Quoted(table.name))));
  }
  table.rows = std::move(rows);
  return Insert(table, table.rows);
}

absl::StatusOr<int> World::AddShard(std::string yaml) {
  QUARRY_ASSIGN_OR_RETURN(const std::vector<std::vector<int>> before, Places());
  gateway_.reset();
  QUARRY_RETURN_IF_ERROR(CreateShard(options_.shards++));
  schema_.yaml = std::move(yaml);
  QUARRY_RETURN_IF_ERROR(StartGateway());
  QUARRY_ASSIGN_OR_RETURN(const std::vector<std::vector<int>> after, Places());
  gateway_.reset();
  QUARRY_ASSIGN_OR_RETURN(const int moved, MoveRows(before, after));
  QUARRY_RETURN_IF_ERROR(StartGateway());
  return moved;
}

// The shard of each row of each table, as the gateway says; none for reference tables.
absl::StatusOr<std::vector<std::vector<int>>> World::Places() const {
  const std::unique_ptr<v1::SchemaService::StubInterface> gateway = v1::SchemaService::NewStub(NewChannel());
  std::vector<std::vector<int>> places(schema_.tables.size());
  for (size_t at = 0; at < schema_.tables.size(); ++at) {
    const TestTable& table = schema_.tables[at];
    for (const Row& row : table.rows) {
      if (table.placement == "reference") continue;
      v1::ResolveKeyRequest request;
      request.set_table(table.name);
      for (const size_t key : table.primary_key) *request.mutable_key()->add_values() = ToProto(row[key]);
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
      v1::ResolveKeyResponse response;
      QUARRY_RETURN_IF_ERROR(client::internal::FromGrpc(gateway->ResolveKey(&context, request, &response)));
      places[at].push_back(std::stoi(response.shard().substr(1)));
    }
  }
  return places;
}

absl::StatusOr<int> World::MoveRows(const std::vector<std::vector<int>>& before, const std::vector<std::vector<int>>& after) {
  const int added = options_.shards - 1;
  const int alike = options_.backends == Backends::kMixed ? added % 2 : 0;
  std::vector<std::function<absl::Status()>> deletes;
  int moved = 0;
  for (size_t at = 0; at < schema_.tables.size(); ++at) {
    const TestTable& table = schema_.tables[at];
    if (table.placement == "reference") {
      QUARRY_RETURN_IF_ERROR(CopyRows(table, table.rows, "", alike, added));
      continue;
    }
    std::map<int, std::vector<Row>> leaving;
    for (size_t i = 0; i < table.rows.size(); ++i) {
      if (before[at][i] == after[at][i]) continue;
      if (after[at][i] != added) return absl::InternalError(absl::StrCat("a row of ", table.name, " goes to an old shard"));
      leaving[before[at][i]].push_back(table.rows[i]);
    }
    for (const auto& [from, rows] : leaving) {
      moved += static_cast<int>(rows.size());
      const auto append = [&](std::string* out, const Row& row) {
        absl::StrAppend(out, LiteralFor(row[0], table.columns[0].type, IsPostgres(added)));
      };
      const std::string where = absl::StrCat(" WHERE ", Quoted(table.columns[0].name), " IN (", absl::StrJoin(rows, ", ", append), ")");
      QUARRY_RETURN_IF_ERROR(CopyRows(table, rows, where, from, added));
      deletes.push_back([this, from = from, sql = absl::StrCat("DELETE FROM ", Quoted(table.name), where)] { return RunOnShard(from, sql); });
    }
  }
  // Children before their parents.
  for (auto run = deletes.rbegin(); run != deletes.rend(); ++run) QUARRY_RETURN_IF_ERROR((*run)());
  return moved;
}

absl::Status World::CopyRows(const TestTable& table, const std::vector<Row>& rows, const std::string& where, int from, int to) {
  if (IsPostgres(to)) return RunOnShard(to, InsertSql(table, rows, Store::kReferencePostgres));
  // The bytes as they are: a shard's SQLite keeps values in other forms than the reference.
  const std::string name = Quoted(table.name);
  return RunOnShard(to, absl::StrCat("ATTACH '", SqliteFile(from), "' AS source; INSERT INTO ", name, " SELECT * FROM source.", name,
                                     where, "; DETACH source"));
}

absl::Status World::RunOnShard(int shard, const std::string& sql) const {
  QUARRY_ASSIGN_OR_RETURN(const std::unique_ptr<Reference> database,
                          IsPostgres(shard) ? OpenPostgresReference(Postgres().conninfo(shard_databases_[static_cast<size_t>(shard)]))
                                            : OpenSqliteReference(SqliteFile(shard)));
  return database->Run(sql);
}

}  // namespace quarry::differential
