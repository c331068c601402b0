// The fuzz target without a fuzzer: random changes of valid requests, from a seed that is printed.
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/lock.pb.h"
#include "quarry/v1/query.pb.h"
#include "tests/fuzz/requests/parse_requests.h"

namespace quarry {
namespace {

std::string RichWrite() {
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

void FillCondition(v1::Condition* condition) {
  auto* all = condition->mutable_and_();
  v1::CompareCondition* compare = all->add_conditions()->mutable_compare();
  compare->set_column("price");
  compare->set_op(v1::COMPARE_OPERATOR_LESS);
  compare->mutable_value()->set_decimal_value("12.50");
  v1::BetweenCondition* between = all->add_conditions()->mutable_not_()->mutable_between();
  between->set_column("id");
  between->mutable_low()->set_int64_value(-1);
  between->mutable_high()->set_int64_value(1);
  v1::InCondition* in = all->add_conditions()->mutable_has()->mutable_condition()->mutable_in();
  in->set_column("name");
  in->add_values()->set_text_value("Ada");
  all->mutable_conditions(2)->mutable_has()->set_relation("lines");
}

std::string RichQuery() {
  v1::QueryRequest request;
  request.set_table("orders");
  request.add_columns("id");
  FillCondition(request.mutable_where());
  v1::OrderBy* order = request.add_order_by();
  order->set_column("price");
  order->set_descending(true);
  request.set_limit(10);
  request.mutable_target()->set_shard("s0");
  return request.SerializeAsString();
}

std::string RichList() {
  v1::ListRequest request;
  request.set_table("orders");
  request.set_filter("price < @most AND name IN ('Ada', 'Eve')");
  (*request.mutable_params())["most"].set_decimal_value("12.50");
  request.set_page_size(10);
  v1::Include* include = request.add_includes();
  include->set_relation("lines.product");
  include->add_columns("name");
  return request.SerializeAsString();
}

std::string RichAggregate() {
  v1::AggregateRequest request;
  request.set_table("orders");
  FillCondition(request.mutable_where());
  request.add_group_by("name");
  v1::AggregateTerm* term = request.add_aggregates();
  term->set_function(v1::AGGREGATE_FUNCTION_SUM);
  term->set_column("price");
  term->set_name("total");
  request.set_having("total > @least");
  (*request.mutable_params())["least"].set_int64_value(5);
  return request.SerializeAsString();
}

std::string RichUpdateWhere() {
  v1::UpdateWhereRequest request;
  request.set_table("orders");
  FillCondition(request.mutable_where());
  (*request.mutable_set()->mutable_columns())["name"].set_text_value("Eve");
  request.set_allow_many_shards(true);
  request.set_request_id("0190a6e0-0000-7000-8000-000000000001");
  request.mutable_fence()->set_lock("nightly");
  request.mutable_fence()->set_token(7);
  return request.SerializeAsString();
}

std::string RichDeleteWhere() {
  v1::DeleteWhereRequest request;
  request.set_table("orders");
  request.set_filter("name LIKE 'A%' OR has(lines, count > 3)");
  request.set_batch_rows(100);
  return request.SerializeAsString();
}

std::string RichAcquire() {
  v1::AcquireRequest request;
  request.set_name("nightly");
  request.set_lease_id("0190a6e0-0000-7000-8000-000000000001");
  request.set_owner("Ada");
  request.mutable_ttl()->set_seconds(30);
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

bool Parses(const std::string& bytes) {
  return ParseAndTranslate(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

TEST(RequestFuzzTest, NoBytesBreakParsingOrTranslation) {
  const google::protobuf::LogSilencer quiet;
  const char* given = std::getenv("QUARRY_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device()();
  std::cout << "seed " << seed << " (QUARRY_TEST_SEED repeats it)" << std::endl;
  std::mt19937_64 random(seed);
  const std::vector<std::string> rich = {RichWrite(),     RichQuery(),       RichList(),   RichAggregate(),
                                         RichUpdateWhere(), RichDeleteWhere(), RichAcquire()};
  std::vector<std::string> corpus;
  size_t accepted = 0;
  for (size_t type = 0; type < RequestTypeCount(); ++type) {
    for (const std::string& message : rich) {
      corpus.push_back(static_cast<char>(type) + message);
      accepted += Parses(corpus.back()) ? 1 : 0;
    }
  }
  EXPECT_GE(accepted, rich.size()) << "each is valid as what it is";
  int valid = 0;
  for (int i = 0; i < 50'000; ++i) {
    const std::string bytes = Mutate(corpus[random() % corpus.size()], random);
    const bool ok = Parses(bytes);
    valid += ok ? 1 : 0;
    if (ok && corpus.size() < 500) corpus.push_back(bytes);
  }
  EXPECT_GT(valid, 100);
}

}  // namespace
}  // namespace quarry
