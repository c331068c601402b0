#include "core/backend/sqlite/branch_store.h"

#include <bit>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/outcomes.h"
#include "core/backend/sqlite/unique_index.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/routing/stable_hash.h"

namespace quarry::sqlite {
namespace {

constexpr int64_t kCacheKib = 512;
constexpr char kCreate[] =
    "CREATE TABLE IF NOT EXISTS branch(transaction_id TEXT NOT NULL PRIMARY KEY, home TEXT NOT NULL, "
    "created INTEGER NOT NULL, checksum INTEGER NOT NULL, changeset BLOB NOT NULL) STRICT";

int64_t ChecksumOf(const std::string& changeset) {
  return std::bit_cast<int64_t>(HashBytesExtended(changeset, kPartitionSeed));
}

ConnectionOptions SidecarOf(const ConnectionOptions& shard) {
  ConnectionOptions options;
  options.file = shard.file + "-branches";
  options.shard = shard.shard;
  options.cache_kib = kCacheKib;
  return options;
}

absl::Status Damaged(const ConnectionOptions& options, const std::string& what) {
  return MakeError(absl::StatusCode::kDataLoss, reason::kShardCorrupt,
                   absl::StrCat(options.file, " of shard ", options.shard, " is damaged (", what, ")"),
                   {{"shard", options.shard}});
}

absl::StatusOr<StatementResult> Ask(Connection& connection, const ConnectionOptions& options, const char* sql,
                                    std::vector<Value> params) {
  absl::StatusOr<StatementResult> result = RunOwn(connection, sql, std::move(params));
  // What does not fit the table that Quarry has made has met another.
  if (absl::IsInvalidArgument(result.status())) return Damaged(options, "its table is not as Quarry has made it");
  return result;
}

}  // namespace

BranchStore::BranchStore(const ConnectionOptions& shard) : options_(SidecarOf(shard)) {}

absl::Status BranchStore::Open() {
  if (connection_ != nullptr) return absl::OkStatus();
  QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<Connection> connection,
                          Connection::Open(options_, Connection::Mode::kWrite));
  // No thread of its own keeps the log short, as the shard's file has one.
  QUARRY_RETURN_IF_ERROR(connection->ControlOnce("PRAGMA wal_autocheckpoint=1000"));
  QUARRY_RETURN_IF_ERROR(connection->ControlOnce(kCreate));
  connection_ = std::move(connection);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StoredBranch>> BranchStore::List() {
  std::vector<StoredBranch> branches;
  std::error_code ignored;
  if (!std::filesystem::exists(options_.file, ignored)) return branches;
  QUARRY_RETURN_IF_ERROR(Open());
  const auto check = SchemaRows(connection_->handle(), "PRAGMA quick_check(1)", {});
  if (check.size() != 1 || check[0][0] != "ok") return Damaged(options_, check.empty() ? "unreadable" : check[0][0]);
  QUARRY_ASSIGN_OR_RETURN(
      const StatementResult rows,
      Ask(*connection_, options_, "SELECT transaction_id, home, created FROM branch ORDER BY created, rowid", {}));
  for (const Row& row : rows.batch.rows) {
    const bool valid = row[0].kind() == ValueKind::kText && row[1].kind() == ValueKind::kText &&
                       row[2].kind() == ValueKind::kInt64;
    if (!valid) return Damaged(options_, "a row has other types than Quarry's");
    StoredBranch& branch = branches.emplace_back();
    branch.transaction.id = row[0].text();
    branch.transaction.home = row[1].text();
    branch.created = absl::FromUnixMicros(row[2].int64_value());
  }
  return branches;
}

absl::Status BranchStore::StoreIn(Connection& connection, const StoredBranch& branch, const std::string& changeset) {
  QUARRY_RETURN_IF_ERROR(connection.Control("BEGIN IMMEDIATE"));
  QUARRY_RETURN_IF_ERROR(RunOwn(connection, "DELETE FROM branch", {}).status());
  QUARRY_RETURN_IF_ERROR(
      RunOwn(connection,
             "INSERT INTO branch(transaction_id, home, created, checksum, changeset) VALUES (?1, ?2, ?3, ?4, ?5)",
             {Value::Text(branch.transaction.id), Value::Text(branch.transaction.home),
              Value::Int64(absl::ToUnixMicros(branch.created)), Value::Int64(ChecksumOf(changeset)),
              Value::Bytes(changeset)})
          .status());
  const int code = connection.Commit();
  return code == SQLITE_OK ? absl::OkStatus() : ErrorOf(connection.handle(), code, options_.shard);
}

absl::Status BranchStore::Store(const StoredBranch& branch, const std::string& changeset) {
  QUARRY_RETURN_IF_ERROR(Open());
  const absl::Status status = StoreIn(*connection_, branch, changeset);
  if (status.ok()) return status;
  connection_->Rollback();
  Remove(branch.transaction.id).IgnoreError();
  connection_.reset();
  return status;
}

absl::StatusOr<std::string> BranchStore::Load(const std::string& transaction_id) {
  QUARRY_RETURN_IF_ERROR(Open());
  QUARRY_ASSIGN_OR_RETURN(const StatementResult rows,
                          Ask(*connection_, options_, "SELECT checksum, changeset FROM branch WHERE transaction_id = ?1",
                              {Value::Text(transaction_id)}));
  if (rows.batch.rows.empty()) return Damaged(options_, absl::StrCat("the changes of ", transaction_id, " are missing"));
  const Row& row = rows.batch.rows.front();
  if (row[0].kind() != ValueKind::kInt64 || row[1].kind() != ValueKind::kBytes) {
    return Damaged(options_, absl::StrCat("the changes of ", transaction_id, " have other types than Quarry's"));
  }
  std::string changeset(row[1].text());
  if (ChecksumOf(changeset) != row[0].int64_value()) {
    return Damaged(options_, absl::StrCat("the changes of ", transaction_id, " do not have their checksum"));
  }
  return changeset;
}

absl::Status BranchStore::Remove(const std::string& transaction_id) {
  QUARRY_RETURN_IF_ERROR(Open());
  QUARRY_RETURN_IF_ERROR(connection_->ControlOnce("PRAGMA synchronous=NORMAL"));
  const absl::Status removed =
      Ask(*connection_, options_, "DELETE FROM branch WHERE transaction_id = ?1", {Value::Text(transaction_id)}).status();
  const absl::Status full = connection_->ControlOnce("PRAGMA synchronous=FULL");
  // It would store the next branch without a sync.
  if (!full.ok()) connection_.reset();
  return removed;
}

}  // namespace quarry::sqlite
