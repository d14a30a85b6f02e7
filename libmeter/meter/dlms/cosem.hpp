// SPDX-License-Identifier: Apache-2.0
// COSEM: logical names, scaler_unit and what an OBIS code says about a value without one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/dlms/axdr.hpp"
#include "meter/obis.hpp"
#include "meter/unit.hpp"

namespace meter::dlms {

/// True for a 6-octet octet string whose groups are in use (IEC 62056-61): A 0–9, B 0–64, C 0–199,
/// D 0–128, F 0–126 or 255. Meters also send 6-octet texts ("160456"): these have A above 9.
inline bool is_logical_name(const Element& element) noexcept {
  if (element.tag != DataTag::octet_string || element.size != 6) return false;
  const std::byte* const o = element.content;
  return u8(o[0]) <= 9 && u8(o[1]) <= 64 && u8(o[2]) <= 199 && u8(o[3]) <= 128 &&
         (u8(o[5]) == 255 || u8(o[5]) <= 126);
}
/// The code; only where is_logical_name().
inline Obis logical_name(const Element& element) noexcept {
  return Obis::from_octets(std::span<const std::byte, 6>(element.content, 6));
}

/// scaler_unit (Blue Book, class 3 attribute 3): value × 10^scaler in `unit`.
struct ScalerUnit {
  /// No meter scales further; beyond it a structure of two is something else.
  static constexpr int scaler_max = 10;
  std::int8_t scaler = 0;
  Unit unit = Unit::none;
};
/// True for a scaler_unit with a scaler of ±scaler_max and a unit of the table.
inline bool is_scaler_unit(const Element& element) noexcept {
  if (element.tag != DataTag::scaler_unit) return false;
  const auto power = static_cast<std::int8_t>(element.content[0]);
  return power >= -ScalerUnit::scaler_max && power <= ScalerUnit::scaler_max &&
         is_cosem_unit(static_cast<std::uint8_t>(element.content[2]));
}
/// Scaler and unit; only where is_scaler_unit().
inline ScalerUnit scaler_unit(const Element& element) noexcept {
  return {static_cast<std::int8_t>(element.content[0]), static_cast<Unit>(element.content[2])};
}

/// True for 12 octets that start like a date-time of the years 2000 to 2100 (a text of 12
/// characters starts beyond); whether it is a possible date, DateTime::from_cosem says.
inline bool is_date_time(Bytes octets) noexcept {
  if (octets.size() != 12) return false;
  const unsigned year = u8(octets[0]) << 8 | u8(octets[1]);
  return year >= 2000 && year <= 2100 && u8(octets[2]) <= 12 && u8(octets[3]) <= 31;
}

/// What kind of value an OBIS code names, as far as scaling goes.
enum class Magnitude : std::uint8_t {
  other,     ///< nothing is known: a scaler is needed
  unscaled,  ///< states, counts and identifiers, which COSEM keeps in classes without a scaler
  energy,
  power,
  voltage,
  current,
  power_factor,
};
struct ImpliedUnit {
  Magnitude magnitude = Magnitude::other;
  Unit unit = Unit::none;
};
/// Magnitude and base unit of a code (IEC 62056-61 groups C and D).
ImpliedUnit implied_unit(const Obis& obis) noexcept;

}  // namespace meter::dlms
