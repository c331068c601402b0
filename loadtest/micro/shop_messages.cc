#include "loadtest/micro/shop_messages.h"

#include "loadtest/micro/shop.h"
#include "server/translate/value.h"

namespace quarry {
namespace {

void FillRecordOf(const Record& record, v1::Record* wire) {
  for (const auto& [name, value] : record) FillValue(value, &(*wire->mutable_columns())[name]);
}

void FillKeyOf(const KeyInput& key, v1::Key* wire) {
  for (const Value& value : key.by_position) FillValue(value, wire->add_values());
}

}  // namespace

std::vector<v1::GetRequest> GetRequests() {
  std::vector<v1::GetRequest> requests;
  for (const ReadOperation& get : Gets()) {
    v1::GetRequest& request = requests.emplace_back();
    request.set_table(get.table);
    FillKeyOf(get.keys.front(), request.mutable_key());
  }
  return requests;
}

std::vector<v1::BatchGetRequest> BatchGetRequests(size_t keys) {
  std::vector<v1::BatchGetRequest> requests;
  for (const ReadOperation& get : BatchGets(keys)) {
    v1::BatchGetRequest& request = requests.emplace_back();
    request.set_table(get.table);
    for (const KeyInput& key : get.keys) FillKeyOf(key, request.add_keys());
  }
  return requests;
}

std::vector<v1::InsertRequest> InsertRequests() {
  std::vector<v1::InsertRequest> requests;
  for (const WriteOperation& insert : Inserts()) {
    v1::InsertRequest& request = requests.emplace_back();
    request.set_table(insert.mutations.front().table);
    FillRecordOf(insert.mutations.front().record, request.mutable_record());
  }
  return requests;
}

std::vector<v1::UpdateRequest> UpdateRequests() {
  std::vector<v1::UpdateRequest> requests;
  for (const WriteOperation& update : Updates()) {
    v1::UpdateRequest& request = requests.emplace_back();
    request.set_table(update.mutations.front().table);
    FillKeyOf(update.mutations.front().key, request.mutable_key());
    FillRecordOf(update.mutations.front().record, request.mutable_record());
  }
  return requests;
}

}  // namespace quarry
