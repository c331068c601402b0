// The request of each operation, made anew for each call from messages that are reused. One thread.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/random.h"
#include "loadtest/quarry_load/key_chooser.h"
#include "loadtest/quarry_load/scenario.h"
#include "quarry/v1/data.pb.h"
#include "quarry/v1/query.pb.h"
#include "quarry/v1/transaction.pb.h"

namespace quarry::load {

// "/quarry.v1.DataService/Get"; of an operation of two calls, that of the first.
const std::string& MethodOf(const Scenario& scenario, Operation operation);
// That of the second.
const std::string& SecondMethodOf(Operation operation);

// Groups of keys that live on the same shard: what a commit changes together, or apart.
using KeysByShard = std::vector<std::vector<int64_t>>;

class RequestBuilder {
 public:
  // For thread `thread` of the scenario's. `random` and `commit_keys` outlive this; each group of
  // `commit_keys` has at least scenario.keys_per_shard() keys.
  RequestBuilder(const Scenario& scenario, int thread, Random& random,
                 const KeysByShard& commit_keys);

  // The next request of the operation. `key` is set to the row it is about, where there is just
  // one; of commit_apart to its group of keys.
  grpc::ByteBuffer Build(Operation operation, int64_t& key);
  // The second call of an operation of two, after the first has set `key` and answered `reply`.
  grpc::ByteBuffer BuildSecond(Operation operation, int64_t key, grpc::ByteBuffer& reply);
  // The insert of this key has ended, well or not.
  void Inserted(int64_t key) { inserted_.Acknowledge(key); }

 private:
  // A record whose values are set in place.
  struct RecordSlots {
    v1::Value* id = nullptr;
    v1::Value* balance = nullptr;
    v1::Value* payload = nullptr;
  };

  RecordSlots AddColumns(v1::Record& record, bool id, bool balance, bool payload) const;
  void PrepareMutations();
  void Fill(const RecordSlots& slots, int64_t id);
  void SetRandomPayload(std::string& payload);
  // A UUID when the scenario asks for one, or else "".
  std::string NextRequestId();
  grpc::ByteBuffer BuildUpdate(int64_t key);
  grpc::ByteBuffer BuildBatchGet();
  grpc::ByteBuffer BuildBatchWrite();
  grpc::ByteBuffer BuildCommit();
  void AddUpdate(v1::CommitRequest& commit, RecordSlots& slots) const;
  size_t OtherGroup(size_t group);
  int64_t KeyOf(size_t group);
  void SetUpdate(v1::CommitRequest& commit, int at, const RecordSlots& slots, int64_t key);
  grpc::ByteBuffer BuildCommitAcross();
  grpc::ByteBuffer BuildCommitOf(size_t group);
  void PrepareQuestions();
  grpc::ByteBuffer BuildQuery();
  grpc::ByteBuffer BuildScan() const;

  const Scenario& scenario_;
  Random& random_;
  const KeysByShard& commit_keys_;
  IdGenerator ids_;
  InsertedKeys inserted_;
  KeySequence deleted_;
  KeySequence written_;  // Of batch_write in sequence: not beyond the keys.
  std::unique_ptr<KeyChooser> keys_;
  std::string text_;  // Payloads are pieces of it.
  std::vector<size_t> picked_;

  v1::GetRequest get_;
  v1::BatchGetRequest batch_get_;
  v1::InsertRequest insert_;
  v1::UpdateRequest update_;
  v1::UpsertRequest upsert_;
  v1::DeleteRequest delete_;
  v1::BatchWriteRequest batch_write_;
  v1::CommitRequest commit_;
  v1::CommitRequest commit_across_;
  v1::CommitRequest commit_apart_;
  v1::QueryRequest query_;
  v1::ListRequest list_;
  v1::AggregateRequest aggregate_;
  v1::BeginRequest begin_snapshot_;
  grpc::ByteBuffer echo_;
  RecordSlots insert_slots_;
  RecordSlots update_slots_;
  RecordSlots upsert_slots_;
  std::vector<RecordSlots> batch_write_slots_;
  std::vector<RecordSlots> commit_slots_;
  std::array<RecordSlots, 2> across_slots_;
  RecordSlots apart_slots_;
};

}  // namespace quarry::load
