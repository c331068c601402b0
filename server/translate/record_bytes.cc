#include "server/translate/record_bytes.h"

#include <algorithm>
#include <bit>
#include <string_view>

#include "google/protobuf/io/coded_stream.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/query.pb.h"
#include "quarry/v1/value.pb.h"
#include "server/translate/value.h"

namespace quarry {
namespace {

using google::protobuf::io::CodedOutputStream;

// Every field here has a number below 16, so that its tag is one byte.
enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kDelimited = 2 };
constexpr size_t kTag = 1;
constexpr int kEntryKey = 1, kEntryValue = 2;  // Of a map's entry.

size_t VarintSize(uint64_t number) { return CodedOutputStream::VarintSize64(number); }
size_t DelimitedSize(size_t size) { return kTag + VarintSize(size) + size; }

uint8_t* WriteTag(int field, WireType type, uint8_t* to) {
  *to = static_cast<uint8_t>(field << 3 | type);
  return to + 1;
}
uint8_t* WriteVarint(int field, uint64_t number, uint8_t* to) {
  return CodedOutputStream::WriteVarint64ToArray(number, WriteTag(field, kVarint, to));
}
// What follows has `size` bytes.
uint8_t* WriteLength(int field, size_t size, uint8_t* to) {
  return CodedOutputStream::WriteVarint64ToArray(size, WriteTag(field, kDelimited, to));
}
uint8_t* WriteText(int field, std::string_view text, uint8_t* to) {
  return std::copy(text.begin(), text.end(), WriteLength(field, text.size(), to));
}

int FieldOf(ValueKind kind) {
  switch (kind) {
    case ValueKind::kNull:
      return v1::Value::kNullValueFieldNumber;
    case ValueKind::kBool:
      return v1::Value::kBoolValueFieldNumber;
    case ValueKind::kInt64:
      return v1::Value::kInt64ValueFieldNumber;
    case ValueKind::kDouble:
      return v1::Value::kDoubleValueFieldNumber;
    case ValueKind::kText:
      return v1::Value::kTextValueFieldNumber;
    case ValueKind::kBytes:
      return v1::Value::kBytesValueFieldNumber;
    case ValueKind::kTimestamp:
      return v1::Value::kTimestampValueFieldNumber;
    case ValueKind::kDate:
      return v1::Value::kDateValueFieldNumber;
    case ValueKind::kTime:
      return v1::Value::kTimeValueFieldNumber;
    case ValueKind::kInterval:
      return v1::Value::kIntervalValueFieldNumber;
    case ValueKind::kDecimal:
      return v1::Value::kDecimalValueFieldNumber;
    case ValueKind::kUuid:
      return v1::Value::kUuidValueFieldNumber;
    case ValueKind::kJson:
      return v1::Value::kJsonValueFieldNumber;
    case ValueKind::kArray:
      return v1::Value::kArrayValueFieldNumber;
    case ValueKind::kNative:
      return v1::Value::kNativeValueFieldNumber;
  }
  return 0;
}

// Bytes of a v1::Value.
size_t SizeOf(const Value& value) {
  switch (value.kind()) {
    case ValueKind::kNull:
    case ValueKind::kBool:
      return kTag + 1;
    case ValueKind::kInt64:
      return kTag + VarintSize(static_cast<uint64_t>(value.int64_value()));
    case ValueKind::kDouble:
      return kTag + sizeof(double);
    case ValueKind::kTimestamp:
    case ValueKind::kArray:
    case ValueKind::kNative: {
      v1::Value wire;
      FillValue(value, &wire);
      return wire.ByteSizeLong();
    }
    default:
      return DelimitedSize(value.text().size());
  }
}

uint8_t* Write(const Value& value, uint8_t* to) {
  const int field = FieldOf(value.kind());
  switch (value.kind()) {
    case ValueKind::kNull:
      return WriteVarint(field, 0, to);
    case ValueKind::kBool:
      return WriteVarint(field, value.bool_value() ? 1 : 0, to);
    case ValueKind::kInt64:
      return WriteVarint(field, static_cast<uint64_t>(value.int64_value()), to);
    case ValueKind::kDouble:
      return CodedOutputStream::WriteLittleEndian64ToArray(std::bit_cast<uint64_t>(value.double_value()),
                                                           WriteTag(field, kFixed64, to));
    case ValueKind::kTimestamp:
    case ValueKind::kArray:
    case ValueKind::kNative: {
      // Nested: seldom enough for a message.
      v1::Value wire;
      FillValue(value, &wire);
      wire.ByteSizeLong();
      return wire.SerializeWithCachedSizesToArray(to);
    }
    default:
      return WriteText(field, value.text(), to);
  }
}

size_t EntrySize(const ColumnHeader& column, const Value& value) {
  return DelimitedSize(column.name.size()) + DelimitedSize(SizeOf(value));
}

size_t ColumnsOf(const RowHeader& header, const Row& row) {
  return header == nullptr ? 0 : std::min(header->size(), row.size());
}

// Bytes of a v1::Record.
size_t RecordSize(const RowHeader& header, const Row& row) {
  size_t size = 0;
  for (size_t i = 0; i < ColumnsOf(header, row); ++i) size += DelimitedSize(EntrySize((*header)[i], row[i]));
  return size;
}

uint8_t* WriteRecord(const RowHeader& header, const Row& row, uint8_t* to) {
  for (size_t i = 0; i < ColumnsOf(header, row); ++i) {
    const ColumnHeader& column = (*header)[i];
    const size_t value_size = SizeOf(row[i]);
    to = WriteLength(v1::Record::kColumnsFieldNumber, DelimitedSize(column.name.size()) + DelimitedSize(value_size), to);
    to = WriteText(kEntryKey, column.name, to);
    to = Write(row[i], WriteLength(kEntryValue, value_size, to));
  }
  return to;
}

// Room for `size` more bytes.
uint8_t* Extend(size_t size, std::string& bytes) {
  const size_t before = bytes.size();
  if (bytes.capacity() < before + size) bytes.reserve(std::max(before + size, 2 * bytes.capacity()));
  bytes.resize(before + size);
  return reinterpret_cast<uint8_t*>(bytes.data() + before);
}

// Bytes of a v1::Row.
size_t RowSize(const Row& row) {
  size_t size = 0;
  for (const Value& value : row) size += DelimitedSize(SizeOf(value));
  return size;
}

}  // namespace

void AppendRow(int field, const Row& row, std::string& bytes) {
  const size_t size = RowSize(row);
  uint8_t* to = WriteLength(field, size, Extend(DelimitedSize(size), bytes));
  for (const Value& value : row) to = Write(value, WriteLength(v1::Row::kValuesFieldNumber, SizeOf(value), to));
}

void AppendQueryBatch(std::string_view rows, std::string_view resume_token, std::string& bytes) {
  const size_t token_size = resume_token.empty() ? 0 : DelimitedSize(resume_token.size());
  const size_t size = rows.size() + token_size;
  uint8_t* to = WriteLength(v1::QueryResponse::kBatchFieldNumber, size, Extend(DelimitedSize(size), bytes));
  to = std::copy(rows.begin(), rows.end(), to);
  if (!resume_token.empty()) WriteText(v1::QueryBatch::kResumeTokenFieldNumber, resume_token, to);
}

void AppendRecord(int field, const RowHeader& header, const Row& row, std::string& bytes) {
  const size_t size = RecordSize(header, row);
  WriteRecord(header, row, WriteLength(field, size, Extend(DelimitedSize(size), bytes)));
}

void AppendFoundRow(int field, const RowHeader& header, const KeyedRow& found, std::string& bytes) {
  const size_t record = RecordSize(header, found.row);
  const size_t size = (found.item == 0 ? 0 : kTag + VarintSize(found.item)) + DelimitedSize(record) +
                      (found.etag.empty() ? 0 : DelimitedSize(found.etag.size()));
  uint8_t* to = WriteLength(field, size, Extend(DelimitedSize(size), bytes));
  if (found.item != 0) to = WriteVarint(v1::FoundRow::kIndexFieldNumber, found.item, to);
  to = WriteRecord(header, found.row, WriteLength(v1::FoundRow::kRecordFieldNumber, record, to));
  if (!found.etag.empty()) WriteText(v1::FoundRow::kEtagFieldNumber, found.etag, to);
}

}  // namespace quarry
