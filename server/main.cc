// quarryd: reads flags and configuration, builds a gateway, serves, drains.
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/substitute.h"
#include "absl/synchronization/mutex.h"
#include "core/base/error.h"
#include "core/base/failpoint.h"
#include "grpc/support/log.h"
#include "nlohmann/json.hpp"
#include "server/wiring/gateway.h"
#include "server/wiring/logging.h"
#include "server/wiring/quickstart.h"
#include "spdlog/spdlog.h"

namespace {

constexpr int kExitFailed = 1;
constexpr int kExitBadConfig = 2;

struct Flags {
  std::string config = "quarry.yaml";
  std::string quickstart;
  std::vector<std::string> set;
  std::string ports_file;
};

quarry::ConfigOptions OptionsOf(const Flags& flags) {
  quarry::ConfigOptions options;
  options.overrides = flags.set;
  options.environment = quarry::ProcessEnvironment();
  options.registry = quarry::MakeResolverRegistry;
  // Read elsewhere: by the flags below, by clients, by ./dev, by tests; what quarryctl lock run gives its command.
  options.environment_ignored = {"QUARRY_CONFIG",      "QUARRY_ADDRESS",       "QUARRY_HTTP",
                                 "QUARRY_JOBS",        "QUARRY_SKIP_INSTALL",  "QUARRY_SEED",
                                 "QUARRY_FAILPOINTS",  "QUARRY_TEST_JOBS",     "QUARRY_TEST_SEED",
                                 "QUARRY_TEST_SHARDS", "QUARRY_TEST_DATABASE", "QUARRY_TEST_ROUNDS",
                                 "QUARRY_SIM_SEEDS",   "QUARRY_LOCK",          "QUARRY_LOCK_TOKEN"};
  return options;
}

absl::StatusOr<quarry::Config> LoadChecked(const Flags& flags) {
  if (flags.quickstart.empty() && access(flags.config.c_str(), F_OK) != 0) {
    return absl::NotFoundError(absl::StrCat("there is no file ", flags.config,
                                            ": name a configuration with --config, or start the sample shop with "
                                            "quarryd run --quickstart data"));
  }
  return flags.quickstart.empty() ? quarry::LoadConfig(flags.config, OptionsOf(flags))
                                  : quarry::QuickstartConfig(flags.quickstart, OptionsOf(flags));
}

int Fail(const absl::Status& status, int exit_code) {
  std::cerr << "quarryd: " << std::string(status.message()) << "\n";
  return exit_code;
}

int CheckConfig(const Flags& flags) {
  const absl::StatusOr<quarry::Config> config = LoadChecked(flags);
  if (!config.ok()) return Fail(config.status(), kExitBadConfig);
  std::cout << flags.config << ": " << config->shards.size() << " shards, " << config->resolvers.size()
            << " resolvers, " << config->tables.size() << " tables: good\n";
  return 0;
}

int PrintConfig(const Flags& flags) {
  const absl::StatusOr<quarry::Config> config = LoadChecked(flags);
  if (!config.ok()) return Fail(config.status(), kExitBadConfig);
  std::cout << quarry::PrintConfig(*config);
  return 0;
}

// As it can be typed in this folder.
std::string Typed(const std::filesystem::path& file) {
  std::error_code error;
  const std::string near = std::filesystem::proximate(file, error).string();
  const std::string path = error || absl::StartsWith(near, "..") ? file.string() : near;
  return absl::StrContains(path, ' ') ? absl::StrCat("'", path, "'") : path;
}

std::filesystem::path OwnFolder() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
}

// The quarryctl beside this program; by its name alone where that finds it, or where there is none.
std::string QuarryctlCommand() {
  constexpr char kName[] = "quarryctl";
  std::error_code error;
  const std::filesystem::path own = OwnFolder();
  const char* path = std::getenv("PATH");
  for (const absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':')) {
    if (std::filesystem::equivalent(std::filesystem::path(std::string(folder)), own, error)) return kName;
  }
  return std::filesystem::exists(own / kName, error) ? Typed(own / kName) : kName;
}

// The page on clients: in the repository, or where a package has put it; empty where there is none.
std::string ClientsPage() {
  std::error_code error;
  for (const std::filesystem::path& page :
       {std::filesystem::current_path(error) / "docs/languages.md",
        (OwnFolder() / "../share/doc/quarry/docs/languages.md").lexically_normal()}) {
    if (std::filesystem::exists(page, error)) return Typed(page);
  }
  return "";
}

// For a Python as it comes, without a client's generated code. Not indented: it is copied as it stands.
std::string PythonToTry(const std::string& http) {
  constexpr char kScript[] = R"py(python3 - <<'END'
import json, urllib.request
question = {"table": "customers", "filter": "customer_id IN (41, 42)", "columns": ["customer_id", "name"]}
call = urllib.request.Request("http://$0/quarry.v1.DataService/List", json.dumps(question).encode(), {"content-type": "application/json"})
for row in json.load(urllib.request.urlopen(call))["rows"]:
    print(row["values"][0]["int64Value"], row["values"][1]["textValue"])
END
)py";
  return absl::Substitute(kScript, http);
}

void ShowWhatToTry(const quarry::Gateway& gateway) {
  const std::string quarryctl = QuarryctlCommand();
  const std::string page = ClientsPage();
  const std::string grpc = absl::StrCat("localhost:", gateway.grpc_port());
  const std::string http = absl::StrCat("localhost:", gateway.http_port());
  std::cout << "\nquarryd is ready: gRPC on " << grpc << ", HTTP on " << http << ", a sample shop on "
            << gateway.config().shards.size() << " SQLite shards in " << gateway.config().data_dir << "/\n\n"
            << "Try in another terminal:\n"
            << "  export QUARRY_ADDRESS=" << grpc << "\n"
            << "  " << quarryctl << " get customers 42\n"
            << "  " << quarryctl << " resolve orders customer_id=42\n"
            << "  " << quarryctl << " sql --all \"SELECT count(*) FROM orders\"\n\n"
            << "  curl -s " << http << "/quarry.v1.DataService/Get -H 'content-type: application/json' \\\n"
            << "    -d '{\"table\": \"customers\", \"key\": {\"values\": [{\"int64Value\": \"42\"}]}}'\n\n"
            << PythonToTry(http) << "\n"
            << (page.empty() ? "" : absl::StrCat("With generated code, in Python, Node, Go, Java or C++: ", page, "\n\n"))
            << "Ctrl-C drains and stops it.\n"
            << std::flush;
}

// Another program may wait for this file: it appears whole.
absl::Status WritePorts(const quarry::Gateway& gateway, const std::string& file) {
  const std::string fresh = file + ".new";
  std::ofstream out(fresh);
  out << nlohmann::json({{"grpc", gateway.grpc_port()}, {"http", gateway.http_port()}}).dump() << "\n";
  out.close();
  if (out.good() && rename(fresh.c_str(), file.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot write the ports file ", file));
}

// Blocked in every thread, so that signals come here and nowhere else.
int OpenSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_CLOEXEC);
}

void ServeUntilStopped(quarry::Gateway& gateway, int signals) {
  signalfd_siginfo info;
  while (read(signals, &info, sizeof(info)) == sizeof(info)) {
    if (info.ssi_signo != SIGHUP) break;
    spdlog::info("SIGHUP: asking the shards for their tables again");
    gateway.RefreshCatalog();
  }
  spdlog::info("stopping: new calls are refused, those in flight are waited for");
  gateway.Drain();
  spdlog::info("stopped");
}

// gRPC's own lines have another form than the log's, and say again what statuses say.
void LogGrpcAsDebug() {
  gpr_set_log_function([](gpr_log_func_args* line) { spdlog::debug("grpc: {}", line->message); });
}

int RunServer(const Flags& flags) {
  const int signals = OpenSignals();
  const absl::Status armed = quarry::ArmFailpointsFromEnvironment();
  if (!armed.ok()) return Fail(armed, kExitBadConfig);
  absl::StatusOr<quarry::Config> config = LoadChecked(flags);
  if (!config.ok()) return Fail(config.status(), kExitBadConfig);
  quarry::StartLogging(config->log);
  LogGrpcAsDebug();
  if (const char* failpoints = std::getenv("QUARRY_FAILPOINTS"); failpoints != nullptr && *failpoints != '\0') {
    spdlog::warn("QUARRY_FAILPOINTS is set, which only tests want: {}", failpoints);
  }
  quarry::GatewayOptions options;
  options.version = QUARRY_VERSION;
  const bool seed = !flags.quickstart.empty() && quarry::BeginQuickstart(config->data_dir);
  if (seed) {
    options.sqlite_schema = quarry::kQuickstartSchema;
    options.before_serving = quarry::SeedShop;
  }
  absl::StatusOr<std::unique_ptr<quarry::Gateway>> gateway = quarry::Gateway::Start(*std::move(config), options);
  if (!gateway.ok()) return Fail(gateway.status(), kExitFailed);
  if (!flags.ports_file.empty()) {
    const absl::Status written = WritePorts(**gateway, flags.ports_file);
    if (!written.ok()) return Fail(written, kExitFailed);
  }
  spdlog::info("serving gRPC on port {}, HTTP on port {}", (*gateway)->grpc_port(), (*gateway)->http_port());
  if (!flags.quickstart.empty()) ShowWhatToTry(**gateway);
  ServeUntilStopped(**gateway, signals);
  return 0;
}

void AddConfigFlags(CLI::App* command, Flags& flags) {
  command->add_option("-c,--config", flags.config, "Configuration file; else $QUARRY_CONFIG")->capture_default_str();
  command->add_option("--set", flags.set, "Override one value of the configuration: path=value; may be repeated");
}

}  // namespace

// Before the first use of gRPC.
void SetUpLibraries() {
  // A packaged abseil may be built to look for cycles of locks at every lock, gRPC's included.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  // gRPC's other engine polls all connections from whichever thread comes first, so that loops wake each other for every
  // call; with this one each loop polls its own (docs/performance.md).
  setenv("GRPC_POLL_STRATEGY", "poll", /*overwrite=*/0);
}

// glibc keeps seven freed blocks of each size for a thread; what a burst of calls frees beyond that goes a slower way,
// a tenth of a read's CPU time. It reads how many only when a program starts, so the server starts itself again.
void RestartWithLargeThreadCaches(char** argv) {
  constexpr char kTunables[] = "GLIBC_TUNABLES";
  if (std::getenv(kTunables) != nullptr) return;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return;
  setenv(kTunables, "glibc.malloc.tcache_count=1000", /*overwrite=*/1);
  execv(self.c_str(), argv);  // Returns only where that is not allowed: then it serves as it is.
}

int main(int argc, char** argv) {
  SetUpLibraries();
  Flags flags;
  // By hand: given to several subcommands, an environment variable of CLI11's would win over the flag.
  if (const char* file = std::getenv("QUARRY_CONFIG"); file != nullptr) flags.config = file;
  CLI::App app("quarryd: many databases that look like one, over gRPC.");
  app.set_version_flag("--version", std::string("quarryd ") + QUARRY_VERSION);
  app.require_subcommand(1);

  CLI::App* run = app.add_subcommand("run", "Serve until SIGINT or SIGTERM, then drain; SIGHUP reads the tables again");
  AddConfigFlags(run, flags);
  run->add_option("--quickstart", flags.quickstart,
                  "Serve the sample shop on four SQLite shards in this directory instead of a configuration");
  run->add_option("--ports-file", flags.ports_file, "Write the ports here, as JSON, once serving");

  CLI::App* config = app.add_subcommand("config", "Look at a configuration without serving");
  config->require_subcommand(1);
  CLI::App* check = config->add_subcommand("check", "Report every mistake, with its line");
  AddConfigFlags(check, flags);
  CLI::App* print = config->add_subcommand("print", "Print the effective configuration, secrets hidden");
  AddConfigFlags(print, flags);

  CLI11_PARSE(app, argc, argv);
  if (run->parsed()) {
    RestartWithLargeThreadCaches(argv);
    return RunServer(flags);
  }
  return check->parsed() ? CheckConfig(flags) : PrintConfig(flags);
}
