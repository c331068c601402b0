#include "core/routing/options.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"
#include "core/routing/key_text.h"
#include "core/routing/stable_hash.h"

namespace quarry {
namespace {

using nlohmann::json;

std::pair<int64_t, int64_t> IntegerBounds(TypeKind kind) {
  switch (kind) {
    case TypeKind::kInt16:
      return {std::numeric_limits<int16_t>::min(), std::numeric_limits<int16_t>::max()};
    case TypeKind::kInt32:
      return {std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
    default:
      return {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  }
}

bool IsInteger(TypeKind kind) {
  return kind == TypeKind::kInt16 || kind == TypeKind::kInt32 || kind == TypeKind::kInt64;
}

// JSON's integers that int64 can hold.
std::optional<int64_t> AsInt64(const json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

std::optional<std::string> HexBytes(const std::string& text) {
  if (text.size() < 2 || text.size() % 2 != 0 || text.compare(0, 2, "\\x") != 0) return std::nullopt;
  if (text.find_first_not_of("0123456789abcdefABCDEF", 2) != std::string::npos) return std::nullopt;
  return absl::HexStringToBytes(text.substr(2));
}

}  // namespace

ResolverIdentity::ResolverIdentity(const ResolverSpec& spec)
    : name(spec.name),
      type(spec.type),
      key_columns(spec.key_columns),
      shards(spec.shards),
      width(spec.key_columns.empty() ? spec.key_types.size() : spec.key_columns.size()) {}

absl::Status ResolverIdentity::WrongWidth(absl::Span<const Value> key) const {
  return InvalidField("key", absl::StrCat("resolver \"", name, "\" takes ", width, " key value(s) (",
                                          absl::StrJoin(key_columns, ", "), "), got ", key.size()));
}

absl::Status ResolverIdentity::NotMapped(std::string_view advice) const {
  return MakeError(absl::StatusCode::kNotFound, reason::kKeyNotMapped,
                   absl::StrCat("resolver \"", name, "\" maps this key to no shard: ", std::string(advice)),
                   {{"resolver", name}});
}

std::string ResolverIdentity::Describe(absl::Span<const Value> key) const {
  std::string words;
  for (size_t i = 0; i < key.size(); ++i) {
    const std::string column = i < key_columns.size() ? key_columns[i] : absl::StrCat("key[", i, "]");
    absl::StrAppend(&words, i == 0 ? "" : ", ", column, " ", DebugString(key[i]));
  }
  return words;
}

OptionReader::OptionReader(const ResolverSpec& spec, std::vector<FieldViolation>& violations)
    : spec_(spec), violations_(violations), violations_before_(violations.size()) {}

void OptionReader::Add(std::string path, std::string description) {
  violations_.push_back({std::move(path), std::move(description)});
}

bool OptionReader::Object(const json& value, const std::string& path,
                          std::initializer_list<const char*> known) {
  if (!value.is_object()) {
    Add(path, absl::StrCat("must be an object, is a ", value.type_name()));
    return false;
  }
  const std::vector<std::string> names(known.begin(), known.end());
  for (const auto& [name, member] : value.items()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    Add(path.empty() ? name : absl::StrCat(path, ".", name),
        absl::StrCat("unknown option", DidYouMean(name, names), "; known are ", absl::StrJoin(names, ", ")));
  }
  return true;
}

const json* OptionReader::Member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> OptionReader::Integer(const json& value, const std::string& path, int64_t min,
                                             int64_t max) {
  const std::optional<int64_t> number = AsInt64(value);
  if (number && *number >= min && *number <= max) return number;
  Add(path, absl::StrCat("must be an integer from ", min, " to ", max));
  return std::nullopt;
}

std::optional<std::string> OptionReader::String(const json& value, const std::string& path) {
  if (value.is_string()) return value.get<std::string>();
  Add(path, absl::StrCat("must be text, is a ", value.type_name()));
  return std::nullopt;
}

std::optional<ShardId> OptionReader::Shard(const json& value, const std::string& path) {
  if (value.is_string()) return ShardNamed(value.get<std::string>(), path);
  Add(path, absl::StrCat("must be the name of a shard, is a ", value.type_name()));
  return std::nullopt;
}

std::optional<ShardId> OptionReader::ShardNamed(const std::string& name, const std::string& path) {
  const auto found = std::find(spec_.shards.begin(), spec_.shards.end(), name);
  if (found != spec_.shards.end()) return static_cast<ShardId>(found - spec_.shards.begin());
  Add(path, absl::StrCat("there is no shard \"", name, "\"", DidYouMean(name, spec_.shards)));
  return std::nullopt;
}

std::optional<std::vector<ShardId>> OptionReader::ShardList(const json& value, const std::string& path) {
  if (!value.is_array() || value.empty()) {
    Add(path, "must be a list of shard names, at least one");
    return std::nullopt;
  }
  std::vector<ShardId> shards;
  for (size_t i = 0; i < value.size(); ++i) {
    if (const auto shard = Shard(value[i], absl::StrCat(path, "[", i, "]"))) shards.push_back(*shard);
  }
  if (shards.size() != value.size()) return std::nullopt;
  return shards;
}

std::optional<Value> OptionReader::KeyPart(const json& value, size_t column, const std::string& path) {
  if (column < spec_.key_types.size()) return TypedPart(value, spec_.key_types[column], path);
  if (const std::optional<int64_t> number = AsInt64(value)) return Value::Int64(*number);
  if (value.is_string()) return Value::Text(value.get<std::string>());
  if (value.is_boolean()) return Value::Bool(value.get<bool>());
  Add(path, absl::StrCat("must be an integer, text or a boolean, is ",
                         value.is_number() ? "a number that no key can hold" : value.type_name()));
  return std::nullopt;
}

std::optional<Value> OptionReader::TypedPart(const json& value, const ColumnType& type,
                                             const std::string& path) {
  if (type.array) {
    Add(path, absl::StrCat("a column of type ", TypeName(type), " cannot be part of this resolver's key"));
    return std::nullopt;
  }
  if (IsInteger(type.kind) && value.is_number()) {
    const auto [min, max] = IntegerBounds(type.kind);
    const std::optional<int64_t> number = Integer(value, path, min, max);
    return number ? std::optional<Value>(Value::Int64(*number)) : std::nullopt;
  }
  if (type.kind == TypeKind::kBool && value.is_boolean()) return Value::Bool(value.get<bool>());
  if (type.kind == TypeKind::kDecimal && value.is_number_integer()) return Value::Decimal(value.dump());
  if (value.is_string()) return TextPart(value.get<std::string>(), type, path);
  Add(path, absl::StrCat("must be of the column's type ", TypeName(type), ", is a ", value.type_name(),
                         value.is_number() || value.is_boolean() ? ": write it in quotes" : ""));
  return std::nullopt;
}

std::optional<Value> OptionReader::TextPart(const std::string& text, const ColumnType& type,
                                            const std::string& path) {
  std::optional<Value> part;
  switch (type.kind) {
    case TypeKind::kText:
      return Value::Text(text);
    case TypeKind::kInt16:
    case TypeKind::kInt32:
    case TypeKind::kInt64: {
      const auto [min, max] = IntegerBounds(type.kind);
      int64_t number = 0;
      if (absl::SimpleAtoi(text, &number) && number >= min && number <= max) part = Value::Int64(number);
      break;
    }
    case TypeKind::kBool:
      if (text == "true" || text == "false") part = Value::Bool(text == "true");
      break;
    case TypeKind::kBytes:
      if (const std::optional<std::string> bytes = HexBytes(text)) part = Value::Bytes(*bytes);
      break;
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      if (const auto micros = ParseTimestampMicros(text, type.kind == TypeKind::kTimestampTz)) {
        part = Value::Timestamp(*micros);
      }
      break;
    case TypeKind::kDate:
      if (ParseDateDays(text)) part = Value::Date(text);
      break;
    case TypeKind::kTime:
      if (ParseTimeMicros(text)) part = Value::Time(text);
      break;
    case TypeKind::kDecimal:
      if (ParseDecimal(text)) part = Value::Decimal(text);
      break;
    case TypeKind::kUuid:
      if (ParseUuid(text)) part = Value::Uuid(absl::AsciiStrToLower(text));
      break;
    default:
      Add(path, absl::StrCat("a column of type ", TypeName(type), " cannot be part of this resolver's key"));
      return std::nullopt;
  }
  if (!part) {
    Add(path, absl::StrCat("is not a well-formed ", TypeName(type),
                           type.kind == TypeKind::kBytes ? ": write bytes as \"\\x00ff\"" : ""));
  }
  return part;
}

std::optional<Key> OptionReader::WholeKey(const json& value, const std::string& path, bool prefix_allowed) {
  const size_t width = key_width();
  if (!value.is_array()) {
    if (width > 1 && !prefix_allowed) {
      Add(path, absl::StrCat("the key has ", width, " columns (", absl::StrJoin(spec_.key_columns, ", "),
                             "): write a list of their values"));
      return std::nullopt;
    }
    std::optional<Value> part = KeyPart(value, 0, path);
    if (!part) return std::nullopt;
    return Key{*std::move(part)};
  }
  const bool fits = prefix_allowed ? value.size() <= width : value.size() == width;
  if (value.empty() || (width > 0 && !fits)) {
    Add(path, absl::StrCat("must hold ", prefix_allowed ? "at most " : "", width,
                           " value(s), one per key column, holds ", value.size()));
    return std::nullopt;
  }
  Key key;
  for (size_t i = 0; i < value.size(); ++i) {
    if (auto part = KeyPart(value[i], i, absl::StrCat(path, "[", i, "]"))) key.push_back(*std::move(part));
  }
  if (key.size() != value.size()) return std::nullopt;
  return key;
}

void OptionReader::RequireHashableKey() {
  for (size_t i = 0; i < spec_.key_types.size(); ++i) {
    if (HasStableHash(spec_.key_types[i])) continue;
    Add(absl::StrCat("key.", ColumnName(i)), absl::StrCat("a column of type ", TypeName(spec_.key_types[i]),
                                                          " has no stable hash: choose another key column"));
  }
}

size_t OptionReader::key_width() const {
  return spec_.key_columns.empty() ? spec_.key_types.size() : spec_.key_columns.size();
}

std::string OptionReader::ColumnName(size_t column) const {
  return column < spec_.key_columns.size() ? spec_.key_columns[column] : absl::StrCat(column);
}

ShardSet AllShards(const ResolverSpec& spec) {
  ShardSet all;
  for (size_t i = 0; i < spec.shards.size(); ++i) all.push_back(static_cast<ShardId>(i));
  return all;
}

ShardSet ToShardSet(std::vector<ShardId> shards) {
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  return shards;
}

std::string ValidText(const std::string& text) {
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

std::string HexHash(uint64_t hash) { return absl::StrFormat("0x%016x", hash); }

}  // namespace quarry
