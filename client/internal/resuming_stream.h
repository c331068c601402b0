// A Query that goes on by itself after a broken stream: opened again at its last resume token, so
// that whoever reads it sees each row once and one header.
#pragma once

#include <memory>
#include <optional>

#include "client/connection.h"
#include "client/internal/retry.h"

namespace quarry::client::internal {

// One thread. Opens the stream with the first Next.
class ResumingStream final : public QueryEventStream {
 public:
  // `connection` outlives this.
  ResumingStream(Connection& connection, std::shared_ptr<RetryPolicy> policy, Safety safety,
                 v1::QueryRequest request, absl::Time deadline);

  // Rows are handed out with the token that follows them, or before the summary: until then the
  // stream may have to give them again. So at most one batch of the gateway is held, and more only
  // where sort values are too long for a token.
  absl::StatusOr<std::optional<v1::QueryResponse>> Next() override;

 private:
  using Event = std::optional<v1::QueryResponse>;
  absl::StatusOr<Event> ReadOne();
  // True when the event is to be handed out, false when it waits or repeats.
  bool Take(v1::QueryResponse& event);

  Connection& connection_;
  const std::shared_ptr<RetryPolicy> policy_;
  const Safety safety_;
  v1::QueryRequest request_;
  const absl::Time deadline_;
  std::optional<Attempts> attempts_;  // Since the last progress.
  std::unique_ptr<QueryEventStream> stream_;
  v1::QueryResponse pending_;  // Rows whose token has not come.
  std::optional<v1::QueryResponse> summary_;  // Waits for them to be taken.
  bool header_given_ = false;
  bool complete_ = false;  // The summary has come.
  int64_t rows_given_ = 0;
};

}  // namespace quarry::client::internal
