#include "core/shard/metered_backend.h"

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "tests/unit/core/shard/shard_fixture.h"

namespace quarry {
namespace {

using ::testing::SizeIs;

class MeteredBackendTest : public ShardFixture {
 protected:
  MeteredBackend metered{std::move(driver), observer};
};

TEST_F(MeteredBackendTest, ReportsKindCodeAndTime) {
  fake->TakeTime(absl::Milliseconds(30));
  const Task read = AnyRead();
  Started<absl::StatusOr<TaskResult>> call(metered.Execute(read, ctx));
  loop.Advance(absl::Seconds(1));
  ASSERT_THAT(observer.calls, SizeIs(1));
  EXPECT_EQ(observer.calls[0].kind, CallKind::kRead);
  EXPECT_EQ(observer.calls[0].code, absl::StatusCode::kOk);
  EXPECT_EQ(observer.calls[0].took, absl::Milliseconds(30));
  fake->TakeTime(absl::ZeroDuration());
  fake->AnswerWith(absl::NotFoundError("x"));
  EXPECT_FALSE(Call(metered, AnyWrite()).ok());
  EXPECT_EQ(observer.calls[1].kind, CallKind::kWrite);
  EXPECT_EQ(observer.calls[1].code, absl::StatusCode::kNotFound);
}

TEST_F(MeteredBackendTest, ADroppedCallIsReportedAsCancelledOnce) {
  fake->TakeTime(absl::InfiniteDuration());
  const Task task = AnyRead();
  Started<absl::StatusOr<TaskResult>> call(metered.Execute(task, ctx));
  loop.Advance(absl::Seconds(2));
  call.Drop();
  ASSERT_THAT(observer.calls, SizeIs(1));
  EXPECT_EQ(observer.calls[0].code, absl::StatusCode::kCancelled);
  EXPECT_EQ(observer.calls[0].took, absl::Seconds(2));
}

TEST_F(MeteredBackendTest, CountsSessionsFromLeaseToDrop) {
  absl::StatusOr<std::unique_ptr<Session>> first = Lease(metered);
  absl::StatusOr<std::unique_ptr<Session>> second = Lease(metered);
  EXPECT_EQ(observer.sessions, 2);
  fake->AnswerLeaseWith(absl::UnavailableError("down"));
  EXPECT_FALSE(Lease(metered).ok());
  EXPECT_EQ(observer.sessions, 2);
  first->reset();
  second->reset();
  EXPECT_EQ(observer.sessions, 0);
}

TEST_F(MeteredBackendTest, ReportsWhatASessionDoes) {
  absl::StatusOr<std::unique_ptr<Session>> session = Lease(metered);
  ASSERT_THAT(session, IsOk());
  const Step step;
  const Statement statement;
  const std::string savepoint = "SAVEPOINT a";
  EXPECT_THAT(RunNow(loop, (*session)->Execute(step, ctx)), IsOk());
  EXPECT_THAT(RunNow(loop, (*session)->Open(statement, ctx)), IsOk());
  EXPECT_THAT(RunNow(loop, (*session)->Control(savepoint, ctx)), IsOk());
  EXPECT_THAT(RunNow(loop, (*session)->Commit(kPlainCommit, ctx)), IsOk());
  EXPECT_THAT(RunNow(loop, (*session)->Rollback(ctx)), IsOk());
  EXPECT_THAT(RunNow(loop, metered.Ping(ctx)), IsOk());
  std::set<std::string> kinds;
  for (const SeenCall& call : observer.calls) kinds.insert(CallKindName(call.kind));
  EXPECT_THAT(kinds, ::testing::UnorderedElementsAre("lease", "session_step", "stream", "control", "commit",
                                                     "rollback", "ping"));
}

}  // namespace
}  // namespace quarry
