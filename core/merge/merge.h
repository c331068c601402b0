// Parts from shards -> one result. Pure. A plan carries the specification that its own merge needs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/model/operation.h"
#include "core/model/statement.h"

namespace quarry {

// How result rows of reads by key lie; the same for all reads of one shape.
struct ReadLayout {
  RowHeader header;                   // Of the asked columns.
  std::vector<size_t> projection;     // Asked column -> its position in a result row; empty: the row as it is.
  std::vector<size_t> key_positions;  // Primary-key column -> its position in a result row.
  bool with_etag = false;             // Rows hold all columns, in catalog order.
};

// How one shard's answer to a read by key is matched with the keys asked.
struct ReadTaskMerge {
  // True: one statement read all keys, and `items_by_key` (see KeyBytes) tells whose row each is.
  bool batched = false;
  std::vector<uint32_t> items;  // Not batched: the key that each step reads.
  absl::flat_hash_map<std::string, std::vector<uint32_t>> items_by_key;
};

struct ReadMerge {
  std::shared_ptr<const ReadLayout> layout;
  uint32_t items = 0;                // Keys asked.
  std::vector<ReadTaskMerge> tasks;  // One per task.
};

// `parts` has one result per task. Rows of a key asked twice are given twice.
ReadResult MergeRead(const ReadMerge& merge, std::vector<TaskResult> parts);

struct MutationMerge {
  Record key;                      // The key's parts that are known before the write.
  RowHeader header;                // Of the returned columns; null when nothing is returned.
  std::vector<size_t> projection;  // As in ReadLayout; over all columns in catalog order.
  std::vector<std::pair<std::string, size_t>> key_columns;  // Name and position of primary-key columns in a returned row.
  bool returns_row = false;        // The last statement returns the row, all columns.
};

struct WriteMerge {
  std::vector<MutationMerge> mutations;
};

// `parts` are the tasks' results; steps name their mutation. Mutations that no part answers keep `missing`.
WriteResult MergeWrite(const WriteMerge& merge, const std::vector<Task>& tasks, std::vector<TaskResult> parts);

}  // namespace quarry
