#include "core/engine/sql_stream.h"

#include <map>
#include <string>
#include <vector>

#include "tests/unit/core/engine/cluster.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = SqlEvent::Kind;

class SqlStreamTest : public ClusterTest {
 protected:
  SqlStreamTest() : ClusterTest(4) {
    op_.sql = "SELECT n FROM t";
    op_.target.all_shards = true;
    for (ShardScript& shard : scripts_) shard.stream = Batches(2);
  }
  // Batches of two rows each.
  static std::vector<RowBatch> Batches(int count) {
    std::vector<RowBatch> batches;
    for (int i = 0; i < count; ++i) {
      RowBatch batch;
      batch.header =
          std::make_shared<const std::vector<ColumnHeader>>(std::vector<ColumnHeader>{{"n", ColumnType()}});
      batch.rows = {{Value::Int64(i)}, {Value::Int64(i)}};
      batches.push_back(std::move(batch));
    }
    return batches;
  }
  absl::StatusOr<std::unique_ptr<SqlStream>> Start(const std::string& transaction = "") {
    return RunNow(loop_, engine_->RunSql(op_, fail_fast_, transaction, ctx_));
  }
  std::vector<SqlEvent> ReadAll(SqlStream& stream) {
    std::vector<SqlEvent> events;
    while (std::optional<SqlEvent> event = RunNow(loop_, stream.Next())) events.push_back(*std::move(event));
    return events;
  }
  std::vector<SqlEvent> RunAll(const std::string& transaction = "") {
    absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start(transaction);
    EXPECT_THAT(stream, IsOk());
    return stream.ok() ? ReadAll(**stream) : std::vector<SqlEvent>();
  }
  static std::map<ShardId, std::vector<Kind>> KindsByShard(const std::vector<SqlEvent>& events) {
    std::map<ShardId, std::vector<Kind>> kinds;
    for (const SqlEvent& event : events) kinds[event.shard].push_back(event.kind);
    return kinds;
  }
  static std::map<ShardId, absl::Status> Ends(const std::vector<SqlEvent>& events) {
    std::map<ShardId, absl::Status> ends;
    for (const SqlEvent& event : events) {
      if (event.kind != Kind::kDone) continue;
      EXPECT_TRUE(ends.emplace(event.shard, event.status).second);
    }
    return ends;
  }

  RawSqlOperation op_;
  bool fail_fast_ = true;
};

TEST_F(SqlStreamTest, SendsOfEachShardItsHeaderThenRowsThenItsEnd) {
  const std::vector<SqlEvent> events = RunAll();
  const auto kinds = KindsByShard(events);
  ASSERT_EQ(kinds.size(), 4u);
  for (const auto& [shard, seen] : kinds) {
    EXPECT_THAT(seen, ElementsAre(Kind::kHeader, Kind::kRows, Kind::kRows, Kind::kDone));
  }
  for (const SqlEvent& event : events) {
    if (event.kind != Kind::kDone) continue;
    EXPECT_THAT(event.status, IsOk());
    EXPECT_EQ(event.rows, 4);
  }
  for (const ShardScript& shard : scripts_) {
    ASSERT_THAT(shard.leased, SizeIs(1));
    EXPECT_TRUE(shard.leased[0].read_only);
    EXPECT_EQ(shard.commits, 1);
    EXPECT_EQ(shard.sessions, 0);
  }
}

TEST_F(SqlStreamTest, EndsAShardWithoutRowsToo) {
  for (ShardScript& shard : scripts_) shard.stream.clear();
  for (const auto& [shard, seen] : KindsByShard(RunAll())) EXPECT_THAT(seen, ElementsAre(Kind::kHeader, Kind::kDone));
}

TEST_F(SqlStreamTest, StopsTheOthersAtTheFirstFailure) {
  scripts_[0].hold = {CallKind::kNext};
  scripts_[1].fail[CallKind::kOpen] = absl::InvalidArgumentError("no such table");
  scripts_[2].hold = {CallKind::kLease};
  const auto ends = Ends(RunAll());
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_THAT(ends.at(ShardId{1}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ends.at(ShardId{0}), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_THAT(ends.at(ShardId{2}), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_EQ(Sessions(), 0);
  EXPECT_EQ(Running(), 0);
}

TEST_F(SqlStreamTest, GoesOnWithTheOthersWhenAskedTo) {
  fail_fast_ = false;
  scripts_[1].fail[CallKind::kOpen] = Down();
  scripts_[2].stream_end = absl::DataLossError("corrupt page");
  scripts_[3].fail[CallKind::kCommit] = Down();
  const std::vector<SqlEvent> events = RunAll();
  const auto ends = Ends(events);
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_THAT(ends.at(ShardId{0}), IsOk());
  EXPECT_THAT(ends.at(ShardId{1}), HasReason(reason::kShardUnavailable));
  EXPECT_THAT(ends.at(ShardId{2}), StatusIs(absl::StatusCode::kDataLoss));
  EXPECT_THAT(ends.at(ShardId{3}), HasReason(reason::kShardUnavailable));
  EXPECT_THAT(KindsByShard(events).at(ShardId{2}), ElementsAre(Kind::kHeader, Kind::kRows, Kind::kRows, Kind::kDone));
}

TEST_F(SqlStreamTest, MakesTheDatabasesWaitForASlowReader) {
  for (ShardScript& shard : scripts_) shard.stream = Batches(100);
  absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start();
  ASSERT_THAT(stream, IsOk());
  loop_.Settle();
  const auto read = [this] {
    int batches = 0;
    for (const ShardScript& shard : scripts_) batches += shard.batches_read;
    return batches;
  };
  EXPECT_LE(read(), 16);  // Eight queued, and one in the hands of each shard.
  RunNow(loop_, (*stream)->Next());
  EXPECT_LE(read(), 17);
  EXPECT_EQ(ReadAll(**stream).size(), 4u * 102 - 1);
}

TEST_F(SqlStreamTest, TellsTheEndOfAShardThatWaitedForTheReaderWhenAnotherFailed) {
  // Shards 0 and 1 have ended but cannot say so, for the reader is slow; then shard 3 fails.
  scripts_[0].stream = Batches(3);
  scripts_[1].stream = Batches(3);
  scripts_[2].stream = Batches(3);
  scripts_[3].hold = {CallKind::kOpen};
  absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start();
  ASSERT_THAT(stream, IsOk());
  loop_.Settle();
  scripts_[3].fail[CallKind::kOpen] = Down();
  scripts_[3].Release();
  loop_.Settle();
  const auto ends = Ends(ReadAll(**stream));
  ASSERT_EQ(ends.size(), 4u);
  EXPECT_THAT(ends.at(ShardId{3}), HasReason(reason::kShardUnavailable));
  for (size_t i = 0; i < 3; ++i) {
    // What has committed is never said to have failed.
    if (scripts_[i].commits == 0) continue;
    EXPECT_THAT(ends.at(ShardId(static_cast<uint32_t>(i))), IsOk()) << i;
  }
}

TEST_F(SqlStreamTest, DropsEverySessionWithTheStream) {
  for (ShardScript& shard : scripts_) shard.stream = Batches(1);  // Few enough to fit into the queue.
  for (const CallKind point : {CallKind::kLease, CallKind::kOpen, CallKind::kNext, CallKind::kCommit}) {
    for (ShardScript& shard : scripts_) shard.hold = {point};
    absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start();
    ASSERT_THAT(stream, IsOk());
    loop_.Settle();
    Started<std::optional<SqlEvent>> next((*stream)->Next());
    loop_.Settle();
    EXPECT_EQ(Running(), 4);
    next.Drop();
    stream->reset();
    EXPECT_EQ(Running(), 0);
    EXPECT_EQ(Sessions(), 0);
    for (ShardScript& shard : scripts_) {
      EXPECT_EQ(shard.streams, 0);
      shard.Release();
    }
    loop_.Settle();
  }
}

TEST_F(SqlStreamTest, RunsAtMostWidthShardsAtATime) {
  op_.width = 2;
  for (ShardScript& shard : scripts_) shard.hold = {CallKind::kLease};
  absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start();
  ASSERT_THAT(stream, IsOk());
  EXPECT_EQ(Running(), 2);
  for (ShardScript& shard : scripts_) shard.Release();
  EXPECT_EQ(Ends(ReadAll(**stream)).size(), 4u);
}

TEST_F(SqlStreamTest, RepeatsAStoredWriteOfARequest) {
  op_.allow_writes = true;
  op_.request_id = "r1";
  op_.request_hash = 7;
  for (ShardScript& shard : scripts_) {
    shard.step = [](const Step&) { return RowsResult({{Value::Int64(1)}}); };
  }
  for (const bool replayed : {false, true}) {
    for (const SqlEvent& event : RunAll()) {
      if (event.kind != Kind::kDone) continue;
      EXPECT_THAT(event.status, IsOk());
      EXPECT_EQ(event.replayed, replayed);
      EXPECT_EQ(event.rows, 1);
    }
  }
  EXPECT_THAT(Commits(), ElementsAre(1, 1, 1, 1));
}

TEST_F(SqlStreamTest, LetsTheDatabaseForbidWritesAlsoWithARequestId) {
  op_.request_id = "r1";
  RunAll();
  for (const ShardScript& shard : scripts_) {
    ASSERT_THAT(shard.leased, SizeIs(1));
    EXPECT_TRUE(shard.leased[0].read_only);
    EXPECT_THAT(shard.two_phase.state().replies, IsEmpty());
  }
}

TEST_F(SqlStreamTest, RunsInATransactionAndLeavesItOpen) {
  const std::string id = *engine_->Begin(BeginOptions());
  op_.allow_writes = true;
  op_.target = Target();
  op_.target.shards = {"s2"};
  const auto kinds = KindsByShard(RunAll(id));
  ASSERT_EQ(kinds.size(), 1u);
  EXPECT_THAT(kinds.at(ShardId{2}), ElementsAre(Kind::kHeader, Kind::kRows, Kind::kRows, Kind::kDone));
  EXPECT_EQ(RunNow(loop_, engine_->GetTransaction(id, ctx_))->state, TransactionState::kActive);
  EXPECT_THAT(Commits(), ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(Sessions(), 1);
  EXPECT_THAT(RunNow(loop_, engine_->Commit(id, false, ctx_)).status, IsOk());
  EXPECT_THAT(Commits(), ElementsAre(0, 0, 1, 0));
}

TEST_F(SqlStreamTest, EndsItsTransactionWhenItsStreamIsDropped) {
  const std::string id = *engine_->Begin(BeginOptions());
  op_.allow_writes = true;
  op_.target = Target();
  op_.target.shards = {"s2"};
  scripts_[2].hold = {CallKind::kNext};
  absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start(id);
  ASSERT_THAT(stream, IsOk());
  stream->reset();
  EXPECT_EQ(RunNow(loop_, engine_->GetTransaction(id, ctx_))->state, TransactionState::kRolledBack);
  EXPECT_EQ(scripts_[2].rollbacks, 1);
  EXPECT_EQ(Sessions(), 0);
}

TEST_F(SqlStreamTest, RefusesReadingSqlInATransactionThatMayWrite) {
  op_.target = Target();
  op_.target.shards = {"s2"};
  EXPECT_THAT(Start(*engine_->Begin(BeginOptions())), HasReason(reason::kInvalidField));
  BeginOptions read_only;
  read_only.read_only = true;
  const std::string id = *engine_->Begin(read_only);
  EXPECT_EQ(KindsByShard(RunAll(id)).size(), 1u);
  EXPECT_TRUE(scripts_[2].leased.back().read_only);
}

TEST_F(SqlStreamTest, FindsTheShardOfAKey) {
  op_.target = Target();
  op_.target.key = IdKey(6);
  op_.target.key_table = "users";
  absl::StatusOr<std::unique_ptr<SqlStream>> stream = Start();
  ASSERT_THAT(stream, IsOk());
  EXPECT_THAT((*stream)->shards(), ElementsAre(ShardId{2}));
}

TEST_F(SqlStreamTest, RefusesWhatIsSwitchedOffAndTargetsThatAreNone) {
  op_.target = Target();
  EXPECT_THAT(Start(), HasReason(reason::kInvalidField));
  op_.target.shards = {"s9"};
  EXPECT_THAT(Start(), HasReason(reason::kShardNotFound));
  limits_.raw_sql_allowed = false;
  Restart();
  EXPECT_THAT(Start(), HasReason(reason::kRawSqlDisabled));
}

}  // namespace
}  // namespace quarry
