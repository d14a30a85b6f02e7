// SPDX-License-Identifier: Apache-2.0
// The quantity table, and from registers to named readings.
#include "meter/quantity.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <utility>

namespace meter {
namespace {

using Use = Quantity::Use;

// Name, OBIS code, canonical unit, D-Bus property, Home Assistant device_class and state_class.
// Codes: IEC 62056-61; phases are C + 20 per phase. A name may have several codes. apparent_energy
// has no device_class because Home Assistant knows none for VAh.
constexpr auto table = std::to_array<Quantity>({
    {"energy_import", "1-0:1.8.0"_obis,
     Unit::kilowatt_hour, "EnergyImport", "energy", "total_increasing"},
    {"energy_import_t1", "1-0:1.8.1"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_t2", "1-0:1.8.2"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_t3", "1-0:1.8.3"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_t4", "1-0:1.8.4"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export", "1-0:2.8.0"_obis,
     Unit::kilowatt_hour, "EnergyExport", "energy", "total_increasing"},
    {"energy_export_t1", "1-0:2.8.1"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_t2", "1-0:2.8.2"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_t3", "1-0:2.8.3"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_t4", "1-0:2.8.4"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_l1", "1-0:21.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_l2", "1-0:41.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_l3", "1-0:61.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_l1", "1-0:22.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_l2", "1-0:42.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_l3", "1-0:62.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_abs", "1-0:15.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total"},
    {"energy_net", "1-0:16.8.0"_obis, Unit::kilowatt_hour, "", "energy", "total"},
    {"reactive_energy_import", "1-0:3.8.0"_obis,
     Unit::kilovar_hour, "ReactiveEnergyImport", "reactive_energy", "total_increasing"},
    {"reactive_energy_import_t1", "1-0:3.8.1"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_import_t2", "1-0:3.8.2"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_export", "1-0:4.8.0"_obis,
     Unit::kilovar_hour, "ReactiveEnergyExport", "reactive_energy", "total_increasing"},
    {"reactive_energy_export_t1", "1-0:4.8.1"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_export_t2", "1-0:4.8.2"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_q1", "1-0:5.8.0"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_q2", "1-0:6.8.0"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_q3", "1-0:7.8.0"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"reactive_energy_q4", "1-0:8.8.0"_obis,
     Unit::kilovar_hour, "", "reactive_energy", "total_increasing"},
    {"apparent_energy_import", "1-0:9.8.0"_obis,
     Unit::kilovolt_ampere_hour, "", "", "total_increasing"},
    {"apparent_energy_export", "1-0:10.8.0"_obis,
     Unit::kilovolt_ampere_hour, "", "", "total_increasing"},
    {"energy_collect", "1-0:1.128.0"_obis, Unit::kilowatt_hour, "", "energy", "total"},
    {"power_import", "1-0:1.7.0"_obis, Unit::watt, "PowerImport", "power", "measurement"},
    {"power_export", "1-0:2.7.0"_obis, Unit::watt, "PowerExport", "power", "measurement"},
    {"power_net", "1-0:16.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_abs", "1-0:15.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_import_l1", "1-0:21.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_import_l2", "1-0:41.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_import_l3", "1-0:61.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_export_l1", "1-0:22.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_export_l2", "1-0:42.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_export_l3", "1-0:62.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_l1", "1-0:36.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_l2", "1-0:56.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_l3", "1-0:76.7.0"_obis, Unit::watt, "", "power", "measurement"},
    {"reactive_power_import", "1-0:3.7.0"_obis,
     Unit::var, "ReactivePowerImport", "reactive_power", "measurement"},
    {"reactive_power_export", "1-0:4.7.0"_obis,
     Unit::var, "ReactivePowerExport", "reactive_power", "measurement"},
    {"reactive_power_import_l1", "1-0:23.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_import_l2", "1-0:43.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_import_l3", "1-0:63.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_export_l1", "1-0:24.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_export_l2", "1-0:44.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_export_l3", "1-0:64.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_q1", "1-0:5.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_q2", "1-0:6.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_q3", "1-0:7.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"reactive_power_q4", "1-0:8.7.0"_obis, Unit::var, "", "reactive_power", "measurement"},
    {"apparent_power_import", "1-0:9.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_export", "1-0:10.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_import_l1", "1-0:29.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_import_l2", "1-0:49.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_import_l3", "1-0:69.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_export_l1", "1-0:30.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_export_l2", "1-0:50.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"apparent_power_export_l3", "1-0:70.7.0"_obis,
     Unit::volt_ampere, "", "apparent_power", "measurement"},
    {"voltage_l1", "1-0:32.7.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"voltage_l2", "1-0:52.7.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"voltage_l3", "1-0:72.7.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"voltage_avg_l1", "1-0:32.24.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"voltage_avg_l2", "1-0:52.24.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"voltage_avg_l3", "1-0:72.24.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"voltage", "1-0:12.7.0"_obis, Unit::volt, "", "voltage", "measurement"},
    {"current_l1", "1-0:31.7.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"current_l2", "1-0:51.7.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"current_l3", "1-0:71.7.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"current", "1-0:11.7.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"current_sum", "1-0:90.7.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"current_neutral", "1-0:91.7.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"power_factor", "1-0:13.7.0"_obis, Unit::none, "PowerFactor", "power_factor", "measurement"},
    {"power_factor_l1", "1-0:33.7.0"_obis, Unit::none, "", "power_factor", "measurement"},
    {"power_factor_l2", "1-0:53.7.0"_obis, Unit::none, "", "power_factor", "measurement"},
    {"power_factor_l3", "1-0:73.7.0"_obis, Unit::none, "", "power_factor", "measurement"},
    {"frequency", "1-0:14.7.0"_obis, Unit::hertz, "Frequency", "frequency", "measurement"},
    {"angle_u2_u1", "1-0:81.7.1"_obis, Unit::degree, "", "", "measurement"},
    {"angle_u3_u1", "1-0:81.7.2"_obis, Unit::degree, "", "", "measurement"},
    {"angle_ui_l1", "1-0:81.7.4"_obis, Unit::degree, "", "", "measurement"},
    {"angle_ui_l2", "1-0:81.7.15"_obis, Unit::degree, "", "", "measurement"},
    {"angle_ui_l3", "1-0:81.7.26"_obis, Unit::degree, "", "", "measurement"},
    {"angle_ui_l1", "1-0:81.7.40"_obis, Unit::degree, "", "", "measurement"},
    {"angle_ui_l2", "1-0:81.7.51"_obis, Unit::degree, "", "", "measurement"},
    {"angle_ui_l3", "1-0:81.7.62"_obis, Unit::degree, "", "", "measurement"},
    {"power_demand_import", "1-0:1.4.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_demand_import_last", "1-0:1.5.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_demand_import_max", "1-0:1.6.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_avg_import", "1-0:1.24.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_avg_abs", "1-0:15.24.0"_obis, Unit::watt, "", "power", "measurement"},
    {"power_avg_net", "1-0:16.24.0"_obis, Unit::watt, "", "power", "measurement"},
    {"tariff", "0-0:96.14.0"_obis, Unit::none, "Tariff", "", ""},
    {"breaker_state", "0-0:96.3.10"_obis, Unit::none, "", "", ""},
    {"limiter_threshold", "0-0:17.0.0"_obis, Unit::watt, "", "", ""},
    {"fuse_threshold_l1", "1-0:31.4.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"fuse_threshold_l2", "1-0:51.4.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"fuse_threshold_l3", "1-0:71.4.0"_obis, Unit::ampere, "", "current", "measurement"},
    {"power_failures", "0-0:96.7.21"_obis, Unit::none, "", "", "total_increasing"},
    {"power_failures_long", "0-0:96.7.9"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_sags_l1", "1-0:32.32.0"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_sags_l2", "1-0:52.32.0"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_sags_l3", "1-0:72.32.0"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_swells_l1", "1-0:32.36.0"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_swells_l2", "1-0:52.36.0"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_swells_l3", "1-0:72.36.0"_obis, Unit::none, "", "", "total_increasing"},
    {"voltage_sag_duration_l1", "1-0:32.33.0"_obis, Unit::second, "", "", ""},
    {"voltage_sag_duration_l2", "1-0:52.33.0"_obis, Unit::second, "", "", ""},
    {"voltage_sag_duration_l3", "1-0:72.33.0"_obis, Unit::second, "", "", ""},
    {"voltage_sag_magnitude_l1", "1-0:32.34.0"_obis, Unit::volt, "", "", ""},
    {"voltage_sag_magnitude_l2", "1-0:52.34.0"_obis, Unit::volt, "", "", ""},
    {"voltage_sag_magnitude_l3", "1-0:72.34.0"_obis, Unit::volt, "", "", ""},
    {"text_message", "0-0:96.13.0"_obis, Unit::none, "", "", "", Use::text},
    {"text_code", "0-0:96.13.1"_obis, Unit::none, "", "", "", Use::text},
    {"timestamp", "0-0:1.0.0"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_id", "0-0:42.0.0"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_serial", "0-0:96.1.0"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_serial", "0-0:96.1.1"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_serial", "1-0:0.0.0"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_serial", "1-0:0.0.9"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_serial", "1-0:96.1.0"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_model", "0-0:96.1.7"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_firmware", "1-0:0.2.0"_obis, Unit::none, "", "", "", Use::identity},
    {"meter_status", "0-0:97.97.0"_obis, Unit::none, "", "", "", Use::identity},
    {"p1_version", "1-3:0.2.8"_obis, Unit::none, "", "", "", Use::identity},
    {"p1_version", "0-0:96.1.4"_obis, Unit::none, "", "", "", Use::identity},
    // A meter behind another one's P1 or M-Bus (B is its channel).
    {"volume", "0-0:24.2.1"_obis, Unit::cubic_metre, "Volume", "", "total_increasing"},
    {"energy", "0-0:24.2.1"_obis, Unit::kilowatt_hour, "Energy", "energy", "total_increasing"},
    {"reading", "0-0:24.2.1"_obis, Unit::none, "", "", "total_increasing"},
    {"capture_time", "0-0:24.2.1"_obis, Unit::none, "CaptureTime", "timestamp", "", Use::time},
    {"volume_uncorrected", "0-0:24.2.3"_obis, Unit::cubic_metre, "", "", "total_increasing"},
    {"capture_time", "0-0:24.2.3"_obis, Unit::none, "CaptureTime", "timestamp", "", Use::time},
    {"valve_state", "0-0:24.4.0"_obis, Unit::none, "", "", ""},
    {"device_type", "0-0:24.1.0"_obis, Unit::none, "", "", "", Use::identity},
    // Quantities without a code: records of EN 13757-3. Group A is ours.
    {"volume", "200-0:40.0.0"_obis, Unit::cubic_metre, "Volume", "", "total_increasing"},
    {"energy", "200-0:41.0.0"_obis, Unit::kilowatt_hour, "Energy", "energy", "total_increasing"},
    {"power", "200-0:42.0.0"_obis, Unit::watt, "", "power", "measurement"},
    {"volume_flow", "200-0:43.0.0"_obis, Unit::cubic_metre_per_hour, "", "volume_flow_rate",
     "measurement"},
    {"flow_temperature", "200-0:44.0.0"_obis, Unit::degree_celsius, "", "temperature",
     "measurement"},
    {"return_temperature", "200-0:45.0.0"_obis, Unit::degree_celsius, "", "temperature",
     "measurement"},
    {"temperature_difference", "200-0:46.0.0"_obis, Unit::kelvin, "", "", "measurement"},
    {"external_temperature", "200-0:47.0.0"_obis, Unit::degree_celsius, "", "temperature",
     "measurement"},
    {"mass", "200-0:48.0.0"_obis, Unit::kilogram, "", "", "total_increasing"},
    {"pressure", "200-0:49.0.0"_obis, Unit::bar, "", "pressure", "measurement"},
    {"relative_humidity", "200-0:52.0.0"_obis, Unit::percent, "", "humidity", "measurement"},
    {"operating_time", "200-0:51.0.0"_obis, Unit::hour, "", "duration", "total_increasing"},
    {"heat_cost_units", "200-0:53.0.0"_obis, Unit::none, "", "", "total_increasing"},
    {"capture_time", "200-0:56.0.0"_obis, Unit::none, "CaptureTime", "timestamp", "", Use::time},
    // … and fields of JSON. Those of a period begin again at 0, which is what Home Assistant takes
    // total_increasing for.
    {"energy_import_day", "200-0:1.8.1"_obis,
     Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_week", "200-0:1.8.2"_obis,
     Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_import_month", "200-0:1.8.3"_obis,
     Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_export_day", "200-0:2.8.1"_obis,
     Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_day", "200-0:41.8.1"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_week", "200-0:41.8.2"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"energy_month", "200-0:41.8.3"_obis, Unit::kilowatt_hour, "", "energy", "total_increasing"},
    {"volume_day", "200-0:40.8.1"_obis, Unit::cubic_metre, "", "", "total_increasing"},
    {"volume_week", "200-0:40.8.2"_obis, Unit::cubic_metre, "", "", "total_increasing"},
    {"volume_month", "200-0:40.8.3"_obis, Unit::cubic_metre, "", "", "total_increasing"},
    {"price_import_unit", "200-0:20.0.0"_obis, Unit::none, "", "", ""},
    {"standing_charge", "200-0:20.1.0"_obis, Unit::none, "", "", ""},
    {"prepay_credit", "200-0:20.2.0"_obis, Unit::none, "", "", ""},
    {"supply_status", "200-0:31.0.0"_obis, Unit::none, "", "", ""},
    {"link_rssi", "200-0:30.0.0"_obis, Unit::dbm, "", "signal_strength", "measurement"},
    {"link_lqi", "200-0:30.1.0"_obis, Unit::none, "", "", "measurement"},
});

/// Channel B does not tell quantities apart (E450 sends 1-0:1.7.0 beside 1-1:1.8.0), and only the
/// current value (F = 255) is a reading: a billing period's value keeps its code.
constexpr std::uint64_t key_of(Obis obis) noexcept {
  obis.b = 0;
  return obis.key();
}

/// Open addressing, at least twice as many slots as rows, filled at compile time.
constexpr unsigned slot_bits = 10;
constexpr std::size_t slot_count = std::size_t{1} << slot_bits;
static_assert(table.size() * 2 < slot_count);
constexpr std::size_t slot_of(std::uint64_t key) noexcept {
  constexpr std::uint64_t golden_ratio = 0x9e3779b97f4a7c15u;  // 2^64 / φ: spreads (Knuth 6.4)
  return static_cast<std::size_t>(key * golden_ratio >> (64 - slot_bits));
}
constexpr auto slots = [] {
  std::array<std::uint8_t, slot_count> index{};  // row + 1; 0 is free
  for (std::size_t row = 0; row < table.size(); ++row) {
    std::size_t slot = slot_of(key_of(table[row].obis));
    while (index[slot] != 0) slot = (slot + 1) % slot_count;
    index[slot] = static_cast<std::uint8_t>(row + 1);
  }
  return index;
}();
static_assert(table.size() < 255);

/// The first row of that code that `fits`; where none does, the first row.
template <class Fits>
const Quantity* find_by_obis(const Obis& obis, Fits fits) noexcept {
  const std::uint64_t key = key_of(obis);
  const Quantity* first = nullptr;
  for (std::size_t slot = slot_of(key); slots[slot] != 0; slot = (slot + 1) % slot_count) {
    const Quantity& row = table[slots[slot] - 1u];
    if (key_of(row.obis) != key) continue;
    if (fits(row)) return &row;
    if (!first) first = &row;
  }
  return first;
}

bool is_joule_for_energy(Unit from, Unit to) noexcept {
  return base_of(from).base == Unit::joule && base_of(to).base == Unit::watt_hour;
}

bool fits(const Quantity& row, const Reading& reading) noexcept {
  if (reading.kind() == Reading::Kind::date_time) return row.use == Use::time;
  if (reading.kind() != Reading::Kind::number) return row.use == Use::text;
  return row.use == Use::number && (row.unit == reading.unit() ||
                                    base_of(row.unit).base == base_of(reading.unit()).base ||
                                    is_joule_for_energy(reading.unit(), row.unit));
}

}  // namespace

std::span<const Quantity> quantities() noexcept { return table; }

const Quantity* find_quantity(std::string_view name) noexcept {
  const auto found = std::ranges::find(table, name, &Quantity::name);
  return found == table.end() ? nullptr : &*found;
}

struct QuantityMap::Table {
  std::vector<Change> changes;  // sorted by code, exact in every group
};

QuantityMap::QuantityMap() : table_(std::make_unique<Table>()) {}
QuantityMap::QuantityMap(std::vector<Change> changes) : QuantityMap() {
  std::ranges::sort(changes, {}, &Change::obis);
  table_->changes = std::move(changes);
}
QuantityMap::~QuantityMap() = default;
QuantityMap::QuantityMap(QuantityMap&&) noexcept = default;
QuantityMap& QuantityMap::operator=(QuantityMap&&) noexcept = default;

QuantityMap::Match QuantityMap::find(const Obis& obis) const noexcept {
  return changed(obis, find_by_obis(obis, [](const Quantity&) { return true; }));
}

QuantityMap::Match QuantityMap::find(const Reading& reading) const noexcept {
  return changed(reading.obis(), find_by_obis(reading.obis(), [&](const Quantity& row) {
                   return fits(row, reading);
                 }));
}

bool QuantityMap::gives(std::string_view name) const noexcept {
  return std::ranges::any_of(table_->changes, [&](const Change& c) { return c.name == name; }) ||
         std::ranges::any_of(table, [&](const Quantity& row) {
           return row.name == name && changed(row.obis, &row).name == name;
         });
}

/// The table's row as the user wants it.
QuantityMap::Match QuantityMap::changed(const Obis& obis, const Quantity* row) const noexcept {
  Match match;
  match.builtin = row;
  if (match.builtin) {
    match.name = match.builtin->name;
    match.unit = match.builtin->unit;
  }
  if (table_->changes.empty()) return match;
  const auto change = std::ranges::lower_bound(table_->changes, obis, {}, &Change::obis);
  if (change == table_->changes.end() || change->obis != obis) return match;
  if (change->name != match.name) match.builtin = find_quantity(change->name);
  match.name = change->name;
  if (match.builtin) match.unit = match.builtin->unit;
  if (change->unit) match.unit = *change->unit;
  match.scale = change->scale;
  return match;
}

Obis QuantityMap::code_of(std::string_view name) const noexcept {
  if (const Quantity* row = find_quantity(name)) return row->obis;
  const auto change = std::ranges::find(table_->changes, name, &Change::name);
  return name.empty() || change == table_->changes.end() ? Obis{} : change->obis;
}

namespace {

/// Joule to kWh with three decimals, half even.
std::optional<Decimal> kilowatt_hours(Decimal joule) noexcept {
  constexpr std::uint64_t divisor = 3600;  // 1 Wh = 3600 J
  const bool negative = joule.mantissa < 0;
  const auto mantissa = static_cast<std::uint64_t>(joule.mantissa);
  const std::uint64_t size = negative ? 0 - mantissa : mantissa;
  std::uint64_t quotient = size / divisor, rest = size % divisor;
  bool more = false;  // than `rest`, but less than one
  for (int e = joule.exponent; e > 0; --e) {
    if (quotient > INT64_MAX / 10) return std::nullopt;
    quotient = quotient * 10 + rest * 10 / divisor;
    rest = rest * 10 % divisor;
  }
  for (int e = joule.exponent; e < 0; ++e) {
    rest += quotient % 10 * divisor;
    quotient /= 10;
    more = more || rest % 10 != 0;
    rest /= 10;
  }
  constexpr std::uint64_t half = divisor / 2;
  if (rest > half || (rest == half && (more || quotient % 2 != 0))) ++quotient;
  if (quotient > INT64_MAX) return std::nullopt;
  const auto watt_hours = static_cast<std::int64_t>(quotient);
  return Decimal{negative ? -watt_hours : watt_hours, -3};
}

}  // namespace

std::optional<Decimal> convert(Decimal value, Unit from, Unit to) noexcept {
  if (from == to) return value;
  const ScaledUnit source = base_of(from), target = base_of(to);
  if (to == Unit::kilowatt_hour && source.base == Unit::joule &&
      value.exponent + source.power <= Decimal::exponent_max)
    return kilowatt_hours(value.scaled(source.power));
  if (from == Unit::day && to == Unit::hour && value.mantissa < INT64_MAX / 24 &&
      value.mantissa > INT64_MIN / 24)
    return Decimal{value.mantissa * 24, value.exponent};
  if (source.base != target.base) return std::nullopt;
  const int power = source.power - target.power;
  if (value.exponent + power < -Decimal::exponent_max ||
      value.exponent + power > Decimal::exponent_max)
    return std::nullopt;
  return value.scaled(power);
}

namespace {

const NamedReading* find(const NamedReadings& readings, std::string_view name) noexcept {
  for (const NamedReading& reading : readings)
    if (reading.name == name) return &reading;
  return nullptr;
}

void add(NamedReadings& out, std::string_view name, Decimal value, Unit unit, bool derived) {
  const bool added = out.push_back({.name = name, .value = value, .text = {}, .unit = unit,
                                    .derived = derived});
  assert(added);  // NamedReadings has room for every register and every derived value
  (void)added;
}

void add_reading(const ReadingSet& telegram, const Reading& reading, const QuantityMap& map,
                 NamedReadings& out) noexcept {
  const QuantityMap::Match match = map.find(reading);
  if (match.name.empty()) return;
  const Use use = match.builtin ? match.builtin->use : Use::number;
  if (use == Use::time) {
    const auto time = telegram.time_of(reading);
    if (!time || find(out, match.name)) return;
    (void)out.push_back({.name = match.name, .value = {}, .text = {}, .is_time = true,
                         .time = *time});
    return;
  }
  if (use == Use::text && reading.kind() == Reading::Kind::text) {
    if (find(out, match.name)) return;
    (void)out.push_back({.name = match.name, .value = {}, .text = reading.text(),
                         .unit = Unit::none, .is_text = true});
    return;
  }
  if (use != Use::number || reading.kind() != Reading::Kind::number) return;
  Decimal value = reading.value();
  Unit unit = reading.unit();
  if (reading.has(Reading::scale_unknown)) {
    if (!match.scale) return;
    value = value.scaled(*match.scale);
    if (unit == Unit::none) unit = match.unit;
  }
  // A user's own quantity without a unit keeps the unit that the meter sends.
  const bool keeps_unit = !match.builtin && match.unit == Unit::none;
  const auto converted = keeps_unit ? value : convert(value, unit, match.unit);
  if (!converted || find(out, match.name)) return;  // the first code of a name wins
  const bool inexact = !keeps_unit && is_joule_for_energy(unit, match.unit);
  add(out, match.name, *converted, keeps_unit ? unit : match.unit, inexact);
}

/// import − export, where the meter does not send the signed value itself; and the other way.
void derive_power(NamedReadings& out) noexcept {
  const NamedReading* net = find(out, "power_net");
  const NamedReading* imported = find(out, "power_import");
  const NamedReading* exported = find(out, "power_export");
  if (!net && imported && exported) {
    if (auto difference = Decimal::subtract(imported->value, exported->value))
      add(out, "power_net", *difference, Unit::watt, true);
  } else if (net && !imported && !exported) {
    const Decimal value = net->value;
    const Decimal zero{0, value.exponent}, negated{-value.mantissa, value.exponent};
    add(out, "power_import", value.mantissa > 0 ? value : zero, Unit::watt, true);
    add(out, "power_export", value.mantissa < 0 ? negated : zero, Unit::watt, true);
  }
}

/// A total from its tariffs, where the meter sends no total (Netherlands).
void derive_total(NamedReadings& out, std::string_view total,
                  const std::array<std::string_view, 4>& tariffs) noexcept {
  const NamedReading* first = find(out, tariffs[0]);
  if (find(out, total) || !first || !find(out, tariffs[1])) return;
  const Unit unit = first->unit;
  Decimal sum{0, first->value.exponent};
  for (std::string_view tariff : tariffs) {
    const NamedReading* part = find(out, tariff);
    if (!part) continue;
    const auto next = Decimal::add(sum, part->value);
    if (!next) return;
    sum = *next;
  }
  add(out, total, sum, unit, true);
}

}  // namespace

void harmonize(const ReadingSet& telegram, const QuantityMap& map, NamedReadings& out) noexcept {
  out.clear();
  for (const Reading& reading : telegram.readings)
    if (reading.sub_meter() == 0) add_reading(telegram, reading, map, out);
  derive_power(out);
  derive_total(out, "energy_import",
               {"energy_import_t1", "energy_import_t2", "energy_import_t3", "energy_import_t4"});
  derive_total(out, "energy_export",
               {"energy_export_t1", "energy_export_t2", "energy_export_t3", "energy_export_t4"});
}

UnknownName::UnknownName(const Obis& obis) noexcept {
  constexpr std::string_view prefix = "obis";
  char* out = std::copy(prefix.begin(), prefix.end(), text);
  char* const end = text + sizeof text;
  for (std::uint8_t group : {obis.a, obis.b, obis.c, obis.d, obis.e}) {
    *out++ = '_';
    out = std::to_chars(out, end, group).ptr;
  }
  if (obis.f != 255) {
    *out++ = '_';
    *out++ = 'f';
    out = std::to_chars(out, end, obis.f).ptr;
  }
  size = static_cast<std::size_t>(out - text);
}

std::string slug(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    out += plain ? lower : '-';
  }
  return out;
}

}  // namespace meter
