#include "core/txn/transaction_id.h"

#include <optional>

#include "absl/strings/str_format.h"
#include "core/base/error.h"

namespace quarry {
namespace {

constexpr std::string_view kForm = "t2-";
constexpr size_t kInstanceAt = 3;
constexpr size_t kInstanceDigits = 16;
constexpr size_t kLoopAt = 20;
constexpr size_t kLoopDigits = 2;
constexpr size_t kRandomAt = 23;
constexpr size_t kSize = 55;

std::optional<uint64_t> ParseHex(std::string_view text) {
  uint64_t number = 0;
  for (const char c : text) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && (c < 'a' || c > 'f')) return std::nullopt;
    number = number << 4 | static_cast<uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return number;
}

}  // namespace

std::string InstanceText(uint64_t instance) { return absl::StrFormat("%016x", instance); }

absl::StatusOr<uint64_t> ParseInstance(std::string_view text, std::string_view field) {
  const std::optional<uint64_t> instance = text.size() == kInstanceDigits ? ParseHex(text) : std::nullopt;
  if (!instance.has_value()) return InvalidField(field, "is no gateway instance: 16 lower-case hexadecimal digits");
  return *instance;
}

std::string MakeTransactionId(const TransactionOwner& owner, Random& random) {
  const uint64_t high = random.Next();
  const uint64_t low = random.Next();
  return absl::StrFormat("t2-%016x-%02x-%016x%016x", owner.instance, owner.loop, high, low);
}

absl::StatusOr<TransactionOwner> ParseTransactionId(std::string_view id) {
  const bool formed = id.size() == kSize && id.substr(0, kForm.size()) == kForm && id[kLoopAt - 1] == '-' &&
                      id[kRandomAt - 1] == '-' && ParseHex(id.substr(kRandomAt)).has_value();
  const std::optional<uint64_t> instance = formed ? ParseHex(id.substr(kInstanceAt, kInstanceDigits)) : std::nullopt;
  const std::optional<uint64_t> loop = formed ? ParseHex(id.substr(kLoopAt, kLoopDigits)) : std::nullopt;
  if (!instance.has_value() || !loop.has_value()) {
    return InvalidField("transaction_id", "is not an id that Begin has given");
  }
  return TransactionOwner{*instance, static_cast<uint32_t>(*loop)};
}

}  // namespace quarry
