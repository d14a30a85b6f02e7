// SPDX-License-Identifier: Apache-2.0
// Unit: the COSEM unit enumeration.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace meter {

/// COSEM unit (DLMS UA Blue Book, class 3, scaler_unit table); the value is the wire's enum.
/// Values of 200 and above are ours, for units that P1 and M-Bus send and COSEM lacks.
enum class Unit : std::uint8_t {
  year = 1, month = 2, week = 3, day = 4, hour = 5, minute = 6, second = 7, degree = 8,
  degree_celsius = 9, currency = 10, metre = 11, cubic_metre = 13, cubic_metre_corrected = 14,
  cubic_metre_per_hour = 15, litre = 19, kilogram = 20, bar = 24, joule = 25, joule_per_hour = 26,
  watt = 27, volt_ampere = 28, var = 29, watt_hour = 30, volt_ampere_hour = 31, var_hour = 32,
  ampere = 33, volt = 35,
  hertz = 44, kelvin = 52, percent = 56, dbm = 70, other = 254, none = 255,
  kilowatt_hour = 200, kilovar_hour = 201, kilovolt_ampere_hour = 202, kilowatt = 203,
  kilovar = 204, kilovolt_ampere = 205, gigajoule = 206, megajoule = 207, milliampere = 208,
  kilogram_per_hour = 209,
};

/// "Wh", "m³", "" for none and for units without a symbol.
std::string_view symbol(Unit unit) noexcept;
/// True for every value that the COSEM table assigns (1–57, 60–67, 70–72, 128–174, 253–255).
constexpr bool is_cosem_unit(std::uint8_t value) noexcept {
  return (value >= 1 && value <= 57) || (value >= 60 && value <= 67) ||
         (value >= 70 && value <= 72) || (value >= 128 && value <= 174) || value >= 253;
}
/// The unit of a symbol as meters print it ("kWh", "m3", "kvarh"); nothing if unknown.
std::optional<Unit> unit_from_symbol(std::string_view symbol) noexcept;

/// A unit as a power of ten of its base: kWh = 10^3 Wh.
struct ScaledUnit {
  Unit base;
  int power;
};
/// kWh → {Wh, 3}; a base unit → {itself, 0}.
ScaledUnit base_of(Unit unit) noexcept;

}  // namespace meter
