#include "loadtest/quarry_load/request_builder.h"

#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "google/protobuf/message_lite.h"
#include "loadtest/quarry_load/reply_reader.h"
#include "quarry/v1/shard.pb.h"

namespace quarry::load {
namespace {

constexpr size_t kTextBytes = 1 << 16;
constexpr int64_t kPageMax = std::numeric_limits<int32_t>::max();
constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();  // Of rows or bytes of a scan.

grpc::ByteBuffer Serialize(const google::protobuf::MessageLite& message) {
  grpc_slice raw = grpc_slice_malloc(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(GRPC_SLICE_START_PTR(raw));
  const grpc::Slice slice(raw, grpc::Slice::STEAL_REF);
  return grpc::ByteBuffer(&slice, 1);
}

// Printable, so that it is text for any database; random, so that nothing can compress it to
// nothing.
std::string RandomText(size_t bytes, Random& random) {
  constexpr std::string_view kLetters =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -";
  static_assert(kLetters.size() == 64);
  std::string text(bytes, ' ');
  for (char& letter : text) letter = kLetters[random.Next() >> 58];
  return text;
}

}  // namespace

const std::string& SecondMethodOf(Operation operation) {
  static const auto& update = *new std::string("/quarry.v1.DataService/Update");
  static const auto& commit = *new std::string("/quarry.v1.TransactionService/Commit");
  static const auto& rollback = *new std::string("/quarry.v1.TransactionService/Rollback");
  if (operation == Operation::kCommitApart) return commit;
  return operation == Operation::kBeginSnapshot ? rollback : update;
}

const std::string& MethodOf(const Scenario& scenario, Operation operation) {
  static const auto& methods =
      *new std::array<std::string, kOperations>{"/quarry.v1.DataService/Get",
                                                "/quarry.v1.DataService/BatchGet",
                                                "/quarry.v1.DataService/Insert",
                                                "/quarry.v1.DataService/Update",
                                                "/quarry.v1.DataService/Upsert",
                                                "/quarry.v1.DataService/Delete",
                                                "/quarry.v1.DataService/Get",
                                                "/quarry.v1.DataService/BatchWrite",
                                                "/quarry.v1.TransactionService/Commit",
                                                "/quarry.v1.ShardService/OnAllShards",
                                                "/quarry.v1.DataService/Query",
                                                "/quarry.v1.DataService/List",
                                                "/quarry.v1.DataService/Aggregate",
                                                "/quarry.v1.TransactionService/Commit",
                                                "/quarry.v1.TransactionService/Commit",
                                                "/quarry.v1.TransactionService/Begin",
                                                "/quarry.bench.Echo/Call"};
  static const auto& one_shard = *new std::string("/quarry.v1.ShardService/OnShard");
  if (operation == Operation::kSqlScan && !scenario.shard.empty()) return one_shard;
  return methods[static_cast<size_t>(operation)];
}

RequestBuilder::RequestBuilder(const Scenario& scenario, int thread, Random& random,
                               const KeysByShard& commit_keys)
    : scenario_(scenario),
      random_(random),
      commit_keys_(commit_keys),
      ids_(static_cast<uint32_t>(thread), random),
      inserted_(KeySequence(scenario.first_insert(), thread, static_cast<int>(scenario.threads))),
      deleted_(scenario.delete_from, thread, static_cast<int>(scenario.threads)),
      written_(1, thread, static_cast<int>(scenario.threads)),
      keys_(MakeKeyChooser(scenario, thread, inserted_)),
      text_(RandomText(kTextBytes + static_cast<size_t>(scenario.value_bytes), random)) {
  const std::string& table = scenario.table.name;
  const bool payload = scenario.update != UpdatedColumns::kBalance;
  const bool balance = scenario.update != UpdatedColumns::kPayload;
  get_.set_table(table);
  get_.mutable_key()->add_values();
  for (const std::string& column : scenario.read_columns) get_.add_columns(column);
  batch_get_.set_table(table);
  *batch_get_.mutable_columns() = get_.columns();
  for (int64_t i = 0; scenario.has(Operation::kBatchGet) && i < scenario.batch; ++i) {
    batch_get_.add_keys()->add_values();
  }
  insert_.set_table(table);
  insert_slots_ = AddColumns(*insert_.mutable_record(), true, true, true);
  update_.set_table(table);
  update_.mutable_key()->add_values();
  update_slots_ = AddColumns(*update_.mutable_record(), false, balance, payload);
  upsert_.set_table(table);
  upsert_slots_ = AddColumns(*upsert_.mutable_record(), true, true, true);
  delete_.set_table(table);
  delete_.mutable_key()->add_values();
  get_.set_transaction_id(scenario.transaction);
  update_.set_transaction_id(scenario.transaction);
  begin_snapshot_.set_read_only(true);
  begin_snapshot_.set_snapshot(true);
  PrepareQuestions();
  PrepareMutations();
  const grpc::Slice slice(RandomText(static_cast<size_t>(scenario.request_bytes), random));
  echo_ = grpc::ByteBuffer(&slice, 1);
}

void RequestBuilder::PrepareQuestions() {
  const std::string& table = scenario_.table.name;
  const std::string& order =
      scenario_.query_order.empty() ? scenario_.table.id : scenario_.query_order;
  query_.set_table(table);
  *query_.mutable_columns() = get_.columns();
  query_.add_order_by()->set_column(order);
  if (scenario_.query_rows > 0 && scenario_.query_order.empty()) {
    query_.set_filter(absl::StrCat("\"", scenario_.table.id, "\" >= @from"));
  }
  list_.set_table(table);
  *list_.mutable_columns() = get_.columns();
  list_.add_order_by()->set_column(order);
  list_.set_page_size(static_cast<int32_t>(std::min<int64_t>(scenario_.query_rows, kPageMax)));
  aggregate_.set_table(table);
  aggregate_.add_aggregates()->set_function(v1::AGGREGATE_FUNCTION_COUNT);
  v1::AggregateTerm& sum = *aggregate_.add_aggregates();
  sum.set_function(v1::AGGREGATE_FUNCTION_SUM);
  sum.set_column(scenario_.table.balance);
  if (!scenario_.shard.empty()) {
    query_.mutable_target()->set_shard(scenario_.shard);
    list_.mutable_target()->set_shard(scenario_.shard);
    aggregate_.mutable_target()->set_shard(scenario_.shard);
  }
  if (scenario_.snapshot) {
    query_.mutable_read_options()->set_snapshot(true);
    list_.mutable_read_options()->set_snapshot(true);
    aggregate_.mutable_read_options()->set_snapshot(true);
  }
}

void RequestBuilder::PrepareMutations() {
  const std::string& table = scenario_.table.name;
  for (int64_t i = 0; scenario_.has(Operation::kBatchWrite) && i < scenario_.batch; ++i) {
    v1::UpsertMutation& upsert = *batch_write_.add_mutations()->mutable_upsert();
    upsert.set_table(table);
    batch_write_slots_.push_back(AddColumns(*upsert.mutable_record(), true, true, true));
  }
  for (int64_t i = 0; scenario_.has(Operation::kCommit) && i < scenario_.commit_mutations; ++i) {
    AddUpdate(commit_, commit_slots_.emplace_back());
  }
  for (RecordSlots& slots : across_slots_) AddUpdate(commit_across_, slots);
  AddUpdate(commit_apart_, apart_slots_);
}

void RequestBuilder::AddUpdate(v1::CommitRequest& commit, RecordSlots& slots) const {
  v1::UpdateMutation& update = *commit.add_mutations()->mutable_update();
  update.set_table(scenario_.table.name);
  update.mutable_key()->add_values();
  slots = AddColumns(*update.mutable_record(), false, update_slots_.balance != nullptr,
                     update_slots_.payload != nullptr);
}

size_t RequestBuilder::OtherGroup(size_t group) {
  const int64_t groups = static_cast<int64_t>(commit_keys_.size());
  return (group + 1 + static_cast<size_t>(Below(groups - 1, random_))) % commit_keys_.size();
}

int64_t RequestBuilder::KeyOf(size_t group) {
  const std::vector<int64_t>& keys = commit_keys_[group];
  return keys[static_cast<size_t>(Below(static_cast<int64_t>(keys.size()), random_))];
}

void RequestBuilder::SetUpdate(v1::CommitRequest& commit, int at, const RecordSlots& slots,
                               int64_t key) {
  v1::UpdateMutation& update = *commit.mutable_mutations(at)->mutable_update();
  update.mutable_key()->mutable_values(0)->set_int64_value(key);
  Fill(slots, key);
}

grpc::ByteBuffer RequestBuilder::BuildCommitAcross() {
  const int64_t groups = static_cast<int64_t>(commit_keys_.size());
  const size_t first = static_cast<size_t>(Below(groups, random_));
  SetUpdate(commit_across_, 0, across_slots_[0], KeyOf(first));
  SetUpdate(commit_across_, 1, across_slots_[1], KeyOf(OtherGroup(first)));
  commit_across_.set_request_id(NextRequestId());
  return Serialize(commit_across_);
}

grpc::ByteBuffer RequestBuilder::BuildCommitOf(size_t group) {
  SetUpdate(commit_apart_, 0, apart_slots_, KeyOf(group));
  commit_apart_.set_request_id(NextRequestId());
  return Serialize(commit_apart_);
}

// Values of protobuf's maps stay where they are while others are added.
RequestBuilder::RecordSlots RequestBuilder::AddColumns(v1::Record& record, bool id, bool balance,
                                                       bool payload) const {
  auto& columns = *record.mutable_columns();
  RecordSlots slots;
  if (id) slots.id = &columns[scenario_.table.id];
  if (balance) slots.balance = &columns[scenario_.table.balance];
  if (payload) slots.payload = &columns[scenario_.table.payload];
  return slots;
}

void RequestBuilder::SetRandomPayload(std::string& payload) {
  const size_t start = static_cast<size_t>(Below(kTextBytes, random_));
  payload.assign(text_, start, static_cast<size_t>(scenario_.value_bytes));
}

void RequestBuilder::Fill(const RecordSlots& slots, int64_t id) {
  if (slots.id != nullptr) slots.id->set_int64_value(id);
  if (slots.balance != nullptr) slots.balance->set_int64_value(Below(1'000'000, random_));
  if (slots.payload != nullptr) SetRandomPayload(*slots.payload->mutable_text_value());
}

std::string RequestBuilder::NextRequestId() {
  return scenario_.request_ids ? ids_.UuidV7(absl::Now()) : std::string();
}

grpc::ByteBuffer RequestBuilder::Build(Operation operation, int64_t& key) {
  switch (operation) {
    case Operation::kGet:
    case Operation::kReadModifyWrite:
      key = keys_->Next(random_);
      get_.mutable_key()->mutable_values(0)->set_int64_value(key);
      return Serialize(get_);
    case Operation::kBatchGet:
      return BuildBatchGet();
    case Operation::kInsert:
      key = inserted_.Next();
      Fill(insert_slots_, key);
      insert_.set_request_id(NextRequestId());
      return Serialize(insert_);
    case Operation::kUpdate:
      key = keys_->Next(random_);
      return BuildUpdate(key);
    case Operation::kUpsert:
      key = keys_->Next(random_);
      Fill(upsert_slots_, key);
      upsert_.set_request_id(NextRequestId());
      return Serialize(upsert_);
    case Operation::kDelete:
      key = deleted_.Next();
      delete_.mutable_key()->mutable_values(0)->set_int64_value(key);
      delete_.set_request_id(NextRequestId());
      return Serialize(delete_);
    case Operation::kBatchWrite:
      return BuildBatchWrite();
    case Operation::kCommit:
      return BuildCommit();
    case Operation::kSqlScan:
      return BuildScan();
    case Operation::kQuery:
      return BuildQuery();
    case Operation::kList:
      return Serialize(list_);
    case Operation::kAggregate:
      return Serialize(aggregate_);
    case Operation::kCommitAcross:
      return BuildCommitAcross();
    case Operation::kCommitApart:
      key = Below(static_cast<int64_t>(commit_keys_.size()), random_);
      return BuildCommitOf(static_cast<size_t>(key));
    case Operation::kBeginSnapshot:
      return Serialize(begin_snapshot_);
    case Operation::kEcho:
      break;
  }
  return echo_;
}

grpc::ByteBuffer RequestBuilder::BuildSecond(Operation operation, int64_t key,
                                             grpc::ByteBuffer& reply) {
  if (operation == Operation::kReadModifyWrite) return BuildUpdate(key);
  if (operation == Operation::kCommitApart) {
    return BuildCommitOf(OtherGroup(static_cast<size_t>(key)));
  }
  v1::RollbackRequest rollback;
  rollback.set_transaction_id(TransactionOf(reply));
  return Serialize(rollback);
}

grpc::ByteBuffer RequestBuilder::BuildUpdate(int64_t key) {
  update_.mutable_key()->mutable_values(0)->set_int64_value(key);
  Fill(update_slots_, key);
  update_.set_request_id(NextRequestId());
  return Serialize(update_);
}

grpc::ByteBuffer RequestBuilder::BuildBatchGet() {
  for (v1::Key& key : *batch_get_.mutable_keys()) {
    key.mutable_values(0)->set_int64_value(keys_->Next(random_));
  }
  return Serialize(batch_get_);
}

grpc::ByteBuffer RequestBuilder::BuildBatchWrite() {
  int64_t rows = scenario_.batch;
  if (scenario_.distribution == Distribution::kSequential) {
    // The last batch is shorter, so that a table is filled with exactly its keys; then it starts
    // over.
    if (written_.LeftUpTo(scenario_.keys) == 0) written_.Restart();
    rows = std::min(rows, written_.LeftUpTo(scenario_.keys));
  }
  for (int64_t i = 0; i < rows; ++i) {
    const bool in_order = scenario_.distribution == Distribution::kSequential;
    Fill(batch_write_slots_[static_cast<size_t>(i)],
         in_order ? written_.Next() : keys_->Next(random_));
  }
  batch_write_.set_request_id(NextRequestId());
  if (rows == scenario_.batch) return Serialize(batch_write_);
  v1::BatchWriteRequest shorter = batch_write_;
  shorter.mutable_mutations()->DeleteSubrange(static_cast<int>(rows),
                                              static_cast<int>(scenario_.batch - rows));
  return Serialize(shorter);
}

grpc::ByteBuffer RequestBuilder::BuildCommit() {
  const size_t group =
      static_cast<size_t>(Below(static_cast<int64_t>(commit_keys_.size()), random_));
  const std::vector<int64_t>& keys = commit_keys_[group];
  picked_.clear();
  for (size_t i = 0; i < commit_slots_.size(); ++i) {
    size_t pick = 0;
    do {
      pick = static_cast<size_t>(Below(static_cast<int64_t>(keys.size()), random_));
    } while (std::find(picked_.begin(), picked_.end(), pick) != picked_.end());
    picked_.push_back(pick);
    SetUpdate(commit_, static_cast<int>(i), commit_slots_[i], keys[pick]);
  }
  commit_.set_request_id(NextRequestId());
  return Serialize(commit_);
}

// As YCSB's scan: from a key on, a number of rows that is uniform up to the most.
grpc::ByteBuffer RequestBuilder::BuildQuery() {
  if (!query_.filter().empty()) {
    (*query_.mutable_params())["from"].set_int64_value(keys_->Next(random_));
    query_.set_limit(1 + Below(scenario_.query_rows, random_));
  } else {
    query_.set_limit(scenario_.query_rows);
  }
  return Serialize(query_);
}

grpc::ByteBuffer RequestBuilder::BuildScan() const {
  const TableLayout& table = scenario_.table;
  const std::string sql = !scenario_.sql.empty()
                              ? scenario_.sql
                              : absl::StrCat("SELECT ", table.id, ", ", table.balance, ", ",
                                             table.payload, " FROM ", table.name);
  if (scenario_.shard.empty()) {
    v1::OnAllShardsRequest request;
    request.set_sql(sql);
    request.set_max_rows(kNoLimit);
    request.set_max_bytes(kNoLimit);
    return Serialize(request);
  }
  v1::OnShardRequest request;
  request.set_sql(sql);
  request.set_max_rows(kNoLimit);
  request.set_max_bytes(kNoLimit);
  request.mutable_target()->set_shard(scenario_.shard);
  return Serialize(request);
}

}  // namespace quarry::load
