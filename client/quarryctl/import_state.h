// Which batches of an import are written: a small file beside the data, so that a second run skips
// them. Losing it loses nothing: the gateway answers a batch that is written already with its
// stored results.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace quarry::ctl {

// 128 bits of hash (XXH3) in hexadecimal of everything that decides which rows an import writes in
// which batch.
class ImportId {
 public:
  // `content` is the hash of the file; `options` every option and column type that matters.
  static std::string Make(const std::string& content, const std::string& options);
  // The hash of a whole file, read as a stream. NOT_FOUND when it cannot be read.
  static absl::StatusOr<std::string> HashFile(const std::string& path);
  // The request_id of a batch: the same for the same import, batch and round; a UUID version 8 (RFC
  // 9562).
  static std::string RequestId(const std::string& import_id, int64_t batch, int round);
};

// One thread, or under the owner's lock.
class ImportState {
 public:
  // An empty path keeps nothing. With `resume` the file must be of this import
  // (FAILED_PRECONDITION) or absent; without it, what it says is forgotten.
  static absl::StatusOr<ImportState> Open(const std::string& path, const std::string& import_id,
                                          bool resume);

  bool IsDone(int64_t batch) const { return batch < done_below_ || done_.count(batch) > 0; }
  // Saves at most twice a second.
  absl::Status MarkDone(int64_t batch, absl::Time now);
  absl::Status Save() const;
  // The import is complete.
  void Remove() const;

 private:
  std::string path_;
  std::string import_id_;
  int64_t done_below_ = 0;  // Every batch below it is written,
  std::set<int64_t> done_;  // and these are too.
  absl::Time saved_ = absl::InfinitePast();
};

}  // namespace quarry::ctl
