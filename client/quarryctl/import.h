// Writes the rows of a file into a table, in batches that are safe to send again. Memory holds the
// batches in flight.
#pragma once

#include <cstdint>
#include <deque>
#include <ostream>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/client.h"
#include "client/quarryctl/import_rows.h"
#include "client/quarryctl/import_state.h"
#include "client/quarryctl/progress.h"

namespace quarry::ctl {

struct ImportOptions {
  std::string file;  // As messages name it.
  bool upsert = false;
  int batch_rows = 500;
  int parallel = 4;
  int64_t errors_max = 0;   // More rejected rows end the import.
  int64_t bytes_total = 0;  // Of the file; 0 when it is not known.
};

struct ImportSummary {
  int64_t rows = 0;      // Read from the file.
  int64_t written = 0;   // By this run.
  int64_t replayed = 0;  // Written by an earlier run, as the gateway said.
  int64_t skipped = 0;   // Written by an earlier run, as the state file said.
  int64_t rejected = 0;
  absl::Duration elapsed;
};

class Importer {
 public:
  // Messages of rejected rows go to `messages`, their source lines to `rejects` (nullptr: nowhere).
  // All references outlive this; `state` is used under this object's lock.
  Importer(client::Client& client, const v1::Table& table, const ImportOptions& options,
           std::string import_id, ImportState& state, ProgressPrinter& progress,
           std::ostream& messages, std::ostream* rejects)
      : client_(client),
        table_(table),
        options_(options),
        import_id_(std::move(import_id)),
        state_(state),
        progress_(progress),
        messages_(messages),
        rejects_(rejects) {}

  // Reads to the end, or to the first error that is not of one row alone. Once. `summary` is set in
  // both cases.
  absl::Status Run(RowReader& rows, ImportSummary& summary);

 private:
  // One row that goes out, or that is refused before.
  struct Item {
    InputRow row;
    absl::Status outcome;  // Of the row's problem, or of the gateway's answer.
    bool replayed = false;
  };
  // Rows that share a request id. Which rows they are depends on nothing but the file and the
  // options.
  struct Batch {
    int64_t number = 0;
    std::vector<Item> items;
    int64_t bytes_end = 0;  // Of the file, behind its last row.
  };

  bool Fill(RowReader& rows, Batch& batch) const;
  void Submit(Batch batch) ABSL_LOCKS_EXCLUDED(mutex_);
  void Work() ABSL_LOCKS_EXCLUDED(mutex_);
  // How a round of a batch ended.
  enum class Round { kDone, kAgain, kAgainWithoutBlamed };
  absl::Status Write(Batch& batch);
  // Sends every item without a problem under the request id of `round`.
  absl::StatusOr<Round> WriteRound(Batch& batch, int round);
  // Gives each row that `error` blames its problem; false when it blames none.
  static bool Blame(const absl::Status& error, const std::vector<Item*>& sent);
  client::Mutation MutationOf(const Item& item) const;
  void Finish(const Batch& batch, const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  void Reject(const Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ShowProgress(int64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  client::Client& client_;
  const v1::Table& table_;
  const ImportOptions options_;
  const std::string import_id_;
  ImportState& state_;
  ProgressPrinter& progress_;
  std::ostream& messages_;
  std::ostream* rejects_;
  absl::Time started_;

  absl::Mutex mutex_;
  std::deque<Batch> queue_ ABSL_GUARDED_BY(mutex_);
  bool read_all_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  ImportSummary summary_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace quarry::ctl
