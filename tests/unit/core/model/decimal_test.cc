#include "core/model/decimal.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/model/like.h"
#include "gtest/gtest.h"
#include "tests/support/postgres/postgres_cluster.h"
#include "tests/support/status_matchers.h"

namespace quarry {
namespace {

std::string Parsed(std::string_view text) {
  const std::optional<Decimal> decimal = Decimal::Parse(text);
  return decimal.has_value() ? decimal->ToString() : "none";
}

TEST(DecimalTest, ReadsWhatPostgresReads) {
  EXPECT_EQ(Parsed("0"), "0");
  EXPECT_EQ(Parsed("-0.00"), "0.00");
  EXPECT_EQ(Parsed(" +007.50 "), "7.50");
  EXPECT_EQ(Parsed(".5"), "0.5");
  EXPECT_EQ(Parsed("1.5e3"), "1500");
  EXPECT_EQ(Parsed("1.5E-3"), "0.0015");
  EXPECT_EQ(Parsed("nan"), "NaN");
  EXPECT_EQ(Parsed("-inf"), "-Infinity");
  EXPECT_EQ(Parsed("12345678901234567890123.4500"), "12345678901234567890123.4500");
  for (const char* wrong : {"", "-", ".", "1.2.3", "1e", "1e 5", "0x10", "1,5", "-nan", "1e999999999", "1e-20000", "١"}) {
    EXPECT_EQ(Parsed(wrong), "none") << wrong;
  }
}

TEST(DecimalTest, ToInt64TakesWholeNumbersThatFit) {
  EXPECT_EQ(Decimal::Parse("12.000")->ToInt64(), 12);
  EXPECT_EQ(Decimal::Parse("-9223372036854775808")->ToInt64(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Decimal::Parse("9223372036854775808")->ToInt64(), std::nullopt);
  EXPECT_EQ(Decimal::Parse("1.5")->ToInt64(), std::nullopt);
  EXPECT_EQ(Decimal::NaN().ToInt64(), std::nullopt);
}

TEST(DecimalTest, DivisionByZeroHasNoResult) {
  EXPECT_FALSE(Divide(Decimal(1), Decimal(0)).has_value());
  EXPECT_FALSE(Divide(*Decimal::Parse("Infinity"), Decimal(0)).has_value());
}

TEST(DecimalTest, SumsOfIntegersAreExact) {
  Int64Sum sum;
  EXPECT_EQ(sum.ToString(), "0");
  for (int i = 0; i < 3; ++i) sum.Add(std::numeric_limits<int64_t>::min());
  EXPECT_EQ(sum.ToString(), "-27670116110564327424");
}

TEST(DecimalTest, EqualNumbersHaveOneShortestText) {
  EXPECT_EQ(ShortestDecimal("1.500"), "1.5");
  EXPECT_EQ(ShortestDecimal("-0.0"), "0");
  EXPECT_EQ(ShortestDecimal("100"), "100");
  EXPECT_EQ(ShortestDecimal("15e-1"), "1.5");
  EXPECT_EQ(ShortestDecimal("0.10"), "0.1");
  EXPECT_EQ(ShortestDecimal("NaN"), "NaN");
  EXPECT_EQ(ShortestDecimal("words"), "words");
}

TEST(DecimalTest, TextThatIsNoNumberComesLast) {
  const std::vector<std::string> ascending = {"-Infinity", "-2", "-1.5", "0", "1e0", "2", "Infinity", "NaN", "a", "b"};
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j) {
      const int compared = CompareDecimalText(ascending[i], ascending[j]);
      EXPECT_EQ((compared > 0) - (compared < 0), (i > j) - (i < j)) << ascending[i] << " " << ascending[j];
    }
  }
}

class DecimalOnServerTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_THAT(PostgresCluster::Shared().CreateDatabase("numbers"), IsOk()); }
  // One line for each of `tuples` ("('1', '2')"), by `expression` over i, a and b.
  static std::vector<std::string> Ask(const std::string& expression, const std::vector<std::string>& tuples, const char* cast) {
    std::vector<std::string> rows;
    for (size_t i = 0; i < tuples.size(); ++i) rows.push_back(absl::StrCat("(", i, ", ", tuples[i], ")"));
    const absl::StatusOr<std::string> answer = PostgresCluster::Shared().QueryOne(
        "numbers", absl::StrCat("SELECT string_agg(", expression, ", E'\\n' ORDER BY i) FROM (SELECT i, a::", cast, " AS a, b::",
                                cast, " AS b FROM (VALUES ", absl::StrJoin(rows, ", "), ") AS t(i, a, b)) AS u"));
    EXPECT_THAT(answer, IsOk());
    return absl::StrSplit(answer.value_or(""), '\n');
  }
};

std::string RandomDigits(std::mt19937_64& random, size_t digits_max) {
  std::string digits(random() % (digits_max + 1), '0');
  const bool many_zeros = random() % 3 == 0;
  for (char& digit : digits) digit = static_cast<char>('0' + (many_zeros && random() % 4 != 0 ? 0 : random() % 10));
  return digits;
}

std::string RandomDecimal(std::mt19937_64& random) {
  switch (random() % 40) {
    case 0:
      return "NaN";
    case 1:
      return "Infinity";
    case 2:
      return "-Infinity";
    case 3:
      return "0.000";
    default:
      break;
  }
  const size_t digits_max = random() % 10 == 0 ? 60 : 9;
  std::string text = random() % 2 == 0 ? "-" : "";
  text += "0" + RandomDigits(random, digits_max);
  const std::string fraction = random() % 3 == 0 ? "" : RandomDigits(random, digits_max);
  if (!fraction.empty()) text += "." + fraction;
  return text;
}

TEST_F(DecimalOnServerTest, AddsComparesAndDividesAsNumericDoes) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  std::vector<std::pair<std::string, std::string>> pairs;
  std::vector<std::string> tuples;
  for (int i = 0; i < 8'000; ++i) {
    std::string a = RandomDecimal(random);
    std::string b = random() % 10 == 0 ? a + (a.find('.') == std::string::npos ? "" : "0") : RandomDecimal(random);
    tuples.push_back(absl::StrCat("'", a, "', '", b, "'"));
    pairs.emplace_back(std::move(a), std::move(b));
  }
  const std::vector<std::string> answers =
      Ask("(a + b)::text || ' ' || sign((a > b)::int - (a < b)::int)::text || ' ' || "
          "CASE WHEN b = 0 AND a <> 'NaN' THEN 'none' ELSE (a / nullif(b, CASE WHEN a = 'NaN' THEN NULL ELSE 0 END))::text END",
          tuples, "numeric");
  ASSERT_EQ(answers.size(), pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& [a, b] = pairs[i];
    const Decimal x = *Decimal::Parse(a);
    const Decimal y = *Decimal::Parse(b);
    const int compared = Compare(x, y);
    const std::optional<Decimal> quotient = Divide(x, y);
    EXPECT_EQ(absl::StrCat((x + y).ToString(), " ", compared, " ", quotient.has_value() ? quotient->ToString() : "none"), answers[i])
        << a << " and " << b;
    EXPECT_EQ(CompareDecimalText(a, b), compared) << a << " and " << b;
    EXPECT_EQ(ShortestDecimal(a) == ShortestDecimal(b), compared == 0) << a << " and " << b;
  }
}

TEST_F(DecimalOnServerTest, AveragesAsNumericAndIntegersDo) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  std::string rows;
  std::vector<std::pair<Decimal, int64_t>> decimals(1'000);
  std::vector<std::pair<Decimal, int64_t>> integers(1'000);
  for (size_t group = 0; group < decimals.size(); ++group) {
    for (size_t row = 0; row < 1 + random() % 9; ++row) {
      const std::string decimal = RandomDecimal(random);
      const auto integer = static_cast<int64_t>(random()) >> (random() % 60);
      absl::StrAppend(&rows, rows.empty() ? "" : ", ", "(", group, ", '", decimal, "'::numeric, ", integer, "::bigint)");
      decimals[group].first += *Decimal::Parse(decimal);
      integers[group].first += Decimal(integer);
      ++decimals[group].second;
      ++integers[group].second;
    }
  }
  ASSERT_OK_AND_ASSIGN(const std::string answer,
                       PostgresCluster::Shared().QueryOne(
                           "numbers", absl::StrCat("SELECT string_agg(line, E'\\n' ORDER BY g) FROM (SELECT g, sum(d) || ' ' || "
                                                   "avg(d) || ' ' || sum(n) || ' ' || avg(n) AS line FROM (VALUES ",
                                                   rows, ") AS t(g, d, n) GROUP BY g) AS u")));
  const std::vector<std::string> lines = absl::StrSplit(answer, '\n');
  ASSERT_EQ(lines.size(), decimals.size());
  for (size_t group = 0; group < decimals.size(); ++group) {
    const auto& [sum, count] = decimals[group];
    const auto& [total, number] = integers[group];
    EXPECT_EQ(absl::StrCat(sum.ToString(), " ", Divide(sum, Decimal(count))->ToString(), " ", total.ToString(), " ",
                           Divide(total, Decimal(number))->ToString()),
              lines[group]);
  }
}

TEST_F(DecimalOnServerTest, LikeMatchesWhatTheServerMatches) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  std::mt19937_64 random(seed);
  const std::vector<std::string> text_pieces = {"a", "b", "A", "ß", "日", "%", "_", "\\", "é", "😀"};
  const std::vector<std::string> pattern_pieces = {"a", "b", "ß", "日", "%", "%", "_", "_", "\\%", "\\_", "\\\\", "\\a", "\\ß", "é"};
  const auto some = [&random](const std::vector<std::string>& pieces) {
    std::string all;
    for (size_t i = random() % 6; i > 0; --i) all += pieces[random() % pieces.size()];
    return all;
  };
  std::vector<std::pair<std::string, std::string>> pairs;
  std::vector<std::string> tuples;
  for (int i = 0; i < 8'000; ++i) {
    pairs.emplace_back(some(text_pieces), some(pattern_pieces));
    tuples.push_back(absl::StrCat("'", pairs.back().first, "', '", pairs.back().second, "'"));
  }
  const std::vector<std::string> answers = Ask("(a LIKE b)::int::text", tuples, "text");
  ASSERT_EQ(answers.size(), pairs.size());
  int matches = 0;
  for (size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(MatchesLike(pairs[i].first, pairs[i].second), answers[i] == "1") << pairs[i].first << " LIKE " << pairs[i].second;
    matches += answers[i] == "1" ? 1 : 0;
  }
  EXPECT_GT(matches, 100);
}

TEST(LikeTest, APatternThatEndsInItsEscapeMatchesNothing) {
  EXPECT_FALSE(IsLikePattern("a\\"));
  EXPECT_TRUE(IsLikePattern("a\\\\"));
  EXPECT_FALSE(MatchesLike("a\\", "a\\"));
  EXPECT_FALSE(MatchesLike("", "\\"));
}

}  // namespace
}  // namespace quarry
