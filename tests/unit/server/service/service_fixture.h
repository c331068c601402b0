// The services over an engine whose two shards are fakes, behind a real gRPC server. One thread.
#pragma once

#include <array>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "core/backend/fake_backend.h"
#include "core/engine/engine.h"
#include "gtest/gtest.h"
#include "server/loop/grpc_server.h"
#include "server/observe/slow_query_log.h"
#include "server/service/call_recorder.h"
#include "core/topology/peer_table.h"
#include "server/service/services.h"
#include "spdlog/sinks/ostream_sink.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/server/rpc_client.h"

namespace quarry {

inline TableSchema CustomersSchema() {
  TableSchema schema;
  schema.name = "customers";
  Column id;
  id.name = "id";
  id.type.kind = TypeKind::kInt64;
  id.nullable = false;
  Column name;
  name.name = "name";
  name.type.kind = TypeKind::kText;
  Column flags;
  flags.name = "flags";
  flags.type = {TypeKind::kBool, true, ""};
  schema.columns = {id, name, flags};
  schema.primary_key = {"id"};
  return schema;
}

inline std::shared_ptr<const Snapshot> TestSnapshot() {
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->deployment = "test";
  snapshot->topology = Topology(Epoch{7}, {{ShardId{0}, "s0", Dialect::kSqlite, "s0.db"},
                                           {ShardId{1}, "s1", Dialect::kSqlite, "s1.db"}});
  TableDeclaration declaration;
  declaration.name = "customers";
  declaration.kind = TableKind::kSingle;
  declaration.shard = "s1";
  std::vector<Table> tables;
  tables.emplace_back(declaration, CustomersSchema());
  snapshot->catalog = Catalog(std::move(tables));
  snapshot->catalog_ready = true;
  return snapshot;
}

class ServiceFixture : public testing::Test {
 protected:
  ServiceFixture() {
    AddDataService(table_);
    AddQueries(table_, queries_, QueryLimits());
    AddShardService(table_, RawSqlLimits());
    AddTransactionService(table_, TransactionOptions());
    AddLockService(table_);
    AddSchemaService(table_);
    AddAdminService(table_, {"1.2.3", "test", absl::Now()}, board_, queries_.stats());
    AddPeers(table_, peers_);
    AddHealthService(table_, board_);
    AddReflection(table_);
    recorder_ = std::make_unique<CallRecorder>(table_, 1, nullptr);
    GrpcServerOptions options;
    options.loop_of_transaction = Engine::LoopOf;
    server_ = std::make_unique<GrpcServer>(options, table_, recorder_.get());
    server_->loop(0).RunAndWait([this] { MakeEngine(); });
    server_->SetEngine(0, engine_.get());
    EXPECT_THAT(server_->Start(), IsOk());
    channel_ = ConnectTo(server_->ports()[0]);
  }
  ~ServiceFixture() override {
    board_.SetDraining();
    server_->Drain(absl::Now() + absl::Seconds(5));
    server_->loop(0).RunAndWait([this] { engine_.reset(); });
    server_->StopLoops();
  }
  void MakeEngine() {
    Engine::Parts parts;
    for (FakeBackend*& shard : shards_) {
      auto fake = std::make_unique<FakeBackend>();
      shard = fake.get();
      parts.shards.push_back(std::move(fake));
    }
    parts.snapshot = [snapshot = TestSnapshot()] { return snapshot; };
    engine_ = std::make_unique<Engine>(server_->loop(0), std::move(parts));
  }
  // What the fakes answer is theirs on the loop's thread.
  void Answer(size_t shard, absl::StatusOr<TaskResult> result) {
    server_->loop(0).RunAndWait([&] {
      if (result.ok()) {
        shards_[shard]->AnswerWith(*result);
      } else {
        shards_[shard]->AnswerWith(result.status());
      }
    });
  }
  // What the log of slow queries has said; here every query is slow.
  std::string SlowLines() {
    std::string lines;
    server_->loop(0).RunAndWait([&] { lines = slow_lines_.str(); });
    return lines;
  }
  static std::shared_ptr<spdlog::logger> LoggerTo(std::ostream& out) {
    auto logger = std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
    logger->set_pattern("%v");
    return logger;
  }
  template <typename Response, typename Request>
  absl::StatusOr<Response> Call(const std::string& path, const Request& request) {
    grpc::ClientContext context;
    Response response;
    const absl::Status status = CallUnary(*channel_, path, context, request, &response);
    if (!status.ok()) return status;
    return response;
  }

  PeerTable peers_{PeerTable::Options()};
  ShardBoard board_{{"s0", "s1"}, 1};
  std::ostringstream slow_lines_;
  SlowQueryLog slow_{LoggerTo(slow_lines_), SlowQueryOptions{false, absl::Nanoseconds(1)}};
  QueryRecorder queries_{1, &slow_};
  RpcTable table_;
  std::unique_ptr<CallRecorder> recorder_;
  std::unique_ptr<GrpcServer> server_;
  std::array<FakeBackend*, 2> shards_{};
  std::unique_ptr<Engine> engine_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace quarry
