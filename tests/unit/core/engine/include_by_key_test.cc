// Relations whose rows live on shards of their own: read by key beside a page.
#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/core/engine/cluster.h"
#include "tests/unit/core/engine/query_cluster.h"

namespace quarry {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

RelationDeclaration To(std::string name, std::string table, std::string column) {
  RelationDeclaration relation;
  relation.name = std::move(name);
  relation.table = std::move(table);
  relation.columns = {std::move(column)};
  relation.references = {"id"};
  return relation;
}

// notes(id, author) sharded by id, users(id, name) by id: an author's shard is rarely the note's. clerks(id, name), whose keys are of
// a narrower type than author, on s0 alone.
class IncludeStatementsTest : public ClusterTest {
 protected:
  IncludeStatementsTest() : asked_(scripts_.size()) {
    TableDeclaration notes = Declare("notes", TableKind::kSharded, {"id"});
    notes.relations = {To("author", "users", "author"), To("clerk", "clerks", "author")};
    const auto people = [](const std::string& name, TypeKind id) {
      return MakeSchema(name, {MakeColumn("id", id, false), MakeColumn("name", TypeKind::kText)}, {"id"});
    };
    snapshot_ = MakeSnapshot(
        scripts_.size(), {Dialect::kPostgres},
        {{notes, MakeSchema("notes", {MakeColumn("id", TypeKind::kInt64, false), MakeColumn("author", TypeKind::kInt64)}, {"id"})},
         {Declare("users", TableKind::kSharded, {"id"}), people("users", TypeKind::kInt64)},
         {Declare("clerks", TableKind::kSingle), people("clerks", TypeKind::kInt32)}});
    for (size_t shard = 0; shard < scripts_.size(); ++shard) {
      scripts_[shard].step = [this, shard](const Step& step) -> absl::StatusOr<StepResult> {
        std::vector<Row> rows;
        const Value& keys = step.statements.at(0).params.at(0);
        for (const Value& key : keys.kind() == ValueKind::kArray ? keys.elements() : std::vector<Value>{keys}) {
          rows.push_back({key, Value::Text(absl::StrCat("user ", key.int64_value()))});
          asked_[shard].push_back(key.int64_value());
        }
        return RowsResult(std::move(rows));
      };
    }
    Restart();
  }
  absl::StatusOr<ListResult> NotesOf(const std::vector<Value>& authors, const std::string& relation) {
    for (size_t id = 0; id < authors.size(); ++id) {
      RowBatch batch;
      batch.rows.push_back({Value::Int64(static_cast<int64_t>(id)), authors[id]});
      scripts_[id % scripts_.size()].stream.push_back(std::move(batch));
    }
    op_.query.table = "notes";
    op_.includes = {{relation, {}, 0}};
    op_.page_size = 100;
    return RunNow(loop_, engine_->List(op_, none_, ctx_));
  }
  // What shard was asked for users, and how often.
  int64_t StatementsOf(size_t shard) const {
    const std::vector<std::string>& log = scripts_[shard].log;
    return std::count_if(log.begin(), log.end(), [](const std::string& line) { return line.find("\"users\"") != std::string::npos; });
  }

  ListOperation op_;
  std::vector<std::vector<int64_t>> asked_;  // By shard.
};

TEST_F(IncludeStatementsTest, OneStatementToEachShardForAllRowsOfThePage) {
  std::vector<Value> authors;
  for (int64_t id = 0; id < 30; ++id) authors.push_back(Value::Int64((id * 7 + 1) % 9));
  ASSERT_OK_AND_ASSIGN(const ListResult page, NotesOf(authors, "author"));
  ASSERT_THAT(page.rows, SizeIs(30));
  ASSERT_THAT(page.included, SizeIs(1));
  ASSERT_THAT(page.included[0].rows, SizeIs(30));
  for (uint32_t id = 0; id < 30; ++id) {
    EXPECT_EQ(page.included[0].parents[id], id);
    EXPECT_EQ(page.included[0].rows[id][0], authors[id]);
  }
  for (size_t shard = 0; shard < 3; ++shard) EXPECT_EQ(StatementsOf(shard), 1) << shard;
  EXPECT_THAT(asked_[0], UnorderedElementsAre(0, 3, 6));
  EXPECT_THAT(asked_[1], UnorderedElementsAre(1, 4, 7));
  EXPECT_THAT(asked_[2], UnorderedElementsAre(2, 5, 8));
}

TEST_F(IncludeStatementsTest, NobodyIsAskedForWhatNoKeyCanBe) {
  ASSERT_OK_AND_ASSIGN(const ListResult page, NotesOf({Value::Null(), Value::Int64(int64_t{1} << 40), Value::Int64(4)}, "clerk"));
  EXPECT_THAT(page.rows, SizeIs(3));
  EXPECT_THAT(page.included.at(0).parents, ElementsAre(2u));
  EXPECT_THAT(asked_[0], ElementsAre(4));
}

// An item's seller is the item whose id is its shop.
class IncludeByKeyTest : public QueryClusterTest {
 protected:
  IncludeByKeyTest() {
    std::vector<Dialect> dialects;
    for (const std::unique_ptr<TestDatabase>& database : databases_) dialects.push_back(database->dialect());
    TableDeclaration items = Declare("items", TableKind::kSharded, {"id"});
    items.relations.push_back(To("seller", "items", "shop"));
    snapshot_ = MakeSnapshot(databases_.size(), dialects, {{items, databases_[0]->Introspect({"items"})->tables.at("items")}});
    Restart();
    std::vector<Item> all = Mixed(40);
    for (Item& item : all) item.shop = item.id % 5 == 0 ? 1'000 : item.id * 7 % 20;  // 1000 is nobody.
    Fill(all);
    op_.query = ItemsBy({By("price", true)});
    op_.query.columns = {"id"};
    op_.includes = {{"seller", {"id"}, 0}, {"seller.seller", {"id", "shop"}, 0}};
    op_.page_size = 40;
  }
  // Of the page: each item's seller, then each seller's, in order.
  void ExpectSellers(const ListResult& page) const {
    std::vector<int64_t> sellers;
    std::vector<int64_t> theirs;
    for (const int64_t id : IdsOf(page.rows)) {
      const auto seller = items_.find(items_.at(id).shop);
      if (seller == items_.end()) continue;
      sellers.push_back(seller->first);
      const auto next = items_.find(seller->second.shop);
      if (next != items_.end()) theirs.push_back(next->first);
    }
    ASSERT_FALSE(theirs.empty());
    ASSERT_THAT(page.included, SizeIs(2));
    EXPECT_EQ(IdsOf(page.included[0].rows), sellers);
    EXPECT_EQ(IdsOf(page.included[1].rows), theirs);
  }

  ListOperation op_;
};

TEST_F(IncludeByKeyTest, BringsTheRowsOfOtherShardsAndTheirsInTurn) {
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(op_));
  ASSERT_THAT(page.rows, SizeIs(40));
  ExpectSellers(page);
}

TEST_F(IncludeByKeyTest, ReadsNoMoreKeysAtOnceThanACallMay) {
  limits_.batch_items_max = 3;
  Restart();
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(op_));
  ExpectSellers(page);
}

TEST_F(IncludeByKeyTest, TheShardsOfTheKeysAreAmongThoseThatServed) {
  op_.query.filter = Compare("id", CompareOp::kEqual, Value::Int64(3));  // Sold by 1, who buys from 7.
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(op_));
  ExpectSellers(page);
  EXPECT_THAT(page.served_by.asked, ElementsAre(ShardId{0}, ShardId{1}));
  EXPECT_THAT(page.served_by.answered, ElementsAre(ShardId{0}, ShardId{1}));
}

TEST_F(IncludeByKeyTest, AShardOfTheKeysThatIsAwayFailsThePageOrIsTold) {
  op_.query.filter = Compare("id", CompareOp::kEqual, Value::Int64(3));
  faults_[1]->SetOptions({.error_before = 1});
  const absl::Status status = List(op_).status();
  EXPECT_THAT(status, HasReason(reason::kShardUnavailable));
  EXPECT_EQ(DetailOf(status).facts.at("shard"), "s1");
  op_.query.allow_partial = true;
  ASSERT_OK_AND_ASSIGN(const ListResult page, List(op_));
  EXPECT_THAT(IdsOf(page.rows), ElementsAre(3));
  EXPECT_THAT(page.included.at(0).rows, IsEmpty());
  ASSERT_THAT(page.failed, SizeIs(1));
  EXPECT_EQ(page.failed[0].first, ShardId{1});
  EXPECT_THAT(page.served_by.answered, ElementsAre(ShardId{0}));
}

}  // namespace
}  // namespace quarry
