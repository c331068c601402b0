#include "core/backend/sqlite/row_stream.h"

#include <optional>
#include <utility>

#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::sqlite {
namespace {

constexpr size_t kBatchBytes = 256 * 1024;

// Used by the lane's jobs only, but for the header, which does not change.
struct OpenCursor {
  std::unique_ptr<Cursor> cursor;
  RowHeader header;
};

// Ends the cursor on its lane when nobody holds it any more, wherever that happens.
class CursorHandle {
 public:
  CursorHandle(std::shared_ptr<Lane> lane, OpenCursor open)
      : lane_(std::move(lane)), open_(std::move(open)) {}
  CursorHandle(const CursorHandle&) = delete;
  CursorHandle& operator=(const CursorHandle&) = delete;
  ~CursorHandle() {
    // The lane goes after its job has been queued: giving the writer back waits behind it.
    lane_->Submit([cursor = std::move(open_.cursor)](Connection&) mutable { cursor.reset(); });
  }
  Cursor& cursor() { return *open_.cursor; }
  const RowHeader& header() const { return open_.header; }
  const std::shared_ptr<Lane>& lane() const { return lane_; }

 private:
  std::shared_ptr<Lane> lane_;
  OpenCursor open_;
};

struct Batch {
  RowBatch rows;
  int64_t affected = 0;
};

absl::StatusOr<Batch> NextOn(Connection& connection, Cursor& cursor, bool commit, const JobControl& control) {
  Batch batch;
  QUARRY_ASSIGN_OR_RETURN(batch.rows, cursor.Next(kBatchBytes, control));
  batch.affected = cursor.affected();
  if (!commit || !cursor.finished() || !connection.in_transaction()) return batch;
  if (const int code = connection.Commit(); code != SQLITE_OK) {
    const absl::Status error =
        CommitErrorOf(connection.handle(), code, connection.shard(), reason::kWriteOutcomeUnknown);
    connection.Rollback();
    return error;
  }
  return batch;
}

class SqliteRowStream final : public RowStream {
 public:
  SqliteRowStream(std::shared_ptr<Core> core, std::shared_ptr<CursorHandle> handle, bool commit)
      : core_(std::move(core)), handle_(std::move(handle)), commit_(commit) {}

  RowHeader header() const override { return handle_->header(); }
  int64_t affected() const override { return affected_; }

  Async<absl::StatusOr<RowBatch>> Next(const CallContext& ctx) override {
    ctx.stage = Stage::kQuery;
    LaneWork<Batch> work = [handle = std::weak_ptr<CursorHandle>(handle_), commit = commit_](
                               Connection& connection, const JobControl& control) -> absl::StatusOr<Batch> {
      // Dropped streams have queued the end of their cursor behind this.
      const std::shared_ptr<CursorHandle> held = handle.lock();
      if (held == nullptr) return absl::CancelledError("the stream was dropped");
      return NextOn(connection, held->cursor(), commit, control);
    };
    Async<absl::StatusOr<Batch>> run =
        RunOnLane<Batch>(core_, handle_->lane(), ctx.deadline, std::move(work));
    absl::StatusOr<Batch> batch = co_await run;
    if (!batch.ok()) co_return batch.status();
    affected_ = batch->affected;
    co_return std::move(batch->rows);
  }

 private:
  std::shared_ptr<Core> core_;
  std::shared_ptr<CursorHandle> handle_;
  const bool commit_;
  int64_t affected_ = 0;
};

}  // namespace

Async<absl::StatusOr<std::unique_ptr<RowStream>>> OpenStream(std::shared_ptr<Core> core,
                                                             StreamOptions options, Statement statement,
                                                             absl::Time deadline) {
  LaneWork<OpenCursor> work =
      [statement = std::move(statement), begin = options.begin, in_transaction = options.in_transaction](
          Connection& connection, const JobControl& control) -> absl::StatusOr<OpenCursor> {
    if (begin != nullptr) QUARRY_RETURN_IF_ERROR(connection.Control(begin));
    if (in_transaction && !connection.in_transaction()) return TransactionEnded(connection.shard());
    OpenCursor open;
    QUARRY_ASSIGN_OR_RETURN(open.cursor, connection.OpenCursor(statement, control));
    open.header = open.cursor->header();
    return open;
  };
  Async<absl::StatusOr<OpenCursor>> run =
      RunOnLane<OpenCursor>(core, options.lane, deadline, std::move(work));
  absl::StatusOr<OpenCursor> open = co_await run;
  if (!open.ok()) co_return open.status();
  auto handle = std::make_shared<CursorHandle>(options.lane, *std::move(open));
  std::unique_ptr<RowStream> stream =
      std::make_unique<SqliteRowStream>(std::move(core), std::move(handle), options.commit);
  co_return stream;
}

}  // namespace quarry::sqlite
