// The part of the two-phase contract that the fake keeps: it knows no rows.
#include <memory>
#include <string>

#include "core/backend/fake_backend.h"
#include "tests/contract/backend/two_phase_contract.h"

namespace quarry {
namespace {

class FakeFixture final : public TwoPhaseFixture {
 public:
  EpollLoop& loop() override { return loop_; }
  Backend& backend() override { return backend_; }
  absl::Status Schema(const std::string&) override { return absl::OkStatus(); }
  absl::Status Restart() override { return absl::OkStatus(); }

 private:
  EpollLoop loop_;
  FakeBackend backend_;
};

INSTANTIATE_TEST_SUITE_P(Fake, TwoPhaseContract,
                         testing::Values(TwoPhaseCase{"fake", [] { return std::make_unique<FakeFixture>(); }}),
                         TwoPhaseCaseName);

}  // namespace
}  // namespace quarry
