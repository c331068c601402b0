#include "server/service/query_admin.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "server/translate/query_request.h"
#include "server/translate/query_response.h"
#include "server/translate/response.h"

namespace quarry {
namespace {

constexpr int32_t kListedUsually = 20;
constexpr int32_t kListedMax = 1'000;

using Question = std::shared_ptr<const QueryExample>;

template <typename Request>
absl::Status OutsideTransaction(const Request& request) {
  if (request.transaction_id().empty()) return absl::OkStatus();
  return InvalidField("transaction_id", "has no place in an explanation; leave it out");
}

template <typename Operation>
Question MakeQuestion(Operation op) {
  return std::make_shared<const QueryExample>(std::move(op));
}

absl::StatusOr<Question> FindQuestion(const QueryStats& stats, const std::string& query_id) {
  uint64_t id = 0;
  Question question = absl::SimpleHexAtoi(query_id, &id) ? stats.FindExample(id) : nullptr;
  if (question != nullptr) return question;
  return InvalidField("query_id", "is of no query that this gateway keeps; ListTopQueries lists them (has_example)");
}

absl::StatusOr<Question> ToQuestion(const QueryStats& stats, const Engine& engine, const v1::ExplainRequest& request) {
  switch (request.question_case()) {
    case v1::ExplainRequest::kQuery: {
      QUARRY_RETURN_IF_ERROR(OutsideTransaction(request.query()));
      QUARRY_ASSIGN_OR_RETURN(QueryOperation op, ToOperation(request.query()));
      return MakeQuestion(std::move(op));
    }
    case v1::ExplainRequest::kList: {
      QUARRY_RETURN_IF_ERROR(OutsideTransaction(request.list()));
      QUARRY_ASSIGN_OR_RETURN(const ListOperation op, ToOperation(request.list()));
      return MakeQuestion(FirstPage(op, engine.limits().page_rows));
    }
    case v1::ExplainRequest::kAggregate: {
      QUARRY_RETURN_IF_ERROR(OutsideTransaction(request.aggregate()));
      QUARRY_ASSIGN_OR_RETURN(AggregateOperation op, ToOperation(request.aggregate()));
      return MakeQuestion(std::move(op));
    }
    case v1::ExplainRequest::kQueryId:
      return FindQuestion(stats, request.query_id());
    case v1::ExplainRequest::QUESTION_NOT_SET:
      break;
  }
  return InvalidField("question", "is missing; set query, list, aggregate or query_id");
}

int64_t RankOf(const QueryShapeTotals& totals, v1::QueryRanking ranking) {
  switch (ranking) {
    case v1::QUERY_RANKING_CALLS:
      return totals.calls;
    case v1::QUERY_RANKING_ROWS:
      return totals.rows;
    default:
      return absl::ToInt64Nanoseconds(totals.time);
  }
}

void FillTopQuery(const QueryShapeTotals& totals, const Topology& topology, v1::TopQuery* wire) {
  wire->set_query_id(QueryIdText(totals.shape.id));
  wire->set_shape(totals.shape.text);
  wire->set_method(totals.shape.method);
  wire->set_table(totals.shape.table);
  wire->set_calls(totals.calls);
  wire->set_errors(totals.errors);
  wire->set_rows(totals.rows);
  FillDuration(totals.time, wire->mutable_total_duration());
  FillDuration(totals.calls == 0 ? absl::ZeroDuration() : totals.time / totals.calls, wire->mutable_mean_duration());
  FillDuration(totals.time_max, wire->mutable_max_duration());
  wire->set_scatter_calls(totals.scatter_calls);
  wire->set_shards_asked(totals.shards_asked);
  for (const auto& [shard, of_shard] : totals.shards) {
    v1::TopQueryShard* out = wire->add_shards();
    out->set_shard(topology.name(shard));
    out->set_calls(of_shard.calls);
    out->set_rows(of_shard.rows);
    FillDuration(of_shard.time, out->mutable_total_duration());
    FillDuration(of_shard.calls == 0 ? absl::ZeroDuration() : of_shard.time / of_shard.calls, out->mutable_mean_duration());
  }
  std::sort(wire->mutable_shards()->begin(), wire->mutable_shards()->end(),
            [](const v1::TopQueryShard& a, const v1::TopQueryShard& b) { return a.shard() < b.shard(); });
  wire->set_has_example(totals.has_example);
}

absl::Status CheckTop(const v1::ListTopQueriesRequest& request) {
  Violations violations;
  if (!v1::QueryRanking_IsValid(request.order_by())) violations.Add("order_by", "is not a known ranking");
  if (request.limit() < 0 || request.limit() > kListedMax) violations.Add("limit", "is outside of 0 to 1,000");
  return violations.ToStatus();
}

}  // namespace

Async<absl::Status> Explain(const QueryStats* stats, const v1::ExplainRequest& request, v1::ExplainResponse& response,
                            CallScope& scope) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Question question, ToQuestion(*stats, *scope.engine, request));
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  const auto* aggregate = std::get_if<AggregateOperation>(question.get());
  Async<absl::StatusOr<Explanation>> explain =
      aggregate != nullptr
          ? scope.engine->Explain(*aggregate, request.analyze(), scope.ctx)
          : scope.engine->Explain(std::get<QueryOperation>(*question), request.analyze(), scope.ctx);
  const absl::StatusOr<Explanation> explanation = co_await explain;
  if (!explanation.ok()) co_return explanation.status();
  FillResponse(*explanation, request.analyze(), now->topology, &response);
  co_return absl::OkStatus();
}

Async<absl::Status> ListTopQueries(const QueryStats* stats, const v1::ListTopQueriesRequest& request,
                                   v1::ListTopQueriesResponse& response, CallScope& scope) {
  QUARRY_CO_RETURN_IF_ERROR(CheckTop(request));
  std::vector<QueryShapeTotals> all = stats->Read();
  const auto comes_first = [&request](const QueryShapeTotals& a, const QueryShapeTotals& b) {
    const int64_t rank_a = RankOf(a, request.order_by());
    const int64_t rank_b = RankOf(b, request.order_by());
    return rank_a != rank_b ? rank_a > rank_b : a.shape.id < b.shape.id;
  };
  std::sort(all.begin(), all.end(), comes_first);
  const auto limit = static_cast<size_t>(request.limit() > 0 ? request.limit() : kListedUsually);
  if (all.size() > limit) all.resize(limit);
  const std::shared_ptr<const Snapshot> now = scope.engine->snapshot();
  for (const QueryShapeTotals& totals : all) FillTopQuery(totals, now->topology, response.add_queries());
  FillServedByGateway(now->topology, response.mutable_served_by());
  co_return absl::OkStatus();
}

}  // namespace quarry
