// SPDX-License-Identifier: Apache-2.0
// The table of vendor rules, and server ids (DIN 43863-5).
#include "meter/sml/vendor_rules.hpp"

#include <algorithm>
#include <charconv>

#include "meter/base/hex.hpp"

namespace meter::sml {
namespace {

constexpr std::size_t din_size = 10;
constexpr std::size_t din_letters_at = 2, din_block_at = 5, din_serial_at = 6;
constexpr std::size_t serial_digits = 8;
constexpr std::uint32_t serial_max = 99'999'999;

/// DVS74 and DWS76.
constexpr VendorRule::Serials dzg_serials[] = {{42'000'000, 48'999'999}, {55'000'000, 58'999'999}};

constexpr VendorRule rules[] = {
    {"sml-dzg", "DZG", dzg_serials, true, -1, "1-0:16.7.0"_obis,
     "DVS74 and DWS76 of these serial numbers leave leading zeros out of a positive power and send "
     "it as a signed number all the same"},
    {"sml-emh",
     "EMH",
     {},
     false,
     5,
     "1-0:15.7.0"_obis,
     "power has no sign; bit 5 of the status of 1.8.0 is set while energy is exported (ED300L)"},
    {"sml-holley",
     "HLY",
     {},
     false,
     11,
     "1-0:16.7.0"_obis,
     "power may have no sign; bit 11 of the status of 1.8.0 is set while energy is exported "
     "(DTZ541)"},
};

bool is_letters(Bytes octets) noexcept {
  return std::ranges::all_of(octets, [](std::byte o) { return u8(o) >= 'A' && u8(o) <= 'Z'; });
}

}  // namespace

bool ServerId::is_din() const noexcept {
  return octets_.size() == din_size && (u8(octets_[0]) == 0x0a || u8(octets_[0]) == 0x09) &&
         u8(octets_[1]) >= 1 && u8(octets_[1]) <= 9 &&
         is_letters(octets_.subspan(din_letters_at, 3));
}

std::string_view ServerId::manufacturer() const noexcept {
  if (is_din()) return text_of(octets_.subspan(din_letters_at, 3));
  if (octets_.size() > 4 && u8(octets_[0]) == 0x06 && is_letters(octets_.subspan(1, 3)))
    return text_of(octets_.subspan(1, 3));
  return {};
}

std::optional<std::uint32_t> ServerId::serial() const noexcept {
  if (!is_din()) return std::nullopt;
  std::uint32_t serial = 0;
  for (const std::byte octet : octets_.subspan(din_serial_at)) serial = serial << 8 | u8(octet);
  return serial;
}

Medium ServerId::medium() const noexcept {
  if (!is_din()) return Medium::electricity;
  switch (u8(octets_[1])) {
    case 1:
      return Medium::electricity;
    case 4:
      return Medium::heat_cost;
    case 5:
      return Medium::cooling_outlet;
    case 6:
      return Medium::heat;
    case 7:
      return Medium::gas;
    case 8:
      return Medium::water;
    case 9:
      return Medium::warm_water;
    default:
      return Medium::other;
  }
}

MeterId ServerId::text() const noexcept {
  char buffer[MeterId::capacity];
  const auto number = serial();
  if (number && *number <= serial_max) {
    char* out = buffer;
    *out++ = static_cast<char>('0' + u8(octets_[1]));
    out = std::ranges::copy(manufacturer(), out).out;
    out +=
        write_hex(octets_.subspan(din_block_at, 1), std::span(buffer).subspan(4), hex_upper).size();
    std::uint32_t rest = *number;
    for (char* digit = out + serial_digits; digit != out; rest /= 10)
      *--digit = static_cast<char>('0' + rest % 10);
    return MeterId({buffer, static_cast<std::size_t>(out + serial_digits - buffer)});
  }
  const Bytes shown = octets_.first(std::min(octets_.size(), sizeof buffer / 2));
  if (std::ranges::all_of(shown, is_printable)) return MeterId(text_of(shown));
  return MeterId(write_hex(shown, buffer, hex_upper));
}

const VendorRule* find_vendor_rule(const ServerId& server) noexcept {
  const std::string_view manufacturer = server.manufacturer();
  for (const VendorRule& rule : rules) {
    if (rule.manufacturer != manufacturer) continue;
    if (rule.serials.empty()) return &rule;
    const auto serial = server.serial();
    for (const VendorRule::Serials& range : rule.serials)
      if (serial && *serial >= range.first && *serial <= range.last) return &rule;
  }
  return nullptr;
}

}  // namespace meter::sml
