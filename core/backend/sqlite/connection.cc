#include "core/backend/sqlite/connection.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "SQLiteCpp/Exception.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "core/backend/sqlite/authorize.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/hash_functions.h"
#include "core/backend/sqlite/query_functions.h"
#include "core/backend/sqlite/recorder.h"
#include "core/backend/sqlite/unique_index.h"
#include "core/backend/sqlite/values.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/check.h"

namespace quarry::sqlite {
namespace {

constexpr size_t kPreparedMax = 512;
// Virtual machine steps between looks at the clock: some tens of microseconds.
constexpr int kProgressSteps = 2000;

// A statement is ready for its next user when this ends.
class ResetOnExit {
 public:
  explicit ResetOnExit(sqlite3_stmt* statement) : statement_(statement) {}
  ResetOnExit(const ResetOnExit&) = delete;
  ResetOnExit& operator=(const ResetOnExit&) = delete;
  ~ResetOnExit() {
    sqlite3_reset(statement_);
    // The values bound are borrowed.
    sqlite3_clear_bindings(statement_);
  }

 private:
  sqlite3_stmt* statement_;
};

absl::StatusOr<Row> ReadRow(sqlite3_stmt* prepared, const Statement& statement, const RowHeader& header) {
  const int count = sqlite3_column_count(prepared);
  Row row;
  row.reserve(static_cast<size_t>(count));
  const size_t known = statement.result_types ? statement.result_types->size() : header ? header->size() : 0;
  if (known != static_cast<size_t>(count)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, reason::kSchemaMismatch,
                     "the statement's columns have changed; reload the catalog");
  }
  for (int column = 0; column < count; ++column) {
    const auto at = static_cast<size_t>(column);
    const ColumnType& type = statement.result_types ? (*statement.result_types)[at] : (*header)[at].type;
    // A user's own SQL shows what is there.
    QUARRY_ASSIGN_OR_RETURN(Value value, ReadColumn(prepared, column, type, statement.result_types != nullptr));
    row.push_back(std::move(value));
  }
  return row;
}

// Space, semicolons and comments are no statement. A comment that does not end goes to the end, as SQLite has it.
bool NothingLeft(std::string_view tail) {
  while (true) {
    tail.remove_prefix(std::min(tail.find_first_not_of(" \t\r\n\f;"), tail.size()));
    const std::string_view start = tail.substr(0, 2);
    if (start != "--" && start != "/*") return tail.empty();
    const std::string_view end = start == "--" ? "\n" : "*/";
    const size_t at = tail.find(end, start.size());
    if (at == std::string_view::npos) return true;
    tail.remove_prefix(at + end.size());
  }
}

}  // namespace

// While it lives, the connection watches `control` and holds a raw statement to what it may do. The authorizer is
// asked again when SQLite prepares a statement anew in the middle of a run.
class RawScope {
 public:
  RawScope(Connection& connection, bool raw, const JobControl* control) : connection_(connection) {
    connection_.raw_ = raw;
    connection_.running_ = control;
  }
  RawScope(const RawScope&) = delete;
  RawScope& operator=(const RawScope&) = delete;
  ~RawScope() {
    connection_.raw_ = false;
    connection_.running_ = nullptr;
  }

 private:
  Connection& connection_;
};

RowHeader HeaderOf(sqlite3_stmt* statement) {
  auto header = std::make_shared<std::vector<ColumnHeader>>();
  for (int column = 0; column < sqlite3_column_count(statement); ++column) {
    ColumnHeader& out = header->emplace_back();
    if (const char* name = sqlite3_column_name(statement, column)) out.name = name;
    if (const char* declared = sqlite3_column_decltype(statement, column))
      out.type = TypeOfDeclared(declared);
  }
  return header;
}

Connection::Connection(ConnectionOptions options, std::unique_ptr<SQLite::Database> database, Mode mode)
    : options_(std::move(options)),
      mode_(mode),
      database_(std::move(database)),
      handle_(database_->getHandle()) {}

Connection::~Connection() = default;

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options, Mode mode) {
  const int create = options.create ? SQLITE_OPEN_CREATE : 0;
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (mode == Mode::kWrite ? SQLITE_OPEN_READWRITE | create : SQLITE_OPEN_READONLY);
  try {
    auto database = std::make_unique<SQLite::Database>(options.file, flags, /*aBusyTimeoutMs=*/0);
    std::unique_ptr<Connection> connection(new Connection(options, std::move(database), mode));
    QUARRY_RETURN_IF_ERROR(connection->Configure());
    return connection;
  } catch (const SQLite::Exception& error) {
    return OpenError(options.shard, options.file, error.getErrorCode(), errno);
  }
}

absl::Status Connection::Configure() {
  const std::string common =
      absl::StrCat("PRAGMA foreign_keys=ON; PRAGMA cache_size=-", options_.cache_kib, ";");
  std::string sql = common;
  if (mode_ == Mode::kWrite) {
    // Checkpoints run beside the writer: its own would stall a group for ten milliseconds.
    absl::StrAppend(&sql, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;");
  } else {
    absl::StrAppend(&sql, "PRAGMA query_only=ON;");
  }
  if (const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr); code != SQLITE_OK) {
    return OpenError(options_.shard, options_.file, code, sqlite3_system_errno(handle_));
  }
  if (mode_ == Mode::kWrite && options_.bytes_max > 0) {
    const auto page_size = SchemaRows(handle_, "PRAGMA page_size", {});
    const int64_t page = page_size.empty() ? 4096 : std::stoll(page_size[0][0]);
    sql = absl::StrCat("PRAGMA max_page_count=", std::max<int64_t>(1, options_.bytes_max / page));
    sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  }
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle_, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_progress_handler(handle_, kProgressSteps, &Connection::OnProgress, this);
  sqlite3_set_authorizer(handle_, &Connection::OnAuthorize, this);
  QUARRY_RETURN_IF_ERROR(RegisterHashFunctions(handle_));
  return RegisterQueryFunctions(handle_);
}

int Connection::OnProgress(void* connection) {
  const JobControl* running = static_cast<Connection*>(connection)->running_;
  if (running == nullptr) return 0;
  return running->cancelled.load(std::memory_order_relaxed) || absl::Now() >= running->deadline ? 1 : 0;
}

int Connection::OnAuthorize(void* connection, int action, const char* first, const char* second, const char*,
                            const char*) {
  const Connection& self = *static_cast<Connection*>(connection);
  if (!self.raw_) return SQLITE_OK;
  if (self.recorder_ != nullptr) self.recorder_->NoteAction(action);
  return AuthorizeRaw(action, first, second);
}

absl::StatusOr<OwnedStatement> Connection::Prepare(const std::string& sql, bool keep) {
  sqlite3_stmt* statement = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                      keep ? SQLITE_PREPARE_PERSISTENT : 0, &statement, &tail);
  OwnedStatement owned(statement);
  if (code != SQLITE_OK) return ErrorOf(handle_, code, options_.shard);
  const std::string_view rest(tail, static_cast<size_t>(sql.data() + sql.size() - tail));
  if (statement == nullptr || !NothingLeft(rest)) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSql,
                     statement == nullptr ? "the statement is empty"
                                          : "the text holds more than one statement; send them one by one",
                     {{"shard", options_.shard}});
  }
  return owned;
}

absl::StatusOr<Connection::Prepared*> Connection::FindPrepared(const std::string& sql) {
  auto& cache = recorder_ == nullptr ? prepared_ : prepared_recorded_;
  if (const auto found = cache.find(sql); found != cache.end()) {
    Count(&Counters::prepared_hits);
    return found->second.get();
  }
  Count(&Counters::prepared_misses);
  QUARRY_ASSIGN_OR_RETURN(OwnedStatement statement, Prepare(sql, /*keep=*/true));
  // Shapes come from the planner, so this many are out of the ordinary: starting over is cheap enough.
  if (cache.size() >= kPreparedMax) cache.clear();
  auto prepared = std::make_unique<Prepared>();
  prepared->statement = std::move(statement);
  return cache.emplace(sql, std::move(prepared)).first->second.get();
}

absl::Status Connection::CheckAllowed(sqlite3_stmt* prepared) const {
  if (mode_ == Mode::kRead && sqlite3_stmt_readonly(prepared) == 0) return ReadOnly(options_.shard);
  return absl::OkStatus();
}

absl::Status Connection::BindAll(sqlite3_stmt* prepared, const Statement& statement) const {
  const int wanted = sqlite3_bind_parameter_count(prepared);
  if (static_cast<size_t>(wanted) != statement.params.size()) {
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidSql,
                     absl::StrCat("the statement has ", wanted, " parameters, ", statement.params.size(),
                                  " values were given"),
                     {{"shard", options_.shard}});
  }
  for (size_t i = 0; i < statement.params.size(); ++i) {
    const bool typed = statement.param_types && i < statement.param_types->size();
    const ColumnType* type = typed ? &(*statement.param_types)[i] : nullptr;
    QUARRY_RETURN_IF_ERROR(Bind(prepared, static_cast<int>(i) + 1, statement.params[i], type));
  }
  return absl::OkStatus();
}

absl::Status Connection::StepError(int code, const JobControl& control) const {
  if ((code & 0xFF) != SQLITE_INTERRUPT) return ErrorOf(handle_, code, options_.shard);
  if (control.cancelled.load()) return absl::CancelledError("the call was cancelled while its statement ran");
  return DeadlineEnded(options_.shard, "query");
}

absl::StatusOr<StatementResult> Connection::RunPrepared(sqlite3_stmt* prepared, const RowHeader& header,
                                                        const Statement& statement,
                                                        const JobControl& control) {
  Count(&Counters::statements);
  QUARRY_RETURN_IF_ERROR(CheckAllowed(prepared));
  const ResetOnExit reset(prepared);
  QUARRY_RETURN_IF_ERROR(BindAll(prepared, statement));
  StatementResult result;
  result.batch.header = header;
  const int64_t changes_before = sqlite3_total_changes64(handle_);
  int code = SQLITE_ROW;
  while ((code = sqlite3_step(prepared)) == SQLITE_ROW) {
    QUARRY_ASSIGN_OR_RETURN(Row row, ReadRow(prepared, statement, header));
    result.batch.rows.push_back(std::move(row));
  }
  if (code != SQLITE_DONE) return StepError(code, control);
  if (sqlite3_total_changes64(handle_) != changes_before) result.affected = sqlite3_changes64(handle_);
  QUARRY_RETURN_IF_ERROR(EvaluateCheck(statement.check, result));
  return result;
}

absl::StatusOr<StatementResult> Connection::Run(const Statement& statement, const JobControl& control) {
  if (control.cancelled.load(std::memory_order_relaxed))
    return absl::CancelledError("the call was cancelled");
  const RawScope scope(*this, statement.raw, &control);
  if (statement.raw && recorder_ != nullptr) recorder_->NoteRaw();
  if (statement.raw) {
    QUARRY_ASSIGN_OR_RETURN(const OwnedStatement prepared, Prepare(*statement.sql, /*keep=*/false));
    return RunPrepared(prepared.get(), HeaderOf(prepared.get()), statement, control);
  }
  QUARRY_ASSIGN_OR_RETURN(Prepared * prepared, FindPrepared(*statement.sql));
  if (!statement.result_types) {
    const auto columns = static_cast<size_t>(sqlite3_column_count(prepared->statement.get()));
    if (!prepared->header || prepared->header->size() != columns) {
      prepared->header = HeaderOf(prepared->statement.get());
    }
  }
  return RunPrepared(prepared->statement.get(), statement.result_types ? nullptr : prepared->header,
                     statement, control);
}

absl::StatusOr<std::unique_ptr<Cursor>> Connection::OpenCursor(const Statement& statement,
                                                               const JobControl& control) {
  const RawScope scope(*this, statement.raw, &control);
  if (statement.raw && recorder_ != nullptr) recorder_->NoteRaw();
  Count(&Counters::statements);
  QUARRY_ASSIGN_OR_RETURN(OwnedStatement prepared, Prepare(*statement.sql, /*keep=*/false));
  QUARRY_RETURN_IF_ERROR(CheckAllowed(prepared.get()));
  sqlite3_stmt* const bare = prepared.get();
  auto cursor = std::make_unique<Cursor>(*this, std::move(prepared), statement);
  QUARRY_RETURN_IF_ERROR(BindAll(bare, cursor->statement_));
  return cursor;
}

absl::Status Connection::BeginAs(Begin begin) {
  if (begin == Begin::kNothing) return in_transaction() ? absl::OkStatus() : TransactionEnded(options_.shard);
  QUARRY_RETURN_IF_ERROR(Control(begin == Begin::kRead ? "BEGIN" : "BEGIN IMMEDIATE"));
  changes_at_begin_ = sqlite3_total_changes64(handle_);
  if (begin != Begin::kRecorded) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<Recorder>> recorder = Recorder::Start(handle_, options_.shard);
  if (!recorder.ok()) {
    Rollback();
    return recorder.status();
  }
  recorder_ = *std::move(recorder);
  return absl::OkStatus();
}

bool Connection::changed() const {
  if (recorder_ != nullptr && recorder_->schema_changed()) return true;
  return sqlite3_total_changes64(handle_) != changes_at_begin_;
}

absl::Status Connection::Control(const std::string& sql) {
  QUARRY_ASSIGN_OR_RETURN(Prepared * prepared, FindPrepared(sql));
  const int code = sqlite3_step(prepared->statement.get());
  const absl::Status status =
      code == SQLITE_DONE || code == SQLITE_ROW ? absl::OkStatus() : ErrorOf(handle_, code, options_.shard);
  sqlite3_reset(prepared->statement.get());
  return status;
}

absl::Status Connection::ControlOnce(const std::string& sql) {
  QUARRY_ASSIGN_OR_RETURN(const OwnedStatement prepared, Prepare(sql, /*keep=*/false));
  const int code = sqlite3_step(prepared.get());
  return code == SQLITE_DONE || code == SQLITE_ROW ? absl::OkStatus()
                                                   : ErrorOf(handle_, code, options_.shard);
}

int Connection::Commit() {
  const absl::StatusOr<Prepared*> prepared = FindPrepared("COMMIT");
  if (!prepared.ok()) return SQLITE_ERROR;
  const int code = sqlite3_step((*prepared)->statement.get());
  sqlite3_reset((*prepared)->statement.get());
  if (code == SQLITE_DONE) recorder_.reset();
  return code == SQLITE_DONE ? SQLITE_OK : code;
}

void Connection::Rollback() {
  recorder_.reset();
  if (in_transaction()) Control("ROLLBACK").IgnoreError();
}

absl::StatusOr<bool> Connection::Reads(const Statement& statement) {
  const RawScope scope(*this, statement.raw, nullptr);
  QUARRY_ASSIGN_OR_RETURN(const OwnedStatement prepared, Prepare(*statement.sql, /*keep=*/false));
  return sqlite3_stmt_readonly(prepared.get()) != 0;
}

Cursor::Cursor(Connection& connection, OwnedStatement prepared, Statement statement)
    : connection_(connection),
      statement_(std::move(statement)),
      prepared_(std::move(prepared)),
      header_(HeaderOf(prepared_.get())),
      changes_before_(sqlite3_total_changes64(connection.handle())) {}

Cursor::~Cursor() = default;

absl::StatusOr<RowBatch> Cursor::Next(size_t bytes_max, const JobControl& control) {
  RowBatch batch;
  batch.header = header_;
  if (finished_) return batch;
  const RawScope scope(connection_, statement_.raw, &control);
  size_t bytes = 0;
  while (bytes < bytes_max) {
    const int code = sqlite3_step(prepared_.get());
    if (code == SQLITE_DONE) {
      finished_ = true;
      sqlite3* const db = connection_.handle();
      if (sqlite3_total_changes64(db) != changes_before_) affected_ = sqlite3_changes64(db);
      sqlite3_reset(prepared_.get());
      break;
    }
    if (code != SQLITE_ROW) {
      finished_ = true;
      const absl::Status error = connection_.StepError(code, control);
      sqlite3_reset(prepared_.get());
      return error;
    }
    QUARRY_ASSIGN_OR_RETURN(Row row, ReadRow(prepared_.get(), statement_, header_));
    for (const Value& value : row) bytes += ByteSize(value);
    batch.rows.push_back(std::move(row));
  }
  return batch;
}

}  // namespace quarry::sqlite
