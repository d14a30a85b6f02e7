// SPDX-License-Identifier: Apache-2.0
// Bytes: the view that every stage takes in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace meter {

/// A read-only view of octets in wire order. Lives as long as the memory it was made from.
using Bytes = std::span<const std::byte>;

/// The numeric value of an octet, 0 to 255.
constexpr unsigned u8(std::byte octet) noexcept { return std::to_integer<unsigned>(octet); }

/// A character of ASCII that leaves a mark, or a blank.
constexpr bool is_printable(std::byte octet) noexcept {
  return u8(octet) >= 0x20 && u8(octet) < 0x7f;
}

/// The octets of a text, without a terminating zero.
inline Bytes bytes_of(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// The octets as text; the view lives as long as the octets.
inline std::string_view text_of(Bytes octets) noexcept {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

}  // namespace meter
