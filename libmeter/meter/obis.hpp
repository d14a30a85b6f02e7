// SPDX-License-Identifier: Apache-2.0
// Obis: the code that says what a register holds.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"

namespace meter {

/// Reduced OBIS code A-B:C.D.E*F (IEC 62056-61). F = 255: the current value.
struct Obis {
  std::uint8_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 255;

  friend constexpr auto operator<=>(const Obis&, const Obis&) = default;

  /// Group A from here on is ours: quantities that have a name and no code of IEC 62056-61. Such a
  /// code, and `Obis{}`, is never shown.
  static constexpr std::uint8_t own_codes_from = 200;
  constexpr bool is_standard() const noexcept { return a < own_codes_from && *this != Obis{}; }

  /// The code as a 48-bit number, A in the highest octet: for tables and switches.
  constexpr std::uint64_t key() const noexcept {
    return std::uint64_t{a} << 40 | std::uint64_t{b} << 32 | std::uint64_t{c} << 24 |
           std::uint64_t{d} << 16 | std::uint64_t{e} << 8 | f;
  }
  /// The six octets of a COSEM logical name, A first.
  static constexpr Obis from_octets(std::span<const std::byte, 6> o) noexcept {
    auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(o[i]); };
    return {at(0), at(1), at(2), at(3), at(4), at(5)};
  }
  /// "1-0:1.8.0" or "1-0:1.8.0*255"; nothing for anything else.
  static constexpr std::optional<Obis> parse(std::string_view text) noexcept {
    constexpr char separator[] = {'-', ':', '.', '.', '*'};
    std::uint8_t group[6] = {0, 0, 0, 0, 0, 255};
    std::size_t at = 0;
    for (std::size_t g = 0; g < 6; ++g) {
      unsigned value = 0;
      std::size_t digits = 0;
      while (at < text.size() && text[at] >= '0' && text[at] <= '9' && digits < 3) {
        value = value * 10 + static_cast<unsigned>(text[at++] - '0');
        ++digits;
      }
      if (digits == 0 || value > 255) return std::nullopt;
      group[g] = static_cast<std::uint8_t>(value);
      if (at == text.size()) {
        if (g < 4) return std::nullopt;
        return Obis{group[0], group[1], group[2], group[3], group[4], group[5]};
      }
      if (g == 5 || text[at] != separator[g]) return std::nullopt;
      ++at;
    }
    return std::nullopt;
  }
  /// "255-255:255.255.255*255"
  static constexpr std::size_t text_size_max = 24;
  /// "1-0:1.8.0", with "*F" only where F is not 255; the view is in `buffer`.
  std::string_view to_text(std::span<char> buffer) const noexcept;
};

inline namespace literals {
consteval Obis operator""_obis(const char* text, std::size_t size) {
  auto obis = Obis::parse({text, size});
  return obis ? *obis : throw "not an OBIS code";
}
}  // namespace literals

}  // namespace meter
