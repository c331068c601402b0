// A gateway in this process over shards of its own, and the two references, all holding the rows of one schema. Asking is
// thread-safe; changing rows is not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/channel.h"
#include "quarry/v1/data.grpc.pb.h"
#include "server/wiring/gateway.h"
#include "tests/differential/reference.h"
#include "tests/differential/schema.h"
#include "tests/support/temp_directory.h"

namespace quarry::differential {

enum class Backends { kSqlite, kPostgres, kMixed };

struct WorldOptions {
  Backends backends = Backends::kSqlite;
  int shards = 1;
  std::vector<std::string> overrides;  // As --set: "limits.batch_items=10".
  bool references = true;
};
// "postgres, 5 shards".
std::string NameOf(const WorldOptions& options);

class World {
 public:
  // Makes the databases, starts the gateway, inserts the schema's rows through it and into the references.
  static absl::StatusOr<std::unique_ptr<World>> Start(const WorldOptions& options, Schema schema);
  // The process's PostgreSQL stops with its last user: call after the last world is gone.
  ~World();

  const WorldOptions& options() const { return options_; }
  const Schema& schema() const { return schema_; }
  // One channel each; they reach different loops of the gateway.
  std::unique_ptr<v1::DataService::StubInterface> NewClient() const;
  absl::StatusOr<std::unique_ptr<Reference>> NewReference(bool postgres) const;
  // These rows take the place of the table's rows, everywhere. Rows that reference them go first, those they reference are there.
  absl::Status ReplaceRows(size_t table, std::vector<Row> rows);
  // One more shard, as an operator adds it: the rows that the new resolvers and tables of `yaml` place on it are moved from database
  // to database while the gateway is down, which then starts anew on another port. The number of rows moved. Sharded tables are
  // sharded by their first column, an integer; where shards are mixed, rows come from one like the new one.
  absl::StatusOr<int> AddShard(std::string yaml);
  int grpc_port() const { return gateway_->grpc_port(); }

 private:
  World(WorldOptions options, Schema schema) : options_(std::move(options)), schema_(std::move(schema)) {}
  absl::Status CreateShard(int shard);
  absl::Status StartGateway();
  absl::Status CreateReferences();
  absl::Status InsertAll();
  absl::Status Insert(const TestTable& table, const std::vector<Row>& rows);
  bool IsPostgres(int shard) const;
  std::string SqliteFile(int shard) const;
  std::shared_ptr<grpc::Channel> NewChannel() const;
  absl::StatusOr<std::vector<std::vector<int>>> Places() const;
  absl::StatusOr<int> MoveRows(const std::vector<std::vector<int>>& before, const std::vector<std::vector<int>>& after);
  absl::Status CopyRows(const TestTable& table, const std::vector<Row>& rows, const std::string& where, int from, int to);
  absl::Status RunOnShard(int shard, const std::string& sql) const;

  WorldOptions options_;
  Schema schema_;
  TempDirectory data_;
  std::vector<std::string> shard_places_;    // YAML.
  std::vector<std::string> shard_databases_;  // PostgreSQL's names; empty for SQLite.
  std::string reference_database_;
  std::unique_ptr<Gateway> gateway_;
};

}  // namespace quarry::differential
