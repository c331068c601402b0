#include "client/quarryctl/import_rows.h"

#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/quarryctl/arguments.h"
#include "client/quarryctl/csv.h"
#include "client/quarryctl/text_value.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

constexpr size_t kLineBytesMax = 4 << 20;

// The column that `name` of the file goes to; "" when it is left out.
std::string Mapped(const RowFormat& format, const std::string& name) {
  const auto found = format.map.find(name);
  return found == format.map.end() ? name : found->second;
}

absl::Status InColumn(const std::string& column, const absl::Status& status) {
  return absl::InvalidArgumentError(absl::StrCat(column, ": ", status.message()));
}

class CsvRows final : public RowReader {
 public:
  CsvRows(std::istream& in, const v1::Table& table, const RowFormat& format)
      : csv_(in, format.delimiter), table_(table), format_(format) {}

  absl::Status ReadHeader() {
    std::vector<std::string> names = format_.header;
    if (names.empty()) {
      CsvRecord record;
      QUARRY_ASSIGN_OR_RETURN(const bool found, csv_.Next(&record));
      if (!found) return absl::InvalidArgumentError("the file is empty: it has no header line");
      for (const CsvField& field : record.fields) names.push_back(field.text);
    }
    std::vector<FieldViolation> violations;
    std::set<std::string> seen;
    std::vector<CsvField> header;
    for (const std::string& name : names) {
      if (!IsUtf8(name)) return absl::InvalidArgumentError("the header line is not UTF-8");
      header.push_back(CsvField{name});
      const std::string column = Mapped(format_, name);
      columns_.push_back(column.empty() ? nullptr : FindColumn(table_, column));
      if (column.empty()) continue;
      if (columns_.back() == nullptr) {
        violations.push_back({name, UnknownColumn(table_, column) + " (--map " + name +
                                        "=COLUMN, or " + name + "= to leave it out)"});
      } else if (!seen.insert(column).second) {
        violations.push_back({name, absl::StrCat("two columns of the file go to ", column)});
      }
    }
    if (!violations.empty()) return InvalidFields(std::move(violations));
    if (format_.header.empty()) header_line_ = FormatCsv(header, format_.delimiter);
    return absl::OkStatus();
  }

  bool Next(InputRow& row) override {
    CsvRecord record;
    const absl::StatusOr<bool> found = csv_.Next(&record);
    if (found.ok() && !*found) return false;
    row = InputRow();
    row.line = record.line;
    if (!found.ok()) {
      row.problem = found.status();
      return true;
    }
    row.problem = Fill(record.fields, row.record);
    row.source = FormatCsv(record.fields, format_.delimiter);
    return true;
  }

  std::string header_line() const override { return header_line_; }
  int64_t bytes() const override { return csv_.bytes(); }

 private:
  absl::Status Fill(const std::vector<CsvField>& fields, v1::Record& record) const {
    if (fields.size() != columns_.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("has ", fields.size(), " fields instead of ", columns_.size()));
    }
    for (size_t i = 0; i < fields.size(); ++i) {
      if (columns_[i] == nullptr) continue;
      v1::Value& value = (*record.mutable_columns())[columns_[i]->name()];
      if (!fields[i].quoted && fields[i].text == format_.null_text) {
        value.set_null_value(google::protobuf::NULL_VALUE);
        continue;
      }
      auto parsed = FromText(columns_[i]->type(), fields[i].text);
      if (!parsed.ok()) return InColumn(columns_[i]->name(), parsed.status());
      value = *std::move(parsed);
    }
    return absl::OkStatus();
  }

  CsvReader csv_;
  const v1::Table& table_;
  const RowFormat format_;
  std::vector<const v1::Column*> columns_;  // By position in the file; nullptr is left out.
  std::string header_line_;
};

class JsonRows final : public RowReader {
 public:
  JsonRows(std::istream& in, const v1::Table& table, const RowFormat& format)
      : in_(in), table_(table), format_(format) {}

  bool Next(InputRow& row) override {
    std::string line;
    do {
      if (!ReadLine(line)) return false;
    } while (line.find_first_not_of(" \t\r") == std::string::npos);
    row = InputRow();
    row.line = line_;
    row.problem = line.size() >= kLineBytesMax
                      ? absl::InvalidArgumentError("the line is over 4 MiB")
                      : Fill(line, row.record);
    row.source = std::move(line);
    return true;
  }

  std::string header_line() const override { return ""; }
  int64_t bytes() const override { return bytes_; }

 private:
  // A line without its end; one that is too long is cut, so that memory stays bounded.
  bool ReadLine(std::string& line) {
    line.clear();
    std::streambuf& buffer = *in_.rdbuf();
    int c = buffer.sbumpc();
    if (c == std::char_traits<char>::eof()) return false;
    ++line_;
    for (; c != '\n' && c != std::char_traits<char>::eof(); c = buffer.sbumpc()) {
      ++bytes_;
      if (line.size() < kLineBytesMax) line.push_back(static_cast<char>(c));
    }
    ++bytes_;
    return true;
  }

  absl::Status Fill(const std::string& line, v1::Record& record) const {
    QUARRY_ASSIGN_OR_RETURN(const auto members, SplitJsonObject(line));
    for (const auto& [name, json] : members) {
      const std::string mapped = Mapped(format_, name);
      if (mapped.empty()) continue;
      const v1::Column* column = FindColumn(table_, mapped);
      if (column == nullptr) return absl::InvalidArgumentError(UnknownColumn(table_, mapped));
      auto value = FromJson(column->type(), json);
      if (!value.ok()) return InColumn(mapped, value.status());
      (*record.mutable_columns())[mapped] = *std::move(value);
    }
    return absl::OkStatus();
  }

  std::istream& in_;
  const v1::Table& table_;
  const RowFormat format_;
  int64_t line_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RowReader>> OpenRows(std::istream& in, const v1::Table& table,
                                                    const RowFormat& format) {
  if (format.format == ImportFormat::kJsonLines)
    return std::make_unique<JsonRows>(in, table, format);
  auto rows = std::make_unique<CsvRows>(in, table, format);
  QUARRY_RETURN_IF_ERROR(rows->ReadHeader());
  return rows;
}

}  // namespace quarry::ctl
