// A gRPC server of quarry.v1 in this process whose answers a test writes down: the next ones in
// order, then what a small table of rows says. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "core/base/rpc_status.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "quarry/v1/admin.grpc.pb.h"
#include "quarry/v1/data.grpc.pb.h"
#include "quarry/v1/schema.grpc.pb.h"
#include "quarry/v1/shard.grpc.pb.h"
#include "quarry/v1/transaction.grpc.pb.h"

namespace quarry {

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      ToRpcStatus(status).SerializeAsString());
}

class ScriptedServer final : public v1::DataService::Service,
                             public v1::TransactionService::Service,
                             public v1::SchemaService::Service,
                             public v1::ShardService::Service,
                             public v1::AdminService::Service,
                             public grpc::health::v1::Health::Service {
 public:
  ScriptedServer() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(static_cast<v1::DataService::Service*>(this));
    builder.RegisterService(static_cast<v1::TransactionService::Service*>(this));
    builder.RegisterService(static_cast<v1::SchemaService::Service*>(this));
    builder.RegisterService(static_cast<v1::ShardService::Service*>(this));
    builder.RegisterService(static_cast<v1::AdminService::Service*>(this));
    builder.RegisterService(static_cast<grpc::health::v1::Health::Service*>(this));
    server_ = builder.BuildAndStart();
  }
  ~ScriptedServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

  // The next calls end with these, in order; OK lets one through.
  void AnswerWith(std::initializer_list<absl::Status> answers) {
    absl::MutexLock lock(&mutex_);
    answers_.assign(answers);
  }
  // Names of the calls so far, with the request ids of writes.
  std::vector<std::string> calls() {
    absl::MutexLock lock(&mutex_);
    return calls_;
  }
  std::vector<std::string> request_ids() {
    absl::MutexLock lock(&mutex_);
    return request_ids_;
  }
  void set_serving(bool serving) { serving_ = serving; }
  void set_table(v1::Table table) { table_ = std::move(table); }
  // Decides about each mutation of a BatchWrite that is not stored yet; OK applies it.
  void set_on_mutation(std::function<absl::Status(const v1::Mutation&)> on_mutation) {
    on_mutation_ = std::move(on_mutation);
  }
  void set_transaction_state(v1::TransactionState state) { state_ = state; }
  void set_events(std::vector<v1::OnAllShardsResponse> events) { events_ = std::move(events); }
  // What the next calls of Query send, in order, and how they end.
  struct QueryScript {
    std::vector<v1::QueryResponse> messages;
    absl::Status status;
  };
  void set_queries(std::deque<QueryScript> queries) {
    absl::MutexLock lock(&mutex_);
    queries_ = std::move(queries);
  }
  std::vector<std::string> resume_tokens() {
    absl::MutexLock lock(&mutex_);
    return resume_tokens_;
  }
  // What ListTopQueries answers, and Explain of any query.
  void set_top_queries(std::vector<v1::TopQuery> queries) { top_queries_ = std::move(queries); }
  void set_explanation(v1::ExplainResponse explanation) { explanation_ = std::move(explanation); }
  void set_in_doubt(v1::ListInDoubtTransactionsResponse list) { in_doubt_ = std::move(list); }
  void set_fate(v1::GetTransactionResponse fate) { fate_ = std::move(fate); }
  void set_resolution(v1::ResolveTransactionResponse end) { resolution_ = std::move(end); }
  void set_init(v1::InitShardResponse reply) { init_ = std::move(reply); }
  // Mutations applied by BatchWrite, each once.
  int applied() {
    absl::MutexLock lock(&mutex_);
    return applied_;
  }

  grpc::Status Get(grpc::ServerContext*, const v1::GetRequest* request,
                   v1::GetResponse* reply) override {
    if (const absl::Status status = Answer("Get"); !status.ok()) return ToGrpc(status);
    for (int i = 0; i < request->key().values_size() && i < table_.primary_key_size(); ++i) {
      (*reply->mutable_record()->mutable_columns())[table_.primary_key(i)] =
          request->key().values(i);
    }
    reply->set_etag("e1");
    reply->mutable_served_by()->add_shards_answered("s1");
    return grpc::Status::OK;
  }
  grpc::Status Insert(grpc::ServerContext*, const v1::InsertRequest* request,
                      v1::InsertResponse* reply) override {
    if (const absl::Status status = Answer("Insert", request->request_id()); !status.ok())
      return ToGrpc(status);
    *reply->mutable_record() = request->record();
    *reply->mutable_key()->mutable_columns() = request->record().columns();
    reply->mutable_served_by()->add_shards_answered("s1");
    return grpc::Status::OK;
  }
  grpc::Status Update(grpc::ServerContext*, const v1::UpdateRequest* request,
                      v1::UpdateResponse* reply) override {
    if (const absl::Status status = Answer("Update", request->request_id()); !status.ok())
      return ToGrpc(status);
    *reply->mutable_key() = request->key();
    *reply->mutable_record() = request->record();
    reply->set_etag(request->precondition().etag());
    reply->mutable_served_by()->add_shards_answered("s1");
    return grpc::Status::OK;
  }
  grpc::Status BatchWrite(grpc::ServerContext*, const v1::BatchWriteRequest* request,
                          v1::BatchWriteResponse* reply) override {
    if (const absl::Status status = Answer("BatchWrite", request->request_id()); !status.ok())
      return ToGrpc(status);
    absl::MutexLock lock(&mutex_);
    std::map<int, v1::BatchWriteResult>& stored = stored_[request->request_id()];
    for (int i = 0; i < request->mutations_size(); ++i) {
      v1::BatchWriteResult& result = *reply->add_results();
      if (stored.count(i) > 0) {
        result = stored[i];
        result.set_replayed(true);
        continue;
      }
      const absl::Status status =
          on_mutation_ ? on_mutation_(request->mutations(i)) : absl::OkStatus();
      if (status.ok()) {
        result.mutable_applied();
        ++applied_;
      } else {
        *result.mutable_error() = ToRpcStatus(status);
      }
      // What the row itself caused is stored; what may pass is not.
      if (status.ok() || absl::IsAlreadyExists(status)) stored[i] = result;
    }
    return grpc::Status::OK;
  }

  grpc::Status Begin(grpc::ServerContext*, const v1::BeginRequest*,
                     v1::BeginResponse* reply) override {
    const absl::Status status = Answer("Begin");
    reply->set_transaction_id("tx");
    return ToGrpc(status);
  }
  grpc::Status Commit(grpc::ServerContext*, const v1::CommitRequest* request,
                      v1::CommitResponse* reply) override {
    reply->set_transaction_id(request->transaction_id());
    return ToGrpc(Answer("Commit", request->request_id()));
  }
  grpc::Status Rollback(grpc::ServerContext*, const v1::RollbackRequest*,
                        v1::RollbackResponse*) override {
    return ToGrpc(Answer("Rollback"));
  }
  grpc::Status GetTransaction(grpc::ServerContext*, const v1::GetTransactionRequest*,
                              v1::GetTransactionResponse* reply) override {
    *reply = fate_;
    if (reply->state() == v1::TRANSACTION_STATE_UNSPECIFIED) reply->set_state(state_);
    return ToGrpc(Answer("GetTransaction"));
  }

  grpc::Status GetTable(grpc::ServerContext*, const v1::GetTableRequest* request,
                        v1::GetTableResponse* reply) override {
    absl::MutexLock lock(&mutex_);
    if (request->table() != table_.name())
      return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such table");
    *reply->mutable_table() = table_;
    return grpc::Status::OK;
  }

  grpc::Status OnAllShards(grpc::ServerContext*, const v1::OnAllShardsRequest*,
                           grpc::ServerWriter<v1::OnAllShardsResponse>* writer) override {
    if (const absl::Status status = Answer("OnAllShards"); !status.ok()) return ToGrpc(status);
    for (const v1::OnAllShardsResponse& event : events_) writer->Write(event);
    return grpc::Status::OK;
  }

  grpc::Status Query(grpc::ServerContext*, const v1::QueryRequest* request,
                     grpc::ServerWriter<v1::QueryResponse>* writer) override {
    QueryScript script;
    {
      absl::MutexLock lock(&mutex_);
      resume_tokens_.push_back(request->resume_token());
      if (queries_.empty()) return grpc::Status(grpc::StatusCode::INTERNAL, "no script is left");
      script = std::move(queries_.front());
      queries_.pop_front();
    }
    for (const v1::QueryResponse& message : script.messages) writer->Write(message);
    return ToGrpc(script.status);
  }
  // Two pages of one row each.
  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request,
                    v1::ListResponse* reply) override {
    const bool first = request->page_token().empty();
    reply->add_rows()->add_values()->set_int64_value(first ? 1 : 2);
    if (first) reply->set_next_page_token("page2");
    return ToGrpc(Answer("List"));
  }
  // The first answers say that a shard is down.
  grpc::Status DeleteWhere(grpc::ServerContext*, const v1::DeleteWhereRequest* request,
                           v1::DeleteWhereResponse* reply) override {
    const absl::Status shard = Answer("DeleteWhere", request->request_id());
    v1::ShardWrites* writes = reply->add_shards();
    writes->set_shard("s1");
    writes->set_rows(3);
    *writes->mutable_status() = ToRpcStatus(shard);
    reply->set_rows(3);
    return grpc::Status::OK;
  }

  grpc::Status ListTopQueries(grpc::ServerContext*, const v1::ListTopQueriesRequest* request,
                              v1::ListTopQueriesResponse* reply) override {
    for (const v1::TopQuery& query : top_queries_) {
      if (reply->queries_size() < request->limit()) *reply->add_queries() = query;
    }
    return ToGrpc(Answer("ListTopQueries"));
  }
  grpc::Status Explain(grpc::ServerContext*, const v1::ExplainRequest* request,
                       v1::ExplainResponse* reply) override {
    *reply = explanation_;
    return ToGrpc(Answer(request->analyze() ? "Explain analyze" : "Explain"));
  }

  grpc::Status ListInDoubtTransactions(grpc::ServerContext*,
                                       const v1::ListInDoubtTransactionsRequest* request,
                                       v1::ListInDoubtTransactionsResponse* reply) override {
    *reply = in_doubt_;
    const google::protobuf::Duration& age = request->min_age();
    return ToGrpc(Answer(request->has_min_age() ? "ListInDoubt " + std::to_string(age.seconds()) +
                                                      "." + std::to_string(age.nanos())
                                                : "ListInDoubt"));
  }
  grpc::Status ResolveTransaction(grpc::ServerContext*,
                                  const v1::ResolveTransactionRequest* request,
                                  v1::ResolveTransactionResponse* reply) override {
    *reply = resolution_;
    return ToGrpc(Answer("Resolve " + request->id()));
  }
  grpc::Status InitShard(grpc::ServerContext*, const v1::InitShardRequest* request,
                         v1::InitShardResponse* reply) override {
    *reply = init_;
    return ToGrpc(Answer(request->all_shards() ? "InitShard all" : "InitShard " + request->shard()));
  }

  grpc::Status Check(grpc::ServerContext*, const grpc::health::v1::HealthCheckRequest*,
                     grpc::health::v1::HealthCheckResponse* reply) override {
    reply->set_status(serving_ ? grpc::health::v1::HealthCheckResponse::SERVING
                               : grpc::health::v1::HealthCheckResponse::NOT_SERVING);
    return ToGrpc(Answer("Check"));
  }

 private:
  absl::Status Answer(const std::string& call, const std::string& request_id = "") {
    absl::MutexLock lock(&mutex_);
    calls_.push_back(call);
    if (!request_id.empty()) request_ids_.push_back(request_id);
    if (answers_.empty()) return absl::OkStatus();
    absl::Status answer = answers_.front();
    answers_.pop_front();
    return answer;
  }

  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  // Set before the first call.
  bool serving_ = true;
  v1::Table table_;
  std::vector<v1::OnAllShardsResponse> events_;
  std::function<absl::Status(const v1::Mutation&)> on_mutation_;
  std::vector<v1::TopQuery> top_queries_;
  v1::ExplainResponse explanation_;
  v1::ListInDoubtTransactionsResponse in_doubt_;
  v1::GetTransactionResponse fate_;
  v1::ResolveTransactionResponse resolution_;
  v1::InitShardResponse init_;
  v1::TransactionState state_ = v1::TRANSACTION_STATE_IN_DOUBT;

  absl::Mutex mutex_;
  std::deque<absl::Status> answers_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> calls_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> request_ids_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::map<int, v1::BatchWriteResult>> stored_ ABSL_GUARDED_BY(mutex_);
  int applied_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<QueryScript> queries_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> resume_tokens_ ABSL_GUARDED_BY(mutex_);
};

// orders(customer_id int64, order_id int64, status text, total decimal, placed timestamptz), key of
// the first two.
inline v1::Table OrdersTable() {
  v1::Table table;
  table.set_name("orders");
  table.set_kind(v1::TABLE_KIND_SHARDED);
  auto add = [&table](const char* name, v1::TypeCode code) {
    table.add_columns()->set_name(name);
    table.mutable_columns()->rbegin()->mutable_type()->set_code(code);
  };
  add("customer_id", v1::TYPE_CODE_INT64);
  add("order_id", v1::TYPE_CODE_INT64);
  add("status", v1::TYPE_CODE_TEXT);
  add("total", v1::TYPE_CODE_DECIMAL);
  add("placed", v1::TYPE_CODE_TIMESTAMPTZ);
  table.add_primary_key("customer_id");
  table.add_primary_key("order_id");
  table.add_shard_key("customer_id");
  return table;
}

}  // namespace quarry
