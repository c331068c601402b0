#include "core/backend/sqlite/writer.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "core/backend/sqlite/errors.h"
#include "core/backend/sqlite/steps.h"
#include "core/base/error.h"

namespace quarry::sqlite {
namespace {

constexpr absl::Duration kIdleWait = absl::Seconds(5);
constexpr absl::Duration kPurgeInterval = absl::Seconds(60);
constexpr absl::Duration kPurgeMore = absl::Seconds(1);

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

struct Answer {
  absl::AnyInvocable<void(absl::StatusOr<TaskResult>)> done;
  absl::StatusOr<TaskResult> result;
};

// What one loop's callers are told.
struct Answers {
  std::shared_ptr<LoopPort> port;
  std::vector<Answer> list;
};

Answers& AnswersFor(std::vector<Answers>& all, const std::shared_ptr<LoopPort>& port) {
  for (Answers& one : all) {
    if (one.port == port) return one;
  }
  return all.emplace_back(Answers{port, {}});
}

}  // namespace

Writer::Writer(std::shared_ptr<WriterQueue> queue, std::unique_ptr<Connection> connection,
               Checkpointer& checkpointer, absl::Duration request_keep, std::shared_ptr<Gate> gate)
    : queue_(std::move(queue)),
      connection_(std::move(connection)),
      checkpointer_(checkpointer),
      request_keep_(request_keep),
      gate_(std::move(gate)) {
  sqlite3_wal_hook(
      connection_->handle(),
      [](void* self, sqlite3*, const char*, int pages) {
        static_cast<Writer*>(self)->checkpointer_.WalGrewTo(pages);
        return SQLITE_OK;
      },
      this);
  thread_ = std::thread([this] { Run(); });
}

Writer::~Writer() {
  queue_->Stop();
  thread_.join();
}

void Writer::Run() {
  while (true) {
    WriterQueue::Work work = queue_->Take(kIdleWait);
    if (std::holds_alternative<WriterQueue::Stopped>(work)) return queue_->DropAll();
    std::visit(
        Overloaded{[](WriterQueue::Stopped) {}, [](WriterQueue::Idle) {},
                   [this](WriterQueue::Group& group) { RunGroup(std::move(group.writes)); },
                   [this](LeaseRequest& request) { request.granted(std::make_shared<WriterLane>(queue_)); },
                   [this](WriterQueue::Held& held) { held.job(*connection_); },
                   [this](WriterQueue::Released) {
                     connection_->Rollback();
                     queue_->EndLease();
                   }},
        work);
    if (!connection_->in_transaction()) Maintain();
  }
}

void Writer::RunGroup(std::vector<Write> writes) {
  if (writes.empty()) return;
  const absl::Time started = absl::Now();
  std::vector<absl::StatusOr<TaskResult>> results(writes.size(), absl::StatusOr<TaskResult>(TaskResult()));
  std::vector<bool> failed(writes.size(), false);
  // A failure that takes the whole transaction with it must not fail the others: they run again without that member,
  // so each round has fewer of them.
  while (!TryGroup(writes, results, failed)) {
  }
  queue_->Answering(writes.size(), absl::Now() - started);
  Finish(writes, results, failed);
}

bool Writer::RunMembers(std::vector<Write>& writes, std::vector<absl::StatusOr<TaskResult>>& results,
                        std::vector<bool>& failed) {
  for (size_t i = 0; i < writes.size(); ++i) {
    if (failed[i]) continue;
    connection_->CountFor(writes[i].counters.get());
    results[i] = RunWrites(*connection_, writes[i].task, *writes[i].control, absl::Now());
    connection_->CountFor(nullptr);
    failed[i] = !results[i].ok();
    if (connection_->in_transaction()) continue;
    if (!failed[i]) results[i] = TransactionEnded(connection_->shard());
    failed[i] = true;
    return false;
  }
  return true;
}

bool Writer::TryGroup(std::vector<Write>& writes, std::vector<absl::StatusOr<TaskResult>>& results,
                      std::vector<bool>& failed) {
  const auto fail_rest = [&](const absl::Status& status) {
    for (size_t i = 0; i < writes.size(); ++i) {
      if (!failed[i]) results[i] = status;
      failed[i] = true;
    }
  };
  if (const absl::Status begun = connection_->Control("BEGIN IMMEDIATE"); !begun.ok()) {
    fail_rest(begun);
    return true;
  }
  if (!RunMembers(writes, results, failed)) return false;
  const int64_t live = std::count(failed.begin(), failed.end(), false);
  if (live == 0) {
    connection_->Rollback();
    return true;
  }
  absl::Status gate;
  const int code = CommitGroup(writes, &gate);
  if (code == SQLITE_OK) return true;
  const absl::Status error = !gate.ok() ? gate
                                        : CommitErrorOf(connection_->handle(), code, connection_->shard(),
                                                        reason::kWriteOutcomeUnknown);
  connection_->Rollback();
  if ((code & 0xFF) == SQLITE_CONSTRAINT && live > 1) {
    // A deferred foreign key of one of them: each has to show for itself.
    for (size_t i = 0; i < writes.size(); ++i) {
      if (failed[i]) continue;
      std::vector<bool> others(writes.size(), true);
      others[i] = false;
      while (!TryGroup(writes, results, others)) {
      }
      failed[i] = !results[i].ok();
    }
    return true;
  }
  fail_rest(error);
  return true;
}

int Writer::CommitGroup(const std::vector<Write>& writes, absl::Status* gate) {
  Gate::Pass pass;
  if (gate_ != nullptr) {
    absl::Time deadline = absl::InfinitePast();
    for (const Write& write : writes) deadline = std::max(deadline, write.control->deadline);
    pass = gate_->EnterBlocking(Gate::Mode::kShared, deadline);
    if (!pass) {
      *gate = GateOccupied(connection_->shard());
      return SQLITE_BUSY;
    }
  }
  return connection_->Commit();
}

void Writer::Finish(std::vector<Write>& writes, std::vector<absl::StatusOr<TaskResult>>& results,
                    const std::vector<bool>& failed) {
  const int64_t live = std::count(failed.begin(), failed.end(), false);
  bool counted = false;
  std::vector<Answers> answers;
  for (size_t i = 0; i < writes.size(); ++i) {
    if (live > 1 && !failed[i]) {
      writes[i].counters->grouped_writes.fetch_add(1, std::memory_order_relaxed);
      if (!std::exchange(counted, true)) writes[i].counters->groups.fetch_add(1, std::memory_order_relaxed);
    }
    AnswersFor(answers, writes[i].port).list.push_back({std::move(writes[i].done), std::move(results[i])});
  }
  // One hand-over to each loop, which then answers all its callers in one turn.
  for (Answers& one : answers) {
    one.port->Post([list = std::move(one.list)]() mutable {
      for (Answer& answer : list) answer.done(std::move(answer.result));
    });
  }
}

void Writer::Maintain() {
  checkpointer_.Relieve(connection_->handle());
  const absl::Time now = absl::Now();
  if (now < next_purge_) return;
  next_purge_ = now + kPurgeInterval;
  if (!connection_->Control("BEGIN IMMEDIATE").ok()) return;
  const absl::StatusOr<int64_t> purged = PurgeRequests(*connection_, now - request_keep_);
  if (!purged.ok() || *purged == 0) return connection_->Rollback();
  if (connection_->Commit() != SQLITE_OK) return connection_->Rollback();
  // There may be more: soon, but after the writes that wait.
  next_purge_ = now + kPurgeMore;
}

}  // namespace quarry::sqlite
