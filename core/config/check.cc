#include <algorithm>
#include <initializer_list>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "core/base/did_you_mean.h"
#include "core/config/schema.h"
#include "core/config/sections.h"

namespace quarry {
namespace {

constexpr size_t kSecretBytesMin = 16;

// The position of the deepest part of the way that the tree has.
ConfigPosition PositionOf(const ConfigNode& root, std::initializer_list<std::string> way) {
  const ConfigNode* node = &root;
  for (const std::string& part : way) {
    const ConfigNode* next = node->Find(part);
    if (next == nullptr) break;
    node = next;
  }
  return node->at;
}

// "host:port" with a port of at most 65535; an IPv6 host stands in brackets.
bool IsAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  const std::string host = text.substr(0, colon);
  const std::string port_text = text.substr(colon + 1);
  int port = 0;
  if (!absl::SimpleAtoi(port_text, &port) || port < 0 || port > 65'535) return false;
  if (!std::all_of(port_text.begin(), port_text.end(), [](unsigned char c) { return absl::ascii_isdigit(c); })) return false;
  const bool bracketed = host.front() == '[' && host.back() == ']' && host.size() > 2;
  return bracketed ? host.find_first_not_of("0123456789abcdefABCDEF:.%", 1) == host.size() - 1
                   : host.find_first_of("[]:/ \t") == std::string::npos;
}

// One that can be connected to.
bool IsDialable(const std::string& text) {
  const std::string port = text.substr(text.rfind(':') + 1);
  return IsAddress(text) && port.find_first_not_of('0') != std::string::npos;
}

class WholeCheck {
 public:
  WholeCheck(const ConfigNode& root, Config& config, ConfigReport& report)
      : root_(root), config_(config), report_(report) {
    for (const ShardConfig& shard : config_.shards) shard_names_.push_back(shard.name);
    for (const ResolverConfig& resolver : config_.resolvers) resolver_names_.push_back(resolver.name);
    for (TableDeclaration& table : config_.tables) {
      table_names_.push_back(table.name);
      tables_.emplace(table.name, &table);
    }
  }

  void Run() {
    CheckProcess();
    CheckPeers();
    CheckLimits();
    CheckShards();
    CheckLocks();
    for (TableDeclaration& table : config_.tables) CheckReferences(table);
    for (TableDeclaration& table : config_.tables) CheckCoLocation(table);
    CheckSharedResolvers();
  }

 private:
  void Add(std::initializer_list<std::string> way, const std::string& what) {
    std::string path;
    for (const std::string& part : way) path = JoinPath(path, part);
    report_.Add(PositionOf(root_, way), path, what);
  }

  void CheckProcess() {
    if (!IsPlainName(config_.deployment)) {
      Add({"deployment"}, "has letters, digits, \"_\" and \"-\" only, at most 63, a letter or digit first");
    }
    if (!IsAddress(config_.listen.grpc)) Add({"listen", "grpc"}, "expects host:port, such as 0.0.0.0:7400 or [::]:7400");
    if (!IsAddress(config_.listen.http)) Add({"listen", "http"}, "expects host:port, such as 0.0.0.0:7480 or [::]:7480");
    const std::string& grpc = config_.listen.grpc;
    if (grpc == config_.listen.http && grpc.substr(grpc.rfind(':') + 1) != "0") {
      Add({"listen", "http"}, "is the address of listen.grpc; each needs its own");
    }
  }

  void CheckPeers() {
    std::set<std::string> seen;
    for (const std::string& address : config_.peers.addresses) {
      if (!IsDialable(address)) {
        Add({"peers", "addresses"}, absl::StrCat("expects host:port of other gateways, such as quarry-1:7400 or [fd00::7]:7400; \"",
                                                 address, "\" is none"));
      } else if (!seen.insert(address).second) {
        Add({"peers", "addresses"}, absl::StrCat("names ", address, " twice"));
      }
    }
    const std::string& dns = config_.peers.dns;
    if (!dns.empty() && (!IsDialable(dns) || dns.front() == '[')) {
      Add({"peers", "dns"}, "expects name:port, such as quarry-gateways:7400, where the name has an address for each gateway");
    }
  }

  void CheckLimits() {
    const LimitsConfig& limits = config_.limits;
    if (limits.reply_bytes < limits.row_bytes) {
      Add({"limits", "reply_bytes"}, "is less than limits.row_bytes: a row could be written and never read");
    }
    if (limits.message_bytes < limits.reply_bytes) {
      Add({"limits", "message_bytes"}, "is less than limits.reply_bytes: a full reply would not fit");
    }
    if (limits.page_rows_max < limits.page_rows) {
      Add({"limits", "page_rows_max"}, "is less than limits.page_rows");
    }
    if (!config_.tokens.secret.empty() && config_.tokens.secret.size() < kSecretBytesMin) {
      Add({"tokens", "secret"}, "is shorter than 16 bytes and could be guessed; `openssl rand -hex 32` makes one");
    }
    if (config_.transactions.idle_timeout_max < config_.transactions.idle_timeout) {
      Add({"transactions", "idle_timeout_max"}, "is less than transactions.idle_timeout");
    }
  }

  void CheckShards() {
    const ConfigNode* shards = root_.Find("shards");
    const bool wrong_kind = shards != nullptr && !shards->is_map() && !shards->is_null();
    if (config_.shards.empty() && !wrong_kind) Add({"shards"}, "at least one shard is needed");
    std::map<std::string, std::string> first_by_database;
    for (const ShardConfig& shard : config_.shards) {
      const bool sqlite = shard.dialect == Dialect::kSqlite;
      std::string other;
      for (const std::string& database : sqlite ? std::vector<std::string>{shard.path} : shard.primary.databases) {
        if (database.empty()) continue;
        const auto [found, added] = first_by_database.emplace(database, shard.name);
        if (!added && found->second != shard.name) other = found->second;
      }
      if (other.empty()) continue;
      const std::string what = absl::StrCat("is the database of shard ", other, " too; each shard needs its own");
      if (sqlite) {
        Add({"shards", shard.name, "sqlite", "file"}, what);
      } else {
        Add({"shards", shard.name, "postgres", "primary"}, what);
      }
    }
  }

  void CheckLocks() {
    const std::string& name = config_.locks.shard;
    if (name.empty() || std::find(shard_names_.begin(), shard_names_.end(), name) != shard_names_.end()) return;
    Add({"locks", "shard"}, absl::StrCat("no shard is named \"", name, "\"", DidYouMean(name, shard_names_)));
  }

  void CheckName(const TableDeclaration& table, const std::string& key, const std::string& name,
                 const std::vector<std::string>& known, const std::string& what) {
    if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) return;
    Add({"tables", table.name, key}, absl::StrCat("no ", what, " is named \"", name, "\"", DidYouMean(name, known)));
  }

  void CheckReferences(const TableDeclaration& table) {
    CheckName(table, "shard", table.shard, shard_names_, "shard");
    CheckName(table, "resolver", table.resolver, resolver_names_, "resolver");
    CheckName(table, "co_located_with", table.co_located_with, table_names_, "table");
    for (const RelationDeclaration& relation : table.relations) {
      if (relation.table.empty() || tables_.contains(relation.table)) continue;
      Add({"tables", table.name, "relations", relation.name, "table"},
          absl::StrCat("no table is named \"", relation.table, "\"", DidYouMean(relation.table, table_names_)));
    }
  }

  // Follows co_located_with to the table that has the resolver.
  void CheckCoLocation(TableDeclaration& table) {
    if (table.co_located_with.empty()) return;
    std::set<std::string> seen{table.name};
    const TableDeclaration* at = &table;
    while (!at->co_located_with.empty()) {
      const auto next = tables_.find(at->co_located_with);
      if (next == tables_.end()) return;
      if (!seen.insert(next->first).second) {
        Add({"tables", table.name, "co_located_with"}, "leads around in a circle; one table must name a resolver");
        return;
      }
      at = next->second;
    }
    const TableDeclaration& target = *tables_.at(table.co_located_with);
    if (target.kind != TableKind::kSharded) {
      Add({"tables", table.name, "co_located_with"}, absl::StrCat("table \"", target.name, "\" is not sharded"));
      return;
    }
    table.resolver = at->resolver;
    CheckKeyCount(table, target, "is co-located with");
  }

  void CheckKeyCount(const TableDeclaration& table, const TableDeclaration& other, const std::string& relation) {
    if (table.shard_key.empty() || other.shard_key.empty() || table.shard_key.size() == other.shard_key.size()) return;
    Add({"tables", table.name, "key"},
        absl::StrCat("has ", table.shard_key.size(), table.shard_key.size() == 1 ? " column" : " columns", ", but the table ",
                     relation, " table \"", other.name, "\", whose key has ", other.shard_key.size()));
  }

  void CheckSharedResolvers() {
    std::map<std::string, const TableDeclaration*> first;
    for (const TableDeclaration& table : config_.tables) {
      if (table.resolver.empty() || !table.co_located_with.empty()) continue;
      const auto [found, added] = first.emplace(table.resolver, &table);
      if (!added) CheckKeyCount(table, *found->second, "shares its resolver with");
    }
  }

  const ConfigNode& root_;
  Config& config_;
  ConfigReport& report_;
  std::vector<std::string> shard_names_;
  std::vector<std::string> resolver_names_;
  std::vector<std::string> table_names_;
  std::map<std::string, TableDeclaration*> tables_;
};

}  // namespace

void CheckWhole(const ConfigNode& root, Config& config, ConfigReport& report) { WholeCheck(root, config, report).Run(); }

}  // namespace quarry
