// Parts from shards -> one result. Pure. A plan carries the specification that its own merge needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "core/model/operation.h"
#include "core/model/statement.h"

namespace quarry {

// The bytes by which a key is recognised in what a database returns: equal keys give equal bytes, also when a decimal
// comes back with another scale.
std::string KeyBytes(const Row& row, const std::vector<size_t>& key_positions);

// How one shard's answer to a read by key is matched with the keys asked.
struct ReadTaskMerge {
  // True: one statement read all keys, and `items_by_key` tells whose row each is. False: one step per key.
  bool batched = false;
  absl::flat_hash_map<std::string, std::vector<uint32_t>> items_by_key;
};

struct ReadMerge {
  RowHeader header;                   // Of the asked columns.
  std::vector<size_t> projection;     // Asked column -> its position in a result row; empty: the row as it is.
  std::vector<size_t> key_positions;  // Primary-key column -> its position in a result row.
  bool with_etag = false;             // Rows hold all columns, in catalog order.
  uint32_t items = 0;                 // Keys asked.
  std::vector<ReadTaskMerge> tasks;   // One per task.
};

// `parts` has one result per task. Rows of a key asked twice are given twice.
ReadResult MergeRead(const ReadMerge& merge, std::vector<TaskResult> parts);

struct MutationMerge {
  Record key;                      // The key's parts that are known before the write.
  RowHeader header;                // Of the returned columns; null when nothing is returned.
  std::vector<size_t> projection;  // As in ReadMerge; over all columns in catalog order.
  std::vector<std::pair<std::string, size_t>> key_columns;  // Name and position of primary-key columns in a returned row.
  bool returns_row = false;        // The last statement returns the row, all columns.
};

struct WriteMerge {
  std::vector<MutationMerge> mutations;
};

// `parts` are the tasks' results; steps name their mutation. Mutations that no part answers keep `missing`.
WriteResult MergeWrite(const WriteMerge& merge, const std::vector<Task>& tasks, std::vector<TaskResult> parts);

}  // namespace quarry
