#include "core/merge/merge.h"

#include <algorithm>
#include <utility>

#include "core/model/etag.h"
#include "core/model/key_bytes.h"

namespace quarry {
namespace {

Row Project(Row row, const std::vector<size_t>& projection) {
  if (projection.empty()) return row;
  Row projected;
  projected.reserve(projection.size());
  // Copied, not moved: a column may be asked twice.
  for (const size_t position : projection) projected.push_back(row[position]);
  return projected;
}

void AddFound(const ReadMerge& merge, uint32_t item, Row row, ReadResult& result) {
  KeyedRow found;
  found.item = item;
  if (merge.layout->with_etag) found.etag = EtagOf(row);
  found.row = Project(std::move(row), merge.layout->projection);
  result.found.push_back(std::move(found));
}

void MergeBatched(const ReadMerge& merge, const ReadTaskMerge& task, TaskResult part, ReadResult& result) {
  for (StepResult& step : part.steps) {
    for (Row& row : step.statements.back().batch.rows) {
      const auto items = task.items_by_key.find(KeyBytes(row, merge.layout->key_positions));
      if (items == task.items_by_key.end()) continue;
      for (size_t i = 0; i + 1 < items->second.size(); ++i) AddFound(merge, items->second[i], row, result);
      AddFound(merge, items->second.back(), std::move(row), result);
    }
  }
}

}  // namespace

ReadResult MergeRead(const ReadMerge& merge, std::vector<TaskResult> parts) {
  ReadResult result;
  result.header = merge.layout->header;
  result.found.reserve(merge.items);
  for (size_t i = 0; i < parts.size(); ++i) {
    const ReadTaskMerge& task = merge.tasks[i];
    if (task.batched) {
      MergeBatched(merge, task, std::move(parts[i]), result);
      continue;
    }
    for (size_t step = 0; step < parts[i].steps.size(); ++step) {
      std::vector<Row>& rows = parts[i].steps[step].statements.back().batch.rows;
      if (!rows.empty()) AddFound(merge, task.items[step], std::move(rows.front()), result);
    }
  }
  const auto by_item = [](const KeyedRow& a, const KeyedRow& b) { return a.item < b.item; };
  if (!std::is_sorted(result.found.begin(), result.found.end(), by_item)) {
    std::sort(result.found.begin(), result.found.end(), by_item);
  }
  auto found = result.found.begin();
  for (uint32_t item = 0; item < merge.items; ++item) {
    if (found != result.found.end() && found->item == item) {
      ++found;
    } else {
      result.missing.push_back(item);
    }
  }
  return result;
}

WriteResult MergeWrite(const WriteMerge& merge, const std::vector<Task>& tasks, std::vector<TaskResult> parts) {
  WriteResult result;
  result.mutations.resize(merge.mutations.size());
  result.replayed = !parts.empty();
  for (size_t i = 0; i < parts.size(); ++i) {
    result.replayed = result.replayed && parts[i].replayed;
    for (size_t step = 0; step < parts[i].steps.size(); ++step) {
      const uint32_t item = tasks[i].steps[step].item;
      const MutationMerge& spec = merge.mutations[item];
      MutationResult& mutation = result.mutations[item];
      StepResult& answer = parts[i].steps[step];
      mutation.status = answer.status;
      mutation.key = spec.key;
      mutation.replayed = parts[i].replayed;
      if (!answer.status.ok() || answer.statements.empty()) continue;
      StatementResult& last = answer.statements.back();
      mutation.affected = last.affected;
      if (!spec.returns_row || last.batch.rows.empty()) continue;
      Row row = std::move(last.batch.rows.front());
      for (const auto& [name, position] : spec.key_columns) mutation.key[name] = row[position];
      if (spec.header == nullptr) continue;
      mutation.header = spec.header;
      mutation.etag = EtagOf(row);
      mutation.row = Project(std::move(row), spec.projection);
    }
  }
  return result;
}

}  // namespace quarry
