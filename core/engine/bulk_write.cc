#include "core/engine/bulk_write.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/model/order.h"
#include "core/plan/fence.h"

namespace quarry {
namespace {

// Batches in a row that write nothing though rows match: a trigger or a rule of the database keeps them.
constexpr int kIdleMax = 10;

Task TaskOf(Statement statement, const BulkWriteOperation& op, ShardId shard, Dialect dialect, int64_t batch, bool rest) {
  Task task;
  task.shard = shard;
  Step step;
  if (!rest) AddFence(op.fence, dialect, step);
  step.statements.push_back(std::move(statement));
  task.steps.push_back(std::move(step));
  if (!op.request_id.empty()) task.guard = RequestGuard{DerivedRequestId(op.request_id, batch, rest), op.request_hash};
  return task;
}

absl::Status Kept(const Table& table) {
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kPreconditionFailed,
                   absl::StrCat("rows of table ", table.name(), " match, but the database writes none of them (a trigger or rule "
                                "may keep them); narrow the filter to rows that can be written"),
                   {{"table", table.name()}});
}

// A stored reply is a success: what fails has been tried anew.
BulkShardResult Failed(BulkShardResult result, const absl::Status& status) {
  result.part.status = status;
  result.replayed = false;
  return result;
}

}  // namespace

std::string DerivedRequestId(const std::string& request_id, int64_t batch, bool rest) {
  const std::string input = absl::StrCat("quarry bulk write\n", request_id, "\n", batch, rest ? "\nrest" : "");
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(input.data()), input.size(), digest.data());
  digest[6] = static_cast<unsigned char>((digest[6] & 0x0f) | 0x80);  // Version 8 of RFC 9562: made by rules of our own.
  digest[8] = static_cast<unsigned char>((digest[8] & 0x3f) | 0x80);
  const std::string hex = absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest.data()), 16));
  return absl::StrCat(hex.substr(0, 8), "-", hex.substr(8, 4), "-", hex.substr(12, 4), "-", hex.substr(16, 4), "-",
                      hex.substr(20, 12));
}

Async<absl::StatusOr<BulkShardResult>> RunBulkShard(const BulkWritePlan& plan, const BulkWriteOperation& op, BulkShard shard,
                                                    SqlTexts& texts) {
  BulkShardResult result;
  result.part.shard = shard.shard;
  std::optional<Row> last;
  int idle = 0;
  for (int64_t batch = 0; idle < kIdleMax; ++batch) {
    const Row* after = last.has_value() ? &*last : nullptr;
    Task write = TaskOf(BulkBatch(plan, after, shard.batch_rows, shard.dialect, texts), op, shard.shard, shard.dialect, batch, false);
    absl::StatusOr<TaskResult> written = co_await shard.run(std::move(write));
    if (!written.ok()) co_return Failed(std::move(result), written.status());
    result.replayed &= written->replayed;
    const std::vector<Row>& keys = written->steps.front().statements.back().batch.rows;
    if (!keys.empty()) {
      ++result.part.batches;
      result.part.rows += static_cast<int64_t>(keys.size());
      last = *std::max_element(keys.begin(), keys.end(), [&plan](const Row& a, const Row& b) {
        return CompareRows(a, b, plan.key_order) < 0;
      });
    }
    idle = keys.empty() ? idle + 1 : 0;
    if (static_cast<int64_t>(keys.size()) >= shard.batch_rows) continue;
    // Others may have changed rows while the batch waited for their locks, so that fewer are no proof of the end. The answer is
    // stored like a batch's: a repeated call must not go on to rows that came later.
    after = last.has_value() ? &*last : nullptr;
    Task rest = TaskOf(BulkRest(plan, after, shard.dialect, texts), op, shard.shard, shard.dialect, batch, true);
    absl::StatusOr<TaskResult> left = co_await shard.run(std::move(rest));
    if (!left.ok()) co_return Failed(std::move(result), left.status());
    result.replayed &= left->replayed;
    if (left->steps.front().statements.front().batch.rows.empty()) co_return result;
  }
  result.part.status = Kept(*plan.table);
  co_return result;
}

}  // namespace quarry
