// Gateways that are killed under load: quarryd over four shards, and rows on shards of their own that are written together or
// not at all. Whatever is seen, the rows of a group are equal; what was acknowledged is there; and a commit that is repeated
// with its request_id has happened once.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "tests/fault/gateway/daemon.h"
#include "tests/integration/gateway/gateway_test.h"
#include "tests/support/rounds.h"

namespace quarry::gateway_test {

inline const int kCrashRounds = Rounds(15);  // Of each step.

enum class Cluster { kPostgres, kSqlite, kMixed };
std::string NameOfCluster(const testing::TestParamInfo<Cluster>& info);

// The rows of a group, and what is known of their value.
struct Group {
  std::vector<int64_t> rows;  // By ascending shard.
  int64_t acknowledged = 0;
  int64_t tried = 0;
  std::string request_id;  // Of the latest try in one call, while its outcome is not known.
};

// How groups are written.
struct Load {
  bool wide = false;         // Those of three rows, instead of two.
  bool interactive = false;  // Call by call.
  bool reads = false;        // Interactive: a fourth shard takes part, which is only read.
};

class CrashFixture : public testing::TestWithParam<Cluster> {
 protected:
  static constexpr int kShards = 4;
  static constexpr size_t kGroups = 4;  // Of each width; one writer for each.

  void SetUp() override;
  bool only_postgres() const { return GetParam() == Cluster::kPostgres; }
  // A gateway on the shards, with these failpoints. `another`: beside the first, so all shards are PostgreSQL's.
  std::unique_ptr<Daemon> Spawn(const std::string& failpoints, bool another = false);
  // The first gateway, which serves, and its client.
  void Start(const std::string& failpoints);
  // Which hit of a failpoint: what ExpectWhole repeats does not come so far.
  int64_t HitUnderLoad() { return static_cast<int64_t>(3 * kGroups + random_() % 12); }
  // By the first gateway.
  void MakeGroups();
  // One try at the next value, or again at one whose outcome is not known.
  static absl::Status WriteInOneCall(client::Client& client, Group& group, client::CallOptions call = {});
  absl::Status WriteInTransaction(client::Client& client, Group& group, bool reads) const;
  // One writer for each group, until the first gateway is killed, as it is told to be.
  void WriteUntilItDies(const Load& load);
  int64_t PreparedBranches() const;
  // Nothing is left half way, within the ten seconds that are promised.
  void ExpectSettled(const Daemon& gateway) const;
  // Once all is settled.
  void ExpectWhole(client::Client& client);

  std::mt19937_64 random_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<client::Client> client_;
  std::vector<Group> pairs_;
  std::vector<Group> triples_;

 private:
  bool IsPostgres(int shard) const {
    return GetParam() == Cluster::kPostgres || (GetParam() == Cluster::kMixed && shard % 2 == 1);
  }
  std::string MakePlace(int shard);
  int64_t NewRowOn(int shard);
  static std::vector<int64_t> ValuesOf(client::Client& client, const Group& group);

  TempDirectory folder_;
  TempDirectory config_folder_;
  const std::string config_ = config_folder_.path() + "/quarry.yaml";
  std::vector<std::string> databases_;
  int64_t next_id_ = 1;
  int64_t read_row_ = 0;  // On the last shard.
};

}  // namespace quarry::gateway_test
