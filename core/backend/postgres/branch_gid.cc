#include "core/backend/postgres/branch_gid.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "core/base/error.h"

namespace quarry::postgres {
namespace {

constexpr size_t kGidMax = 199;
constexpr size_t kIdMax = 80;

bool IsPlain(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.'; }

std::string Escape(std::string_view part) {
  std::string escaped;
  for (const char c : part) {
    if (IsPlain(c)) {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

// Nullopt unless it is what Escape writes.
std::optional<std::string> Unescape(std::string_view part) {
  std::string plain;
  for (size_t i = 0; i < part.size(); ++i) {
    if (part[i] != '%') {
      plain.push_back(part[i]);
      continue;
    }
    if (i + 2 >= part.size()) return std::nullopt;
    const std::string digits(part.substr(i + 1, 2));
    if (!std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return absl::ascii_isxdigit(c); })) {
      return std::nullopt;
    }
    plain += absl::HexStringToBytes(digits);
    i += 2;
  }
  if (Escape(plain) != part) return std::nullopt;
  return plain;
}

}  // namespace

bool IsTransactionId(std::string_view id) {
  return !id.empty() && id.size() <= kIdMax && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-';
  });
}

std::string BranchGidPrefix(const std::string& deployment) { return absl::StrCat("quarry:", Escape(deployment), ":"); }

absl::StatusOr<std::string> BranchGid(const BranchOwner& owner, const GlobalTransaction& transaction) {
  if (!IsTransactionId(transaction.id)) {
    return InvalidField("transaction_id", "is none of a transaction over several shards: take it as it was given");
  }
  std::string gid = absl::StrCat(BranchGidPrefix(owner.deployment), Escape(transaction.home), ":", transaction.id, ":",
                                 Escape(owner.shard));
  if (gid.size() <= kGidMax) return gid;
  return MakeError(absl::StatusCode::kFailedPrecondition, reason::kTwoPhaseUnavailable,
                   absl::StrCat("shard ", owner.shard, ": the name of a prepared transaction would have ", gid.size(),
                                " bytes, and PostgreSQL takes ", kGidMax, ": give the deployment or the shards ",
                                owner.shard, " and ", transaction.home, " shorter names"),
                   {{"shard", owner.shard}, {"bytes", absl::StrCat(gid.size())}, {"bytes_max", absl::StrCat(kGidMax)}});
}

std::optional<GlobalTransaction> ParseBranchGid(const BranchOwner& owner, std::string_view gid) {
  const std::vector<std::string> parts = absl::StrSplit(absl::string_view(gid.data(), gid.size()), ':');
  if (parts.size() != 5 || parts[0] != "quarry") return std::nullopt;
  if (parts[1] != Escape(owner.deployment) || parts[4] != Escape(owner.shard)) return std::nullopt;
  std::optional<std::string> home = Unescape(parts[2]);
  if (!home.has_value() || !IsTransactionId(parts[3])) return std::nullopt;
  return GlobalTransaction{parts[3], *std::move(home)};
}

}  // namespace quarry::postgres
