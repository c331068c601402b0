#include "core/engine/query_stream.h"

#include <string>
#include <vector>

#include "tests/unit/core/engine/cluster.h"

namespace quarry {
namespace {

using ::testing::HasSubstr;

// Questions over scripted shards: what is read when, and what is let go.
class QueryStreamTest : public ClusterTest {
 protected:
  // Batches of one user each: ids shard, shard + 3, …, with names of `bytes`.
  void FillStreams(int64_t batches, size_t bytes) {
    for (size_t shard = 0; shard < scripts_.size(); ++shard) {
      for (int64_t i = 0; i < batches; ++i) {
        RowBatch batch;
        const int64_t id = static_cast<int64_t>(shard) + i * static_cast<int64_t>(scripts_.size());
        batch.rows.push_back({Value::Int64(id), Value::Text(std::string(bytes, 'x')), Value::Null(), Value::Int64(1)});
        scripts_[shard].stream.push_back(std::move(batch));
      }
    }
  }
  std::unique_ptr<QueryStream> Open() {
    op_.table = "users";
    absl::StatusOr<std::unique_ptr<QueryStream>> stream = RunNow(loop_, engine_->Query(op_, "", ctx_));
    EXPECT_THAT(stream, IsOk());
    return *std::move(stream);
  }
  int Streams() const {
    int open = 0;
    for (const ShardScript& shard : scripts_) open += shard.streams;
    return open;
  }

  QueryOperation op_;
};

TEST_F(QueryStreamTest, ReadsNoMoreThanABatchAheadOfItsReader) {
  FillStreams(40, 300'000);
  const std::unique_ptr<QueryStream> stream = Open();
  int64_t rows = 0;
  for (int i = 0; i < 5; ++i) {
    absl::StatusOr<std::optional<QueryBatch>> batch = RunNow(loop_, stream->Next());
    ASSERT_THAT(batch, IsOk());
    ASSERT_TRUE(batch->has_value());
    EXPECT_EQ((*batch)->rows.size(), 3u);
    for (const Row& row : (*batch)->rows) EXPECT_EQ(row[0].int64_value(), rows++);
    loop_.Settle();
    // One merged row is held over; each shard has one batch at the merge and one that waits.
    for (const ShardScript& shard : scripts_) EXPECT_LE(shard.batches_read, i + 1 + 3);
  }
}

TEST_F(QueryStreamTest, LetsGoOfEverythingWhenDropped) {
  FillStreams(40, 300'000);
  std::unique_ptr<QueryStream> stream = Open();
  ASSERT_THAT(RunNow(loop_, stream->Next()), IsOk());
  EXPECT_EQ(Streams(), 3);
  stream.reset();
  EXPECT_EQ(Streams(), 0);
  EXPECT_EQ(Sessions(), 0);
}

TEST_F(QueryStreamTest, StopsTheShardsAtItsLimit) {
  FillStreams(40, 10);
  op_.limit = 4;
  const std::unique_ptr<QueryStream> stream = Open();
  absl::StatusOr<std::optional<QueryBatch>> batch = RunNow(loop_, stream->Next());
  ASSERT_THAT(batch, IsOk());
  EXPECT_EQ((*batch)->rows.size(), 4u);
  EXPECT_EQ(Streams(), 0);
  EXPECT_EQ(Sessions(), 0);
  for (const ShardScript& shard : scripts_) {
    EXPECT_LE(shard.batches_read, 4);
    EXPECT_THAT(shard.log.at(1), HasSubstr("LIMIT"));
  }
  batch = RunNow(loop_, stream->Next());
  ASSERT_THAT(batch, IsOk());
  EXPECT_FALSE(batch->has_value());
}

TEST_F(QueryStreamTest, DropsTheOthersWhenOneShardFails) {
  FillStreams(40, 300'000);
  scripts_[1].stream.resize(1);
  scripts_[1].stream_end = UniqueViolation();
  const std::unique_ptr<QueryStream> stream = Open();
  ASSERT_THAT(RunNow(loop_, stream->Next()), StatusIs(absl::StatusCode::kAlreadyExists));
  loop_.Settle();
  EXPECT_EQ(Streams(), 0);
  EXPECT_THAT(RunNow(loop_, stream->Next()), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_F(QueryStreamTest, OpensNoMoreShardsAtATimeThanItsWidth) {
  limits_.scatter_width = 2;
  Restart();
  for (ShardScript& shard : scripts_) shard.hold = {CallKind::kOpen};
  const std::unique_ptr<QueryStream> stream = Open();
  Started<absl::StatusOr<std::optional<QueryBatch>>> next(stream->Next());
  loop_.Settle();
  EXPECT_EQ(Sessions(), 2);
  for (ShardScript& shard : scripts_) shard.Release();
  loop_.Settle();
  ASSERT_TRUE(next.answered());
  EXPECT_FALSE((*next.result()).has_value());
}

}  // namespace
}  // namespace quarry
