// SPDX-License-Identifier: Apache-2.0
// What an OBIS code says about its value (IEC 62056-61, groups C and D).
#include "meter/dlms/cosem.hpp"

#include <array>

namespace meter::dlms {
namespace {

constexpr std::uint8_t phase_offset = 20;  // C = base + 20 for L1, + 40 for L2, + 60 for L3
constexpr std::uint8_t phase_codes_max = 80;

// Values of group C of electricity, without phase.
constexpr std::uint8_t active_import = 1, active_export = 2, reactive_first = 3, reactive_last = 8,
                       apparent_import = 9, apparent_export = 10, current_any = 11,
                       voltage_any = 12, power_factor_any = 13, active_sum = 15,
                       active_quadrant_last = 20;
constexpr std::uint8_t current_sum = 90, current_neutral = 91, voltage_neutral = 92;
// Values of group C of abstract objects.
constexpr std::uint8_t device_type = 24, service_entries = 96, error_registers = 97;
// Values of group D.
constexpr std::uint8_t instantaneous = 7, time_integral = 8;

/// C without its phase; codes beyond the phases are their own.
constexpr std::uint8_t without_phase(std::uint8_t c) noexcept {
  if (c == 0 || c > phase_codes_max) return c;
  return static_cast<std::uint8_t>((c - 1) % phase_offset + 1);
}

constexpr ImpliedUnit of_integral(Magnitude magnitude, std::uint8_t c, Unit active, Unit reactive,
                                  Unit apparent) noexcept {
  if (c == active_import || c == active_export || (c >= active_sum && c <= active_quadrant_last))
    return {magnitude, active};
  if (c >= reactive_first && c <= reactive_last) return {magnitude, reactive};
  if (c == apparent_import || c == apparent_export) return {magnitude, apparent};
  return {};
}

constexpr ImpliedUnit of_instantaneous(std::uint8_t group_c) noexcept {
  const std::uint8_t c = without_phase(group_c);
  if (c == current_any || c == current_sum || c == current_neutral)
    return {Magnitude::current, Unit::ampere};
  if (c == voltage_any || c == voltage_neutral) return {Magnitude::voltage, Unit::volt};
  if (c == power_factor_any) return {Magnitude::power_factor, Unit::none};
  return of_integral(Magnitude::power, c, Unit::watt, Unit::var, Unit::volt_ampere);
}

constexpr ImpliedUnit of_time_integral(std::uint8_t group_c) noexcept {
  return of_integral(Magnitude::energy, without_phase(group_c), Unit::watt_hour, Unit::var_hour,
                     Unit::volt_ampere_hour);
}

/// By group C: this is asked for every value that has no scaler.
template <auto of>
constexpr auto by_group_c = [] {
  std::array<ImpliedUnit, 256> units{};
  for (unsigned c = 0; c < units.size(); ++c) units[c] = of(static_cast<std::uint8_t>(c));
  return units;
}();

}  // namespace

ImpliedUnit implied_unit(const Obis& obis) noexcept {
  if (obis.a == 0) {
    const bool is_device_type = obis.c == device_type && obis.d == 1;  // of an M-Bus client
    if (obis.c == service_entries || obis.c == error_registers || is_device_type)
      return {Magnitude::unscaled, Unit::none};
    return {};
  }
  if (obis.a != 1) return {};
  if (obis.c == 0) return {Magnitude::unscaled, Unit::none};  // identifiers of the meter
  if (obis.d == time_integral) return by_group_c<of_time_integral>[obis.c];
  if (obis.d == instantaneous) return by_group_c<of_instantaneous>[obis.c];
  return {};
}

}  // namespace meter::dlms
