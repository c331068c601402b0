// Identical reads that wait at the same time share one asking of the shards, a flight. A call never joins a flight that has begun:
// it could miss a write that was acknowledged since then, by whichever gateway. So at most one flight of a question runs and at
// most one waits for it; who comes meanwhile joins the one that waits, which begins when the other ends. Belongs to its loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "core/base/async.h"
#include "core/base/context.h"
#include "core/base/counter.h"
#include "core/base/error.h"
#include "core/base/loop.h"
#include "core/model/shard_costs.h"

namespace quarry {

struct MergeLimits {
  size_t question_bytes_max = 64 << 10;  // A longer question is asked alone.
  // A flight begins after so long beside the one that runs: one that hangs holds nobody up for longer.
  absl::Duration wait_max = absl::Milliseconds(250);
};

template <typename Operation, typename Result>
class MergedReads {
 public:
  // References outlive the Async.
  using Ask = std::function<Async<absl::StatusOr<Result>>(const Operation& op, const CallContext& ctx)>;

  // `loop` and `merged`, which counts calls that another's asking answered, outlive this; this outlives its calls.
  MergedReads(Loop& loop, Ask ask, Counter& merged, MergeLimits limits = {})
      : loop_(loop), ask_(std::move(ask)), merged_(merged), limits_(limits) {}

  // What `ask` answers to `op`, begun after this call. Operations of one `question` are identical. Alone it runs with `ctx`; a shared
  // flight has a context of its own, whose deadline is the last of its calls', and ends with the last call that leaves. A call gets
  // a flight's error, but not an end that is not its own: then it asks for itself. kDeadlineExceeded while it waits.
  Async<absl::StatusOr<Result>> Run(std::string question, const Operation& op, const CallContext& ctx) {
    if (question.size() > limits_.question_bytes_max) {
      Async<absl::StatusOr<Result>> alone = ask_(op, ctx);
      co_return co_await alone;
    }
    Seat seat(*this, op, ctx);
    seat.Take(std::move(question));
    if (!seat.flight->begun) {
      ctx.stage = Stage::kQueue;
      const Timer deadline(loop_, ctx.deadline, [&seat] { seat.told.Set(DeadlineEnded()); });
      Future<Answer> told = seat.told.future();
      const Answer answer = co_await told;
      if (answer != nullptr && !EndedForOthers(answer->status(), ctx)) co_return *answer;
    }
    Async<absl::StatusOr<Result>> own = ask_(op, ctx);
    co_return co_await own;
  }

  // That run or wait.
  size_t questions() const { return questions_.size(); }

 private:
  using Answer = std::shared_ptr<const absl::StatusOr<Result>>;  // Null: ask yourself.
  struct Flight;
  struct Question {
    std::string text;
    const Flight* running = nullptr;
    std::shared_ptr<Flight> next;  // Has seats.
  };

  // One call's part in a flight, from its arrival until it has its answer or is dropped.
  struct Seat {
    Seat(MergedReads& reads, const Operation& operation, const CallContext& context)
        : owner(reads), op(operation), ctx(context), told(reads.loop_) {}
    ~Seat() {
      if (flight != nullptr) owner.Leave(*this);
    }
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;
    void Take(std::string question) { owner.Place(std::move(question), *this); }

    MergedReads& owner;
    const Operation& op;
    const CallContext& ctx;
    Completer<Answer> told;
    std::shared_ptr<Flight> flight;
  };
  struct Flight {
    std::shared_ptr<Question> question;
    std::vector<Seat*> seats;  // In order of arrival.
    bool begun = false;
    bool ended = false;
    Timer patience;
    // Of a flight with several seats; a single one asks within its own call.
    std::optional<Operation> op;
    std::optional<CallContext> ctx;
    ShardCosts costs;
    Running running;  // Last: it goes first.
  };

  static Answer DeadlineEnded() {
    return std::make_shared<const absl::StatusOr<Result>>(
        MakeError(absl::StatusCode::kDeadlineExceeded, reason::kDeadline,
                  "the deadline ended while the call waited for an identical one that was being answered; give it more time",
                  {{"stage", StageName(Stage::kQueue)}}));
  }
  bool EndedForOthers(const absl::Status& status, const CallContext& ctx) const {
    return (absl::IsCancelled(status) || absl::IsDeadlineExceeded(status)) && loop_.Now() < ctx.deadline;
  }

  void Place(std::string text, Seat& seat) {
    const auto found = questions_.find(text);
    std::shared_ptr<Question> question = found == questions_.end() ? std::make_shared<Question>() : found->second;
    if (found == questions_.end()) {
      question->text = std::move(text);
      questions_.emplace(question->text, question);
    }
    seat.flight = question->next != nullptr ? question->next : std::make_shared<Flight>();
    seat.flight->seats.push_back(&seat);
    if (question->next != nullptr) return;
    Flight& flight = *seat.flight;
    flight.question = question;
    if (question->running == nullptr) {
      flight.begun = true;
      question->running = &flight;
    } else {
      question->next = seat.flight;
      // The timer goes with its flight, which holds the question.
      flight.patience = Timer(loop_, loop_.Now() + limits_.wait_max, [this, question = question.get()] { Begin(*question); });
    }
  }

  // The flight that waits begins.
  void Begin(Question& question) {
    if (question.next == nullptr) return;
    const std::shared_ptr<Flight> flight = std::exchange(question.next, nullptr);
    flight->patience.Cancel();
    question.running = flight.get();
    flight->begun = true;
    if (flight->seats.size() == 1) {
      flight->seats.front()->told.Set(nullptr);
      return;
    }
    const Seat& first = *flight->seats.front();
    flight->op.emplace(first.op);
    flight->ctx.emplace(loop_);
    flight->ctx->deadline = first.ctx.deadline;
    flight->ctx->call_id = first.ctx.call_id;
    flight->ctx->shard_costs = &flight->costs;
    for (const Seat* seat : flight->seats) flight->ctx->deadline = std::max(flight->ctx->deadline, seat->ctx.deadline);
    flight->running = Running(ask_(*flight->op, *flight->ctx), [this, flight = flight.get()](absl::StatusOr<Result> result) {
      Tell(*flight, std::make_shared<const absl::StatusOr<Result>>(std::move(result)));
    });
  }

  // Within the flight's own work: the calls, which hold it, go on later.
  void Tell(Flight& flight, const Answer& answer) {
    flight.ended = true;
    merged_.Add(flight.seats.size() - 1);
    // The shards were asked once, so one call has asked them.
    const CallContext& first = flight.seats.front()->ctx;
    if (first.shard_costs != nullptr) first.shard_costs->Add(flight.costs);
    for (Seat* seat : flight.seats) seat->told.Set(answer);
    End(flight);
  }

  void Leave(Seat& seat) {
    Flight& flight = *seat.flight;
    std::erase(flight.seats, &seat);
    if (!flight.seats.empty() || flight.ended) return;
    flight.ended = true;
    flight.running = Running();
    if (flight.begun) return End(flight);
    flight.patience.Cancel();
    flight.question->next = nullptr;
    Forget(flight.question);
  }

  void End(const Flight& flight) {
    const std::shared_ptr<Question> question = flight.question;
    if (question->running != &flight) return;  // Another did not wait for its end.
    question->running = nullptr;
    if (question->next == nullptr) return Forget(question);
    // Not within the work or the end of a call.
    loop_.Defer([this, alive = std::weak_ptr<bool>(alive_), weak = std::weak_ptr<Question>(question)] {
      const std::shared_ptr<Question> waiting = weak.lock();
      if (!alive.expired() && waiting != nullptr && waiting->running == nullptr) Begin(*waiting);
    });
  }

  void Forget(const std::shared_ptr<Question>& question) {
    if (question->running != nullptr || question->next != nullptr) return;
    // The map's key lies in it. NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
    const std::shared_ptr<Question> kept = question;
    questions_.erase(absl::string_view(kept->text));
  }

  Loop& loop_;
  const Ask ask_;
  Counter& merged_;
  const MergeLimits limits_;
  absl::flat_hash_map<absl::string_view, std::shared_ptr<Question>> questions_;  // By their own texts.
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace quarry
