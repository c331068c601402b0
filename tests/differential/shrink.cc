#include "tests/differential/shrink.h"

#include <functional>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"

namespace quarry::differential {
namespace {

constexpr int kAttemptsMax = 1'500;
constexpr size_t kRowsShownMax = 20;
constexpr absl::Duration kRowsTimeMax = absl::Seconds(30);

using Questions = std::vector<Question>;

// Simpler filters, one step each: a child in its parent's place, one child less, one value less.
std::vector<Filter> SimplerFilters(const Filter& filter) {
  std::vector<Filter> simpler;
  if (filter.kind != Filter::Kind::kHas) simpler = filter.children;
  for (size_t i = 0; i < filter.children.size(); ++i) {
    if (filter.children.size() > 1 || filter.kind == Filter::Kind::kHas) {
      simpler.push_back(filter);
      simpler.back().children.erase(simpler.back().children.begin() + static_cast<std::ptrdiff_t>(i));
    }
    for (Filter& child : SimplerFilters(filter.children[i])) {
      simpler.push_back(filter);
      simpler.back().children[i] = std::move(child);
    }
  }
  for (size_t i = 0; filter.kind == Filter::Kind::kIn && i < filter.values.size(); ++i) {
    simpler.push_back(filter);
    simpler.back().values.erase(simpler.back().values.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return simpler;
}

template <typename List>
void WithoutEach(const Question& question, List Question::*list, size_t least, Questions& simpler) {
  for (size_t i = 0; i < (question.*list).size() && (question.*list).size() > least; ++i) {
    simpler.push_back(question);
    (simpler.back().*list).erase((simpler.back().*list).begin() + static_cast<std::ptrdiff_t>(i));
  }
}

void SimplerFilter(const Question& question, std::optional<Filter> Question::*filter, Questions& simpler) {
  if (!(question.*filter).has_value()) return;
  simpler.push_back(question);
  simpler.back().*filter = std::nullopt;
  for (Filter& part : SimplerFilters(*(question.*filter))) {
    simpler.push_back(question);
    simpler.back().*filter = std::move(part);
  }
}

Questions SimplerQuestions(const Question& question) {
  Questions simpler;
  SimplerFilter(question, &Question::filter, simpler);
  SimplerFilter(question, &Question::having, simpler);
  for (int64_t Question::*part : {&Question::limit, &Question::offset}) {
    if (question.*part == 0) continue;
    simpler.push_back(question);
    simpler.back().*part = 0;
  }
  WithoutEach(question, &Question::order, 0, simpler);
  WithoutEach(question, &Question::includes, 0, simpler);
  // Positions in an aggregate's result, which its order and having speak of, would move.
  const bool positions = question.kind == Question::Kind::kAggregate && (question.having.has_value() || !question.order.empty());
  if (!positions) {
    WithoutEach(question, &Question::group_by, question.aggregates.empty() ? 1 : 0, simpler);
    WithoutEach(question, &Question::aggregates, question.group_by.empty() ? 1 : 0, simpler);
  }
  if (question.kind == Question::Kind::kQuery) {
    if (!question.distinct) WithoutEach(question, &Question::columns, 1, simpler);
    simpler.push_back(question);
    simpler.back().distinct = false;
    if (!question.distinct) simpler.pop_back();
  }
  return simpler;
}

// An include of an include stays without its parent; such a request is refused and would only seem to be a difference.
bool IsAskable(const Question& question) {
  for (const std::vector<size_t>& path : question.includes) {
    const std::vector<size_t> parent(path.begin(), path.end() - 1);
    if (parent.empty()) continue;
    if (std::find(question.includes.begin(), question.includes.end(), parent) == question.includes.end()) return false;
  }
  return true;
}

// The parent's and the child's table of the question's family.
std::pair<size_t, size_t> FamilyOf(const Schema& schema, size_t table) {
  if (table == 0) return {0, 0};
  return schema.tables[table].name.back() == 'p' ? std::pair(table, table + 1) : std::pair(table - 1, table);
}

class Shrinker {
 public:
  Shrinker(World& world, Judge& judge, Question question) : world_(world), judge_(judge), question_(std::move(question)) {}

  std::string Run() {
    ShrinkQuestion();
    const absl::Status status = ShrinkRows();
    std::string text = judge_.Report(world_.schema(), question_);
    if (!status.ok()) absl::StrAppend(&text, "  (rows could not be made fewer: ", status.ToString(), ")\n");
    return text + Tables();
  }

 private:
  bool Differs() { return !judge_.Ask(world_.schema(), question_).empty(); }

  void ShrinkQuestion() {
    for (bool again = true; again;) {
      again = false;
      for (Question& simpler : SimplerQuestions(question_)) {
        if (++attempts_ > kAttemptsMax) return;
        if (!IsAskable(simpler) || judge_.Ask(world_.schema(), simpler).empty()) continue;
        question_ = std::move(simpler);
        again = true;
        break;
      }
    }
  }

  absl::Status ShrinkRows() {
    const absl::Time end = absl::Now() + kRowsTimeMax;
    const auto [parent, child] = FamilyOf(world_.schema(), question_.table);
    if (parent == child) return absl::OkStatus();
    for (const size_t table : {child, parent}) {
      for (size_t part = (world_.schema().tables[table].rows.size() + 1) / 2; part > 0; part /= 2) {
        for (size_t begin = 0; begin < world_.schema().tables[table].rows.size() && absl::Now() < end;) {
          QUARRY_ASSIGN_OR_RETURN(const bool dropped, Drop(table == parent, begin, part, parent, child));
          if (!dropped) begin += part;
        }
      }
    }
    return absl::OkStatus();
  }

  // True when some difference stays without these rows; else they are back.
  absl::StatusOr<bool> Drop(bool of_parent, size_t begin, size_t count, size_t parent, size_t child) {
    const std::vector<Row> parents = world_.schema().tables[parent].rows;
    const std::vector<Row> children = world_.schema().tables[child].rows;
    std::vector<Row> fewer = of_parent ? parents : children;
    fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(begin),
                fewer.begin() + static_cast<std::ptrdiff_t>(std::min(begin + count, fewer.size())));
    QUARRY_RETURN_IF_ERROR(Set(of_parent ? fewer : parents, of_parent ? children : fewer, parent, child));
    if (Differs()) return true;
    QUARRY_RETURN_IF_ERROR(Set(parents, children, parent, child));
    return false;
  }

  absl::Status Set(const std::vector<Row>& parents, const std::vector<Row>& children, size_t parent, size_t child) {
    const TestTable& table = world_.schema().tables[child];
    std::vector<Row> kept;
    for (const Row& row : children) {
      const bool has_parent = table.relations[0].declared || std::any_of(parents.begin(), parents.end(), [&](const Row& candidate) {
        return std::all_of(table.relations[0].join.begin(), table.relations[0].join.end(),
                           [&](const auto& pair) { return row[pair.first] == candidate[pair.second]; });
      });
      if (has_parent) kept.push_back(row);
    }
    QUARRY_RETURN_IF_ERROR(world_.ReplaceRows(child, {}));
    QUARRY_RETURN_IF_ERROR(world_.ReplaceRows(parent, parents));
    return world_.ReplaceRows(child, std::move(kept));
  }

  std::string Tables() const {
    const auto [parent, child] = FamilyOf(world_.schema(), question_.table);
    std::string text;
    for (const size_t at : std::set<size_t>{parent, child}) {
      const TestTable& table = world_.schema().tables[at];
      absl::StrAppend(&text, "  ", table.name, " (", table.placement, "): ", table.rows.size(), " rows\n");
      if (table.rows.size() <= kRowsShownMax) {
        absl::StrAppend(&text, "    ", InsertSql(table, table.rows, Store::kReferencePostgres), "\n");
      }
    }
    return absl::StrCat("  schema:\n", Ddl(world_.schema(), Store::kShardPostgres), world_.schema().yaml, text);
  }

  World& world_;
  Judge& judge_;
  Question question_;
  int attempts_ = 0;
};

std::string RequestText(const Schema& schema, const Question& question) {
  switch (question.kind) {
    case Question::Kind::kQuery:
      return absl::StrCat("Query ", ToQuery(schema, question).ShortDebugString());
    case Question::Kind::kList:
      return absl::StrCat("List ", ToList(schema, question).ShortDebugString());
    case Question::Kind::kAggregate:
      return absl::StrCat("Aggregate ", ToAggregate(schema, question).ShortDebugString());
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Judge>> Judge::Make(const World& world) {
  auto judge = std::make_unique<Judge>();
  judge->gateway_ = world.NewClient();
  QUARRY_ASSIGN_OR_RETURN(judge->postgres_, world.NewReference(true));
  QUARRY_ASSIGN_OR_RETURN(judge->sqlite_, world.NewReference(false));
  return judge;
}

std::string Judge::Ask(const Schema& schema, const Question& question) {
  const Answer gateway = AskGateway(*gateway_, schema, question);
  ++counts_.asked;
  counts_.with_rows += gateway.rows.empty() ? 0 : 1;
  for (Reference* reference : {postgres_.get(), sqlite_.get()}) {
    const absl::StatusOr<std::optional<Answer>> expected = AskReference(*reference, schema, question);
    const char* const name = reference->postgres() ? "against PostgreSQL: " : "against SQLite: ";
    if (!expected.ok()) return absl::StrCat(name, expected.status().ToString());
    if (!expected->has_value()) {
      ++counts_.beyond_sqlite;
      continue;
    }
    const std::string difference = Difference(schema, question, gateway, **expected);
    if (!difference.empty()) return name + difference;
  }
  return "";
}

std::string Judge::Report(const Schema& schema, const Question& question) {
  std::string text = absl::StrCat("  difference ", Ask(schema, question), "\n  request: ", RequestText(schema, question), "\n  gateway:",
                                  Shown(AskGateway(*gateway_, schema, question)));
  for (Reference* reference : {postgres_.get(), sqlite_.get()}) {
    const absl::StatusOr<std::optional<Answer>> answer = AskReference(*reference, schema, question);
    absl::StrAppend(&text, reference->postgres() ? "  PostgreSQL: " : "  SQLite: ");
    for (const std::string& sql : ToSql(schema, question, reference->postgres())) absl::StrAppend(&text, sql, "\n   ");
    absl::StrAppend(&text, answer.ok() ? (answer->has_value() ? Shown(**answer) : " cannot say it\n") : answer.status().ToString() + "\n");
  }
  return text;
}

std::string Shrink(World& world, Question question) {
  const absl::StatusOr<std::unique_ptr<Judge>> judge = Judge::Make(world);
  if (!judge.ok()) return judge.status().ToString();
  return Shrinker(world, **judge, std::move(question)).Run();
}

}  // namespace quarry::differential
