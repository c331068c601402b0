// Questions to operations: List, Query, Aggregate, UpdateWhere, DeleteWhere and what Explain takes. What is wrong with the
// message itself is reported here, every field at once; what needs the catalog is the engine's to check.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "core/model/condition.h"
#include "core/model/query.h"
#include "quarry/v1/query.pb.h"
#include "server/translate/violations.h"

namespace quarry {

absl::StatusOr<QueryOperation> ToOperation(const v1::QueryRequest& request);
absl::StatusOr<ListOperation> ToOperation(const v1::ListRequest& request);
absl::StatusOr<AggregateOperation> ToOperation(const v1::AggregateRequest& request);
absl::StatusOr<BulkWriteOperation> ToOperation(const v1::UpdateWhereRequest& request);
absl::StatusOr<BulkWriteOperation> ToOperation(const v1::DeleteWhereRequest& request);

// The question that the first page of a List asks, to be explained. `page_rows`: of a page that does not say.
QueryOperation FirstPage(const ListOperation& op, int64_t page_rows);

// `path`, such as "where", begins the places of the condition. Too deep or too many conditions, and a kind that is not
// set, are reported, and the result is then of no use.
Condition ToCondition(const v1::Condition& wire, const FieldPath& path, Violations& violations);

}  // namespace quarry
