#include "core/model/codec.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

constexpr char kVersion = 1;
constexpr int kDepthMax = 16;

void AppendVarint(uint64_t value, std::string* out) {
  while (value >= 0x80) {
    out->push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out->push_back(static_cast<char>(value));
}

void AppendFixed64(uint64_t value, std::string* out) {
  for (int shift = 0; shift < 64; shift += 8) out->push_back(static_cast<char>(value >> shift));
}

void AppendString(std::string_view text, std::string* out) {
  AppendVarint(text.size(), out);
  out->append(text);
}

void AppendStatus(const absl::Status& status, std::string* out) {
  AppendVarint(static_cast<uint64_t>(status.raw_code()), out);
  AppendString(std::string(status.message()), out);
  std::vector<std::pair<std::string, std::string>> payloads;
  status.ForEachPayload([&payloads](absl::string_view url, const absl::Cord& payload) {
    payloads.emplace_back(std::string(url), std::string(payload));
  });
  std::sort(payloads.begin(), payloads.end());  // They come in no order.
  AppendVarint(payloads.size(), out);
  for (const auto& [url, payload] : payloads) {
    AppendString(url, out);
    AppendString(payload, out);
  }
}

void AppendStatementResult(const StatementResult& result, std::string* out) {
  AppendVarint(static_cast<uint64_t>(result.affected), out);
  const size_t columns = result.batch.header ? result.batch.header->size() : 0;
  AppendVarint(result.batch.header ? columns + 1 : 0, out);
  for (size_t i = 0; i < columns; ++i) {
    const ColumnHeader& column = (*result.batch.header)[i];
    AppendString(column.name, out);
    AppendVarint(static_cast<uint64_t>(column.type.kind), out);
    AppendVarint(column.type.array ? 1 : 0, out);
    AppendString(column.type.native_name, out);
  }
  AppendVarint(result.batch.rows.size(), out);
  for (const Row& row : result.batch.rows) {
    AppendVarint(row.size(), out);
    for (const Value& value : row) AppendValue(value, out);
  }
}

// Reads what the functions above wrote; every length is checked against what is left.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  absl::StatusOr<uint64_t> Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (left_.empty()) return Cut();
      const auto byte = static_cast<unsigned char>(left_.front());
      left_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    return Cut();
  }
  absl::StatusOr<uint64_t> Fixed64() {
    if (left_.size() < 8) return Cut();
    uint64_t value = 0;
    for (size_t i = 0; i < 8; ++i) value |= uint64_t{static_cast<unsigned char>(left_[i])} << (8 * i);
    left_.remove_prefix(8);
    return value;
  }
  absl::StatusOr<std::string> String() {
    QUARRY_ASSIGN_OR_RETURN(const uint64_t size, Varint());
    if (size > left_.size()) return Cut();
    std::string text(left_.substr(0, size));
    left_.remove_prefix(size);
    return text;
  }
  // A count of things that take at least one byte each.
  absl::StatusOr<size_t> Count() {
    QUARRY_ASSIGN_OR_RETURN(const uint64_t count, Varint());
    if (count > left_.size() + 1) return Cut();
    return static_cast<size_t>(count);
  }
  absl::StatusOr<Value> ReadValue(int depth);
  absl::StatusOr<absl::Status> ReadStatus();
  absl::StatusOr<StatementResult> ReadStatementResult();
  bool empty() const { return left_.empty(); }
  std::string_view left() const { return left_; }
  static absl::Status Cut() { return absl::DataLossError("stored reply is cut or not of a known form"); }

 private:
  absl::StatusOr<RowHeader> ReadHeader();
  std::string_view left_;
};

Value TextValue(ValueKind kind, std::string text) {
  switch (kind) {
    case ValueKind::kBytes:
      return Value::Bytes(std::move(text));
    case ValueKind::kDate:
      return Value::Date(std::move(text));
    case ValueKind::kTime:
      return Value::Time(std::move(text));
    case ValueKind::kInterval:
      return Value::Interval(std::move(text));
    case ValueKind::kDecimal:
      return Value::Decimal(std::move(text));
    case ValueKind::kUuid:
      return Value::Uuid(std::move(text));
    case ValueKind::kJson:
      return Value::Json(std::move(text));
    default:
      return Value::Text(std::move(text));
  }
}

absl::StatusOr<Value> Reader::ReadValue(int depth) {
  QUARRY_ASSIGN_OR_RETURN(const uint64_t tag, Varint());
  if (tag > static_cast<uint64_t>(ValueKind::kNative) || depth > kDepthMax) return Cut();
  const auto kind = static_cast<ValueKind>(tag);
  switch (kind) {
    case ValueKind::kNull:
      return Value::Null();
    case ValueKind::kBool: {
      QUARRY_ASSIGN_OR_RETURN(const uint64_t value, Varint());
      return Value::Bool(value != 0);
    }
    case ValueKind::kInt64: {
      QUARRY_ASSIGN_OR_RETURN(const uint64_t value, Fixed64());
      return Value::Int64(static_cast<int64_t>(value));
    }
    case ValueKind::kTimestamp: {
      QUARRY_ASSIGN_OR_RETURN(const uint64_t value, Fixed64());
      return Value::Timestamp(static_cast<int64_t>(value));
    }
    case ValueKind::kDouble: {
      QUARRY_ASSIGN_OR_RETURN(const uint64_t value, Fixed64());
      return Value::Double(std::bit_cast<double>(value));
    }
    case ValueKind::kArray: {
      QUARRY_ASSIGN_OR_RETURN(const size_t count, Count());
      std::vector<Value> elements;
      for (size_t i = 0; i < count; ++i) {
        QUARRY_ASSIGN_OR_RETURN(Value element, ReadValue(depth + 1));
        elements.push_back(std::move(element));
      }
      return Value::Array(std::move(elements));
    }
    case ValueKind::kNative: {
      QUARRY_ASSIGN_OR_RETURN(std::string type, String());
      QUARRY_ASSIGN_OR_RETURN(std::string text, String());
      return Value::Native(std::move(type), std::move(text));
    }
    default: {
      QUARRY_ASSIGN_OR_RETURN(std::string text, String());
      return TextValue(kind, std::move(text));
    }
  }
}

absl::StatusOr<absl::Status> Reader::ReadStatus() {
  QUARRY_ASSIGN_OR_RETURN(const uint64_t code, Varint());
  QUARRY_ASSIGN_OR_RETURN(const std::string message, String());
  QUARRY_ASSIGN_OR_RETURN(const size_t payloads, Count());
  absl::Status status(static_cast<absl::StatusCode>(code), message);
  for (size_t i = 0; i < payloads; ++i) {
    QUARRY_ASSIGN_OR_RETURN(const std::string url, String());
    QUARRY_ASSIGN_OR_RETURN(const std::string payload, String());
    status.SetPayload(url, absl::Cord(payload));
  }
  return status;
}

absl::StatusOr<RowHeader> Reader::ReadHeader() {
  QUARRY_ASSIGN_OR_RETURN(const size_t marked, Count());
  if (marked == 0) return RowHeader();
  std::vector<ColumnHeader> header;
  for (size_t i = 0; i + 1 < marked; ++i) {
    ColumnHeader column;
    QUARRY_ASSIGN_OR_RETURN(column.name, String());
    QUARRY_ASSIGN_OR_RETURN(const uint64_t kind, Varint());
    if (kind > static_cast<uint64_t>(TypeKind::kNative)) return Cut();
    column.type.kind = static_cast<TypeKind>(kind);
    QUARRY_ASSIGN_OR_RETURN(const uint64_t array, Varint());
    column.type.array = array != 0;
    QUARRY_ASSIGN_OR_RETURN(column.type.native_name, String());
    header.push_back(std::move(column));
  }
  return RowHeader(std::make_shared<const std::vector<ColumnHeader>>(std::move(header)));
}

absl::StatusOr<StatementResult> Reader::ReadStatementResult() {
  StatementResult result;
  QUARRY_ASSIGN_OR_RETURN(const uint64_t affected, Varint());
  result.affected = static_cast<int64_t>(affected);
  QUARRY_ASSIGN_OR_RETURN(result.batch.header, ReadHeader());
  QUARRY_ASSIGN_OR_RETURN(const size_t rows, Count());
  for (size_t i = 0; i < rows; ++i) {
    QUARRY_ASSIGN_OR_RETURN(const size_t columns, Count());
    Row row;
    row.reserve(columns);
    for (size_t j = 0; j < columns; ++j) {
      QUARRY_ASSIGN_OR_RETURN(Value value, ReadValue(0));
      row.push_back(std::move(value));
    }
    result.batch.rows.push_back(std::move(row));
  }
  return result;
}

}  // namespace

void AppendValue(const Value& value, std::string* out) {
  out->push_back(static_cast<char>(value.kind()));
  switch (value.kind()) {
    case ValueKind::kNull:
      break;
    case ValueKind::kBool:
      out->push_back(value.bool_value() ? 1 : 0);
      break;
    case ValueKind::kInt64:
      AppendFixed64(static_cast<uint64_t>(value.int64_value()), out);
      break;
    case ValueKind::kTimestamp:
      AppendFixed64(static_cast<uint64_t>(value.timestamp_micros()), out);
      break;
    case ValueKind::kDouble:
      AppendFixed64(std::bit_cast<uint64_t>(value.double_value()), out);
      break;
    case ValueKind::kArray:
      AppendVarint(value.elements().size(), out);
      for (const Value& element : value.elements()) AppendValue(element, out);
      break;
    case ValueKind::kNative:
      AppendString(value.native_type(), out);
      AppendString(value.native_text(), out);
      break;
    default:
      AppendString(value.text(), out);
  }
}

absl::StatusOr<Value> TakeValue(std::string_view* bytes) {
  Reader reader(*bytes);
  QUARRY_ASSIGN_OR_RETURN(Value value, reader.ReadValue(0));
  *bytes = reader.left();
  return value;
}

std::string EncodeTaskResult(const TaskResult& result) {
  std::string out(1, kVersion);
  AppendVarint(result.steps.size(), &out);
  for (const StepResult& step : result.steps) {
    AppendStatus(step.status, &out);
    AppendVarint(step.statements.size(), &out);
    for (const StatementResult& statement : step.statements) AppendStatementResult(statement, &out);
  }
  return out;
}

absl::StatusOr<TaskResult> DecodeTaskResult(std::string_view bytes) {
  if (bytes.empty() || bytes.front() != kVersion) return Reader::Cut();
  Reader reader(bytes.substr(1));
  TaskResult result;
  QUARRY_ASSIGN_OR_RETURN(const size_t steps, reader.Count());
  for (size_t i = 0; i < steps; ++i) {
    StepResult step;
    QUARRY_ASSIGN_OR_RETURN(step.status, reader.ReadStatus());
    QUARRY_ASSIGN_OR_RETURN(const size_t statements, reader.Count());
    for (size_t j = 0; j < statements; ++j) {
      QUARRY_ASSIGN_OR_RETURN(StatementResult statement, reader.ReadStatementResult());
      step.statements.push_back(std::move(statement));
    }
    result.steps.push_back(std::move(step));
  }
  if (!reader.empty()) return Reader::Cut();
  return result;
}

}  // namespace quarry
