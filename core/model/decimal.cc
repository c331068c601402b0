#include "core/model/decimal.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace quarry {
namespace {

constexpr size_t kWholeDigitsMax = 131'072;
constexpr size_t kScaleMax = 16'383;
constexpr size_t kLongDigits = 18;  // Always fit a long.
constexpr int kExponentMax = static_cast<int>(kWholeDigitsMax + kScaleMax);
// Of numeric.c.
constexpr int kBaseDigits = 4;               // DEC_DIGITS: a digit of numeric is one of base 10000.
constexpr int kSignificantDigitsMin = 16;    // NUMERIC_MIN_SIG_DIGITS
constexpr int kDisplayScaleMax = 1'000;      // NUMERIC_MAX_DISPLAY_SCALE

mpz_class PowerOfTen(int exponent) {
  mpz_class power;
  mpz_ui_pow_ui(power.get_mpz_t(), 10, static_cast<unsigned long>(exponent));
  return power;
}

int SignOf(int number) { return (number > 0) - (number < 0); }

// A number in plain digits, taken apart: no zeros in front of `whole`, none behind `fraction`.
struct PlainNumber {
  bool negative = false;
  absl::string_view whole;
  absl::string_view fraction;
};

absl::string_view TakeDigits(absl::string_view* text) {
  size_t size = 0;
  while (size < text->size() && absl::ascii_isdigit(static_cast<unsigned char>((*text)[size]))) ++size;
  const absl::string_view digits = text->substr(0, size);
  text->remove_prefix(size);
  return digits;
}

std::optional<PlainNumber> TakeApart(absl::string_view text) {
  PlainNumber number;
  if (!text.empty() && text.front() == '-') {
    number.negative = true;
    text.remove_prefix(1);
  }
  number.whole = TakeDigits(&text);
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    number.fraction = TakeDigits(&text);
  }
  if (!text.empty() || (number.whole.empty() && number.fraction.empty())) return std::nullopt;
  while (!number.whole.empty() && number.whole.front() == '0') number.whole.remove_prefix(1);
  while (!number.fraction.empty() && number.fraction.back() == '0') number.fraction.remove_suffix(1);
  if (number.whole.empty() && number.fraction.empty()) number.negative = false;
  return number;
}

int CompareMagnitudes(const PlainNumber& a, const PlainNumber& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  if (const int whole = a.whole.compare(b.whole); whole != 0) return whole;
  return a.fraction.compare(b.fraction);
}

// The weight and the value of the first digit of base 10000, as numeric keeps them; 0 and 0 of zero.
std::pair<int, int> FirstBaseDigit(const mpz_class& digits, int scale) {
  if (digits == 0) return {0, 0};
  const std::string text = mpz_class(abs(digits)).get_str();
  const int exponent = static_cast<int>(text.size()) - 1 - scale;  // Of the first decimal digit.
  const int weight = exponent >= 0 ? exponent / kBaseDigits : -((-exponent + kBaseDigits - 1) / kBaseDigits);
  const int places = exponent - weight * kBaseDigits + 1;
  int first = 0;
  for (int i = 0; i < places; ++i) {
    const auto at = static_cast<size_t>(i);
    first = first * 10 + (at < text.size() ? text[at] - '0' : 0);
  }
  return {weight, first};
}

}  // namespace

std::optional<Decimal> Decimal::Parse(std::string_view given) {
  absl::string_view text = absl::StripAsciiWhitespace(absl::string_view(given.data(), given.size()));
  bool negative = false;
  if (absl::EqualsIgnoreCase(text, "nan")) return Decimal(Form::kNan);
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (absl::EqualsIgnoreCase(text, "infinity") || absl::EqualsIgnoreCase(text, "inf")) {
    return Decimal(negative ? Form::kMinusInfinity : Form::kInfinity);
  }
  const absl::string_view whole = TakeDigits(&text);
  absl::string_view fraction;
  if (!text.empty() && text.front() == '.') {
    text.remove_prefix(1);
    fraction = TakeDigits(&text);
  }
  if (whole.empty() && fraction.empty()) return std::nullopt;
  int exponent = 0;
  if (!text.empty()) {
    if (absl::ascii_tolower(static_cast<unsigned char>(text.front())) != 'e') return std::nullopt;
    text.remove_prefix(1);
    // SimpleAtoi would skip spaces.
    if (text.empty() || absl::ascii_isspace(static_cast<unsigned char>(text.front()))) return std::nullopt;
    if (!absl::SimpleAtoi(text, &exponent) || std::abs(exponent) > kExponentMax) return std::nullopt;
  }
  if (whole.size() > 2 * kWholeDigitsMax || fraction.size() > 2 * kWholeDigitsMax) return std::nullopt;
  Decimal decimal;
  if (whole.size() + fraction.size() <= kLongDigits) {
    long digits = 0;
    for (const absl::string_view part : {whole, fraction}) {
      for (const char digit : part) digits = digits * 10 + (digit - '0');
    }
    decimal.digits_ = digits;
  } else {
    decimal.digits_.set_str(absl::StrCat(whole, fraction), 10);
  }
  int scale = static_cast<int>(fraction.size()) - exponent;
  if (scale < 0) {
    decimal.digits_ *= PowerOfTen(-scale);
    scale = 0;
  }
  if (scale > static_cast<int>(kScaleMax)) return std::nullopt;
  // sizeinbase may say one too many.
  if (mpz_sizeinbase(decimal.digits_.get_mpz_t(), 10) > kWholeDigitsMax + static_cast<size_t>(scale) + 1) return std::nullopt;
  decimal.scale_ = scale;
  if (negative) decimal.digits_ = -decimal.digits_;
  return decimal;
}

std::string Decimal::ToString() const {
  switch (form_) {
    case Form::kNan:
      return "NaN";
    case Form::kInfinity:
      return "Infinity";
    case Form::kMinusInfinity:
      return "-Infinity";
    case Form::kFinite:
      break;
  }
  std::string text = mpz_class(abs(digits_)).get_str();
  const auto scale = static_cast<size_t>(scale_);
  if (text.size() <= scale) text.insert(0, scale + 1 - text.size(), '0');
  if (scale > 0) text.insert(text.size() - scale, 1, '.');
  if (digits_ < 0) text.insert(0, 1, '-');
  return text;
}

int Decimal::sign() const {
  if (form_ == Form::kFinite) return SignOf(mpz_sgn(digits_.get_mpz_t()));
  return form_ == Form::kMinusInfinity ? -1 : 1;
}

std::optional<int64_t> Decimal::ToInt64() const {
  if (!is_finite()) return std::nullopt;
  if (scale_ == 0) return digits_.fits_slong_p() ? std::optional<int64_t>(digits_.get_si()) : std::nullopt;
  mpz_class whole;
  mpz_class rest;
  const mpz_class unit = PowerOfTen(scale_);
  mpz_tdiv_qr(whole.get_mpz_t(), rest.get_mpz_t(), digits_.get_mpz_t(), unit.get_mpz_t());
  if (rest != 0 || !whole.fits_slong_p()) return std::nullopt;
  return whole.get_si();
}

Decimal& Decimal::operator+=(const Decimal& other) {
  if (!is_finite() || !other.is_finite()) {
    const bool opposite = form_ != other.form_ && !is_finite() && !other.is_finite();
    const Form form = opposite ? Form::kNan : is_finite() ? other.form_ : form_;
    return *this = Decimal(form);
  }
  if (scale_ == other.scale_) {
    digits_ += other.digits_;
  } else if (scale_ < other.scale_) {
    digits_ *= PowerOfTen(other.scale_ - scale_);
    digits_ += other.digits_;
    scale_ = other.scale_;
  } else {
    digits_ += other.digits_ * PowerOfTen(scale_ - other.scale_);
  }
  return *this;
}

int Compare(const Decimal& a, const Decimal& b) {
  if (a.form_ != b.form_) return a.form_ < b.form_ ? -1 : 1;
  if (!a.is_finite()) return 0;
  if (a.scale_ == b.scale_) return SignOf(cmp(a.digits_, b.digits_));
  if (a.scale_ < b.scale_) return SignOf(cmp(mpz_class(a.digits_ * PowerOfTen(b.scale_ - a.scale_)), b.digits_));
  return SignOf(cmp(a.digits_, mpz_class(b.digits_ * PowerOfTen(a.scale_ - b.scale_))));
}

std::optional<Decimal> Decimal::DivideNotFinite(const Decimal& a, const Decimal& b) {
  if (a.is_nan() || b.is_nan()) return NaN();
  if (a.is_finite()) return Decimal();  // A part of an infinity.
  if (!b.is_finite()) return NaN();
  if (b.sign() == 0) return std::nullopt;
  return Decimal(a.sign() == b.sign() ? Form::kInfinity : Form::kMinusInfinity);
}

std::optional<Decimal> Divide(const Decimal& a, const Decimal& b) {
  if (!a.is_finite() || !b.is_finite()) return Decimal::DivideNotFinite(a, b);
  if (b.digits_ == 0) return std::nullopt;
  const auto [a_weight, a_first] = FirstBaseDigit(a.digits_, a.scale_);
  const auto [b_weight, b_first] = FirstBaseDigit(b.digits_, b.scale_);
  const int weight = a_weight - b_weight - (a_first <= b_first ? 1 : 0);
  const int scale = std::min(std::max({kSignificantDigitsMin - weight * kBaseDigits, a.scale_, b.scale_, 0}), kDisplayScaleMax);
  mpz_class numerator = abs(a.digits_);
  mpz_class denominator = abs(b.digits_);
  const int shift = scale - a.scale_ + b.scale_;
  (shift >= 0 ? numerator : denominator) *= PowerOfTen(std::abs(shift));
  Decimal quotient;
  mpz_class rest;
  mpz_tdiv_qr(quotient.digits_.get_mpz_t(), rest.get_mpz_t(), numerator.get_mpz_t(), denominator.get_mpz_t());
  rest *= 2;
  if (rest >= denominator) quotient.digits_ += 1;
  if (a.sign() * b.sign() < 0) quotient.digits_ = -quotient.digits_;
  quotient.scale_ = scale;
  return quotient;
}

std::string Int64Sum::ToString() const {
  const bool negative = sum_ < 0;
  std::string reversed;
  Wide left = sum_;
  do {
    const int digit = static_cast<int>(left % 10);
    reversed.push_back(static_cast<char>('0' + (negative ? -digit : digit)));
    left /= 10;
  } while (left != 0);
  if (negative) reversed.push_back('-');
  std::reverse(reversed.begin(), reversed.end());
  return reversed;
}

int CompareDecimalText(std::string_view a, std::string_view b) {
  const std::optional<PlainNumber> left = TakeApart({a.data(), a.size()});
  const std::optional<PlainNumber> right = TakeApart({b.data(), b.size()});
  if (left.has_value() && right.has_value()) {
    if (left->negative != right->negative) return left->negative ? -1 : 1;
    const int magnitudes = SignOf(CompareMagnitudes(*left, *right));
    return left->negative ? -magnitudes : magnitudes;
  }
  const std::optional<Decimal> x = Decimal::Parse(a);
  const std::optional<Decimal> y = Decimal::Parse(b);
  if (x.has_value() && y.has_value()) return Compare(*x, *y);
  if (x.has_value() != y.has_value()) return x.has_value() ? -1 : 1;
  return SignOf(a.compare(b));
}

std::string ShortestDecimal(std::string_view text) {
  std::string parsed;
  std::optional<PlainNumber> number = TakeApart({text.data(), text.size()});
  if (!number.has_value()) {
    const std::optional<Decimal> decimal = Decimal::Parse(text);
    if (!decimal.has_value()) return std::string(text);
    parsed = decimal->ToString();
    number = TakeApart(parsed);
    if (!number.has_value()) return parsed;
  }
  return absl::StrCat(number->negative ? "-" : "", number->whole.empty() ? "0" : number->whole,
                      number->fraction.empty() ? "" : ".", number->fraction);
}

}  // namespace quarry
