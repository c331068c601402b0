#include "core/backend/postgres/pipeline.h"

#include <numeric>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "core/backend/postgres/ending.h"
#include "core/backend/postgres/errors.h"
#include "core/backend/postgres/gate.h"
#include "core/base/error.h"
#include "core/model/key_bytes.h"

namespace quarry::postgres {
namespace {

constexpr size_t kGroupMax = 128;
constexpr size_t kReadDepth = 8;
// Fewer reads by key of one shape go each on its own.
constexpr size_t kJoinedMin = 2;
// Keys of a joined read at least, the last one repeated: for shorter arrays the server would plan anew each time, which it
// takes for cheaper than its plan for arrays of unknown length, reckoned at ten.
constexpr size_t kJoinedKeysMin = 16;
// A member alone is tried again when its plan has just become stale.
constexpr int kTriesMax = 4;
constexpr absl::Duration kStalledAfter = absl::Milliseconds(5);

absl::Status QueueFull(const PostgresOptions& options) {
  ErrorDetail detail;
  detail.reason = reason::kPoolExhausted;
  detail.facts = {{"shard", options.shard}, {"queue", absl::StrCat(options.queue_max)}};
  detail.retry_after = absl::Milliseconds(100);
  return MakeError(absl::StatusCode::kResourceExhausted,
                   absl::StrCat("shard ", options.shard, ": ", options.queue_max,
                                " statements wait for it already; retry later"),
                   detail);
}

}  // namespace

Pipeline::Pipeline(Core& core, bool writes) : core_(core), writes_(writes), depth_max_(writes ? 1 : kReadDepth) {}

Pipeline::~Pipeline() {
  closing_ = true;
  pump_ = Running();
  connection_.reset();
}

Async<std::vector<absl::StatusOr<StatementResult>>> Pipeline::Run(std::vector<const Statement*> statements,
                                                                  const CallContext& ctx) {
  const auto call = std::make_shared<Call>(core_.loop);
  call->left = statements.size();
  if (static_cast<int64_t>(load() + statements.size()) > core_.options.queue_max) {
    const absl::Status full = QueueFull(core_.options);
    call->results.assign(statements.size(), absl::StatusOr<StatementResult>(full));
    co_return std::move(call->results);
  }
  call->results.resize(statements.size(), absl::StatusOr<StatementResult>(absl::UnknownError("")));
  for (size_t i = 0; i < statements.size(); ++i) {
    Member member;
    member.call = call;
    member.index = i;
    member.statement = statements[i];
    waiting_.push_back(std::move(member));
  }
  Kick();
  ctx.stage = Stage::kQuery;
  const Timer timer(core_.loop, ctx.deadline, [done = call->done]() mutable { done.Set(false); });
  Future<bool> future = call->done.future();
  const bool all_answered = co_await future;
  // Members that still wait see that nobody does.
  std::vector<absl::StatusOr<StatementResult>> results = std::move(call->results);
  call->results.clear();
  call->left = 0;
  if (!all_answered) {
    const absl::Status late = DeadlineEnded(core_.options.shard, "query");
    for (absl::StatusOr<StatementResult>& result : results) {
      if (absl::IsUnknown(result.status()) && result.status().message().empty()) result = late;
    }
  }
  co_return results;
}

bool Pipeline::stalled() const {
  return batches_in_flight_ > 0 && core_.loop.Now() - connection_->last_progress() > kStalledAfter;
}

void Pipeline::Answer(const Member& member, absl::StatusOr<StatementResult> result) {
  Call& call = *member.call;
  if (call.left == 0 || call.results.empty()) return;
  call.results[member.index] = std::move(result);
  if (--call.left == 0) call.done.Set(true);
}

// Once per turn of the loop, so that what arrives together goes out together.
void Pipeline::Kick() {
  if (kicked_ || closing_) return;
  kicked_ = true;
  core_.loop.Defer([this, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.lock() == nullptr) return;
    kicked_ = false;
    if (Gathers()) return;
    if (pump_.finished()) pump_ = Running(Pump(), [this] {
      if (!waiting_.empty() && batches_in_flight_ < depth_max_) Kick();
    });
  });
}

bool Pipeline::Gathers() {
  if (!writes_ || batches_in_flight_ > 0 || waiting_.empty() || waiting_.front().alone) return false;
  if (waiting_.size() >= kGroupMax || !pace_.Holds(waiting_.size(), core_.loop.Now())) return false;
  gathering_ = Timer(core_.loop, pace_.until(), [this] { Kick(); });
  return true;
}

Async<void> Pipeline::Pump() {
  while (!waiting_.empty() && batches_in_flight_ < depth_max_) {
    if (connection_ == nullptr || !connection_->usable()) {
      absl::StatusOr<std::unique_ptr<Connection>> opened =
          co_await core_.Connect(ConnectionUse::kShared, absl::InfiniteFuture());
      if (!opened.ok()) {
        FailWaiting(opened.status());
        co_return;
      }
      if (connection_ != nullptr) {
        core_.prepared_hits += connection_->prepared_hits();
        core_.prepared_misses += connection_->prepared_misses();
      }
      connection_ = *std::move(opened);
    }
    Group group = TakeGroup();
    const bool go_on = co_await Prepare(&group);
    if (go_on && !group.empty()) SendGroup(std::move(group));
  }
}

Pipeline::Group Pipeline::TakeGroup() {
  std::vector<Member> taken;
  while (!waiting_.empty() && taken.size() < kGroupMax) {
    Member& next = waiting_.front();
    // Those that go alone go before all others, each in its turn.
    if (next.alone && !taken.empty()) break;
    const bool alone = next.alone;
    if (next.waits()) taken.push_back(std::move(next));
    waiting_.pop_front();
    if (alone && !taken.empty()) break;
  }
  pace_.Started(taken.size());
  return Join(std::move(taken));
}

Pipeline::Group Pipeline::Join(std::vector<Member> members) {
  absl::flat_hash_map<const ManyKeysForm*, size_t> alike;
  if (members.size() >= kJoinedMin) {
    for (const Member& member : members) ++alike[member.statement->many.get()];
  }
  Group group;
  absl::flat_hash_map<const ManyKeysForm*, size_t> unit_of;
  for (Member& member : members) {
    const std::shared_ptr<const ManyKeysForm> many = member.statement->many;
    const auto count = alike.find(many.get());
    const bool joins = many != nullptr && count != alike.end() && count->second >= kJoinedMin;
    if (joins) {
      const auto [unit, first] = unit_of.emplace(many.get(), group.size());
      if (!first) {
        group[unit->second].members.push_back(std::move(member));
        continue;
      }
    }
    Unit& unit = group.emplace_back();
    unit.joined = joins ? many : nullptr;
    unit.sql = joins ? many->sql : member.statement->sql;
    unit.members.push_back(std::move(member));
  }
  return group;
}

// Leaves those whose statement the server took. False when the connection broke; all were answered then.
Async<bool> Pipeline::Prepare(Group* group) {
  std::vector<std::string> missing;
  std::vector<size_t> position(group->size(), 0);
  for (size_t i = 0; i < group->size(); ++i) {
    const std::string& sql = *(*group)[i].sql;
    if (connection_->FindPrepared(sql) != nullptr) continue;
    missing.push_back(sql);
    position[i] = missing.size();
  }
  if (missing.empty()) co_return true;
  const absl::Time deadline = core_.loop.Now() + core_.options.shared_silence_max;
  const std::vector<absl::Status> statuses = co_await connection_->Prepare(missing, &core_.type_names, deadline);
  Group prepared;
  for (size_t i = 0; i < group->size(); ++i) {
    Unit& unit = (*group)[i];
    const absl::Status status = position[i] == 0 ? absl::OkStatus() : statuses[position[i] - 1];
    if (status.ok() && connection_->usable()) {
      prepared.push_back(std::move(unit));
    } else if (connection_->usable() && unit.joined != nullptr) {
      PutBack(std::move(unit), true);
    } else {
      const absl::Status failed =
          status.ok() ? Unavailable(core_.options.shard, connection_->lost_cause(), absl::Milliseconds(100)) : status;
      for (const Member& member : unit.members) Answer(member, failed);
    }
  }
  *group = std::move(prepared);
  // A server that is silent while it prepares will not get better.
  if (!statuses.empty() && absl::IsDeadlineExceeded(statuses[0])) connection_->Break("no answer in time");
  co_return connection_->usable();
}

absl::StatusOr<Command> Pipeline::Bind(const PreparedPtr& prepared, const Unit& unit) {
  const Statement& first = *unit.members.front().statement;
  if (unit.joined == nullptr) return postgres::Bind(prepared, first.params);
  std::vector<std::vector<Value>> columns(first.params.size());
  for (const Member& member : unit.members) {
    for (size_t i = 0; i < columns.size(); ++i) columns[i].push_back(member.statement->params[i]);
  }
  std::vector<Value> params;
  for (std::vector<Value>& column : columns) {
    if (column.size() < kJoinedKeysMin) column.resize(kJoinedKeysMin, Value(column.back()));
    params.push_back(Value::Array(std::move(column)));
  }
  return postgres::Bind(prepared, params);
}

void Pipeline::SendGroup(Group group) {
  const auto batch = std::make_shared<Batch>();
  batch->commits = writes_;
  Group sent;
  size_t members = 0;
  for (Unit& unit : group) {
    // The wait for the Prepare may have outlived a call.
    std::erase_if(unit.members, [](const Member& member) { return !member.waits(); });
    if (unit.members.empty()) continue;
    const PreparedPtr prepared = connection_->FindPrepared(*unit.sql);
    if (prepared == nullptr) {
      PutBack(std::move(unit), false);
      continue;
    }
    absl::StatusOr<Command> command = Bind(prepared, unit);
    if (command.ok()) {
      batch->commands.push_back(*std::move(command));
      members += unit.members.size();
      if (unit.joined != nullptr) core_.joined_reads += static_cast<int64_t>(unit.members.size());
      sent.push_back(std::move(unit));
    } else if (unit.joined != nullptr) {
      PutBack(std::move(unit), true);  // Each is told about its own key.
    } else {
      Answer(unit.members.front(), command.status());
    }
  }
  if (sent.empty()) return;
  // Last: what waits at the gate holds its rows' locks, and whoever holds the gate wants no row's.
  if (writes_ && core_.options.strict_snapshots) batch->commands.push_back(Plain(PassGateSql(core_.options.deployment)));
  core_.statements += static_cast<int64_t>(members);
  if (writes_ && members > 1) {
    ++core_.groups;
    core_.grouped_writes += static_cast<int64_t>(members);
  }
  ++batches_in_flight_;
  members_in_flight_ += members;
  sent_ = core_.loop.Now();
  batch->on_done = [this, batch, group = std::move(sent)]() mutable { OnDone(&group, batch); };
  connection_->Send(batch);
  WatchSilence();
}

// Each member of a joined read gets the row of its own key.
void Pipeline::AnswerRows(const Unit& unit, StatementResult result) {
  if (unit.joined == nullptr) {
    Answer(unit.members.front(), std::move(result));
    return;
  }
  const std::vector<size_t>& positions = unit.joined->key_positions;
  absl::flat_hash_map<std::string, const Row*> rows;
  rows.reserve(result.batch.rows.size());
  for (const Row& row : result.batch.rows) rows.emplace(KeyBytes(row, positions), &row);
  std::vector<size_t> params(positions.size());
  std::iota(params.begin(), params.end(), size_t{0});
  for (const Member& member : unit.members) {
    if (!member.waits()) continue;
    StatementResult one;
    one.batch.header = result.batch.header;
    const auto row = rows.find(KeyBytes(member.statement->params, params));
    if (row != rows.end()) one.batch.rows.push_back(*row->second);  // A copy: two may ask for one row.
    Answer(member, std::move(one));
  }
}

void Pipeline::OnDone(Group* group, const BatchPtr& batch) {
  --batches_in_flight_;
  size_t members = 0;
  for (const Unit& unit : *group) members += unit.members.size();
  members_in_flight_ -= members;
  const absl::Time now = core_.loop.Now();
  if (writes_) pace_.Answered(members, waiting_.size(), now - sent_, now);
  const auto answer_all = [group](const absl::Status& status) {
    for (const Unit& unit : *group) {
      for (const Member& member : unit.members) Answer(member, status);
    }
  };
  if (batch->weak_commit) {
    answer_all(NotConfirmed(core_.options.shard, ""));
  } else if (batch->lost) {
    answer_all(Lost(core_.options.shard, writes_, batch->lost_cause));
  } else if (const absl::Status error = batch->FirstError(); error.ok()) {
    for (size_t i = 0; i < group->size(); ++i) AnswerRows((*group)[i], std::move(batch->results[i].result));
  } else if (members > 1 || (IsStalePlan(error) && group->front().members.front().tries < kTriesMax)) {
    // The whole group was rolled back, so running its members again is safe.
    Regroup(std::move(*group));
  } else {
    answer_all(error);
  }
  if (!waiting_.empty()) Kick();
}

void Pipeline::Regroup(Group group) {
  for (auto unit = group.rbegin(); unit != group.rend(); ++unit) PutBack(std::move(*unit), true);
}

void Pipeline::PutBack(Unit unit, bool alone) {
  for (auto member = unit.members.rbegin(); member != unit.members.rend(); ++member) {
    if (alone) {
      member->alone = true;
      ++member->tries;
    }
    waiting_.push_front(std::move(*member));
  }
}

void Pipeline::FailWaiting(const absl::Status& status) {
  for (const Member& member : std::exchange(waiting_, {})) Answer(member, status);
}

// A server that answers nothing for long would hold all callers up.
void Pipeline::WatchSilence() {
  if (silence_watched_) return;
  silence_watched_ = true;
  silence_ = Timer(core_.loop, connection_->last_progress() + core_.options.shared_silence_max, [this] {
    silence_watched_ = false;
    if (batches_in_flight_ == 0 || connection_ == nullptr) return;
    const absl::Time last = connection_->last_progress() + core_.options.shared_silence_max;
    if (core_.loop.Now() >= last) {
      connection_->Break("the server gave no answer in time");
    } else {
      WatchSilence();
    }
  });
}

}  // namespace quarry::postgres
