// Rows of one statement on a leased connection, read no further than asked.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "core/backend/backend.h"
#include "core/backend/postgres/connection.h"

namespace quarry::postgres {

class PostgresStream final : public RowStream {
 public:
  // Called when the stream is dropped before its end, while the connection still runs the statement.
  using OnAbandon = absl::AnyInvocable<void()>;
  PostgresStream(std::string shard, RowHeader header, bool writes, std::shared_ptr<StreamState> state,
                 OnAbandon on_abandon)
      : shard_(std::move(shard)),
        header_(std::move(header)),
        writes_(writes),
        state_(std::move(state)),
        on_abandon_(std::move(on_abandon)) {}
  ~PostgresStream() override;

  RowHeader header() const override { return header_; }
  Async<absl::StatusOr<RowBatch>> Next(const CallContext& ctx) override;
  int64_t affected() const override;

 private:
  const std::string shard_;
  const RowHeader header_;
  const bool writes_;
  const std::shared_ptr<StreamState> state_;
  OnAbandon on_abandon_;
};

}  // namespace quarry::postgres
