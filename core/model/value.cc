#include "core/model/value.h"

#include <cmath>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace quarry {

bool operator==(const Value& a, const Value& b) {
  if (a.kind_ != b.kind_) return false;
  switch (a.kind_) {
    case ValueKind::kDouble: {
      const double x = a.double_value();
      const double y = b.double_value();
      return x == y || (std::isnan(x) && std::isnan(y));
    }
    case ValueKind::kArray:
      return a.elements() == b.elements();
    case ValueKind::kNative:
      return a.native_type() == b.native_type() && a.native_text() == b.native_text();
    default:
      return a.data_ == b.data_;
  }
}

const char* ValueKindName(ValueKind kind) {
  switch (kind) {
    case ValueKind::kNull:
      return "null";
    case ValueKind::kBool:
      return "bool";
    case ValueKind::kInt64:
      return "int64";
    case ValueKind::kDouble:
      return "double";
    case ValueKind::kText:
      return "text";
    case ValueKind::kBytes:
      return "bytes";
    case ValueKind::kTimestamp:
      return "timestamp";
    case ValueKind::kDate:
      return "date";
    case ValueKind::kTime:
      return "time";
    case ValueKind::kInterval:
      return "interval";
    case ValueKind::kDecimal:
      return "decimal";
    case ValueKind::kUuid:
      return "uuid";
    case ValueKind::kJson:
      return "json";
    case ValueKind::kArray:
      return "array";
    case ValueKind::kNative:
      return "native";
  }
  return "unknown";
}

std::string DebugString(const Value& value) {
  constexpr size_t kTextShownMax = 64;
  switch (value.kind()) {
    case ValueKind::kNull:
      return "NULL";
    case ValueKind::kBool:
      return value.bool_value() ? "true" : "false";
    case ValueKind::kInt64:
      return absl::StrCat(value.int64_value());
    case ValueKind::kDouble:
      return absl::StrCat(value.double_value());
    case ValueKind::kTimestamp:
      return absl::StrCat("@", value.timestamp_micros(), "us");
    case ValueKind::kArray:
      return absl::StrCat("[", absl::StrJoin(value.elements(), ", ",
                                             [](std::string* out, const Value& element) {
                                               absl::StrAppend(out, DebugString(element));
                                             }),
                          "]");
    case ValueKind::kNative:
      return absl::StrCat(value.native_type(), " '", absl::CEscape(value.native_text()), "'");
    default: {
      const std::string shown = value.text().substr(0, kTextShownMax);
      return absl::StrCat("'", absl::CEscape(shown), value.text().size() > kTextShownMax ? "…'" : "'");
    }
  }
}

size_t ByteSize(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
    case ValueKind::kBool:
      return 2;
    case ValueKind::kInt64:
    case ValueKind::kDouble:
    case ValueKind::kTimestamp:
      return 10;
    case ValueKind::kArray: {
      size_t size = 4;
      for (const Value& element : value.elements()) size += ByteSize(element);
      return size;
    }
    case ValueKind::kNative:
      return value.native_type().size() + value.native_text().size() + 6;
    default:
      return value.text().size() + 5;
  }
}

}  // namespace quarry
