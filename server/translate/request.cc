#include "server/translate/request.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "server/translate/request_parts.h"
#include "server/translate/value.h"
#include "server/translate/violations.h"
#include "xxhash.h"

namespace quarry {
namespace {

GeneratedColumn ToGenerated(const v1::GeneratedColumn& wire, const FieldPath& path, Violations& violations) {
  GeneratedColumn generated;
  generated.column = wire.column();
  switch (wire.generator()) {
    case v1::COLUMN_GENERATOR_UUID_V7:
      generated.kind = GeneratedKind::kUuidV7;
      break;
    case v1::COLUMN_GENERATOR_INT64_TIME_ORDERED:
      generated.kind = GeneratedKind::kInt64TimeOrdered;
      break;
    default:
      violations.Add(FieldPath(path, "generator"), "is not a known way to make a value");
  }
  return generated;
}

Precondition ToPrecondition(const v1::Precondition& wire, const FieldPath& path, Violations& violations) {
  Precondition precondition;
  if (wire.has_exists()) precondition.exists = wire.exists();
  precondition.etag = wire.etag();
  const FieldPath params_path(path, "params");
  const Params params = ToParams(wire.params(), params_path, violations);
  if (wire.filter().empty()) {
    RefuseUnused(params, params_path, violations);
  } else {
    precondition.filter = ToCondition(wire.filter(), params, FieldPath(path, "filter"), violations);
  }
  return precondition;
}

// The fields of a mutation are those of the request for it alone.
template <typename Wire>
Mutation ToMutation(MutationKind kind, const Wire& wire, const FieldPath& path, Violations& violations) {
  Mutation mutation;
  mutation.kind = kind;
  mutation.table = wire.table();
  mutation.returning = ToNames(wire.returning());
  if (wire.has_precondition()) {
    mutation.precondition = ToPrecondition(wire.precondition(), FieldPath(path, "precondition"), violations);
  }
  if constexpr (requires { wire.record(); }) {
    mutation.record = ToRecord(wire.record().columns(), FieldPath(path, "record"), violations);
  }
  if constexpr (requires { wire.key(); }) {
    mutation.key = ToKeyInput(wire.key(), FieldPath(path, "key"), violations);
  }
  if constexpr (requires { wire.generate(); }) {
    const FieldPath generate_path(path, "generate");
    for (int i = 0; i < wire.generate_size(); ++i) {
      const FieldPath at(generate_path, static_cast<size_t>(i));
      mutation.generate.push_back(ToGenerated(wire.generate(i), at, violations));
    }
  }
  return mutation;
}

Mutation ToMutation(const v1::Mutation& wire, const FieldPath& path, Violations& violations) {
  switch (wire.operation_case()) {
    case v1::Mutation::kInsert:
      return ToMutation(MutationKind::kInsert, wire.insert(), path, violations);
    case v1::Mutation::kUpdate:
      return ToMutation(MutationKind::kUpdate, wire.update(), path, violations);
    case v1::Mutation::kUpsert:
      return ToMutation(MutationKind::kUpsert, wire.upsert(), path, violations);
    case v1::Mutation::kDelete:
      return ToMutation(MutationKind::kDelete, wire.delete_(), path, violations);
    case v1::Mutation::OPERATION_NOT_SET:
      break;
  }
  violations.Add(path, "has no operation set; set insert, update, upsert or delete");
  return {};
}

template <typename Request>
absl::StatusOr<WriteOperation> ToSingleWrite(MutationKind kind, const Request& request) {
  Violations violations;
  WriteOperation op;
  op.mutations.push_back(ToMutation(kind, request, "", violations));
  op.request_id = ToRequestId(request.request_id(), violations);
  if (request.has_fence()) op.fence = ToFence(request.fence(), violations);
  if (!violations.empty()) return violations.ToStatus();
  if (!op.request_id.empty()) op.request_hash = RequestHash(request);
  return op;
}

template <typename Request>
WriteOperation ToManyWrites(const Request& request, Atomicity atomicity, Violations& violations) {
  WriteOperation op;
  op.atomicity = atomicity;
  op.indexed_paths = true;
  op.mutations.reserve(static_cast<size_t>(request.mutations_size()));
  const FieldPath path("mutations");
  for (int i = 0; i < request.mutations_size(); ++i) {
    op.mutations.push_back(ToMutation(request.mutations(i), FieldPath(path, static_cast<size_t>(i)), violations));
  }
  op.request_id = ToRequestId(request.request_id(), violations);
  if (request.has_fence()) op.fence = ToFence(request.fence(), violations);
  if (violations.empty() && !op.request_id.empty()) op.request_hash = RequestHash(request);
  return op;
}

template <typename Request>
RawSqlOperation ToRawSql(const Request& request, Violations& violations) {
  RawSqlOperation op;
  op.sql = request.sql();
  if (op.sql.empty()) violations.Add("sql", "is empty");
  if (op.sql.find('\0') != std::string::npos) violations.Add("sql", "holds U+0000");
  const FieldPath path("params");
  for (int i = 0; i < request.params_size(); ++i) {
    op.params.push_back(ToValue(request.params(i), FieldPath(path, static_cast<size_t>(i)), violations));
  }
  op.allow_writes = request.allow_writes();
  if (request.max_rows() < 0) violations.Add("max_rows", "is negative; 0 means the configured limit");
  if (request.max_bytes() < 0) violations.Add("max_bytes", "is negative; 0 means the configured limit");
  op.request_id = ToRequestId(request.request_id(), violations);
  if (!op.request_id.empty() && !op.allow_writes) {
    violations.Add("request_id", "belongs to writes; set allow_writes, or leave it out");
  }
  if (violations.empty() && !op.request_id.empty()) op.request_hash = RequestHash(request);
  return op;
}

absl::StatusOr<KeyInput> ToOnlyKey(const v1::Key& wire) {
  Violations violations;
  KeyInput key = ToKeyInput(wire, "key", violations);
  if (!violations.empty()) return violations.ToStatus();
  return key;
}

// Takes a field that is not repeated out of a serialized message, which begins at `body`.
void EraseField(int number, size_t body, std::string& bytes) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream input(reinterpret_cast<const uint8_t*>(bytes.data() + body),
                                               static_cast<int>(bytes.size() - body));
  while (true) {
    const int begin = input.CurrentPosition();
    const uint32_t tag = input.ReadTag();
    if (tag == 0 || !WireFormatLite::SkipField(&input, tag)) return;
    if (WireFormatLite::GetTagFieldNumber(tag) != number) continue;
    bytes.erase(body + static_cast<size_t>(begin), static_cast<size_t>(input.CurrentPosition() - begin));
    return;
  }
}

}  // namespace

namespace {

RowLock ToRowLock(v1::RowLock lock, const std::string& transaction_id, Violations& violations) {
  if (lock != v1::ROW_LOCK_UNSPECIFIED && transaction_id.empty()) {
    violations.Add("lock", "holds rows for a transaction; give transaction_id too");
  }
  switch (lock) {
    case v1::ROW_LOCK_UNSPECIFIED:
      return RowLock::kNone;
    case v1::ROW_LOCK_SHARE:
      return RowLock::kShare;
    case v1::ROW_LOCK_UPDATE:
      return RowLock::kUpdate;
    default:
      violations.Add("lock", "is not a known row lock");
      return RowLock::kNone;
  }
}

}  // namespace

absl::StatusOr<ReadOperation> ToOperation(const v1::GetRequest& request) {
  Violations violations;
  ReadOperation op;
  op.table = request.table();
  op.keys.push_back(ToKeyInput(request.key(), "key", violations));
  op.columns = ToNames(request.columns());
  if (request.has_target()) op.target = ToTarget(request.target(), {.one = true, .many = false}, violations);
  CheckReadOptions(request.read_options(), !request.transaction_id().empty(), violations);
  op.snapshot = ToSnapshot(request.read_options(), false, violations);
  op.lock = ToRowLock(request.lock(), request.transaction_id(), violations);
  op.freshness = ToFreshness(request, request.read_options());
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

absl::StatusOr<ReadOperation> ToOperation(const v1::BatchGetRequest& request) {
  Violations violations;
  ReadOperation op;
  op.table = request.table();
  if (request.keys().empty()) violations.Add("keys", "holds no key; name at least one row");
  const FieldPath path("keys");
  op.keys.reserve(static_cast<size_t>(request.keys_size()));
  for (int i = 0; i < request.keys_size(); ++i) {
    op.keys.push_back(ToKeyInput(request.keys(i), FieldPath(path, static_cast<size_t>(i)), violations));
  }
  op.columns = ToNames(request.columns());
  op.allow_partial = request.allow_partial();
  if (request.has_target()) op.target = ToTarget(request.target(), {.one = true, .many = false}, violations);
  CheckReadOptions(request.read_options(), !request.transaction_id().empty(), violations);
  op.snapshot = ToSnapshot(request.read_options(), request.allow_partial(), violations);
  op.lock = ToRowLock(request.lock(), request.transaction_id(), violations);
  op.freshness = ToFreshness(request, request.read_options());
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

absl::StatusOr<WriteOperation> ToOperation(const v1::InsertRequest& request) {
  return ToSingleWrite(MutationKind::kInsert, request);
}
absl::StatusOr<WriteOperation> ToOperation(const v1::UpdateRequest& request) {
  return ToSingleWrite(MutationKind::kUpdate, request);
}
absl::StatusOr<WriteOperation> ToOperation(const v1::UpsertRequest& request) {
  return ToSingleWrite(MutationKind::kUpsert, request);
}
absl::StatusOr<WriteOperation> ToOperation(const v1::DeleteRequest& request) {
  return ToSingleWrite(MutationKind::kDelete, request);
}

absl::StatusOr<WriteOperation> ToOperation(const v1::BatchWriteRequest& request) {
  Violations violations;
  WriteOperation op = ToManyWrites(request, Atomicity::kEach, violations);
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

absl::StatusOr<WriteOperation> ToOperation(const v1::CommitRequest& request) {
  Violations violations;
  if (request.transaction_id().empty() == request.mutations().empty()) {
    violations.Add("transaction_id", "and mutations exclude each other: give a transaction to commit, or mutations");
  }
  WriteOperation op = ToManyWrites(request, Atomicity::kAll, violations);
  op.single_shard = request.single_shard();
  if (request.has_fence() && !request.transaction_id().empty()) {
    violations.Add("fence", "belongs to the writes of an interactive transaction, not to its commit");
  }
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

absl::StatusOr<RawSqlOperation> ToOperation(const v1::OnShardRequest& request) {
  Violations violations;
  RawSqlOperation op = ToRawSql(request, violations);
  if (request.has_target()) {
    op.target = ToTarget(request.target(), {.one = true, .many = false}, violations);
  } else if (request.transaction_id().empty()) {
    violations.Add("target", "is missing; name the shard, or a key that lives on it");
  }
  if (!violations.empty()) return violations.ToStatus();
  return op;
}

absl::StatusOr<RawSqlOperation> ToOperation(const v1::OnAllShardsRequest& request) {
  Violations violations;
  RawSqlOperation op = ToRawSql(request, violations);
  if (request.has_target()) {
    op.target = ToTarget(request.target(), {.one = false, .many = true}, violations);
  } else {
    op.target.all_shards = true;
  }
  if (request.max_parallel() < 0) violations.Add("max_parallel", "is negative; 0 means the configured width");
  if (!v1::FailureMode_IsValid(request.mode())) violations.Add("mode", "is not a known failure mode");
  if (!violations.empty()) return violations.ToStatus();
  op.width = static_cast<size_t>(request.max_parallel());
  return op;
}

absl::StatusOr<BeginOptions> ToBeginOptions(const v1::BeginRequest& request) {
  Violations violations;
  BeginOptions options;
  options.read_only = request.read_only();
  options.single_shard = request.single_shard();
  options.snapshot = request.snapshot();
  if (options.snapshot && !options.read_only) {
    violations.Add("snapshot", "is for transactions that only read; set read_only too");
  }
  switch (request.isolation()) {
    case v1::ISOLATION_LEVEL_UNSPECIFIED:
      break;
    case v1::ISOLATION_LEVEL_READ_COMMITTED:
      options.isolation = Isolation::kReadCommitted;
      break;
    case v1::ISOLATION_LEVEL_REPEATABLE_READ:
      options.isolation = Isolation::kRepeatableRead;
      break;
    case v1::ISOLATION_LEVEL_SERIALIZABLE:
      options.isolation = Isolation::kSerializable;
      break;
    default:
      violations.Add("isolation", "is not a known isolation level");
  }
  if (request.has_idle_timeout()) {
    options.idle_timeout =
        absl::Seconds(request.idle_timeout().seconds()) + absl::Nanoseconds(request.idle_timeout().nanos());
    if (options.idle_timeout <= absl::ZeroDuration()) violations.Add("idle_timeout", "must be positive");
  }
  if (!violations.empty()) return violations.ToStatus();
  return options;
}

absl::StatusOr<KeyInput> ToKey(const v1::ResolveKeyRequest& request) { return ToOnlyKey(request.key()); }

absl::StatusOr<KeyInput> ToKey(const v1::MapKeyRequest& request) { return ToOnlyKey(request.key()); }

uint64_t RequestHash(const google::protobuf::Message& request) {
  const google::protobuf::Descriptor& type = *request.GetDescriptor();
  std::string bytes;
  bytes.reserve(type.full_name().size() + 1 + request.ByteSizeLong());
  bytes = type.full_name();
  bytes.push_back('\0');
  const size_t body = bytes.size();
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    request.SerializeToCodedStream(&coded);
  }
  for (const char* name : {"request_id", "fence"}) {
    const google::protobuf::FieldDescriptor* field = type.FindFieldByName(name);
    if (field != nullptr) EraseField(field->number(), body, bytes);
  }
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace quarry
