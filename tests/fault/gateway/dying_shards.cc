#include "tests/fault/gateway/dying_shards.h"

#include <signal.h>

#include <algorithm>
#include <numeric>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "core/base/status_macros.h"

namespace quarry::gateway_test {
namespace {

// A kilobyte each: what the sockets between database and client hold is a small part of them.
constexpr char kFill[] = R"sql(
CREATE TABLE homes(id BIGINT) PARTITION BY HASH (id);
INSERT INTO customers(id, name, visits, balance)
  SELECT id, rpad(id::text, 1000, '-'), id * 7919 % {marks}, 0 FROM generate_series(1::bigint, {rows}) AS id WHERE {mine};
CREATE INDEX ON customers(visits, id);
ANALYZE customers;
CHECKPOINT;
)sql";

// Backends that run a statement of the gateway; the question itself aside.
constexpr char kWorking[] =
    " FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname <> 'postgres' "
    "AND state <> 'idle'";

}  // namespace

std::string NameOf(Death death) {
  switch (death) {
    case Death::kServer:
      return "ServerKilled";
    case Death::kTerminated:
      return "BackendTerminated";
    case Death::kCrashed:
      return "BackendCrashed";
  }
  return "";
}

absl::StatusOr<std::unique_ptr<DyingShards>> DyingShards::Start() {
  auto shards = std::make_unique<DyingShards>();
  for (int shard = 0; shard < kShards; ++shard) {
    PostgresClusterOptions options;
    options.settings["log_min_messages"] = "panic";
    QUARRY_ASSIGN_OR_RETURN(std::unique_ptr<PostgresCluster> server, PostgresCluster::Create(options));
    shards->servers_.push_back(std::move(server));
  }
  GatewaySettings settings;
  settings.overrides = {"breaker.probe_interval=50ms", "pools.connect_timeout=2s"};
  settings.cluster_of_shard = [&](int shard) { return shards->servers_[static_cast<size_t>(shard)].get(); };
  QUARRY_ASSIGN_OR_RETURN(shards->gateway_, TestGateway::Start({Kind::kPostgres, kShards}, settings));
  for (const auto& server : shards->servers_) {
    QUARRY_ASSIGN_OR_RETURN(
        const std::string database,
        server->QueryOne("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'shard_%'"));
    shards->databases_.push_back(database);
  }
  QUARRY_RETURN_IF_ERROR(shards->RunOnAll(absl::StrReplaceAll(
      kFill, {{"{marks}", absl::StrCat(kMarks)}, {"{rows}", absl::StrCat(kRows)}})));
  shards->shard_of_.assign(kRows + 1, -1);
  for (int shard = 0; shard < kShards; ++shard) {
    const auto at = static_cast<size_t>(shard);
    QUARRY_ASSIGN_OR_RETURN(const std::string ids, shards->servers_[at]->QueryOne(
                                                       shards->databases_[at], "SELECT string_agg(id::text, ',') FROM customers"));
    for (const absl::string_view id : absl::StrSplit(ids, ',')) {
      int64_t number = 0;
      if (absl::SimpleAtoi(id, &number)) shards->shard_of_[static_cast<size_t>(number)] = shard;
    }
  }
  std::vector<int64_t>& order = shards->in_order_;
  order.resize(kRows);
  std::iota(order.begin(), order.end(), 1);
  std::sort(order.begin(), order.end(), [](int64_t a, int64_t b) {
    return std::make_pair(VisitsOf(a), a) < std::make_pair(VisitsOf(b), b);
  });
  return shards;
}

DyingShards::DyingShards()
    : second_([this] {
        while (true) {
          std::packaged_task<void()> next;
          {
            const absl::MutexLock lock(&mutex_);
            const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopped_ || !work_.empty(); };
            mutex_.Await(absl::Condition(&ready));
            if (work_.empty()) return;
            next = std::move(work_.front());
            work_.pop_front();
          }
          next();
        }
      }) {}

DyingShards::~DyingShards() {
  {
    const absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  gateway_.reset();
  servers_.clear();
  second_.join();
}

std::future<void> DyingShards::Later(std::function<void()> work) {
  std::packaged_task<void()> task(std::move(work));
  std::future<void> done = task.get_future();
  const absl::MutexLock lock(&mutex_);
  work_.push_back(std::move(task));
  return done;
}

void DyingShards::Pass(absl::Duration time) {
  const absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopped_), time);
}

int64_t DyingShards::RowsOn(int shard) const { return std::count(shard_of_.begin() + 1, shard_of_.end(), shard); }

absl::Status DyingShards::Run(int shard, const std::string& sql) {
  const auto at = static_cast<size_t>(shard);
  return servers_[at]->Run(databases_[at], sql);
}

int64_t DyingShards::Number(int shard, const std::string& sql) {
  const auto at = static_cast<size_t>(shard);
  const absl::StatusOr<std::string> text = servers_[at]->QueryOne(databases_[at], sql);
  EXPECT_THAT(text, IsOk()) << sql;
  int64_t number = -1;
  EXPECT_TRUE(text.ok() && absl::SimpleAtoi(*text, &number)) << sql;
  return number;
}

absl::Status DyingShards::RunOnAll(const std::string& sql) {
  for (int shard = 0; shard < kShards; ++shard) {
    // The routing hash is PostgreSQL's own, so PostgreSQL says what lives where.
    const std::string mine = absl::StrCat("satisfies_hash_partition('homes'::regclass, ", kShards, ", ", shard, ", id)");
    QUARRY_RETURN_IF_ERROR(Run(shard, absl::StrReplaceAll(sql, {{"{shard}", absl::StrCat(shard)}, {"{mine}", mine}})));
  }
  return absl::OkStatus();
}

void DyingShards::Kill(int shard, Death death) {
  const auto at = static_cast<size_t>(shard);
  if (death == Death::kServer) {
    servers_[at]->Kill(SIGKILL);
    ++deaths_;
    return;
  }
  // The next one that works, if there is one soon.
  const absl::Time last = absl::Now() + absl::Milliseconds(500);
  for (bool hit = false; !hit && absl::Now() < last;) {
    const std::string action = death == Death::kTerminated ? "SELECT pg_terminate_backend(pid)::int" : "SELECT pid";
    const absl::StatusOr<std::string> answer =
        servers_[at]->QueryOne("postgres", absl::StrCat(action, kWorking, death == Death::kCrashed ? " LIMIT 1" : ""));
    int number = 0;
    hit = answer.ok() && absl::SimpleAtoi(*answer, &number) && number > 0;
    if (hit && death == Death::kCrashed) hit = ::kill(number, SIGKILL) == 0;
    if (hit) ++deaths_;
  }
}

absl::Status DyingShards::Revive(int shard) {
  const auto at = static_cast<size_t>(shard);
  PostgresCluster& server = *servers_[at];
  absl::Status started;
  // What the dead server has left, its memory and its port, may stay for a moment. It runs where only a backend has died.
  Eventually([&] {
    started = server.Start();
    return started.ok() || absl::IsFailedPrecondition(started);
  });
  if (!started.ok() && !absl::IsFailedPrecondition(started)) return started;
  absl::Status answered;
  Eventually([&] {
    answered = server.QueryOne(databases_[at], "SELECT 1").status();
    return answered.ok();
  });
  return answered;
}

void DyingShards::ExpectCalm() {
  EXPECT_TRUE(gateway_->SettlesToNoSessions());
  for (int shard = 0; shard < kShards; ++shard) {
    EXPECT_TRUE(Eventually([&] { return Number(shard, absl::StrCat("SELECT count(*)", kWorking)) == 0; }))
        << "a statement goes on, on shard " << shard;
  }
  EXPECT_TRUE(Eventually([&] { return gateway_->Metric("quarry_shard_breaker_open") == 0; }));
  absl::StatusOr<v1::AggregateResponse> counted;
  // Each loop finds out by itself that a server is back: so many answers in a row are hardly all of one loop.
  constexpr int kInARow = 12;
  int in_a_row = 0;
  EXPECT_TRUE(Eventually([&] {
    for (in_a_row = 0; in_a_row < kInARow; ++in_a_row) {
      counted = gateway_->client().Aggregate("customers", {}, {{}});
      if (!counted.ok()) return false;
    }
    return true;
  })) << counted.status();
  EXPECT_TRUE(!counted.ok() || counted->rows(0).values(0).int64_value() == kRows) << counted->ShortDebugString();
}

Killer::Killer(DyingShards& shards, int victim, Death death, absl::Duration after, absl::Duration pause)
    : done_(shards.Later([&shards, victim, death, after, pause] {
        shards.Pass(after);
        shards.Kill(victim, death);
        if (pause == absl::InfiniteDuration()) return;
        shards.Pass(pause);
        EXPECT_THAT(shards.Revive(victim), IsOk());
      })) {}

}  // namespace quarry::gateway_test
