// The C++ that pages of docs/ show, compiled; nobody runs it. Each block stands between a comment with its page and "// end", and
// cpp_blocks_test.py holds the pages against it.
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/base/error.h"

// docs/client.md
#include "client/client.h"
namespace client = quarry::client;
// end

using Connected = absl::StatusOr<std::unique_ptr<client::Client>>;

std::string ReadAndWrite() {
  // docs/client.md
  client::ClientOptions options;
  options.address = "127.0.0.1:7400";
  auto quarry = client::Client::Connect(options);                              // StatusOr<unique_ptr<Client>>

  auto written = (*quarry)->Upsert("settings", {{"name", "theme"}, {"value", "dark"}});
  auto row = (*quarry)->Get("customers", {42});
  std::string name = row->record["name"].AsText().value_or("");
  // end
  return name;
}

absl::Status CountEverywhere(const Connected& quarry) {
  // docs/client.md
  auto rows = (*quarry)->RunSqlOnAll("SELECT count(*) AS n FROM orders");
  if (!rows.ok()) return rows.status();
  for (const absl::StatusOr<client::SqlRow>& row : *rows) {
    if (!row.ok()) return row.status();                      // The last thing that a failed stream yields.
    std::cout << row->shard << ": " << *row->values[0].AsInt64() << "\n";
  }
  // end
  return absl::OkStatus();
}

absl::Status FindCheapOrders(const Connected& quarry) {
  // docs/client.md
  auto cheap = (*quarry)->Query("orders", client::Filter("total < @most", {{"most", client::Value::Decimal("10")}}),
                                {.columns = {"order_id"}, .order_by = {{"total", true}}});
  if (!cheap.ok()) return cheap.status();
  for (const auto& row : *cheap) {
    if (!row.ok()) return row.status();
    std::cout << *(*row)[0].AsInt64() << "\n";
  }
  // end
  return absl::OkStatus();
}

absl::Status MoveMoney(const Connected& quarry) {
  // docs/client.md
  auto status = (*quarry)->RunTransaction([](client::Transaction& transaction) -> absl::Status {
    auto from = transaction.Get("accounts", {1}, {.lock = quarry::v1::ROW_LOCK_UPDATE});   // Nobody else changes it now.
    if (!from.ok()) return from.status();
    const int64_t balance = from->record["balance"].AsInt64().value_or(0);
    auto taken = transaction.Update("accounts", {1}, {{"balance", balance - 20}});
    if (!taken.ok()) return taken.status();
    return transaction.Insert("payments", {{"account", 2}, {"amount", 20}}).status();
  });
  // end
  return status;
}

absl::Status ReadOneCut(const Connected& quarry) {
  // docs/client.md
  quarry::v1::BeginRequest options;
  options.set_read_only(true);
  options.set_snapshot(true);
  auto cut = (*quarry)->Begin(options);
  // end
  return cut.status();
}

absl::Status RunNightly(const Connected& quarry) {
  // docs/client.md
  auto lock = (*quarry)->AcquireLock("nightly", {.owner = "worker 7", .ttl = absl::Seconds(10)});
  if (!lock.ok()) return lock.status();
  auto done = (*quarry)->Update("runs", {7}, {{"state", "done"}}, {}, {.fence = lock->fence()});
  if (!done.ok()) return done.status();                      // LOCK_LOST: by now somebody else may have it.
  return lock->Release();
  // end
}

size_t TellWhy(const absl::StatusOr<client::WriteResult>& written) {
  // docs/client.md
  if (quarry::ReasonOf(written.status()) == quarry::reason::kUniqueViolation) std::cerr << "there is one already\n";
  const quarry::ErrorDetail detail = quarry::DetailOf(written.status());   // facts, violations, retry_after
  // end
  return detail.violations.size();
}

absl::Status CloseBooks(quarry::client::Client* client) {
  // docs/locks.md
  auto lock = client->AcquireLock("books/42");
  if (!lock.ok()) return lock.status();
  return client->Update("books", {42}, {{"state", "closed"}}, {}, {.fence = lock->fence()}).status();
  // end
}
