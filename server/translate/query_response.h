// Results of questions to replies.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/model/query.h"
#include "core/plan/snapshot.h"
#include "google/protobuf/duration.pb.h"
#include "quarry/v1/admin.pb.h"
#include "quarry/v1/query.pb.h"

namespace quarry {

// Rows are moved out of the results.
void FillResponse(ListResult& result, const Topology& topology, v1::ListResponse* wire);
void FillResponse(AggregateResult& result, const Topology& topology, v1::AggregateResponse* wire);
void FillResponse(const BulkWriteResult& result, const Topology& topology, v1::UpdateWhereResponse* wire);
void FillResponse(const BulkWriteResult& result, const Topology& topology, v1::DeleteWhereResponse* wire);
// `sent`: rows that the stream gave.
void FillSummary(const QuerySummary& summary, int64_t sent, const Topology& topology, v1::QuerySummary* wire);
void FillResponse(const Explanation& explanation, bool analyzed, const Topology& topology, v1::ExplainResponse* wire);

void FillDuration(absl::Duration duration, google::protobuf::Duration* wire);

}  // namespace quarry
