// SPDX-License-Identifier: Apache-2.0
// Exact arithmetic and text of Decimal.
#include "meter/base/decimal.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>

namespace meter {
namespace {

constexpr int mantissa_digits_max = 18;  // every 18-digit number fits an int64

constexpr std::array<std::int64_t, 19> powers_of_ten = [] {
  std::array<std::int64_t, 19> powers{};
  std::int64_t power = 1;
  for (std::size_t i = 0; i < powers.size(); ++i) {
    powers[i] = power;
    if (i + 1 < powers.size()) power *= 10;
  }
  return powers;
}();

/// Two mantissas at the smaller of their exponents.
struct Aligned {
  std::int64_t left, right;
  std::int8_t exponent;
};
std::optional<Aligned> align(const Decimal& a, const Decimal& b) noexcept {
  Aligned out{a.mantissa, b.mantissa, std::min(a.exponent, b.exponent)};
  auto lift = [&](std::int64_t& mantissa, int exponent) {
    const int steps = exponent - out.exponent;
    if (mantissa == 0 || steps == 0) return true;
    if (steps > mantissa_digits_max) return false;
    return !__builtin_mul_overflow(mantissa, powers_of_ten[static_cast<std::size_t>(steps)],
                                   &mantissa);
  };
  if (!lift(out.left, a.exponent) || !lift(out.right, b.exponent)) return std::nullopt;
  return out;
}

}  // namespace

double Decimal::to_double() const noexcept {
  // Through the text: the nearest double of the exact decimal, which multiplying would miss.
  std::array<char, text_size_max> buffer;
  const std::string_view text = to_text(buffer);
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string_view Decimal::to_text(std::span<char> buffer) const noexcept {
  assert(buffer.size() >= text_size_max);
  char* out = buffer.data();
  char digits[20];
  const std::uint64_t magnitude = mantissa < 0 ? ~static_cast<std::uint64_t>(mantissa) + 1
                                               : static_cast<std::uint64_t>(mantissa);
  char* const end = std::to_chars(digits, digits + sizeof digits, magnitude).ptr;
  const int count = static_cast<int>(end - digits);
  const int power = std::clamp<int>(exponent, -exponent_max, exponent_max);
  if (mantissa < 0) *out++ = '-';
  if (power >= 0) {
    out = std::copy(digits, end, out);
    if (mantissa != 0) out = std::fill_n(out, power, '0');
  } else if (count > -power) {
    out = std::copy(digits, end + power, out);
    *out++ = '.';
    out = std::copy(end + power, end, out);
  } else {
    *out++ = '0';
    *out++ = '.';
    out = std::fill_n(out, -power - count, '0');
    out = std::copy(digits, end, out);
  }
  return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
}

std::optional<Decimal> Decimal::parse(std::string_view text) noexcept {
  bool negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  Decimal value;
  int digits = 0, significant = 0;
  bool point = false;
  for (char c : text) {
    if (c == '.' && !point) {
      point = true;
      continue;
    }
    if (c < '0' || c > '9') return std::nullopt;
    if (value.mantissa != 0 || c != '0') ++significant;
    if (significant > mantissa_digits_max) return std::nullopt;
    value.mantissa = value.mantissa * 10 + (c - '0');
    ++digits;
    if (point && --value.exponent < -exponent_max) return std::nullopt;
  }
  if (digits == 0 || text.back() == '.' || text.front() == '.') return std::nullopt;
  if (negative) value.mantissa = -value.mantissa;
  return value;
}

int Decimal::compare(const Decimal& a, const Decimal& b) noexcept {
  if (const auto aligned = align(a, b))
    return aligned->left < aligned->right ? -1 : aligned->left > aligned->right ? 1 : 0;
  // They differ by so many digits that doubles tell them apart.
  const double x = a.to_double(), y = b.to_double();
  return x < y ? -1 : x > y ? 1 : 0;
}

std::optional<Decimal> Decimal::subtract(const Decimal& a, const Decimal& b) noexcept {
  const auto aligned = align(a, b);
  std::int64_t difference;
  if (!aligned || __builtin_sub_overflow(aligned->left, aligned->right, &difference))
    return std::nullopt;
  return Decimal{difference, aligned->exponent};
}

std::optional<Decimal> Decimal::add(const Decimal& a, const Decimal& b) noexcept {
  const auto aligned = align(a, b);
  std::int64_t sum;
  if (!aligned || __builtin_add_overflow(aligned->left, aligned->right, &sum)) return std::nullopt;
  return Decimal{sum, aligned->exponent};
}

}  // namespace meter
