// The fixture of the gateway's integration tests: each runs with both kinds of database and with 2, 4 and 8
// shards, or on the one cluster that SetupsOr is told.
#pragma once

#include <string>

#include "core/base/error.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/gateway/harness.h"
#include "tests/support/status_matchers.h"

namespace quarry::gateway_test {

class GatewayTest : public testing::TestWithParam<Setup> {
 protected:
  GatewayTest() : gateway_(TestGateway::Shared(GetParam())) {}
  // Whatever a test did, no session stays behind.
  void TearDown() override { EXPECT_TRUE(gateway_.SettlesToNoSessions()); }

  client::Client& client() { return gateway_.client(); }
  client::Connection& raw() { return gateway_.raw(); }
  bool postgres() const { return gateway_.postgres(); }
  int shards() const { return gateway_.setup().shards; }
  std::string Mark(int number) const { return (postgres() ? "$" : "?") + std::to_string(number); }
  // A customer with the name "customer <id>", on the shard if one is given.
  int64_t AddCustomer(int shard = -1) {
    const int64_t id = shard < 0 ? gateway_.NewId() : gateway_.NewCustomerOn(shard);
    EXPECT_THAT(client().Insert("customers", {{"id", id}, {"name", "customer " + std::to_string(id)}}), IsOk());
    return id;
  }
  // How many shards hold a row of the table under this key: it is never more than one.
  int CopiesOf(int64_t customer) {
    int copies = 0;
    for (int shard = 0; shard < shards(); ++shard) {
      copies += static_cast<int>(NumberOn(
          gateway_, shard, "SELECT count(*) FROM customers WHERE id = " + std::to_string(customer)));
    }
    return copies;
  }

  TestGateway& gateway_;
};

inline std::string SetupName(const testing::TestParamInfo<Setup>& info) { return NameOf(info.param); }

// For each file of tests: a fixture of its own name.
#define QUARRY_GATEWAY_SUITE(suite)                                                                           \
  class suite : public GatewayTest {};                                                                        \
  INSTANTIATE_TEST_SUITE_P(                                                                                   \
      Backends, suite,                                                                                        \
      testing::ValuesIn(SetupsOr({{Kind::kSqlite, 2}, {Kind::kSqlite, 4}, {Kind::kSqlite, 8},                 \
                                  {Kind::kPostgres, 2}, {Kind::kPostgres, 4}, {Kind::kPostgres, 8}})),        \
      SetupName)

// True when the error lists the field among its violations.
inline bool Names(const absl::Status& status, const std::string& field) {
  for (const FieldViolation& violation : DetailOf(status).violations) {
    if (violation.field == field) return true;
  }
  return false;
}
inline std::string Fact(const absl::Status& status, const std::string& name) {
  const ErrorDetail detail = DetailOf(status);
  const auto found = detail.facts.find(name);
  return found == detail.facts.end() ? "" : found->second;
}

MATCHER_P2(Fails, code, reason, std::string("fails with ") + absl::StatusCodeToString(code) + " " + reason) {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString() << " reason " << ReasonOf(status);
  for (const FieldViolation& violation : DetailOf(status).violations) {
    *result_listener << "; " << violation.field << ": " << violation.description;
  }
  return status.code() == code && ReasonOf(status) == reason;
}
MATCHER_P(InvalidAt, field, std::string("is INVALID_ARGUMENT at ") + field) {
  const absl::Status& status = StatusOf(arg);
  *result_listener << status.ToString();
  for (const FieldViolation& violation : DetailOf(status).violations) {
    *result_listener << "; " << violation.field << ": " << violation.description;
  }
  return absl::IsInvalidArgument(status) && ReasonOf(status) == reason::kInvalidField && Names(status, field);
}

}  // namespace quarry::gateway_test
