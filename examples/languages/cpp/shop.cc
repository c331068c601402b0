// Ten steps through the sample shop.
#include <cstdlib>
#include <iostream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "client/client.h"
#include "core/base/error.h"
#include "core/base/ids.h"
#include "core/base/random.h"

namespace client = quarry::client;
using client::Value;
namespace {

const int64_t kCustomer = absl::ToUnixNanos(absl::Now());  // A new one in every run.

client::Record Order(int number, const char* total) {
  return {{"customer_id", kCustomer}, {"order_id", number}, {"total", Value::Decimal(total)},
          {"placed", Value::Timestamp(absl::Now())}};
}

// The result, or the end of the program where there is none.
template <typename T>
T Must(absl::StatusOr<T> result) {
  if (result.ok()) return *std::move(result);
  std::cerr << result.status() << "\n";
  std::exit(1);
}

// Pays order 1 if it still is as it was read, and cancels order 2: both or neither.
absl::Status Pay(client::Client& quarry, client::Transaction& transaction, int run) {
  const std::string etag = Must(quarry.Get("orders", {kCustomer, 1})).etag;
  if (run == 1) {  // Another writer, just in time to be in the way.
    Must(quarry.Update("orders", {kCustomer, 1}, {{"total", Value::Decimal("24.90")}}));
  }
  const client::Record paid{{"status", "paid"}}, cancelled{{"status", "cancelled"}};
  const auto first = transaction.Update("orders", {kCustomer, 1}, paid, {.etag = etag});
  if (!first.ok()) return first.status();
  return transaction.Update("orders", {kCustomer, 2}, cancelled).status();
}

}  // namespace

int main() {
  std::cout << std::boolalpha;
  const char* address = std::getenv("QUARRY_ADDRESS");
  const std::unique_ptr<client::Client> quarry = Must(
      client::Client::Connect({.address = address == nullptr ? "localhost:7400" : address}));
  const std::vector<quarry::v1::Shard> shards = Must(quarry->ListShards());
  int up = 0;
  for (const auto& shard : shards) up += shard.state() == quarry::v1::SERVER_STATE_UP ? 1 : 0;
  std::cout << "1 connect: " << up << " of " << shards.size() << " shards are up\n";

  const Value now = Value::Timestamp(absl::Now());
  const client::Record ada{{"customer_id", kCustomer}, {"name", "Ada"}, {"country", "GB"},
                           {"email", "ada@example.com"}, {"created", now}};
  const auto first = Must(quarry->Insert("customers", ada)).served_by.shards_answered(0);
  const auto other = Must(quarry->Insert("orders", Order(1, "19.90"))).served_by.shards_answered(0);
  std::cout << "2 insert: a customer and an order, on one shard: " << (first == other) << "\n";

  const client::Record row = Must(quarry->Get("orders", {kCustomer, 1})).record;
  std::cout << "3 get: order 1 is " << row["status"].AsText().value_or("") << ", total "
            << row["total"].AsText().value_or("") << "\n";

  std::vector<client::Mutation> inserts;
  for (const int number : {1, 2, 3, 4, 5, 6}) {
    inserts.push_back(client::Mutation::Insert("orders", Order(number, "10.00")));
  }
  std::vector<std::string> refused;
  for (const auto& result : Must(quarry->BatchWrite(inserts))) {
    if (!result.ok()) refused.push_back(quarry::ReasonOf(result.status()));
  }
  std::cout << "4 batch: " << inserts.size() - refused.size() << " orders written, "
            << refused.size() << " refused: " << absl::StrJoin(refused, ", ") << "\n";

  const client::Filter cheap("customer_id = @customer AND total < @limit",
                             {{"customer", kCustomer}, {"limit", Value::Decimal("15.00")}});
  client::ListOptions page{.page_size = 2};
  std::vector<int> sizes;
  do {
    const quarry::v1::ListResponse rows = Must(quarry->List("orders", cheap, page));
    sizes.push_back(rows.rows_size());
    page.page_token = rows.next_page_token();
  } while (!page.page_token.empty());
  std::cout << "5 pages: " << absl::StrJoin(sizes, " + ") << " orders below 15.00\n";

  const auto sums = Must(quarry->Aggregate(
      "orders", {"customer_id = @customer", {{"customer", kCustomer}}},
      {{.function = quarry::v1::AGGREGATE_FUNCTION_COUNT},
       {.function = quarry::v1::AGGREGATE_FUNCTION_SUM, .column = "total"}}));
  std::cout << "6 aggregate: " << sums.rows(0).values(0).int64_value() << " orders, "
            << sums.rows(0).values(1).decimal_value() << " in total\n";

  int run = 0;
  const auto pay = [&](client::Transaction& open) { return Pay(*quarry, open, ++run); };
  const absl::Status status = quarry->RunTransaction(pay);
  std::cout << "7 transaction: " << (status.ok() ? "committed" : status.ToString()) << " in run "
            << run << ", after ABORTED\n";

  quarry::SystemRandom random;
  const client::CallOptions call{.request_id = quarry::IdGenerator(0, random).UuidV7(absl::Now())};
  const client::Record order = Order(7, "5.00");
  Must(quarry->Insert("orders", order, {}, call));
  const bool replayed = Must(quarry->Insert("orders", order, {}, call)).replayed;  // Sent again.
  std::cout << "8 exactly once: sent twice, the second answer is a replay: " << replayed << "\n";

  quarry::ErrorDetail error = quarry::DetailOf(quarry->Insert("orders", order).status());
  std::cout << "9 error: " << error.reason << " of " << error.facts["constraint"] << "\n";

  std::vector<std::string> items;  // The stream goes on by itself where it broke.
  for (const auto& item : Must(quarry->Query("order_items", "customer_id <= 200"))) {
    items.emplace_back();
    for (const Value& value : Must(item)) items.back() += value.proto().SerializeAsString() + ",";
  }
  std::cout << "10 stream: " << items.size() << " items, "
            << std::set<std::string>(items.begin(), items.end()).size() << " different\n";
}
