// SPDX-License-Identifier: Apache-2.0
// From what a record measures to the code of its quantity.
#include "meter/mbus/quantities.hpp"

#include <algorithm>
#include <array>

namespace meter::mbus {
namespace {

/// An electricity meter's groups C and D (IEC 62056-61): C of imported, exported and undirected
/// quantities; each phase adds 20.
struct ElectricityRow {
  Measured measured;
  std::uint8_t imported, exported, undirected, d;
};
constexpr auto electricity_rows = std::to_array<ElectricityRow>({
    {Measured::energy, 1, 2, 1, 8},
    {Measured::reactive_energy, 3, 4, 3, 8},
    {Measured::apparent_energy, 9, 10, 9, 8},
    // Without a direction it has a sign: import minus export.
    {Measured::power, 1, 2, 16, 7},
    {Measured::reactive_power, 3, 4, 3, 7},
    {Measured::apparent_power, 9, 10, 9, 7},
    {Measured::voltage, 12, 12, 12, 7},
    {Measured::current, 11, 11, 11, 7},
    {Measured::frequency, 14, 14, 14, 7},
});
constexpr std::uint8_t phase_step = 20;
constexpr std::uint8_t tariff_max = 4;  // energy_import_t1 to t4
constexpr std::uint8_t energy_d = 8;

/// Codes of quantities without OBIS codes: rows of the quantity table, group A is ours.
struct OwnRow {
  Measured measured;
  Obis code;
};
constexpr auto own_rows = std::to_array<OwnRow>({
    {Measured::volume, "200-0:40.0.0"_obis},
    {Measured::energy, "200-0:41.0.0"_obis},
    {Measured::power, "200-0:42.0.0"_obis},
    {Measured::volume_flow, "200-0:43.0.0"_obis},
    {Measured::flow_temperature, "200-0:44.0.0"_obis},
    {Measured::return_temperature, "200-0:45.0.0"_obis},
    {Measured::temperature_difference, "200-0:46.0.0"_obis},
    {Measured::external_temperature, "200-0:47.0.0"_obis},
    {Measured::mass, "200-0:48.0.0"_obis},
    {Measured::pressure, "200-0:49.0.0"_obis},
    {Measured::operating_time, "200-0:51.0.0"_obis},
    {Measured::humidity, "200-0:52.0.0"_obis},
    {Measured::heat_cost, "200-0:53.0.0"_obis},
});

}  // namespace

Obis code_of(const Record& record, const ValueInformation& information,
             bool is_electricity) noexcept {
  if (!information.is_plain || record.storage != 0 || record.subunit != 0 ||
      record.function != ReadingDetail::Function::instantaneous)
    return {};
  if (information.measured == Measured::date_time && record.vif == 0x6d && record.tariff == 0)
    return "0-0:1.0.0"_obis;
  if (is_electricity) {
    const auto* row =
        std::ranges::find(electricity_rows, information.measured, &ElectricityRow::measured);
    if (row == electricity_rows.end()) return {};
    const bool has_tariffs = row->d == energy_d && information.phase == 0;
    if (record.tariff > (has_tariffs ? tariff_max : 0)) return {};
    const std::uint8_t c = information.direction == Direction::import_only   ? row->imported
                           : information.direction == Direction::export_only ? row->exported
                                                                             : row->undirected;
    return {1, 0, static_cast<std::uint8_t>(c + phase_step * information.phase), row->d,
            static_cast<std::uint8_t>(record.tariff), 255};
  }
  if (record.tariff != 0 || information.phase != 0 ||
      information.direction == Direction::export_only)
    return {};
  const auto* row = std::ranges::find(own_rows, information.measured, &OwnRow::measured);
  return row == own_rows.end() ? Obis{} : row->code;
}

}  // namespace meter::mbus
