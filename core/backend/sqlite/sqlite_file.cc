#include "core/backend/sqlite/sqlite_file.h"

#include <cstdint>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"

namespace quarry {
namespace {

// SQLite takes an empty file for a new database. What cannot be looked at may well hold one.
bool IsThere(const std::string& file) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error) return error != std::errc::no_such_file_or_directory && error != std::errc::not_a_directory;
  return bytes > 0;
}

bool HasAnotherOwner(const absl::Status& status) { return DetailOf(status).facts.contains("pid"); }

absl::Status Missing(const SqliteOptions& options) {
  return absl::NotFoundError(absl::StrCat(options.file, " is missing or empty; move a good copy of it there"));
}

// Whatever the file is like, to callers its shard is away: other shards answer for it where they can.
absl::Status Away(const SqliteOptions& options, const absl::Status& why) {
  if (absl::IsUnavailable(why)) return why;
  ErrorDetail detail;
  detail.reason = reason::kShardUnavailable;
  detail.facts = {{"shard", options.shard}};
  detail.retry_after = absl::Seconds(1);
  return MakeError(absl::StatusCode::kUnavailable,
                   absl::StrCat("shard ", options.shard, " cannot be used: ", std::string(why.message())), detail);
}

}  // namespace

SqliteFile::SqliteFile(SqliteOptions options, absl::StatusOr<std::shared_ptr<SqliteDatabase>> database)
    : options_(std::move(options)), database_(std::move(database)) {}

absl::StatusOr<std::unique_ptr<SqliteFile>> SqliteFile::Open(SqliteOptions options) {
  const bool was_there = IsThere(options.file);
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = SqliteDatabase::Open(options);
  if (!database.ok() && (!was_there || HasAnotherOwner(database.status()))) return database.status();
  if (!database.ok()) database = Away(options, database.status());
  options.create = false;
  return std::unique_ptr<SqliteFile>(new SqliteFile(std::move(options), std::move(database)));
}

absl::StatusOr<std::shared_ptr<SqliteDatabase>> SqliteFile::database() const {
  const absl::MutexLock lock(&mutex_);
  return database_;
}

absl::StatusOr<std::shared_ptr<SqliteDatabase>> SqliteFile::Reopen() {
  absl::StatusOr<std::shared_ptr<SqliteDatabase>> database = this->database();
  if (database.ok()) return database;
  database = Missing(options_);
  if (IsThere(options_.file)) database = SqliteDatabase::Open(options_);
  if (!database.ok()) database = Away(options_, database.status());
  const absl::MutexLock lock(&mutex_);
  // Another try that ran meanwhile may have been the better one.
  if (!database_.ok()) database_ = std::move(database);
  return database_;
}

}  // namespace quarry
