// The fuzz target without a fuzzer: random changes of valid requests, from a seed that is printed.
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/shard.pb.h"
#include "tests/fuzz/requests/parse_requests.h"

namespace quarry {
namespace {

std::string RichRequest() {
  v1::BatchWriteRequest request;
  request.set_request_id("0190a6e0-0000-7000-8000-000000000001");
  v1::InsertMutation* insert = request.add_mutations()->mutable_insert();
  insert->set_table("customers");
  auto& columns = *insert->mutable_record()->mutable_columns();
  columns["id"].set_int64_value(-1);
  columns["name"].set_text_value("Ada");
  columns["born"].mutable_timestamp_value()->set_seconds(1);
  columns["tags"].mutable_array_value()->add_elements()->set_text_value("x");
  columns["ip"].mutable_native_value()->set_type("inet");
  columns["uuid"].set_uuid_value("0190a6e0-0000-7000-8000-000000000001");
  v1::DeleteMutation* remove = request.add_mutations()->mutable_delete_();
  remove->mutable_key()->add_values()->set_double_value(1.5);
  remove->mutable_precondition()->set_exists(true);
  return request.SerializeAsString();
}

std::string Mutate(std::string bytes, std::mt19937_64& random) {
  const uint64_t changes = 1 + random() % 4;
  for (uint64_t i = 0; i < changes && !bytes.empty(); ++i) {
    const size_t at = random() % bytes.size();
    switch (random() % 5) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes.erase(at, 1 + random() % 8);
        break;
      case 2:
        bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 32));
        break;
      case 3:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (random() % 8)));
        break;
      default:
        bytes.resize(at);
    }
  }
  return bytes;
}

TEST(RequestFuzzTest, NoBytesBreakParsingOrTranslation) {
  const google::protobuf::LogSilencer quiet;
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::cout << "seed " << seed << " (QUARRY_TEST_SEED repeats it)" << std::endl;
  std::mt19937_64 random(seed);
  const std::string rich = RichRequest();
  std::vector<std::string> corpus;
  for (size_t type = 0; type < RequestTypeCount(); ++type) corpus.push_back(static_cast<char>(type) + rich);
  int valid = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string bytes = Mutate(corpus[random() % corpus.size()], random);
    const bool ok = ParseAndTranslate(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    valid += ok ? 1 : 0;
    if (ok && corpus.size() < 500) corpus.push_back(bytes);
  }
  EXPECT_GT(valid, 100);
}

}  // namespace
}  // namespace quarry
