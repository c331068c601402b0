#include "core/model/key_bytes.h"

#include "core/model/codec.h"

namespace quarry {
namespace {

// "1.500" and "1.5" are one key.
std::string WithoutTrailingZeros(const std::string& decimal) {
  if (decimal.find('.') == std::string::npos) return decimal;
  size_t end = decimal.find_last_not_of('0');
  if (decimal[end] == '.') --end;
  return decimal.substr(0, end + 1);
}

}  // namespace

std::string KeyBytes(const Row& row, const std::vector<size_t>& key_positions) {
  std::string bytes;
  for (const size_t position : key_positions) {
    const Value& value = row[position];
    if (value.kind() == ValueKind::kDecimal) {
      AppendValue(Value::Decimal(WithoutTrailingZeros(value.text())), &bytes);
    } else {
      AppendValue(value, &bytes);
    }
  }
  return bytes;
}

}  // namespace quarry
