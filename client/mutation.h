// One change of one row, for BatchWrite and CommitMutations, and what a change returns.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/values.h"
#include "quarry/v1/common.pb.h"
#include "quarry/v1/mutation.pb.h"

namespace quarry::client {

struct MutationOptions {
  // Columns to return; {"*"} means all. Empty returns neither a record nor an etag.
  std::vector<std::string> returning = {};
  // What must hold: the row exists (true) or does not (false).
  std::optional<bool> exists = {};
  // The row must still have this etag.
  std::string etag = {};
  // The row must match this text of a filter, such as "version = @read", with its parameters by name.
  std::string filter = {};
  std::vector<std::pair<std::string, Value>> params = {};
  // Columns of an insert that the gateway fills in.
  std::vector<std::pair<std::string, v1::ColumnGenerator>> generate = {};
};

// Value type. INVALID_ARGUMENT from the gateway tells options that a kind of change does not take.
class Mutation {
 public:
  static Mutation Insert(std::string table, const Record& record,
                         const MutationOptions& options = {});
  static Mutation Update(std::string table, const Key& key, const Record& record,
                         const MutationOptions& options = {});
  static Mutation Upsert(std::string table, const Record& record,
                         const MutationOptions& options = {});
  static Mutation Delete(std::string table, const Key& key, const MutationOptions& options = {});
  explicit Mutation(v1::Mutation proto) : proto_(std::move(proto)) {}

  const v1::Mutation& proto() const { return proto_; }

 private:
  v1::Mutation proto_;
};

// What a change that was applied returns.
struct WriteResult {
  Record key;     // Primary key by column name.
  Record record;  // The columns that `returning` asked for.
  std::string etag = {};
  v1::ServedBy served_by;
  bool replayed = false;  // The stored result of an earlier call with the same request_id.
  // Names a commit that is certain, though not visible on every shard yet. Only a write alone has it.
  std::string unfinished_transaction_id = {};
};

}  // namespace quarry::client
