// An engine over real databases, each behind injected faults: items(id, name, price, rank, shop) sharded by id, and
// countries(code, name) on every shard. Which databases they are the test's binary says (test_database.h).
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/backend/fault_backend.h"
#include "core/base/epoll_loop.h"
#include "core/engine/engine.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/engine/test_database.h"
#include "tests/unit/core/engine/test_snapshot.h"

namespace quarry {

// A row of items; null for an empty name, price or a negative rank.
struct Item {
  int64_t id = 0;
  std::string name;
  std::string price;
  double rank = -1;
  int64_t shop = 0;

  Row row() const {
    return {Value::Int64(id), name.empty() ? Value::Null() : Value::Text(name),
            price.empty() ? Value::Null() : Value::Decimal(price), rank < 0 ? Value::Null() : Value::Double(rank),
            Value::Int64(shop)};
  }
};

class QueryClusterTest : public ::testing::Test {
 protected:
  explicit QueryClusterTest(size_t shards = 3) {
    std::vector<Dialect> dialects;
    for (size_t i = 0; i < shards; ++i) {
      databases_.push_back(MakeTestDatabase(i));
      dialects.push_back(databases_.back()->dialect());
      const std::string numbers = dialects.back() == Dialect::kSqlite ? "price DECIMAL_TEXT, rank REAL" : "price numeric, rank float8";
      const absl::Status made = databases_.back()->RunScript(absl::StrCat(
          "CREATE TABLE items (id bigint PRIMARY KEY NOT NULL, name TEXT, ", numbers, ", shop bigint NOT NULL);"
          "CREATE TABLE countries (code TEXT PRIMARY KEY NOT NULL, name TEXT);"
          "INSERT INTO countries VALUES ('de', 'Germany'), ('fr', 'France'), ('pl', 'Poland');"));
      if (!made.ok()) std::abort();
    }
    const ShardSchema schema = *databases_[0]->Introspect({"items", "countries"});
    std::vector<std::pair<TableDeclaration, TableSchema>> tables;
    TableDeclaration items = Declare("items", TableKind::kSharded, {"id"});
    RelationDeclaration country;
    country.name = "country";
    country.table = "countries";
    country.columns = {"name"};
    country.references = {"code"};
    items.relations.push_back(std::move(country));
    items.cache_age_max = absl::Minutes(10);
    tables.emplace_back(std::move(items), schema.tables.at("items"));
    tables.emplace_back(Declare("countries", TableKind::kReference), schema.tables.at("countries"));
    snapshot_ = MakeSnapshot(shards, dialects, std::move(tables));
    Restart();
  }
  ~QueryClusterTest() override {
    engine_.reset();
    loop_.RunOnce(absl::ZeroDuration());
  }

  // Makes the engine anew, with what `limits_` says now; tokens stay good.
  void Restart() {
    engine_.reset();
    faults_.clear();
    Engine::Parts parts;
    for (const std::unique_ptr<TestDatabase>& database : databases_) {
      auto faulty = std::make_unique<FaultBackend>(database->MakeBackend(loop_), FaultOptions(), random_);
      faults_.push_back(faulty.get());
      parts.shards.push_back(std::move(faulty));
    }
    parts.snapshot = [this] { return snapshot_; };
    parts.limits = limits_;
    parts.sealer = sealer_;
    parts.cache_shared = shared_ = std::make_shared<ResultCacheShared>();
    engine_ = std::make_unique<Engine>(loop_, std::move(parts));
  }
  template <typename T>
  T Run(Async<T> work) {
    std::optional<T> result;
    const Running running(std::move(work), [&result](T value) { result.emplace(std::move(value)); });
    while (!result.has_value()) loop_.RunOnce(absl::Seconds(10));
    return *std::move(result);
  }

  void Insert(const Item& item) {
    const Row row = item.row();
    Record record;
    const char* const names[] = {"id", "name", "price", "rank", "shop"};
    for (size_t i = 0; i < row.size(); ++i) record[names[i]] = row[i];
    const WriteOperation op = WriteOf({MakeMutation(MutationKind::kInsert, "items", std::move(record))});
    ASSERT_THAT(Run(engine_->Write(op, "", ctx_)), IsOk());
    items_[item.id] = item;
  }
  void Delete(int64_t id) {
    const WriteOperation op = WriteOf({MakeMutation(MutationKind::kDelete, "items", {}, KeyOf({Value::Int64(id)}))});
    ASSERT_THAT(Run(engine_->Write(op, "", ctx_)), IsOk());
    items_.erase(id);
  }
  // Many rows at once, past the engine.
  void Fill(const std::vector<Item>& items) {
    std::vector<std::string> scripts(databases_.size());
    for (const Item& item : items) {
      const auto text = [](const std::string& value) { return value.empty() ? "NULL" : absl::StrCat("'", value, "'"); };
      absl::StrAppend(&scripts[static_cast<size_t>(item.id) % databases_.size()], "INSERT INTO items VALUES (", item.id, ", ",
                      text(item.name), ", ", text(item.price), ", ", item.rank < 0 ? "NULL" : absl::StrCat(item.rank), ", ",
                      item.shop, ");\n");
      items_[item.id] = item;
    }
    for (size_t i = 0; i < scripts.size(); ++i) ASSERT_THAT(databases_[i]->RunScript(scripts[i]), IsOk());
  }
  // Ties and nulls in every column, decimals of several scales.
  static std::vector<Item> Mixed(int64_t count) {
    std::vector<Item> items;
    const char* const prices[] = {"1.5", "", "1.50", "10", "9.99", "-3", "100.0"};
    const char* const names[] = {"pear", "", "Apple", "apple", "Ärger", "zoo"};
    for (int64_t id = 0; id < count; ++id) {
      Item item;
      item.id = id;
      item.name = names[(id * 7 + 3) % 6];
      item.price = prices[(id * 5 + 1) % 7];
      item.rank = id % 4 == 0 ? -1 : static_cast<double>(id * 11 % 5) / 2;
      item.shop = id % 3;
      items.push_back(item);
    }
    return items;
  }

  absl::StatusOr<std::vector<QueryBatch>> Query(const QueryOperation& op, const std::string& transaction = "") {
    absl::StatusOr<std::unique_ptr<QueryStream>> stream = Run(engine_->Query(op, transaction, ctx_));
    if (!stream.ok()) return stream.status();
    std::vector<QueryBatch> batches;
    while (true) {
      absl::StatusOr<std::optional<QueryBatch>> batch = Run((*stream)->Next());
      if (!batch.ok()) return batch.status();
      if (!batch->has_value()) break;
      batches.push_back(**std::move(batch));
    }
    summary_ = (*stream)->summary();
    return batches;
  }
  absl::StatusOr<std::vector<Row>> QueryRows(const QueryOperation& op, const std::string& transaction = "") {
    absl::StatusOr<std::vector<QueryBatch>> batches = Query(op, transaction);
    if (!batches.ok()) return batches.status();
    std::vector<Row> rows;
    for (QueryBatch& batch : *batches) std::move(batch.rows.begin(), batch.rows.end(), std::back_inserter(rows));
    return rows;
  }
  absl::StatusOr<ListResult> List(const ListOperation& op, const std::string& transaction = "") {
    return Run(engine_->List(op, transaction, ctx_));
  }
  absl::StatusOr<BulkWriteResult> WriteWhere(const BulkWriteOperation& op, const std::string& transaction = "") {
    return Run(engine_->WriteWhere(op, transaction, ctx_));
  }

  // What a question must answer, by the model: all columns.
  std::vector<Row> Expected(const std::vector<SortTerm>& order) const {
    std::vector<Row> rows;
    for (const auto& [id, item] : items_) rows.push_back(item.row());
    std::stable_sort(rows.begin(), rows.end(),
                     [&order](const Row& a, const Row& b) { return CompareRows(a, b, order) < 0; });
    return rows;
  }

  EpollLoop loop_;
  SeededRandom random_{7};
  std::vector<std::unique_ptr<TestDatabase>> databases_;
  std::shared_ptr<const Snapshot> snapshot_;
  EngineLimits limits_;
  std::shared_ptr<const Sealer> sealer_ = std::make_shared<const Sealer>("a secret for tests");
  std::shared_ptr<ResultCacheShared> shared_;  // Of the engine that was made last.
  std::vector<FaultBackend*> faults_;  // By shard.
  std::unique_ptr<Engine> engine_;
  CallContext ctx_{loop_};
  std::map<int64_t, Item> items_;
  QuerySummary summary_;
};

inline OrderTerm By(std::string column, bool descending = false, NullPlacement nulls = NullPlacement::kDefault) {
  OrderTerm term;
  term.column = std::move(column);
  term.descending = descending;
  term.nulls = nulls;
  return term;
}

inline SortTerm At(size_t position, bool descending = false, bool nulls_first = false) {
  SortTerm term;
  term.position = position;
  term.descending = descending;
  term.nulls_first = nulls_first;
  return term;
}

inline QueryOperation ItemsBy(std::vector<OrderTerm> order) {
  QueryOperation op;
  op.table = "items";
  op.order_by = std::move(order);
  op.request_hash = 11;
  return op;
}

inline Condition Compare(std::string column, CompareOp op, Value value) {
  Condition condition;
  condition.kind = Condition::Kind::kCompare;
  condition.column = std::move(column);
  condition.op = op;
  condition.values = {std::move(value)};
  condition.place = "filter";
  return condition;
}

inline std::vector<int64_t> IdsOf(const std::vector<Row>& rows) {
  std::vector<int64_t> ids;
  for (const Row& row : rows) ids.push_back(row[0].int64_value());
  return ids;
}

}  // namespace quarry
