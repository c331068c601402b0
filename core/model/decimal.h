// Exact decimals of any size, with the arithmetic of PostgreSQL's numeric. Values; thread-compatible.
#pragma once

#include <gmpxx.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quarry {

class Decimal {
 public:
  Decimal() = default;  // 0
  explicit Decimal(int64_t value) : digits_(static_cast<long>(value)) {}
  // What PostgreSQL takes as numeric: digits with a point and an exponent, "NaN", "Infinity", in any case. Its limits bind: 131,072
  // digits before the point, 16,383 after it. nullopt for anything else.
  static std::optional<Decimal> Parse(std::string_view text);
  static Decimal NaN() { return Decimal(Form::kNan); }

  // As PostgreSQL writes it: no exponent, `scale()` digits after the point.
  std::string ToString() const;
  // Digits after the point; 0 when not finite.
  int scale() const { return scale_; }
  bool is_finite() const { return form_ == Form::kFinite; }
  bool is_nan() const { return form_ == Form::kNan; }
  // -1, 0 or 1; NaN counts as positive.
  int sign() const;
  // Absent when it has a fraction, is not finite or does not fit.
  std::optional<int64_t> ToInt64() const;

  // The greater scale of both. Infinities of both signs, and NaN with anything, give NaN.
  Decimal& operator+=(const Decimal& other);
  friend Decimal operator+(Decimal a, const Decimal& b) { return a += b; }

  // Below 0, 0 or above 0, by number: -Infinity, finite ones, Infinity, NaN; NaN equals itself.
  friend int Compare(const Decimal& a, const Decimal& b);
  // As numeric's "/": at least 16 significant digits and at least both scales, rounded half away from zero. nullopt for a division
  // by zero. Source: PostgreSQL 15, src/backend/utils/adt/numeric.c, select_div_scale.
  friend std::optional<Decimal> Divide(const Decimal& a, const Decimal& b);

 private:
  enum class Form : uint8_t { kMinusInfinity, kFinite, kInfinity, kNan };  // In order.
  explicit Decimal(Form form) : form_(form) {}
  static std::optional<Decimal> DivideNotFinite(const Decimal& a, const Decimal& b);

  mpz_class digits_;  // The number times 10^scale_; 0 when not finite.
  int scale_ = 0;
  Form form_ = Form::kFinite;
};

int Compare(const Decimal& a, const Decimal& b);
std::optional<Decimal> Divide(const Decimal& a, const Decimal& b);

// The exact sum of up to 2^63 integers, without an allocation.
class Int64Sum {
 public:
  void Add(int64_t value) { sum_ += value; }
  std::string ToString() const;

 private:
  __extension__ using Wide = __int128;
  Wide sum_ = 0;
};

// Compare of two texts; text that is no number comes after NaN, by bytes. Plain digits are compared without an allocation.
int CompareDecimalText(std::string_view a, std::string_view b);
// The shortest plain text of the same number, so that equal numbers have equal texts; text that is no number stays.
std::string ShortestDecimal(std::string_view text);

}  // namespace quarry
