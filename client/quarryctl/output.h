// What commands print: aligned columns for people, plain JSON for programs.
#pragma once

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/message.h"
#include "quarry/v1/schema.pb.h"
#include "quarry/v1/value.pb.h"

namespace quarry::ctl {

// Rows of text under a header, aligned; numbers to the right. Control characters are shown as
// escapes, so that a value stays on its line and cannot drive the terminal.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : header_(std::move(header)) {}
  // As many cells as the header has.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void AlignRight(size_t column) { right_.push_back(column); }
  // Rows whose first cells are equal keep their order.
  void SortByFirst();
  size_t size() const { return rows_.size(); }
  // Its rows decide the widths of the columns; the rest follow in tables of their own, so that memory is bounded.
  bool full() const { return rows_.size() >= kRowsMax; }
  void Print(std::ostream& out) const;

 private:
  static constexpr size_t kRowsMax = 1000;

  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<size_t> right_;
};

// Columns on screen of UTF-8 text: one for each code point.
size_t Width(const std::string& text);
// Control characters as \n, \t, \x1b.
std::string Printable(const std::string& text);

// One name and one value a line, names aligned.
void PrintFields(const std::vector<std::pair<std::string, std::string>>& fields, std::ostream& out);

// The columns of `record` in the order of `table`, as name, text.
std::vector<std::pair<std::string, std::string>> RecordFields(const v1::Record& record,
                                                              const v1::Table& table);
// {"id": 1, "name": "x"} in the order of `table`.
std::string RecordJson(const v1::Record& record, const v1::Table& table);
// Protobuf's JSON mapping with the names of the contract, indented; ends with a line feed.
std::string MessageJson(const google::protobuf::Message& message);

// The type of a column; an unspecified one when the table has no such column.
v1::ColumnType TypeOf(const v1::Table& table, const std::string& column);

}  // namespace quarry::ctl
