// The rows of a file to import, typed by the table: CSV or JSON lines, read as a stream. One
// thread.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/value.pb.h"

namespace quarry::ctl {

enum class ImportFormat { kCsv, kJsonLines };

struct RowFormat {
  ImportFormat format = ImportFormat::kCsv;
  char delimiter = ',';
  // Column names of a CSV file that has no header line; empty: its first line is the header.
  std::vector<std::string> header;
  // Name in the file -> column; an empty column leaves the file's out.
  std::map<std::string, std::string> map;
  // CSV: an unquoted field of this text is NULL.
  std::string null_text;
};

struct InputRow {
  int64_t line = 0;  // Where it begins in the file, from 1.
  std::string
      source;  // As the file has it; for a rejects file. Empty when it could not be told apart.
  absl::Status problem;  // OK, or why it is no row of the table; names the column.
  v1::Record record;     // Meaningless with a problem.
};

class RowReader {
 public:
  virtual ~RowReader() = default;
  // False at the end.
  virtual bool Next(InputRow& row) = 0;
  // The line that belongs on top of a rejects file; empty when there is none.
  virtual std::string header_line() const = 0;
  // Bytes read so far.
  virtual int64_t bytes() const = 0;
};

// `in` and `table` outlive it. INVALID_ARGUMENT for a header that does not fit the table, listing
// every bad name.
absl::StatusOr<std::unique_ptr<RowReader>> OpenRows(std::istream& in, const v1::Table& table,
                                                    const RowFormat& format);

}  // namespace quarry::ctl
