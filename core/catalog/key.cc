#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/catalog/catalog.h"
#include "core/catalog/coerce.h"

namespace quarry {
namespace {

std::string Path(std::string_view field, const std::string& name) {
  return field.empty() ? name : absl::StrCat(std::string(field), ".", name);
}

std::string IndexPath(std::string_view field, size_t index) {
  return absl::StrCat(std::string(field), "[", index, "]");
}

// For error paths: a name as it is when it is a plain one, else cut to what is safe to show.
std::string Shown(const std::string& name) {
  constexpr size_t kShownMax = 64;
  std::string shown;
  for (const char c : name.substr(0, kShownMax)) {
    const auto byte = static_cast<unsigned char>(c);
    shown.push_back(byte < 0x20 || byte >= 0x7f ? '?' : c);
  }
  if (name.size() > kShownMax) shown += "...";
  return shown;
}

std::vector<std::string> KeyNames(const Table& table) {
  std::vector<std::string> names;
  for (const size_t column : table.primary_key()) names.push_back(table.columns()[column].name);
  return names;
}

std::string KeyText(const Table& table) {
  return absl::StrCat("the key of table \"", table.name(), "\" is (", absl::StrJoin(KeyNames(table), ", "), ")");
}

std::string NoSuchColumn(const Table& table, const std::string& name) {
  return absl::StrCat("table \"", table.name(), "\" has no column \"", Shown(name), "\"", DidYouMean(name, ColumnNames(table.schema())));
}

// Adds the checked value to `key`, or what is wrong with it, at path(), to `violations`.
template <typename Path>
void AddPart(const Column& column, const Value& value, Path path, Key& key, std::vector<FieldViolation>& violations) {
  absl::StatusOr<Value> checked = Coerce(column, value);
  if (checked.ok()) {
    key.push_back(*std::move(checked));
  } else {
    violations.push_back({path(), std::string(checked.status().message())});
  }
}

void AddByName(const Table& table, const Record& parts, std::string_view field, Key& key,
               std::vector<FieldViolation>& violations) {
  size_t known = 0;
  for (const size_t position : table.primary_key()) {
    const Column& column = table.columns()[position];
    const auto part = parts.find(column.name);
    if (part == parts.end()) {
      violations.push_back({Path(field, column.name), absl::StrCat("missing; ", KeyText(table))});
    } else {
      ++known;
      AddPart(column, part->second, [&] { return Path(field, column.name); }, key, violations);
    }
  }
  if (known == parts.size()) return;
  const std::vector<std::string> names = KeyNames(table);
  for (const auto& [name, value] : parts) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    violations.push_back({Path(field, Shown(name)),
                          table.FindColumn(name).has_value()
                              ? absl::StrCat("not a column of the key; ", KeyText(table))
                              : absl::StrCat("unknown column", DidYouMean(name, names), "; ", KeyText(table))});
  }
}

void AddByPosition(const Table& table, const std::vector<Value>& parts, std::string_view field, Key& key,
                   std::vector<FieldViolation>& violations) {
  const std::vector<size_t>& columns = table.primary_key();
  if (parts.size() != columns.size()) {
    violations.push_back({std::string(field), absl::StrCat("has ", parts.size(), parts.size() == 1 ? " value; " : " values; ",
                                                           KeyText(table))});
  }
  for (size_t i = 0; i < parts.size() && i < columns.size(); ++i) {
    AddPart(table.columns()[columns[i]], parts[i], [&] { return IndexPath(field, i); }, key, violations);
  }
}

}  // namespace

absl::StatusOr<Key> CheckKey(const Table& table, const KeyInput& input, std::string_view field) {
  if (input.empty()) return InvalidField(field, absl::StrCat("is empty; ", KeyText(table)));
  if (!input.by_name.empty() && !input.by_position.empty()) {
    return InvalidField(field, "is given by name and by position; use one of them");
  }
  Key key;
  key.reserve(table.primary_key().size());
  std::vector<FieldViolation> violations;
  if (!input.by_name.empty()) {
    AddByName(table, input.by_name, field, key, violations);
  } else {
    AddByPosition(table, input.by_position, field, key, violations);
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  return key;
}

absl::StatusOr<Value> CheckValue(const Column& column, const Value& value) {
  absl::StatusOr<Value> checked = Coerce(column, value);
  if (!checked.ok()) return InvalidField(column.name, std::string(checked.status().message()));
  return checked;
}

std::vector<std::pair<size_t, Value>> CheckRecord(const Table& table, const Record& record, std::string_view field,
                                                  std::vector<FieldViolation>& violations) {
  std::vector<std::pair<size_t, Value>> columns;
  columns.reserve(record.size());
  for (const auto& [name, value] : record) {
    const std::optional<size_t> at = table.FindColumn(name);
    if (!at.has_value()) {
      violations.push_back({Path(field, Shown(name)), NoSuchColumn(table, name)});
      continue;
    }
    const Column& column = table.columns()[*at];
    if (column.generated) {
      violations.push_back({Path(field, name), "the database computes this column; leave it out"});
      continue;
    }
    absl::StatusOr<Value> checked = Coerce(column, value);
    if (checked.ok()) {
      columns.emplace_back(*at, *std::move(checked));
    } else {
      violations.push_back({Path(field, name), std::string(checked.status().message())});
    }
  }
  return columns;
}

absl::StatusOr<std::vector<size_t>> CheckColumns(const Table& table, const std::vector<std::string>& names,
                                                 std::string_view field) {
  std::vector<size_t> columns;
  if (names.empty() || (names.size() == 1 && names.front() == "*")) {
    for (size_t i = 0; i < table.columns().size(); ++i) columns.push_back(i);
    return columns;
  }
  std::vector<FieldViolation> violations;
  std::set<size_t> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::optional<size_t> at = table.FindColumn(names[i]);
    if (names[i] == "*") {
      violations.push_back({IndexPath(field, i), "\"*\" means all columns and stands alone"});
    } else if (!at.has_value()) {
      violations.push_back({IndexPath(field, i), NoSuchColumn(table, names[i])});
    } else if (!seen.insert(*at).second) {
      violations.push_back({IndexPath(field, i), absl::StrCat("column \"", names[i], "\" is named twice")});
    } else {
      columns.push_back(*at);
    }
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  return columns;
}

}  // namespace quarry
