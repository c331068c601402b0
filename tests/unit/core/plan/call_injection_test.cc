// Hostile strings in every place of a call that takes a name or a text: each is refused with a typed error, or the SQL
// text stays that of a harmless one.
#include <functional>
#include <iostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/base/status_macros.h"
#include "core/catalog/text_forms.h"
#include "core/plan/plan_aggregate.h"
#include "core/plan/plan_bulk_write.h"
#include "core/plan/plan_include.h"
#include "core/plan/plan_query.h"
#include "core/plan/planner.h"
#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/unit/core/plan/filter_testing.h"
#include "tests/unit/core/plan/hostile_text.h"

namespace quarry {
namespace {

constexpr int kStrings = 5'000;  // In each place, of which there are about thirty.

// The SQL of all that a call sends, in both dialects.
using Texts = absl::StatusOr<std::string>;

void Append(const Statement& statement, std::string& texts) {
  absl::StrAppend(&texts, *statement.sql, "\n");
  if (statement.many != nullptr) absl::StrAppend(&texts, *statement.many->sql, "\n");
}

void Append(const Task& task, std::string& texts) {
  for (const Step& step : task.steps) {
    for (const Statement& statement : step.statements) Append(statement, texts);
  }
}

class CallInjectionTest : public ::testing::Test {
 protected:
  // One place of a call: what it is filled with when nobody means harm, and the call with `text` there.
  struct Place {
    std::string name;
    std::string harmless;
    std::function<Texts(const std::string& text)> plan;
  };

  CallInjectionTest() : random_(Seed()) {}

  static uint64_t Seed() {
    const uint64_t seed = std::random_device()();
    std::cerr << "seed " << seed << "\n";
    return seed;
  }

  // Often behind or before what would be right.
  std::string Hostile(const std::string& harmless) {
    const std::string text = HostileText(random_);
    switch (random_() % 3) {
      case 0:
        return text;
      case 1:
        return harmless + text;
      default:
        return text + harmless;
    }
  }

  // `free`: any valid text may stand there, so many are taken.
  void Try(const std::vector<Place>& places, bool free) {
    const google::protobuf::LogSilencer quiet;  // Of bytes that are no text.
    for (const Place& place : places) {
      SCOPED_TRACE(place.name);
      ASSERT_OK_AND_ASSIGN(const std::string harmless, place.plan(place.harmless));
      ASSERT_NE(harmless, "");
      int taken = 0;
      for (int i = 0; i < kStrings && !HasFailure(); ++i) {
        const std::string hostile = Hostile(place.harmless);
        const Texts texts = place.plan(hostile);
        if (texts.ok()) {
          ++taken;
          ASSERT_EQ(*texts, harmless) << hostile;
          continue;
        }
        const absl::StatusCode code = texts.status().code();
        ASSERT_TRUE(code == absl::StatusCode::kInvalidArgument || code == absl::StatusCode::kNotFound) << texts.status();
        // Bytes that are no text never come over the wire.
        ASSERT_TRUE(!IsValidText(hostile) || !ReasonOf(texts.status()).empty()) << texts.status();
      }
      if (free) {
        EXPECT_GT(taken, kStrings / 4);
      } else {
        EXPECT_LT(taken, kStrings / 4);
      }
    }
  }

  Texts Query(const QueryOperation& op) {
    SqlTexts interned;
    QUARRY_ASSIGN_OR_RETURN(const QueryPlan plan, PlanQuery(op, QueryPart(), *snapshot_, interned));
    std::string texts;
    for (const auto& [shard, statement] : plan.statements) Append(statement, texts);
    return texts;
  }
  Texts Included(const Include& include) {
    const Table& customers = TableOf(*snapshot_, "customers");
    QUARRY_ASSIGN_OR_RETURN(const IncludePlan plan,
                            PlanIncludes({include}, customers, {"name"}, snapshot_->catalog, IncludeLimits()));
    std::string texts;
    for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
      for (const IncludeStep& step : plan.steps) Append(IncludeStatement(step, {Key{Value::Int64(1)}}, 10, dialect), texts);
    }
    return texts;
  }
  Texts Aggregated(const AggregateOperation& op) {
    SqlTexts interned;
    QUARRY_ASSIGN_OR_RETURN(const AggregatePlan plan, PlanAggregate(op, *snapshot_, ShardId{0}, interned, AggregateLimits()));
    std::string texts;
    for (const AggregatePart& part : plan.parts) {
      Append(part.partial, texts);
      for (const auto& [column, task] : part.distinct) Append(task, texts);
    }
    return texts;
  }
  Texts WrittenWhere(const BulkWriteOperation& op) {
    QUARRY_ASSIGN_OR_RETURN(const BulkWritePlan plan, PlanBulkWrite(op, *snapshot_, BulkWriteLimits()));
    SqlTexts interned;
    std::string texts;
    for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
      Append(BulkBatch(plan, nullptr, 10, dialect, interned), texts);
      Append(BulkRest(plan, nullptr, dialect, interned), texts);
    }
    return texts;
  }
  Texts Read(const ReadOperation& op) {
    QUARRY_ASSIGN_OR_RETURN(const ReadPlan plan, planner_.PlanRead(op, snapshot_, std::nullopt, ShardId{0}));
    std::string texts;
    for (const Task& task : plan.tasks) Append(task, texts);
    return texts;
  }
  Texts Write(const Mutation& mutation, const LockFence& fence = LockFence()) {
    WriteOperation op = WriteOf({mutation});
    op.fence = fence;
    QUARRY_ASSIGN_OR_RETURN(const WritePlan plan, planner_.PlanWrite(op, snapshot_));
    std::string texts;
    for (const Task& task : plan.tasks) Append(task, texts);
    return texts;
  }

  static QueryOperation AQuery() {
    QueryOperation op;
    op.table = "customers";
    op.columns = {"id", "name"};
    return op;
  }
  static AggregateOperation AnAggregate() {
    AggregateOperation op;
    op.table = "customers";
    op.group_by = {"country"};
    op.aggregates = {{AggregateFunction::kCountDistinct, "name", "names"}};
    return op;
  }
  static BulkWriteOperation AnUpdateWhere() {
    BulkWriteOperation op;
    op.table = "customers";
    op.everything = true;
    op.many_shards = true;
    op.set["country"] = Value::Text("DE");
    return op;
  }
  static Mutation AnUpdate() {
    Record record;
    record["country"] = Value::Text("DE");
    return MakeMutation(MutationKind::kUpdate, "customers", std::move(record), KeyOf({Value::Int64(1)}));
  }
  static Condition Equals(const std::string& column, const std::string& value) {
    Condition condition;
    condition.kind = Condition::Kind::kCompare;
    condition.column = column;
    condition.values = {Value::Text(value)};
    return condition;
  }

  std::mt19937_64 random_;
  const std::shared_ptr<const Snapshot> snapshot_ = FilterSnapshot({Dialect::kPostgres, Dialect::kSqlite});
  Planner planner_{PlanLimits()};
};

// `op` with `set` done to it.
template <typename Operation, typename Set>
Operation With(Operation op, Set set) {
  set(op);
  return op;
}

TEST_F(CallInjectionTest, NamesOfQuestionsNeverReachTheText) {
  const auto query = [this](auto set) {
    return [this, set](const std::string& text) { return Query(With(AQuery(), [&](QueryOperation& op) { set(op, text); })); };
  };
  // The name stands in the filter as well, and its value is there.
  const auto parameter = [this](const std::string& name) -> Texts {
    QueryOperation op = AQuery();
    QUARRY_ASSIGN_OR_RETURN(op.filter, ParseFilter("name = @" + name, {{name, Value::Text("x")}}, FilterLimits(), "filter"));
    return Query(op);
  };
  const auto unused = [this](const std::string& name) -> Texts {
    QueryOperation op = AQuery();
    const Params params = {{"p", Value::Text("x")}, {name, Value::Text("x")}};
    QUARRY_ASSIGN_OR_RETURN(op.filter, ParseFilter("name = @p", params, FilterLimits(), "filter"));
    return Query(op);
  };
  Try({{"table", "customers", query([](auto& op, const auto& text) { op.table = text; })},
       {"columns", "name", query([](auto& op, const auto& text) { op.columns = {"id", text}; })},
       {"order_by", "name", query([](auto& op, const auto& text) { op.order_by = {{text, false, NullPlacement::kDefault}}; })},
       {"filter's column", "name", query([](auto& op, const auto& text) { op.filter = Equals(text, "x"); })},
       {"filter's parameter", "p", parameter},
       {"parameter beside the filter", "p", unused},
       {"target's shard", "s1", query([](auto& op, const auto& text) { op.target.shards = {text}; })},
       {"target's table", "customers", query([](auto& op, const auto& text) {
          op.target.key = KeyOf({Value::Int64(1)});
          op.target.key_table = text;
        })},
       {"relation", "orders", [this](const std::string& text) { return Included({text, {"country"}, 0}); }},
       {"relation's column", "country", [this](const std::string& text) { return Included({"orders", {"number", text}, 0}); }}},
      false);
}

TEST_F(CallInjectionTest, NamesOfAggregatesNeverReachTheText) {
  const auto aggregate = [this](auto set) {
    return [this, set](const std::string& text) {
      return Aggregated(With(AnAggregate(), [&](AggregateOperation& op) { set(op, text); }));
    };
  };
  Try({{"table", "customers", aggregate([](auto& op, const auto& text) { op.table = text; })},
       {"group_by", "name", aggregate([](auto& op, const auto& text) { op.group_by = {"country", text}; })},
       {"column", "name", aggregate([](auto& op, const auto& text) { op.aggregates[0].column = text; })},
       {"having's column", "country", aggregate([](auto& op, const auto& text) { op.having = Equals(text, "x"); })},
       {"order_by", "names",
        aggregate([](auto& op, const auto& text) { op.order_by = {{text, false, NullPlacement::kDefault}}; })}},
      false);
  Try({{"output's name", "names", aggregate([](auto& op, const auto& text) { op.aggregates[0].name = text; })},
       {"having's value", "x", aggregate([](auto& op, const auto& text) { op.having = Equals("country", text); })}},
      true);
}

TEST_F(CallInjectionTest, NamesOfBulkWritesNeverReachTheText) {
  const auto update = [this](auto set) {
    return [this, set](const std::string& text) {
      return WrittenWhere(With(AnUpdateWhere(), [&](BulkWriteOperation& op) { set(op, text); }));
    };
  };
  Try({{"table", "customers", update([](auto& op, const auto& text) { op.table = text; })},
       {"table of a delete", "customers", update([](auto& op, const auto& text) {
          op.deletes = true;
          op.set.clear();
          op.table = text;
        })},
       {"set's column", "name", update([](auto& op, const auto& text) { op.set[text] = Value::Text("x"); })},
       {"filter's column", "name", update([](auto& op, const auto& text) { op.filter = Equals(text, "x"); })},
       {"target's shard", "s1", update([](auto& op, const auto& text) { op.target.shards = {text}; })}},
      false);
  Try({{"set's value", "x", update([](auto& op, const auto& text) { op.set["name"] = Value::Text(text); })},
       {"filter's value", "x", update([](auto& op, const auto& text) { op.filter = Equals("name", text); })}},
      true);
}

TEST_F(CallInjectionTest, NamesOfReadsByKeyNeverReachTheText) {
  const auto read = [this](auto set) {
    return [this, set](const std::string& text) {
      return Read(With(ReadOf("customers", {KeyOf({Value::Int64(1)})}, {"name"}), [&](ReadOperation& op) { set(op, text); }));
    };
  };
  Try({{"table", "customers", read([](auto& op, const auto& text) { op.table = text; })},
       {"columns", "name", read([](auto& op, const auto& text) { op.columns = {text}; })},
       {"key's column", "id", read([](auto& op, const auto& text) {
          op.keys[0] = KeyInput();
          op.keys[0].by_name[text] = Value::Int64(1);
        })}},
      false);
}

TEST_F(CallInjectionTest, NamesOfMutationsNeverReachTheText) {
  const auto update = [this](auto set) {
    return [this, set](const std::string& text) {
      return Write(With(AnUpdate(), [&](Mutation& mutation) { set(mutation, text); }));
    };
  };
  const auto fenced = [this](const std::string& lock) {
    LockFence fence;
    fence.lock = lock;
    fence.token = 7;
    return Write(AnUpdate(), fence);
  };
  Try({{"table", "customers", update([](auto& mutation, const auto& text) { mutation.table = text; })},
       {"record's column", "name", update([](auto& mutation, const auto& text) { mutation.record[text] = Value::Text("x"); })},
       {"inserted column", "name", update([](auto& mutation, const auto& text) {
          mutation.kind = MutationKind::kInsert;
          mutation.key = KeyInput();
          mutation.record["id"] = Value::Int64(1);
          mutation.record[text] = Value::Text("x");
        })},
       {"precondition's column", "name",
        update([](auto& mutation, const auto& text) { mutation.precondition.filter = Equals(text, "x"); })},
       {"returning", "name", update([](auto& mutation, const auto& text) { mutation.returning = {text}; })}},
      false);
  Try({{"record's value", "x", update([](auto& mutation, const auto& text) { mutation.record["name"] = Value::Text(text); })},
       {"precondition's value", "x",
        update([](auto& mutation, const auto& text) { mutation.precondition.filter = Equals("name", text); })},
       {"etag", "x", update([](auto& mutation, const auto& text) { mutation.precondition.etag = text; })},
       {"lock", "x", fenced}},
      true);
}

}  // namespace
}  // namespace quarry
