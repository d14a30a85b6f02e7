// SPDX-License-Identifier: Apache-2.0
// Symbols of the units (DLMS UA Blue Book, class 3, table of unit; symbols per ISO 80000).
#include "meter/unit.hpp"

#include <array>

namespace meter {
namespace {

struct Row {
  Unit unit;
  std::string_view symbol;
  Unit base;
  int power;
};

constexpr std::array rows = {
    Row{Unit::watt_hour, "Wh", Unit::watt_hour, 0},
    Row{Unit::watt, "W", Unit::watt, 0},
    Row{Unit::volt, "V", Unit::volt, 0},
    Row{Unit::ampere, "A", Unit::ampere, 0},
    Row{Unit::var, "var", Unit::var, 0},
    Row{Unit::var_hour, "varh", Unit::var_hour, 0},
    Row{Unit::volt_ampere, "VA", Unit::volt_ampere, 0},
    Row{Unit::volt_ampere_hour, "VAh", Unit::volt_ampere_hour, 0},
    Row{Unit::hertz, "Hz", Unit::hertz, 0},
    Row{Unit::cubic_metre, "m³", Unit::cubic_metre, 0},
    Row{Unit::cubic_metre_corrected, "m³", Unit::cubic_metre, 0},
    Row{Unit::cubic_metre_per_hour, "m³/h", Unit::cubic_metre_per_hour, 0},
    Row{Unit::litre, "l", Unit::cubic_metre, -3},
    Row{Unit::joule, "J", Unit::joule, 0},
    Row{Unit::degree_celsius, "°C", Unit::degree_celsius, 0},
    Row{Unit::degree, "°", Unit::degree, 0},
    Row{Unit::percent, "%", Unit::percent, 0},
    Row{Unit::second, "s", Unit::second, 0},
    Row{Unit::minute, "min", Unit::minute, 0},
    Row{Unit::hour, "h", Unit::hour, 0},
    Row{Unit::day, "d", Unit::day, 0},
    Row{Unit::week, "wk", Unit::week, 0},
    Row{Unit::month, "mo", Unit::month, 0},
    Row{Unit::year, "a", Unit::year, 0},
    Row{Unit::metre, "m", Unit::metre, 0},
    Row{Unit::kilogram, "kg", Unit::kilogram, 0},
    Row{Unit::kelvin, "K", Unit::kelvin, 0},
    Row{Unit::bar, "bar", Unit::bar, 0},
    Row{Unit::joule_per_hour, "J/h", Unit::joule_per_hour, 0},
    Row{Unit::kilogram_per_hour, "kg/h", Unit::kilogram_per_hour, 0},
    Row{Unit::dbm, "dBm", Unit::dbm, 0},
    Row{Unit::kilowatt_hour, "kWh", Unit::watt_hour, 3},
    Row{Unit::kilovar_hour, "kvarh", Unit::var_hour, 3},
    Row{Unit::kilovolt_ampere_hour, "kVAh", Unit::volt_ampere_hour, 3},
    Row{Unit::kilowatt, "kW", Unit::watt, 3},
    Row{Unit::kilovar, "kvar", Unit::var, 3},
    Row{Unit::kilovolt_ampere, "kVA", Unit::volt_ampere, 3},
    Row{Unit::gigajoule, "GJ", Unit::joule, 9},
    Row{Unit::megajoule, "MJ", Unit::joule, 6},
    Row{Unit::milliampere, "mA", Unit::ampere, -3},
};

const Row* find(Unit unit) noexcept {
  for (const Row& row : rows)
    if (row.unit == unit) return &row;
  return nullptr;
}

}  // namespace

std::string_view symbol(Unit unit) noexcept {
  const Row* row = find(unit);
  return row ? row->symbol : std::string_view{};
}

std::optional<Unit> unit_from_symbol(std::string_view symbol) noexcept {
  if (symbol == "m3") return Unit::cubic_metre;
  for (const Row& row : rows)
    if (row.symbol == symbol) return row.unit;
  return std::nullopt;
}

ScaledUnit base_of(Unit unit) noexcept {
  const Row* row = find(unit);
  return row ? ScaledUnit{row->base, row->power} : ScaledUnit{unit, 0};
}

}  // namespace meter
