#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class QueryTest : public QueryClusterTest {
 protected:
  struct Order {
    std::vector<OrderTerm> asked;
    std::vector<SortTerm> meant;
  };
  static std::vector<Order> Orders() {
    return {
        {{}, {At(0)}},
        {{By("id", true)}, {At(0, true)}},
        {{By("name")}, {At(1), At(0)}},
        {{By("name", true)}, {At(1, true, true), At(0)}},
        {{By("price", false, NullPlacement::kFirst)}, {At(2, false, true), At(0)}},
        {{By("price", true, NullPlacement::kLast), By("name")}, {At(2, true), At(1), At(0)}},
        {{By("rank"), By("id", true)}, {At(3), At(0, true)}},
        {{By("shop", true), By("price", true)}, {At(4, true), At(2, true, true), At(0)}},
        {{By("shop")}, {At(4), At(0)}},
        {{By("shop"), By("id", true)}, {At(4), At(0, true)}},
    };
  }
};

TEST_F(QueryTest, GivesTheRowsOfAllShardsInOneOrder) {
  Fill(Mixed(60));
  for (const Order& order : Orders()) {
    ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(ItemsBy(order.asked)));
    EXPECT_EQ(IdsOf(rows), IdsOf(Expected(order.meant)));
  }
  EXPECT_EQ(summary_.rows, 60);
  EXPECT_THAT(summary_.served_by.answered, ElementsAre(ShardId{0}, ShardId{1}, ShardId{2}));
}

TEST_F(QueryTest, CutsLimitAndOffsetFromTheWhole) {
  Fill(Mixed(40));
  for (const auto& [offset, limit] : std::vector<std::pair<int64_t, int64_t>>{{0, 1}, {0, 40}, {7, 9}, {39, 5}, {50, 5}, {12, 0}}) {
    QueryOperation op = ItemsBy({By("price")});
    op.offset = offset;
    op.limit = limit;
    std::vector<int64_t> expected = IdsOf(Expected({At(2), At(0)}));
    expected.erase(expected.begin(), expected.begin() + std::min<int64_t>(offset, 40));
    if (limit > 0 && expected.size() > static_cast<size_t>(limit)) expected.resize(static_cast<size_t>(limit));
    ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
    EXPECT_EQ(IdsOf(rows), expected) << offset << " " << limit;
  }
}

TEST_F(QueryTest, AsksOnlyTheShardsThatMayHaveRows) {
  Fill(Mixed(30));
  QueryOperation op = ItemsBy({});
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(4));
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
  EXPECT_THAT(IdsOf(rows), ElementsAre(4));
  EXPECT_THAT(summary_.served_by.asked, ElementsAre(ShardId{1}));
  op.filter = Compare("shop", CompareOp::kGreaterOrEqual, Value::Int64(2));
  op.target.shards = {"s2"};
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> some, QueryRows(op));
  EXPECT_EQ(some.size(), 10u);  // id % 3 is both the shop and the shard.
  EXPECT_THAT(summary_.served_by.asked, ElementsAre(ShardId{2}));
}

TEST_F(QueryTest, MakesEqualRowsOfSeveralShardsOneWhenDistinct) {
  Fill(Mixed(60));
  QueryOperation op = ItemsBy({By("price", true)});
  op.columns = {"shop", "price"};
  op.distinct = true;
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
  const std::vector<SortTerm> order = {At(1, true, true), At(0)};
  for (size_t i = 1; i < rows.size(); ++i) EXPECT_LT(CompareRows(rows[i - 1], rows[i], order), 0) << i;
  std::vector<Row> expected;
  for (const auto& [id, item] : items_) {
    const Row row = {Value::Int64(item.shop), item.row()[2]};
    const bool known = std::any_of(expected.begin(), expected.end(),
                                   [&](const Row& other) { return CompareRows(row, other, order) == 0; });
    if (!known) expected.push_back(row);
  }
  EXPECT_EQ(rows.size(), expected.size());
}

TEST_F(QueryTest, HidesTheSortKeysThatNobodyAskedFor) {
  Fill(Mixed(9));
  QueryOperation op = ItemsBy({By("price"), By("rank")});
  op.columns = {"name"};
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
  ASSERT_THAT(rows, SizeIs(9));
  const std::vector<Row> expected = Expected({At(2), At(3), At(0)});
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_THAT(rows[i], ElementsAre(expected[i][1]));
}

TEST_F(QueryTest, TellsAllMistakesAtOnce) {
  QueryOperation op = ItemsBy({By("prise"), By("name"), By("name")});
  op.columns = {"nam"};
  op.filter = Compare("shopp", CompareOp::kEqual, Value::Int64(1));
  op.limit = -1;
  const absl::Status status = QueryRows(op).status();
  EXPECT_THAT(status, HasReason(reason::kInvalidField));
  std::set<std::string> fields;
  for (const FieldViolation& violation : DetailOf(status).violations) fields.insert(violation.field);
  EXPECT_EQ(fields.size(), 5u) << status;
  EXPECT_TRUE(fields.count("order_by[0]") == 1 && fields.count("order_by[2]") == 1 && fields.count("limit") == 1);
  EXPECT_THAT(std::string(status.message()), HasSubstr("price"));
}

TEST_F(QueryTest, WalksPagesForwardAndBackInEveryOrder) {
  Fill(Mixed(45));
  for (const Order& order : Orders()) {
    for (const int64_t size : {1, 7, 45, 100}) {
      ListOperation op;
      op.query = ItemsBy(order.asked);
      op.page_size = size;
      const std::vector<int64_t> expected = IdsOf(Expected(order.meant));
      std::vector<std::string> tokens = {""};
      std::vector<std::vector<int64_t>> pages;
      std::string previous;
      while (true) {
        op.page_token = tokens.back();
        ASSERT_OK_AND_ASSIGN(const ListResult page, List(op));
        pages.push_back(IdsOf(page.rows));
        EXPECT_EQ(page.previous_page_token.empty(), tokens.size() == 1);
        previous = page.previous_page_token;
        if (page.next_page_token.empty()) break;
        tokens.push_back(page.next_page_token);
      }
      std::vector<int64_t> forward;
      for (const std::vector<int64_t>& page : pages) forward.insert(forward.end(), page.begin(), page.end());
      EXPECT_EQ(forward, expected);
      // Back again, page by page.
      for (size_t i = pages.size() - 1; i > 0; --i) {
        op.page_token = previous;
        ASSERT_OK_AND_ASSIGN(const ListResult page, List(op));
        EXPECT_EQ(IdsOf(page.rows), pages[i - 1]);
        EXPECT_FALSE(page.next_page_token.empty());
        previous = page.previous_page_token;
      }
      EXPECT_EQ(previous, "");
    }
  }
}

TEST_F(QueryTest, KeepsItsPlaceWhileRowsComeAndGo) {
  Fill(Mixed(60));
  ListOperation op;
  op.query = ItemsBy({By("price", true), By("name")});
  op.page_size = 5;
  const std::map<int64_t, Item> before = items_;
  std::multiset<int64_t> seen;
  int64_t fresh = 1'000;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const ListResult page, List(op));
    for (const int64_t id : IdsOf(page.rows)) seen.insert(id);
    if (page.next_page_token.empty()) break;
    op.page_token = page.next_page_token;
    // The last row of the page, so that the place itself is gone, and one more somewhere.
    Delete(page.rows.back()[0].int64_value());
    if (!items_.empty()) Delete(items_.begin()->first);
    for (Item item : Mixed(2)) {
      item.id = fresh++;
      Insert(item);
    }
  }
  for (const auto& [id, item] : before) {
    EXPECT_LE(seen.count(id), 1u) << id;
    if (items_.count(id) != 0) {
      EXPECT_EQ(seen.count(id), 1u) << id;
    }
  }
}

TEST_F(QueryTest, FindsTheWayBackFromAPageThatHasBecomeEmpty) {
  Fill(Mixed(6));
  ListOperation op;
  op.query = ItemsBy({});
  op.page_size = 3;
  ASSERT_OK_AND_ASSIGN(const ListResult first, List(op));
  for (const int64_t id : {3, 4, 5}) Delete(id);
  op.page_token = first.next_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult empty, List(op));
  EXPECT_THAT(empty.rows, IsEmpty());
  EXPECT_EQ(empty.next_page_token, "");
  op.page_token = empty.previous_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult again, List(op));
  EXPECT_THAT(IdsOf(again.rows), ElementsAre(0, 1, 2));
  EXPECT_EQ(again.previous_page_token, "");
}

TEST_F(QueryTest, RefusesTokensOfOtherRequestsAndForgeries) {
  Fill(Mixed(10));
  ListOperation op;
  op.query = ItemsBy({});
  op.page_size = 2;
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(op));
  op.page_token = page.next_page_token;
  op.query.request_hash = 12;
  const absl::Status other = List(op).status();
  EXPECT_THAT(other, HasReason(reason::kInvalidField));
  EXPECT_EQ(DetailOf(other).violations.at(0).field, "page_token");
  op.query.request_hash = 11;
  op.page_token[op.page_token.size() / 2] ^= 1;
  EXPECT_THAT(List(op), StatusIs(absl::StatusCode::kInvalidArgument));
  QueryOperation query = ItemsBy({});
  query.resume_token = "nonsense";
  const absl::Status forged = QueryRows(query).status();
  ASSERT_THAT(forged, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(DetailOf(forged).violations.at(0).field, "resume_token");
}

TEST_F(QueryTest, BringsRelatedRowsBesideAPage) {
  std::vector<Item> items = Mixed(6);
  for (Item& item : items) item.name = item.id % 2 == 0 ? "de" : "none";
  items[3].name = "pl";
  Fill(items);
  ListOperation op;
  op.query = ItemsBy({By("id", true)});
  op.query.columns = {"id"};
  op.page_size = 4;
  Include include;
  include.relation = "country";
  include.columns = {"name"};
  op.includes = {include};
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(op));
  EXPECT_THAT(IdsOf(page.rows), ElementsAre(5, 4, 3, 2));
  EXPECT_THAT(*page.header, SizeIs(1));
  EXPECT_THAT(page.rows[0], SizeIs(1));
  ASSERT_THAT(page.included, SizeIs(1));
  EXPECT_THAT(page.included[0].parents, ElementsAre(1u, 2u, 3u));
  EXPECT_THAT(page.included[0].rows, ElementsAre(Row{Value::Text("Germany")}, Row{Value::Text("Poland")}, Row{Value::Text("Germany")}));
  op.page_token = page.next_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult last, List(op));
  EXPECT_THAT(IdsOf(last.rows), ElementsAre(1, 0));
  op.page_token = last.previous_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult back, List(op));
  EXPECT_THAT(IdsOf(back.rows), ElementsAre(5, 4, 3, 2));
  EXPECT_THAT(back.included[0].parents, ElementsAre(1u, 2u, 3u));
}

TEST_F(QueryTest, CutsAPageShortBeforeItsReplyIsTooBig) {
  limits_.reply_bytes_max = 10'000;
  Restart();
  std::vector<Item> items = Mixed(30);
  for (Item& item : items) item.name = std::string(1'500, 'x');
  Fill(items);
  ListOperation op;
  op.query = ItemsBy({});
  op.page_size = 30;
  std::vector<int64_t> ids;
  size_t pages = 0;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const ListResult page, List(op));
    ++pages;
    EXPECT_LE(page.rows.size(), 6u);
    for (const int64_t id : IdsOf(page.rows)) ids.push_back(id);
    op.page_token = page.next_page_token;
    if (op.page_token.empty()) break;
  }
  EXPECT_EQ(ids, IdsOf(Expected({At(0)})));
  EXPECT_GE(pages, 5u);
  Item huge;
  huge.id = 100;
  huge.name = std::string(11'000, 'y');
  Insert(huge);
  op.query.filter = Compare("id", CompareOp::kEqual, Value::Int64(100));
  const absl::Status status = List(op).status();
  EXPECT_THAT(status, HasReason(reason::kLimitExceeded));
  EXPECT_EQ(DetailOf(status).facts.at("key"), "id");
}

TEST_F(QueryTest, ResumesAStreamAfterAnyBatch) {
  std::vector<Item> items = Mixed(60);
  for (Item& item : items) item.name = std::string(100'000, static_cast<char>('a' + item.id % 5));
  Fill(items);
  QueryOperation op = ItemsBy({By("name"), By("price", true)});
  op.limit = 55;
  std::vector<int64_t> expected = IdsOf(Expected({At(1), At(2, true, true), At(0)}));
  expected.resize(55);
  ASSERT_OK_AND_ASSIGN(const std::vector<QueryBatch> batches, Query(op));
  ASSERT_GT(batches.size(), 4u);
  std::vector<int64_t> sofar;
  for (const QueryBatch& batch : batches) {
    int64_t bytes = 0;
    for (const Row& row : batch.rows) {
      for (const Value& value : row) bytes += static_cast<int64_t>(ByteSize(value));
    }
    EXPECT_LE(bytes, 1 << 20);
    for (const int64_t id : IdsOf(batch.rows)) sofar.push_back(id);
    op.resume_token = batch.resume_token;
    ASSERT_OK_AND_ASSIGN(const std::vector<Row> rest, QueryRows(op));
    std::vector<int64_t> whole = sofar;
    for (const int64_t id : IdsOf(rest)) whole.push_back(id);
    EXPECT_EQ(whole, expected);
  }
}

TEST_F(QueryTest, TriesAShardThatDoesNotAnswerOnceMore) {
  Fill(Mixed(12));
  faults_[1]->Inject(Fault::kErrorBefore);
  faults_[2]->Inject(Fault::kNone);
  faults_[2]->Inject(Fault::kErrorAfter);
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(ItemsBy({})));
  EXPECT_EQ(rows.size(), 12u);
}

TEST_F(QueryTest, FailsAsAWholeNamingTheShardOrInPartWhenAllowed) {
  Fill(Mixed(12));
  QueryOperation op = ItemsBy({});
  faults_[1]->SetOptions({.error_before = 1});
  const absl::Status status = QueryRows(op).status();
  EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s1");
  op.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
  EXPECT_THAT(IdsOf(rows), ElementsAre(0, 2, 3, 5, 6, 8, 9, 11));
  ASSERT_THAT(summary_.failed, SizeIs(1));
  EXPECT_EQ(summary_.failed[0].first, ShardId{1});
  ListOperation list;
  list.query = op;
  list.page_size = 3;
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(list));
  EXPECT_THAT(IdsOf(page.rows), ElementsAre(0, 2, 3));
  EXPECT_THAT(page.failed, SizeIs(1));
  EXPECT_EQ(page.next_page_token, "") << "whoever went on would never meet the rows of s1";
}

TEST_F(QueryTest, NobodyPagesOnOverAHoleInEitherDirection) {
  Fill(Mixed(12));
  ListOperation list;
  list.query = ItemsBy({});
  list.query.allow_partial = true;
  list.page_size = 4;
  ASSERT_OK_AND_ASSIGN(const ListResult first, List(list));
  list.page_token = first.next_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult second, List(list));
  list.page_token = second.next_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult third, List(list));
  faults_[1]->SetOptions({.error_before = 1});
  list.page_token = first.next_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult forward, List(list));
  EXPECT_THAT(IdsOf(forward.rows), ElementsAre(5, 6, 8, 9));
  EXPECT_EQ(forward.next_page_token, "");
  EXPECT_NE(forward.previous_page_token, "");
  list.page_token = third.previous_page_token;
  ASSERT_OK_AND_ASSIGN(const ListResult back, List(list));
  EXPECT_THAT(IdsOf(back.rows), ElementsAre(2, 3, 5, 6));
  EXPECT_EQ(back.previous_page_token, "");
  faults_[1]->SetOptions({});
  ASSERT_OK_AND_ASSIGN(const ListResult whole, List(list));
  EXPECT_THAT(IdsOf(whole.rows), ElementsAre(4, 5, 6, 7));
  EXPECT_NE(whole.previous_page_token, "") << "the same token goes on when the shard is back";
}

TEST_F(QueryTest, ReadsAReferenceTableWhereSomebodyAnswers) {
  QueryOperation op;
  op.table = "countries";
  faults_[0]->SetOptions({.error_before = 1});
  faults_[2]->SetOptions({.error_before = 1});
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
    EXPECT_THAT(rows, SizeIs(3));
    EXPECT_THAT(summary_.served_by.answered, ElementsAre(ShardId{1}));
  }
}

TEST_F(QueryTest, LooksUpKeysThatOnlyTheDirectoryKnows) {
  ResolverRegistry registry;
  RegisterBuiltinResolvers(registry);
  ResolverSpec spec;
  spec.name = "placed";
  spec.type = "lookup";
  spec.key_columns = {"id"};
  spec.key_types = {ColumnType{TypeKind::kInt64, false, ""}};
  spec.shards = {"s0", "s1", "s2"};
  spec.options = nlohmann::json::parse(R"({"directory": {"shard": "s1"}})");
  // A resolver that has learnt nothing yet.
  const auto forget = [&] {
    auto snapshot = std::make_shared<Snapshot>(*snapshot_);
    snapshot->resolvers["sum"] = *registry.Make(spec);
    snapshot_ = snapshot;
  };
  forget();
  const KeyInput key = KeyOf({Value::Int64(4)});
  ASSERT_THAT(Run(engine_->MapKey("items", key, "s2", ctx_)), IsOk());
  Item item;
  item.id = 4;
  Insert(item);
  QueryOperation op = ItemsBy({});
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(4));
  forget();
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op));
  EXPECT_THAT(IdsOf(rows), ElementsAre(4));
  EXPECT_THAT(summary_.served_by.asked, ElementsAre(ShardId{2}));
  forget();
  BulkWriteOperation write;
  write.table = "items";
  write.filter = op.filter;
  write.deletes = true;
  ASSERT_OK_AND_ASSIGN(const BulkWriteResult written, WriteWhere(write));
  ASSERT_THAT(written.parts, SizeIs(1));
  EXPECT_EQ(written.parts[0].rows, 1);
  op.filter = Compare("id", CompareOp::kEqual, Value::Int64(5));
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> unknown, QueryRows(op));
  EXPECT_THAT(unknown, IsEmpty());
  EXPECT_THAT(summary_.served_by.asked, IsEmpty());
}

TEST_F(QueryTest, EndsWhenItReturnsMoreThanItsBounds) {
  Fill(Mixed(12));
  QueryOperation op = ItemsBy({});
  op.bounds.rows_max = 12;
  EXPECT_THAT(QueryRows(op), IsOk());
  op.bounds.rows_max = 11;
  const absl::Status rows = QueryRows(op).status();
  EXPECT_THAT(rows, HasReason(reason::kLimitExceeded));
  EXPECT_EQ(DetailOf(rows).facts.at("field"), "max_rows");
  op.bounds = ScatterBounds();
  op.bounds.bytes_max = 50;
  EXPECT_EQ(DetailOf(QueryRows(op).status()).facts["field"], "max_bytes");
  op.bounds = ScatterBounds();
  op.bounds.shards_max = 2;
  EXPECT_THAT(QueryRows(op), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(QueryTest, SeesItsTransactionsWritesOnEveryShard) {
  Fill(Mixed(12));
  const std::string id = *engine_->Begin(BeginOptions());
  WriteOperation write = WriteOf({MakeMutation(MutationKind::kDelete, "items", {}, KeyOf({Value::Int64(3)}))});
  ASSERT_THAT(Run(engine_->Write(write, id, ctx_)), IsOk());
  QueryOperation op = ItemsBy({});
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> all, QueryRows(op, id));
  EXPECT_THAT(all, SizeIs(11));
  op.target.shards = {"s0"};
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> rows, QueryRows(op, id));
  EXPECT_THAT(IdsOf(rows), ElementsAre(0, 6, 9));
  ListOperation list;
  list.query = op;
  list.page_size = 2;
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(list, id));
  EXPECT_THAT(IdsOf(page.rows), ElementsAre(0, 6));
  QueryOperation countries;
  countries.table = "countries";
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> reference, QueryRows(countries, id));
  EXPECT_THAT(reference, SizeIs(3));
  EXPECT_THAT(Run(engine_->Commit(id, false, ctx_)).status, IsOk());
  ASSERT_OK_AND_ASSIGN(const std::vector<Row> after, QueryRows(op));
  EXPECT_THAT(IdsOf(after), ElementsAre(0, 6, 9));
}

TEST_F(QueryTest, KeepsATransactionWhoseReaderHasEnough) {
  std::vector<Item> items = Mixed(30);
  for (Item& item : items) item.name = std::string(200'000, 'x');
  Fill(items);
  // Whether the transaction goes on when its reader goes after some turns of the loop: the database has read ahead by then.
  const auto keeps = [&](int turns) {
    const std::string id = *engine_->Begin(BeginOptions());
    QueryOperation op = ItemsBy({});
    op.target.shards = {"s0"};
    std::unique_ptr<QueryStream> stream = *Run(engine_->Query(op, id, ctx_));
    EXPECT_THAT(Run(stream->Next()), IsOk());
    for (int i = 0; i < turns; ++i) loop_.RunOnce(absl::Milliseconds(2));
    stream.reset();
    return Run(engine_->GetTransaction(id, ctx_))->state == TransactionState::kActive && Run(engine_->Commit(id, false, ctx_)).status.ok();
  };
  int turns = 50;  // On a busy machine they may be over before it has.
  while (turns < 5'000 && !keeps(turns)) turns *= 2;
  EXPECT_LT(turns, 5'000) << "its transaction ended each time";
}

TEST_F(QueryTest, AddsUpOverShards) {
  Fill(Mixed(30));
  AggregateOperation op;
  op.table = "items";
  op.group_by = {"shop"};
  AggregateTerm count;
  count.name = "n";
  AggregateTerm prices;
  prices.function = AggregateFunction::kCountDistinct;
  prices.column = "price";
  prices.name = "prices";
  op.aggregates = {count, prices};
  ASSERT_OK_AND_ASSIGN(const AggregateResult result, Run(engine_->Aggregate(op, "", ctx_)));
  ASSERT_THAT(result.rows, SizeIs(3));
  for (const Row& row : result.rows) EXPECT_EQ(row[1].int64_value(), 10);
  EXPECT_THAT(result.served_by.answered, SizeIs(3));
  faults_[1]->SetOptions({.error_before = 1});
  EXPECT_THAT(Run(engine_->Aggregate(op, "", ctx_)), HasReason(reason::kShardUnavailable));
  op.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const AggregateResult part, Run(engine_->Aggregate(op, "", ctx_)));
  EXPECT_THAT(part.rows, SizeIs(2));
  EXPECT_THAT(part.failed, SizeIs(1));
}

TEST_F(QueryTest, ExplainsItsRouteAndWhatIsCostly) {
  Fill(Mixed(30));
  QueryOperation op = ItemsBy({By("price")});
  op.filter = Compare("shop", CompareOp::kEqual, Value::Int64(1));
  op.offset = 5;
  ASSERT_OK_AND_ASSIGN(const Explanation plain, Run(engine_->Explain(op, false, ctx_)));
  EXPECT_THAT(plain.shards, SizeIs(3));
  EXPECT_THAT(plain.shards[0].sql, HasSubstr("WHERE"));
  EXPECT_EQ(plain.shards[0].database_plan, "");
  EXPECT_THAT(plain.warnings, SizeIs(2));
  ASSERT_OK_AND_ASSIGN(const Explanation analyzed, Run(engine_->Explain(op, true, ctx_)));
  EXPECT_THAT(analyzed.shards[1].database_plan, HasSubstr("SCAN"));
  int64_t rows = 0;
  for (const Explanation::ShardSql& shard : analyzed.shards) {
    EXPECT_THAT(shard.status, IsOk());
    rows += shard.rows;
  }
  EXPECT_EQ(rows, 10);
  EXPECT_THAT(analyzed.warnings, SizeIs(5));
  EXPECT_THAT(analyzed.warnings.back(), HasSubstr("(shop)"));
}

}  // namespace
}  // namespace quarry
