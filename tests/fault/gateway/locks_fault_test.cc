// Holders of locks that die or stand still: two quarryd processes over PostgreSQL shards, and quarryctl as a holder.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/fault/gateway/daemon.h"
#include "tests/integration/gateway/gateway_test.h"

namespace quarry::gateway_test {
namespace {

using client::HeldLock;

client::LockOptions For(absl::Duration ttl) {
  client::LockOptions options;
  options.ttl = ttl;
  return options;
}

const auto& Lost() {
  static const auto matcher = Fails(absl::StatusCode::kFailedPrecondition, reason::kLockLost);
  return matcher;
}

// A program of its own whose output is kept.
class Program {
 public:
  Program(std::vector<std::string> arguments, std::string output) : output_(std::move(output)) {
    std::vector<char*> words;
    for (std::string& argument : arguments) words.push_back(argument.data());
    words.push_back(nullptr);
    const int file = open(output_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0600);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(file, STDOUT_FILENO);
      dup2(file, STDERR_FILENO);
      execv(words[0], words.data());
      _exit(122);
    }
    close(file);
  }
  ~Program() {
    if (ended_) return;
    Signal(SIGCONT);
    Signal(SIGKILL);
    Wait();
  }
  void Signal(int signal) { kill(pid_, signal); }
  // Its exit code; -1000 when it does not end in time.
  int Wait() {
    int status = 0;
    ended_ = Eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }, absl::Seconds(30));
    return !ended_ ? -1000 : WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  std::string Output() const {
    std::ifstream in(output_);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }

 private:
  const std::string output_;
  pid_t pid_ = 0;
  bool ended_ = false;
};

class LocksFaultTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(std::getenv("QUARRYD"), nullptr) << "QUARRYD names the program";
    ASSERT_NE(std::getenv("QUARRYCTL"), nullptr) << "QUARRYCTL names the program";
    static int next = 0;
    std::vector<std::string> places;
    for (int shard = 0; shard < 2; ++shard) {
      const std::string name = absl::StrCat("locks_", next++);
      ASSERT_THAT(Postgres().CreateDatabase(name), IsOk());
      ASSERT_THAT(Postgres().Run(name, SchemaSql(Kind::kPostgres)), IsOk());
      places.push_back(absl::StrCat("{postgres: {primary: \"", Postgres().conninfo(name), "\"}}"));
    }
    for (int i = 0; i < 2; ++i) {
      DaemonOptions options;
      options.config_file = absl::StrCat(folder_.path(), "/gateway", i, ".yaml");
      std::ofstream(options.config_file) << ConfigYaml(absl::StrCat(folder_.path(), "/data", i), places);
      daemons_.push_back(Daemon::Spawn(options));
      ASSERT_TRUE(daemons_[i]->WaitUntilServing()) << daemons_[i]->Output();
      clients_.push_back(ClientAt(daemons_[i]->grpc_port(), 1));
      ASSERT_NE(clients_[i], nullptr);
    }
    ASSERT_TRUE(Eventually([this] { return clients_[0]->ListTables().ok() && clients_[1]->ListTables().ok(); }));
    ASSERT_THAT(clients_[1]->Insert("customers", {{"id", 1}, {"name", "n"}}), IsOk());
  }
  absl::Status WriteAs(const client::Fence& fence, int64_t visits) {
    client::CallOptions call;
    call.fence = fence;
    return clients_[1]->Update("customers", {1}, {{"visits", visits}}, {}, call).status();
  }
  int64_t WaitersOf(const std::string& lock) {
    const auto seen = clients_[1]->GetLock(lock);
    return seen.ok() ? seen->waiters() : -1;
  }
  // quarryctl holding a lock at the first gateway while a command runs.
  std::unique_ptr<Program> HoldByProgram(const std::string& lock, const std::vector<std::string>& command) {
    std::vector<std::string> arguments = {std::getenv("QUARRYCTL"), "--address",
                                          absl::StrCat("127.0.0.1:", daemons_[0]->grpc_port()), "lock", "run", lock,
                                          "--ttl", "1s", "--"};
    arguments.insert(arguments.end(), command.begin(), command.end());
    auto program = std::make_unique<Program>(arguments, absl::StrCat(folder_.path(), "/program"));
    EXPECT_TRUE(Eventually([&] {
      const auto seen = clients_[1]->GetLock(lock);
      return seen.ok() && seen->held();
    })) << program->Output();
    return program;
  }

  TempDirectory folder_;
  std::vector<std::unique_ptr<Daemon>> daemons_;
  std::vector<std::unique_ptr<client::Client>> clients_;
};

TEST_F(LocksFaultTest, TheNextInLineGoesOnWhenTheHoldersGatewayIsKilled) {
  ASSERT_OK_AND_ASSIGN(HeldLock first, clients_[0]->AcquireLock("a", For(absl::Seconds(1))));
  std::optional<absl::StatusOr<HeldLock>> second;
  std::thread waiter([&] { second.emplace(clients_[1]->AcquireLock("a", For(absl::Seconds(20)))); });
  EXPECT_TRUE(Eventually([&] { return WaitersOf("a") == 1; }));
  const absl::Time killed = absl::Now();
  daemons_[0]->Kill(SIGKILL);
  waiter.join();
  ASSERT_THAT(*second, IsOk());
  EXPECT_LT(absl::Now() - killed, absl::Seconds(10));
  EXPECT_GT((*second)->token(), first.token());
  EXPECT_TRUE(Eventually([&] { return !first.held(); }));
  EXPECT_THAT(first.status(), Lost());
  ASSERT_THAT(WriteAs((*second)->fence(), 1), IsOk());
  EXPECT_THAT(WriteAs(first.fence(), 2), Lost());
}

TEST_F(LocksFaultTest, AWaiterWhoseGatewayIsKilledHoldsUpNobodyForLong) {
  ASSERT_OK_AND_ASSIGN(HeldLock first, clients_[1]->AcquireLock("a", For(absl::Seconds(20))));
  std::thread dead([&] { EXPECT_FALSE(clients_[0]->AcquireLock("a", For(absl::Seconds(20))).ok()); });
  EXPECT_TRUE(Eventually([&] { return WaitersOf("a") == 1; }));
  daemons_[0]->Kill(SIGKILL);
  dead.join();
  ASSERT_THAT(first.Release(), IsOk());
  EXPECT_THAT(clients_[1]->AcquireLock("a", For(absl::Seconds(20))), IsOk());
}

TEST_F(LocksFaultTest, AHolderThatStandsStillLosesTheLockAndItsLateWriteIsRefused) {
  const std::string tokens = folder_.path() + "/token";
  const std::unique_ptr<Program> holder =
      HoldByProgram("a", {"/bin/sh", "-c", absl::StrCat("echo $QUARRY_LOCK_TOKEN > ", tokens, "; exec sleep 60")});
  ASSERT_TRUE(Eventually([&] {
    int64_t token = 0;
    return static_cast<bool>(std::ifstream(tokens) >> token);
  }));
  holder->Signal(SIGSTOP);
  ASSERT_OK_AND_ASSIGN(HeldLock next, clients_[1]->AcquireLock("a", For(absl::Seconds(20))));
  ASSERT_THAT(WriteAs(next.fence(), 1), IsOk());
  int64_t old_token = 0;
  ASSERT_TRUE(std::ifstream(tokens) >> old_token);
  EXPECT_LT(old_token, next.token());
  EXPECT_THAT(WriteAs({"a", old_token}, 2), Lost());
  holder->Signal(SIGCONT);
  // It learns that the lock is lost, ends its command and says so.
  EXPECT_EQ(holder->Wait(), 5) << holder->Output();
  EXPECT_THAT(holder->Output(), testing::HasSubstr("LOCK_LOST"));
  EXPECT_TRUE(next.held());
}

TEST_F(LocksFaultTest, AHolderThatIsKilledLeavesTheLockToTheNext) {
  const std::unique_ptr<Program> holder = HoldByProgram("a", {"/bin/sleep", "5"});
  holder->Signal(SIGKILL);
  EXPECT_THAT(clients_[1]->AcquireLock("a", For(absl::Seconds(20))), IsOk());
}

TEST_F(LocksFaultTest, ACommandRunsUnderItsLockAndEndsWithItsOwnCode) {
  const std::unique_ptr<Program> holder = HoldByProgram("a", {"/bin/sh", "-c", "sleep 2; exit 42"});
  EXPECT_EQ(holder->Wait(), 42) << holder->Output();
  EXPECT_FALSE(clients_[1]->GetLock("a")->held());
}

TEST_F(LocksFaultTest, AGatewayThatStandsStillHoldsNothingThatOthersWaitFor) {
  ASSERT_OK_AND_ASSIGN(HeldLock first, clients_[0]->AcquireLock("a", For(absl::Seconds(1))));
  daemons_[0]->Kill(SIGSTOP);
  ASSERT_OK_AND_ASSIGN(HeldLock second, clients_[1]->AcquireLock("a", For(absl::Seconds(20))));
  EXPECT_TRUE(Eventually([&] { return !first.held(); }));
  daemons_[0]->Kill(SIGCONT);
  EXPECT_THAT(first.Release(), testing::Not(IsOk()));
  EXPECT_TRUE(second.held());
  ASSERT_OK_AND_ASSIGN(const v1::GetLockResponse seen, clients_[1]->GetLock("a"));
  EXPECT_EQ(seen.token(), second.token());
}

}  // namespace
}  // namespace quarry::gateway_test
