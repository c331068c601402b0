// Hostile strings wherever a caller can put a string: the SQL text stays that of a harmless value, or the error is typed.
#include <iostream>
#include <random>
#include <string>

#include "absl/strings/str_replace.h"
#include "core/catalog/text_forms.h"
#include "core/plan/filter.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"
#include "tests/unit/core/plan/hostile_text.h"

namespace quarry {
namespace {

constexpr int kStrings = 20'000;

class FilterInjectionTest : public ::testing::Test {
 protected:
  FilterInjectionTest() : random_(Seed()) {}

  static uint64_t Seed() {
    const uint64_t seed = std::random_device()();
    std::cerr << "seed " << seed << "\n";
    return seed;
  }

  std::string Hostile() { return HostileText(random_); }

  // The texts of both dialects for a checked predicate, or "" after a typed error.
  std::string Texts(const absl::StatusOr<Predicate>& predicate) {
    if (!predicate.ok()) {
      EXPECT_EQ(ReasonOf(predicate.status()), reason::kInvalidField) << predicate.status();
      EXPECT_TRUE(IsValidText(std::string(predicate.status().message()))) << predicate.status();
      ++refused_;
      return "";
    }
    ++lowered_;
    return *Lower(*predicate, Dialect::kPostgres).sql + "\n" + *Lower(*predicate, Dialect::kSqlite).sql;
  }

  absl::StatusOr<Predicate> Check(const Condition& condition) {
    return CheckFilter(condition, TableOf(*snapshot_, "customers"), snapshot_->catalog, FilterLimits());
  }

  static Condition OnName(Condition::Kind kind, const std::string& value, const std::string& column = "name") {
    Condition condition;
    condition.kind = kind;
    condition.column = column;
    condition.values = {Value::Text(value)};
    if (kind == Condition::Kind::kBetween) condition.values.push_back(Value::Text(value));
    return condition;
  }

  std::mt19937_64 random_;
  std::shared_ptr<const Snapshot> snapshot_ = FilterSnapshot();
  int refused_ = 0;
  int lowered_ = 0;
};

constexpr Condition::Kind kKinds[] = {Condition::Kind::kCompare, Condition::Kind::kIn, Condition::Kind::kBetween,
                                      Condition::Kind::kLike, Condition::Kind::kPrefix};

TEST_F(FilterInjectionTest, StructuredValuesNeverReachTheText) {
  for (int i = 0; i < kStrings; ++i) {
    const std::string hostile = "p" + Hostile();
    for (const Condition::Kind kind : kKinds) {
      const std::string texts = Texts(Check(OnName(kind, hostile)));
      if (!texts.empty()) {
        ASSERT_EQ(texts, Texts(Check(OnName(kind, "harmless"))));
      }
    }
  }
  EXPECT_GT(lowered_, kStrings);
  EXPECT_GT(refused_, 0);
}

TEST_F(FilterInjectionTest, NamesNeverReachTheText) {
  for (int i = 0; i < kStrings; ++i) {
    const std::string hostile = Hostile();
    EXPECT_EQ(Texts(Check(OnName(Condition::Kind::kCompare, "x", hostile))), hostile == "name" ? Texts(Check(OnName(Condition::Kind::kCompare, "x"))) : "");
    Condition has;
    has.kind = Condition::Kind::kHas;
    has.column = hostile;
    EXPECT_EQ(Texts(Check(has)), "");
    Condition columns = OnName(Condition::Kind::kCompare, "x");
    columns.values.clear();
    columns.other_column = "orders." + hostile;
    EXPECT_EQ(Texts(Check(columns)), "");
  }
}

TEST_F(FilterInjectionTest, TextLiteralsAndParametersNeverReachTheText) {
  const std::string harmless = Texts(CheckText(*snapshot_, "customers", "name = 'x' AND orders.country LIKE @p", {{"p", Value::Text("x")}}));
  for (int i = 0; i < kStrings; ++i) {
    const std::string hostile = Hostile();
    const std::string doubled = absl::StrReplaceAll(hostile, {{"'", "''"}});
    const std::string texts = Texts(CheckText(*snapshot_, "customers", "name = '" + doubled + "' AND orders.country LIKE @p",
                                              {{"p", Value::Text(hostile)}}));
    if (!texts.empty()) {
      ASSERT_EQ(texts, harmless);
    }
  }
  EXPECT_GT(lowered_, kStrings / 4);
}

// Whatever a text becomes, its SQL is made of the catalog's names and the language's own words.
TEST_F(FilterInjectionTest, HostileTextsBecomeKnownWordsOnly) {
  for (int i = 0; i < kStrings; ++i) {
    const std::string hostile = Hostile();
    std::string text = "name = 'x' AND age = 1 OR starts_with(name, 'y')";
    text.insert(random_() % text.size(), hostile);
    const absl::StatusOr<Predicate> predicate = CheckText(*snapshot_, "customers", text, {});
    const std::string texts = Texts(predicate);
    for (const char* foreign : {"DROP", "--", "/*", ";", "'", "1=1"}) ASSERT_EQ(texts.find(foreign), std::string::npos) << texts;
  }
}

}  // namespace
}  // namespace quarry
