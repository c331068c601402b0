// Values on PostgreSQL's wire. Pure functions; a type is known by its OID, which is fixed for the built-in ones.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/model/type.h"
#include "core/model/value.h"

namespace quarry::postgres {

using Oid = uint32_t;

// kNative for types that are not built in; its name must then be asked of the database.
ColumnType TypeOfOid(Oid oid);
// False for a type whose values are read in text form only.
bool HasBinaryForm(Oid oid);

// One parameter as it goes out.
struct EncodedParam {
  std::string bytes;
  bool null = false;
  bool binary = false;
};

// `value` for a parameter that the server takes as `oid`. Lossless, or kInvalidArgument INVALID_FIELD or
// VALUE_OUT_OF_RANGE naming parameter `position` (from 1); text forms are left for the server to check.
absl::StatusOr<EncodedParam> Encode(Oid oid, const Value& value, size_t position);
// The text that PostgreSQL reads as this value; not of null.
std::string TextForm(const Value& value);

// The bytes of one field of a result. kInternal DATABASE_ERROR when they are not of the type.
absl::StatusOr<Value> DecodeBinary(Oid oid, std::string_view bytes);
// The text form, as a session with ISO date and interval styles in UTC writes it. What the Value of the type's own
// kind cannot hold becomes a native.
Value DecodeText(Oid oid, const ColumnType& type, std::string_view text);

// ---- Of the parts, for tests ----
absl::StatusOr<std::string> DecodeNumeric(std::string_view bytes);

// OIDs of built-in types.
inline constexpr Oid kBoolOid = 16, kByteaOid = 17, kCharOid = 18, kNameOid = 19, kInt8Oid = 20, kInt2Oid = 21,
                     kInt4Oid = 23, kTextOid = 25, kOidOid = 26, kJsonOid = 114, kFloat4Oid = 700, kFloat8Oid = 701,
                     kUnknownOid = 705, kBpcharOid = 1042, kVarcharOid = 1043, kDateOid = 1082, kTimeOid = 1083,
                     kTimestampOid = 1114, kTimestampTzOid = 1184, kIntervalOid = 1186, kNumericOid = 1700,
                     kVoidOid = 2278, kUuidOid = 2950, kJsonbOid = 3802;

// The element's OID of a built-in array type, 0 for any other type.
Oid ElementOid(Oid array);

}  // namespace quarry::postgres
