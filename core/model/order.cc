#include "core/model/order.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "core/model/decimal.h"

namespace quarry {
namespace {

template <typename T>
int Three(const T& a, const T& b) {
  return a < b ? -1 : b < a ? 1 : 0;
}

int CompareBytes(std::string_view a, std::string_view b) { return Three(a.compare(b), 0); }

int CompareDoubles(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return Three(std::isnan(a), std::isnan(b));
  return Three(a, b);
}

// "infinity", years before 1 and beyond 9999 come as text, some of them as natives of the column's type.
struct Moment {
  int64_t year = 0;  // Of "-infinity" and "infinity" the ends of all years; 1 BC is 0.
  std::string_view rest;
};

Moment MomentOf(std::string_view text) {
  if (text == "-infinity") return {INT64_MIN, {}};
  if (text == "infinity") return {INT64_MAX, {}};
  const bool before = text.size() > 3 && text.substr(text.size() - 3) == " BC";
  if (before) text.remove_suffix(3);
  Moment moment;
  size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && at < 9; ++at) moment.year = moment.year * 10 + (text[at] - '0');
  if (before) moment.year = 1 - moment.year;
  moment.rest = text.substr(at);
  return moment;
}

int CompareMoments(std::string_view a, std::string_view b) {
  const Moment x = MomentOf(a);
  const Moment y = MomentOf(b);
  return x.year != y.year ? Three(x.year, y.year) : CompareBytes(x.rest, y.rest);
}

bool IsMoment(const Value& value) {
  return value.kind() == ValueKind::kTimestamp || value.kind() == ValueKind::kDate || value.kind() == ValueKind::kNative;
}

// Years 1 to 9999 come as a number: a native lies before all of them or after.
int CompareToTimestamp(std::string_view native) { return MomentOf(native).year < 1 ? -1 : 1; }

std::string_view MomentText(const Value& value) {
  return value.kind() == ValueKind::kNative ? std::string_view(value.native_text()) : std::string_view(value.text());
}

int CompareUnlikeKinds(const Value& a, const Value& b) {
  if (IsMoment(a) && IsMoment(b)) {
    if (a.kind() == ValueKind::kTimestamp) return b.kind() == ValueKind::kNative ? -CompareToTimestamp(b.native_text()) : -1;
    if (b.kind() == ValueKind::kTimestamp) return a.kind() == ValueKind::kNative ? CompareToTimestamp(a.native_text()) : 1;
    return CompareMoments(MomentText(a), MomentText(b));
  }
  if (a.kind() == ValueKind::kInt64 && b.kind() == ValueKind::kDecimal) {
    return CompareDecimalText(std::to_string(a.int64_value()), b.text());
  }
  if (a.kind() == ValueKind::kDecimal && b.kind() == ValueKind::kInt64) {
    return CompareDecimalText(a.text(), std::to_string(b.int64_value()));
  }
  return Three(a.kind(), b.kind());
}

int CompareArrays(const Value& a, const Value& b) {
  const size_t shared = std::min(a.elements().size(), b.elements().size());
  for (size_t i = 0; i < shared; ++i) {
    if (const int order = CompareValues(a.elements()[i], b.elements()[i]); order != 0) return order;
  }
  return Three(a.elements().size(), b.elements().size());
}

}  // namespace

bool HasOrder(const ColumnType& type) {
  if (type.array) return false;
  switch (type.kind) {
    case TypeKind::kUnknown:
    case TypeKind::kInterval:
    case TypeKind::kJson:
    case TypeKind::kNative:
      return false;
    default:
      return true;
  }
}

int CompareValues(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return CompareUnlikeKinds(a, b);
  switch (a.kind()) {
    case ValueKind::kNull:
      return 0;
    case ValueKind::kBool:
      return Three(a.bool_value(), b.bool_value());
    case ValueKind::kInt64:
      return Three(a.int64_value(), b.int64_value());
    case ValueKind::kTimestamp:
      return Three(a.timestamp_micros(), b.timestamp_micros());
    case ValueKind::kDouble:
      return CompareDoubles(a.double_value(), b.double_value());
    case ValueKind::kDecimal:
      return CompareDecimalText(a.text(), b.text());
    case ValueKind::kDate:
      return CompareMoments(a.text(), b.text());
    case ValueKind::kNative:
      return CompareMoments(a.native_text(), b.native_text());
    case ValueKind::kArray:
      return CompareArrays(a, b);
    default:
      return CompareBytes(a.text(), b.text());
  }
}

int CompareRows(const Row& a, const Row& b, const std::vector<SortTerm>& order) {
  for (const SortTerm& term : order) {
    const Value& x = a[term.position];
    const Value& y = b[term.position];
    if (x.is_null() || y.is_null()) {
      if (x.is_null() && y.is_null()) continue;
      return x.is_null() == term.nulls_first ? -1 : 1;
    }
    if (const int compared = CompareValues(x, y); compared != 0) return term.descending ? -compared : compared;
  }
  return 0;
}

}  // namespace quarry
