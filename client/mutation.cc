#include "client/mutation.h"

namespace quarry::client {
namespace {

template <typename Proto>
void SetCommon(std::string table, const MutationOptions& options, Proto& proto) {
  proto.set_table(std::move(table));
  for (const std::string& column : options.returning) proto.add_returning(column);
  if (options.exists.has_value()) proto.mutable_precondition()->set_exists(*options.exists);
  if (!options.etag.empty()) proto.mutable_precondition()->set_etag(options.etag);
  if (!options.filter.empty()) proto.mutable_precondition()->set_filter(options.filter);
  for (const auto& [name, value] : options.params)
    (*proto.mutable_precondition()->mutable_params())[name] = value.proto();
}

}  // namespace

Mutation Mutation::Insert(std::string table, const Record& record, const MutationOptions& options) {
  v1::Mutation proto;
  SetCommon(std::move(table), options, *proto.mutable_insert());
  *proto.mutable_insert()->mutable_record() = record.proto();
  for (const auto& [column, generator] : options.generate) {
    auto* generated = proto.mutable_insert()->add_generate();
    generated->set_column(column);
    generated->set_generator(generator);
  }
  return Mutation(std::move(proto));
}

Mutation Mutation::Update(std::string table, const Key& key, const Record& record,
                          const MutationOptions& options) {
  v1::Mutation proto;
  SetCommon(std::move(table), options, *proto.mutable_update());
  *proto.mutable_update()->mutable_record() = record.proto();
  *proto.mutable_update()->mutable_key() = key.proto();
  return Mutation(std::move(proto));
}

Mutation Mutation::Upsert(std::string table, const Record& record, const MutationOptions& options) {
  v1::Mutation proto;
  SetCommon(std::move(table), options, *proto.mutable_upsert());
  *proto.mutable_upsert()->mutable_record() = record.proto();
  return Mutation(std::move(proto));
}

Mutation Mutation::Delete(std::string table, const Key& key, const MutationOptions& options) {
  v1::Mutation proto;
  SetCommon(std::move(table), options, *proto.mutable_delete_());
  *proto.mutable_delete_()->mutable_key() = key.proto();
  return Mutation(std::move(proto));
}

}  // namespace quarry::client
