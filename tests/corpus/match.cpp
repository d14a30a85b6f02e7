// SPDX-License-Identifier: Apache-2.0
// Holds decoded telegrams against the readings that a capture's source gives.
#include "tests/corpus/match.hpp"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <memory>
#include <string_view>

#include "meter/base/hex.hpp"

namespace meter::corpus {
namespace {

/// The sources' names of registers; B of the code is a wildcard.
const std::map<std::string_view, std::string_view> obis_of_name = {
    {"active_power_import", "1-0:1.7.0"},
    {"active_power_export", "1-0:2.7.0"},
    {"reactive_power_import", "1-0:3.7.0"},
    {"reactive_power_export", "1-0:4.7.0"},
    {"active_energy_import", "1-0:1.8.0"},
    {"active_energy_export", "1-0:2.8.0"},
    {"reactive_energy_import", "1-0:3.8.0"},
    {"reactive_energy_export", "1-0:4.8.0"},
    {"voltage_l1", "1-0:32.7.0"},
    {"voltage_l2", "1-0:52.7.0"},
    {"voltage_l3", "1-0:72.7.0"},
    {"current_l1", "1-0:31.7.0"},
    {"current_l2", "1-0:51.7.0"},
    {"current_l3", "1-0:71.7.0"},
    {"active_power_import_l1", "1-0:21.7.0"},
    {"active_power_import_l2", "1-0:41.7.0"},
    {"active_power_import_l3", "1-0:61.7.0"},
    {"active_power_export_l1", "1-0:22.7.0"},
    {"active_power_export_l2", "1-0:42.7.0"},
    {"active_power_export_l3", "1-0:62.7.0"},
    {"reactive_power_import_l1", "1-0:23.7.0"},
    {"reactive_power_import_l2", "1-0:43.7.0"},
    {"reactive_power_import_l3", "1-0:63.7.0"},
    {"reactive_power_export_l1", "1-0:24.7.0"},
    {"reactive_power_export_l2", "1-0:44.7.0"},
    {"reactive_power_export_l3", "1-0:64.7.0"},
    {"list_ver_id", "1-1:0.2.129"},
    {"meter_type", "0-0:96.1.7"},
    {"gas_volume", "0-1:24.2.1"},
};

/// … and of readings, where the telegram has no codes (JSON).
const std::map<std::string_view, std::string_view> canonical_of_name = {
    {"active_power_import", "power_import"}, {"active_energy_import", "energy_import"},
    {"active_energy_export", "energy_export"}, {"gas_energy_import", "energy"},
    {"rssi", "link_rssi"}, {"lqi", "link_lqi"},
};

/// IEC 62056-21 prints reduced codes: letters stand for C = 96 to 99 (IEC 62056-61), the medium is
/// left out, and "9.20" has no E.
std::optional<Obis> code_of(std::string text) {
  if (text.find(':') == std::string::npos) {
    std::string spelt = text[0] == 'C' || text[0] == 'F' ? "0-0:" : "1-0:";
    for (char c : text) {
      const std::size_t letter = std::string_view("CFLP").find(c);
      if (letter == std::string_view::npos)
        spelt += c;
      else
        spelt += std::to_string(96 + letter);
    }
    if (std::ranges::count(spelt, '.') == 1) spelt += ".0";
    text = spelt;
  }
  return Obis::parse(text);
}

struct SourceUnit {
  std::string_view symbol;
  ScaledUnit unit;
};
std::optional<ScaledUnit> unit_of(const std::string& symbol) {
  static const SourceUnit special[] = {
      {"m3", {Unit::cubic_metre, 0}}, {"dm3", {Unit::cubic_metre, -3}},
      {"kwh", {Unit::watt_hour, 3}},  {"kw", {Unit::watt, 3}},
      {"v", {Unit::volt, 0}},         {"a", {Unit::ampere, 0}},
      {"MWh", {Unit::watt_hour, 6}},  {"\u00c2\u00b0", {Unit::degree, 0}},
      {"m3/h", {Unit::cubic_metre_per_hour, 0}},
  };
  for (const SourceUnit& row : special)
    if (row.symbol == symbol) return row.unit;
  if (const auto unit = unit_from_symbol(symbol)) return base_of(*unit);
  return std::nullopt;
}

/// 0: no unit of time.
double seconds_in(Unit unit) {
  switch (unit) {
    case Unit::second: return 1;
    case Unit::minute: return 60;
    case Unit::hour: return 3600;
    case Unit::day: return 86400;
    default: return 0;
  }
}

std::string utc_of(const DateTime& time) {
  const auto epoch = time.to_epoch_us();
  if (!epoch) return {};
  const std::time_t seconds = *epoch / 1'000'000;
  char text[32];
  std::strftime(text, sizeof text, "%FT%T", std::gmtime(&seconds));
  return text;
}

std::string hex_of(std::string_view octets) {
  std::string digits(2 * octets.size(), '0');
  (void)write_hex(bytes_of(octets), digits, hex_lower);
  return digits;
}

/// Some sources print a number as a number.
std::string without_zeros(const std::string& id) {
  return id.substr(std::min(id.find_first_not_of('0'), id.size()));
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

/// |a − b| ≤ the tolerance, or half a unit of the last digit that the source prints.
bool is_close(double a, const ExpectedReading& expected) {
  const std::string& text = *expected.value;
  const std::size_t point = text.find('.');
  const auto decimals = point == std::string::npos ? 0 : text.size() - point - 1;
  const double value = std::stod(text);
  const double tolerance = expected.tolerance
                               ? std::stod(*expected.tolerance)
                               : 0.5 * std::pow(10.0, -static_cast<double>(decimals));
  // A record's real32 is printed with more digits than it has.
  const double precision = expected.record ? 0x1.0p-24 : 1e-12;
  return std::abs(a - value) <= tolerance * (1 + 1e-9) + std::abs(value) * precision;
}

std::string printed(const Register& found) {
  char code[Obis::text_size_max], value[Decimal::text_size_max];
  std::string text(found.obis.is_standard() ? found.obis.to_text(code) : found.label);
  if (found.kind == Reading::Kind::number)
    return text + " = " + std::string(found.value.to_text(value)) + " " +
           std::string(symbol(found.unit)) + (found.scale_unknown ? " (scale unknown)" : "");
  return text + " = " + (found.time.empty() ? "'" + found.text + "'" : found.time);
}

bool same_number(const Register& found, const ExpectedReading& expected) {
  if (found.kind != Reading::Kind::number) return found.text == *expected.value;
  const double value = found.value.to_double();
  // A number without a unit may be what was sent, before any scaler.
  if (expected.unit.empty())
    return is_close(value, expected) ||
           is_close(static_cast<double>(found.value.mantissa), expected);
  if (found.scale_unknown) return false;
  const auto to = unit_of(expected.unit);
  if (!to) return is_close(value, expected);  // a unit of the source's own
  if (const double seconds = seconds_in(to->base); seconds != 0) {
    const double sent = seconds_in(found.unit);
    return sent != 0 && is_close(value * sent / seconds, expected);
  }
  const ScaledUnit from = base_of(found.unit);
  if (from.base == Unit::joule && to->base == Unit::watt_hour)
    return is_close(value / 3600 * std::pow(10.0, from.power - to->power), expected);
  // Differences of temperature are printed in either unit.
  const bool difference = symbol(found.unit) == "K" && to->base == Unit::degree_celsius;
  const bool comparable = from.base == to->base || found.unit == Unit::none || difference;
  return comparable && is_close(value * std::pow(10.0, from.power - to->power), expected);
}

/// A clock that was never set, printed all the same.
bool is_impossible_date(const std::string& text) {
  return text.size() >= 10 && text[4] == '-' && text[7] == '-' &&
         (text.substr(5, 2) == "00" || text.substr(8, 2) == "00" || text.substr(5, 2) > "12");
}

/// Texts are compared as sent, as hex digits of the octets, or as what hex digits stand for.
bool same_text(const Register& found, const std::string& expected) {
  return found.text == expected || hex_of(found.text) == lower(expected) ||
         lower(found.text) == hex_of(expected) ||
         (!found.time.empty() && found.time.substr(0, 19) == expected.substr(0, 19)) ||
         (!found.time.empty() && expected.size() == 10 && found.time.substr(0, 10) == expected) ||
         is_impossible_date(expected);
}

bool fits(const Register& found, const ExpectedReading& expected) {
  return expected.value ? same_number(found, expected) : same_text(found, expected.text);
}

std::string wanted(const ExpectedReading& expected) {
  return expected.value ? *expected.value + " " + expected.unit : "'" + expected.text + "'";
}

/// Of the registers with that code (or, failing that, that code on another channel), one fits.
std::string mismatch_by_code(const Telegram& telegram, const ExpectedReading& expected,
                             const Obis& obis) {
  const Register* nearest = nullptr;
  for (const bool exact : {true, false}) {
    for (const Register& each : telegram.registers) {
      Obis any_channel = each.obis;
      if (!exact && obis.a == 1 && each.obis.a == 1) any_channel.b = obis.b;
      if (any_channel != obis) continue;
      if (fits(each, expected)) return "";
      nearest = &each;
    }
    if (nearest) return printed(*nearest) + ", not " + wanted(expected);
  }
  char code[Obis::text_size_max];
  return std::string(obis.to_text(code)) + " is missing";
}

std::string mismatch_by_record(const Telegram& telegram, const ExpectedReading& expected) {
  std::size_t number = 0;
  for (const Register& each : telegram.registers) {
    if (!each.is_record) continue;
    if (number++ != expected.record->number) continue;
    const auto& record = *expected.record;
    if (!fits(each, expected)) return printed(each) + ", not " + wanted(expected);
    if (each.storage != record.storage || each.tariff != record.tariff ||
        each.subunit != record.subunit || each.function.find(record.function) == std::string::npos)
      return printed(each) + ": storage, tariff, subunit or function differ";
    return "";
  }
  return "record " + std::to_string(expected.record->number) + " is missing";
}

std::string mismatch_by_name(const Telegram& telegram, const ExpectedReading& expected) {
  if (const auto named = canonical_of_name.find(expected.name); named != canonical_of_name.end())
    for (const Telegram::Named& each : telegram.named)
      if (each.name == named->second) {
        Register found;
        found.value = each.value;
        found.unit = each.unit;
        found.label = each.name;
        if (fits(found, expected)) return "";
        return printed(found) + ", not " + wanted(expected);
      }
  if (const auto code = obis_of_name.find(expected.name); code != obis_of_name.end()) {
    const std::string wrong = mismatch_by_code(telegram, expected, *Obis::parse(code->second));
    if (wrong.empty()) return "";
    // Kamstrup's code of the meter's type.
    if (expected.name == "meter_type" &&
        mismatch_by_code(telegram, expected, "1-1:96.1.1"_obis).empty())
      return "";
    const auto is_record = [](const Register& r) { return r.is_record; };
    if (std::ranges::none_of(telegram.registers, is_record)) return wrong;
  }
  // A name of the source's own (wired M-Bus): some record must say just that.
  for (const Register& each : telegram.registers)
    if (each.is_record && fits(each, expected)) return "";
  return "no record says " + expected.name + " = " + wanted(expected);
}

std::string mismatch(const Telegram& telegram, const ExpectedTelegram& expected) {
  std::string all;
  for (const ExpectedReading& reading : expected.readings)
    if (auto one = mismatch(telegram, reading); !one.empty()) all += "\n  " + one;
  const auto names = [&](const Register& r) { return same_text(r, expected.meter); };
  if (!expected.meter.empty() && without_zeros(expected.meter) != without_zeros(telegram.meter) &&
      std::ranges::none_of(telegram.registers, names))
    all += "\n  meter " + telegram.meter + ", not " + expected.meter;
  // Some sources print the meter's local time, some UTC.
  const std::string time = expected.time.substr(0, 19);
  if (!time.empty() && telegram.time.substr(0, 19) != time && telegram.utc != time)
    all += "\n  time " + telegram.time + ", not " + expected.time;
  return all;
}

}  // namespace

Telegram keep(const ReadingSet& readings) {
  Telegram telegram;
  telegram.link = readings.link;
  telegram.profile = readings.profile;
  telegram.meter = readings.meter_id.view();
  char buffer[DateTime::text_size_max];
  if (readings.time) {
    telegram.time = readings.time->to_text(buffer);
    telegram.utc = utc_of(*readings.time);
  }
  for (const SubMeter& each : readings.sub_meters) telegram.sub_meters.emplace_back(each.id.view());
  for (std::size_t i = 0; i < readings.readings.size(); ++i) {
    const Reading& reading = readings.readings[i];
    Register kept{.obis = reading.obis(), .kind = reading.kind(), .unit = reading.unit()};
    kept.scale_unknown = reading.has(Reading::scale_unknown);
    if (reading.kind() == Reading::Kind::number)
      kept.value = reading.value();
    else
      kept.text = reading.text();
    if (const auto time = reading.date_time()) kept.time = time->to_text(buffer);
    if (!readings.details.empty()) {
      const ReadingDetail& detail = readings.details[i];
      kept.label = detail.label;
      kept.is_record = detail.is_record;
      kept.storage = detail.storage;
      kept.tariff = detail.tariff;
      kept.subunit = detail.subunit;
      kept.function = name(detail.function);
    }
    telegram.registers.push_back(std::move(kept));
  }
  static const QuantityMap map;
  const auto named = std::make_unique<NamedReadings>();
  harmonize(readings, map, *named);
  for (const NamedReading& each : *named)
    if (!each.is_text && !each.is_time)
      telegram.named.push_back({std::string(each.name), each.value, each.unit});
  return telegram;
}

std::string mismatch(const Telegram& telegram, const ExpectedReading& expected) {
  if (expected.record) return mismatch_by_record(telegram, expected);
  if (expected.obis.empty()) return mismatch_by_name(telegram, expected);
  // As the meter printed it.
  for (const Register& each : telegram.registers)
    if (each.label == expected.obis && fits(each, expected)) return "";
  const auto obis = code_of(expected.obis);
  if (!obis) return expected.obis + " is no code";
  std::string wrong = mismatch_by_code(telegram, expected, *obis);
  // "2063-25-25" stands for: not captured yet.
  const bool possible = expected.time.size() < 10 || expected.time.substr(5, 2) <= "12";
  if (!wrong.empty() || expected.time.empty() || !possible) return wrong;
  for (const Register& each : telegram.registers)
    if (each.obis == *obis && each.time.substr(0, 19) == expected.time.substr(0, 19)) return "";
  return expected.obis + ": not captured at " + expected.time;
}

std::string mismatch(const std::vector<Telegram>& telegrams, const Expectation& expectation) {
  std::string all;
  if (expectation.telegrams.size() == 1 && telegrams.size() > 1) {
    // Sources that show a meter's values, not its telegrams.
    Telegram merged = telegrams.front();
    for (const Telegram& each : telegrams)
      merged.registers.insert(merged.registers.end(), each.registers.begin(), each.registers.end());
    if (mismatch(merged, expectation.telegrams[0]).empty()) return "";
  }
  const bool paired = telegrams.size() == expectation.telegrams.size();
  for (std::size_t k = 0; k < expectation.telegrams.size(); ++k) {
    std::string best = "\n  no telegram";
    for (std::size_t i = 0; i < telegrams.size(); ++i) {
      if (paired && i != k) continue;
      best = mismatch(telegrams[i], expectation.telegrams[k]);
      if (best.empty()) break;
    }
    all += best;
  }
  return all;
}

}  // namespace meter::corpus
