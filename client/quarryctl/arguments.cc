#include "client/quarryctl/arguments.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/quarryctl/text_value.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

struct Assignment {
  std::string name;
  std::string value;
  bool json = false;
};

std::optional<Assignment> Split(const std::string& argument) {
  const size_t equals = argument.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  const bool json = argument[equals - 1] == ':';
  return Assignment{argument.substr(0, equals - (json ? 1 : 0)), argument.substr(equals + 1), json};
}

// Levenshtein distance.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, substituted}));
    }
  }
  return row.back();
}

// Collects the values of one record and everything that is wrong with it.
class RecordBuilder {
 public:
  explicit RecordBuilder(const v1::Table& table) : table_(table) {}

  void Add(const std::string& name, const std::string& text, bool json) {
    const v1::Column* column = FindColumn(table_, name);
    if (column == nullptr) return Refuse(name, UnknownColumn(table_, name));
    if (record_.columns().contains(name)) return Refuse(name, "is given twice");
    auto value = json ? FromJson(column->type(), text) : FromText(column->type(), text);
    if (!value.ok()) return Refuse(name, std::string(value.status().message()));
    (*record_.mutable_columns())[name] = *std::move(value);
  }
  void Refuse(const std::string& field, std::string why) {
    violations_.push_back({field, std::move(why)});
  }

  absl::StatusOr<v1::Record> Finish() && {
    if (!violations_.empty()) return InvalidFields(std::move(violations_));
    return std::move(record_);
  }

 private:
  const v1::Table& table_;
  v1::Record record_;
  std::vector<FieldViolation> violations_;
};

}  // namespace

const v1::Column* FindColumn(const v1::Table& table, const std::string& name) {
  for (const v1::Column& column : table.columns()) {
    if (column.name() == name) return &column;
  }
  return nullptr;
}

std::string Nearest(const std::string& name, const std::vector<std::string>& known) {
  std::string nearest;
  size_t distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& one : known) {
    const size_t d = EditDistance(name, one);
    if (d >= distance) continue;
    distance = d;
    nearest = one;
  }
  return nearest;
}

std::string UnknownColumn(const v1::Table& table, const std::string& name) {
  std::vector<std::string> names;
  for (const v1::Column& column : table.columns()) names.push_back(column.name());
  const std::string nearest = Nearest(name, names);
  const std::string text = absl::StrCat("there is no column \"", name, "\" in ", table.name());
  return nearest.empty() ? text : absl::StrCat(text, "; did you mean \"", nearest, "\"?");
}

absl::StatusOr<v1::Record> ParseAssignments(const v1::Table& table,
                                            const std::vector<std::string>& arguments) {
  RecordBuilder builder(table);
  for (const std::string& argument : arguments) {
    const auto assignment = Split(argument);
    if (!assignment) {
      builder.Refuse(argument, "write name=value, or name:=JSON");
      continue;
    }
    builder.Add(assignment->name, assignment->value, assignment->json);
  }
  return std::move(builder).Finish();
}

absl::StatusOr<v1::Record> ParseRecordJson(const v1::Table& table, const std::string& json) {
  const auto members = SplitJsonObject(json);
  if (!members.ok()) return InvalidField("json", std::string(members.status().message()));
  RecordBuilder builder(table);
  for (const auto& [name, value] : *members) builder.Add(name, value, true);
  return std::move(builder).Finish();
}

absl::StatusOr<v1::Key> ParseKey(const v1::Table& table,
                                 const std::vector<std::string>& arguments) {
  const bool by_name =
      std::all_of(arguments.begin(), arguments.end(), [&table](const std::string& argument) {
        const auto assignment = Split(argument);
        return assignment && FindColumn(table, assignment->name) != nullptr;
      });
  v1::Key key;
  if (by_name && !arguments.empty()) {
    QUARRY_ASSIGN_OR_RETURN(v1::Record record, ParseAssignments(table, arguments));
    key.mutable_columns()->swap(*record.mutable_columns());
    return key;
  }
  if (static_cast<int>(arguments.size()) != table.primary_key_size()) {
    for (const std::string& argument : arguments) {
      const auto assignment = Split(argument);
      if (assignment && FindColumn(table, assignment->name) == nullptr)
        return InvalidField("key", UnknownColumn(table, assignment->name));
    }
    return InvalidField(
        "key", absl::StrCat("has ", arguments.size(), " values, but the primary key of ",
                            table.name(), " is (", absl::StrJoin(table.primary_key(), ", "), ")"));
  }
  RecordBuilder builder(table);
  for (size_t i = 0; i < arguments.size(); ++i)
    builder.Add(table.primary_key(i), arguments[i], false);
  QUARRY_ASSIGN_OR_RETURN(v1::Record record, std::move(builder).Finish());
  for (const std::string& column : table.primary_key())
    *key.add_values() = record.columns().at(column);
  return key;
}

v1::Key TakeKey(const v1::Table& table, v1::Record& record) {
  v1::Key key;
  auto take = [&](const std::string& column) {
    const auto found = record.mutable_columns()->find(column);
    if (found == record.mutable_columns()->end()) return;
    (*key.mutable_columns())[column] = found->second;
    record.mutable_columns()->erase(found);
  };
  for (const std::string& column : table.primary_key()) take(column);
  for (const std::string& column : table.shard_key()) take(column);
  return key;
}

}  // namespace quarry::ctl
