#include "client/quarryctl/csv.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace quarry::ctl {
namespace {

constexpr int kEnd = std::char_traits<char>::eof();
constexpr int kByteOrderMark = 0xEF;  // Its first byte of three, in UTF-8.

}  // namespace

int CsvReader::Peek(int ahead) {
  while (lookahead_size_ <= ahead) lookahead_[lookahead_size_++] = in_.sbumpc();
  return lookahead_[ahead];
}

int CsvReader::Take() {
  const int c = Peek();
  lookahead_[0] = lookahead_[1];
  --lookahead_size_;
  ++bytes_;
  if (c == '\n') ++line_;
  return c;
}

bool CsvReader::AtLineEnd() {
  const int c = Peek();
  // A carriage return ends a line only before a line feed or the end.
  if (c == '\r') return Peek(1) == '\n' || Peek(1) == kEnd;
  return c == '\n' || c == kEnd;
}

void CsvReader::SkipLineEnd() {
  if (!AtLineEnd()) return;
  if (Peek() == '\r') Take();
  if (Peek() == '\n') Take();
}

void CsvReader::SkipLine() {
  while (!AtLineEnd()) Take();
  SkipLineEnd();
}

absl::Status CsvReader::Append(CsvField& field, int c) {
  if (++record_bytes_ > record_bytes_max_)
    return absl::InvalidArgumentError("the record is too large; is a closing quote missing?");
  field.text.push_back(static_cast<char>(c));
  return absl::OkStatus();
}

absl::Status CsvReader::ReadQuoted(CsvField& field) {
  field.quoted = true;
  Take();
  while (true) {
    const int c = Take();
    if (c == kEnd) return absl::InvalidArgumentError("a quote is never closed");
    if (c == '"') {
      if (Peek() != '"') break;
      Take();
    }
    if (absl::Status status = Append(field, c); !status.ok()) return status;
  }
  if (Peek() == static_cast<unsigned char>(delimiter_) || AtLineEnd()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "text follows a closing quote; a quote inside a quoted field is written twice");
}

absl::Status CsvReader::ReadField(CsvField& field) {
  if (Peek() == '"') return ReadQuoted(field);
  while (Peek() != static_cast<unsigned char>(delimiter_) && !AtLineEnd()) {
    if (Peek() == '"')
      return absl::InvalidArgumentError("a quote inside a field that does not begin with one");
    if (absl::Status status = Append(field, Take()); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status CsvReader::ReadRecord(CsvRecord& record) {
  while (true) {
    CsvField& field = record.fields.emplace_back();
    if (absl::Status status = ReadField(field); !status.ok()) return status;
    if (Peek() != static_cast<unsigned char>(delimiter_)) break;
    Take();
  }
  SkipLineEnd();
  return absl::OkStatus();
}

absl::StatusOr<bool> CsvReader::Next(CsvRecord* record) {
  if (!started_) {
    started_ = true;
    if (Peek() == kByteOrderMark) Take(), Take(), Take();
  }
  while (Peek() != kEnd && AtLineEnd()) SkipLineEnd();
  record->fields.clear();
  record->line = line_;
  record_bytes_ = 0;
  if (Peek() == kEnd) return false;
  if (absl::Status status = ReadRecord(*record); !status.ok()) {
    SkipLine();
    return status;
  }
  return true;
}

std::string FormatCsv(const std::vector<CsvField>& fields, char delimiter) {
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) line.push_back(delimiter);
    const std::string& text = fields[i].text;
    const bool plain = text.find_first_of("\"\r\n") == std::string::npos &&
                       text.find(delimiter) == std::string::npos;
    // A record of one empty field would be an empty line, and those are skipped.
    const bool lone_empty = fields.size() == 1 && text.empty();
    if (plain && !fields[i].quoted && !lone_empty) {
      line += text;
    } else {
      absl::StrAppend(&line, "\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
    }
  }
  return line;
}

}  // namespace quarry::ctl
