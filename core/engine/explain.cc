#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/base/gather.h"
#include "core/base/status_macros.h"
#include "core/engine/engine.h"
#include "core/engine/plan_text.h"
#include "core/plan/page_token.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

// What one shard is asked.
struct ShardStatements {
  ShardId shard{};
  Dialect dialect = Dialect::kSqlite;
  std::vector<Statement> statements;
};

// What is explained.
struct Question {
  std::string table;
  std::optional<Condition> filter;
  bool analyze = false;
  std::vector<ShardStatements> shards;
};

struct Analysis {
  Explanation::ShardSql told;
  bool scans = false;  // The database reads a whole table.
};

Statement PlanStatement(const Statement& statement, Dialect dialect) {
  const bool postgres = dialect == Dialect::kPostgres;
  Statement explain = statement;
  explain.sql = std::make_shared<const std::string>(absl::StrCat(postgres ? "EXPLAIN " : "EXPLAIN QUERY PLAN ", *statement.sql));
  const ColumnType number{TypeKind::kInt64, false, ""};
  const ColumnType text{TypeKind::kText, false, ""};
  explain.result_types = std::make_shared<const std::vector<ColumnType>>(
      postgres ? std::vector<ColumnType>{text} : std::vector<ColumnType>{number, number, number, text});
  return explain;
}

// PostgreSQL: "Seq Scan on orders". SQLite: "SCAN t0", but not "SCAN t0 USING INDEX …".
bool IsScan(absl::string_view line, Dialect dialect) {
  if (dialect == Dialect::kPostgres) return absl::StrContains(line, "Seq Scan on ");
  return absl::StartsWith(line, "SCAN ") && !absl::StrContains(line, " USING ") && !absl::StrContains(line, "CONSTANT ROW");
}

Async<absl::Status> AskForPlan(Session& session, const Statement& statement, Dialect dialect, const CallContext& ctx,
                               Analysis& analysis) {
  Step step;
  step.statements.push_back(PlanStatement(statement, dialect));
  absl::StatusOr<StepResult> answer = co_await session.Execute(step, ctx);
  if (!answer.ok()) co_return answer.status();
  std::string& plan = analysis.told.database_plan;
  for (const Row& row : answer->statements.front().batch.rows) {
    const std::string& line = row.back().text();
    absl::StrAppend(&plan, plan.empty() ? "" : "\n", line);
    analysis.scans |= IsScan(line, dialect);
  }
  // The values in it may be another caller's.
  if (dialect == Dialect::kPostgres) plan = WithoutValues(plan);
  co_return absl::OkStatus();
}

Async<absl::Status> AnalyzeOn(Session& session, const ShardStatements& asked, const CallContext& ctx, Analysis& analysis) {
  for (const Statement& statement : asked.statements) {
    QUARRY_CO_RETURN_IF_ERROR(co_await AskForPlan(session, statement, asked.dialect, ctx, analysis));
  }
  const absl::Time start = ctx.loop.Now();
  for (const Statement& statement : asked.statements) {
    absl::StatusOr<std::unique_ptr<RowStream>> stream = co_await session.Open(statement, ctx);
    if (!stream.ok()) co_return stream.status();
    while (true) {
      const absl::StatusOr<RowBatch> batch = co_await (*stream)->Next(ctx);
      if (!batch.ok()) co_return batch.status();
      if (batch->rows.empty()) break;
      analysis.told.rows += static_cast<int64_t>(batch->rows.size());
    }
  }
  analysis.told.time = ctx.loop.Now() - start;
  co_return absl::OkStatus();
}

// Never fails: the shard's status tells.
Async<absl::StatusOr<Analysis>> Analyze(ShardStatements asked, Backend& backend, std::string name, const CallContext& ctx) {
  Analysis analysis;
  SessionOptions options;
  options.transaction = false;
  options.read_only = true;
  absl::StatusOr<std::unique_ptr<Session>> session = co_await backend.Lease(options, ctx);
  absl::Status status = session.status();
  if (status.ok()) status = co_await AnalyzeOn(**session, asked, ctx, analysis);
  if (!status.ok()) analysis.told.status = OnShard(status, name);
  co_return analysis;
}

std::string TextOf(const ShardStatements& asked) {
  std::vector<std::string> texts;
  for (const Statement& statement : asked.statements) texts.push_back(*statement.sql);
  return absl::StrJoin(texts, ";\n");
}

// Columns that a filter names, of the table itself.
void ColumnsOf(const Condition& condition, std::vector<std::string>& columns) {
  for (const Condition& child : condition.children) ColumnsOf(child, columns);
  const bool own = condition.kind != Condition::Kind::kHas && !condition.column.empty() &&
                   !absl::StrContains(condition.column, ".");
  if (own && std::find(columns.begin(), columns.end(), condition.column) == columns.end()) columns.push_back(condition.column);
}

std::string ScanWarning(const std::string& shard, const std::string& table, const Condition& filter) {
  std::vector<std::string> columns;
  ColumnsOf(filter, columns);
  return absl::StrCat("shard ", shard, " reads all of table ", table, " (no index serves the filter): create an index on (",
                      absl::StrJoin(columns, ", "), "), or compare a column that has one");
}

std::vector<std::string> ScatterWarnings(const Table& table, const ScatterRoute& route, int64_t offset, bool pages) {
  std::vector<std::string> warnings;
  if (route.shards.size() > 1) {
    warnings.push_back(absl::StrCat("goes to ", route.shards.size(), " shards: compare ",
                                    absl::StrJoin(table.declaration().shard_key, ", "),
                                    " with = or IN in the filter, so that it goes only where its rows are"));
  }
  if (offset > 0) {
    warnings.push_back(absl::StrCat("offset ", offset, ": every shard reads as many rows and they are thrown away; ",
                                    pages ? "use List, whose page tokens go on where the last page ended"
                                          : "narrow the groups with having instead"));
  }
  return warnings;
}

std::string MergeWords(const QueryOperation& op, const QueryPlan& plan) {
  std::vector<std::string> words;
  const size_t shards = plan.statements.size();
  if (shards == 0) return "nothing is asked: no row can match";
  words.push_back(shards == 1 ? "one shard's rows are passed on in its order"
                              : absl::StrCat("the sorted rows of ", shards, " shards are merged, one batch of each at hand"));
  if (op.distinct && shards > 1) words.push_back("equal rows of several shards become one");
  if (plan.merge.offset > 0) words.push_back(absl::StrCat("the first ", plan.merge.offset, " are left out"));
  if (plan.merge.limit > 0) words.push_back(absl::StrCat("it ends after ", plan.merge.limit, " rows"));
  return absl::StrJoin(words, "; ");
}

std::string MergeWords(const AggregateOperation& op, const AggregatePlan& plan) {
  if (plan.parts.empty()) return "nothing is asked: no row can match";
  std::string words = plan.parts.size() == 1
                          ? "one shard's groups are taken"
                          : absl::StrCat("the partial groups of ", plan.parts.size(), " shards are combined by their ",
                                         op.group_by.empty() ? "aggregates" : "values of group_by");
  const bool by_value = std::any_of(plan.spec.columns.begin(), plan.spec.columns.end(),
                                    [](const AggregateColumn& column) { return column.distinct_by_value; });
  if (by_value) absl::StrAppend(&words, "; distinct values are compared here, for shards may share some");
  if (op.having.has_value()) absl::StrAppend(&words, "; having is applied to the combined groups");
  if (op.limit > 0) absl::StrAppend(&words, "; then they are sorted and ", op.limit, " are kept");
  return words;
}

// Fills in the shards of `explanation`, and what their databases say where they are asked.
Async<absl::StatusOr<Explanation>> Tell(Explanation explanation, Question question,
                                        const std::vector<std::unique_ptr<Backend>>& shards,
                                        std::shared_ptr<const Snapshot> snapshot, size_t width, const CallContext& ctx) {
  std::vector<Async<absl::StatusOr<Analysis>>> work;
  for (const ShardStatements& one : question.shards) {
    Explanation::ShardSql told;
    told.shard = one.shard;
    told.sql = TextOf(one);
    explanation.shards.push_back(std::move(told));
    if (question.analyze) work.push_back(Analyze(one, *shards[Index(one.shard)], snapshot->topology.name(one.shard), ctx));
  }
  GatherOptions options;
  options.width = width;
  options.stop_at_first_error = false;
  std::vector<absl::StatusOr<Analysis>> analyses = co_await Gather(ctx.loop, std::move(work), options);
  for (size_t i = 0; i < analyses.size(); ++i) {
    if (!analyses[i].ok()) co_return analyses[i].status();
    Explanation::ShardSql& told = explanation.shards[i];
    const std::string& name = snapshot->topology.name(told.shard);
    analyses[i]->told.shard = told.shard;
    analyses[i]->told.sql = std::move(told.sql);
    told = std::move(analyses[i]->told);
    if (!analyses[i]->scans || !question.filter.has_value()) continue;
    explanation.warnings.push_back(ScanWarning(name, question.table, *question.filter));
  }
  co_return explanation;
}

}  // namespace

Async<absl::StatusOr<Explanation>> Engine::Explain(const QueryOperation& op, bool analyze, const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Place place, PlaceOf(""));
  QueryPosition position;
  Ask ask;
  ask.limit = op.limit;
  if (!op.resume_token.empty()) {
    QUARRY_CO_ASSIGN_OR_RETURN(position, OpenPosition(op.resume_token, op.request_hash, *parts_.sealer, ask.token_field));
    ask.position = &position;
  }
  QUARRY_CO_ASSIGN_OR_RETURN(const QueryPlan plan, co_await PlanQuestion(op, ask, place, ctx));
  Explanation explanation;
  explanation.route = plan.route;
  explanation.merge = MergeWords(op, plan);
  explanation.warnings = ScatterWarnings(*plan.table, plan.route, op.offset, true);
  Question question{op.table, op.filter, analyze, {}};
  for (const auto& [shard, statement] : plan.statements) {
    ShardStatements one;
    one.shard = shard;
    one.dialect = place.snapshot->topology.shard(shard).dialect;
    one.statements.push_back(statement);
    question.shards.push_back(std::move(one));
  }
  co_return co_await Tell(std::move(explanation), std::move(question), parts_.shards, place.snapshot,
                          parts_.limits.scatter_width, ctx);
}

Async<absl::StatusOr<Explanation>> Engine::Explain(const AggregateOperation& op, bool analyze, const CallContext& ctx) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Place place, PlaceOf(""));
  QUARRY_CO_ASSIGN_OR_RETURN(const AggregatePlan plan, co_await PlanAggregation(op, place, ctx));
  QUARRY_CO_ASSIGN_OR_RETURN(const Table* table, FindTable(*place.snapshot, op.table));
  Explanation explanation;
  explanation.route = plan.route;
  explanation.merge = MergeWords(op, plan);
  explanation.warnings = ScatterWarnings(*table, plan.route, op.offset, false);
  Question question{op.table, op.filter, analyze, {}};
  for (const AggregatePart& part : plan.parts) {
    ShardStatements one;
    one.shard = part.shard;
    one.dialect = place.snapshot->topology.shard(part.shard).dialect;
    const auto add = [&one](const Task& task) {
      for (const Step& step : task.steps) one.statements.insert(one.statements.end(), step.statements.begin(), step.statements.end());
    };
    add(part.partial);
    for (const auto& [column, task] : part.distinct) add(task);
    question.shards.push_back(std::move(one));
  }
  co_return co_await Tell(std::move(explanation), std::move(question), parts_.shards, place.snapshot,
                          parts_.limits.scatter_width, ctx);
}

}  // namespace quarry
