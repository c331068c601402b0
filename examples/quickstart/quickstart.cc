// Quarry from C++, with the client library (target quarry::client).
#include <cstdlib>
#include <iostream>

#include "absl/time/clock.h"
#include "client/client.h"

namespace client = quarry::client;

int main() {
  client::ClientOptions options;
  if (const char* address = std::getenv("QUARRY_ADDRESS")) options.address = address;
  auto quarry = client::Client::Connect(options);
  if (!quarry.ok()) {
    std::cerr << quarry.status() << "\n";
    return 1;
  }

  // Safe to retry: the client gives each write a request id of its own.
  const client::Record customer{{"customer_id", 900003},
                                {"name", "Barbara"},
                                {"email", "barbara@example.com"},
                                {"country", "US"},
                                {"created", client::Value::Timestamp(absl::Now())}};
  const auto written = (*quarry)->Upsert("customers", customer);
  if (!written.ok()) {
    std::cerr << written.status() << "\n";
    return 1;
  }
  std::cout << "written to shard " << written->served_by.shards_answered(0) << "\n";

  // Runs again by itself when another writer gets in the way.
  const absl::Status status = (*quarry)->RunTransaction([](client::Transaction& transaction) {
    auto row = transaction.Get("customers", {900003});
    if (!row.ok()) return row.status();
    const std::string name = row->record["name"].AsText().value_or("") + " L.";
    return transaction.Update("customers", {900003}, {{"name", name}}).status();
  });
  if (!status.ok()) {
    std::cerr << status << "\n";
    return 1;
  }

  const auto row = (*quarry)->Get("customers", {900003});
  if (!row.ok()) {
    std::cerr << row.status() << "\n";
    return 1;
  }
  std::cout << "name: " << row->record["name"].AsText().value_or("") << " etag: " << row->etag
            << "\n";
  return 0;
}
