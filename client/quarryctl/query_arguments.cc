#include "client/quarryctl/query_arguments.h"

#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/quarryctl/arguments.h"
#include "client/quarryctl/text_value.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

const std::vector<std::pair<std::string, v1::AggregateFunction>>& Functions() {
  static const auto* const functions = new std::vector<std::pair<std::string, v1::AggregateFunction>>{
      {"count", v1::AGGREGATE_FUNCTION_COUNT}, {"sum", v1::AGGREGATE_FUNCTION_SUM},
      {"avg", v1::AGGREGATE_FUNCTION_AVG},     {"min", v1::AGGREGATE_FUNCTION_MIN},
      {"max", v1::AGGREGATE_FUNCTION_MAX}};
  return *functions;
}

absl::StatusOr<v1::AggregateFunction> FunctionOf(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [known, function] : Functions()) {
    if (known == name) return function;
    names.push_back(known);
  }
  const std::string nearest = Nearest(name, names);
  return InvalidField("--agg",
                      absl::StrCat("there is no function \"", name, "\"; use count, sum, avg, min or max",
                                   nearest.empty() ? "" : absl::StrCat(" (did you mean ", nearest, "?)")));
}

// "sum(price) as total", "count(*)", "count(distinct city)".
absl::StatusOr<client::Aggregate> AggregateOf(const std::string& text) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) {
    return InvalidField("--agg", absl::StrCat("\"", text, "\" has another form than \"sum(price) as total\""));
  }
  client::Aggregate aggregate;
  const std::string name =
      absl::AsciiStrToLower(absl::StripAsciiWhitespace(absl::string_view(text).substr(0, open)));
  QUARRY_ASSIGN_OR_RETURN(aggregate.function, FunctionOf(name));
  absl::string_view column =
      absl::StripAsciiWhitespace(absl::string_view(text).substr(open + 1, close - open - 1));
  if (absl::StartsWithIgnoreCase(column, "distinct ")) {
    if (aggregate.function != v1::AGGREGATE_FUNCTION_COUNT)
      return InvalidField("--agg", absl::StrCat("\"", text, "\": distinct goes with count only"));
    aggregate.function = v1::AGGREGATE_FUNCTION_COUNT_DISTINCT;
    column = absl::StripAsciiWhitespace(column.substr(9));
  }
  if (column != "*") aggregate.column = std::string(column);
  absl::string_view rest = absl::StripAsciiWhitespace(absl::string_view(text).substr(close + 1));
  if (!rest.empty()) {
    if (!absl::StartsWithIgnoreCase(rest, "as "))
      return InvalidField("--agg", absl::StrCat("\"", text, "\": after the function only \"as NAME\" may come"));
    aggregate.name = std::string(absl::StripAsciiWhitespace(rest.substr(3)));
  }
  return aggregate;
}

}  // namespace

void AddFilterFlags(CLI::App& command, QueryArguments& arguments) {
  command.add_option("table", arguments.table, "Table")->required();
  command.add_option("--filter", arguments.filter,
                     "Which rows, such as \"price < @max AND status IN ('new', 'paid')\"; docs/filters.md");
  command.add_option("--param", arguments.params,
                     "name=value of a @name in the filter; int:, text:, decimal: and so on before the value "
                     "say its type; may be given again")
      ->allow_extra_args(false);
  command.add_option("--shard", arguments.shards, "Only these shards, with commas")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void AddReadFlags(CLI::App& command, QueryArguments& arguments) {
  command.add_option("--order", arguments.order, "Columns to order by, with commas; -price is descending")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_flag("--allow-partial", arguments.allow_partial,
                   "Go on without shards that fail, and report them");
  command.add_option("--max-shards", arguments.max_shards, "Refuse to ask more shards than this")
      ->check(CLI::NonNegativeNumber);
}

void AddColumnsFlag(CLI::App& command, QueryArguments& arguments) {
  command.add_option("--columns", arguments.columns, "Columns to print, with commas")
      ->delimiter(',')
      ->allow_extra_args(false);
}

void AddLimitFlags(CLI::App& command, QueryArguments& arguments) {
  command.add_option("--limit", arguments.limit, "Most rows")->check(CLI::NonNegativeNumber);
  command.add_option("--offset", arguments.offset, "Rows to leave out at the beginning")
      ->check(CLI::NonNegativeNumber);
}

void AddAggregateFlags(CLI::App& command, QueryArguments& arguments) {
  command.add_option("--group-by", arguments.group_by, "Columns whose equal values form a group, with commas")
      ->delimiter(',')
      ->allow_extra_args(false);
  command.add_option("--agg", arguments.aggregates,
                     "\"sum(price) as total\"; count, sum, avg, min, max, count(distinct x); may be given again")
      ->allow_extra_args(false);
  command.add_option("--having", arguments.having, "Which groups, such as \"total > @least\"");
}

absl::StatusOr<client::Filter> FilterOf(const QueryArguments& arguments) {
  client::Filter filter(arguments.filter);
  std::vector<FieldViolation> violations;
  for (const std::string& param : arguments.params) {
    const size_t equals = param.find('=');
    const std::string name(absl::StripPrefix(absl::string_view(param).substr(0, equals), "@"));
    if (equals == std::string::npos || name.empty()) {
      violations.push_back({"--param", absl::StrCat("\"", param, "\" has another form than name=value")});
      continue;
    }
    absl::StatusOr<v1::Value> value = FromText(v1::ColumnType(), param.substr(equals + 1));
    if (value.ok()) {
      filter.params.emplace_back(name, client::Value(*std::move(value)));
    } else {
      violations.push_back({absl::StrCat("--param ", name), std::string(value.status().message())});
    }
  }
  if (!violations.empty()) return InvalidFields(std::move(violations));
  return filter;
}

absl::StatusOr<std::vector<client::Aggregate>> AggregatesOf(const std::vector<std::string>& texts) {
  std::vector<client::Aggregate> aggregates;
  for (const std::string& text : texts) {
    QUARRY_ASSIGN_OR_RETURN(client::Aggregate aggregate, AggregateOf(text));
    aggregates.push_back(std::move(aggregate));
  }
  return aggregates;
}

std::vector<client::Order> OrderOf(const QueryArguments& arguments) {
  std::vector<client::Order> order;
  for (const std::string& term : arguments.order) {
    const bool descending = absl::StartsWith(term, "-");
    order.push_back({descending ? term.substr(1) : term, descending});
  }
  return order;
}

client::Reach ReachOf(const QueryArguments& arguments) {
  client::Reach reach;
  if (arguments.shards.size() == 1) {
    reach.target.emplace().set_shard(arguments.shards.front());
  } else if (!arguments.shards.empty()) {
    v1::ShardNames* names = reach.target.emplace().mutable_shards();
    for (const std::string& shard : arguments.shards) names->add_names(shard);
  }
  reach.allow_partial = arguments.allow_partial;
  reach.max_shards = arguments.max_shards;
  return reach;
}

absl::StatusOr<v1::ListRequest> ListRequestOf(const QueryArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::Filter filter, FilterOf(arguments));
  client::ListOptions options;
  options.columns = arguments.columns;
  options.order_by = OrderOf(arguments);
  options.page_size = arguments.page_size;
  options.page_token = arguments.page_token;
  options.reach = ReachOf(arguments);
  return client::internal::MakeList(arguments.table, filter, options, "");
}

absl::StatusOr<v1::QueryRequest> QueryRequestOf(const QueryArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::Filter filter, FilterOf(arguments));
  client::QueryOptions options;
  options.columns = arguments.columns;
  options.order_by = OrderOf(arguments);
  options.distinct = arguments.distinct;
  options.limit = arguments.limit;
  options.offset = arguments.offset;
  options.reach = ReachOf(arguments);
  return client::internal::MakeQuery(arguments.table, filter, options, "");
}

absl::StatusOr<v1::AggregateRequest> AggregateRequestOf(const QueryArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::Filter filter, FilterOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(const std::vector<client::Aggregate> aggregates, AggregatesOf(arguments.aggregates));
  client::AggregateOptions options;
  options.group_by = arguments.group_by;
  options.having = client::Filter(arguments.having);
  options.order_by = OrderOf(arguments);
  options.limit = arguments.limit;
  options.offset = arguments.offset;
  options.reach = ReachOf(arguments);
  return client::internal::MakeAggregate(arguments.table, filter, aggregates, options, "");
}

}  // namespace quarry::ctl
