#include "tests/support/history/checker.h"

#include <cstdlib>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace quarry::history {
namespace {

uint64_t Seed() {
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::cout << "QUARRY_TEST_SEED=" << seed << std::endl;
  return seed;
}

// All at the same time, so that no order of time is between them.
Transaction Then(std::vector<Operation> operations, Outcome outcome = Outcome::kCommitted) {
  return {1, 0, 1'000'000, std::move(operations), outcome};
}
Transaction Timed(int64_t invoked, int64_t completed, std::vector<Operation> operations) {
  return {1, invoked, completed, std::move(operations), Outcome::kCommitted};
}

std::set<Anomaly> Kinds(const std::vector<Finding>& findings) {
  std::set<Anomaly> kinds;
  for (const Finding& finding : findings) kinds.insert(finding.anomaly);
  return kinds;
}

// Transactions that overlap in time and each take place at one moment, as a perfect database runs them.
History Serial(uint64_t seed, int count) {
  std::mt19937_64 random(seed);
  const auto below = [&](int64_t bound) { return static_cast<int64_t>(random() % static_cast<uint64_t>(bound)); };
  History history;
  std::map<int64_t, List> lists;
  int64_t next_value = 1'000;
  for (int at = 0; at < count; ++at) {
    Transaction transaction;
    transaction.process = static_cast<int>(below(5));
    transaction.invoked = at * 10 - below(40);
    transaction.completed = at * 10 + below(40);
    const int64_t dice = below(20);
    const bool takes_place = dice < 16 || dice == 19;
    transaction.outcome = dice < 16 ? Outcome::kCommitted : dice < 18 ? Outcome::kAborted : Outcome::kUnknown;
    std::map<int64_t, List> own = lists;
    const int64_t operations = 1 + below(5);
    for (int64_t i = 0; i < operations; ++i) {
      const int64_t key = 100 + below(6);
      if (below(2) == 0) {
        own[key].push_back(next_value);
        transaction.operations.push_back(Append(key, next_value++));
      } else {
        transaction.operations.push_back(Read(key, own[key]));
      }
    }
    if (takes_place) lists = std::move(own);
    history.transactions.push_back(std::move(transaction));
  }
  if (below(2) == 0) history.final_lists = lists;
  return history;
}

struct Planted {
  const char* name;
  Anomaly anomaly;
  History history;
};
void PrintTo(const Planted& planted, std::ostream* out) { *out << planted.name; }

std::vector<Planted> AllPlanted() {
  return {
      {"WriteCycle", Anomaly::kWriteCycle,
       {{Then({Append(1, 11), Append(2, 21)}), Then({Append(1, 12), Append(2, 22)})}, {{1, {11, 12}}, {2, {22, 21}}}}},
      {"AbortedRead", Anomaly::kAbortedRead,
       {{Then({Append(1, 11)}, Outcome::kAborted), Then({Read(1, {11})})}, {}}},
      {"IntermediateRead", Anomaly::kIntermediateRead,
       {{Then({Append(1, 11), Append(1, 12)}), Then({Read(1, {11})})}, {}}},
      {"CircularInformation", Anomaly::kCircularInformation,
       {{Then({Append(1, 11), Read(2, {22})}), Then({Append(2, 22), Read(1, {11})})}, {}}},
      {"ReadSkew", Anomaly::kReadSkew,
       {{Then({Append(1, 11), Append(2, 21)}), Then({Read(1, {11}), Read(2, {})})}, {}}},
      {"LostUpdate", Anomaly::kLostUpdate,
       {{Then({Read(1, {}), Append(1, 11)}), Then({Read(1, {}), Append(1, 12)})}, {{1, {11, 12}}}}},
      {"WriteSkew", Anomaly::kWriteSkew,
       {{Then({Read(1, {}), Append(2, 21)}), Then({Read(2, {}), Append(1, 11)})}, {}}},
      {"StaleRead", Anomaly::kRealTimeViolation,
       {{Timed(0, 10, {Append(1, 11)}), Timed(20, 30, {Read(1, {})})}, {{1, {11}}}}},
      {"DuplicateAppend", Anomaly::kDuplicateAppend, {{Then({Append(1, 11)}), Then({Read(1, {11, 11})})}, {}}},
      {"MissingAppend", Anomaly::kMissingAppend,
       {{Then({Append(1, 11)}), Then({Append(1, 12)})}, {{1, {12}}}}},
      {"ForkedList", Anomaly::kForkedList,
       {{Then({Append(1, 11)}), Then({Append(1, 12)}), Then({Read(1, {11, 12})}), Then({Read(1, {12})})}, {}}},
      {"UnknownValue", Anomaly::kUnknownValue, {{Then({Read(1, {11})})}, {}}},
      {"OwnWriteUnseen", Anomaly::kOwnWriteUnseen, {{Then({Append(1, 11), Read(1, {})})}, {}}},
  };
}

class PlantedTest : public testing::TestWithParam<Planted> {};
INSTANTIATE_TEST_SUITE_P(Anomalies, PlantedTest, testing::ValuesIn(AllPlanted()),
                         [](const testing::TestParamInfo<Planted>& info) { return info.param.name; });

TEST_P(PlantedTest, IsFoundAndNothingElse) {
  const std::vector<Finding> findings = Check(GetParam().history);
  EXPECT_THAT(Kinds(findings), testing::ElementsAre(GetParam().anomaly)) << Explain(findings);
  for (const Finding& finding : findings) EXPECT_THAT(finding.explanation, testing::HasSubstr(NameOf(finding.anomaly)));
}

TEST_P(PlantedTest, IsFoundAmongManyOthers) {
  const uint64_t seed = Seed();
  for (uint64_t round = 0; round < 20; ++round) {
    History history = Serial(seed + round, 200);
    const auto place = static_cast<std::ptrdiff_t>((seed + round * 7) % 200);
    history.transactions.insert(history.transactions.begin() + place, GetParam().history.transactions.begin(),
                                GetParam().history.transactions.end());
    for (const auto& [key, list] : GetParam().history.final_lists) history.final_lists[key] = list;
    const std::vector<Finding> findings = Check(history);
    ASSERT_THAT(Kinds(findings), testing::ElementsAre(GetParam().anomaly)) << Explain(findings);
    for (const Finding& finding : findings) {
      for (const int transaction : finding.transactions) {
        EXPECT_GE(transaction, place);
        EXPECT_LT(transaction, place + static_cast<std::ptrdiff_t>(GetParam().history.transactions.size()));
      }
    }
  }
}

TEST(CheckerTest, FindsNothingInSerialHistories) {
  const uint64_t seed = Seed();
  for (uint64_t round = 0; round < 300; ++round) {
    const std::vector<Finding> findings = Check(Serial(seed + round, 1 + static_cast<int>(round)));
    ASSERT_TRUE(findings.empty()) << "seed " << seed + round << "\n" << Explain(findings);
  }
}

TEST(CheckerTest, FindsEveryReadThatIsTooOld) {
  std::mt19937_64 random(Seed());
  constexpr int64_t kAppends = 20;
  for (int round = 0; round < 300; ++round) {
    History history;
    List values;
    for (int64_t at = 0; at < kAppends; ++at) {
      history.transactions.push_back(Timed(at * 100, at * 100 + 1, {Append(1, at)}));
      values.push_back(at);
    }
    const auto acknowledged = static_cast<int64_t>(1 + random() % static_cast<uint64_t>(kAppends));
    const auto seen = static_cast<int64_t>(random() % static_cast<uint64_t>(acknowledged));
    const int64_t now = acknowledged * 100 - 50;
    const auto reader = history.transactions.insert(
        history.transactions.end(), Timed(now, now + 10, {Read(1, List(values.begin(), values.begin() + seen))}));
    history.final_lists[1] = values;
    const std::vector<Finding> findings = Check(history);
    ASSERT_THAT(Kinds(findings), testing::ElementsAre(Anomaly::kRealTimeViolation)) << Explain(findings);
    reader->operations[0].list.assign(values.begin(), values.begin() + acknowledged);
    EXPECT_TRUE(Check(history).empty());
  }
}

TEST(CheckerTest, AllowsAtALevelWhatTheLevelAllows) {
  CheckOptions options;
  for (const Planted& planted : AllPlanted()) {
    SCOPED_TRACE(planted.name);
    options = {Level::kSnapshot, true};
    EXPECT_EQ(Check(planted.history, options).empty(), planted.anomaly == Anomaly::kWriteSkew);
    options = {Level::kReadCommitted, true};
    const bool allowed = planted.anomaly == Anomaly::kWriteSkew || planted.anomaly == Anomaly::kReadSkew ||
                         planted.anomaly == Anomaly::kLostUpdate;
    EXPECT_EQ(Check(planted.history, options).empty(), allowed);
    options = {Level::kSerializable, false};
    EXPECT_EQ(Check(planted.history, options).empty(), planted.anomaly == Anomaly::kRealTimeViolation);
  }
}

TEST(CheckerTest, FindsACycleOverManyTransactionsAndExplainsIt) {
  // Each reads what the one before it has appended; the last one precedes the first.
  History history;
  constexpr int64_t kLength = 50;
  for (int64_t at = 0; at < kLength; ++at) {
    history.transactions.push_back(Then({Append(at, at), Read((at + kLength - 1) % kLength, {(at + kLength - 1) % kLength})}));
  }
  const std::vector<Finding> findings = Check(history);
  ASSERT_EQ(findings.size(), 1U) << Explain(findings);
  EXPECT_EQ(findings[0].anomaly, Anomaly::kCircularInformation);
  EXPECT_EQ(findings[0].transactions.size(), static_cast<size_t>(kLength));
  EXPECT_THAT(findings[0].explanation, testing::HasSubstr("T0 -wr-> T1: T1 read 0 in list 0, of T0"));
}

TEST(CheckerTest, TakesAnUnknownOutcomeAsCommittedOnceItIsSeen) {
  History history;
  history.transactions = {Then({Append(1, 11), Append(2, 21)}, Outcome::kUnknown), Then({Read(1, {}), Read(2, {})})};
  EXPECT_TRUE(Check(history).empty());
  history.transactions.push_back(Then({Read(1, {11}), Read(2, {})}));
  EXPECT_THAT(Kinds(Check(history)), testing::ElementsAre(Anomaly::kReadSkew));
  history.transactions[2] = Then({Read(1, {11}), Read(2, {21})});
  EXPECT_TRUE(Check(history).empty());
}

TEST(CheckerTest, HoldsAnUnknownOutcomeToNoTime) {
  History history;
  history.transactions = {Timed(0, 10, {Append(1, 11)}), Timed(20, 30, {Read(1, {})}), Timed(40, 50, {Read(1, {11})})};
  EXPECT_THAT(Kinds(Check(history)), testing::ElementsAre(Anomaly::kRealTimeViolation));
  history.transactions[0].outcome = Outcome::kUnknown;
  EXPECT_TRUE(Check(history).empty()) << "it may have taken effect after its caller gave up";
}

TEST(CheckerTest, SeesAStaleReadOfWhatNobodyReadLater) {
  History history;
  history.transactions = {Timed(0, 10, {Append(1, 11)}), Timed(20, 30, {Read(1, {})})};
  EXPECT_THAT(Kinds(Check(history)), testing::ElementsAre(Anomaly::kRealTimeViolation));
}

}  // namespace
}  // namespace quarry::history
