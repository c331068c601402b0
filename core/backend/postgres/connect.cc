// Opening a connection without blocking.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/errors.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry::postgres {
namespace {

using Finish = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Settings = std::map<std::string, std::string>;

// What the conninfo says, joined with what every session of ours needs; the conninfo wins where both may.
absl::StatusOr<Settings> ParseConninfo(const ConnectOptions& options) {
  Settings settings = {{"application_name", options.application_name},
                       {"gssencmode", "disable"},
                       {"keepalives_idle", "10"},
                       {"keepalives_interval", "5"},
                       {"keepalives_count", "3"},
                       {"tcp_user_timeout", "15000"}};
  char* error = nullptr;
  PQconninfoOption* const parsed = PQconninfoParse(options.conninfo.c_str(), &error);
  if (parsed == nullptr) {
    PQfreemem(error);  // It quotes the conninfo, so it is not shown.
    return MakeError(absl::StatusCode::kInvalidArgument, reason::kInvalidField,
                     absl::StrCat("shard ", options.shard, ": its connection string cannot be read; see "
                                  "\"Connection Strings\" in PostgreSQL's manual"),
                     {{"shard", options.shard}});
  }
  for (const PQconninfoOption* option = parsed; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) settings[option->keyword] = option->val;
  }
  PQconninfoFree(parsed);
  settings["client_encoding"] = "UTF8";
  std::string& session = settings["options"];
  session += " -c DateStyle=ISO,YMD -c IntervalStyle=iso_8601 -c TimeZone=UTC -c bytea_output=hex -c extra_float_digits=1";
  for (const auto& [name, value] : options.settings) absl::StrAppend(&session, " -c ", name, "=", value);
  return settings;
}

PGconn* StartConnecting(const Settings& settings) {
  std::vector<const char*> keywords;
  std::vector<const char*> values;
  for (const auto& [keyword, value] : settings) {
    keywords.push_back(keyword.c_str());
    values.push_back(value.c_str());
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  return PQconnectStartParams(keywords.data(), values.data(), 0);
}

// False when the deadline ended first.
Async<bool> WaitForSocket(Loop& loop, int fd, SocketEvents events, absl::Time deadline) {
  Completer<bool> ready(loop);
  loop.Watch(fd, events, [&loop, fd, ready](SocketEvents) mutable {
    ready.Set(true);
    loop.Unwatch(fd);
  });
  // libpq may close the descriptor next, and a dropped frame will.
  const absl::Cleanup unwatch = [&loop, fd] { loop.Unwatch(fd); };
  const Timer timer(loop, deadline, [ready]() mutable { ready.Set(false); });
  Future<bool> future = ready.future();
  const bool in_time = co_await future;
  co_return in_time;
}

absl::Status ConnectFailed(const std::string& shard, PGconn* connection) {
  const std::string cause = CauseOf(connection);
  if (absl::StrContains(cause, "too many clients") || absl::StrContains(cause, "remaining connection slots")) {
    ServerError error;
    error.sqlstate = "53300";
    return StatusOf(error, shard);
  }
  return Unavailable(shard, cause, absl::Milliseconds(200));
}

}  // namespace

Async<absl::StatusOr<std::unique_ptr<Connection>>> Connection::Open(Loop& loop, ConnectOptions options,
                                                                    absl::Time deadline) {
  QUARRY_CO_ASSIGN_OR_RETURN(const Settings settings, ParseConninfo(options));
  Finish raw(StartConnecting(settings), &PQfinish);
  if (raw == nullptr) co_return absl::ResourceExhaustedError("out of memory");
  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(raw.get()) != CONNECTION_BAD && next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
    const SocketEvents events = next == PGRES_POLLING_READING ? SocketEvents::kRead : SocketEvents::kWrite;
    const int fd = PQsocket(raw.get());
    const bool in_time = co_await WaitForSocket(loop, fd, events, deadline);
    if (!in_time) co_return Unavailable(options.shard, "no connection in time", absl::Milliseconds(200));
    next = PQconnectPoll(raw.get());
  }
  if (next != PGRES_POLLING_OK) co_return ConnectFailed(options.shard, raw.get());
  if (PQsetnonblocking(raw.get(), 1) != 0 || PQenterPipelineMode(raw.get()) != 1) {
    co_return Unavailable(options.shard, CauseOf(raw.get()), absl::Milliseconds(200));
  }
  std::unique_ptr<Connection> connection(new Connection(loop, raw.release(), options.shard));
  connection->Start();
  co_return connection;
}

}  // namespace quarry::postgres
