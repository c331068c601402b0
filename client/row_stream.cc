#include "client/row_stream.h"

#include <utility>

namespace quarry::client {

bool RowStream::Advance() {
  while (next_row_ >= batch_.rows_size()) {
    if (events_ == nullptr) return false;
    if (!ReadEvent()) return !current_.ok();
  }
  SqlRow row;
  row.shard = batch_.shard();
  for (v1::Value& value : *batch_.mutable_rows(next_row_)->mutable_values()) {
    row.values.emplace_back(std::move(value));
  }
  ++next_row_;
  current_ = std::move(row);
  return true;
}

bool RowStream::ReadEvent() {
  absl::StatusOr<std::optional<v1::OnAllShardsResponse>> event = events_->Next();
  if (event.ok() && event->has_value()) {
    Take(**std::move(event));
    return true;
  }
  events_.reset();
  if (!event.ok()) {
    current_ = event.status();
  } else if (!summarized_) {
    current_ = absl::UnavailableError(
        "the stream ended without its summary: rows may be missing; run it again");
  } else {
    current_ = SqlRow();
  }
  return false;
}

void RowStream::Take(v1::OnAllShardsResponse event) {
  switch (event.event_case()) {
    case v1::OnAllShardsResponse::kHeader:
      columns_.assign(event.header().columns().begin(), event.header().columns().end());
      return;
    case v1::OnAllShardsResponse::kRows:
      batch_.Swap(event.mutable_rows());
      next_row_ = 0;
      return;
    case v1::OnAllShardsResponse::kShardStatus:
      shard_statuses_.push_back(std::move(*event.mutable_shard_status()));
      return;
    case v1::OnAllShardsResponse::kProgress:
      if (on_progress_) on_progress_(event.progress());
      return;
    case v1::OnAllShardsResponse::kSummary:
      summary_.Swap(event.mutable_summary());
      summarized_ = true;
      return;
    case v1::OnAllShardsResponse::EVENT_NOT_SET:
      return;  // An event of a newer gateway.
  }
}

}  // namespace quarry::client
