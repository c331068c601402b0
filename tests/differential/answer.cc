#include "tests/differential/answer.h"

#include <cmath>
#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/status_macros.h"

namespace quarry::differential {
namespace {

constexpr double kTolerance = 1e-9;
constexpr size_t kRowsShownMax = 12;

// Columns of each table that an answer holds: the rows, then each include.
std::vector<std::vector<TestColumn>> TablesOf(const Schema& schema, const Question& question) {
  std::vector<std::vector<TestColumn>> tables = {ResultColumns(schema, question)};
  for (const std::vector<size_t>& path : question.includes) {
    const TestTable* table = &schema.tables[question.table];
    for (const size_t relation : path) table = &schema.tables[table->relations[relation].table];
    std::vector<TestColumn> columns = {{.name = "parent", .type = {TypeKind::kInt64}}};
    columns.insert(columns.end(), table->columns.begin(), table->columns.end());
    tables.push_back(std::move(columns));
  }
  return tables;
}

bool Near(double a, double b) {
  if (std::isnan(a) || std::isnan(b) || std::isinf(a) || std::isinf(b)) return DoubleText(a) == DoubleText(b);
  return std::abs(a - b) <= kTolerance * std::max(std::abs(a), std::abs(b));
}

// "sum/count" of the reference SQLite against the decimal of the gateway.
bool IsQuotient(const std::string& decimal, const std::string& quotient) {
  const std::vector<std::string> parts = absl::StrSplit(quotient, '/');
  if (parts.size() != 2) return false;
  return Near(std::strtod(decimal.c_str(), nullptr), std::strtod(parts[0].c_str(), nullptr) / std::strtod(parts[1].c_str(), nullptr));
}

bool SameCell(const Cell& gateway, const Cell& reference, bool approximate) {
  if (gateway == reference) return true;
  if (!gateway.has_value() || !reference.has_value()) return false;
  if (approximate && Near(std::strtod(gateway->c_str(), nullptr), std::strtod(reference->c_str(), nullptr))) return true;
  return reference->find('/') != std::string::npos && gateway->find('/') == std::string::npos && IsQuotient(*gateway, *reference);
}

std::string ShownCell(const Cell& cell) {
  if (!cell.has_value()) return "NULL";
  return cell->size() > 80 ? absl::StrCat(absl::CHexEscape(cell->substr(0, 80)), "…") : absl::StrCat("[", absl::Utf8SafeCEscape(*cell), "]");
}

std::string ShownRow(const CellRow& row) {
  std::vector<std::string> cells;
  for (const Cell& cell : row) cells.push_back(ShownCell(cell));
  return absl::StrJoin(cells, " ");
}

std::string DifferenceOfRows(const std::vector<TestColumn>& columns, const std::vector<bool>& approximate, const std::string& what,
                             const std::vector<CellRow>& gateway, const std::vector<CellRow>& reference) {
  for (size_t at = 0; at < std::max(gateway.size(), reference.size()); ++at) {
    if (at >= gateway.size()) {
      return absl::StrCat(what, ": the gateway gives ", gateway.size(), " rows, the reference ", reference.size(), "; missing is ",
                          ShownRow(reference[at]));
    }
    if (at >= reference.size()) {
      return absl::StrCat(what, ": the gateway gives ", gateway.size(), " rows, the reference ", reference.size(), "; too much is ",
                          ShownRow(gateway[at]));
    }
    for (size_t i = 0; i < columns.size(); ++i) {
      if (gateway[at].size() == columns.size() && SameCell(gateway[at][i], reference[at][i], approximate[i])) continue;
      return absl::StrCat(what, " ", at, ", column ", columns[i].name, " differs:\n    gateway   ", ShownRow(gateway[at]),
                          "\n    reference ", ShownRow(reference[at]));
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<std::optional<Answer>> AskReference(Reference& reference, const Schema& schema, const Question& question) {
  const std::vector<std::string> statements = ToSql(schema, question, reference.postgres());
  if (statements.empty()) return std::nullopt;
  const std::vector<std::vector<TestColumn>> tables = TablesOf(schema, question);
  Answer answer;
  for (size_t i = 0; i < statements.size(); ++i) {
    const absl::StatusOr<std::vector<TextRow>> selected = reference.Select(statements[i]);
    if (absl::IsOutOfRange(selected.status())) return std::nullopt;
    if (!selected.ok()) return absl::InternalError(absl::StrCat(selected.status().message(), "\n  in ", statements[i]));
    std::vector<CellRow> rows;
    for (const TextRow& text : *selected) {
      CellRow row;
      for (size_t at = 0; at < text.size(); ++at) {
        const ValueType& type = tables[i][at].type;
        if (!text[at].has_value()) {
          row.push_back(std::nullopt);
        } else {
          row.push_back(reference.postgres() ? CellOfPostgres(*text[at], type.kind) : CellOfSqlite(*text[at], type));
        }
      }
      rows.push_back(std::move(row));
    }
    if (i == 0) {
      answer.rows = std::move(rows);
    } else {
      answer.included.push_back(std::move(rows));
    }
  }
  return answer;
}

std::string Difference(const Schema& schema, const Question& question, const Answer& gateway, const Answer& reference) {
  if (!gateway.status.ok()) return absl::StrCat("the gateway fails: ", gateway.status.ToString());
  if (!gateway.contradictions.empty()) return gateway.contradictions[0];
  const std::vector<std::vector<TestColumn>> tables = TablesOf(schema, question);
  std::vector<bool> approximate;
  for (size_t i = 0; i < tables[0].size(); ++i) approximate.push_back(IsApproximate(schema, question, i));
  std::string difference = DifferenceOfRows(tables[0], approximate, "row", gateway.rows, reference.rows);
  for (size_t i = 0; difference.empty() && i < reference.included.size(); ++i) {
    if (i >= gateway.included.size()) return absl::StrCat("include ", i, " is missing");
    approximate.assign(tables[i + 1].size(), false);
    difference = DifferenceOfRows(tables[i + 1], approximate, absl::StrCat("include ", i, ", row"), gateway.included[i],
                                  reference.included[i]);
  }
  return difference;
}

std::string Shown(const Answer& answer) {
  std::string text = absl::StrCat(answer.status.ok() ? "" : answer.status.ToString(), " ", answer.rows.size(), " rows\n");
  for (size_t i = 0; i < answer.rows.size() && i < kRowsShownMax; ++i) absl::StrAppend(&text, "    ", ShownRow(answer.rows[i]), "\n");
  for (size_t include = 0; include < answer.included.size(); ++include) {
    absl::StrAppend(&text, "    include ", include, ": ", answer.included[include].size(), " rows\n");
    for (size_t i = 0; i < answer.included[include].size() && i < kRowsShownMax; ++i) {
      absl::StrAppend(&text, "      ", ShownRow(answer.included[include][i]), "\n");
    }
  }
  return text;
}

}  // namespace quarry::differential
