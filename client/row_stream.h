// Rows of a raw SQL statement, as they arrive: memory holds one message of the stream at a time.
#pragma once

#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/connection.h"
#include "client/values.h"

namespace quarry::client {

struct SqlRow {
  std::string shard;
  std::vector<Value> values;  // In the order of RowStream::columns().
};

// for (const absl::StatusOr<SqlRow>& row : stream) ...: an error is the last thing it yields. One
// pass, one thread. Destroying it cancels the statement.
class RowStream {
 public:
  using OnProgress = std::function<void(const v1::Progress&)>;
  RowStream(std::unique_ptr<EventStream> events, OnProgress on_progress)
      : events_(std::move(events)), on_progress_(std::move(on_progress)) {}

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = absl::StatusOr<SqlRow>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    explicit Iterator(RowStream* stream) : stream_(stream) {}
    reference operator*() const { return stream_->current_; }
    pointer operator->() const { return &stream_->current_; }
    Iterator& operator++() {
      if (!stream_->Advance()) stream_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.stream_ == b.stream_; }

   private:
    RowStream* stream_;  // nullptr at the end.
  };

  Iterator begin() { return Iterator(Advance() ? this : nullptr); }
  Iterator end() { return Iterator(nullptr); }

  // Known from the first row on, and after the last one.
  const std::vector<v1::ColumnHeader>& columns() const { return columns_; }
  // How each shard fared; complete after the last row.
  const std::vector<v1::ShardStatus>& shard_statuses() const { return shard_statuses_; }
  // Totals; valid after the last row.
  const v1::StreamSummary& summary() const { return summary_; }

 private:
  // Makes the next row or the error current; false when there is neither.
  bool Advance();
  // False when the events have ended. An error is current then.
  bool ReadEvent();
  void Take(v1::OnAllShardsResponse event);

  std::unique_ptr<EventStream> events_;  // nullptr when it has ended.
  OnProgress on_progress_;
  std::vector<v1::ColumnHeader> columns_;
  std::vector<v1::ShardStatus> shard_statuses_;
  v1::StreamSummary summary_;
  bool summarized_ = false;
  v1::RowBatch batch_;
  int next_row_ = 0;
  absl::StatusOr<SqlRow> current_ = absl::UnknownError("no row was read");
};

}  // namespace quarry::client
