// The type of a column, as both backends and the wire see it.
#pragma once

#include <cstdint>
#include <string>

namespace quarry {

enum class TypeKind : uint8_t {
  kUnknown = 0,  // Of an expression whose type the database does not tell.
  kBool,
  kInt16,
  kInt32,
  kInt64,
  kFloat,   // 32 bits; travels as a double.
  kDouble,
  kText,
  kBytes,
  kTimestamp,    // Wall clock without zone.
  kTimestampTz,  // Instant.
  kDate,
  kTime,
  kInterval,
  kDecimal,
  kUuid,
  kJson,
  kNative,  // Anything else of PostgreSQL: travels as text with its type's name.
};

struct ColumnType {
  TypeKind kind = TypeKind::kUnknown;
  bool array = false;       // One-dimensional or more; elements are of `kind`.
  std::string native_name;  // As the database declares it, for messages and kNative; not part of equality.

  friend bool operator==(const ColumnType& a, const ColumnType& b) {
    return a.kind == b.kind && a.array == b.array &&
           (a.kind != TypeKind::kNative || a.native_name == b.native_name);
  }
};

inline bool IsText(const ColumnType& type) { return type.kind == TypeKind::kText && !type.array; }

// "int64", "timestamptz", "text[]", …
std::string TypeName(const ColumnType& type);

}  // namespace quarry
