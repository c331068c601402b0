// Values of every ordered type: random ones with many duplicates and every extreme, the literals that plain SQL has for them,
// and the one text by which answers of different databases are compared. Pure.
#pragma once

#include <optional>
#include <string>

#include "core/model/type.h"
#include "core/model/value.h"
#include "quarry/v1/value.pb.h"
#include "tests/differential/dice.h"

namespace quarry::differential {

// What the values of a column are like, beyond its type.
enum class Profile {
  kPlain,     // Doubles: all extremes. Decimals: at most four digits after the point, 13 before it.
  kSummable,  // Doubles whose sums are exact in any order.
  kLoose,     // Positive doubles: their sums differ by rounding only.
  kWide,      // Decimals of up to 40 digits, NaN and the infinities.
  kWhole,     // Decimals without a fraction: sums of integers.
  kQuotient,  // Decimals that only PostgreSQL can say: averages.
};

struct ValueType {
  TypeKind kind = TypeKind::kInt64;
  Profile profile = Profile::kPlain;
};

// Digits after the point in the reference SQLite's scaled integers.
inline constexpr int kPlainScale = 4;

Value AnyValue(const ValueType& type, Dice& dice);
v1::Value ToProto(const Value& value);

// Literals of the references. The reference SQLite keeps timestamps as integers of microseconds, plain decimals as integers times
// 10^kPlainScale, wide decimals as text that sorts as the numbers do, times with six decimals, and NaN as the text 'NaN'.
std::string PostgresLiteral(const Value& value, const ValueType& type);
std::string SqliteLiteral(const Value& value, const ValueType& type);

// A value in its one form; nullopt is NULL.
using Cell = std::optional<std::string>;
Cell CellOf(const v1::Value& value, TypeKind type);
// Of what the references print (see SelectedColumn in sql.h).
Cell CellOfPostgres(const std::string& text, TypeKind type);
Cell CellOfSqlite(const std::string& text, const ValueType& type);
// A double in its one form: -0.0 is 0.
std::string DoubleText(double value);

}  // namespace quarry::differential
