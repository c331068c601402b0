// Thousands of random calls against a map in memory that does what the API promises: reply for reply the same.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Mutation;
using client::MutationOptions;
using client::Record;
using client::Value;

// What a row of `customers` holds, as far as the test writes it.
struct Row {
  std::string name;
  std::optional<std::string> email;
  int64_t visits = 0;
  bool operator==(const Row&) const = default;
};

// How a change should end.
enum class Outcome { kApplied, kNotFound, kTaken, kViolated };

absl::StatusCode CodeOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kApplied:
      return absl::StatusCode::kOk;
    case Outcome::kNotFound:
      return absl::StatusCode::kNotFound;
    case Outcome::kTaken:
      return absl::StatusCode::kAlreadyExists;
    case Outcome::kViolated:
      return absl::StatusCode::kFailedPrecondition;
  }
  return absl::StatusCode::kUnknown;
}

// One random change: the mutation that asks for it, and what it does to the model.
struct Change {
  Mutation mutation = Mutation::Delete("", {});
  Outcome expected = Outcome::kApplied;
  int64_t id = 0;
  std::optional<Row> after;  // None: the row is gone, or never was.
};

uint64_t Seed() {
  if (const char* given = std::getenv("QUARRY_TEST_SEED")) return std::strtoull(given, nullptr, 10);
  return std::random_device{}();
}

class ModelTest : public GatewayTest {
 protected:
  ModelTest() : seed_(Seed()), random_(seed_) {
    std::printf("[     seed ] QUARRY_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed_));
    for (int i = 0; i < 60; ++i) ids_.push_back(gateway_.NewId());
    for (const int64_t id : ids_) shard_of_[id] = gateway_.ShardOf("customers", {id});
  }

  int Below(int bound) { return static_cast<int>(random_() % static_cast<uint64_t>(bound)); }
  int64_t AnyId() { return ids_[static_cast<size_t>(Below(static_cast<int>(ids_.size())))]; }
  // Few, so that they collide within a shard.
  std::optional<std::string> AnyEmail() {
    if (Below(3) == 0) return std::nullopt;
    return absl::StrCat("m", seed_, "-", Below(12), "@x");
  }

  // Unique constraints hold within a shard.
  bool EmailTaken(const std::map<int64_t, Row>& rows, const std::optional<std::string>& email, int64_t by_other_than) const {
    if (!email.has_value()) return false;
    return std::any_of(rows.begin(), rows.end(), [&](const auto& row) {
      return row.first != by_other_than && row.second.email == email && shard_of_.at(row.first) == shard_of_.at(by_other_than);
    });
  }

  Change RandomChange(const std::map<int64_t, Row>& rows);
  void SetColumns(Record& record, Row& row);
  void CheckReads();
  void RunBatch();
  void RunCommit(bool interactive);
  Row RowOf(const Record& record) const {
    Row row;
    row.name = record["name"].AsText().value_or("");
    row.email = record["email"].AsText();
    row.visits = record["visits"].AsInt64().value_or(-1);
    return row;
  }

  const uint64_t seed_;
  std::mt19937_64 random_;
  std::vector<int64_t> ids_;
  std::map<int64_t, std::string> shard_of_;
  std::map<int64_t, Row> rows_;
};

// Some columns of a write, in the record and in the row it makes.
void ModelTest::SetColumns(Record& record, Row& row) {
  if (Below(2) == 0) {
    row.email = AnyEmail();
    record.Set("email", row.email.has_value() ? Value(*row.email) : Value(nullptr));
  }
  if (Below(2) == 0 || record.size() == 0) {
    row.visits = Below(20) - 1;
    record.Set("visits", row.visits);
  }
}

Change ModelTest::RandomChange(const std::map<int64_t, Row>& rows) {
  Change change;
  change.id = AnyId();
  const auto found = rows.find(change.id);
  const bool exists = found != rows.end();
  Row row = exists ? found->second : Row();
  const auto settle = [&](bool needs_row) {
    if (needs_row && !exists) {
      change.expected = Outcome::kNotFound;
    } else if (row.visits < 0) {
      change.expected = Outcome::kViolated;
    } else if (EmailTaken(rows, row.email, change.id)) {
      change.expected = Outcome::kTaken;
    } else {
      change.after = row;
    }
  };
  Record record;
  switch (Below(4)) {
    case 0:
      row = Row();
      SetColumns(record, row);
      row.name = absl::StrCat("name ", Below(1000));
      record.Set("id", change.id).Set("name", row.name);
      settle(false);
      if (exists && change.expected == Outcome::kApplied) change.expected = Outcome::kTaken;
      change.mutation = Mutation::Insert("customers", record);
      break;
    case 1:
      SetColumns(record, row);
      settle(true);
      change.mutation = Mutation::Update("customers", {change.id}, record);
      break;
    case 2:
      SetColumns(record, row);
      row.name = absl::StrCat("name ", Below(1000));
      record.Set("id", change.id).Set("name", row.name);
      settle(false);
      change.mutation = Mutation::Upsert("customers", record);
      break;
    default:
      change.expected = exists ? Outcome::kApplied : Outcome::kNotFound;
      change.mutation = Mutation::Delete("customers", {change.id});
      break;
  }
  return change;
}

void Apply(const Change& change, std::map<int64_t, Row>& rows) {
  if (change.expected != Outcome::kApplied) return;
  if (change.after.has_value()) {
    rows[change.id] = *change.after;
  } else {
    rows.erase(change.id);
  }
}

void ModelTest::CheckReads() {
  std::vector<Key> keys;
  std::vector<int64_t> asked;
  for (int i = 0; i < 1 + Below(20); ++i) {
    asked.push_back(AnyId());
    keys.push_back({asked.back()});
  }
  ASSERT_OK_AND_ASSIGN(const client::BatchGetResult batch, client().BatchGet("customers", keys));
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto expected = rows_.find(asked[i]);
    ASSERT_EQ(batch.rows[i].has_value(), expected != rows_.end()) << asked[i];
    if (expected != rows_.end()) {
      ASSERT_EQ(RowOf(batch.rows[i]->record), expected->second) << asked[i];
    }
  }
}

// Those of one shard apply in order; shards do not see each other.
void ModelTest::RunBatch() {
  std::vector<Change> changes;
  std::vector<Mutation> mutations;
  std::map<int64_t, Row> rows = rows_;
  for (int i = 0; i < 1 + Below(15); ++i) {
    changes.push_back(RandomChange(rows));
    mutations.push_back(changes.back().mutation);
    Apply(changes.back(), rows);
  }
  ASSERT_OK_AND_ASSIGN(const auto results, client().BatchWrite(mutations));
  for (size_t i = 0; i < changes.size(); ++i) {
    ASSERT_EQ(results[i].status().code(), CodeOf(changes[i].expected))
        << i << ": " << results[i].status() << "\n" << mutations[i].proto().ShortDebugString();
  }
  rows_ = std::move(rows);
}

// All or nothing, in one call or in a transaction that is rolled back now and then.
void ModelTest::RunCommit(bool interactive) {
  std::vector<Mutation> mutations;
  std::map<int64_t, Row> rows = rows_;
  Outcome first_failure = Outcome::kApplied;
  std::string shard;
  std::optional<client::Transaction> txn;
  if (interactive) {
    ASSERT_OK_AND_ASSIGN(client::Transaction begun, client().Begin());
    txn.emplace(std::move(begun));
  }
  for (int i = 0; i < 1 + Below(6); ++i) {
    const Change change = RandomChange(rows);
    if (shard.empty()) shard = shard_of_[change.id];
    if (shard_of_[change.id] != shard) continue;
    if (interactive) {
      const absl::Status status = txn->Write(change.mutation).status();
      ASSERT_EQ(status.code(), CodeOf(change.expected)) << status;
      Apply(change, rows);
      continue;
    }
    mutations.push_back(change.mutation);
    if (first_failure == Outcome::kApplied) first_failure = change.expected;
    Apply(change, rows);
  }
  if (interactive && Below(3) == 0) {
    ASSERT_THAT(txn->Rollback(), IsOk());
    return;
  }
  const absl::Status status = interactive ? txn->Commit().status() : client().CommitMutations(mutations).status();
  ASSERT_EQ(status.code(), CodeOf(first_failure)) << status;
  if (status.ok()) rows_ = std::move(rows);
}

TEST_P(ModelTest, RandomCallsGiveWhatAMapWouldGive) {
  constexpr int kCalls = 1500;
  for (int call = 0; call < kCalls && !HasFatalFailure(); ++call) {
    SCOPED_TRACE(absl::StrCat("call ", call, ", QUARRY_TEST_SEED=", seed_));
    const int kind = Below(20);
    if (kind < 4) {
      CheckReads();
    } else if (kind < 6) {
      RunBatch();
    } else if (kind < 8) {
      RunCommit(kind == 6);
    } else {
      const Change change = RandomChange(rows_);
      const absl::Status status = client().Write(change.mutation).status();
      ASSERT_EQ(status.code(), CodeOf(change.expected)) << status << "\n" << change.mutation.proto().ShortDebugString();
      Apply(change, rows_);
      if (change.expected != Outcome::kApplied || call % 5 != 0) continue;
      const absl::StatusOr<client::ReadResult> read = client().Get("customers", {change.id});
      ASSERT_EQ(read.ok(), change.after.has_value());
      if (read.ok()) {
        ASSERT_EQ(RowOf(read->record), *change.after);
      }
    }
  }
  // And nothing is anywhere that the map does not have.
  for (const int64_t id : ids_) ASSERT_EQ(CopiesOf(id), rows_.count(id) > 0 ? 1 : 0) << id;
}

INSTANTIATE_TEST_SUITE_P(Backends, ModelTest, testing::ValuesIn(SetupsOr({{Kind::kSqlite, 4}, {Kind::kPostgres, 4}})),
                         SetupName);

}  // namespace
}  // namespace quarry::gateway_test
