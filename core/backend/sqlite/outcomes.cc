#include "core/backend/sqlite/outcomes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/errors.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace quarry::sqlite {
namespace {

constexpr char kCreateDecisions[] =
    "CREATE TABLE IF NOT EXISTS quarry_txn_decision("
    "transaction_id TEXT NOT NULL PRIMARY KEY, verdict TEXT NOT NULL CHECK (verdict IN ('commit', 'abort')), "
    "participants TEXT NOT NULL, created INTEGER NOT NULL, finished INTEGER) STRICT, WITHOUT ROWID";
// Recovery asks for these again and again; of all the others there may be very many.
constexpr char kIndexUnfinished[] =
    "CREATE INDEX IF NOT EXISTS quarry_txn_decision_unfinished ON quarry_txn_decision(created) WHERE finished IS NULL";
constexpr char kIndexCreated[] =
    "CREATE INDEX IF NOT EXISTS quarry_txn_decision_created ON quarry_txn_decision(created)";
constexpr char kCreateParts[] =
    "CREATE TABLE IF NOT EXISTS quarry_txn_part("
    "transaction_id TEXT NOT NULL PRIMARY KEY, created INTEGER NOT NULL) STRICT, WITHOUT ROWID";

#define QUARRY_DECISION_COLUMNS "transaction_id, verdict, participants, created, finished IS NOT NULL"

std::string JsonOf(const std::vector<std::string>& texts) {
  return nlohmann::json(texts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

const JobControl& Unbounded() {
  static const JobControl control(absl::InfiniteFuture());
  return control;
}

}  // namespace

Statement OwnStatement(std::string sql, std::vector<Value> params, bool writes) {
  Statement statement;
  statement.sql = std::make_shared<const std::string>(std::move(sql));
  statement.params = std::move(params);
  statement.writes = writes;
  return statement;
}

absl::StatusOr<StatementResult> RunOwn(Connection& connection, const char* sql, std::vector<Value> params) {
  return connection.Run(OwnStatement(sql, std::move(params), false), Unbounded());
}

absl::Status CreateOutcomeTables(Connection& connection) {
  for (const char* sql : {kCreateDecisions, kIndexUnfinished, kIndexCreated, kCreateParts}) {
    QUARRY_RETURN_IF_ERROR(connection.ControlOnce(sql));
  }
  return absl::OkStatus();
}

absl::Status InsertPart(Connection& connection, const std::string& transaction_id, absl::Time now) {
  return RunOwn(connection, "INSERT INTO quarry_txn_part(transaction_id, created) VALUES (?1, ?2)",
                {Value::Text(transaction_id), Value::Int64(absl::ToUnixMicros(now))})
      .status();
}

absl::StatusOr<bool> HasPart(Connection& connection, const std::string& transaction_id) {
  QUARRY_ASSIGN_OR_RETURN(const StatementResult found,
                          RunOwn(connection, "SELECT 1 FROM quarry_txn_part WHERE transaction_id = ?1",
                                 {Value::Text(transaction_id)}));
  return !found.batch.rows.empty();
}

absl::Status InsertDecision(Connection& connection, const Decision& decision, absl::Time now) {
  const absl::Status stored =
      RunOwn(connection,
             "INSERT INTO quarry_txn_decision(transaction_id, verdict, participants, created) VALUES (?1, ?2, ?3, ?4)",
             {Value::Text(decision.transaction_id),
              Value::Text(decision.verdict == Verdict::kCommit ? "commit" : "abort"),
              Value::Text(JsonOf(decision.participants)), Value::Int64(absl::ToUnixMicros(now))})
          .status();
  if (stored.code() != absl::StatusCode::kAlreadyExists) return stored;
  return MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                   absl::StrCat("transaction ", decision.transaction_id, " was rolled back by recovery on shard ",
                                connection.shard(), " before its commit was decided; run it again from its start"),
                   {{"shard", connection.shard()}, {"transaction", decision.transaction_id}});
}

Value IdList(const std::vector<std::string>& transaction_ids) { return Value::Text(JsonOf(transaction_ids)); }

Statement FindPartsStatement(const std::vector<std::string>& transaction_ids) {
  return OwnStatement(
      "SELECT transaction_id FROM quarry_txn_part WHERE transaction_id IN (SELECT value FROM json_each(?1))",
      {IdList(transaction_ids)}, false);
}

Statement ListPartsStatement(absl::Duration age_min, int64_t count_max, absl::Time now) {
  return OwnStatement("SELECT transaction_id, created FROM quarry_txn_part WHERE created <= ?1 ORDER BY created LIMIT ?2",
                      {Value::Int64(absl::ToUnixMicros(now - age_min)), Value::Int64(std::max<int64_t>(0, count_max))}, false);
}

Statement FindDecisionStatement(const std::string& transaction_id) {
  return OwnStatement("SELECT " QUARRY_DECISION_COLUMNS " FROM quarry_txn_decision WHERE transaction_id = ?1",
                      {Value::Text(transaction_id)}, false);
}

Statement ListDecisionsStatement(const DecisionFilter& filter, absl::Time now) {
  std::string sql = absl::StrCat("SELECT " QUARRY_DECISION_COLUMNS " FROM quarry_txn_decision WHERE created <= ?1",
                                 filter.unfinished_only ? " AND finished IS NULL" : "",
                                 filter.newest_first ? " ORDER BY created DESC" : " ORDER BY created", " LIMIT ?2");
  return OwnStatement(
      std::move(sql), {Value::Int64(absl::ToUnixMicros(now - filter.age_min)), Value::Int64(std::max<int64_t>(0, filter.count_max))},
      false);
}

Statement AbortUnlessDecidedStatement(const std::string& transaction_id, absl::Time now) {
  return OwnStatement(
      "INSERT INTO quarry_txn_decision(transaction_id, verdict, participants, created) VALUES (?1, 'abort', '[]', ?2) "
      "ON CONFLICT (transaction_id) DO NOTHING",
      {Value::Text(transaction_id), Value::Int64(absl::ToUnixMicros(now))}, true);
}

Statement MarkFinishedStatement(const std::vector<std::string>& transaction_ids, absl::Time now) {
  return OwnStatement(
      "UPDATE quarry_txn_decision SET finished = ?2 "
      "WHERE transaction_id IN (SELECT value FROM json_each(?1)) AND finished IS NULL",
      {IdList(transaction_ids), Value::Int64(absl::ToUnixMicros(now))}, true);
}

Statement ForgetPartsStatement(const std::vector<std::string>& transaction_ids) {
  return OwnStatement("DELETE FROM quarry_txn_part WHERE transaction_id IN (SELECT value FROM json_each(?1))",
                      {IdList(transaction_ids)}, true);
}

Statement ForgetDecisionsStatement(const std::vector<std::string>& transaction_ids) {
  return OwnStatement("DELETE FROM quarry_txn_decision WHERE transaction_id IN (SELECT value FROM json_each(?1))",
                      {IdList(transaction_ids)}, true);
}

absl::StatusOr<Decision> DecisionOf(const Row& row, absl::Time now, const std::string& shard) {
  Decision decision;
  decision.transaction_id = row[0].text();
  decision.verdict = row[1].text() == "commit" ? Verdict::kCommit : Verdict::kAbort;
  const nlohmann::json participants = nlohmann::json::parse(row[2].text(), nullptr, /*allow_exceptions=*/false);
  bool valid = participants.is_array();
  for (size_t i = 0; valid && i < participants.size(); ++i) valid = participants[i].is_string();
  if (!valid) {
    return MakeError(absl::StatusCode::kDataLoss, reason::kShardCorrupt,
                     absl::StrCat("the decision of transaction ", decision.transaction_id, " on shard ", shard,
                                  " names its participants in a form that is not Quarry's; look at quarry_txn_decision"),
                     {{"shard", shard}, {"transaction", decision.transaction_id}});
  }
  decision.participants = participants.get<std::vector<std::string>>();
  decision.age = std::max(absl::ZeroDuration(), now - absl::FromUnixMicros(row[3].int64_value()));
  decision.finished = row[4].int64_value() != 0;
  return decision;
}

}  // namespace quarry::sqlite
