#include "client/quarryctl/import.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/error.h"

namespace quarry::ctl {
namespace {

// A batch closes before it would not fit a message of 4 MiB, rows on the wire being no larger than
// these.
constexpr size_t kBatchBytesMax = 1 << 20;
constexpr int kRoundsMax = 8;

// An outcome that says something about its row; any other says something about the gateway or a
// shard.
bool IsOfRow(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kOutOfRange:
      return true;
    default:
      return false;
  }
}

// The 3 of "mutations[3].record.price".
std::optional<size_t> MutationIndex(const std::string& field) {
  constexpr absl::string_view kPrefix = "mutations[";
  const size_t close = field.find(']');
  size_t index = 0;
  if (!absl::StartsWith(field, kPrefix) || close == std::string::npos) return std::nullopt;
  if (!absl::SimpleAtoi(field.substr(kPrefix.size(), close - kPrefix.size()), &index))
    return std::nullopt;
  return index;
}

// Without the row's place in its request, which means nothing to who reads a file.
std::string WhyRefused(const absl::Status& outcome) {
  std::string why;
  for (const FieldViolation& violation : DetailOf(outcome).violations) {
    absl::StrAppend(&why, why.empty() ? "" : "; ", violation.description);
  }
  return why.empty() ? std::string(outcome.message()) : why;
}

}  // namespace

client::Mutation Importer::MutationOf(const Item& item) const {
  const client::Record record(item.row.record);
  return options_.upsert ? client::Mutation::Upsert(table_.name(), record)
                         : client::Mutation::Insert(table_.name(), record);
}

bool Importer::Fill(RowReader& rows, Batch& batch) const {
  batch.items.clear();
  size_t bytes = 0;
  InputRow row;
  while (static_cast<int>(batch.items.size()) < options_.batch_rows && bytes < kBatchBytesMax &&
         rows.Next(row)) {
    bytes += row.problem.ok() ? row.record.ByteSizeLong() : 0;
    const absl::Status problem = row.problem;
    batch.items.push_back(Item{std::move(row), problem});
  }
  batch.bytes_end = rows.bytes();
  return !batch.items.empty();
}

absl::Status Importer::Run(RowReader& rows, ImportSummary& summary) {
  started_ = absl::Now();
  std::vector<std::thread> workers;
  for (int i = 0; i < options_.parallel; ++i) workers.emplace_back([this] { Work(); });
  Batch batch;
  for (int64_t number = 0; Fill(rows, batch); ++number) {
    batch.number = number;
    Submit(std::move(batch));
    batch = Batch();
    absl::MutexLock lock(&mutex_);
    if (!failure_.ok()) break;
  }
  {
    absl::MutexLock lock(&mutex_);
    read_all_ = true;
  }
  for (std::thread& worker : workers) worker.join();
  absl::MutexLock lock(&mutex_);
  progress_.Clear();
  summary_.elapsed = absl::Now() - started_;
  summary = summary_;
  if (!failure_.ok()) {
    state_.Save().IgnoreError();  // The failure itself is what there is to say.
    return failure_;
  }
  state_.Remove();
  return absl::OkStatus();
}

void Importer::Submit(Batch batch) {
  absl::MutexLock lock(&mutex_);
  const auto rows = static_cast<int64_t>(batch.items.size());
  if (state_.IsDone(batch.number)) {
    summary_.rows += rows;
    summary_.skipped += rows;
    ShowProgress(batch.bytes_end);
    return;
  }
  auto has_room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !failure_.ok() || static_cast<int>(queue_.size()) < options_.parallel;
  };
  mutex_.Await(absl::Condition(&has_room));
  if (failure_.ok()) queue_.push_back(std::move(batch));
}

void Importer::Work() {
  while (true) {
    Batch batch;
    {
      absl::MutexLock lock(&mutex_);
      auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
        return !failure_.ok() || read_all_ || !queue_.empty();
      };
      mutex_.Await(absl::Condition(&has_work));
      if (!failure_.ok() || queue_.empty()) return;
      batch = std::move(queue_.front());
      queue_.pop_front();
    }
    Finish(batch, Write(batch));
  }
}

absl::Status Importer::Write(Batch& batch) {
  int body = 0;
  for (int round = 0; round < kRoundsMax; ++round) {
    const absl::StatusOr<Round> ended = WriteRound(batch, body);
    if (!ended.ok()) return ended.status();
    if (*ended == Round::kDone) return absl::OkStatus();
    if (*ended == Round::kAgainWithoutBlamed) ++body;
  }
  return absl::AbortedError(
      "other writers kept aborting the rows of a batch; run the import again with --resume");
}

bool Importer::Blame(const absl::Status& error, const std::vector<Item*>& sent) {
  if (!absl::IsInvalidArgument(error)) return false;
  bool blamed = false;
  for (const FieldViolation& violation : DetailOf(error).violations) {
    const auto index = MutationIndex(violation.field);
    if (!index || *index >= sent.size()) return false;
    sent[*index]->row.problem = absl::InvalidArgumentError(violation.description);
    sent[*index]->outcome = sent[*index]->row.problem;
    blamed = true;
  }
  return blamed;
}

absl::StatusOr<Importer::Round> Importer::WriteRound(Batch& batch, int round) {
  std::vector<Item*> sent;
  std::vector<client::Mutation> mutations;
  for (Item& item : batch.items) {
    if (!item.row.problem.ok()) continue;
    sent.push_back(&item);
    mutations.push_back(MutationOf(item));
  }
  if (mutations.empty()) return Round::kDone;
  client::CallOptions call;
  call.request_id = ImportId::RequestId(import_id_, batch.number, round);
  const auto results = client_.BatchWrite(mutations, call);
  if (!results.ok()) {
    // A request that is bad as a whole stored nothing: without the rows it blames, the others go
    // out again.
    if (Blame(results.status(), sent)) return Round::kAgainWithoutBlamed;
    return results.status();
  }
  Round ended = Round::kDone;
  for (size_t i = 0; i < sent.size(); ++i) {
    const absl::StatusOr<client::WriteResult>& result = (*results)[i];
    sent[i]->outcome = result.status();
    sent[i]->replayed = result.ok() && result->replayed;
    // A row that another writer aborted was not stored: the same body under the same id applies
    // just that one.
    if (absl::IsAborted(result.status())) {
      ended = Round::kAgain;
    } else if (!IsOfRow(result.status())) {
      return result.status();
    }
  }
  return ended;
}

void Importer::Reject(const Item& item) {
  ++summary_.rejected;
  progress_.Clear();
  messages_ << options_.file << ":" << item.row.line << ": " << WhyRefused(item.outcome);
  if (const std::string reason = ReasonOf(item.outcome); !reason.empty())
    messages_ << " (" << reason << ")";
  messages_ << "\n";
  if (rejects_ != nullptr && !item.row.source.empty()) *rejects_ << item.row.source << std::endl;
}

void Importer::Finish(const Batch& batch, const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  if (!status.ok()) {
    if (failure_.ok()) failure_ = status;
    return;
  }
  summary_.rows += static_cast<int64_t>(batch.items.size());
  for (const Item& item : batch.items) {
    if (!item.outcome.ok()) {
      Reject(item);
    } else if (item.replayed) {
      ++summary_.replayed;
    } else {
      ++summary_.written;
    }
  }
  absl::Status saved = state_.MarkDone(batch.number, absl::Now());
  if (saved.ok() && summary_.rejected > options_.errors_max) {
    saved = absl::InvalidArgumentError(absl::StrCat(
        Grouped(summary_.rejected), summary_.rejected == 1 ? " row was" : " rows were",
        " refused, and --max-errors is ", options_.errors_max));
  }
  if (!saved.ok() && failure_.ok()) failure_ = saved;
  ShowProgress(batch.bytes_end);
}

void Importer::ShowProgress(int64_t bytes) {
  ProgressCounts counts;
  counts.rows = summary_.rows;
  counts.rejected = summary_.rejected;
  counts.bytes = bytes;
  counts.bytes_total = options_.bytes_total;
  counts.elapsed = absl::Now() - started_;
  progress_.Update(counts);
}

}  // namespace quarry::ctl
