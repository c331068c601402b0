#include "core/backend/sqlite/gate.h"

#include "absl/synchronization/notification.h"

namespace quarry::sqlite {

void Gate::Occupy(Mode mode) {
  if (mode == Mode::kExclusive) {
    exclusive_ = true;
  } else {
    ++shared_;
  }
}

void Gate::Admit(std::vector<Waiter>* admitted, std::vector<Waiter>* gone) {
  while (!waiting_.empty()) {
    Waiter& first = waiting_.front();
    if (first.control->withdrawn()) {
      gone->push_back(std::move(first));
    } else if (!Fits(first.mode)) {
      return;
    } else if (!first.control->Take()) {
      gone->push_back(std::move(first));
    } else {
      Occupy(first.mode);
      admitted->push_back(std::move(first));
    }
    waiting_.pop_front();
  }
}

void Gate::Tell(std::vector<Waiter> admitted) {
  for (Waiter& one : admitted) one.granted(Pass(shared_from_this(), one.mode));
}

std::optional<Gate::Pass> Gate::TryEnter(Mode mode) {
  Sweep();
  absl::MutexLock lock(&mutex_);
  if (!waiting_.empty() || !Fits(mode)) return std::nullopt;
  Occupy(mode);
  return Pass(shared_from_this(), mode);
}

void Gate::Enter(Mode mode, std::shared_ptr<JobControl> control, Granted granted) {
  {
    absl::MutexLock lock(&mutex_);
    waiting_.push_back(Waiter{mode, std::move(control), std::move(granted)});
  }
  Sweep();
}

void Gate::Sweep() {
  std::vector<Waiter> admitted;
  std::vector<Waiter> gone;
  {
    absl::MutexLock lock(&mutex_);
    Admit(&admitted, &gone);
  }
  Tell(std::move(admitted));
}

void Gate::Leave(Mode mode) {
  {
    absl::MutexLock lock(&mutex_);
    if (mode == Mode::kExclusive) {
      exclusive_ = false;
    } else {
      --shared_;
    }
  }
  Sweep();
}

Gate::Pass Gate::EnterBlocking(Mode mode, absl::Time deadline) {
  if (std::optional<Pass> pass = TryEnter(mode)) return *std::move(pass);
  const auto control = std::make_shared<JobControl>(deadline);
  Pass pass;
  absl::Notification granted;
  Enter(mode, control, [&pass, &granted](Pass own) {
    pass = std::move(own);
    granted.Notify();
  });
  if (granted.WaitForNotificationWithDeadline(deadline)) return pass;
  if (control->Withdraw()) {
    Sweep();
  } else {
    granted.WaitForNotification();
  }
  return pass;
}

}  // namespace quarry::sqlite
