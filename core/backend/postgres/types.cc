#include "core/backend/postgres/types.h"

#include <array>

namespace quarry::postgres {
namespace {

struct BuiltIn {
  Oid oid;
  Oid array;
  TypeKind kind;
  const char* name;
};

constexpr std::array<BuiltIn, 24> kBuiltIns = {{
    {kBoolOid, 1000, TypeKind::kBool, "boolean"},
    {kByteaOid, 1001, TypeKind::kBytes, "bytea"},
    {kCharOid, 1002, TypeKind::kText, "\"char\""},
    {kNameOid, 1003, TypeKind::kText, "name"},
    {kInt8Oid, 1016, TypeKind::kInt64, "bigint"},
    {kInt2Oid, 1005, TypeKind::kInt16, "smallint"},
    {kInt4Oid, 1007, TypeKind::kInt32, "integer"},
    {kTextOid, 1009, TypeKind::kText, "text"},
    {kOidOid, 1028, TypeKind::kInt64, "oid"},
    {kJsonOid, 199, TypeKind::kJson, "json"},
    {kFloat4Oid, 1021, TypeKind::kFloat, "real"},
    {kFloat8Oid, 1022, TypeKind::kDouble, "double precision"},
    {kUnknownOid, 0, TypeKind::kText, "text"},
    {kBpcharOid, 1014, TypeKind::kText, "character"},
    {kVarcharOid, 1015, TypeKind::kText, "character varying"},
    {kDateOid, 1182, TypeKind::kDate, "date"},
    {kTimeOid, 1183, TypeKind::kTime, "time without time zone"},
    {kTimestampOid, 1115, TypeKind::kTimestamp, "timestamp without time zone"},
    {kTimestampTzOid, 1185, TypeKind::kTimestampTz, "timestamp with time zone"},
    {kIntervalOid, 1187, TypeKind::kInterval, "interval"},
    {kNumericOid, 1231, TypeKind::kDecimal, "numeric"},
    {kVoidOid, 0, TypeKind::kUnknown, "void"},
    {kUuidOid, 2951, TypeKind::kUuid, "uuid"},
    {kJsonbOid, 3807, TypeKind::kJson, "jsonb"},
}};

const BuiltIn* Find(Oid oid) {
  for (const BuiltIn& type : kBuiltIns) {
    if (type.oid == oid) return &type;
  }
  return nullptr;
}

}  // namespace

Oid ElementOid(Oid array) {
  if (array == 0) return 0;
  for (const BuiltIn& type : kBuiltIns) {
    if (type.array == array) return type.oid;
  }
  return 0;
}

ColumnType TypeOfOid(Oid oid) {
  ColumnType type;
  const Oid element = ElementOid(oid);
  const BuiltIn* known = Find(element != 0 ? element : oid);
  if (known == nullptr) {
    type.kind = TypeKind::kNative;
    return type;
  }
  type.kind = known->kind;
  type.array = element != 0;
  type.native_name = known->name;
  if (type.array) type.native_name += "[]";
  return type;
}

bool HasBinaryForm(Oid oid) { return Find(oid) != nullptr || ElementOid(oid) != 0; }

}  // namespace quarry::postgres
