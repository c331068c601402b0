// The shop's calls as messages.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "quarry/v1/data.pb.h"

namespace quarry {

// kShopKeys of each, of different keys, as in shop.h.
std::vector<v1::GetRequest> GetRequests();
std::vector<v1::BatchGetRequest> BatchGetRequests(size_t keys);
std::vector<v1::InsertRequest> InsertRequests();
std::vector<v1::UpdateRequest> UpdateRequests();

template <typename Message>
std::vector<std::string> Serialized(const std::vector<Message>& messages) {
  std::vector<std::string> bytes;
  bytes.reserve(messages.size());
  for (const Message& message : messages) bytes.push_back(message.SerializeAsString());
  return bytes;
}

}  // namespace quarry
