// Rows as the wire bytes of their records, without a message in between: a map's entries and a message's fields may come in
// any order, so these bytes may stand before or after the rest of their message. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/model/operation.h"
#include "core/model/statement.h"
#include "core/model/value.h"

namespace quarry {

// A field of type v1::Record; the same as FillRecord makes. `row` has the columns of `header`; null: none.
void AppendRecord(int field, const RowHeader& header, const Row& row, std::string& bytes);
// A field of type v1::FoundRow.
void AppendFoundRow(int field, const RowHeader& header, const KeyedRow& found, std::string& bytes);
// A field of type v1::Row; the same as FillRow makes.
void AppendRow(int field, const Row& row, std::string& bytes);
// A whole v1::QueryResponse with a batch. `rows`: what AppendRow made for kRowsFieldNumber of v1::QueryBatch.
void AppendQueryBatch(std::string_view rows, std::string_view resume_token, std::string& bytes);

}  // namespace quarry
