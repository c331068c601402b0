#include "server/translate/record_bytes.h"

#include <limits>

#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/query.pb.h"
#include "server/translate/response.h"
#include "server/translate/value.h"

namespace quarry {
namespace {

using google::protobuf::util::MessageDifferencer;

// One row of every kind of value, each in a column named after its place.
ReadResult EveryKind() {
  const Row row = {Value::Null(),
                   Value::Bool(false),
                   Value::Bool(true),
                   Value::Int64(0),
                   Value::Int64(std::numeric_limits<int64_t>::min()),
                   Value::Int64(std::numeric_limits<int64_t>::max()),
                   Value::Double(-0.5),
                   Value::Double(0),
                   Value::Double(std::numeric_limits<double>::infinity()),
                   Value::Text(""),
                   Value::Text("Grüße 🦉"),
                   Value::Text(std::string(300, 'x')),
                   Value::Bytes(std::string("\0\xff\0", 3)),
                   Value::Timestamp(0),
                   Value::Timestamp(-1),
                   Value::Timestamp(253'402'300'799'999'999),
                   Value::Date("0001-01-01"),
                   Value::Time("24:00:00"),
                   Value::Interval("P1M-3D"),
                   Value::Decimal("-12.3400"),
                   Value::Uuid("00000000-0000-4000-8000-0123456789ab"),
                   Value::Json("{\"a\": [1, null]}"),
                   Value::Array({}),
                   Value::Array({Value::Int64(1), Value::Null(), Value::Text("a")}),
                   Value::Native("inet", "10.0.0.0/8")};
  std::vector<ColumnHeader> header;
  for (size_t i = 0; i < row.size(); ++i) header.push_back({std::string(i, 'c'), {}});
  ReadResult result;
  result.header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
  for (const uint32_t item : {0, 1, 300}) result.found.push_back({item, row, item == 1 ? "" : "an etag"});
  result.missing = {7};
  return result;
}

template <typename Wire>
Wire Joined(const std::string& bytes, const Wire& rest) {
  Wire whole;
  EXPECT_TRUE(whole.ParseFromString(bytes + rest.SerializeAsString()));
  return whole;
}

TEST(RecordBytesTest, AGetReplyIsTheOneThatMessagesMake) {
  const ReadResult result = EveryKind();
  v1::GetResponse message, rest;
  std::string bytes;
  ASSERT_TRUE(FillResponse("t", result, Topology(), &message).ok());
  ASSERT_TRUE(FillResponse("t", result, Topology(), &rest, &bytes).ok());
  EXPECT_FALSE(rest.has_record());
  EXPECT_TRUE(MessageDifferencer::Equals(message, Joined(bytes, rest)));
  EXPECT_EQ(message.ByteSizeLong(), bytes.size() + rest.ByteSizeLong());
}

TEST(RecordBytesTest, ABatchGetReplyIsTheOneThatMessagesMake) {
  const ReadResult result = EveryKind();
  v1::BatchGetResponse message, rest;
  std::string bytes;
  FillResponse(result, Topology(), &message);
  FillResponse(result, Topology(), &rest, &bytes);
  EXPECT_EQ(rest.found_size(), 0);
  EXPECT_TRUE(MessageDifferencer::Equals(message, Joined(bytes, rest)));
  EXPECT_EQ(message.ByteSizeLong(), bytes.size() + rest.ByteSizeLong());
}

TEST(RecordBytesTest, ABatchOfAQueryIsTheOneThatMessagesMake) {
  const ReadResult result = EveryKind();
  v1::QueryResponse message;
  std::string rows;
  for (const KeyedRow& found : result.found) {
    FillRow(found.row, message.mutable_batch()->add_rows());
    AppendRow(v1::QueryBatch::kRowsFieldNumber, found.row, rows);
  }
  for (const char* token : {"", "where it goes on"}) {
    message.mutable_batch()->set_resume_token(token);
    std::string bytes;
    AppendQueryBatch(rows, token, bytes);
    v1::QueryResponse parsed;
    ASSERT_TRUE(parsed.ParseFromString(bytes));
    EXPECT_TRUE(MessageDifferencer::Equals(message, parsed));
    EXPECT_EQ(message.ByteSizeLong(), bytes.size());
  }
}

TEST(RecordBytesTest, ARowOfNoColumnsIsAnEmptyRecord) {
  ReadResult result;
  result.header = std::make_shared<const std::vector<ColumnHeader>>();
  result.found.push_back({0, {}, ""});
  v1::GetResponse rest;
  std::string bytes;
  ASSERT_TRUE(FillResponse("t", result, Topology(), &rest, &bytes).ok());
  EXPECT_TRUE(Joined(bytes, rest).has_record());
}

}  // namespace
}  // namespace quarry
