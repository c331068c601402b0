#include "core/backend/sqlite/hash_functions.h"

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/backend/sqlite/values.h"
#include "core/base/error.h"
#include "core/routing/stable_hash.h"

namespace quarry::sqlite {
namespace {

std::string_view Bytes(sqlite3_value* value) {
  const auto* data = static_cast<const char*>(sqlite3_value_blob(value));
  return {data == nullptr ? "" : data, static_cast<size_t>(sqlite3_value_bytes(value))};
}

std::optional<uint64_t> HashInt8(sqlite3_value* value, uint64_t seed) {
  return HashInt8Extended(sqlite3_value_int64(value), seed);
}
std::optional<uint64_t> HashBool(sqlite3_value* value, uint64_t seed) {
  return HashBoolExtended(sqlite3_value_int64(value) != 0, seed);
}
std::optional<uint64_t> HashText(sqlite3_value* value, uint64_t seed) {
  return HashTextExtended(Bytes(value), seed);
}
std::optional<uint64_t> HashVarlena(sqlite3_value* value, uint64_t seed) {
  return HashVarlenaExtended(Bytes(value), seed);
}
std::optional<uint64_t> HashNumeric(sqlite3_value* value, uint64_t seed) {
  return NumericHashExtended(Bytes(value), seed);
}

std::optional<uint64_t> HashUuid(sqlite3_value* value, uint64_t seed) {
  const absl::StatusOr<uint64_t> hash = HashValue(Value::Uuid(std::string(Bytes(value))), seed);
  return hash.ok() ? std::optional<uint64_t>(*hash) : std::nullopt;
}

std::optional<uint64_t> HashTimestamp(sqlite3_value* value, uint64_t seed) {
  const std::optional<int64_t> micros = ParseTimestamp(Bytes(value));
  return micros ? std::optional<uint64_t>(TimestampHashExtended(*micros, seed)) : std::nullopt;
}

template <std::optional<uint64_t> (*kHash)(sqlite3_value*, uint64_t)>
void Call(sqlite3_context* context, int, sqlite3_value** arguments) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL || sqlite3_value_type(arguments[1]) == SQLITE_NULL) {
    return sqlite3_result_null(context);
  }
  const std::optional<uint64_t> hash =
      kHash(arguments[0], static_cast<uint64_t>(sqlite3_value_int64(arguments[1])));
  if (!hash.has_value()) return sqlite3_result_error(context, "malformed value for a hash function", -1);
  sqlite3_result_int64(context, static_cast<int64_t>(*hash));
}

struct Function {
  const char* name;
  void (*call)(sqlite3_context*, int, sqlite3_value**);
};

constexpr Function kFunctions[] = {
    {"hashint2extended", &Call<HashInt8>},
    {"hashint4extended", &Call<HashInt8>},
    {"hashint8extended", &Call<HashInt8>},
    {"hashcharextended", &Call<HashBool>},
    {"hashtextextended", &Call<HashText>},
    {"hashvarlenaextended", &Call<HashVarlena>},
    {"uuid_hash_extended", &Call<HashUuid>},
    {"hash_numeric_extended", &Call<HashNumeric>},
    {"timestamp_hash_extended", &Call<HashTimestamp>},
    {"timestamptz_hash_extended", &Call<HashTimestamp>},
};

}  // namespace

absl::Status RegisterHashFunctions(sqlite3* db) {
  // Innocuous, so that generated columns and indexes may use them though the schema is not trusted.
  constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
  for (const Function& function : kFunctions) {
    const int code = sqlite3_create_function_v2(db, function.name, 2, kFlags, nullptr, function.call, nullptr,
                                                nullptr, nullptr);
    if (code != SQLITE_OK) {
      return MakeError(absl::StatusCode::kInternal, reason::kDatabaseError,
                       "cannot register the hash functions");
    }
  }
  return absl::OkStatus();
}

}  // namespace quarry::sqlite
