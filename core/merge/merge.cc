#include "core/merge/merge.h"

#include <algorithm>
#include <utility>

#include "core/model/codec.h"
#include "core/model/etag.h"

namespace quarry {
namespace {

// "1.500" and "1.5" are one key.
std::string WithoutTrailingZeros(const std::string& decimal) {
  if (decimal.find('.') == std::string::npos) return decimal;
  size_t end = decimal.find_last_not_of('0');
  if (decimal[end] == '.') --end;
  return decimal.substr(0, end + 1);
}

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
  if (merge.with_etag) found.etag = EtagOf(row);
  found.row = Project(std::move(row), merge.projection);
  result.found.push_back(std::move(found));
}

void MergeBatched(const ReadMerge& merge, const ReadTaskMerge& task, TaskResult part, ReadResult& result) {
  for (StepResult& step : part.steps) {
    for (Row& row : step.statements.back().batch.rows) {
      const auto items = task.items_by_key.find(KeyBytes(row, merge.key_positions));
      if (items == task.items_by_key.end()) continue;
      for (const uint32_t item : items->second) AddFound(merge, item, row, result);
    }
  }
}

}  // namespace

std::string KeyBytes(const Row& row, const std::vector<size_t>& key_positions) {
  std::string bytes;
  for (const size_t position : key_positions) {
    const Value& value = row[position];
    if (value.kind() == ValueKind::kDecimal) {
      AppendValue(Value::Decimal(WithoutTrailingZeros(value.text())), &bytes);
    } else {
      AppendValue(value, &bytes);
    }
  }
  return bytes;
}

ReadResult MergeRead(const ReadMerge& merge, std::vector<TaskResult> parts) {
  ReadResult result;
  result.header = merge.header;
  for (size_t i = 0; i < parts.size(); ++i) {
    const ReadTaskMerge& task = merge.tasks[i];
    if (task.batched) {
      MergeBatched(merge, task, std::move(parts[i]), result);
      continue;
    }
    const std::vector<uint32_t>& items = task.items_by_key.begin()->second;
    for (size_t step = 0; step < parts[i].steps.size(); ++step) {
      std::vector<Row>& rows = parts[i].steps[step].statements.back().batch.rows;
      if (!rows.empty()) AddFound(merge, items[step], std::move(rows.front()), result);
    }
  }
  std::sort(result.found.begin(), result.found.end(),
            [](const KeyedRow& a, const KeyedRow& b) { return a.item < b.item; });
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
