// The services over an engine whose shards are fakes, through a real gRPC server.
#include "server/service/services.h"

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "grpc/reflection/v1/reflection.pb.h"
#include "grpc/reflection/v1alpha/reflection.pb.h"
#include "quarry/v1/admin.pb.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/shard.pb.h"
#include "quarry/v1/transaction.pb.h"
#include "tests/unit/server/service/service_fixture.h"

namespace quarry {
namespace {

TaskResult Rows(int count, const std::string& column = "n") {
  auto header = std::make_shared<std::vector<ColumnHeader>>();
  header->push_back({column, {TypeKind::kText, false, "TEXT"}});
  StatementResult statement;
  statement.batch.header = header;
  for (int i = 0; i < count; ++i) statement.batch.rows.push_back({Value::Text(std::string(1000, 'x'))});
  StepResult step;
  step.statements.push_back(std::move(statement));
  TaskResult result;
  result.steps.push_back(std::move(step));
  return result;
}

class ServiceTest : public ServiceFixture {
 protected:
  struct SqlOutcome {
    absl::Status status;
    std::string order;  // h: header, r: rows, s: shard status, p: progress, S: summary.
    int rows = 0;
    size_t largest = 0;
    std::map<std::string, int> codes;
    v1::StreamSummary summary;
  };
  SqlOutcome OnAllShards(v1::OnAllShardsRequest request) {
    request.set_sql("SELECT n");
    grpc::ClientContext context;
    const auto stream =
        CallServerStream<v1::OnAllShardsResponse>(*channel_, "/quarry.v1.ShardService/OnAllShards", context, request);
    SqlOutcome outcome;
    v1::OnAllShardsResponse message;
    while (stream->Read(&message)) {
      outcome.order += " hrspS"[message.event_case()];
      outcome.rows += message.rows().rows_size();
      outcome.largest = std::max(outcome.largest, message.ByteSizeLong());
      if (message.has_shard_status()) {
        outcome.codes[message.shard_status().shard()] = message.shard_status().status().code();
      }
      if (message.has_summary()) outcome.summary = message.summary();
    }
    outcome.status = ToAbsl(stream->Finish());
    return outcome;
  }
};

TEST_F(ServiceTest, AnswersEveryMethodOfTheProtos) {
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  int methods = 0;
  for (const char* file : {"quarry/v1/admin.proto", "quarry/v1/data.proto", "quarry/v1/schema.proto",
                           "quarry/v1/lock.proto", "quarry/v1/peer.proto", "quarry/v1/shard.proto", "quarry/v1/transaction.proto", "grpc/health/v1/health.proto",
                           "grpc/reflection/v1/reflection.proto", "grpc/reflection/v1alpha/reflection.proto"}) {
    const auto* descriptor = pool->FindFileByName(file);
    ASSERT_NE(descriptor, nullptr) << file;
    ASSERT_GT(descriptor->service_count(), 0) << file;
    for (int i = 0; i < descriptor->service_count(); ++i) {
      for (int j = 0; j < descriptor->service(i)->method_count(); ++j) {
        const auto* declared = descriptor->service(i)->method(j);
        const Method* method =
            table_.Find(absl::StrCat("/", descriptor->service(i)->full_name(), "/", declared->name()));
        ASSERT_NE(method, nullptr) << declared->full_name();
        EXPECT_EQ(method->request->GetDescriptor(), declared->input_type()) << declared->full_name();
        EXPECT_EQ(method->response->GetDescriptor(), declared->output_type()) << declared->full_name();
        EXPECT_EQ(method->kind != MethodKind::kUnary, declared->server_streaming()) << declared->full_name();
        EXPECT_EQ(method->kind == MethodKind::kBidi, declared->client_streaming()) << declared->full_name();
        ++methods;
      }
    }
  }
  EXPECT_EQ(static_cast<size_t>(methods), table_.methods().size());
}

TEST_F(ServiceTest, GetReportsAMissingRowAndABadKey) {
  v1::GetRequest request;
  request.set_table("customers");
  request.mutable_key()->add_values()->set_int64_value(1);
  StepResult no_row;
  no_row.statements.emplace_back();
  TaskResult empty;
  empty.steps.push_back(no_row);
  Answer(1, empty);
  EXPECT_THAT(Call<v1::GetResponse>("/quarry.v1.DataService/Get", request), HasReason(reason::kRowNotFound));
  request.mutable_key()->add_values()->set_int64_value(2);
  EXPECT_THAT(Call<v1::GetResponse>("/quarry.v1.DataService/Get", request),
              StatusIs(absl::StatusCode::kInvalidArgument));
  request.set_table("custommers");
  EXPECT_THAT(Call<v1::GetResponse>("/quarry.v1.DataService/Get", request), HasReason(reason::kTableNotFound));
}

TEST_F(ServiceTest, OnAllShardsStreamsEveryShardsRowsAndEndsWithASummary) {
  Answer(0, Rows(5000));
  Answer(1, Rows(3));
  const SqlOutcome outcome = OnAllShards({});
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.order.front(), 'h');
  EXPECT_EQ(outcome.order.back(), 'S');
  EXPECT_EQ(std::count(outcome.order.begin(), outcome.order.end(), 'h'), 1);
  EXPECT_EQ(outcome.rows, 5003);
  EXPECT_LE(outcome.largest, (1u << 20) + 4096);
  EXPECT_EQ(outcome.codes, (std::map<std::string, int>{{"s0", 0}, {"s1", 0}}));
  EXPECT_EQ(outcome.summary.rows_returned(), 5003);
  EXPECT_EQ(outcome.summary.served_by().shards_answered_size(), 2);
  EXPECT_EQ(outcome.summary.served_by().epoch(), 7);
}

TEST_F(ServiceTest, BestEffortReportsTheFailedShardAndGoesOn) {
  Answer(0, MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable, "down"));
  Answer(1, Rows(3));
  v1::OnAllShardsRequest request;
  EXPECT_THAT(OnAllShards(request).status, StatusIs(absl::StatusCode::kUnavailable));
  request.set_mode(v1::FAILURE_MODE_BEST_EFFORT);
  const SqlOutcome outcome = OnAllShards(request);
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.rows, 3);
  EXPECT_EQ(outcome.codes, (std::map<std::string, int>{{"s0", 14}, {"s1", 0}}));
  ASSERT_EQ(outcome.summary.failed_shards_size(), 1);
  EXPECT_EQ(outcome.summary.failed_shards(0).shard(), "s0");
  EXPECT_EQ(outcome.summary.served_by().shards_answered_size(), 1);
}

TEST_F(ServiceTest, AShardWithOtherColumnsFails) {
  Answer(0, Rows(1, "n"));
  Answer(1, Rows(1, "m"));
  EXPECT_THAT(OnAllShards({}).status, HasReason(reason::kSchemaMismatch));
  v1::OnAllShardsRequest request;
  request.set_mode(v1::FAILURE_MODE_BEST_EFFORT);
  const SqlOutcome outcome = OnAllShards(request);
  ASSERT_THAT(outcome.status, IsOk());
  EXPECT_EQ(outcome.rows, 1);
  EXPECT_EQ(outcome.summary.failed_shards_size(), 1);
}

TEST_F(ServiceTest, RowsAndBytesAreBounded) {
  Answer(0, Rows(10));
  Answer(1, Rows(10));
  v1::OnAllShardsRequest request;
  request.set_max_rows(19);
  EXPECT_THAT(OnAllShards(request).status, HasReason(reason::kLimitExceeded));
  request.set_max_rows(20);
  EXPECT_THAT(OnAllShards(request).status, IsOk());
  request.set_max_bytes(5000);
  EXPECT_THAT(OnAllShards(request).status, HasReason(reason::kLimitExceeded));
  request.set_max_parallel(1000);
  EXPECT_THAT(OnAllShards(request).status, StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServiceTest, ATransactionBeginsAndRollsBack) {
  ASSERT_OK_AND_ASSIGN(const auto begun,
                       Call<v1::BeginResponse>("/quarry.v1.TransactionService/Begin", v1::BeginRequest()));
  EXPECT_EQ(begun.idle_timeout().seconds(), 30);
  v1::GetTransactionRequest get;
  get.set_transaction_id(begun.transaction_id());
  constexpr char kGet[] = "/quarry.v1.TransactionService/GetTransaction";
  ASSERT_OK_AND_ASSIGN(const auto active, Call<v1::GetTransactionResponse>(kGet, get));
  EXPECT_EQ(active.state(), v1::TRANSACTION_STATE_ACTIVE);
  v1::RollbackRequest rollback;
  rollback.set_transaction_id(begun.transaction_id());
  EXPECT_THAT(Call<v1::RollbackResponse>("/quarry.v1.TransactionService/Rollback", rollback), IsOk());
  ASSERT_OK_AND_ASSIGN(const auto ended, Call<v1::GetTransactionResponse>(kGet, get));
  EXPECT_EQ(ended.state(), v1::TRANSACTION_STATE_ROLLED_BACK);
  get.clear_transaction_id();
  EXPECT_THAT(Call<v1::GetTransactionResponse>(kGet, get), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(ServiceTest, DescribesTablesShardsAndItself) {
  v1::GetTableRequest get;
  get.set_table("customers");
  ASSERT_OK_AND_ASSIGN(const auto table, Call<v1::GetTableResponse>("/quarry.v1.SchemaService/GetTable", get));
  EXPECT_EQ(table.table().columns_size(), 3);
  EXPECT_EQ(table.table().shards(0), "s1");
  ASSERT_OK_AND_ASSIGN(const auto shards,
                       Call<v1::ListShardsResponse>("/quarry.v1.AdminService/ListShards", v1::ListShardsRequest()));
  ASSERT_EQ(shards.shards_size(), 2);
  EXPECT_EQ(shards.shards(1).servers(0).address(), "s1.db");
  ASSERT_OK_AND_ASSIGN(const auto info,
                       Call<v1::GetInfoResponse>("/quarry.v1.AdminService/GetInfo", v1::GetInfoRequest()));
  EXPECT_EQ(info.version(), "1.2.3");
  EXPECT_EQ(info.epoch(), 7);
}

TEST_F(ServiceTest, HealthFollowsTheBoard) {
  namespace health = grpc::health::v1;
  const auto status_of = [this](const std::string& name) {
    health::HealthCheckRequest request;
    request.set_service(name);
    const auto response = Call<health::HealthCheckResponse>("/grpc.health.v1.Health/Check", request);
    return response.ok() ? static_cast<int>(response->status()) : -static_cast<int>(response.status().code());
  };
  EXPECT_EQ(status_of(""), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(status_of("shard/s0"), health::HealthCheckResponse::UNKNOWN);
  EXPECT_EQ(status_of("nothing"), -static_cast<int>(absl::StatusCode::kNotFound));

  grpc::ClientContext context;
  health::HealthCheckRequest request;
  request.set_service("quarry.v1.DataService");
  const auto watch =
      CallServerStream<health::HealthCheckResponse>(*channel_, "/grpc.health.v1.Health/Watch", context, request);
  health::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), health::HealthCheckResponse::NOT_SERVING);
  ShardSample up;
  up.health.state = ShardState::kUp;
  board_.Publish(0, {up, ShardSample()}, 0, absl::Now());
  EXPECT_EQ(status_of(""), health::HealthCheckResponse::NOT_SERVING) << "the tables are not known yet";
  board_.SetCatalogProblem("");
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), health::HealthCheckResponse::SERVING);
  EXPECT_EQ(status_of("shard/s0"), health::HealthCheckResponse::SERVING);
  board_.SetDraining();
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&seen));
  EXPECT_THAT(ToAbsl(watch->Finish()), HasReason(reason::kDraining));
}

TEST_F(ServiceTest, HealthIsToldWhileTheServerDrainsAndNothingElse) {
  namespace health = grpc::health::v1;
  board_.SetDraining();
  server_->BeginDrain();
  const health::HealthCheckRequest request;
  ASSERT_OK_AND_ASSIGN(const auto response,
                       Call<health::HealthCheckResponse>("/grpc.health.v1.Health/Check", request));
  EXPECT_EQ(response.status(), health::HealthCheckResponse::NOT_SERVING);
  grpc::ClientContext context;
  const auto watch =
      CallServerStream<health::HealthCheckResponse>(*channel_, "/grpc.health.v1.Health/Watch", context, request);
  health::HealthCheckResponse seen;
  ASSERT_TRUE(watch->Read(&seen));
  EXPECT_EQ(seen.status(), health::HealthCheckResponse::NOT_SERVING);
  EXPECT_FALSE(watch->Read(&seen));
  EXPECT_THAT(Call<v1::GetInfoResponse>("/quarry.v1.AdminService/GetInfo", v1::GetInfoRequest()),
              HasReason(reason::kDraining));
}

template <typename Request, typename Response>
void CheckReflection(grpc::Channel& channel, const std::string& path) {
  grpc::ClientContext context;
  const auto stream = CallBidi<Request, Response>(channel, path, context);
  Request request;
  Response response;
  request.set_list_services("*");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  EXPECT_THAT(names, testing::IsSupersetOf({"quarry.v1.DataService", "grpc.health.v1.Health",
                                            "grpc.reflection.v1.ServerReflection"}));
  request.set_file_containing_symbol("quarry.v1.DataService");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  google::protobuf::FileDescriptorProto file;
  ASSERT_TRUE(file.ParseFromString(response.file_descriptor_response().file_descriptor_proto(0)));
  EXPECT_EQ(file.name(), "quarry/v1/data.proto");
  EXPECT_GT(response.file_descriptor_response().file_descriptor_proto_size(), 3);
  request.set_file_by_filename("none.proto");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.error_response().error_code(), 5);
  stream->WritesDone();
  EXPECT_THAT(ToAbsl(stream->Finish()), IsOk());
}

TEST_F(ServiceTest, AnswersReflectionInBothVersions) {
  namespace v1r = grpc::reflection::v1;
  namespace v1alpha = grpc::reflection::v1alpha;
  CheckReflection<v1r::ServerReflectionRequest, v1r::ServerReflectionResponse>(
      *channel_, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
  CheckReflection<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>(
      *channel_, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
}

}  // namespace
}  // namespace quarry
