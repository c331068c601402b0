#include "core/backend/postgres/raw_sql.h"

#include <pg_query.h>

#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quarry::postgres {
namespace {

absl::Status Refused(const std::string& why) {
  return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSql, why);
}

struct Kind {
  const char* node;
  const char* advice;
};

constexpr Kind kRefused[] = {
    {"TransactionStmt", "transaction control is not possible in SQL text; use the transaction calls"},
    {"DiscardStmt", "DISCARD is not possible: sessions are shared"},
    {"PrepareStmt", "PREPARE is not possible: statements are prepared for you"},
    {"ExecuteStmt", "EXECUTE is not possible: statements are prepared for you"},
    {"DeallocateStmt", "DEALLOCATE is not possible: statements are prepared for you"},
    {"ListenStmt", "LISTEN is not possible: sessions are shared"},
    {"UnlistenStmt", "UNLISTEN is not possible: sessions are shared"},
    {"CopyStmt", "COPY is not possible; use streamed reads or batches of writes"},
};

}  // namespace

absl::Status CheckRawSql(const std::string& sql) {
  if (sql.find('\0') != std::string::npos) return Refused("the SQL holds a NUL byte");
  const PgQuerySplitResult split = pg_query_split_with_scanner(sql.c_str());
  const int statements = split.error == nullptr ? split.n_stmts : 1;
  pg_query_free_split_result(split);
  if (statements == 0) return Refused("the SQL is empty");
  if (statements > 1) return Refused("only one statement may be sent at a time");
  const PgQueryParseResult parsed = pg_query_parse(sql.c_str());
  const std::string tree = parsed.error == nullptr ? parsed.parse_tree : "";
  pg_query_free_parse_result(parsed);
  // {"version":…,"stmts":[{"stmt":{"SelectStmt":…: the first such place names the statement's kind.
  constexpr std::string_view kPrefix = "\"stmts\":[{\"stmt\":{\"";
  const size_t at = tree.find(kPrefix);
  if (at == std::string::npos) {
    return tree.empty() ? absl::OkStatus() : Refused("the SQL is empty");
  }
  const std::string_view rest = std::string_view(tree).substr(at + kPrefix.size());
  const std::string_view node = rest.substr(0, rest.find('"'));
  for (const Kind& kind : kRefused) {
    if (node == kind.node) return Refused(kind.advice);
  }
  if (node == "VariableSetStmt" && !absl::StrContains(tree, "\"is_local\":true")) {
    return Refused("only SET LOCAL is possible: sessions are shared");
  }
  return absl::OkStatus();
}

}  // namespace quarry::postgres
