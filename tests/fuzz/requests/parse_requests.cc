#include "tests/fuzz/requests/parse_requests.h"

#include <array>
#include <cstdlib>

#include "core/base/error.h"
#include "server/translate/lock.h"
#include "server/translate/query_request.h"
#include "server/translate/request.h"

namespace quarry {
namespace {

// Valid requests have a hash that does not depend on how they were encoded; refused ones say why.
template <typename Request, typename Translate>
bool TranslateParsed(const Request& request, Translate translate) {
  const auto result = translate(request);
  if (!result.ok()) {
    if (ReasonOf(result.status()).empty() || result.status().message().empty()) std::abort();
    return false;
  }
  Request again;
  if (!again.ParseFromString(request.SerializeAsString())) std::abort();
  if (RequestHash(again) != RequestHash(request)) std::abort();
  return true;
}

template <typename Request>
bool ParseAs(const uint8_t* data, size_t size) {
  Request request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return false;
  return TranslateParsed(request, [](const Request& parsed) { return ToOperation(parsed); });
}

template <typename Request, auto translate>
bool ParseWith(const uint8_t* data, size_t size) {
  Request request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return false;
  return TranslateParsed(request, translate);
}

template <typename Request>
bool ParseKeyOf(const uint8_t* data, size_t size) {
  Request request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return false;
  return TranslateParsed(request, [](const Request& parsed) { return ToKey(parsed); });
}

template <typename Request>
bool ParseClaim(const uint8_t* data, size_t size) {
  Request request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) return false;
  return TranslateParsed(request, [](const Request& parsed) { return ToLockClaim(parsed); });
}

constexpr std::array kParsers = {
    ParseAs<v1::GetRequest>,
    ParseAs<v1::BatchGetRequest>,
    ParseAs<v1::InsertRequest>,
    ParseAs<v1::UpdateRequest>,
    ParseAs<v1::UpsertRequest>,
    ParseAs<v1::DeleteRequest>,
    ParseAs<v1::BatchWriteRequest>,
    ParseAs<v1::CommitRequest>,
    ParseAs<v1::OnShardRequest>,
    ParseAs<v1::OnAllShardsRequest>,
    ParseWith<v1::BeginRequest, ToBeginOptions>,
    ParseKeyOf<v1::ResolveKeyRequest>,
    ParseKeyOf<v1::MapKeyRequest>,
    ParseAs<v1::ListRequest>,
    ParseAs<v1::QueryRequest>,
    ParseAs<v1::AggregateRequest>,
    ParseAs<v1::UpdateWhereRequest>,
    ParseAs<v1::DeleteWhereRequest>,
    ParseWith<v1::AcquireRequest, ToLockRequest>,
    ParseClaim<v1::KeepAliveRequest>,
    ParseClaim<v1::ReleaseRequest>,
    ParseWith<v1::GetLockRequest, ToLockName>};

}  // namespace

size_t RequestTypeCount() { return kParsers.size(); }

bool ParseAndTranslate(const uint8_t* data, size_t size) {
  if (size == 0) return false;
  return kParsers[data[0] % kParsers.size()](data + 1, size - 1);
}

}  // namespace quarry
