// SPDX-License-Identifier: Apache-2.0
// ServerId, VendorRule: whose telegram it is, and what that maker's meters do differently.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/obis.hpp"
#include "meter/reading.hpp"

namespace meter::sml {

/// The id of a meter or gateway as its telegrams carry it; a view.
class ServerId {
 public:
  ServerId() noexcept = default;
  explicit ServerId(Bytes octets) noexcept : octets_(octets) {}
  bool empty() const noexcept { return octets_.empty(); }
  /// The form of DIN 43863-5: 09 or 0A, medium, three letters, fabrication block, serial number.
  bool is_din() const noexcept;
  /// Three capital letters (FLAG), also of the older form 06 'EMH' …; empty where there are none.
  std::string_view manufacturer() const noexcept;
  /// The serial number of DIN 43863-5.
  std::optional<std::uint32_t> serial() const noexcept;
  /// What the meter is for (first figure of DIN 43863-5); electricity where it is not said.
  Medium medium() const noexcept;
  /// As printed on the meter, without blanks: "1DZG0042082910"; a text as it is; else hex digits,
  /// at most as many as a MeterId holds.
  MeterId text() const noexcept;

 private:
  Bytes octets_;
};

/// What a maker's telegrams need beyond the standard.
struct VendorRule {
  struct Serials {
    std::uint32_t first, last;
  };
  std::string_view name;             ///< the profile
  std::string_view manufacturer;     ///< of the server id
  std::span<const Serials> serials;  ///< empty: all
  /// A signed power shorter than four octets is not negative: its leading zeros were left out.
  bool short_power_is_positive;
  /// Energy flows to the grid while this bit of the status word of 1-0:1.8.0 is set; −1: no rule.
  int export_bit;
  Obis unsigned_power;  ///< to which `export_bit` gives a sign
  std::string_view why;
};

/// The rule for that meter, or null.
const VendorRule* find_vendor_rule(const ServerId& server) noexcept;

}  // namespace meter::sml
