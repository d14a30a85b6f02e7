// SPDX-License-Identifier: Apache-2.0
// ValueInformation: what the VIF and VIFEs of a data record say about its value (EN 13757-3).
#pragma once

#include <cstdint>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/inline_vector.hpp"
#include "meter/unit.hpp"

namespace meter::mbus {

/// What is measured, as far as a canonical quantity may come of it.
enum class Measured : std::uint8_t {
  other, energy, volume, mass, power, volume_flow, flow_temperature, return_temperature,
  temperature_difference, external_temperature, pressure, operating_time, heat_cost, humidity,
  reactive_energy, apparent_energy, reactive_power, apparent_power, voltage, current, frequency,
  date, date_time, fabrication_number, manufacturer_specific,
};

/// Direction of flow that a VIFE names.
enum class Direction : std::uint8_t { unsaid, import_only, export_only };

/// The chain VIF, VIFE … of one record, read.
struct ValueInformation {
  std::string_view label;  ///< "volume flow"; empty where the record brings its own text
  Unit unit = Unit::none;
  std::int16_t power = 0;   ///< value = number × factor × 10^power, in `unit`
  std::int16_t factor = 1;
  Measured measured = Measured::other;
  Direction direction = Direction::unsaid;
  std::uint8_t phase = 0;   ///< 1 to 3 for L1 to L3
  bool scale_known = true;  ///< false: a unit that has no symbol here, or the manufacturer's own
  bool failed = false;      ///< the meter says that it has no value (EN 13757-3 table 16)
  /// Nothing but scaling, direction and phase was said: it may be the meter's current value.
  bool is_plain = true;
  /// What else the VIFEs say, in words: "uncorrected", "L1".
  InlineVector<std::string_view, 4> remarks;
};

/// No chain is longer (EN 13757-3 6.3.3).
inline constexpr std::size_t vife_count_max = 10;

/// Reads a chain: `vif` and `vifes` with their extension bits, as sent. `manufacturer` as in the
/// header (0: not sent) decides what VIFEs behind FF mean.
ValueInformation value_information(std::uint8_t vif, Bytes vifes,
                                   std::uint16_t manufacturer) noexcept;

/// What a manufacturer counts under a subunit: Schneider's iEM3000 sends reactive energy as
/// energy of subunit 1.
void apply_subunit(std::uint16_t subunit, std::uint16_t manufacturer,
                   ValueInformation& information) noexcept;

}  // namespace meter::mbus
