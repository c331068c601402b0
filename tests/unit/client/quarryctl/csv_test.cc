#include "client/quarryctl/csv.h"

#include <random>
#include <sstream>

#include "core/base/random.h"
#include "tests/support/status_matchers.h"

namespace quarry::ctl {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Texts(const CsvRecord& record) {
  std::vector<std::string> texts;
  for (const CsvField& field : record.fields) texts.push_back(field.text);
  return texts;
}

TEST(CsvReaderTest, ReadsQuotesLineBreaksAndBothLineEnds) {
  std::istringstream in(
      "\xEF\xBB\xBF"
      "a,\"b \"\"x\"\"\",c\r\n\n1,\"two\r\nlines\",\n,\"\",\r,end");
  CsvReader csv(in);
  CsvRecord record;
  ASSERT_THAT(csv.Next(&record), IsOk());
  EXPECT_THAT(Texts(record), ElementsAre("a", "b \"x\"", "c"));
  ASSERT_THAT(csv.Next(&record), IsOk());
  EXPECT_EQ(record.line, 3);
  EXPECT_THAT(Texts(record), ElementsAre("1", "two\r\nlines", ""));
  ASSERT_THAT(csv.Next(&record), IsOk());
  EXPECT_EQ(record.line, 5);
  EXPECT_THAT(Texts(record), ElementsAre("", "", "\r", "end"));
  EXPECT_FALSE(record.fields[0].quoted);
  EXPECT_TRUE(record.fields[1].quoted);
  ASSERT_OK_AND_ASSIGN(const bool more, csv.Next(&record));
  EXPECT_FALSE(more);
}

TEST(CsvReaderTest, GoesOnBehindALineThatIsNoCsv) {
  std::istringstream in("a,b\"c,d\n\"x\"y,z\n1,2\n\"never closed\n3,4\n");
  CsvReader csv(in);
  CsvRecord record;
  EXPECT_THAT(csv.Next(&record), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(record.line, 1);
  EXPECT_THAT(csv.Next(&record), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(record.line, 2);
  ASSERT_THAT(csv.Next(&record), IsOk());
  EXPECT_THAT(Texts(record), ElementsAre("1", "2"));
  EXPECT_THAT(csv.Next(&record), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(record.line, 4);
}

TEST(CsvReaderTest, BoundsTheMemoryOfOneRecord) {
  std::istringstream in("\"" + std::string(2000, 'x'));
  CsvReader csv(in, ',', 1000);
  CsvRecord record;
  EXPECT_THAT(csv.Next(&record), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CsvReaderTest, ReadsBackWhateverWasFormatted) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  SeededRandom random(seed);
  static constexpr char kAlphabet[] = {'a', ',', '"', '\n', '\r', ' ', ';', '\0', '\x80'};
  for (int round = 0; round < 300; ++round) {
    std::vector<std::vector<CsvField>> written;
    std::string text;
    for (uint64_t rows = random.Next() % 8; rows > 0; --rows) {
      std::vector<CsvField> fields(1 + random.Next() % 4);
      for (CsvField& field : fields) {
        for (uint64_t size = random.Next() % 6; size > 0; --size) {
          field.text.push_back(kAlphabet[random.Next() % sizeof(kAlphabet)]);
        }
      }
      text += FormatCsv(fields) + (random.Next() % 2 == 0 ? "\n" : "\r\n");
      written.push_back(std::move(fields));
    }
    std::istringstream in(text);
    CsvReader csv(in);
    CsvRecord record;
    for (const auto& fields : written) {
      ASSERT_OK_AND_ASSIGN(const bool found, csv.Next(&record));
      ASSERT_TRUE(found) << text;
      ASSERT_EQ(record.fields.size(), fields.size()) << text;
      for (size_t i = 0; i < fields.size(); ++i)
        EXPECT_EQ(record.fields[i].text, fields[i].text) << text;
    }
    ASSERT_OK_AND_ASSIGN(const bool more, csv.Next(&record));
    EXPECT_FALSE(more) << text;
    EXPECT_EQ(csv.bytes(), static_cast<int64_t>(text.size()));
  }
}

}  // namespace
}  // namespace quarry::ctl
