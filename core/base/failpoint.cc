#include "core/base/failpoint.h"

#include <csignal>
#include <cstdlib>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

struct Armed {
  Failpoint failpoint;
  int64_t hits = 0;
};

absl::Mutex mutex(absl::kConstInit);
std::vector<Armed>* armed_points ABSL_GUARDED_BY(mutex) = nullptr;  // Never freed: a thread may outlive main.

absl::Status BadForm(std::string_view part) {
  return absl::InvalidArgumentError(
      absl::StrCat("the failpoint '", std::string(part),
                   "' is not understood; write name=kill, name=stop or name=error, each with ':N' for the Nth hit, or "
                   "name=sleep:200ms, and separate several with ';'"));
}

bool IsName(absl::string_view name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == absl::string_view::npos;
}

absl::StatusOr<Failpoint> ParseOne(absl::string_view part) {
  const absl::Status bad = BadForm(std::string_view(part.data(), part.size()));
  const std::vector<absl::string_view> sides = absl::StrSplit(part, '=');
  if (sides.size() != 2 || !IsName(sides[0])) return bad;
  std::vector<absl::string_view> words = absl::StrSplit(sides[1], ':');
  Failpoint point;
  point.name = std::string(sides[0]);
  size_t used = 1;
  if (words[0] == "kill" || words[0] == "stop") {
    point.action = words[0] == "kill" ? Failpoint::Action::kKill : Failpoint::Action::kStop;
    point.at_hit = 1;
  } else if (words[0] == "error") {
    point.action = Failpoint::Action::kError;
  } else if (words[0] == "sleep" && words.size() > 1) {
    point.action = Failpoint::Action::kSleep;
    if (!absl::ParseDuration(words[1], &point.pause) || point.pause <= absl::ZeroDuration()) return bad;
    used = 2;
  } else {
    return bad;
  }
  if (words.size() > used + 1) return bad;
  if (words.size() == used + 1 && (!absl::SimpleAtoi(words[used], &point.at_hit) || point.at_hit < 1)) return bad;
  return point;
}

}  // namespace

namespace failpoint_internal {

std::atomic<bool> armed{false};

absl::Status Hit(std::string_view name) {
  std::optional<Failpoint> due;
  {
    absl::MutexLock lock(&mutex);
    if (armed_points == nullptr) return absl::OkStatus();
    for (Armed& point : *armed_points) {
      if (point.failpoint.name != name) continue;
      ++point.hits;
      if (point.failpoint.at_hit == 0 || point.failpoint.at_hit == point.hits) due = point.failpoint;
    }
  }
  if (!due.has_value()) return absl::OkStatus();
  switch (due->action) {
    case Failpoint::Action::kKill: std::raise(SIGKILL); break;
    case Failpoint::Action::kStop: std::raise(SIGSTOP); break;
    case Failpoint::Action::kSleep: absl::SleepFor(due->pause); break;
    case Failpoint::Action::kError:
      return MakeError(absl::StatusCode::kUnavailable, reason::kShardUnavailable,
                       absl::StrCat("the failpoint ", due->name, " fails here because QUARRY_FAILPOINTS says so"));
  }
  return absl::OkStatus();
}

}  // namespace failpoint_internal

absl::StatusOr<std::vector<Failpoint>> ParseFailpoints(std::string_view text) {
  std::vector<Failpoint> points;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ';', absl::SkipWhitespace())) {
    QUARRY_ASSIGN_OR_RETURN(Failpoint point, ParseOne(absl::StripAsciiWhitespace(part)));
    for (const Failpoint& other : points) {
      if (other.name == point.name) {
        return absl::InvalidArgumentError(absl::StrCat("the failpoint ", point.name, " is armed twice; keep one of them"));
      }
    }
    points.push_back(std::move(point));
  }
  return points;
}

absl::Status ArmFailpoints(std::string_view text) {
  QUARRY_ASSIGN_OR_RETURN(std::vector<Failpoint> points, ParseFailpoints(text));
  absl::MutexLock lock(&mutex);
  if (armed_points == nullptr) armed_points = new std::vector<Armed>();
  armed_points->clear();
  for (Failpoint& point : points) armed_points->push_back(Armed{std::move(point), 0});
  failpoint_internal::armed.store(!armed_points->empty(), std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status ArmFailpointsFromEnvironment() {
  const char* text = std::getenv("QUARRY_FAILPOINTS");
  if (text == nullptr) return absl::OkStatus();
  const absl::Status status = ArmFailpoints(text);
  if (status.ok()) return status;
  return absl::InvalidArgumentError(absl::StrCat("QUARRY_FAILPOINTS: ", std::string(status.message())));
}

int64_t FailpointHits(std::string_view name) {
  absl::MutexLock lock(&mutex);
  if (armed_points == nullptr) return 0;
  for (const Armed& point : *armed_points) {
    if (point.failpoint.name == name) return point.hits;
  }
  return 0;
}

}  // namespace quarry
