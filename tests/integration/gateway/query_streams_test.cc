// A Query read by the client library while the way to the gateway breaks again and again.
#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/postgres/tcp_gate.h"

namespace quarry::gateway_test {
namespace {

using client::Filter;
using client::Mutation;

class QueryStreamsTest : public GatewayTest {
 protected:
  QueryStreamsTest() : gate_(gateway_.gateway().grpc_port()) {
    const char* given = std::getenv("QUARRY_TEST_SEED");
    const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
    std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
    random_.seed(seed);
  }
  // Customers over all shards with names of so many bytes; what tells them from all others is `visits`.
  Filter AddLarge(int count, size_t bytes) {
    const int64_t mark = gateway_.NewId();
    for (int i = 0; i < count; ++i) {
      std::string name = absl::StrCat(1'000 + i, "-");
      name.resize(bytes, 'x');
      const int64_t id = gateway_.NewCustomerOn(i % shards());
      EXPECT_THAT(client().Insert("customers", {{"id", id}, {"name", name}, {"visits", mark}}), IsOk());
    }
    return Filter("visits = @mark", {{"mark", mark}});
  }
  // The numbers at the beginning of the names.
  static std::vector<int> Numbers(client::QueryRows& rows, absl::Status& status) {
    std::vector<int> numbers;
    for (const absl::StatusOr<client::QueryRows::Row>& row : rows) {
      status = row.status();
      if (row.ok()) numbers.push_back(std::atoi(row->at(0).AsText().value_or("").c_str()) - 1'000);
    }
    return numbers;
  }
  static client::QueryOptions ByName() {
    client::QueryOptions options;
    options.columns = {"name"};
    options.order_by = {{"name"}};
    return options;
  }
  static std::vector<int> UpTo(int count) {
    std::vector<int> all;
    for (int i = 0; i < count; ++i) all.push_back(i);
    return all;
  }

  TcpGate gate_;
  std::mt19937_64 random_;
};
INSTANTIATE_TEST_SUITE_P(Backends, QueryStreamsTest,
                         testing::ValuesIn(SetupsOr({{Kind::kSqlite, 4}, {Kind::kPostgres, 4}})), SetupName);

TEST_P(QueryStreamsTest, AReaderWhoseConnectionIsCutGetsEveryRowOnce) {
  constexpr int kRows = 60;
  const Filter filter = AddLarge(kRows, 100'000);
  const std::unique_ptr<client::Client> reader = ClientAt(gate_.port(), 1, 30);
  ASSERT_NE(reader, nullptr);
  for (int round = 0; round < 5; ++round) {
    SCOPED_TRACE(round);
    ASSERT_OK_AND_ASSIGN(client::QueryRows rows, reader->Query("customers", filter, ByName()));
    const int64_t connections = gate_.accepted();
    // Six megabytes are to come; the first cut is somewhere among them.
    gate_.CutAfterBytesToClient(static_cast<int64_t>(random_() % 5'000'000));
    std::vector<int> numbers;
    int cuts = 0;
    for (const absl::StatusOr<client::QueryRows::Row>& row : rows) {
      ASSERT_THAT(row, IsOk());
      numbers.push_back(std::atoi(row->at(0).AsText().value_or("").c_str()) - 1'000);
      const int seen = static_cast<int>(gate_.accepted() - connections);
      if (seen == cuts || seen >= 3) continue;
      cuts = seen;
      gate_.CutAfterBytesToClient(static_cast<int64_t>(random_() % 2'500'000));
    }
    EXPECT_EQ(numbers, UpTo(kRows));
    EXPECT_EQ(rows.summary().rows(), kRows);
    EXPECT_GT(gate_.accepted(), connections) << "no cut came before the end";
    gate_.Open();
  }
}

TEST_P(QueryStreamsTest, AReaderWithoutRetriesGoesOnByItselfWithTheToken) {
  constexpr int kRows = 40;
  const Filter filter = AddLarge(kRows, 100'000);
  client::QueryOptions options = ByName();
  std::vector<int> numbers;
  absl::Status status;
  // A reset takes with it what has arrived and was not read yet, which may be all.
  for (int attempt = 0; attempt < 50 && numbers.empty(); ++attempt) {
    const std::unique_ptr<client::Client> reader = ClientAt(gate_.port(), 1, 1);
    ASSERT_NE(reader, nullptr);
    ASSERT_OK_AND_ASSIGN(client::QueryRows rows, reader->Query("customers", filter, options));
    gate_.CutAfterBytesToClient(2'500'000);
    numbers = Numbers(rows, status);
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable));
    options.resume_token = rows.resume_token();
    gate_.Open();
  }
  ASSERT_FALSE(numbers.empty());
  ASSERT_LT(numbers.size(), static_cast<size_t>(kRows));
  ASSERT_FALSE(options.resume_token.empty());
  const std::unique_ptr<client::Client> again = ClientAt(gate_.port(), 1, 1);
  ASSERT_NE(again, nullptr);
  ASSERT_OK_AND_ASSIGN(client::QueryRows rest, again->Query("customers", filter, options));
  const std::vector<int> more = Numbers(rest, status);
  EXPECT_THAT(status, IsOk());
  numbers.insert(numbers.end(), more.begin(), more.end());
  EXPECT_EQ(numbers, UpTo(kRows));
}

// Sort values that no token holds: such a stream can be read, and cannot be resumed.
TEST_P(QueryStreamsTest, RowsWithoutATokenArriveAsWell) {
  constexpr int kRows = 5;
  const Filter filter = AddLarge(kRows, 400'000);
  const std::unique_ptr<client::Client> reader = ClientAt(gate_.port(), 1, 3);
  ASSERT_NE(reader, nullptr);
  ASSERT_OK_AND_ASSIGN(client::QueryRows rows, reader->Query("customers", filter, ByName()));
  absl::Status status;
  EXPECT_EQ(Numbers(rows, status), UpTo(kRows));
  EXPECT_THAT(status, IsOk());
  EXPECT_EQ(rows.summary().rows(), kRows);
  EXPECT_EQ(rows.resume_token(), "");
}

TEST_P(QueryStreamsTest, ARowThatFitsInNoMessageEndsTheStreamWithItsSize) {
  const int64_t id = AddCustomer(1);
  const std::string name = postgres() ? "repeat('x', 5000000)" : "hex(zeroblob(2500000))";
  ASSERT_THAT(ReadAll(raw().OnShard(SqlOn(1, absl::StrCat("UPDATE customers SET name = ", name, " WHERE id = ", id), {}, true),
                                    Soon()))
                  .status,
              IsOk());
  ASSERT_OK_AND_ASSIGN(client::QueryRows rows, client().Query("customers", Filter("id = @id", {{"id", id}})));
  absl::Status status;
  for (const absl::StatusOr<client::QueryRows::Row>& row : rows) status = row.status();
  EXPECT_THAT(status, Fails(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded));
  EXPECT_GT(std::stoll("0" + Fact(status, "bytes")), 5'000'000);
  client::QueryOptions fewer;
  fewer.columns = {"id", "visits"};
  ASSERT_OK_AND_ASSIGN(client::QueryRows rest, client().Query("customers", Filter("id = @id", {{"id", id}}), fewer));
  for (const absl::StatusOr<client::QueryRows::Row>& row : rest) EXPECT_THAT(row, IsOk());
  EXPECT_EQ(rest.summary().rows(), 1) << "as the message advises";
  ASSERT_THAT(client().Delete("customers", {id}), IsOk());
}

}  // namespace
}  // namespace quarry::gateway_test
