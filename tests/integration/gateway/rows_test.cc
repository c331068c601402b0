// Rows by key: every read and write of DataService, through a real client, on every kind of table.
#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::Key;
using client::Mutation;
using client::MutationOptions;
using client::Record;
using client::Value;

QUARRY_GATEWAY_SUITE(RowsTest);

MutationOptions Returning(std::vector<std::string> columns) {
  MutationOptions options;
  options.returning = std::move(columns);
  return options;
}

TEST_P(RowsTest, AnInsertedRowIsReadBackWithDefaultsAndLivesOnTheShardOfItsKeyAlone) {
  for (int shard = 0; shard < shards(); ++shard) {
    const int64_t id = gateway_.NewCustomerOn(shard);
    ASSERT_OK_AND_ASSIGN(const client::WriteResult written,
                         client().Insert("customers", {{"id", id}, {"name", "Ada"}}, Returning({"*"})));
    EXPECT_EQ(written.key["id"], Value(id));
    EXPECT_EQ(written.record["visits"], Value(0));
    EXPECT_TRUE(written.record["email"].is_null());
    EXPECT_FALSE(written.etag.empty());
    EXPECT_EQ(written.served_by.shards_answered(0), TestGateway::ShardName(shard));
    ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {id}));
    EXPECT_EQ(read.record.size(), 5);
    EXPECT_EQ(read.record["name"], Value("Ada"));
    EXPECT_EQ(read.etag, written.etag);
    ASSERT_EQ(read.served_by.shards_asked_size(), 1);
    EXPECT_EQ(read.served_by.shards_asked(0), TestGateway::ShardName(shard));
    EXPECT_EQ(read.served_by.role(), v1::ROLE_PRIMARY);
    EXPECT_GT(read.served_by.epoch(), 0);
    EXPECT_EQ(CopiesOf(id), 1);
    EXPECT_EQ(NumberOn(gateway_, shard, absl::StrCat("SELECT count(*) FROM customers WHERE id = ", id)), 1);
  }
}

TEST_P(RowsTest, AReadGivesTheColumnsThatWereAskedForByPositionOrByNameOfTheKey) {
  const int64_t id = AddCustomer();
  client::ReadOptions options;
  options.columns = {"name", "visits"};
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", Key::ByName({{"id", id}}), options));
  EXPECT_EQ(read.record.size(), 2);
  EXPECT_EQ(read.record["visits"], Value(0));
  EXPECT_TRUE(read.etag.empty()) << "an etag is made of all columns";
  EXPECT_THAT(client().Get("customers", {gateway_.NewId()}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
}

TEST_P(RowsTest, ABatchGetFindsRowsOfAllShardsInOrderWithDuplicatesAndMissingOnes) {
  std::vector<Key> keys;
  std::vector<int64_t> ids;
  std::vector<int> missing;
  for (int round = 0; round < 3; ++round) {
    for (int shard = 0; shard < shards(); ++shard) {
      ids.push_back(round == 1 ? gateway_.NewCustomerOn(shard) : AddCustomer(shard));
      if (round == 1) missing.push_back(static_cast<int>(keys.size()));
      keys.push_back({ids.back()});
    }
  }
  keys.push_back(keys.front());
  ids.push_back(ids.front());
  ASSERT_OK_AND_ASSIGN(const client::BatchGetResult batch, client().BatchGet("customers", keys));
  ASSERT_EQ(batch.rows.size(), keys.size());
  EXPECT_EQ(batch.missing, missing);
  EXPECT_EQ(batch.served_by.shards_asked_size(), shards());
  EXPECT_EQ(batch.served_by.shards_answered_size(), shards());
  for (size_t i = 0; i < keys.size(); ++i) {
    const bool absent = std::find(missing.begin(), missing.end(), static_cast<int>(i)) != missing.end();
    ASSERT_EQ(batch.rows[i].has_value(), !absent) << i;
    if (absent) continue;
    EXPECT_EQ(batch.rows[i]->record["id"], Value(ids[i]));
    ASSERT_OK_AND_ASSIGN(const client::ReadResult alone, client().Get("customers", keys[i]));
    EXPECT_EQ(batch.rows[i]->etag, alone.etag);
  }
}

TEST_P(RowsTest, AnUpdateTouchesOnlyTheColumnsThatArePresentAndNullIsNotAbsent) {
  const int64_t id = gateway_.NewId();
  ASSERT_THAT(client().Insert("customers", {{"id", id}, {"name", "A"}, {"email", absl::StrCat(id, "@x")}, {"visits", 3}}),
              IsOk());
  ASSERT_OK_AND_ASSIGN(client::WriteResult written,
                       client().Update("customers", {id}, {{"visits", 4}}, Returning({"visits", "email", "name"})));
  EXPECT_EQ(written.record.size(), 3);
  EXPECT_EQ(written.record["visits"], Value(4));
  EXPECT_EQ(written.record["email"], Value(absl::StrCat(id, "@x")));
  ASSERT_OK_AND_ASSIGN(written, client().Update("customers", {id}, {{"email", nullptr}}, Returning({"*"})));
  EXPECT_TRUE(written.record["email"].is_null());
  EXPECT_EQ(written.record["visits"], Value(4));
  EXPECT_THAT(client().Update("customers", {id}, {{"name", nullptr}}).status(),
              testing::AnyOf(Fails(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation),
                             InvalidAt("record.name")));
  EXPECT_THAT(client().Update("customers", {gateway_.NewId()}, {{"visits", 1}}),
              Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
}

TEST_P(RowsTest, AnUpsertMakesTheRowOrChangesTheGivenColumns) {
  const int64_t id = gateway_.NewId();
  ASSERT_THAT(client().Upsert("customers", {{"id", id}, {"name", "A"}, {"visits", 5}}), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::WriteResult written,
                       client().Upsert("customers", {{"id", id}, {"name", "B"}}, Returning({"*"})));
  EXPECT_EQ(written.record["name"], Value("B"));
  EXPECT_EQ(written.record["visits"], Value(5)) << "an absent column stays as it was";
  MutationOptions must_exist;
  must_exist.exists = true;
  MutationOptions must_not;
  must_not.exists = false;
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "C"}}, must_exist), IsOk());
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "D"}}, must_not),
              Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  EXPECT_THAT(client().Upsert("customers", {{"id", gateway_.NewId()}, {"name", "E"}}, must_exist),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed));
  // A row that must be there needs none of what only a new one does.
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"visits", 6}}, must_exist), IsOk());
  EXPECT_THAT(client().Upsert("customers", {{"id", id}}, must_exist), IsOk());
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {id}));
  EXPECT_EQ(read.record["name"], Value("C"));
  EXPECT_EQ(read.record["visits"], Value(6));
}

TEST_P(RowsTest, AWriteReturnsWhatTriggersMadeOfItsRow) {
  const int64_t id = gateway_.NewId();
  const auto expect_stored = [&](absl::StatusOr<client::WriteResult> written, const char* body, int changes) {
    ASSERT_THAT(written, IsOk());
    EXPECT_EQ(written->record["body"], Value(body));
    EXPECT_EQ(written->record["changes"], Value(changes));
    ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("stamps", {id}));
    EXPECT_EQ(read.etag, written->etag) << "or the next write with it fails";
  };
  expect_stored(client().Insert("stamps", {{"id", id}, {"body", "one"}}, Returning({"*"})), "ONE", 1);
  absl::StatusOr<client::WriteResult> last = client().Update("stamps", {id}, {{"body", "two"}}, Returning({"*"}));
  expect_stored(last, "TWO", 2);
  MutationOptions chained = Returning({"*"});
  chained.etag = last->etag;
  last = client().Upsert("stamps", {{"id", id}, {"body", "three"}}, chained);
  expect_stored(last, "THREE", 3);
  expect_stored(client().Upsert("stamps", {{"id", id}, {"body", "four"}}, Returning({"*"})), "FOUR", 4);
  ASSERT_OK_AND_ASSIGN(client::WriteResult deleted, client().Delete("stamps", {id}, Returning({"*"})));
  EXPECT_EQ(deleted.record["body"], Value("FOUR"));
}

TEST_P(RowsTest, AnInsertWhoseKeyTheDatabaseMakesReturnsWhatTriggersMadeOfIt) {
  ASSERT_OK_AND_ASSIGN(client::WriteResult written, client().Insert("notes", {{"body", "  a note "}}, Returning({"*"})));
  EXPECT_EQ(written.record["body"], Value("a note"));
  ASSERT_OK_AND_ASSIGN(client::ReadResult read, client().Get("notes", {written.record["id"]}));
  EXPECT_EQ(read.record["body"], Value("a note"));
  EXPECT_EQ(read.etag, written.etag);
}

TEST_P(RowsTest, ADefaultTimeIsFoundAgain) {
  const int64_t base = gateway_.NewId();
  std::vector<int64_t> ids = {base};
  while (ids.size() < 6) ids.push_back(gateway_.NewId());
  for (const int64_t id : ids) ASSERT_THAT(client().Insert("stamps", {{"id", id}}), IsOk());
  client::ListOptions by_time;
  by_time.order_by = {{"created"}};
  by_time.page_size = 2;
  const client::Filter mine("id >= @first AND id <= @last", {{"first", ids.front()}, {"last", ids.back()}});
  std::vector<int64_t> seen;
  do {
    ASSERT_OK_AND_ASSIGN(const v1::ListResponse page, client().List("stamps", mine, by_time));
    for (const v1::Row& row : page.rows()) seen.push_back(row.values(0).int64_value());
    by_time.page_token = page.next_page_token();
    ASSERT_LE(seen.size(), ids.size()) << "a page again and again";
  } while (!by_time.page_token.empty());
  EXPECT_THAT(seen, testing::UnorderedElementsAreArray(ids));
  ASSERT_OK_AND_ASSIGN(client::ReadResult read, client().Get("stamps", {base}));
  ASSERT_OK_AND_ASSIGN(const v1::ListResponse same,
                       client().List("stamps", client::Filter("id = @id AND created = @at", {{"id", base}, {"at", read.record["created"]}})));
  EXPECT_EQ(same.rows_size(), 1);
}

TEST_P(RowsTest, ADeleteReturnsTheRowAsItWas) {
  const int64_t id = AddCustomer();
  ASSERT_OK_AND_ASSIGN(const client::WriteResult deleted, client().Delete("customers", {id}, Returning({"*"})));
  EXPECT_EQ(deleted.record["name"], Value(absl::StrCat("customer ", id)));
  EXPECT_THAT(client().Get("customers", {id}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  EXPECT_THAT(client().Delete("customers", {id}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
}

TEST_P(RowsTest, AnEtagGuardsUpdatesUpsertsAndDeletes) {
  const int64_t id = AddCustomer();
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {id}));
  MutationOptions first = Returning({"*"});
  first.etag = read.etag;
  ASSERT_OK_AND_ASSIGN(const client::WriteResult written, client().Update("customers", {id}, {{"visits", 1}}, first));
  EXPECT_NE(written.etag, read.etag);
  const auto stale = Fails(absl::StatusCode::kAborted, reason::kEtagMismatch);
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 2}}, first), stale);
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "x"}}, first), stale);
  EXPECT_THAT(client().Delete("customers", {id}, first), stale);
  MutationOptions fresh;
  fresh.etag = written.etag;
  EXPECT_THAT(client().Delete("customers", {id}, fresh), IsOk());
  const auto missing = Fails(absl::StatusCode::kNotFound, reason::kRowNotFound);
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 1}}, fresh), missing);
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "x"}}, fresh), missing) << "an etag wants its row";
  fresh.exists = true;
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "x"}}, fresh),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed));
}

TEST_P(RowsTest, AFilterGuardsUpdatesUpsertsAndDeletes) {
  const int64_t id = AddCustomer();
  MutationOptions seen;
  seen.filter = "visits = @read AND name LIKE 'customer%'";
  seen.params = {{"read", 0}};
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 1}}, seen), IsOk());
  const auto refused = Fails(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed);
  EXPECT_THAT(client().Update("customers", {id}, {{"visits", 2}}, seen), refused) << "the version column has moved on";
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "x"}}, seen), refused);
  EXPECT_THAT(client().Delete("customers", {id}, seen), refused);
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {id}));
  EXPECT_EQ(read.record["visits"], Value(1));
  EXPECT_NE(read.record["name"], Value("x"));
  seen.params = {{"read", 1}};
  seen.etag = read.etag;
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "customer x"}}, seen), IsOk());
  seen.etag.clear();
  EXPECT_THAT(client().Delete("customers", {id}, seen), IsOk());
  EXPECT_THAT(client().Delete("customers", {id}, seen), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  EXPECT_THAT(client().Upsert("customers", {{"id", id}, {"name", "x"}}, seen),
              Fails(absl::StatusCode::kNotFound, reason::kRowNotFound)) << "a filter wants its row";
}

TEST_P(RowsTest, AFilterThatRefusesOneRowLeavesTheWholeCommitUndone) {
  const int64_t here = gateway_.NewCustomerOn(0);
  const int64_t there = gateway_.NewCustomerOn(1);
  for (const int64_t id : {here, there}) {
    ASSERT_THAT(client().Insert("customers", {{"id", id}, {"name", "A"}, {"visits", id == here ? 5 : 1}}), IsOk());
  }
  const auto take = [&](int64_t id) {
    MutationOptions enough;
    enough.filter = "visits >= 3";
    return client::Mutation::Update("customers", {id}, {{"visits", 0}}, enough);
  };
  EXPECT_THAT(client().CommitMutations({take(here), take(there)}),
              Fails(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed));
  ASSERT_OK_AND_ASSIGN(const client::ReadResult kept, client().Get("customers", {here}));
  EXPECT_EQ(kept.record["visits"], Value(5));
  ASSERT_OK_AND_ASSIGN(const auto apart, client().BatchWrite({take(here), take(there)}));
  EXPECT_THAT(apart[0], IsOk());
  EXPECT_THAT(apart[1], Fails(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed));
}

TEST_P(RowsTest, ConstraintsAreNamedAndNothingIsApplied) {
  const int shard = 1;
  const int64_t first = gateway_.NewCustomerOn(shard);
  const int64_t second = gateway_.NewCustomerOn(shard);
  const std::string email = absl::StrCat(first, "@example.com");
  ASSERT_THAT(client().Insert("customers", {{"id", first}, {"name", "A"}, {"email", email}}), IsOk());
  const auto unique = Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation);
  const auto violated = Fails(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation);
  absl::Status status = client().Insert("customers", {{"id", first}, {"name", "again"}}).status();
  EXPECT_THAT(status, unique);
  EXPECT_EQ(Fact(status, "columns"), "id");
  EXPECT_EQ(Fact(status, "shard"), TestGateway::ShardName(shard));
  status = client().Insert("customers", {{"id", second}, {"name", "B"}, {"email", email}}).status();
  EXPECT_THAT(status, unique);
  EXPECT_EQ(Fact(status, "columns"), "email");
  EXPECT_FALSE(Fact(status, "constraint").empty());
  EXPECT_EQ(Fact(status, "item"), "") << "one mutation has no place among others";
  EXPECT_EQ(status.message().find(email), absl::string_view::npos) << "row data stays out of errors";
  status = client().Update("customers", {first}, {{"visits", -1}}).status();
  EXPECT_THAT(status, violated);
  EXPECT_EQ(Fact(status, "constraint"), "customers_visits_check");
  status = client().Insert("orders", {{"customer_id", second}, {"order_id", 1}}).status();
  EXPECT_THAT(status, violated) << "the customer does not exist";
  EXPECT_THAT(client().Get("customers", {second}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  EXPECT_THAT(client().Insert("orders", {{"customer_id", first}, {"order_id", 1}}), IsOk());
  EXPECT_THAT(client().Delete("customers", {first}), violated) << "an order refers to it";
}

TEST_P(RowsTest, CompositeKeysAndCoLocatedChildrenLiveBesideTheirParents) {
  const int64_t id = AddCustomer();
  ASSERT_THAT(client().Insert("orders", {{"customer_id", id}, {"order_id", 7}, {"total", Value::Decimal("10.50")}}), IsOk());
  for (int line = 1; line <= 3; ++line) {
    ASSERT_THAT(client().Insert("order_items", {{"customer_id", id}, {"order_id", 7}, {"line", line}}), IsOk());
  }
  EXPECT_EQ(gateway_.ShardOf("orders", {id, 7}), gateway_.ShardOf("customers", {id}));
  EXPECT_EQ(gateway_.ShardOf("order_items", {id, 7, 1}), gateway_.ShardOf("customers", {id}));
  ASSERT_OK_AND_ASSIGN(const client::ReadResult order,
                       client().Get("orders", Key::ByName({{"order_id", 7}, {"customer_id", id}})));
  EXPECT_EQ(order.record["status"], Value("open"));
  EXPECT_EQ(order.record["total"], Value::Decimal("10.50"));
  ASSERT_OK_AND_ASSIGN(const client::BatchGetResult lines,
                       client().BatchGet("order_items", {{id, 7, 3}, {id, 7, 9}, {id, 7, 1}}));
  EXPECT_EQ(lines.missing, std::vector<int>{1});
  EXPECT_EQ(lines.rows[0]->record["line"], Value(3));
}

v1::InsertRequest GeneratingInsert(const std::string& table, v1::ColumnGenerator generator, const Record& record) {
  v1::InsertRequest request;
  request.set_table(table);
  *request.mutable_record() = record.proto();
  v1::GeneratedColumn* column = request.add_generate();
  column->set_column("id");
  column->set_generator(generator);
  return request;
}

TEST_P(RowsTest, TheGatewayMakesKeysOnRequestAndTheyFindTheirRows) {
  std::set<std::string> used;
  int64_t last = 0;
  for (int i = 0; i < 8; ++i) {
    const v1::InsertRequest uuid = GeneratingInsert("documents", v1::COLUMN_GENERATOR_UUID_V7, {{"title", "t"}});
    ASSERT_OK_AND_ASSIGN(const v1::InsertResponse document, raw().Insert(uuid, Soon()));
    const std::string id = document.key().columns().at("id").uuid_value();
    EXPECT_EQ(id.substr(14, 1), "7");
    EXPECT_TRUE(used.insert(id).second);
    ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("documents", {Value::Uuid(id)}));
    EXPECT_EQ(read.served_by.shards_asked(0), gateway_.ShardOf("documents", {Value::Uuid(id)}));
    const v1::InsertRequest number =
        GeneratingInsert("customers", v1::COLUMN_GENERATOR_INT64_TIME_ORDERED, {{"name", "g"}});
    ASSERT_OK_AND_ASSIGN(const v1::InsertResponse customer, raw().Insert(number, Soon()));
    const int64_t key = customer.key().columns().at("id").int64_value();
    EXPECT_GT(key, 0);
    EXPECT_NE(key, last);
    last = key;
    EXPECT_THAT(client().Get("customers", {key}), IsOk());
  }
}

TEST_P(RowsTest, AGeneratedKeyIsTheSameInARetryAlsoWhereItChoosesTheShard) {
  v1::InsertRequest note = GeneratingInsert("notes", v1::COLUMN_GENERATOR_INT64_TIME_ORDERED, {{"body", "b"}});
  note.set_request_id(NewUuid());
  ASSERT_OK_AND_ASSIGN(const v1::InsertResponse first, raw().Insert(note, Soon()));
  ASSERT_OK_AND_ASSIGN(const v1::InsertResponse again, raw().Insert(note, Soon()));
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.key().columns().at("id").int64_value(), first.key().columns().at("id").int64_value());
  ASSERT_THAT(client().Delete("notes", {first.key().columns().at("id").int64_value()}), IsOk());
  for (int i = 0; i < 12; ++i) {
    v1::InsertRequest document = GeneratingInsert("documents", v1::COLUMN_GENERATOR_UUID_V7, {{"title", "t"}});
    document.set_request_id(NewUuid());
    ASSERT_OK_AND_ASSIGN(const v1::InsertResponse made, raw().Insert(document, Soon()));
    ASSERT_OK_AND_ASSIGN(const v1::InsertResponse replayed, raw().Insert(document, Soon()));
    EXPECT_TRUE(replayed.replayed());
    EXPECT_EQ(replayed.key().columns().at("id").uuid_value(), made.key().columns().at("id").uuid_value());
  }
}

TEST_P(RowsTest, TheDatabaseMakesKeysAndDefaultsOfASingleTable) {
  ASSERT_OK_AND_ASSIGN(const client::WriteResult first, client().Insert("notes", {{"body", "one"}}));
  ASSERT_OK_AND_ASSIGN(const client::WriteResult second,
                       client().Insert("notes", {{"created", Value::Timestamp(absl::FromUnixSeconds(1'700'000'000))}},
                                       Returning({"body"})));
  EXPECT_EQ(second.record["body"], Value("empty"));
  EXPECT_GT(second.key["id"].AsInt64().value_or(0), first.key["id"].AsInt64().value_or(0));
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("notes", {first.key["id"]}));
  EXPECT_EQ(read.record["body"], Value("one"));
  EXPECT_EQ(read.served_by.shards_asked(0), "s1");
  EXPECT_THAT(client().Upsert("notes", {{"body", "two"}}), InvalidAt("record"));
}

TEST_P(RowsTest, AReferenceTableIsWrittenOnEveryShardAndReadOnAny) {
  const std::string code = absl::StrCat("c", gateway_.NewId());
  ASSERT_OK_AND_ASSIGN(const client::WriteResult written,
                       client().Insert("countries", {{"code", code}, {"name", code + " land"}}, Returning({"*"})));
  EXPECT_EQ(written.record["visits"], Value(7)) << "every shard has the default that the first one made";
  EXPECT_EQ(written.served_by.shards_answered_size(), shards());
  const auto on_all = [&](const std::string& sql) {
    for (int shard = 0; shard < shards(); ++shard) EXPECT_EQ(NumberOn(gateway_, shard, sql), 1) << shard << " " << sql;
  };
  on_all("SELECT count(*) FROM countries WHERE visits = 7 AND code = '" + code + "'");
  ASSERT_THAT(client().Update("countries", {code}, {{"visits", 9}}), IsOk());
  on_all("SELECT count(*) FROM countries WHERE visits = 9 AND code = '" + code + "'");
  ASSERT_THAT(client().Upsert("countries", {{"code", code}, {"name", code + " land"}, {"visits", 10}}), IsOk());
  on_all("SELECT count(*) FROM countries WHERE visits = 10 AND code = '" + code + "'");
  std::set<std::string> readers;
  for (int i = 0; i < 40; ++i) {
    ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("countries", {code}));
    readers.insert(read.served_by.shards_asked(0));
  }
  EXPECT_GT(readers.size(), 1U) << "reads spread over the shards";
  EXPECT_THAT(client().Insert("countries", {{"code", code}, {"name", "other"}}),
              Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  ASSERT_THAT(client().Delete("countries", {code}), IsOk());
  on_all("SELECT 1 - count(*) FROM countries WHERE code = '" + code + "'");
  EXPECT_THAT(client().Delete("countries", {code}), Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
}

TEST_P(RowsTest, ABatchWriteTellsForEachMutationHowItFared) {
  const int64_t there = AddCustomer(0);
  const int64_t fresh = gateway_.NewCustomerOn(1);
  const std::string code = absl::StrCat("b", fresh);
  const std::vector<Mutation> mutations = {
      Mutation::Insert("customers", {{"id", fresh}, {"name", "B"}}, Returning({"visits"})),
      Mutation::Insert("customers", {{"id", there}, {"name", "again"}}),
      Mutation::Update("customers", {there}, {{"visits", 11}}),
      Mutation::Delete("customers", {gateway_.NewId()}),
      Mutation::Update("customers", {there}, {{"visits", -1}}),
      Mutation::Insert("customers", {{"id", "text"}, {"name", "C"}}),
      Mutation::Insert("nowhere", {{"id", 1}}),
      Mutation::Insert("countries", {{"code", code}, {"name", code}}),
      Mutation::Upsert("settings", {{"name", code}, {"value", "v"}}),
  };
  ASSERT_OK_AND_ASSIGN(const auto results, client().BatchWrite(mutations));
  ASSERT_EQ(results.size(), mutations.size());
  EXPECT_THAT(results[0], IsOk());
  EXPECT_EQ(results[0]->record["visits"], Value(0));
  EXPECT_THAT(results[1], Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  EXPECT_THAT(results[2], IsOk());
  EXPECT_THAT(results[3], Fails(absl::StatusCode::kNotFound, reason::kRowNotFound));
  EXPECT_THAT(results[4], Fails(absl::StatusCode::kFailedPrecondition, reason::kConstraintViolation));
  EXPECT_THAT(results[5], InvalidAt("mutations[5].record.id"));
  EXPECT_THAT(results[6], Fails(absl::StatusCode::kNotFound, reason::kTableNotFound));
  EXPECT_THAT(results[7], IsOk());
  EXPECT_THAT(results[8], IsOk());
  ASSERT_OK_AND_ASSIGN(const client::ReadResult read, client().Get("customers", {there}));
  EXPECT_EQ(read.record["visits"], Value(11));
  EXPECT_THAT(client().Get("countries", {code}), IsOk());
  EXPECT_THAT(client().Get("settings", {code}), IsOk());
}

TEST_P(RowsTest, ACommitIsAllOrNothingOnOneShardAndOnSeveral) {
  const int64_t a = gateway_.NewCustomerOn(0);
  const int64_t b = gateway_.NewCustomerOn(0);
  const int64_t elsewhere = gateway_.NewCustomerOn(1);
  const auto insert = [](int64_t id) { return Mutation::Insert("customers", {{"id", id}, {"name", "n"}}); };
  const absl::Status crossing = client().CommitMutations({insert(a), insert(elsewhere), insert(a)}).status();
  EXPECT_THAT(crossing, Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  EXPECT_EQ(Fact(crossing, "item"), "2");
  EXPECT_EQ(CopiesOf(a) + CopiesOf(elsewhere), 0);
  const int64_t c = gateway_.NewCustomerOn(0);
  client::CallOptions once;
  once.request_id = NewUuid();
  ASSERT_OK_AND_ASSIGN(const client::CommitResult both, client().CommitMutations({insert(c), insert(elsewhere)}, once));
  EXPECT_EQ(both.served_by.shards_answered_size(), 2);
  EXPECT_FALSE(both.replayed);
  EXPECT_FALSE(both.transaction_id.empty());
  EXPECT_EQ(CopiesOf(c) + CopiesOf(elsewhere), 2);
  ASSERT_OK_AND_ASSIGN(const client::CommitResult again, client().CommitMutations({insert(c), insert(elsewhere)}, once));
  EXPECT_TRUE(again.replayed);
  EXPECT_EQ(CopiesOf(c) + CopiesOf(elsewhere), 2);
  const absl::Status half = client().CommitMutations({insert(a), insert(b), insert(a)}).status();
  EXPECT_THAT(half, Fails(absl::StatusCode::kAlreadyExists, reason::kUniqueViolation));
  EXPECT_EQ(Fact(half, "item"), "2");
  EXPECT_EQ(CopiesOf(a) + CopiesOf(b), 0);
  ASSERT_OK_AND_ASSIGN(
      const client::CommitResult done,
      client().CommitMutations({insert(a), insert(b), Mutation::Insert("orders", {{"customer_id", a}, {"order_id", 1}}),
                                Mutation::Update("customers", {b}, {{"visits", 2}}, Returning({"visits"}))}));
  ASSERT_EQ(done.results.size(), 4U);
  EXPECT_EQ(done.results[3].record["visits"], Value(2));
  EXPECT_EQ(done.served_by.shards_answered(0), "s0");
  EXPECT_EQ(CopiesOf(a) + CopiesOf(b), 2);
}

}  // namespace
}  // namespace quarry::gateway_test
