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
#include "quarry/v1/shard.pb.h"

namespace quarry::load {
namespace {

constexpr size_t kTextBytes = 1 << 16;
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

const std::string& UpdateMethod() {
  static const auto& method = *new std::string("/quarry.v1.DataService/Update");
  return method;
}

const std::string& MethodOf(const Scenario& scenario, Operation operation) {
  static const auto& methods =
      *new std::array<std::string, kOperations>{"/quarry.v1.DataService/Get",
                                                "/quarry.v1.DataService/BatchGet",
                                                "/quarry.v1.DataService/Insert",
                                                UpdateMethod(),
                                                "/quarry.v1.DataService/Upsert",
                                                "/quarry.v1.DataService/Delete",
                                                "/quarry.v1.DataService/Get",
                                                "/quarry.v1.DataService/BatchWrite",
                                                "/quarry.v1.TransactionService/Commit",
                                                "/quarry.v1.ShardService/OnAllShards",
                                                "/quarry.v1.DataService/Query",
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
  query_.set_table(table);
  *query_.mutable_columns() = get_.columns();
  query_.add_order_by()->set_column(scenario.query_order.empty() ? scenario.table.id
                                                                 : scenario.query_order);
  if (!scenario.shard.empty()) query_.mutable_target()->set_shard(scenario.shard);
  if (scenario.query_rows > 0 && scenario.query_order.empty()) {
    query_.set_filter(absl::StrCat("\"", scenario.table.id, "\" >= @from"));
  }
  PrepareMutations();
  const grpc::Slice slice(RandomText(static_cast<size_t>(scenario.request_bytes), random));
  echo_ = grpc::ByteBuffer(&slice, 1);
}

void RequestBuilder::PrepareMutations() {
  const std::string& table = scenario_.table.name;
  for (int64_t i = 0; scenario_.has(Operation::kBatchWrite) && i < scenario_.batch; ++i) {
    v1::UpsertMutation& upsert = *batch_write_.add_mutations()->mutable_upsert();
    upsert.set_table(table);
    batch_write_slots_.push_back(AddColumns(*upsert.mutable_record(), true, true, true));
  }
  for (int64_t i = 0; scenario_.has(Operation::kCommit) && i < scenario_.commit_mutations; ++i) {
    v1::UpdateMutation& update = *commit_.add_mutations()->mutable_update();
    update.set_table(table);
    update.mutable_key()->add_values();
    commit_slots_.push_back(AddColumns(*update.mutable_record(), false,
                                       update_slots_.balance != nullptr,
                                       update_slots_.payload != nullptr));
  }
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
    case Operation::kEcho:
      break;
  }
  return echo_;
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
    v1::UpdateMutation& update = *commit_.mutable_mutations(static_cast<int>(i))->mutable_update();
    update.mutable_key()->mutable_values(0)->set_int64_value(keys[pick]);
    Fill(commit_slots_[i], keys[pick]);
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
