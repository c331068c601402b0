// Comma-separated values (RFC 4180), read as a stream: quotes, doubled quotes, line breaks inside
// quotes. One thread.
#pragma once

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace quarry::ctl {

struct CsvField {
  std::string text;
  bool quoted = false;  // "" and an empty field differ: only the second can mean NULL.
};

struct CsvRecord {
  std::vector<CsvField> fields;
  int64_t line = 0;  // Where it begins, from 1.
};

// Lines end with LF or CRLF; a byte-order mark at the start and empty lines are skipped. Memory
// holds one record.
class CsvReader {
 public:
  // `in` outlives this. A record of more than `record_bytes_max` is an error.
  explicit CsvReader(std::istream& in, char delimiter = ',', size_t record_bytes_max = 4 << 20)
      : in_(*in.rdbuf()), delimiter_(delimiter), record_bytes_max_(record_bytes_max) {}

  // False at the end. INVALID_ARGUMENT for a record that is not CSV: the rest of its line is
  // skipped and the next call goes on behind it. record->line is set in both cases.
  absl::StatusOr<bool> Next(CsvRecord* record);
  // Bytes read so far.
  int64_t bytes() const { return bytes_; }

 private:
  absl::Status ReadRecord(CsvRecord& record);
  absl::Status ReadField(CsvField& field);
  absl::Status ReadQuoted(CsvField& field);
  absl::Status Append(CsvField& field, int c);
  // The byte that many places ahead (0 or 1), or end of file.
  int Peek(int ahead = 0);
  int Take();
  bool AtLineEnd();
  void SkipLineEnd();
  void SkipLine();

  std::streambuf& in_;
  const char delimiter_;
  const size_t record_bytes_max_;
  int lookahead_[2] = {0, 0};
  int lookahead_size_ = 0;
  size_t record_bytes_ = 0;
  int64_t line_ = 1;
  int64_t bytes_ = 0;
  bool started_ = false;
};

// `fields` as one line without its end, quoted where it has to be, so that CsvReader reads the same
// fields.
std::string FormatCsv(const std::vector<CsvField>& fields, char delimiter = ',');

}  // namespace quarry::ctl
