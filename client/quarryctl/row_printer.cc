#include "client/quarryctl/row_printer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/quarryctl/text_value.h"

namespace quarry::ctl {

TextTable RowPrinter::NewTable() const {
  std::vector<std::string> header;
  for (const v1::ColumnHeader& column : columns_) header.push_back(column.name());
  TextTable table(header);
  for (size_t i = 0; i < columns_.size(); ++i) {
    const v1::TypeCode code = columns_[i].type().code();
    if (code == v1::TYPE_CODE_INT64 || code == v1::TYPE_CODE_DOUBLE || code == v1::TYPE_CODE_DECIMAL) {
      table.AlignRight(i);
    }
  }
  return table;
}

void RowPrinter::Add(const std::vector<client::Value>& row) {
  v1::Row wire;
  for (const client::Value& value : row) *wire.add_values() = value.proto();
  Add(wire);
}

void RowPrinter::Add(const v1::Row& row) {
  ++rows_;
  const size_t size = std::min(static_cast<size_t>(row.values_size()), columns_.size());
  if (session_.json()) {
    std::string json = "{";
    for (size_t i = 0; i < size; ++i) {
      absl::StrAppend(&json, i > 0 ? ", " : "", JsonString(columns_[i].name()), ": ",
                      ToJson(row.values(static_cast<int>(i)), columns_[i].type()));
    }
    session_.out() << json << "}\n";
    return;
  }
  if (!table_.has_value()) table_ = NewTable();
  std::vector<std::string> cells(columns_.size());
  for (size_t i = 0; i < size; ++i) {
    cells[i] = ToText(row.values(static_cast<int>(i)), columns_[i].type());
  }
  table_->Add(std::move(cells));
  if (!table_->full()) return;
  table_->Print(session_.out());
  table_.reset();
}

void RowPrinter::Finish() {
  if (session_.json()) return;
  if (!table_.has_value() && rows_ == 0 && !columns_.empty()) table_ = NewTable();
  if (table_.has_value()) table_->Print(session_.out());
  table_.reset();
}

}  // namespace quarry::ctl
