// Rows of related tables beside a page of rows: which statements load them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "core/catalog/catalog.h"
#include "core/model/query.h"

namespace quarry {

struct IncludeLimits {
  size_t steps_max = 16;            // Relations of one call.
  size_t depth_max = 5;             // Of "a.b.c".
  int64_t rows_per_parent = 1'000;  // Of an Include that does not say.
  int64_t rows_max = 100'000;       // Of one relation, over all parents.
};

// One relation to load. Its rows hold the asked columns first, then what joining needs.
struct IncludeStep {
  std::string path;              // "lines.product"
  size_t item = 0;               // Which Include asked for it.
  std::optional<size_t> parent;  // The step whose rows it hangs on; none: the page.
  const Relation* relation = nullptr;
  const Table* related = nullptr;
  std::vector<size_t> key_positions;   // In the parent's row: the values of relation->columns.
  std::vector<size_t> columns;         // Of the related table.
  size_t visible = 0;                  // How many of them were asked for.
  std::vector<size_t> join_positions;  // In its own row: the values of relation->related_columns.
  RowHeader header;                    // Of the visible columns.
  int64_t rows_per_parent = 0;
  bool by_key = false;  // The related rows are on other shards and are read by their primary key.
};

struct IncludePlan {
  std::vector<IncludeStep> steps;  // Parents before children; one for each Include.
  // What the page must read: the asked columns, then what joining needs.
  std::vector<std::string> page_columns;
  size_t page_visible = 0;
};

// `page_columns`: as the caller asked, empty for all. Refused, all at once: unknown and ambiguous relations, relations whose rows are on
// other shards and are not found by primary key, unknown columns, a path twice or without its parent, more than the limits.
// kInvalidArgument at "includes[i]…".
absl::StatusOr<IncludePlan> PlanIncludes(const std::vector<Include>& includes, const Table& table,
                                         const std::vector<std::string>& page_columns, const Catalog& catalog,
                                         const IncludeLimits& limits);

// The related rows of these keys (values of relation->columns, none null), in primary-key order, at most `rows_max`. At most
// kIncludeKeysMax keys.
inline constexpr size_t kIncludeKeysMax = 1'000;
Statement IncludeStatement(const IncludeStep& step, absl::Span<const Key> keys, int64_t rows_max, Dialect dialect);

}  // namespace quarry
