// The contract of every backend, kept by the fake: what stands on top of it in unit tests meets what databases do.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/backend/fake_backend.h"
#include "core/base/error.h"
#include "tests/contract/backend/backend_contract.h"

namespace quarry {
namespace {

class FakeFixture final : public BackendFixture {
 public:
  // Nobody is answered at once, as by no database.
  FakeFixture() { backend_.TakeTime(absl::Milliseconds(1)); }
  EpollLoop& loop() override { return loop_; }
  Backend& backend() override { return backend_; }
  Statement Insert(int64_t) override {
    Statement statement;
    statement.writes = true;
    return statement;
  }
  int64_t Inserted() override { return backend_.applied(); }
  Statement Refused() override {
    backend_.AnswerNext(MakeError(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation, "no such parent"));
    return Insert(0);
  }
  Statement Endless() override {
    backend_.TakeTimeNext(absl::InfiniteDuration());
    return Statement();
  }
  Statement Numbers(int64_t count) override {
    auto header = std::make_shared<std::vector<ColumnHeader>>();
    header->push_back({"x", ColumnType()});
    StatementResult numbers;
    numbers.batch.header = std::move(header);
    for (int64_t x = 1; x <= count; ++x) numbers.batch.rows.push_back({Value::Int64(x)});
    TaskResult result;
    result.steps.emplace_back().statements.push_back(std::move(numbers));
    backend_.AnswerNext(std::move(result));
    return Statement();
  }

 private:
  EpollLoop loop_;
  FakeBackend backend_;
};

INSTANTIATE_TEST_SUITE_P(Fake, BackendContract,
                         testing::Values(BackendCase{"fake", [] { return std::make_unique<FakeFixture>(); }}), CaseName);

}  // namespace
}  // namespace quarry
