#include "client/quarryctl/output.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/quarryctl/text_value.h"
#include "google/protobuf/util/json_util.h"

namespace quarry::ctl {
namespace {

std::string Padded(const std::string& text, size_t width, bool right) {
  const std::string space(width - std::min(width, Width(text)), ' ');
  return right ? space + text : text + space;
}

void PrintLine(const std::vector<std::string>& cells, const std::vector<size_t>& widths,
               const std::vector<bool>& right, std::ostream& out) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    absl::StrAppend(&line, i > 0 ? "  " : "", Padded(cells[i], widths[i], right[i]));
  }
  line.erase(line.find_last_not_of(' ') + 1);
  out << line << "\n";
}

}  // namespace

size_t Width(const std::string& text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

std::string Printable(const std::string& text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (text[i] == '\n') {
      result += "\\n";
    } else if (text[i] == '\t') {
      result += "\\t";
    } else if (text[i] == '\r') {
      result += "\\r";
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&result, "\\x%02x", byte);
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F.
      absl::StrAppendFormat(&result, "\\u%04x", next);
      ++i;
    } else {
      result.push_back(text[i]);
    }
  }
  return result;
}

void TextTable::SortByFirst() {
  std::stable_sort(rows_.begin(), rows_.end(),
                   [](const auto& a, const auto& b) { return a.front() < b.front(); });
}

void TextTable::Print(std::ostream& out) const {
  std::vector<size_t> widths;
  for (const std::string& name : header_) widths.push_back(Width(name));
  std::vector<std::vector<std::string>> rows = rows_;
  for (std::vector<std::string>& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      row[i] = Printable(row[i]);
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::vector<bool> right(header_.size(), false);
  for (const size_t column : right_) right[column] = true;
  PrintLine(header_, widths, right, out);
  for (const std::vector<std::string>& row : rows) PrintLine(row, widths, right, out);
}

void PrintFields(const std::vector<std::pair<std::string, std::string>>& fields,
                 std::ostream& out) {
  size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, Width(name));
  for (const auto& [name, value] : fields)
    out << Padded(name, width, false) << "  " << Printable(value) << "\n";
}

v1::ColumnType TypeOf(const v1::Table& table, const std::string& column) {
  for (const v1::Column& known : table.columns()) {
    if (known.name() == column) return known.type();
  }
  return {};
}

std::vector<std::pair<std::string, std::string>> RecordFields(const v1::Record& record,
                                                              const v1::Table& table) {
  std::vector<std::pair<std::string, std::string>> fields;
  for (const v1::Column& column : table.columns()) {
    const auto found = record.columns().find(column.name());
    if (found != record.columns().end())
      fields.emplace_back(column.name(), ToText(found->second, column.type()));
  }
  return fields;
}

std::string RecordJson(const v1::Record& record, const v1::Table& table) {
  std::string json = "{";
  for (const v1::Column& column : table.columns()) {
    const auto found = record.columns().find(column.name());
    if (found == record.columns().end()) continue;
    absl::StrAppend(&json, json.size() > 1 ? ", " : "", JsonString(column.name()), ": ",
                    ToJson(found->second, column.type()));
  }
  return json + "}";
}

std::string MessageJson(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  return status.ok() ? json : absl::StrCat("{\"error\": ", JsonString(status.ToString()), "}\n");
}

}  // namespace quarry::ctl
