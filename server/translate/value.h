// Values, records and keys between the wire and the model.
#pragma once

#include "core/model/statement.h"
#include "core/model/value.h"
#include "quarry/v1/value.pb.h"
#include "server/translate/violations.h"

namespace quarry {

// What cannot be a value of the model is reported at `path`: nothing set, a time finer than a microsecond or outside
// the years 0001 to 9999, U+0000 in text, a malformed uuid, an array in an array. The result is then of no use.
Value ToValue(const v1::Value& wire, const FieldPath& path, Violations& violations);
Record ToRecord(const google::protobuf::Map<std::string, v1::Value>& columns, const FieldPath& path,
                Violations& violations);
// Both forms or neither are reported.
KeyInput ToKeyInput(const v1::Key& wire, const FieldPath& path, Violations& violations);

void FillValue(const Value& value, v1::Value* wire);
void FillType(const ColumnType& type, v1::ColumnType* wire);
// A null header has no columns.
void FillHeader(const RowHeader& header, v1::RowHeader* wire);
void FillRow(const Row& row, v1::Row* wire);
// `row` has the columns of `header`.
void FillRecord(const RowHeader& header, const Row& row, v1::Record* wire);
void FillKey(const Record& key, v1::Key* wire);

}  // namespace quarry
