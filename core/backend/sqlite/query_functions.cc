#include "core/backend/sqlite/query_functions.h"

#include <sqlite3.h>

#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.h"
#include "core/model/decimal.h"
#include "core/model/like.h"

namespace quarry::sqlite {
namespace {

// Innocuous, so that generated columns and indexes may use them though the schema is not trusted.
constexpr int kFlags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;

std::string_view TextOf(sqlite3_value* value) {
  const auto* data = reinterpret_cast<const char*>(sqlite3_value_text(value));
  return {data == nullptr ? "" : data, static_cast<size_t>(sqlite3_value_bytes(value))};
}

void GiveText(sqlite3_context* context, const std::string& text) {
  sqlite3_result_text64(context, text.data(), text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Like(sqlite3_context* context, int, sqlite3_value** arguments) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL || sqlite3_value_type(arguments[1]) == SQLITE_NULL) {
    return sqlite3_result_null(context);
  }
  const std::string_view pattern = TextOf(arguments[0]);
  if (!IsLikePattern(pattern)) return sqlite3_result_error_code(context, SQLITE_MISMATCH);
  sqlite3_result_int(context, MatchesLike(TextOf(arguments[1]), pattern) ? 1 : 0);
}

class IntSum {
 public:
  int Add(sqlite3_value* value) {
    if (sqlite3_value_type(value) != SQLITE_INTEGER) return SQLITE_MISMATCH;
    sum_.Add(sqlite3_value_int64(value));
    return SQLITE_OK;
  }
  void Give(sqlite3_context* context) const { GiveText(context, sum_.ToString()); }

 private:
  Int64Sum sum_;
};

class DecimalSum {
 public:
  int Add(sqlite3_value* value) {
    const std::optional<Decimal> number = Decimal::Parse(TextOf(value));
    if (!number.has_value()) return SQLITE_MISMATCH;
    sum_ += *number;
    return SQLITE_OK;
  }
  void Give(sqlite3_context* context) const { GiveText(context, sum_.ToString()); }

 private:
  Decimal sum_;
};

class DoubleSum {
 public:
  int Add(sqlite3_value* value) {
    double number = std::numeric_limits<double>::quiet_NaN();
    const int type = sqlite3_value_type(value);
    if (type == SQLITE_FLOAT || type == SQLITE_INTEGER) {
      number = sqlite3_value_double(value);
    } else if (type != SQLITE_TEXT || TextOf(value) != "NaN") {
      return SQLITE_MISMATCH;
    }
    const bool finite = std::isfinite(sum_) && std::isfinite(number);
    sum_ += number;
    return finite && std::isinf(sum_) ? SQLITE_RANGE : SQLITE_OK;
  }
  void Give(sqlite3_context* context) const {
    if (std::isnan(sum_)) return GiveText(context, "NaN");
    sqlite3_result_double(context, sum_);
  }

 private:
  double sum_ = 0;
};

template <typename Sum>
void AddTo(sqlite3_context* context, int, sqlite3_value** arguments) {
  if (sqlite3_value_type(arguments[0]) == SQLITE_NULL) return;
  auto** sum = static_cast<Sum**>(sqlite3_aggregate_context(context, sizeof(Sum*)));
  if (sum == nullptr) return sqlite3_result_error_nomem(context);
  if (*sum == nullptr) *sum = new Sum();
  if (const int code = (*sum)->Add(arguments[0]); code != SQLITE_OK) sqlite3_result_error_code(context, code);
}

// Also called when a statement ends before its last row.
template <typename Sum>
void Final(sqlite3_context* context) {
  auto** slot = static_cast<Sum**>(sqlite3_aggregate_context(context, 0));
  if (slot == nullptr || *slot == nullptr) return sqlite3_result_null(context);
  const std::unique_ptr<Sum> sum(*slot);
  *slot = nullptr;
  sum->Give(context);
}

template <typename Sum>
int RegisterSum(sqlite3* db, const char* name) {
  return sqlite3_create_function_v2(db, name, 1, kFlags, nullptr, nullptr, &AddTo<Sum>, &Final<Sum>, nullptr);
}

int CompareDecimals(void*, int a_size, const void* a, int b_size, const void* b) {
  return CompareDecimalText({static_cast<const char*>(a), static_cast<size_t>(a_size)},
                            {static_cast<const char*>(b), static_cast<size_t>(b_size)});
}

}  // namespace

absl::Status RegisterQueryFunctions(sqlite3* db) {
  for (const int code :
       {sqlite3_create_function_v2(db, "quarry_like", 2, kFlags, nullptr, &Like, nullptr, nullptr, nullptr),
        RegisterSum<IntSum>(db, "quarry_sum_int"), RegisterSum<DecimalSum>(db, "quarry_sum_decimal"),
        RegisterSum<DoubleSum>(db, "quarry_sum_double"),
        sqlite3_create_collation_v2(db, "quarry_decimal", SQLITE_UTF8, nullptr, &CompareDecimals, nullptr)}) {
    if (code != SQLITE_OK) {
      return MakeError(absl::StatusCode::kInternal, reason::kDatabaseError, "cannot register the query functions");
    }
  }
  return absl::OkStatus();
}

}  // namespace quarry::sqlite
