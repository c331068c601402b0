#include "core/plan/page_token.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "core/base/error.h"
#include "core/base/status_macros.h"
#include "core/model/codec.h"

namespace quarry {
namespace {

constexpr char kVersion = 1;
constexpr size_t kHashBytes = 8;
constexpr char kBackward = 1;
constexpr char kInclusive = 2;
// Columns of an order: those that a caller names and those of the key.
constexpr size_t kTokenValuesMax = 1'024;
// What base64 and the seal leave of a token's text.
constexpr size_t kPlainMax = kTokenBytesMax / 4 * 3 - 64;

absl::Status Malformed() { return absl::DataLossError("token is cut or not of a known form"); }

}  // namespace

std::string EncodePosition(const QueryPosition& position, uint64_t request_hash) {
  std::string bytes(1, kVersion);
  for (size_t i = 0; i < kHashBytes; ++i) bytes.push_back(static_cast<char>(request_hash >> (8 * i)));
  bytes.push_back(static_cast<char>((position.backward ? kBackward : 0) | (position.inclusive ? kInclusive : 0)));
  AppendValue(Value::Int64(position.given), &bytes);
  for (const Value& value : position.after) AppendValue(value, &bytes);
  return bytes;
}

absl::StatusOr<DecodedPosition> DecodePosition(std::string_view bytes) {
  if (bytes.size() < 2 + kHashBytes || bytes.front() != kVersion) return Malformed();
  bytes.remove_prefix(1);
  DecodedPosition decoded;
  for (size_t i = 0; i < kHashBytes; ++i) {
    decoded.request_hash |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  bytes.remove_prefix(kHashBytes);
  const char flags = bytes.front();
  if ((flags & ~(kBackward | kInclusive)) != 0) return Malformed();
  bytes.remove_prefix(1);
  decoded.position.backward = (flags & kBackward) != 0;
  decoded.position.inclusive = (flags & kInclusive) != 0;
  QUARRY_ASSIGN_OR_RETURN(const Value given, TakeValue(&bytes));
  if (given.kind() != ValueKind::kInt64 || given.int64_value() < 0) return Malformed();
  decoded.position.given = given.int64_value();
  while (!bytes.empty()) {
    if (decoded.position.after.size() == kTokenValuesMax) return Malformed();
    QUARRY_ASSIGN_OR_RETURN(Value value, TakeValue(&bytes));
    decoded.position.after.push_back(std::move(value));
  }
  return decoded;
}

absl::StatusOr<std::string> SealPosition(const QueryPosition& position, uint64_t request_hash, const Sealer& sealer) {
  const std::string plain = EncodePosition(position, request_hash);
  if (plain.size() <= kPlainMax) return sealer.Seal(plain);
  return MakeError(absl::StatusCode::kResourceExhausted, reason::kLimitExceeded,
                   absl::StrCat("the sort values of a row have ", plain.size(), " bytes, and a token holds at most ", kPlainMax,
                                "; order by shorter columns"),
                   {{"bytes", absl::StrCat(plain.size())}});
}

absl::StatusOr<QueryPosition> OpenPosition(std::string_view token, uint64_t request_hash, const Sealer& sealer,
                                           std::string_view field) {
  if (token.size() > kTokenBytesMax) {
    return InvalidField(field, absl::StrCat("is longer than any token (", kTokenBytesMax,
                                            " bytes); give one as it came with the last answer"));
  }
  const absl::StatusOr<std::string> plain = sealer.Open(token);
  if (!plain.ok()) {
    return InvalidField(field, "was not given by this deployment, or was changed on the way; give one as it came with the last "
                               "answer, or start again without it");
  }
  absl::StatusOr<DecodedPosition> decoded = DecodePosition(*plain);
  if (!decoded.ok()) {
    return InvalidField(field, "is of a form that this version does not know; start again without it");
  }
  if (decoded->request_hash != request_hash) {
    return InvalidField(field, "was given for another request; table, columns, filter, order, limit, offset and target must stay "
                               "as they were, or start again without it");
  }
  return std::move(decoded->position);
}

}  // namespace quarry
