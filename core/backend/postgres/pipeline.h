// A shared connection that runs single autocommit statements of many callers. Those that wait together go out together
// and share one Sync: for writes, one durable commit. Reads by key of one shape that wait together are joined into one
// statement. One loop.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/core.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/group_pace.h"
#include "core/model/statement.h"

namespace quarry::postgres {

class Pipeline {
 public:
  // A pipeline for writes has one group under way at a time, so that groups form and never block each other.
  Pipeline(Core& core, bool writes);
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;
  ~Pipeline();

  // Runs all `statements`, each on its own, in order. They outlive the call. One result each. A result for which
  // IsSharedLimit holds was not applied: the statement needs a session of its own.
  Async<std::vector<absl::StatusOr<StatementResult>>> Run(std::vector<const Statement*> statements,
                                                          const CallContext& ctx);
  size_t load() const { return waiting_.size() + members_in_flight_; }
  // It owes answers and has given none for a while: what is sent now would wait behind a slow statement.
  bool stalled() const;
  bool open() const { return connection_ != nullptr && connection_->usable(); }
  int64_t prepared_hits() const { return connection_ == nullptr ? 0 : connection_->prepared_hits(); }
  int64_t prepared_misses() const { return connection_ == nullptr ? 0 : connection_->prepared_misses(); }

 private:
  // One call's statements; dropped with the call.
  struct Call {
    explicit Call(Loop& loop) : done(loop) {}
    Completer<bool> done;
    size_t left = 0;
    std::vector<absl::StatusOr<StatementResult>> results;
  };
  struct Member {
    std::shared_ptr<Call> call;
    size_t index = 0;
    const Statement* statement = nullptr;  // Valid while the call is not abandoned.
    int tries = 0;
    bool alone = false;  // Its group failed: it gets a Sync of its own.
    bool waits() const { return call->left > 0 && !call->done.abandoned(); }
  };
  // What one statement on the wire answers: one member, or several whose reads by key are joined.
  struct Unit {
    std::vector<Member> members;
    // Held, for the members' statements go with their calls.
    std::shared_ptr<const std::string> sql;
    std::shared_ptr<const ManyKeysForm> joined;  // Null for a statement as it is.
  };
  using Group = std::vector<Unit>;

  void Kick();
  // Whether what waits had better wait for more. One that does is kicked again.
  bool Gathers();
  Async<void> Pump();
  Group TakeGroup();
  // One unit for all reads by key of one shape, where there are enough of them.
  static Group Join(std::vector<Member> members);
  Async<bool> Prepare(Group* group);
  void SendGroup(Group group);
  void OnDone(Group* group, const BatchPtr& batch);
  void Regroup(Group group);
  // Back to the front of those that wait.
  void PutBack(Unit unit, bool alone);
  static absl::StatusOr<Command> Bind(const PreparedPtr& prepared, const Unit& unit);
  static void AnswerRows(const Unit& unit, StatementResult result);
  static void Answer(const Member& member, absl::StatusOr<StatementResult> result);
  void FailWaiting(const absl::Status& status);
  void WatchSilence();

  Core& core_;  // Outlives this.
  const bool writes_;
  const size_t depth_max_;
  std::deque<Member> waiting_;
  size_t batches_in_flight_ = 0;
  size_t members_in_flight_ = 0;
  GroupPace pace_;  // Of writes.
  Timer gathering_;
  absl::Time sent_;  // The group that is under way.
  bool kicked_ = false;
  bool closing_ = false;
  std::unique_ptr<Connection> connection_;
  bool silence_watched_ = false;
  Timer silence_;
  Running pump_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace quarry::postgres
