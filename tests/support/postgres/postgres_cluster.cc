#include "tests/support/postgres/postgres_cluster.h"

#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/status_macros.h"

namespace quarry {
namespace {

constexpr absl::Duration kStartMax = absl::Seconds(60);

struct Account {
  uid_t user;
  gid_t group;
};

// Whom the server runs as: PostgreSQL refuses to run as root.
std::optional<Account> ServerAccount() {
  if (geteuid() != 0) return std::nullopt;
  for (const char* name : {"postgres", "nobody"}) {
    if (const passwd* found = getpwnam(name)) return Account{found->pw_uid, found->pw_gid};
  }
  return std::nullopt;
}

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  std::vector<std::string> versions;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    if (std::filesystem::exists(entry.path() / "bin" / name)) versions.push_back(entry.path() / "bin" / name);
  }
  if (versions.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no /usr/lib/postgresql/*/bin/", name, ": install the package postgresql"));
  }
  return *std::max_element(versions.begin(), versions.end());
}

// Runs a program as the server's account, its output appended to `log`. It is killed when this process ends.
pid_t Spawn(const std::vector<std::string>& command, const std::string& log, const std::string& folder) {
  const std::optional<Account> account = ServerAccount();
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  if (account.has_value()) {
    if (setgroups(0, nullptr) != 0 || setgid(account->group) != 0 || setuid(account->user) != 0) _exit(126);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // After setuid, which clears it.
  if (getppid() != parent || chdir(folder.c_str()) != 0) _exit(126);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  const int in = open("/dev/null", O_RDONLY);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  close_range(3, ~0U, 0);
  execv(argv[0], argv.data());
  _exit(127);
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    std::ifstream file(entry.path() / "stat");
    std::string line;
    std::getline(file, line);
    // "pid (name) state ppid": the name may hold anything, so look behind its last parenthesis.
    const size_t after = line.rfind(')');
    if (after == std::string::npos) continue;
    std::istringstream rest(line.substr(after + 1));
    std::string state;
    pid_t ppid = 0;
    rest >> state >> ppid;
    if (ppid == parent) children.push_back(pid);
  }
  return children;
}

class Connected {
 public:
  explicit Connected(const std::string& conninfo) : connection_(PQconnectdb(conninfo.c_str())) {
    PQsetNoticeProcessor(connection_, [](void*, const char*) {}, nullptr);
  }
  ~Connected() { PQfinish(connection_); }
  absl::StatusOr<std::string> Run(const std::string& sql) {
    if (PQstatus(connection_) != CONNECTION_OK) return absl::UnavailableError(PQerrorMessage(connection_));
    PGresult* result = PQexec(connection_, sql.c_str());
    const ExecStatusType status = PQresultStatus(result);
    const bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    std::string value = ok && PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "";
    const std::string error = PQresultErrorMessage(result);
    PQclear(result);
    if (!ok) return absl::InternalError(error);
    return value;
  }

 private:
  PGconn* connection_;
};

}  // namespace

PostgresCluster::PostgresCluster(PostgresClusterOptions options, std::string folder)
    : options_(std::move(options)), folder_(std::move(folder)) {}

absl::StatusOr<std::unique_ptr<PostgresCluster>> PostgresCluster::Create(const PostgresClusterOptions& options) {
  std::string folder = (std::filesystem::temp_directory_path() / "quarry-pg-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return absl::InternalError("mkdtemp failed");
  if (const std::optional<Account> account = ServerAccount()) {
    if (chown(folder.c_str(), account->user, account->group) != 0) return absl::InternalError("chown failed");
  }
  std::unique_ptr<PostgresCluster> cluster(new PostgresCluster(options, folder));
  QUARRY_RETURN_IF_ERROR(cluster->InitData());
  absl::Status started;
  // Who names a port, and asks for none, may have taken it.
  for (int attempt = 0; attempt < 5; ++attempt) {
    cluster->reserved_ = std::make_unique<ReservedPort>();
    cluster->port_ = cluster->reserved_->number();
    started = cluster->Start();
    if (started.ok()) return cluster;
  }
  return started;
}

std::unique_ptr<PostgresCluster> PostgresCluster::At(int port) {
  std::unique_ptr<PostgresCluster> cluster(new PostgresCluster({}, ""));
  cluster->port_ = port;
  return cluster;
}

PostgresCluster::~PostgresCluster() {
  if (postmaster_ != 0) {
    Kill(SIGCONT);
    Stop(StopMode::kImmediate).IgnoreError();
  }
  if (folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::Status PostgresCluster::InitData() {
  QUARRY_ASSIGN_OR_RETURN(const std::string program, FindProgram("initdb"));
  const pid_t child = Spawn({program, "-D", folder_ + "/data", "-U", "postgres", "-A", "trust", "-E", "UTF8",
                             "--locale=C.UTF-8", "--no-sync", "--no-instructions"},
                            folder_ + "/server.log", folder_);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("initdb failed: ", ServerLog()));
}

absl::Status PostgresCluster::Start() {
  if (postmaster_ != 0) return absl::FailedPreconditionError("the server runs already");
  QUARRY_ASSIGN_OR_RETURN(const std::string program, FindProgram("postgres"));
  std::vector<std::string> command = {program, "-D", folder_ + "/data"};
  std::map<std::string, std::string> settings = {
      {"port", absl::StrCat(port_)},
      {"listen_addresses", "127.0.0.1"},
      {"unix_socket_directories", folder_},
      {"fsync", options_.fsync ? "on" : "off"},
      {"max_connections", absl::StrCat(options_.max_connections)},
      {"max_prepared_transactions", absl::StrCat(options_.max_prepared_transactions)},
      {"shared_buffers", "32MB"},
      {"autovacuum", "off"},
      {"log_min_messages", "fatal"},
      {"log_min_error_statement", "fatal"},
  };
  for (const auto& [name, value] : options_.settings) settings[name] = value;
  for (const auto& [name, value] : settings) {
    command.push_back("-c");
    command.push_back(absl::StrCat(name, "=", value));
  }
  postmaster_ = Spawn(command, folder_ + "/server.log", folder_);
  return WaitUntilReady();
}

absl::Status PostgresCluster::WaitUntilReady() {
  const absl::Time last = absl::Now() + kStartMax;
  const std::string where = conninfo("postgres");
  while (absl::Now() < last) {
    int status = 0;
    if (waitpid(postmaster_, &status, WNOHANG) == postmaster_) {
      postmaster_ = 0;
      return absl::UnavailableError(absl::StrCat("the server ended at its start: ", ServerLog()));
    }
    if (PQping(where.c_str()) == PQPING_OK) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(10));  // The server tells nobody when it is ready.
  }
  return absl::DeadlineExceededError(absl::StrCat("the server did not start: ", ServerLog()));
}

absl::Status PostgresCluster::Stop(StopMode mode) {
  if (postmaster_ == 0) return absl::OkStatus();
  ::kill(postmaster_, mode == StopMode::kFast ? SIGINT : SIGQUIT);
  Reap(ChildrenOf(postmaster_));
  return absl::OkStatus();
}

void PostgresCluster::Kill(int signal) {
  if (postmaster_ == 0) return;
  if (signal == SIGCONT) {
    ::kill(postmaster_, signal);
    for (const pid_t child : ChildrenOf(postmaster_)) ::kill(child, signal);
    return;
  }
  // The postmaster first, stopped, so that it starts no child behind our back.
  ::kill(postmaster_, SIGSTOP);
  const std::vector<pid_t> children = ChildrenOf(postmaster_);
  for (const pid_t child : children) ::kill(child, signal);
  if (signal == SIGSTOP) return;
  ::kill(postmaster_, signal);
  if (signal == SIGKILL) Reap(children);
}

void PostgresCluster::Reap(const std::vector<pid_t>& children) {
  waitpid(postmaster_, nullptr, 0);
  postmaster_ = 0;
  // They hold the shared memory and the port until they have noticed.
  for (const pid_t child : children) {
    while (std::filesystem::exists(absl::StrCat("/proc/", child, "/fd/0"))) absl::SleepFor(absl::Milliseconds(2));
  }
}

std::string PostgresCluster::ServerLog() const {
  std::ifstream file(folder_ + "/server.log");
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string PostgresCluster::ConninfoAt(const std::string& database, int port) const {
  return absl::StrCat("host=127.0.0.1 port=", port, " user=postgres dbname=", database);
}

std::string PostgresCluster::socket_conninfo(const std::string& database) const {
  return absl::StrCat("host=", folder_, " port=", port_, " user=postgres dbname=", database);
}

absl::StatusOr<std::string> PostgresCluster::CreateDatabase(const std::string& name) {
  QUARRY_RETURN_IF_ERROR(Run("postgres", absl::StrCat("DROP DATABASE IF EXISTS \"", name, "\" WITH (FORCE)")));
  QUARRY_RETURN_IF_ERROR(Run("postgres", absl::StrCat("CREATE DATABASE \"", name, "\"")));
  return conninfo(name);
}

absl::Status PostgresCluster::Run(const std::string& database, const std::string& sql) {
  return Connected(conninfo(database)).Run(sql).status();
}

absl::StatusOr<std::string> PostgresCluster::QueryOne(const std::string& database, const std::string& sql) {
  return Connected(conninfo(database)).Run(sql);
}

namespace {

// Owns the shared cluster from its first use to the end of the run.
class SharedCluster final : public ::testing::Environment {
 public:
  PostgresCluster& Get() {
    if (cluster_ == nullptr) {
      absl::StatusOr<std::unique_ptr<PostgresCluster>> made = PostgresCluster::Create();
      if (!made.ok()) {
        ADD_FAILURE() << "no PostgreSQL for the tests: " << made.status();
        std::exit(1);
      }
      cluster_ = *std::move(made);
    }
    return *cluster_;
  }
  void TearDown() override { cluster_.reset(); }

 private:
  std::unique_ptr<PostgresCluster> cluster_;
};

// Registered before main, as gtest asks; gtest owns it.
SharedCluster* const shared_cluster =
    static_cast<SharedCluster*>(::testing::AddGlobalTestEnvironment(new SharedCluster));

}  // namespace

PostgresCluster& PostgresCluster::Shared() { return shared_cluster->Get(); }

}  // namespace quarry
