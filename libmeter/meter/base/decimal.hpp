// SPDX-License-Identifier: Apache-2.0
// Decimal: a value exactly as the meter sent it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace meter {

/// mantissa × 10^exponent, exact. Keeps trailing zeros: 12048950 × 10^-3 prints "12048.950".
struct Decimal {
  std::int64_t mantissa = 0;
  std::int8_t exponent = 0;  ///< −30 to 30 in everything that a decoder lets through

  /// Room for every Decimal's plain notation: sign, 19 digits, 30 zeros, point.
  static constexpr std::size_t text_size_max = 56;
  static constexpr int exponent_max = 30;

  /// Same digits and same exponent (2.0 is not the same as 2).
  friend constexpr bool operator==(const Decimal&, const Decimal&) = default;

  /// The value multiplied by 10^power, exactly.
  constexpr Decimal scaled(int power) const noexcept {
    return {mantissa, static_cast<std::int8_t>(exponent + power)};
  }
  double to_double() const noexcept;
  /// Plain notation without exponent into `buffer` (at least text_size_max); the view is in it.
  std::string_view to_text(std::span<char> buffer) const noexcept;
  /// "-00123.450" → −123450 × 10^-3. Nothing for anything else, or above 18 significant digits.
  static std::optional<Decimal> parse(std::string_view text) noexcept;
  /// Numeric comparison, exact: negative, 0 or positive.
  static int compare(const Decimal& a, const Decimal& b) noexcept;
  /// a − b, exact; nothing when it does not fit.
  static std::optional<Decimal> subtract(const Decimal& a, const Decimal& b) noexcept;
  /// a + b, exact; nothing when it does not fit.
  static std::optional<Decimal> add(const Decimal& a, const Decimal& b) noexcept;
};

}  // namespace meter
