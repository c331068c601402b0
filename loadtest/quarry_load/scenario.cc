#include "loadtest/quarry_load/scenario.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/did_you_mean.h"

namespace quarry::load {

const std::vector<std::string>& OperationNames() {
  static const auto& names = *new std::vector<std::string>{
      "get",         "batch_get", "insert",   "update", "upsert", "delete", "read_modify_write",
      "batch_write", "commit",    "sql_scan", "query",  "list",   "aggregate",
      "commit_across", "commit_apart", "begin_snapshot", "echo"};
  return names;
}

const char* OperationName(Operation operation) {
  return OperationNames()[static_cast<size_t>(operation)].c_str();
}

absl::StatusOr<Operation> ParseOperation(std::string_view name) {
  const std::vector<std::string>& names = OperationNames();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<Operation>(found - names.begin());
  return absl::InvalidArgumentError(absl::StrCat("there is no operation \"", std::string(name),
                                                 "\"", DidYouMean(name, names), "; there are ",
                                                 absl::StrJoin(names, ", ")));
}

bool Scenario::has(Operation operation) const {
  return std::any_of(operations.begin(), operations.end(),
                     [operation](const WeightedOperation& each) {
                       return each.operation == operation && each.weight > 0;
                     });
}

bool Scenario::needs_shards_of_keys() const {
  return has(Operation::kCommit) || has(Operation::kCommitAcross) || has(Operation::kCommitApart);
}

int64_t Scenario::keys_per_shard() const { return has(Operation::kCommit) ? commit_mutations : 1; }

int64_t BatchesToWrite(const Scenario& scenario) {
  int64_t batches = 0;
  for (int64_t thread = 0; thread < scenario.threads; ++thread) {
    const int64_t share = (scenario.keys - thread + scenario.threads - 1) / scenario.threads;
    batches += (share + scenario.batch - 1) / scenario.batch;
  }
  return batches;
}

namespace {

void CheckOperations(const Scenario& scenario, std::vector<std::string>& wrong) {
  if (scenario.operations.empty()) {
    wrong.push_back("no operation is given: name one with --op or operations");
  }
  double total = 0;
  for (const WeightedOperation& each : scenario.operations) total += each.weight;
  if (!scenario.operations.empty() && total <= 0) {
    wrong.push_back("the weights of the operations add up to 0");
  }
  if (scenario.has(Operation::kEcho) && scenario.operations.size() > 1) {
    wrong.push_back("echo is for a bare echo server and cannot be mixed with other operations");
  }
  if (scenario.has(Operation::kCommit) && scenario.commit_mutations > scenario.keys) {
    wrong.push_back("commit_mutations is larger than keys");
  }
  if (!scenario.transaction.empty() && scenario.concurrency > 1) {
    wrong.push_back(
        "calls of one transaction go one at a time: with transaction, concurrency is 1");
  }
  if (!scenario.transaction.empty() && scenario.open_loop()) {
    wrong.push_back("calls of one transaction go one at a time: with transaction there is no rate");
  }
}

void CheckKeys(const Scenario& scenario, std::vector<std::string>& wrong) {
  if (scenario.insert_from > 0 && scenario.insert_from <= scenario.keys) {
    wrong.push_back(absl::StrCat("insert_from ", scenario.insert_from, " lies among the keys 1 to ",
                                 scenario.keys, " that exist"));
  }
  if (scenario.distribution == Distribution::kHotTenant && scenario.tenants > scenario.keys) {
    wrong.push_back("tenants is larger than keys");
  }
}

}  // namespace

absl::Status Validate(const Scenario& scenario) {
  std::vector<std::string> wrong;
  CheckOperations(scenario, wrong);
  CheckKeys(scenario, wrong);
  if (!scenario.open_loop() && scenario.threads > scenario.concurrency) {
    wrong.push_back("threads is larger than concurrency: some would have nothing to do");
  }
  if (scenario.open_loop() && scenario.threads > scenario.in_flight_max) {
    wrong.push_back("threads is larger than in_flight_max: some could not send");
  }
  if (scenario.calls > 0 && scenario.calls < scenario.threads) {
    wrong.push_back("threads is larger than calls: some would have nothing to do");
  }
  if (scenario.calls == 0 && scenario.duration <= absl::ZeroDuration()) {
    wrong.push_back("duration is 0: say how long, or how many calls");
  }
  if (wrong.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(wrong, "\n"));
}

}  // namespace quarry::load
