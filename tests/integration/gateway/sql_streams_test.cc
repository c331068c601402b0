// Raw SQL on one shard and on all, as streams.
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/internal/grpc_status.h"
#include "core/base/rpc_status.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Value;

QUARRY_GATEWAY_SUITE(SqlStreamsTest);

// A thousand numbers and more, without a table.
std::string Numbers(int64_t count) {
  return absl::StrCat("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ", count,
                      ") SELECT x, 'padding' AS pad FROM n");
}

TEST_P(SqlStreamsTest, OneShardGivesAHeaderThenItsRowsItsStatusAndASummary) {
  const int64_t id = AddCustomer(1);
  const std::string sql = absl::StrCat("SELECT id, name, ", Mark(2), " AS given FROM customers WHERE id = ", Mark(1), ";");
  const Value given = postgres() ? Value("text") : Value(7);
  v1::OnShardRequest request = SqlOn(1, sql, {id, given});
  if (postgres()) request.set_sql("SELECT id, name, $2::text AS given FROM customers WHERE id = $1");
  const Streamed streamed = ReadAll(raw().OnShard(request, Soon()));
  ASSERT_THAT(streamed.status, IsOk());
  ASSERT_GE(streamed.events.size(), 4U);
  const v1::RowHeader& header = streamed.events[0].header();
  ASSERT_EQ(header.columns_size(), 3);
  EXPECT_EQ(header.columns(0).name(), "id");
  EXPECT_EQ(header.columns(0).type().code(), v1::TYPE_CODE_INT64);
  EXPECT_EQ(header.columns(2).name(), "given");
  const v1::RowBatch& rows = streamed.events[1].rows();
  ASSERT_EQ(rows.rows_size(), 1);
  EXPECT_EQ(rows.shard(), "s1");
  EXPECT_EQ(rows.rows(0).values(0).int64_value(), id);
  EXPECT_EQ(Value(rows.rows(0).values(2)), given);
  EXPECT_EQ(streamed.events[2].shard_status().shard(), "s1");
  EXPECT_EQ(streamed.summary().rows_returned(), 1);
  EXPECT_EQ(streamed.summary().served_by().shards_answered(0), "s1");
  // By key: the shard that holds the row.
  request.mutable_target()->mutable_key()->set_table("customers");
  *request.mutable_target()->mutable_key()->mutable_key() = client::Key({id}).proto();
  EXPECT_EQ(ReadAll(raw().OnShard(request, Soon())).rows(), 1);
}

TEST(SqlStreamsSettingsTest, RawSqlThatIsSwitchedOffIsRefusedOnOneShardAndOnAll) {
  GatewaySettings settings;
  settings.overrides = {"raw_sql.enabled=false"};
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<TestGateway> own, TestGateway::Start({Kind::kSqlite, 2}, settings));
  for (const bool writes : {false, true}) {
    EXPECT_THAT(ReadAll(own->raw().OnShard(SqlOn(0, "DELETE FROM customers", {}, writes), Soon())).status,
                Fails(absl::StatusCode::kFailedPrecondition, reason::kRawSqlDisabled));
    EXPECT_THAT(ReadAll(own->raw().OnAllShards(SqlOnAll("DELETE FROM customers", {}, writes), Soon())).status,
                Fails(absl::StatusCode::kFailedPrecondition, reason::kRawSqlDisabled));
  }
  EXPECT_THAT(own->client().Insert("customers", {{"id", 1}, {"name", "Ada"}}), IsOk());
}

TEST_P(SqlStreamsTest, AllShardsGiveTheirRowsTaggedUnderOneHeader) {
  std::map<std::string, int64_t> ids;
  for (int shard = 0; shard < shards(); ++shard) ids[TestGateway::ShardName(shard)] = AddCustomer(shard);
  v1::OnAllShardsRequest request = SqlOnAll("SELECT id FROM customers");
  request.set_max_parallel(2);
  const Streamed streamed = ReadAll(raw().OnAllShards(request, Soon()));
  ASSERT_THAT(streamed.status, IsOk());
  ASSERT_TRUE(streamed.events[0].has_header());
  int headers = 0;
  std::set<std::string> finished;
  std::map<std::string, std::set<int64_t>> found;
  for (const v1::OnAllShardsResponse& event : streamed.events) {
    headers += event.has_header() ? 1 : 0;
    if (event.has_shard_status()) {
      EXPECT_TRUE(finished.insert(event.shard_status().shard()).second);
      EXPECT_EQ(event.shard_status().status().code(), 0);
    }
    for (const v1::Row& row : event.rows().rows()) {
      EXPECT_EQ(finished.count(event.rows().shard()), 0U) << "a shard's status comes after its rows";
      found[event.rows().shard()].insert(row.values(0).int64_value());
    }
  }
  EXPECT_EQ(headers, 1);
  EXPECT_EQ(static_cast<int>(finished.size()), shards());
  for (const auto& [shard, id] : ids) EXPECT_EQ(found[shard].count(id), 1U) << shard;
  EXPECT_EQ(streamed.summary().served_by().shards_answered_size(), shards());
  // Some shards.
  request.mutable_target()->mutable_shards()->add_names("s1");
  EXPECT_EQ(ReadAll(raw().OnAllShards(request, Soon())).summary().served_by().shards_asked_size(), 1);
}

TEST_P(SqlStreamsTest, ManyRowsComeInBoundedMessagesInOrder) {
  const Streamed streamed = ReadAll(raw().OnShard(SqlOn(0, Numbers(60'000)), Soon()));
  ASSERT_THAT(streamed.status, IsOk());
  EXPECT_EQ(streamed.rows(), 60'000);
  int64_t last = 0;
  for (const v1::OnAllShardsResponse& event : streamed.events) {
    EXPECT_LE(event.ByteSizeLong(), 1U << 20);
    for (const v1::Row& row : event.rows().rows()) ASSERT_EQ(row.values(0).int64_value(), ++last);
  }
}

TEST_P(SqlStreamsTest, TheDatabaseItselfRefusesWritesThatAreNotAllowed) {
  const int64_t id = AddCustomer(1);
  const auto read_only = Fails(absl::StatusCode::kFailedPrecondition, reason::kReadOnly);
  std::vector<std::string> writes = {absl::StrCat("UPDATE customers SET visits = 1 WHERE id = ", id),
                                     "DELETE FROM customers", "CREATE TABLE pwned(x INT)", "DROP TABLE order_items"};
  if (postgres()) {
    writes.push_back(absl::StrCat("WITH gone AS (DELETE FROM customers WHERE id = ", id, " RETURNING 1) SELECT * FROM gone"));
    writes.push_back("SELECT nextval('notes_id_seq')");
  }
  for (const std::string& sql : writes) {
    EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(1, sql), Soon())).status, read_only) << sql;
    EXPECT_THAT(ReadAll(raw().OnAllShards(SqlOnAll(sql), Soon())).status, read_only) << sql;
  }
  ASSERT_OK_AND_ASSIGN(const auto read, client().Get("customers", {id}));
  EXPECT_EQ(read.record["visits"], Value(0));
  const Streamed allowed = ReadAll(raw().OnShard(SqlOn(1, writes[0], {}, true), Soon()));
  EXPECT_THAT(allowed.status, IsOk());
  EXPECT_EQ(allowed.summary().rows_affected(), 1);
  EXPECT_TRUE(allowed.events[0].has_header());
}

TEST_P(SqlStreamsTest, NobodyLeavesTheirOwnTransactionOrSession) {
  std::vector<std::string> statements = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a"};
  if (postgres()) {
    statements.insert(statements.end(), {"SET default_transaction_read_only = off", "SET TRANSACTION READ WRITE",
                                         "PREPARE TRANSACTION 'x'", "COPY customers TO STDOUT"});
  } else {
    statements.insert(statements.end(), {"ATTACH DATABASE 'other.db' AS other", "PRAGMA query_only = OFF", "VACUUM"});
  }
  for (const std::string& sql : statements) {
    for (const bool writes : {false, true}) {
      const absl::Status status = ReadAll(raw().OnShard(SqlOn(0, sql, {}, writes), Soon())).status;
      EXPECT_FALSE(status.ok()) << sql;
      EXPECT_FALSE(ReasonOf(status).empty()) << sql << ": " << status;
    }
  }
  EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(0, "DELETE FROM settings"), Soon())).status,
              Fails(absl::StatusCode::kFailedPrecondition, reason::kReadOnly));
}

TEST_P(SqlStreamsTest, OneStatementOnlyWithAsManyParametersAsItHasPlaceholders) {
  const auto bad = Fails(absl::StatusCode::kInvalidArgument, reason::kInvalidSql);
  for (const char* sql : {"SELECT 1; SELECT 2", "SELECT 1; DROP TABLE customers", "SELEC 1", "SELECT * FROM nowhere"}) {
    const absl::Status status = ReadAll(raw().OnShard(SqlOn(0, sql, {}, true), Soon())).status;
    EXPECT_THAT(status, bad) << sql;
    EXPECT_EQ(status.message().find("DROP"), absl::string_view::npos);
  }
  const std::string one = postgres() ? "SELECT $1::bigint" : "SELECT ?1";
  EXPECT_FALSE(ReadAll(raw().OnShard(SqlOn(0, one), Soon())).status.ok());
  EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(0, one, {1, 2}), Soon())).status,
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(0, one, {1}), Soon())).status, IsOk());
  EXPECT_THAT(ReadAll(raw().OnShard(SqlOn(0, ""), Soon())).status, InvalidAt("sql"));
}

TEST_P(SqlStreamsTest, LimitsEndAStreamAndUndoAWrite) {
  const auto over = Fails(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded);
  v1::OnShardRequest rows = SqlOn(0, Numbers(1000));
  rows.set_max_rows(10);
  EXPECT_THAT(ReadAll(raw().OnShard(rows, Soon())).status, over);
  rows.set_max_rows(1000);
  EXPECT_THAT(ReadAll(raw().OnShard(rows, Soon())).status, IsOk());
  rows.set_max_rows(0);
  rows.set_max_bytes(100);
  EXPECT_THAT(ReadAll(raw().OnShard(rows, Soon())).status, over);
  v1::OnAllShardsRequest all = SqlOnAll(Numbers(10));
  all.set_max_rows(10 * shards() - 1);
  EXPECT_THAT(ReadAll(raw().OnAllShards(all, Soon())).status, over);
  all.set_max_parallel(10'000);
  EXPECT_THAT(ReadAll(raw().OnAllShards(all, Soon())).status, InvalidAt("max_parallel"));
  const int64_t a = AddCustomer(0);
  const int64_t b = AddCustomer(0);
  for (const bool repeatable : {false, true}) {
    v1::OnShardRequest write = SqlOn(
        0, absl::StrCat("UPDATE customers SET visits = 50 WHERE id IN (", a, ", ", b, ") RETURNING id"), {}, true);
    write.set_max_rows(1);
    if (repeatable) write.set_request_id(NewUuid());
    EXPECT_THAT(ReadAll(raw().OnShard(write, Soon())).status, over);
    for (const int64_t id : {a, b}) {
      ASSERT_OK_AND_ASSIGN(const auto read, client().Get("customers", {id}));
      EXPECT_EQ(read.record["visits"], Value(0)) << "rolled back; repeatable: " << repeatable;
    }
  }
}

TEST_P(SqlStreamsTest, ARowLargerThanAMessageEndsTheStreamWithItsReason) {
  const auto row_of = [this](int64_t bytes) {
    return SqlOn(0, postgres() ? absl::StrCat("SELECT repeat('x', ", bytes, ")")
                               : absl::StrCat("SELECT hex(zeroblob(", bytes / 2, "))"));
  };
  const Streamed fits = ReadAll(raw().OnShard(row_of(3 << 20), Soon()));
  ASSERT_THAT(fits.status, IsOk());
  EXPECT_EQ(fits.rows(), 1);
  const Streamed streamed = ReadAll(raw().OnShard(row_of(5 << 20), Soon()));
  EXPECT_THAT(streamed.status, Fails(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded));
  EXPECT_EQ(streamed.rows(), 0);
  EXPECT_THAT(ReadAll(raw().OnShard(row_of(10), Soon())).status, IsOk()) << "the session is as good as before";
}

TEST_P(SqlStreamsTest, AFailingShardEndsTheCallOrIsReportedBesideTheOthers) {
  AddCustomer(0);
  const int64_t only = AddCustomer(1);
  // Fails on the shard that holds the row, and there alone.
  const std::string sql = absl::StrCat("UPDATE customers SET visits = -1 WHERE id = ", only);
  const auto violated = Fails(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation);
  v1::OnAllShardsRequest request = SqlOnAll(sql, {}, true);
  const Streamed fast = ReadAll(raw().OnAllShards(request, Soon()));
  EXPECT_THAT(fast.status, violated);
  EXPECT_EQ(Fact(fast.status, "shard"), "s1");
  request.set_mode(v1::FAILURE_MODE_BEST_EFFORT);
  const Streamed best = ReadAll(raw().OnAllShards(request, Soon()));
  ASSERT_THAT(best.status, IsOk());
  ASSERT_EQ(best.summary().failed_shards_size(), 1);
  EXPECT_EQ(best.summary().failed_shards(0).shard(), "s1");
  EXPECT_THAT(FromRpcStatus(best.summary().failed_shards(0).status()), violated);
  EXPECT_EQ(best.summary().served_by().shards_asked_size(), shards());
  EXPECT_EQ(best.summary().served_by().shards_answered_size(), shards() - 1);
  int statuses = 0;
  for (const v1::OnAllShardsResponse& event : best.events) statuses += event.has_shard_status() ? 1 : 0;
  EXPECT_EQ(statuses, shards());
}

TEST_P(SqlStreamsTest, TargetsAreChecked) {
  v1::OnShardRequest one = SqlOn(0, "SELECT 1");
  one.mutable_target()->set_shard("s00");
  const absl::Status unknown = ReadAll(raw().OnShard(one, Soon())).status;
  EXPECT_THAT(unknown, Fails(absl::StatusCode::kNotFound, reason::kShardNotFound));
  EXPECT_NE(unknown.message().find("s0, s1"), absl::string_view::npos) << "the names there are: " << unknown;
  one.mutable_target()->set_all_shards(true);
  EXPECT_THAT(ReadAll(raw().OnShard(one, Soon())).status, InvalidAt("target"));
  one.clear_target();
  EXPECT_THAT(ReadAll(raw().OnShard(one, Soon())).status, InvalidAt("target"));
  v1::OnAllShardsRequest all = SqlOnAll("SELECT 1");
  all.mutable_target()->set_shard("s0");
  EXPECT_THAT(ReadAll(raw().OnAllShards(all, Soon())).status, InvalidAt("target"));
  all.mutable_target()->mutable_shards();
  EXPECT_THAT(ReadAll(raw().OnAllShards(all, Soon())).status, InvalidAt("target.shards"));
  all.clear_target();
  EXPECT_EQ(ReadAll(raw().OnAllShards(all, Soon())).rows(), shards());
  all.set_request_id(NewUuid());
  EXPECT_THAT(ReadAll(raw().OnAllShards(all, Soon())).status, InvalidAt("request_id"));
}

}  // namespace
}  // namespace quarry::gateway_test
