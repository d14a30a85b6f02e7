// SPDX-License-Identifier: Apache-2.0
// Hex digits: octets to digits, and one digit to its value.
#pragma once

#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"

namespace meter {

inline constexpr std::string_view hex_upper = "0123456789ABCDEF";
inline constexpr std::string_view hex_lower = "0123456789abcdef";

/// Two digits an octet, the high half first, into `out`, which has room for all of them; the view
/// is in it.
inline std::string_view write_hex(Bytes octets, std::span<char> out,
                                  std::string_view digits) noexcept {
  std::size_t size = 0;
  for (const std::byte octet : octets) {
    out[size++] = digits[u8(octet) >> 4];
    out[size++] = digits[u8(octet) & 15];
  }
  return {out.data(), size};
}

/// 0 to 15 for a digit of either case, −1 for anything else.
constexpr int hex_value(char digit) noexcept {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

}  // namespace meter
