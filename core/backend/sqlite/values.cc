#include "core/backend/sqlite/values.h"

#include <sqlite3.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/backend/sqlite/text.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/catalog/text_forms.h"

namespace quarry::sqlite {
namespace {

struct NamedType {
  const char* name;
  TypeKind kind;
};

constexpr NamedType kNamedTypes[] = {
    {"BOOLEAN", TypeKind::kBool},
    {"BOOL", TypeKind::kBool},
    {"INTEGER", TypeKind::kInt64},
    {"INT", TypeKind::kInt64},
    {"BIGINT", TypeKind::kInt64},
    {"INT8", TypeKind::kInt64},
    {"INT4", TypeKind::kInt32},
    {"SMALLINT", TypeKind::kInt16},
    {"INT2", TypeKind::kInt16},
    {"REAL", TypeKind::kDouble},
    {"DOUBLE", TypeKind::kDouble},
    {"DOUBLE PRECISION", TypeKind::kDouble},
    {"FLOAT", TypeKind::kDouble},
    {"FLOAT8", TypeKind::kDouble},
    {"FLOAT4", TypeKind::kFloat},
    {"TEXT", TypeKind::kText},
    {"VARCHAR", TypeKind::kText},
    {"CHAR", TypeKind::kText},
    {"CHARACTER", TypeKind::kText},
    {"CHAR VARYING", TypeKind::kText},
    {"CHARACTER VARYING", TypeKind::kText},
    {"CLOB", TypeKind::kText},
    {"BLOB", TypeKind::kBytes},
    {"BYTEA", TypeKind::kBytes},
    {"TIMESTAMP", TypeKind::kTimestamp},
    {"DATETIME", TypeKind::kTimestamp},
    {"TIMESTAMP WITHOUT TIME ZONE", TypeKind::kTimestamp},
    {"TIMESTAMPTZ", TypeKind::kTimestampTz},
    {"TIMESTAMP WITH TIME ZONE", TypeKind::kTimestampTz},
    {"DATE", TypeKind::kDate},
    {"TIME", TypeKind::kTime},
    {"TIME WITHOUT TIME ZONE", TypeKind::kTime},
    {"INTERVAL", TypeKind::kInterval},
    {"DECIMAL_TEXT", TypeKind::kDecimal},
    {"NUMERIC_TEXT", TypeKind::kDecimal},
    {"UUID", TypeKind::kUuid},
    {"JSON_TEXT", TypeKind::kJson},
    {"JSONB_TEXT", TypeKind::kJson},
};

// Upper case, one space between words, no length in parentheses: "varchar (20)" is "VARCHAR".
std::string Normalized(std::string_view declared) {
  std::string result;
  int depth = 0;
  for (const char c : declared) {
    if (c == '(') ++depth;
    if (depth == 0) {
      const bool space = absl::ascii_isspace(static_cast<unsigned char>(c));
      if (!space) result.push_back(absl::ascii_toupper(static_cast<unsigned char>(c)));
      if (space && !result.empty() && result.back() != ' ') result.push_back(' ');
    }
    if (c == ')') --depth;
  }
  absl::StripTrailingAsciiWhitespace(&result);
  return result;
}

absl::Status OutOfRange(const ColumnType& type) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kValueOutOfRange,
                   absl::StrCat("an integer does not fit its column's type ", TypeName(type)));
}

absl::Status NotOfType(sqlite3_stmt* statement, int column, const ColumnType& type) {
  const char* name = sqlite3_column_name(statement, column);
  return MakeError(
      absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
      absl::StrCat("column ", name == nullptr ? "?" : name, " holds a value that is not a ", TypeName(type),
                   "; repair the row, or declare the column with the type it holds"),
      {{"column", name == nullptr ? "" : name}});
}

bool Fits(int64_t value, TypeKind kind) {
  switch (kind) {
    case TypeKind::kInt16:
      return value >= std::numeric_limits<int16_t>::min() && value <= std::numeric_limits<int16_t>::max();
    case TypeKind::kInt32:
      return value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max();
    default:
      return true;
  }
}

int BindDouble(sqlite3_stmt* statement, int index, double value, const ColumnType* type) {
  if (std::isnan(value)) return sqlite3_bind_text(statement, index, "NaN", 3, SQLITE_STATIC);
  if (type != nullptr && type->kind == TypeKind::kFloat)
    value = static_cast<double>(static_cast<float>(value));
  return sqlite3_bind_double(statement, index, value);
}

int BindText(sqlite3_stmt* statement, int index, std::string_view text, sqlite3_destructor_type lifetime) {
  return sqlite3_bind_text64(statement, index, text.data(), text.size(), lifetime, SQLITE_UTF8);
}

std::string_view ColumnBytes(sqlite3_stmt* statement, int column) {
  // The pointer first: asking for the size of a number converts it.
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement, column));
  const int size = sqlite3_column_bytes(statement, column);
  return data == nullptr ? std::string_view() : std::string_view(data, static_cast<size_t>(size));
}

absl::StatusOr<Value> ByStorageClass(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      return Value::Int64(sqlite3_column_int64(statement, column));
    case SQLITE_FLOAT:
      return Value::Double(sqlite3_column_double(statement, column));
    case SQLITE_TEXT: {
      const std::string_view text = ColumnBytes(statement, column);
      return IsText(text) ? Value::Text(std::string(text)) : Value::Bytes(std::string(text));
    }
    case SQLITE_BLOB:
      return Value::Bytes(std::string(ColumnBytes(statement, column)));
    default:
      return Value::Null();
  }
}

absl::StatusOr<Value> ReadNumber(sqlite3_stmt* statement, int column, int storage, const ColumnType& type) {
  const bool real = type.kind == TypeKind::kDouble || type.kind == TypeKind::kFloat;
  if (storage == SQLITE_INTEGER) {
    const int64_t value = sqlite3_column_int64(statement, column);
    if (type.kind == TypeKind::kBool && (value == 0 || value == 1)) return Value::Bool(value == 1);
    if (real) return Value::Double(static_cast<double>(value));
    if (type.kind != TypeKind::kBool && Fits(value, type.kind)) return Value::Int64(value);
  } else if (real && storage == SQLITE_FLOAT) {
    return Value::Double(sqlite3_column_double(statement, column));
  } else if (real && storage == SQLITE_TEXT && ColumnBytes(statement, column) == "NaN") {
    return Value::Double(std::numeric_limits<double>::quiet_NaN());
  }
  return NotOfType(statement, column, type);
}

absl::Status OtherForm(sqlite3_stmt* statement, int column, const ColumnType& type) {
  const char* const name = sqlite3_column_name(statement, column);
  const std::string shown = name == nullptr ? "?" : name;
  const std::string mend = type.kind == TypeKind::kUuid
                               ? "lower-case letters with hyphens (8-4-4-4-12)"
                               : absl::StrCat("SET ", shown, " = ", InStoredForm(shown, type.kind == TypeKind::kTimestampTz), " (which keeps milliseconds)");
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
                   absl::StrCat("column ", shown, " holds a ", TypeName(type), " in another form than Quarry writes, and SQLite "
                                "would compare the two as texts; store it so: ", mend),
                   {{"column", name == nullptr ? "" : name}});
}

absl::StatusOr<Value> ReadTimestamp(sqlite3_stmt* statement, int column, std::string_view text, const ColumnType& type,
                                    bool compared) {
  const std::optional<int64_t> micros = ParseTimestamp(text);
  if (!micros.has_value()) return Value::Native(TypeName(type), std::string(text));
  if (compared && !IsStoredForm(text, type.kind == TypeKind::kTimestampTz)) return OtherForm(statement, column, type);
  return Value::Timestamp(*micros);
}

absl::StatusOr<Value> ReadText(sqlite3_stmt* statement, int column, std::string_view text, const ColumnType& type,
                               bool compared) {
  if (type.array) return DecodeArray(text, type);
  switch (type.kind) {
    case TypeKind::kText:
      return Value::Text(std::string(text));
    case TypeKind::kDate:
      return DateOf(std::string(text));
    case TypeKind::kTime:
      return Value::Time(std::string(text));
    case TypeKind::kInterval:
      return Value::Interval(std::string(text));
    case TypeKind::kDecimal:
      return Value::Decimal(std::string(text));
    case TypeKind::kUuid:
      if (compared && CanonicalUuid(text) != text) return OtherForm(statement, column, type);
      return Value::Uuid(std::string(text));
    case TypeKind::kJson:
      return Value::Json(std::string(text));
    case TypeKind::kTimestamp:
    case TypeKind::kTimestampTz:
      return ReadTimestamp(statement, column, text, type, compared);
    default:
      return NotOfType(statement, column, type);
  }
}

}  // namespace

ColumnType TypeOfDeclared(std::string_view declared) {
  ColumnType type;
  type.native_name = std::string(declared);
  std::string name = Normalized(declared);
  absl::string_view base = name;
  while (absl::ConsumeSuffix(&base, "[]")) {
    type.array = true;
    base = absl::StripTrailingAsciiWhitespace(base);
  }
  for (const NamedType& named : kNamedTypes) {
    if (base == named.name) type.kind = named.kind;
  }
  // In an array every element keeps its own form, whatever the column's affinity.
  if (type.array && (base == "DECIMAL" || base == "NUMERIC")) type.kind = TypeKind::kDecimal;
  if (type.array && (base == "JSON" || base == "JSONB")) type.kind = TypeKind::kJson;
  if (type.kind == TypeKind::kUnknown) type.array = false;
  return type;
}

std::string_view BetterTypeThan(std::string_view declared) {
  const std::string name = Normalized(declared);
  if (name == "DECIMAL" || name == "NUMERIC") return "DECIMAL_TEXT";
  if (name == "JSON" || name == "JSONB") return "JSON_TEXT";
  return "";
}

Value DateOf(std::string text) {
  constexpr size_t kPlainSize = 10;  // Infinities, other eras and years of more digits have another.
  const bool plain = text.size() == kPlainSize && CanonicalDate(text).has_value();
  return plain ? Value::Date(std::move(text)) : Value::Native("date", std::move(text));
}

absl::Status Bind(sqlite3_stmt* statement, int index, const Value& value, const ColumnType* type) {
  int code = SQLITE_OK;
  switch (value.kind()) {
    case ValueKind::kNull:
      code = sqlite3_bind_null(statement, index);
      break;
    case ValueKind::kBool:
      code = sqlite3_bind_int(statement, index, value.bool_value() ? 1 : 0);
      break;
    case ValueKind::kInt64:
      if (type != nullptr && !type->array && !Fits(value.int64_value(), type->kind)) return OutOfRange(*type);
      code = sqlite3_bind_int64(statement, index, value.int64_value());
      break;
    case ValueKind::kDouble:
      code = BindDouble(statement, index, value.double_value(), type);
      break;
    case ValueKind::kBytes:
      // Never the null pointer of an empty string: that would bind NULL.
      code = sqlite3_bind_blob64(statement, index, value.text().data(), value.text().size(), SQLITE_STATIC);
      break;
    case ValueKind::kTimestamp: {
      const bool wall_clock = type != nullptr && type->kind == TypeKind::kTimestamp;
      code = BindText(statement, index, FormatTimestamp(value.timestamp_micros(), !wall_clock),
                      SQLITE_TRANSIENT);
      break;
    }
    case ValueKind::kArray: {
      const absl::StatusOr<std::string> json = EncodeArray(value);
      if (!json.ok()) return json.status();
      code = BindText(statement, index, *json, SQLITE_TRANSIENT);
      break;
    }
    case ValueKind::kNative:
      code = BindText(statement, index, value.native_text(), SQLITE_STATIC);
      break;
    default:
      code = BindText(statement, index, value.text(), SQLITE_STATIC);
  }
  if (code == SQLITE_OK) return absl::OkStatus();
  if (code == SQLITE_RANGE) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSql,
                     absl::StrCat("the statement has fewer than ", index, " parameters"));
  }
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kLimitExceeded,
                   absl::StrCat("parameter ", index, " is larger than SQLite can hold"));
}

absl::StatusOr<Value> ReadColumn(sqlite3_stmt* statement, int column, const ColumnType& type, bool compared) {
  const int storage = sqlite3_column_type(statement, column);
  if (storage == SQLITE_NULL) return Value::Null();
  if (type.kind == TypeKind::kUnknown) return ByStorageClass(statement, column);
  if (!type.array) {
    switch (type.kind) {
      case TypeKind::kBool:
      case TypeKind::kInt16:
      case TypeKind::kInt32:
      case TypeKind::kInt64:
      case TypeKind::kFloat:
      case TypeKind::kDouble:
        return ReadNumber(statement, column, storage, type);
      case TypeKind::kBytes:
        if (storage != SQLITE_BLOB) return NotOfType(statement, column, type);
        return Value::Bytes(std::string(ColumnBytes(statement, column)));
      default:
        break;
    }
  }
  if (storage != SQLITE_TEXT) return NotOfType(statement, column, type);
  const std::string_view text = ColumnBytes(statement, column);
  if (!IsText(text)) return NotOfType(statement, column, type);
  return ReadText(statement, column, text, type, compared);
}

}  // namespace quarry::sqlite
