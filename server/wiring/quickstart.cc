#include "server/wiring/quickstart.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "core/base/async.h"
#include "core/base/random.h"
#include "core/base/status_macros.h"
#include "core/model/operation.h"

namespace quarry {
namespace {

constexpr int kCustomers = 200;
constexpr int kProducts = 24;
constexpr size_t kBatch = 500;
constexpr char kUnfinished[] = "quickstart.unfinished";  // In the data directory while the shop is being made.

constexpr std::array<const char*, 12> kFirstNames = {"Ada",  "Blaise", "Chen",  "Dorothy", "Emmy",  "Fatima",
                                                     "Grace", "Hedy",  "Ibrahim", "Joan",  "Katherine", "Linus"};
constexpr std::array<const char*, 8> kCountries = {"DE", "US", "IN", "BR", "JP", "KE", "SE", "FR"};
constexpr std::array<const char*, 12> kGoods = {"granite", "slate", "marble", "basalt", "limestone", "sandstone",
                                                "gravel",  "chalk", "quartz", "onyx",   "travertine", "gneiss"};

// 2026-01-01T00:00:00Z and so many hours.
Value HoursAfterNewYear(int64_t hours) { return Value::Timestamp(1'767'225'600'000'000 + hours * 3'600'000'000); }

Value Cents(int64_t cents) { return Value::Decimal(absl::StrFormat("%d.%02d", cents / 100, cents % 100)); }

Mutation InsertInto(std::string table, Record record) {
  Mutation mutation;
  mutation.table = std::move(table);
  mutation.record = std::move(record);
  return mutation;
}

int64_t PriceOf(int64_t product) { return 499 + product * 137 % 5000; }

void AddOrders(int64_t customer, Random& random, std::vector<Mutation>& rows) {
  const uint64_t orders = random.Next() % 4;
  for (uint64_t order = 0; order < orders; ++order) {
    const int64_t order_id = customer * 100 + static_cast<int64_t>(order);
    std::vector<Mutation> items;
    int64_t total = 0;
    const uint64_t lines = 1 + random.Next() % 3;
    for (uint64_t line = 1; line <= lines; ++line) {
      const int64_t product = 1 + static_cast<int64_t>(random.Next() % kProducts);
      const int64_t quantity = 1 + static_cast<int64_t>(random.Next() % 5);
      total += quantity * PriceOf(product);
      items.push_back(InsertInto("order_items", {{"customer_id", Value::Int64(customer)},
                                                 {"order_id", Value::Int64(order_id)},
                                                 {"line", Value::Int64(static_cast<int64_t>(line))},
                                                 {"product_id", Value::Int64(product)},
                                                 {"quantity", Value::Int64(quantity)},
                                                 {"price", Cents(PriceOf(product))}}));
    }
    rows.push_back(InsertInto("orders", {{"customer_id", Value::Int64(customer)},
                                         {"order_id", Value::Int64(order_id)},
                                         {"status", Value::Text(order % 2 == 0 ? "paid" : "open")},
                                         {"total", Cents(total)},
                                         {"placed", HoursAfterNewYear(customer + static_cast<int64_t>(order) * 24)}}));
    rows.insert(rows.end(), std::make_move_iterator(items.begin()), std::make_move_iterator(items.end()));
  }
}

std::vector<Mutation> Products() {
  std::vector<Mutation> rows;
  for (int64_t product = 1; product <= kProducts; ++product) {
    const std::string name =
        absl::StrCat(product > static_cast<int64_t>(kGoods.size()) ? "polished " : "", kGoods[product % kGoods.size()]);
    rows.push_back(InsertInto("products", {{"product_id", Value::Int64(product)},
                                           {"name", Value::Text(name)},
                                           {"price", Cents(PriceOf(product))}}));
  }
  return rows;
}

std::vector<Mutation> CustomersWithOrders() {
  SeededRandom random(2026);
  std::vector<Mutation> rows;
  for (int64_t customer = 1; customer <= kCustomers; ++customer) {
    const std::string name = kFirstNames[customer % kFirstNames.size()];
    rows.push_back(InsertInto("customers", {{"customer_id", Value::Int64(customer)},
                                            {"name", Value::Text(absl::StrCat(name, " ", customer))},
                                            {"email", Value::Text(absl::StrCat("customer", customer, "@example.com"))},
                                            {"country", Value::Text(kCountries[customer % kCountries.size()])},
                                            {"created", HoursAfterNewYear(customer)}}));
    AddOrders(customer, random, rows);
  }
  rows.push_back(InsertInto("settings", {{"name", Value::Text("currency")}, {"value", Value::Text("EUR")}}));
  return rows;
}

Async<absl::Status> WriteAll(Loop& loop, Engine& engine, std::vector<Mutation> rows) {
  CallContext ctx(loop);
  ctx.deadline = loop.Now() + absl::Seconds(30);
  for (size_t begin = 0; begin < rows.size(); begin += kBatch) {
    WriteOperation op;
    op.atomicity = Atomicity::kEach;
    const size_t end = std::min(begin + kBatch, rows.size());
    op.mutations.assign(rows.begin() + static_cast<long>(begin), rows.begin() + static_cast<long>(end));
    const std::string no_transaction;
    absl::StatusOr<WriteResult> result = co_await engine.Write(op, no_transaction, ctx);
    if (!result.ok()) co_return result.status();
    for (const MutationResult& mutation : result->mutations) {
      if (!mutation.status.ok() && !absl::IsAlreadyExists(mutation.status)) co_return mutation.status;
    }
  }
  co_return absl::OkStatus();
}

absl::Status WriteAndWait(Gateway& gateway, std::vector<Mutation> rows) {
  absl::Status outcome;
  absl::Notification done;
  Running writing;
  gateway.RunOnLoop([&](Loop& loop, Engine& engine) {
    writing = Running(WriteAll(loop, engine, std::move(rows)), [&](absl::Status status) {
      outcome = std::move(status);
      done.Notify();
    });
  });
  done.WaitForNotification();
  gateway.RunOnLoop([&writing](Loop&, Engine&) { writing = Running(); });
  return outcome;
}

}  // namespace

bool BeginQuickstart(const std::string& data_dir) {
  const std::filesystem::path unfinished = std::filesystem::path(data_dir) / kUnfinished;
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::path(data_dir) / "s0.db", error)) {
    return std::filesystem::exists(unfinished, error);
  }
  // A directory that cannot be made or written is reported by who needs it first.
  std::filesystem::create_directories(data_dir, error);
  std::ofstream(unfinished) << "the sample shop is being made\n";
  return true;
}

absl::StatusOr<Config> QuickstartConfig(const std::string& data_dir, ConfigOptions options) {
  options.overrides.insert(options.overrides.begin(), absl::StrCat("data_dir=", data_dir));
  return ParseConfig(kQuickstartConfig, "quickstart", options);
}

absl::Status SeedShop(Gateway& gateway) {
  // Orders refer to products on their own shard: those come first.
  QUARRY_RETURN_IF_ERROR(WriteAndWait(gateway, Products()));
  QUARRY_RETURN_IF_ERROR(WriteAndWait(gateway, CustomersWithOrders()));
  std::error_code error;
  std::filesystem::remove(std::filesystem::path(gateway.config().data_dir) / kUnfinished, error);
  return absl::OkStatus();
}

}  // namespace quarry
