// SPDX-License-Identifier: Apache-2.0
// The tables of VIFs: primary, extensions FB and FD, combinable VIFEs, and manufacturers' own.
#include "meter/mbus/vif.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace meter::mbus {
namespace {

/// Codes `first` to `last` (extension bit left out): the power of ten grows by one with each.
struct Row {
  std::uint8_t first, last;
  std::string_view label;
  Unit unit = Unit::none;
  std::int16_t power = 0;
  Measured measured = Measured::other;
  std::int16_t factor = 1;
  bool scale_known = true;
};
constexpr bool no_symbol = false;
using enum Measured;

// EN 13757-3 table 10.
constexpr auto primary = std::to_array<Row>({
    {0x00, 0x07, "energy", Unit::watt_hour, -3, energy},
    {0x08, 0x0f, "energy", Unit::joule, 0, energy},
    {0x10, 0x17, "volume", Unit::cubic_metre, -6, volume},
    {0x18, 0x1f, "mass", Unit::kilogram, -3, mass},
    {0x20, 0x20, "on time", Unit::second},
    {0x21, 0x21, "on time", Unit::minute},
    {0x22, 0x22, "on time", Unit::hour},
    {0x23, 0x23, "on time", Unit::day},
    {0x24, 0x24, "operating time", Unit::second, 0, operating_time},
    {0x25, 0x25, "operating time", Unit::minute, 0, operating_time},
    {0x26, 0x26, "operating time", Unit::hour, 0, operating_time},
    {0x27, 0x27, "operating time", Unit::day, 0, operating_time},
    {0x28, 0x2f, "power", Unit::watt, -3, power},
    {0x30, 0x37, "power", Unit::joule_per_hour, 0, power},
    {0x38, 0x3f, "volume flow", Unit::cubic_metre_per_hour, -6, volume_flow},
    {0x40, 0x47, "volume flow", Unit::cubic_metre_per_hour, -7, volume_flow, 60},
    {0x48, 0x4f, "volume flow", Unit::cubic_metre_per_hour, -9, volume_flow, 3600},
    {0x50, 0x57, "mass flow", Unit::kilogram_per_hour, -3},
    {0x58, 0x5b, "flow temperature", Unit::degree_celsius, -3, flow_temperature},
    {0x5c, 0x5f, "return temperature", Unit::degree_celsius, -3, return_temperature},
    {0x60, 0x63, "temperature difference", Unit::kelvin, -3, temperature_difference},
    {0x64, 0x67, "external temperature", Unit::degree_celsius, -3, external_temperature},
    {0x68, 0x6b, "pressure", Unit::bar, -3, pressure},
    {0x6c, 0x6c, "time point (date)", Unit::none, 0, date},
    {0x6d, 0x6d, "time point (date & time)", Unit::none, 0, date_time},
    {0x6e, 0x6e, "h.c.a.", Unit::none, 0, heat_cost},
    {0x70, 0x70, "averaging duration", Unit::second},
    {0x71, 0x71, "averaging duration", Unit::minute},
    {0x72, 0x72, "averaging duration", Unit::hour},
    {0x73, 0x73, "averaging duration", Unit::day},
    {0x74, 0x74, "actuality duration", Unit::second},
    {0x75, 0x75, "actuality duration", Unit::minute},
    {0x76, 0x76, "actuality duration", Unit::hour},
    {0x77, 0x77, "actuality duration", Unit::day},
    {0x78, 0x78, "fabrication number", Unit::none, 0, fabrication_number},
    {0x79, 0x79, "enhanced identification"},
    {0x7a, 0x7a, "bus address"},
    {0x7c, 0x7c, ""},  // the text is in the record
    {0x7e, 0x7e, "any VIF"},
    {0x7f, 0x7f, "manufacturer specific", Unit::none, 0, manufacturer_specific, 1, no_symbol},
});

// EN 13757-3 table 14, first extension VIFE behind FD.
constexpr auto extension_fd = std::to_array<Row>({
    {0x00, 0x03, "credit", Unit::currency, -3},
    {0x04, 0x07, "debit", Unit::currency, -3},
    {0x08, 0x08, "access number"},
    {0x09, 0x09, "medium"},
    {0x0a, 0x0a, "manufacturer"},
    {0x0b, 0x0b, "parameter set identification"},
    {0x0c, 0x0c, "model version"},
    {0x0d, 0x0d, "hardware version"},
    {0x0e, 0x0e, "firmware version"},
    {0x0f, 0x0f, "software version"},
    {0x10, 0x10, "customer location"},
    {0x11, 0x11, "customer"},
    {0x12, 0x12, "access code user"},
    {0x13, 0x13, "access code operator"},
    {0x14, 0x14, "access code system operator"},
    {0x15, 0x15, "access code developer"},
    {0x16, 0x16, "password"},
    {0x17, 0x17, "error flags"},
    {0x18, 0x18, "error mask"},
    {0x1a, 0x1a, "digital output"},
    {0x1b, 0x1b, "digital input"},
    {0x1c, 0x1c, "baud rate"},
    {0x1d, 0x1d, "response delay time"},
    {0x1e, 0x1e, "retry"},
    {0x20, 0x20, "first storage number for cyclic storage"},
    {0x21, 0x21, "last storage number for cyclic storage"},
    {0x22, 0x22, "size of storage block"},
    {0x24, 0x24, "storage interval", Unit::second},
    {0x25, 0x25, "storage interval", Unit::minute},
    {0x26, 0x26, "storage interval", Unit::hour},
    {0x27, 0x27, "storage interval", Unit::day},
    {0x28, 0x28, "storage interval", Unit::month},
    {0x29, 0x29, "storage interval", Unit::year},
    {0x2c, 0x2c, "duration since last readout", Unit::second},
    {0x2d, 0x2d, "duration since last readout", Unit::minute},
    {0x2e, 0x2e, "duration since last readout", Unit::hour},
    {0x2f, 0x2f, "duration since last readout", Unit::day},
    {0x30, 0x30, "start of tariff", Unit::none, 0, date_time},
    {0x31, 0x31, "duration of tariff", Unit::minute},
    {0x32, 0x32, "duration of tariff", Unit::hour},
    {0x33, 0x33, "duration of tariff", Unit::day},
    {0x34, 0x34, "period of tariff", Unit::second},
    {0x35, 0x35, "period of tariff", Unit::minute},
    {0x36, 0x36, "period of tariff", Unit::hour},
    {0x37, 0x37, "period of tariff", Unit::day},
    {0x38, 0x38, "period of tariff", Unit::month},
    {0x39, 0x39, "period of tariff", Unit::year},
    {0x3a, 0x3a, "dimensionless"},
    {0x40, 0x4f, "voltage", Unit::volt, -9, voltage},
    {0x50, 0x5f, "current", Unit::ampere, -12, current},
    {0x60, 0x60, "reset counter"},
    {0x61, 0x61, "cumulation counter"},
    {0x62, 0x62, "control signal"},
    {0x63, 0x63, "day of week"},
    {0x64, 0x64, "week number"},
    {0x65, 0x65, "time point of day change"},
    {0x66, 0x66, "state of parameter activation"},
    {0x67, 0x67, "special supplier information"},
    {0x68, 0x68, "duration since last cumulation", Unit::hour},
    {0x69, 0x69, "duration since last cumulation", Unit::day},
    {0x6a, 0x6a, "duration since last cumulation", Unit::month},
    {0x6b, 0x6b, "duration since last cumulation", Unit::year},
    {0x6c, 0x6c, "operating time of battery", Unit::hour},
    {0x6d, 0x6d, "operating time of battery", Unit::day},
    {0x6e, 0x6e, "operating time of battery", Unit::month},
    {0x6f, 0x6f, "operating time of battery", Unit::year},
    {0x70, 0x70, "date of battery change", Unit::none, 0, date_time},
    {0x71, 0x71, "reception level", Unit::dbm},
    {0x74, 0x74, "remaining battery life", Unit::day},
});

// EN 13757-3 table 12, first extension VIFE behind FB.
constexpr auto extension_fb = std::to_array<Row>({
    {0x00, 0x01, "energy", Unit::watt_hour, 5, energy},
    {0x02, 0x03, "reactive energy", Unit::var_hour, 3, reactive_energy},
    {0x04, 0x05, "apparent energy", Unit::volt_ampere_hour, 3, apparent_energy},
    {0x08, 0x09, "energy", Unit::joule, 8, energy},
    {0x0c, 0x0f, "energy (Mcal)", Unit::none, -1, other, 1, no_symbol},
    {0x10, 0x11, "volume", Unit::cubic_metre, 2, volume},
    {0x14, 0x17, "reactive power", Unit::var, 0, reactive_power},
    {0x18, 0x19, "mass", Unit::kilogram, 5, mass},
    {0x1a, 0x1b, "relative humidity", Unit::percent, -1, humidity},
    {0x20, 0x20, "volume (ft³)", Unit::none, 0, other, 1, no_symbol},
    {0x21, 0x21, "volume (ft³)", Unit::none, -1, other, 1, no_symbol},
    {0x22, 0x22, "volume (gal)", Unit::none, -1, other, 1, no_symbol},
    {0x23, 0x23, "volume (gal)", Unit::none, 0, other, 1, no_symbol},
    {0x24, 0x24, "volume flow (gal/min)", Unit::none, -3, other, 1, no_symbol},
    {0x25, 0x25, "volume flow (gal/min)", Unit::none, 0, other, 1, no_symbol},
    {0x26, 0x26, "volume flow (gal/h)", Unit::none, 0, other, 1, no_symbol},
    {0x28, 0x29, "power", Unit::watt, 5, power},
    {0x2a, 0x2a, "phase angle voltage to voltage", Unit::degree, -1},
    {0x2b, 0x2b, "phase angle voltage to current", Unit::degree, -1},
    {0x2c, 0x2f, "frequency", Unit::hertz, -3, frequency},
    {0x30, 0x31, "power", Unit::joule_per_hour, 8, power},
    {0x34, 0x37, "apparent power", Unit::volt_ampere, 0, apparent_power},
    {0x58, 0x5b, "flow temperature (°F)", Unit::none, -3, other, 1, no_symbol},
    {0x5c, 0x5f, "return temperature (°F)", Unit::none, -3, other, 1, no_symbol},
    {0x60, 0x63, "temperature difference (°F)", Unit::none, -3, other, 1, no_symbol},
    {0x64, 0x67, "external temperature (°F)", Unit::none, -3, other, 1, no_symbol},
    {0x70, 0x73, "temperature limit (°F)", Unit::none, -3, other, 1, no_symbol},
    {0x74, 0x77, "temperature limit", Unit::degree_celsius, -3},
    {0x78, 0x7f, "cumulative count of maximum power", Unit::watt, -3},
});

/// Rows, found by their codes.
struct Table {
  std::span<const Row> rows;
  std::array<std::uint8_t, 128> row_of{};  ///< row + 1 for each code; 0: reserved

  constexpr explicit Table(std::span<const Row> all) : rows(all) {
    for (std::size_t row = 0; row < rows.size(); ++row)
      for (std::size_t code = rows[row].first; code <= rows[row].last; ++code)
        row_of[code] = static_cast<std::uint8_t>(row + 1);
  }
};
constexpr Table primary_table(primary);
constexpr Table fd_table(extension_fd);
constexpr Table fb_table(extension_fb);

constexpr std::uint8_t code_mask = 0x7f;
constexpr std::uint8_t vif_extension_fb = 0xfb;
constexpr std::uint8_t vif_extension_fd = 0xfd;
constexpr std::uint8_t vife_second_table = 0xfc;
constexpr std::uint8_t manufacturer_specific_code = 0x7f;

void apply(const Table& table, std::uint8_t code, ValueInformation& out) noexcept {
  const std::uint8_t found = table.row_of[code & code_mask];
  if (found == 0) {
    out.label = "reserved VIF";
    out.scale_known = false;
    out.is_plain = false;
    return;
  }
  const Row& row = table.rows[found - 1u];
  out.label = row.label;
  out.unit = row.unit;
  out.power = static_cast<std::int16_t>(row.power + ((code & code_mask) - row.first));
  out.factor = row.factor;
  out.measured = row.measured;
  out.scale_known = row.scale_known;
}

void remark(ValueInformation& out, std::string_view words) noexcept {
  out.is_plain = false;
  (void)out.remarks.push_back(words);  // more than four say nothing more
}

/// Record errors, sent by a meter instead of, or with, a value (EN 13757-3 table 16).
struct RecordError {
  std::uint8_t code;
  std::string_view words;
};
constexpr auto record_errors = std::to_array<RecordError>({
    {0x01, "too many DIFEs"},
    {0x02, "storage number not implemented"},
    {0x03, "subunit not implemented"},
    {0x04, "tariff not implemented"},
    {0x05, "function not implemented"},
    {0x06, "data class not implemented"},
    {0x07, "data size not implemented"},
    {0x0b, "too many VIFEs"},
    {0x0c, "illegal VIF group"},
    {0x0d, "illegal VIF exponent"},
    {0x0e, "VIF and DIF mismatch"},
    {0x0f, "unimplemented action"},
    {0x15, "no data available"},
    {0x16, "data overflow"},
    {0x17, "data underflow"},
    {0x18, "data error"},
    {0x1c, "premature end of record"},
});

/// VIFEs that only say in words what the value is (EN 13757-3 table 15).
constexpr std::string_view words_of(std::uint8_t code) noexcept {
  switch (code) {
    case 0x12: return "average";
    case 0x13: return "inverse compact profile";
    case 0x1d: return "standard conformant data";
    case 0x1e: return "compact profile with registers";
    case 0x1f: return "compact profile";
    case 0x20: return "per second";
    case 0x21: return "per minute";
    case 0x22: return "per hour";
    case 0x23: return "per day";
    case 0x24: return "per week";
    case 0x25: return "per month";
    case 0x26: return "per year";
    case 0x27: return "per revolution or measurement";
    case 0x28: return "increment per input pulse, channel 0";
    case 0x29: return "increment per input pulse, channel 1";
    case 0x2a: return "increment per output pulse, channel 0";
    case 0x2b: return "increment per output pulse, channel 1";
    case 0x2c: return "per litre";
    case 0x2d: return "per m³";
    case 0x2e: return "per kg";
    case 0x2f: return "per K";
    case 0x30: return "per kWh";
    case 0x31: return "per GJ";
    case 0x32: return "per kW";
    case 0x33: return "per K·l";
    case 0x34: return "per V";
    case 0x35: return "per A";
    case 0x36: return "multiplied by s";
    case 0x37: return "multiplied by s/V";
    case 0x38: return "multiplied by s/A";
    case 0x3a: return "uncorrected";
    case 0x3d: return "non-metric unit";
    case 0x3e: return "at base conditions";
    case 0x3f: return "OBIS declaration";
    case 0x40: return "lower limit";
    case 0x48: return "upper limit";
    case 0x68: return "value during lower limit exceed";
    case 0x6c: return "value during upper limit exceed";
    case 0x78:
    case 0x79:
    case 0x7a:
    case 0x7b: return "without its additive correction";
    case 0x7e: return "future value";
    default: return "reserved VIFE";
  }
}

void become(ValueInformation& out, Unit unit, Measured measured) noexcept {
  out.unit = unit;
  out.power = 0;
  out.factor = 1;
  out.measured = measured;
  out.scale_known = true;
}

/// VIFEs that turn the value into the time, the number or the duration of what the VIF measures.
bool apply_occurrence(std::uint8_t code, ValueInformation& out) noexcept {
  constexpr std::array durations = {Unit::second, Unit::minute, Unit::hour, Unit::day};
  if (code == 0x39) {
    become(out, Unit::none, date_time);
    remark(out, "start date and time");
  } else if (code == 0x41 || code == 0x49) {
    become(out, Unit::none, other);
    remark(out, code == 0x41 ? "number of lower limit exceeds" : "number of upper limit exceeds");
  } else if ((code & 0xf2) == 0x42) {
    become(out, Unit::none, date_time);
    remark(out, "date and time of a limit exceed");
  } else if ((code & 0xf0) == 0x50) {
    become(out, durations[code & 3], other);
    remark(out, (code & 8) == 0 ? "duration of lower limit exceed"
                                : "duration of upper limit exceed");
  } else if ((code & 0xf8) == 0x60) {
    become(out, durations[code & 3], other);
    remark(out, "duration");
  } else if ((code & 0xfa) == 0x6a) {
    become(out, Unit::none, date_time);
    remark(out, (code & 1) == 0 ? "date and time of its beginning" : "date and time of its end");
  } else {
    return false;
  }
  return true;
}

void apply_combinable(std::uint8_t code, ValueInformation& out) noexcept {
  if (const auto* error = std::ranges::find(record_errors, code, &RecordError::code);
      error != record_errors.end()) {
    out.failed = true;
    remark(out, error->words);
  } else if (code == 0x3b || code == 0x3c) {
    out.direction = code == 0x3b ? Direction::import_only : Direction::export_only;
    (void)out.remarks.push_back(code == 0x3b ? "positive only" : "negative only");
  } else if (code >= 0x70 && code <= 0x77) {
    out.power = static_cast<std::int16_t>(out.power + (code - 0x70) - 6);
  } else if (code == 0x7d) {
    out.power = static_cast<std::int16_t>(out.power + 3);
  } else if (!apply_occurrence(code, out)) {
    remark(out, words_of(code));
  }
}

/// The second table of combinable VIFEs, behind FC (EN 13757-3 table 17).
void apply_second_table(std::uint8_t code, ValueInformation& out) noexcept {
  constexpr std::array<std::string_view, 3> phases = {"L1", "L2", "L3"};
  constexpr std::array<std::string_view, 3> between = {"L1 to L2", "L2 to L3", "L3 to L1"};
  if (code >= 1 && code <= 3) {
    out.phase = code;
    (void)out.remarks.push_back(phases[code - 1u]);
  } else if (code == 4) {
    remark(out, "neutral");
  } else if (code >= 5 && code <= 7) {
    remark(out, between[code - 5u]);
  } else {
    remark(out, "reserved VIFE");
  }
}

constexpr std::uint16_t letters(const char (&text)[4]) noexcept {
  return static_cast<std::uint16_t>((text[0] - 64) << 10 | (text[1] - 64) << 5 | (text[2] - 64));
}

constexpr std::uint16_t schneider = letters("SEC"), eltako = letters("ELT"), ime = letters("IME"),
                        kamstrup = letters("KAM");

/// What stands behind VIF FF: the manufacturer's code and, with some, a VIF that scales it. From
/// captures whose sources print the values.
struct ManufacturerRow {
  std::uint16_t manufacturer;
  std::uint8_t code;
  std::uint8_t scale;  ///< the VIF behind the code; 0: none
  std::string_view label;
  Unit unit = Unit::none;
  std::int16_t power = 0;
};
constexpr auto manufacturer_rows = std::to_array<ManufacturerRow>({
    {schneider, 0x0a, 0, "power factor"},
    {schneider, 0x0b, 0, "frequency", Unit::hertz},
    {schneider, 0x24, 0, "nominal frequency", Unit::hertz},
    // Volume times temperature, m³ × °C.
    {kamstrup, 0x07, 0, "volume times flow temperature"},
    {kamstrup, 0x08, 0, "volume times return temperature"},
    {ime, 0x00, 0x04, "energy", Unit::watt_hour, 1},
    {ime, 0x01, 0x04, "reactive energy", Unit::var_hour, 1},
    {ime, 0x04, 0x2b, "power", Unit::watt},
    {ime, 0x05, 0x2b, "reactive power", Unit::var},
    {ime, 0x06, 0x2b, "apparent power", Unit::volt_ampere},
    {ime, 0x07, 0x48, "voltage", Unit::volt, -1},
    {ime, 0x08, 0x48, "voltage between phases", Unit::volt, -1},
    {ime, 0x09, 0x59, "current", Unit::ampere, -3},
    {ime, 0x0a, 0x48, "frequency", Unit::hertz, -1},
    {ime, 0x0d, 0x2b, "power demand", Unit::watt},
    {ime, 0x0e, 0x2b, "maximum power demand", Unit::watt},
    {ime, 0x0f, 0x21, "operating time", Unit::minute},
    {ime, 0x5a, 0, "frequency", Unit::hertz, -1},
});

/// Registers only: what else the manufacturer means by them is not known.
void apply_manufacturer_code(Bytes vifes, std::uint16_t manufacturer,
                             ValueInformation& out) noexcept {
  out.is_plain = false;
  if (vifes.empty()) return;
  const unsigned code = u8(vifes[0]) & code_mask;
  const unsigned scale = vifes.size() > 1 ? u8(vifes[1]) & code_mask : 0;
  const auto* row = std::ranges::find_if(manufacturer_rows, [&](const ManufacturerRow& each) {
    return each.manufacturer == manufacturer && each.code == code && each.scale == scale;
  });
  if (row == manufacturer_rows.end()) return;
  out.label = row->label;
  out.unit = row->unit;
  out.power = row->power;
  out.measured = other;
  out.scale_known = true;
  for (const std::byte rest : vifes.subspan(std::min<std::size_t>(vifes.size(), 2)))
    apply_combinable(static_cast<std::uint8_t>(u8(rest) & code_mask), out);
}

/// Behind a VIF and FF a manufacturer's own VIFEs follow; of a few it is known what they say.
void apply_manufacturers(Bytes vifes, std::uint16_t manufacturer, ValueInformation& out) noexcept {
  const std::uint8_t code = vifes.size() == 1 ? static_cast<std::uint8_t>(vifes[0]) : 0;
  const bool names_phases = manufacturer == schneider || manufacturer == eltako;
  if (names_phases && code >= 1 && code <= 3) return apply_second_table(code, out);
  if (names_phases && code >= 5 && code <= 7) return apply_second_table(code, out);
  remark(out, "manufacturer specific");
}

}  // namespace

ValueInformation value_information(std::uint8_t vif, Bytes vifes,
                                   std::uint16_t manufacturer) noexcept {
  ValueInformation out;
  std::size_t at = 0;
  const auto take = [&] { return static_cast<std::uint8_t>(vifes[at++]); };
  if (vif == vif_extension_fd && !vifes.empty())
    apply(fd_table, take(), out);
  else if (vif == vif_extension_fb && !vifes.empty())
    apply(fb_table, take(), out);
  else
    apply(primary_table, vif, out);
  if (out.measured == manufacturer_specific) {
    apply_manufacturer_code(vifes, manufacturer, out);
    return out;
  }
  while (at < vifes.size()) {
    const std::uint8_t code = take();
    if ((code & code_mask) == manufacturer_specific_code) {
      apply_manufacturers(vifes.subspan(at), manufacturer, out);
      break;
    }
    if (code == vife_second_table && at < vifes.size())
      apply_second_table(take() & code_mask, out);
    else
      apply_combinable(code & code_mask, out);
  }
  return out;
}

void apply_subunit(std::uint16_t subunit, std::uint16_t manufacturer,
                   ValueInformation& information) noexcept {
  if (manufacturer != schneider || subunit != 1 || information.measured != energy) return;
  information.label = "reactive energy";
  information.unit = Unit::var_hour;
  information.measured = reactive_energy;
}

}  // namespace meter::mbus
