#include "tests/differential/world.h"

#include <atomic>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_status.h"
#include "core/backend/sqlite/sqlite_database.h"
#include "core/base/status_macros.h"
#include "core/config/config.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
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
  QUARRY_RETURN_IF_ERROR(world->CreateShards());
  QUARRY_RETURN_IF_ERROR(world->StartGateway());
  if (options.references) QUARRY_RETURN_IF_ERROR(world->CreateReferences());
  QUARRY_RETURN_IF_ERROR(world->InsertAll());
  return world;
}

World::~World() = default;

bool World::IsPostgres(int shard) const {
  return options_.backends == Backends::kPostgres || (options_.backends == Backends::kMixed && shard % 2 == 1);
}

absl::Status World::CreateShards() {
  yaml_ = absl::StrCat("deployment: differential\ndata_dir: ", data_.path(),
                       "\nlisten: {grpc: \"127.0.0.1:0\", http: \"127.0.0.1:0\"}\nlog: {level: error}\nloops: 2\n"
                       "pools: {sessions: 4, pipelines: 1}\ntokens: {secret: 00112233445566778899aabbccddeeff}\nshards:\n");
  for (int shard = 0; shard < options_.shards; ++shard) {
    if (IsPostgres(shard)) {
      const std::string name = NewDatabaseName();
      QUARRY_RETURN_IF_ERROR(Postgres().CreateDatabase(name).status());
      QUARRY_RETURN_IF_ERROR(Postgres().Run(name, Ddl(schema_, Store::kShardPostgres)));
      absl::StrAppend(&yaml_, "  s", shard, ": {postgres: {primary: \"", Postgres().conninfo(name), "\"}}\n");
      continue;
    }
    SqliteOptions options;
    options.file = absl::StrCat(data_.path(), "/s", shard, ".db");
    options.shard = absl::StrCat("s", shard);
    QUARRY_ASSIGN_OR_RETURN(const std::shared_ptr<SqliteDatabase> database, SqliteDatabase::Open(options));
    QUARRY_RETURN_IF_ERROR(database->RunScript(Ddl(schema_, Store::kShardSqlite)));
    absl::StrAppend(&yaml_, "  s", shard, ": {sqlite: {file: s", shard, ".db}}\n");
  }
  yaml_ += schema_.yaml;
  return absl::OkStatus();
}

absl::Status World::StartGateway() {
  ConfigOptions config_options;
  config_options.overrides = options_.overrides;
  QUARRY_ASSIGN_OR_RETURN(Config config, ParseConfig(yaml_, "differential.yaml", config_options));
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

std::unique_ptr<v1::DataService::StubInterface> World::NewClient() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return v1::DataService::NewStub(grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", grpc_port()),
                                                            grpc::InsecureChannelCredentials(), arguments));
}

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

}  // namespace quarry::differential
