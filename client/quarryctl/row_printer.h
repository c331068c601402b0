// Prints rows as they come: aligned tables of at most a thousand rows, or one JSON object a line.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "client/quarryctl/output.h"
#include "client/quarryctl/session.h"
#include "quarry/v1/value.pb.h"

namespace quarry::ctl {

class RowPrinter {
 public:
  // `session` outlives this.
  explicit RowPrinter(Session& session) : session_(session) {}
  void SetColumns(std::vector<v1::ColumnHeader> columns) { columns_ = std::move(columns); }
  void Add(const std::vector<client::Value>& row);
  void Add(const v1::Row& row);
  // Once, after the last row; a table without rows shows its header.
  void Finish();
  int64_t rows() const { return rows_; }

 private:
  TextTable NewTable() const;

  Session& session_;
  std::vector<v1::ColumnHeader> columns_;
  std::optional<TextTable> table_;
  int64_t rows_ = 0;
};

}  // namespace quarry::ctl
