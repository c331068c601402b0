#include "core/engine/generated_keys.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "core/backend/shard_error.h"
#include "core/base/error.h"
#include "core/plan/route.h"

namespace quarry {
namespace {

constexpr char kSeparator = ',';  // In no UUID and no integer.

// FNV-1a: the same on every machine, and good enough to spread random ids.
uint64_t SpreadOf(const std::string& request_id) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : request_id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::string GeneratedText(const WriteOperation& op) {
  std::string text;
  for (const Mutation& mutation : op.mutations) {
    for (const GeneratedColumn& column : mutation.generate) {
      const Value& value = mutation.record.at(column.column);
      if (!text.empty()) text.push_back(kSeparator);
      text += value.kind() == ValueKind::kInt64 ? std::to_string(value.int64_value()) : value.text();
    }
  }
  return text;
}

// One statement that returns the text that it was given: its stored reply is the first try's.
Task RememberText(std::string text, const WriteOperation& op, ShardId home, Dialect dialect) {
  static const auto kText =
      std::make_shared<const std::vector<ColumnType>>(std::vector<ColumnType>{{TypeKind::kText, false, ""}});
  Statement statement;
  statement.sql = std::make_shared<const std::string>(dialect == Dialect::kPostgres ? "SELECT $1::text" : "SELECT ?1");
  statement.params.push_back(Value::Text(std::move(text)));
  statement.param_types = kText;
  statement.result_types = kText;
  statement.returns_rows = true;
  Step step;
  step.statements.push_back(std::move(statement));
  Task task;
  task.shard = home;
  task.steps.push_back(std::move(step));
  task.guard = RequestGuard{RequestIdOfPart(op.request_id, 'e'), op.request_hash};
  return task;
}

absl::Status SetGenerated(WriteOperation& op, const std::string& text) {
  const std::vector<std::string> values = absl::StrSplit(text, kSeparator);
  size_t next = 0;
  for (Mutation& mutation : op.mutations) {
    for (const GeneratedColumn& column : mutation.generate) {
      if (next == values.size()) return absl::DataLossError("the stored keys of an earlier try are cut");
      Value& value = mutation.record.at(column.column);
      int64_t number = 0;
      if (value.kind() != ValueKind::kInt64) {
        value = Value::Text(values[next]);
      } else if (absl::SimpleAtoi(values[next], &number)) {
        value = Value::Int64(number);
      } else {
        return absl::DataLossError("the stored keys of an earlier try are damaged");
      }
      ++next;
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string RequestIdOfPart(const std::string& request_id, char digit) {
  constexpr size_t kVersionDigit = 14;
  std::string id = request_id;
  if (id.size() > kVersionDigit) id[kVersionDigit] = digit;
  return id;
}

bool NeedsStoredKeys(const WriteOperation& op, const Snapshot& snapshot) {
  if (op.request_id.empty() || !snapshot.catalog_ready) return false;
  return std::any_of(op.mutations.begin(), op.mutations.end(), [&snapshot](const Mutation& mutation) {
    if (mutation.generate.empty()) return false;
    const absl::StatusOr<const Table*> table = FindTable(snapshot, mutation.table);
    if (!table.ok()) return false;
    const std::vector<std::string>& key = (*table)->declaration().shard_key;
    return std::any_of(mutation.generate.begin(), mutation.generate.end(), [&key](const GeneratedColumn& column) {
      return std::find(key.begin(), key.end(), column.column) != key.end();
    });
  });
}

Async<absl::Status> StoreGeneratedKeys(WriteOperation& op, const Snapshot& snapshot,
                                       const std::vector<std::unique_ptr<Backend>>& shards, const CallContext& ctx) {
  const ShardId home{static_cast<uint32_t>(SpreadOf(op.request_id) % shards.size())};
  const Shard& shard = snapshot.topology.shard(home);
  const Task task = RememberText(GeneratedText(op), op, home, shard.dialect);
  const absl::StatusOr<TaskResult> stored = co_await shards[Index(home)]->Execute(task, ctx);
  if (!stored.ok()) co_return OnShard(stored.status(), shard.name);
  const std::vector<Row>& rows = stored->steps.front().statements.back().batch.rows;
  if (rows.empty()) co_return absl::DataLossError("the stored keys of an earlier try are missing");
  co_return SetGenerated(op, rows.front().front().text());
}

}  // namespace quarry
