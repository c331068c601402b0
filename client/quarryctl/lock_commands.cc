// lock acquire, show, release, run.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/quarryctl/commands.h"
#include "client/quarryctl/failure.h"
#include "client/quarryctl/output.h"
#include "core/base/status_macros.h"

namespace quarry::ctl {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(20);
constexpr absl::Duration kGrace = absl::Seconds(5);  // From SIGTERM to SIGKILL.
constexpr int kCannotRun = 127;                      // As shells say it.

struct LockArguments {
  std::string name;
  std::string lease_id;
  std::string owner;
  std::string ttl;
  bool no_wait = false;
  std::vector<std::string> command;
};

std::string Seconds(const google::protobuf::Duration& duration) {
  return absl::FormatDuration(absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos()));
}

std::string DefaultOwner() {
  char host[256] = "";
  if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  return absl::StrCat("quarryctl ", getpid(), host[0] == '\0' ? "" : " on ", host).substr(0, 200);
}

absl::StatusOr<client::LockOptions> OptionsOf(const LockArguments& arguments) {
  client::LockOptions options;
  options.owner = arguments.owner.empty() ? DefaultOwner() : arguments.owner;
  options.wait = !arguments.no_wait;
  if (!arguments.ttl.empty()) {
    QUARRY_ASSIGN_OR_RETURN(options.ttl, ParseTimeout(arguments.ttl));
  }
  return options;
}

absl::Status AcquireLease(Session& session, const LockArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::LockOptions options, OptionsOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  client::CallOptions call;
  call.request_id = arguments.lease_id;
  QUARRY_ASSIGN_OR_RETURN(const v1::AcquireResponse grant,
                          client->AcquireLease(arguments.name, options, call));
  if (session.json()) {
    session.out() << MessageJson(grant);
    return absl::OkStatus();
  }
  PrintFields({{"lease", grant.lease_id()},
               {"token", absl::StrCat(grant.token())},
               {"ends in", Seconds(grant.remaining())}},
              session.out());
  return absl::OkStatus();
}

absl::Status Show(Session& session, const LockArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(const v1::GetLockResponse lock, client->GetLock(arguments.name));
  if (session.json()) {
    session.out() << MessageJson(lock);
    return absl::OkStatus();
  }
  PrintFields({{"held", lock.held() ? "yes" : "no"},
               {"owner", Printable(lock.owner())},
               {"token", absl::StrCat(lock.token())},
               {"ends in", lock.held() ? Seconds(lock.remaining()) : ""},
               {"waiting", absl::StrCat(lock.waiters())}},
              session.out());
  return absl::OkStatus();
}

absl::Status ReleaseLease(Session& session, const LockArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  return client->ReleaseLease(arguments.name, arguments.lease_id);
}

// The command's process, told of signals that this one gets while it runs.
volatile sig_atomic_t running_child = 0;

void PassOn(int signal) {
  if (running_child > 0) kill(running_child, signal);
}

class SignalsToChild {
 public:
  explicit SignalsToChild(pid_t child) {
    running_child = child;
    struct sigaction action {};
    action.sa_handler = PassOn;
    for (size_t i = 0; i < kCount; ++i) sigaction(kSignals[i], &action, &before_[i]);
  }
  SignalsToChild(const SignalsToChild&) = delete;
  SignalsToChild& operator=(const SignalsToChild&) = delete;
  ~SignalsToChild() {
    running_child = 0;
    for (size_t i = 0; i < kCount; ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }

 private:
  static constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
  static constexpr size_t kCount = 3;
  struct sigaction before_[kCount] {};
};

absl::StatusOr<pid_t> Start(const std::vector<std::string>& command, const client::HeldLock& lock) {
  std::vector<std::string> environment = {absl::StrCat("QUARRY_LOCK=", lock.name()),
                                          absl::StrCat("QUARRY_LOCK_TOKEN=", lock.token())};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (!absl::StartsWith(*variable, "QUARRY_LOCK=") && !absl::StartsWith(*variable, "QUARRY_LOCK_TOKEN=")) {
      environment.emplace_back(*variable);
    }
  }
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  std::vector<char*> variables;
  for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  variables.push_back(nullptr);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, words[0], nullptr, nullptr, words.data(), variables.data());
  if (failed != 0) return absl::NotFoundError(absl::StrCat("cannot run ", command[0], ": ", std::strerror(failed)));
  return child;
}

int CodeOf(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

// The command's exit code; ends the command when the lock is lost under it.
int WaitFor(pid_t child, const client::HeldLock& lock, absl::Status& lost) {
  int status = 0;
  absl::Time kill_at = absl::InfiniteFuture();
  while (true) {
    const pid_t ended = waitpid(child, &status, WNOHANG);
    if (ended == child) return CodeOf(status);
    if (ended < 0 && errno != EINTR) return kExitError;
    if (lost.ok()) {
      lost = lock.status();
      if (!lost.ok()) {
        kill(child, SIGTERM);
        kill_at = absl::Now() + kGrace;
      }
    } else if (absl::Now() >= kill_at) {
      kill(child, SIGKILL);
    }
    absl::SleepFor(kLook);  // No signal says that a lease is lost.
  }
}

absl::Status RunUnderLock(Session& session, const LockArguments& arguments) {
  QUARRY_ASSIGN_OR_RETURN(const client::LockOptions options, OptionsOf(arguments));
  QUARRY_ASSIGN_OR_RETURN(client::Client * client, session.Client());
  QUARRY_ASSIGN_OR_RETURN(client::HeldLock lock, client->AcquireLock(arguments.name, options));
  session.out().flush();
  const absl::StatusOr<pid_t> child = Start(arguments.command, lock);
  if (!child.ok()) {
    lock.Release().IgnoreError();
    session.Fail("lock run", child.status());
    session.set_exit_code(kCannotRun);
    return absl::OkStatus();
  }
  absl::Status lost;
  int code = 0;
  {
    const SignalsToChild signals(*child);
    code = WaitFor(*child, lock, lost);
  }
  if (!lost.ok()) return lost;
  QUARRY_RETURN_IF_ERROR(lock.Release());
  session.set_exit_code(code);
  return absl::OkStatus();
}

using RunLock = absl::Status (*)(Session&, const LockArguments&);

CLI::App* AddOne(CLI::App& lock, Session& session, const std::shared_ptr<LockArguments>& arguments,
                 const char* name, const char* description, const char* footer, RunLock run) {
  CLI::App* command = lock.add_subcommand(name, description);
  command->add_option("name", arguments->name, "Name of the lock")->required();
  command->footer(footer);
  command->callback([&session, name, arguments, run] {
    if (const absl::Status status = run(session, *arguments); !status.ok())
      session.Fail(absl::StrCat("lock ", name), status);
  });
  return command;
}

void AddLeaseOptions(CLI::App* command, LockArguments& arguments) {
  command->add_option("--ttl", arguments.ttl, "Time of the lease, such as 10s or 5m (30s)");
  command->add_option("--owner", arguments.owner, "Who holds it, for people who look (this process)");
  command->add_flag("--no-wait", arguments.no_wait, "Do not wait in line: fail when it is not free");
}

}  // namespace

void AddLocks(CLI::App& app, Session& session) {
  CLI::App* lock = app.add_subcommand("lock", "Locks over all gateways: leases with fencing tokens");
  lock->require_subcommand(1);
  lock->footer("Example: quarryctl lock run nightly -- ./nightly.sh");
  const auto arguments = std::make_shared<LockArguments>();
  CLI::App* acquire =
      AddOne(*lock, session, arguments, "acquire",
             "Takes a lock until its lease runs out; with --timeout as the longest wait in line",
             "Example: quarryctl lock acquire nightly --ttl 5m", AcquireLease);
  AddLeaseOptions(acquire, *arguments);
  acquire->add_option("--lease", arguments->lease_id,
                      "Lease id of your own, a UUID; that of a lease that is held renews it");
  AddOne(*lock, session, arguments, "show", "Tells who holds a lock and how many wait",
         "Example: quarryctl lock show nightly", Show);
  AddOne(*lock, session, arguments, "release", "Gives a lock back",
         "Example: quarryctl lock release nightly --lease 0198c3f5-6e5a-7c1e-9a54-3f1f0c2b7d10",
         ReleaseLease)
      ->add_option("--lease", arguments->lease_id, "Lease id that acquire has printed")
      ->required();
  CLI::App* run = AddOne(*lock, session, arguments, "run",
                         "Runs a command while it holds a lock, and ends as the command does; the "
                         "command finds QUARRY_LOCK and QUARRY_LOCK_TOKEN in its environment, and is "
                         "ended when the lock is lost",
                         "Example: quarryctl lock run nightly --ttl 10s -- ./nightly.sh", RunUnderLock);
  AddLeaseOptions(run, *arguments);
  run->add_option("command", arguments->command, "The command and its arguments, after --")->required();
}

}  // namespace quarry::ctl
