#include <utility>

#include "client/client.h"
#include "core/base/status_macros.h"

namespace quarry::client {

Transaction::~Transaction() {
  if (client_ == nullptr || ended_) return;
  CallOptions call;
  call.timeout = absl::Seconds(1);
  Rollback(call).IgnoreError();  // The idle timeout ends it where this could not.
}

absl::Status Transaction::Savepoint(const std::string& name, const CallOptions& call) {
  v1::SavepointRequest request;
  request.set_transaction_id(id_);
  request.set_name(name);
  return client_->connection_->Savepoint(request, client_->Deadline(call)).status();
}

absl::Status Transaction::RollbackTo(const std::string& name, const CallOptions& call) {
  v1::RollbackToSavepointRequest request;
  request.set_transaction_id(id_);
  request.set_name(name);
  return client_->connection_->RollbackToSavepoint(request, client_->Deadline(call)).status();
}

absl::Status Transaction::ReleaseSavepoint(const std::string& name, const CallOptions& call) {
  v1::ReleaseSavepointRequest request;
  request.set_transaction_id(id_);
  request.set_name(name);
  return client_->connection_->ReleaseSavepoint(request, client_->Deadline(call)).status();
}

absl::StatusOr<CommitResult> Transaction::Commit(const CallOptions& call) {
  ended_ = true;
  v1::CommitRequest request;
  request.set_transaction_id(id_);
  request.set_request_id(client_->RequestId(call, ""));
  QUARRY_ASSIGN_OR_RETURN(const v1::CommitResponse reply,
                          client_->connection_->Commit(request, client_->Deadline(call)));
  CommitResult result;
  result.transaction_id = reply.transaction_id();
  result.served_by = reply.served_by();
  result.replayed = reply.replayed();
  result.unfinished = reply.unfinished();
  return result;
}

absl::Status Transaction::Rollback(const CallOptions& call) {
  ended_ = true;
  v1::RollbackRequest request;
  request.set_transaction_id(id_);
  return client_->connection_->Rollback(request, client_->Deadline(call)).status();
}

}  // namespace quarry::client
