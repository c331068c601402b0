#include "core/backend/postgres/connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/errors.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {

absl::StatusOr<Command> Bind(const PreparedPtr& prepared, const std::vector<Value>& params) {
  if (params.size() != prepared->params.size()) {
    return InvalidField("params", absl::StrCat("the statement takes ", prepared->params.size(),
                                               " parameters, but ", params.size(), " were sent"));
  }
  Command command;
  command.prepared = prepared;
  command.params.reserve(params.size());
  for (size_t i = 0; i < params.size(); ++i) {
    QUARRY_ASSIGN_OR_RETURN(EncodedParam param, Encode(prepared->params[i], params[i], i + 1));
    command.params.push_back(std::move(param));
  }
  return command;
}

Command Plain(std::string sql) {
  Command command;
  command.sql = std::move(sql);
  return command;
}

absl::Status Batch::FirstError() const {
  for (const CommandResult& result : results) {
    if (!result.status.ok() && !absl::IsCancelled(result.status)) return result.status;
  }
  return sync_status;
}

Connection::Connection(Loop& loop, PGconn* connection, std::string shard)
    : loop_(loop), connection_(connection), shard_(std::move(shard)), last_progress_(loop.Now()) {}

Connection::~Connection() {
  // Nobody who waits may be called back into a connection that is going.
  for (const InFlight& flight : in_flight_) {
    if (flight.stream != nullptr) flight.stream->on_ready = nullptr;
  }
  if (interrupt != nullptr) interrupt->connection = nullptr;
  Break("closed");
  PQfinish(connection_);
}

void Connection::Start() {
  PQsetNoticeReceiver(connection_, &Connection::OnNotice, this);
  WatchSocket();
}

void Connection::OnNotice(void* self, const PGresult* result) {
  auto* const connection = static_cast<Connection*>(self);
  const char* source = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
  if (source == nullptr || std::string_view(source) != "SyncRepWaitForLSN") return;
  if (!connection->in_flight_.empty()) connection->in_flight_.front().batch->weak_commit = true;
}

bool Connection::committing() const {
  return std::any_of(in_flight_.begin(), in_flight_.end(),
                     [](const InFlight& flight) { return flight.batch->commits; });
}

bool Connection::paused() const {
  return !in_flight_.empty() && in_flight_.front().stream != nullptr && in_flight_.front().stream->full();
}

void Connection::WatchSocket() {
  if (!usable_) return;
  const int unsent = PQflush(connection_);
  if (unsent < 0) {
    Break(CauseOf(connection_));
    return;
  }
  // While a stream's reader is slow the server waits.
  SocketEvents events = paused() ? SocketEvents::kNone : SocketEvents::kRead;
  if (unsent > 0) events = events == SocketEvents::kRead ? SocketEvents::kReadWrite : SocketEvents::kWrite;
  if (events == watched_) return;
  watched_ = events;
  const int fd = PQsocket(connection_);
  if (events == SocketEvents::kNone) {
    loop_.Unwatch(fd);
  } else {
    loop_.Watch(fd, events, [this](SocketEvents ready) { OnReady(ready); });
  }
}

void Connection::OnReady(SocketEvents ready) {
  const bool readable = (static_cast<uint8_t>(ready) & static_cast<uint8_t>(SocketEvents::kRead)) != 0;
  // A send may have taken answers in. They come first: a read that fails makes libpq forget what was asked, and then it
  // gives the answers of one command as another's.
  if (readable && !paused()) ReadResults();
  if (readable && !paused() && usable_) {
    if (PQconsumeInput(connection_) != 1) {
      Break(CauseOf(connection_));
      return;
    }
    ReadResults();
  }
  WatchSocket();
}

void Connection::ReadResults() {
  int nulls = 0;
  while (usable_ && !in_flight_.empty() && !paused()) {
    if (PQisBusy(connection_) != 0) break;
    PGresult* const result = PQgetResult(connection_);
    InFlight& front = in_flight_.front();
    if (result == nullptr) {
      // One ends each command, and one an error at the implicit commit; several in a row, a dead connection.
      if (++nulls > 2) break;
      if (front.command < front.batch->commands.size()) ++front.command;
      continue;
    }
    nulls = 0;
    last_progress_ = loop_.Now();
    Take(result);
    PQclear(result);
  }
  if (usable_ && !in_flight_.empty()) {
    StreamState* const stream = in_flight_.front().stream.get();
    if (stream != nullptr && stream->full() && stream->on_ready) stream->on_ready();
  }
}

void Connection::Take(PGresult* result) {
  InFlight& front = in_flight_.front();
  switch (PQresultStatus(result)) {
    case PGRES_PIPELINE_SYNC:
      FinishBatch();
      return;
    case PGRES_PIPELINE_ABORTED:
      if (front.command < front.batch->results.size()) {
        front.batch->results[front.command].status =
            absl::CancelledError("an earlier statement of the same batch failed");
      }
      return;
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_COMMAND_OK:
      if (front.command >= front.batch->results.size()) return;
      if (front.describing != nullptr) {
        if (front.command == 1) TakeDescription(&front, result);
        return;
      }
      TakeRows(&front, result);
      return;
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
      Break("COPY is not possible here");
      return;
    default:
      TakeError(&front, result);
  }
}

void Connection::TakeError(InFlight* flight, const PGresult* result) {
  const absl::Status status = StatusOf(ReadServerError(result), shard_);
  if (flight->command < flight->batch->results.size()) {
    flight->batch->results[flight->command].status = status;
    const PreparedPtr& prepared = flight->batch->commands[flight->command].prepared;
    if (IsStalePlan(status) && prepared != nullptr) {
      const auto stale = std::find_if(cache_.begin(), cache_.end(),
                                      [&prepared](const auto& entry) { return entry.second.prepared == prepared; });
      if (stale != cache_.end()) Forget(std::string(stale->first));
    }
  } else {
    flight->batch->sync_status = status;
  }
}

void Connection::TakeRows(InFlight* flight, const PGresult* result) {
  const Command& command = flight->batch->commands[flight->command];
  CommandResult& out = flight->batch->results[flight->command];
  const int columns = PQnfields(result);
  const Prepared* const prepared = command.prepared.get();
  if (prepared != nullptr) out.result.batch.header = prepared->header;
  for (int row = 0; row < PQntuples(result); ++row) {
    Row values;
    values.reserve(static_cast<size_t>(columns));
    for (int column = 0; column < columns; ++column) {
      if (PQgetisnull(result, row, column) != 0) {
        values.push_back(Value::Null());
        continue;
      }
      const std::string_view bytes(PQgetvalue(result, row, column),
                                   static_cast<size_t>(PQgetlength(result, row, column)));
      const Oid oid = PQftype(result, column);
      if (PQfformat(result, column) == 0) {
        const ColumnType type = prepared != nullptr ? (*prepared->header)[static_cast<size_t>(column)].type
                                                    : TypeOfOid(oid);
        values.push_back(DecodeText(oid, type, bytes));
        continue;
      }
      absl::StatusOr<Value> value = DecodeBinary(oid, bytes);
      if (!value.ok()) out.status = value.status();
      values.push_back(value.ok() ? *std::move(value) : Value::Null());
    }
    if (flight->stream != nullptr) {
      if (flight->stream->abandoned) continue;
      for (const Value& value : values) flight->stream->bytes += ByteSize(value);
      flight->stream->rows.push_back(std::move(values));
    } else {
      out.result.batch.rows.push_back(std::move(values));
    }
  }
  const std::string_view tag = PQcmdStatus(const_cast<PGresult*>(result));
  // What cannot be committed or prepared is rolled back, which counts as success.
  if (tag == "ROLLBACK" && (command.sql == "COMMIT" || absl::StartsWith(command.sql, "PREPARE TRANSACTION "))) {
    out.status = MakeError(absl::StatusCode::kAborted, reason::kTransactionEnded,
                           absl::StrCat("shard ", shard_, ": the transaction had failed before and was rolled back"),
                           {{"shard", shard_}});
  }
  if (tag.substr(0, 6) != "SELECT") {
    int64_t affected = 0;
    if (absl::SimpleAtoi(PQcmdTuples(const_cast<PGresult*>(result)), &affected)) out.result.affected = affected;
  }
}

void Connection::TakeDescription(InFlight* flight, const PGresult* result) {
  Description& description = *flight->describing;
  for (int i = 0; i < PQnparams(result); ++i) description.params.push_back(PQparamtype(result, i));
  for (int i = 0; i < PQnfields(result); ++i) {
    description.results.push_back(PQftype(result, i));
    description.names.emplace_back(PQfname(result, i));
  }
}

void Connection::FinishBatch() {
  InFlight flight = std::move(in_flight_.front());
  in_flight_.pop_front();
  TakeEnd(&flight);
  if (!in_flight_.empty()) return;
  for (Completer<bool>& waiter : std::exchange(idle_waiters_, {})) waiter.Set(true);
}

void Connection::TakeEnd(InFlight* flight) {
  flight->batch->done = true;
  if (flight->stream != nullptr) flight->stream->connection = nullptr;
  if (flight->stream != nullptr && flight->stream->on_ready) flight->stream->on_ready();
  // It may be what keeps itself alive.
  auto on_done = std::move(flight->batch->on_done);
  flight->batch->on_done = nullptr;
  if (on_done) on_done();
}

void Connection::Break(const std::string& cause) {
  if (!usable_) return;
  usable_ = false;
  lost_cause_ = cause;
  if (watched_ != SocketEvents::kNone) loop_.Unwatch(PQsocket(connection_));
  watched_ = SocketEvents::kNone;
  std::deque<InFlight> lost = std::exchange(in_flight_, {});
  for (InFlight& flight : lost) {
    flight.batch->lost = true;
    flight.batch->lost_cause = cause;
    TakeEnd(&flight);
  }
  for (Completer<bool>& waiter : std::exchange(idle_waiters_, {})) waiter.Set(true);
}

void Connection::SendCommand(const Command& command) {
  int sent = 0;
  if (command.prepared == nullptr) {
    sent = PQsendQueryParams(connection_, command.sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0);
  } else {
    const size_t count = command.params.size();
    std::vector<const char*> values(count);
    std::vector<int> lengths(count);
    std::vector<int> formats(count);
    for (size_t i = 0; i < count; ++i) {
      const EncodedParam& param = command.params[i];
      values[i] = param.null ? nullptr : param.bytes.c_str();
      lengths[i] = static_cast<int>(param.bytes.size());
      formats[i] = param.binary ? 1 : 0;
    }
    sent = PQsendQueryPrepared(connection_, command.prepared->name.c_str(), static_cast<int>(count), values.data(),
                               lengths.data(), formats.data(), command.prepared->binary ? 1 : 0);
  }
  if (sent != 1) Break(CauseOf(connection_));
}

void Connection::Sync(InFlight flight) {
  BatchPtr batch = flight.batch;
  batch->results.resize(batch->commands.size());
  if (usable_ && PQpipelineSync(connection_) != 1) Break(CauseOf(connection_));
  if (!usable_) {
    batch->lost = true;
    batch->lost_cause = lost_cause_;
    TakeEnd(&flight);
    return;
  }
  if (in_flight_.empty()) last_progress_ = loop_.Now();
  in_flight_.push_back(std::move(flight));
  WatchSocket();
}

void Connection::Send(const BatchPtr& batch) {
  for (const Command& command : batch->commands) {
    if (usable_) SendCommand(command);
  }
  InFlight flight;
  flight.batch = batch;
  Sync(std::move(flight));
}

void Connection::SendStream(Command command, const std::shared_ptr<StreamState>& stream) {
  stream->batch = std::make_shared<Batch>();
  stream->batch->commands.push_back(std::move(command));
  if (usable_) SendCommand(stream->batch->commands.front());
  // Only possible while this command is the front one, that is, when the connection was idle.
  if (usable_) PQsetSingleRowMode(connection_);
  InFlight flight;
  flight.batch = stream->batch;
  flight.stream = stream;
  stream->connection = this;
  Sync(std::move(flight));
}

void Connection::ResumeStream() {
  if (!usable_) return;
  ReadResults();
  WatchSocket();
}

Async<bool> Connection::Run(BatchPtr batch, absl::Time deadline) {
  Completer<bool> completer(loop_);
  batch->on_done = [completer]() mutable { completer.Set(true); };
  const Timer timer(loop_, deadline, [completer]() mutable { completer.Set(false); });
  Send(batch);
  Future<bool> future = completer.future();
  const bool in_time = co_await future;
  co_return in_time;
}

Async<bool> Connection::WaitIdle(absl::Time deadline) {
  if (idle()) co_return true;
  Completer<bool> completer(loop_);
  idle_waiters_.push_back(completer);
  const Timer timer(loop_, deadline, [completer]() mutable { completer.Set(false); });
  Future<bool> future = completer.future();
  const bool in_time = co_await future;
  co_return in_time;
}

}  // namespace quarry::postgres
