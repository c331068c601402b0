// How each kind of Value is kept in SQLite, and read back exactly. Pure but for the statement it is given.
//   bool, integers  INTEGER      double  REAL, and NaN as the text 'NaN', because SQLite turns a bound NaN into NULL
//   text, decimal, uuid, json, date, time, interval  TEXT      bytes  BLOB
//   timestamps      TEXT "2026-01-31 10:11:12.123456", with a final "Z" for instants: sorts as time does
//   arrays          TEXT, a JSON array whose elements are written as above
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/type.h"
#include "core/model/value.h"

struct sqlite3_stmt;

namespace quarry::sqlite {

// By the declared type's name, in any case: "BIGINT", "varchar(20)", "TEXT[]", … kUnknown for any other, DECIMAL and
// JSON among them: their affinity would turn digits into a double.
ColumnType TypeOfDeclared(std::string_view declared);
// What to declare instead of a type that cannot be kept exactly; "" when there is no better name.
std::string_view BetterTypeThan(std::string_view declared);

// Binds `value` to parameter `index` (from 1). `type` is the column's, or null to go by the value's kind. Text and
// bytes are not copied: `value` outlives the statement's run. kInvalidArgument VALUE_OUT_OF_RANGE for an integer that
// the column's type cannot hold.
absl::Status Bind(sqlite3_stmt* statement, int index, const Value& value, const ColumnType* type);

// Column `column` (from 0) of the current row as a value of `type`; kUnknown goes by the storage class.
// kFailedPrecondition SCHEMA_MISMATCH when what is stored is not of the type, and, if `compared`, when it is a timestamp or
// UUID in another form than the one that Quarry writes: SQLite would compare the two as texts.
absl::StatusOr<Value> ReadColumn(sqlite3_stmt* statement, int column, const ColumnType& type, bool compared);

// Microseconds since the epoch to "2026-01-31 10:11:12.123456", and "Z" for an instant; years 1 to 9999.
std::string FormatTimestamp(int64_t unix_micros, bool instant);
// Whether a text that ParseTimestamp takes is as FormatTimestamp writes it.
bool IsStoredForm(std::string_view timestamp, bool instant);
// An SQL expression that turns another form of the timestamp `expression` into the stored one.
std::string InStoredForm(std::string_view expression, bool instant);
// Also without fraction, with "T", and with "Z" or "+hh:mm"; nullopt for anything else.
std::optional<int64_t> ParseTimestamp(std::string_view text);

// The text of a date column: a native of the type for what the wire's dates cannot carry.
Value DateOf(std::string text);

// One-dimensional or nested, as JSON text and back.
absl::StatusOr<std::string> EncodeArray(const Value& array);
absl::StatusOr<Value> DecodeArray(std::string_view json, const ColumnType& type);

}  // namespace quarry::sqlite
