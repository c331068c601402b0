#include "client/internal/resuming_stream.h"

#include <utility>

namespace quarry::client::internal {

ResumingStream::ResumingStream(Connection& connection, std::shared_ptr<RetryPolicy> policy,
                               Safety safety, v1::QueryRequest request, absl::Time deadline)
    : connection_(connection),
      policy_(std::move(policy)),
      safety_(safety),
      request_(std::move(request)),
      deadline_(deadline) {
  attempts_.emplace(*policy_, safety_, deadline_);
}

absl::StatusOr<std::optional<v1::QueryResponse>> ResumingStream::Next() {
  if (summary_.has_value()) return std::exchange(summary_, std::nullopt);
  while (true) {
    absl::StatusOr<Event> event = ReadOne();
    if (event.ok()) {
      if (!event->has_value() || Take(**event)) return event;
      continue;
    }
    stream_.reset();
    // Every row has come; asking again could give the last ones twice.
    if (complete_) return Event();
    pending_.Clear();
    if (!attempts_->WaitForNext(event.status())) return attempts_->Annotate(event.status());
  }
}

absl::StatusOr<std::optional<v1::QueryResponse>> ResumingStream::ReadOne() {
  if (stream_ == nullptr) {
    auto stream = connection_.Query(request_, deadline_);
    if (!stream.ok()) return stream.status();
    stream_ = *std::move(stream);
  }
  return stream_->Next();
}

bool ResumingStream::Take(v1::QueryResponse& event) {
  if (event.has_header()) return !std::exchange(header_given_, true);
  if (event.has_batch()) {
    // The parts of one batch become one message again.
    pending_.mutable_batch()->MergeFrom(event.batch());
    if (pending_.batch().resume_token().empty()) return false;
    event.Swap(&pending_);
    pending_.Clear();
    request_.set_resume_token(event.batch().resume_token());
    rows_given_ += event.batch().rows_size();
    attempts_.emplace(*policy_, safety_, deadline_);
    return true;
  }
  if (!event.has_summary()) return true;
  complete_ = true;
  // Rows whose sort values are too long for a token wait until here.
  rows_given_ += pending_.batch().rows_size();
  event.mutable_summary()->set_rows(rows_given_);
  if (pending_.batch().rows_size() > 0) {
    summary_ = std::move(event);
    event = std::exchange(pending_, v1::QueryResponse());
  }
  return true;
}

}  // namespace quarry::client::internal
