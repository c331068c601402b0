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

// How a stream that stands alone ends.
struct AtEnd {
  bool commit = false;
  std::shared_ptr<Gate> gate;
};

absl::StatusOr<Batch> NextOn(Connection& connection, Cursor& cursor, const AtEnd& at_end, const JobControl& control) {
  Batch batch;
  QUARRY_ASSIGN_OR_RETURN(batch.rows, cursor.Next(kBatchBytes, control));
  batch.affected = cursor.affected();
  if (!at_end.commit || !cursor.finished() || !connection.in_transaction()) return batch;
  Gate::Pass pass;
  if (at_end.gate != nullptr) {
    pass = at_end.gate->EnterBlocking(Gate::Mode::kShared, control.deadline);
    if (!pass) {
      connection.Rollback();
      return GateOccupied(connection.shard());
    }
  }
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
  SqliteRowStream(std::shared_ptr<Core> core, std::shared_ptr<CursorHandle> handle, AtEnd at_end)
      : core_(std::move(core)), handle_(std::move(handle)), at_end_(std::move(at_end)) {}

  RowHeader header() const override { return handle_->header(); }
  int64_t affected() const override { return affected_; }

  Async<absl::StatusOr<RowBatch>> Next(const CallContext& ctx) override {
    ctx.stage = Stage::kQuery;
    LaneWork<Batch> work = [handle = std::weak_ptr<CursorHandle>(handle_), at_end = at_end_](
                               Connection& connection, const JobControl& control) -> absl::StatusOr<Batch> {
      // Dropped streams have queued the end of their cursor behind this.
      const std::shared_ptr<CursorHandle> held = handle.lock();
      if (held == nullptr) return absl::CancelledError("the stream was dropped");
      return NextOn(connection, held->cursor(), at_end, control);
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
  const AtEnd at_end_;
  int64_t affected_ = 0;
};

}  // namespace

Async<absl::StatusOr<std::unique_ptr<RowStream>>> OpenStream(std::shared_ptr<Core> core,
                                                             StreamOptions options, Statement statement,
                                                             absl::Time deadline) {
  LaneWork<OpenCursor> work =
      [statement = std::move(statement), begin = options.begin, in_transaction = options.in_transaction,
       wrote = options.wrote](Connection& connection, const JobControl& control) -> absl::StatusOr<OpenCursor> {
    if (in_transaction || begin != Begin::kNothing) QUARRY_RETURN_IF_ERROR(connection.BeginAs(begin));
    OpenCursor open;
    QUARRY_ASSIGN_OR_RETURN(open.cursor, connection.OpenCursor(statement, control));
    open.header = open.cursor->header();
    if (wrote != nullptr && open.cursor->writes()) wrote->store(true);
    return open;
  };
  Async<absl::StatusOr<OpenCursor>> run =
      RunOnLane<OpenCursor>(core, options.lane, deadline, std::move(work));
  absl::StatusOr<OpenCursor> open = co_await run;
  if (!open.ok()) co_return open.status();
  auto handle = std::make_shared<CursorHandle>(options.lane, *std::move(open));
  AtEnd at_end{options.commit, std::move(options.gate)};
  std::unique_ptr<RowStream> stream =
      std::make_unique<SqliteRowStream>(std::move(core), std::move(handle), std::move(at_end));
  co_return stream;
}

}  // namespace quarry::sqlite
