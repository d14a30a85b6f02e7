// SPDX-License-Identifier: Apache-2.0
// Codes, values and units of data lines.
#include "meter/data_line.hpp"

#include <cstddef>

namespace meter {
namespace {

/// C.D.E letters (IEC 62056-61 5.7): general service, error, list, profile.
constexpr int letter_code(char letter) noexcept {
  switch (letter) {
    case 'C': return 96;
    case 'F': return 97;
    case 'L': return 98;
    case 'P': return 99;
    default: return -1;
  }
}

/// Reads a group: one to three digits up to 255, or a letter where there may be one. −1: neither.
int take_group(const char*& at, const char* end, bool letters) noexcept {
  if (at == end) return -1;
  unsigned value = static_cast<unsigned>(*at - '0');
  if (value > 9) {
    const int code = letters ? letter_code(*at) : -1;
    if (code >= 0) ++at;
    return code;
  }
  ++at;
  for (int digits = 1; digits < 3 && at != end; ++digits) {
    const unsigned digit = static_cast<unsigned>(*at - '0');
    if (digit > 9) break;
    value = value * 10 + digit;
    ++at;
  }
  return value <= 255 ? static_cast<int>(value) : -1;
}

/// A unit's letters in one number: lower case, the first one lowest; 0 if there are too many.
constexpr std::uint64_t unit_key(std::string_view text) noexcept {
  if (text.size() > 8) return 0;
  std::uint64_t key = 0;
  for (std::size_t i = text.size(); i-- > 0;)
    key = key << 8 | (static_cast<unsigned char>(text[i]) | 0x20u);
  return key;
}

struct SentUnit {
  Unit unit;
  int power;  ///< of ten, from the sent unit to `unit`
};
/// Symbols as meters print them; three of DSMR, the rest of IEC 62056-21 readouts.
constexpr SentUnit sent_unit(std::string_view text) noexcept {
  switch (unit_key(text)) {
    case unit_key("kWh"): return {Unit::kilowatt_hour, 0};
    case unit_key("kW"): return {Unit::kilowatt, 0};
    case unit_key("W"): return {Unit::watt, 0};
    case unit_key("Wh"): return {Unit::watt_hour, 0};
    case unit_key("MW"): return {Unit::kilowatt, 3};
    case unit_key("MWh"): return {Unit::kilowatt_hour, 3};
    case unit_key("V"): return {Unit::volt, 0};
    case unit_key("kV"): return {Unit::volt, 3};
    case unit_key("A"): return {Unit::ampere, 0};
    case unit_key("mA"): return {Unit::milliampere, 0};
    case unit_key("kvarh"): return {Unit::kilovar_hour, 0};
    case unit_key("kvar"): return {Unit::kilovar, 0};
    case unit_key("varh"): return {Unit::var_hour, 0};
    case unit_key("var"): return {Unit::var, 0};
    case unit_key("Mvarh"): return {Unit::kilovar_hour, 3};
    case unit_key("Mvar"): return {Unit::kilovar, 3};
    case unit_key("kVAh"): return {Unit::kilovolt_ampere_hour, 0};
    case unit_key("kVA"): return {Unit::kilovolt_ampere, 0};
    case unit_key("VAh"): return {Unit::volt_ampere_hour, 0};
    case unit_key("VA"): return {Unit::volt_ampere, 0};
    case unit_key("Hz"): return {Unit::hertz, 0};
    case unit_key("m3"):
    case unit_key("m\xb3"):  // ISO 8859-1
    case unit_key("m³"): return {Unit::cubic_metre, 0};
    case unit_key("l"): return {Unit::litre, 0};
    case unit_key("dm3"): return {Unit::litre, 0};
    case unit_key("m3/h"):
    case unit_key("m3h"):
    case unit_key("m³/h"): return {Unit::cubic_metre_per_hour, 0};
    case unit_key("l/h"): return {Unit::cubic_metre_per_hour, -3};
    case unit_key("GJ"): return {Unit::gigajoule, 0};
    case unit_key("MJ"): return {Unit::megajoule, 0};
    case unit_key("kJ"): return {Unit::joule, 3};
    case unit_key("J"): return {Unit::joule, 0};
    case unit_key("s"): return {Unit::second, 0};
    case unit_key("min"): return {Unit::minute, 0};
    case unit_key("h"): return {Unit::hour, 0};
    case unit_key("d"): return {Unit::day, 0};
    case unit_key("C"):
    case unit_key("\xb0""C"):
    case unit_key("°C"): return {Unit::degree_celsius, 0};
    case unit_key("Deg"):
    case unit_key("\xb0"):
    case unit_key("°"): return {Unit::degree, 0};
    case unit_key("%"): return {Unit::percent, 0};
    case unit_key("kg"): return {Unit::kilogram, 0};
    default: return {Unit::other, 0};
  }
}

/// Reads a code; `at` is behind it then. False: there is none.
bool take_code(const char*& at, const char* const end, Obis& obis) noexcept {
  const char* const code = at;
  const auto is = [&](char c) { return at != end && *at == c; };
  const auto octet = [](int group) { return static_cast<std::uint8_t>(group); };

  int first = take_group(at, end, true);
  if (first < 0) return false;
  obis = {.a = 1};
  const bool has_medium = is('-');
  if (has_medium) {
    ++at;
    const int channel = take_group(at, end, false);
    if (channel < 0 || !is(':') || code[0] > '9') return false;
    ++at;
    obis.a = octet(first);
    obis.b = octet(channel);
    first = take_group(at, end, true);
    if (first < 0) return false;
  }
  obis.c = octet(first);
  if (!has_medium && (code[0] == 'C' || code[0] == 'F')) obis.a = 0;
  const bool misprint = is(':');
  if (!misprint && !is('.')) return false;
  ++at;
  const int d = take_group(at, end, true);
  if (d < 0) return false;
  obis.d = octet(d);
  if (is('.')) {
    ++at;
    const int e = take_group(at, end, false);
    if (e < 0) return false;
    obis.e = octet(e);
  } else if (misprint) {
    return false;
  }
  if (at == end || *at == '(') return true;
  // With the misprint in front, this is another fault (1-0:4:24.7.0 of an old Kamstrup).
  if (misprint || (*at != '*' && *at != '&' && *at != '.')) return false;
  ++at;
  const int f = take_group(at, end, false);
  if (f < 0) return false;
  obis.f = octet(f);
  return true;
}

}  // namespace

std::optional<Obis> parse_line_code(std::string_view code) noexcept {
  const char* at = code.data();
  const char* const end = at + code.size();
  Obis obis;
  if (!take_code(at, end, obis) || at != end) return std::nullopt;
  return obis;
}

std::optional<DataSet> next_data_set(std::string_view& line) noexcept {
  const char* const begin = line.data();
  const char* const end = begin + line.size();
  const char* at = begin;
  Obis obis;
  if (at == end || (*at != '(' && !take_code(at, end, obis))) return std::nullopt;
  if (at == end || *at != '(') return std::nullopt;
  const std::string_view code(begin, at);
  const char* const values = at;
  std::size_t count = 0;
  for (; at != end && *at == '('; ++count) {
    do ++at;  // values are short: faster than any search
    while (at != end && *at != ')' && *at != '(');
    if (at == end || *at == '(') return std::nullopt;
    ++at;
  }
  line = std::string_view(at, end);
  return DataSet{obis, code, ValueGroups(std::string_view(values, at)), count};
}

DataValue parse_data_value(std::string_view value) noexcept {
  DataValue parsed;
  // Nearly every value: up to 17 digits with a point between them, in one pass to `*`.
  constexpr std::size_t plain_size_max = 18;
  std::int64_t mantissa = 0;
  std::size_t star = 0, point = 0;
  const std::size_t plain_end = value.size() < plain_size_max ? value.size() : plain_size_max;
  for (; star < plain_end; ++star) {
    const unsigned digit = static_cast<unsigned>(value[star] - '0');
    if (digit <= 9)
      mantissa = mantissa * 10 + digit;
    else if (value[star] == '.' && point == 0)
      point = star;
    else
      break;
  }
  const bool ends = star == value.size() || value[star] == '*';
  if (ends && star != 0 && value[0] != '.' && value[star - 1] != '.') {
    const std::size_t decimals = point == 0 ? 0 : star - point - 1;
    parsed.text = value.substr(0, star);
    parsed.number.emplace(mantissa, static_cast<std::int8_t>(-static_cast<int>(decimals)));
    if (star == value.size()) return parsed;
  } else {
    star = value.find('*');
    parsed.text = value.substr(0, star);
    parsed.number = Decimal::parse(parsed.text);
    if (star == std::string_view::npos) return parsed;
  }
  parsed.unit_text = value.substr(star + 1);
  if (parsed.unit_text.empty()) return parsed;
  const SentUnit sent = sent_unit(parsed.unit_text);
  parsed.unit = sent.unit;
  if (parsed.number && sent.power != 0) parsed.number = parsed.number->scaled(sent.power);
  return parsed;
}

}  // namespace meter
