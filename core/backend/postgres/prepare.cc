// A connection's prepared statements: made at first use, kept up to a bound, the longest unused let go first.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/backend/postgres/connection.h"
#include "core/backend/postgres/errors.h"

namespace quarry::postgres {
namespace {
constexpr size_t kPreparedMax = 512;
}  // namespace

PreparedPtr Connection::FindPrepared(const std::string& sql) {
  const auto found = cache_.find(sql);
  if (found == cache_.end()) return nullptr;
  ++hits_;
  uses_.splice(uses_.begin(), uses_, found->second.use);
  return found->second.prepared;
}

void Connection::Forget(const std::string& sql) {
  const auto found = cache_.find(sql);
  if (found == cache_.end()) return;
  const auto release = std::make_shared<Batch>();
  release->commands.push_back(Plain(absl::StrCat("DEALLOCATE ", found->second.prepared->name)));
  uses_.erase(found->second.use);
  cache_.erase(found);
  Send(release);
}

void Connection::ForgetAll() {
  cache_.clear();
  uses_.clear();
}

Connection::Preparing Connection::SendPrepare(const std::string& sql) {
  ++misses_;
  Preparing preparing;
  preparing.sql = sql;
  preparing.name = absl::StrCat("q", next_name_++);
  preparing.description = std::make_shared<Description>();
  preparing.batch = std::make_shared<Batch>();
  preparing.batch->commands.resize(2);
  if (usable_ && (PQsendPrepare(connection_, preparing.name.c_str(), sql.c_str(), 0, nullptr) != 1 ||
                  PQsendDescribePrepared(connection_, preparing.name.c_str()) != 1)) {
    Break(CauseOf(connection_));
  }
  InFlight flight;
  flight.batch = preparing.batch;
  flight.describing = preparing.description;
  Sync(std::move(flight));
  return preparing;
}

Async<std::vector<absl::Status>> Connection::Prepare(std::vector<std::string> sql, TypeNames* names,
                                                     absl::Time deadline) {
  std::vector<absl::Status> statuses(sql.size());
  std::vector<Preparing> sent;
  std::vector<size_t> positions;
  for (size_t i = 0; i < sql.size(); ++i) {
    if (FindPrepared(sql[i]) != nullptr) continue;
    const bool twice = std::any_of(sent.begin(), sent.end(), [&](const Preparing& p) { return p.sql == sql[i]; });
    if (twice) continue;
    sent.push_back(SendPrepare(sql[i]));
    positions.push_back(i);
  }
  if (sent.empty()) co_return statuses;
  const bool in_time = co_await WaitIdle(deadline);
  std::vector<Preparing> good;
  for (size_t k = 0; k < sent.size(); ++k) {
    absl::Status& status = statuses[positions[k]];
    const Batch& batch = *sent[k].batch;
    if (batch.lost) {
      status = Unavailable(shard_, batch.lost_cause, absl::Milliseconds(100));
    } else if (!in_time) {
      status = DeadlineEnded(shard_, "query");
    } else {
      status = batch.FirstError();
    }
    if (status.ok()) good.push_back(sent[k]);
  }
  const absl::Status named = co_await NameTypes(good, names, deadline);
  for (size_t k = 0; k < sent.size(); ++k) {
    absl::Status& status = statuses[positions[k]];
    if (status.ok()) status = named;
    if (status.ok()) Remember(sent[k], *names);
  }
  // A text named twice shares the fate of its first.
  for (size_t i = 0; i < sql.size(); ++i) {
    for (size_t k = 0; k < sent.size(); ++k) {
      if (sent[k].sql == sql[i]) statuses[i] = statuses[positions[k]];
    }
  }
  co_return statuses;
}

// Asks the names of the types that are not built in and were not met before.
Async<absl::Status> Connection::NameTypes(std::vector<Preparing> preparing, TypeNames* names, absl::Time deadline) {
  std::vector<Oid> unknown;
  for (const Preparing& one : preparing) {
    for (const Oid oid : one.description->results) {
      if (!HasBinaryForm(oid) && !names->contains(oid)) unknown.push_back(oid);
    }
  }
  if (unknown.empty()) co_return absl::OkStatus();
  const auto batch = std::make_shared<Batch>();
  batch->commands.push_back(Plain(absl::StrCat("SELECT oid::int8, format_type(oid, NULL) FROM pg_catalog.pg_type WHERE oid IN (",
                                               absl::StrJoin(unknown, ","), ")")));
  const bool in_time = co_await Run(batch, deadline);
  if (!in_time) co_return DeadlineEnded(shard_, "query");
  if (batch->lost) co_return Unavailable(shard_, batch->lost_cause, absl::Milliseconds(100));
  const absl::Status status = batch->FirstError();
  if (!status.ok()) co_return status;
  for (const Row& row : batch->results[0].result.batch.rows) {
    (*names)[static_cast<Oid>(row[0].int64_value())] = row[1].text();
  }
  co_return absl::OkStatus();
}

void Connection::Remember(const Preparing& preparing, const TypeNames& names) {
  auto prepared = std::make_shared<Prepared>();
  prepared->name = preparing.name;
  prepared->params = preparing.description->params;
  prepared->results = preparing.description->results;
  std::vector<ColumnHeader> header;
  for (size_t i = 0; i < prepared->results.size(); ++i) {
    const Oid oid = prepared->results[i];
    ColumnType type = TypeOfOid(oid);
    if (!HasBinaryForm(oid)) {
      prepared->binary = false;
      const auto name = names.find(oid);
      if (name != names.end()) type.native_name = name->second;
    }
    header.push_back({preparing.description->names[i], type});
  }
  prepared->header = std::make_shared<const std::vector<ColumnHeader>>(std::move(header));
  uses_.push_front(preparing.sql);
  cache_.emplace(preparing.sql, Cached{std::move(prepared), uses_.begin()});
  if (cache_.size() <= kPreparedMax) return;
  // One that somebody is about to send stays.
  for (auto use = std::prev(uses_.end()); use != uses_.begin(); --use) {
    if (cache_.find(*use)->second.prepared.use_count() > 1) continue;
    Forget(std::string(*use));
    return;
  }
}

}  // namespace quarry::postgres
