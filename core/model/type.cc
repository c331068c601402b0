#include "core/model/type.h"

namespace quarry {
namespace {

const char* KindName(TypeKind kind) {
  switch (kind) {
    case TypeKind::kUnknown:
      return "unknown";
    case TypeKind::kBool:
      return "bool";
    case TypeKind::kInt16:
      return "int16";
    case TypeKind::kInt32:
      return "int32";
    case TypeKind::kInt64:
      return "int64";
    case TypeKind::kFloat:
      return "float";
    case TypeKind::kDouble:
      return "double";
    case TypeKind::kText:
      return "text";
    case TypeKind::kBytes:
      return "bytes";
    case TypeKind::kTimestamp:
      return "timestamp";
    case TypeKind::kTimestampTz:
      return "timestamptz";
    case TypeKind::kDate:
      return "date";
    case TypeKind::kTime:
      return "time";
    case TypeKind::kInterval:
      return "interval";
    case TypeKind::kDecimal:
      return "decimal";
    case TypeKind::kUuid:
      return "uuid";
    case TypeKind::kJson:
      return "json";
    case TypeKind::kNative:
      return "native";
  }
  return "unknown";
}

}  // namespace

std::string TypeName(const ColumnType& type) {
  std::string name = type.kind == TypeKind::kNative ? type.native_name : KindName(type.kind);
  return type.array ? name + "[]" : name;
}

}  // namespace quarry
