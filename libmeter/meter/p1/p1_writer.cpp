// SPDX-License-Identifier: Apache-2.0
// From named readings to the lines of DSMR 5.0.2 (P1 companion standard, 6.12 and 6.13).
#include "meter/p1/p1_writer.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "meter/base/bytes.hpp"
#include "meter/base/crc.hpp"
#include "meter/base/hex.hpp"

namespace meter::p1 {
namespace {

/// A field Fn(x,y): decimal places, and the digits before the point that are always written. Larger
/// values get more digits, up to those of the Swedish recommendation H1 (8.3), which readers of P1
/// know too.
struct Field {
  std::string_view unit;
  int integer_digits, decimals;
  int power = 0;  ///< of ten, from the canonical unit to this one
};
constexpr int integer_digits_max = 8;
constexpr Field energy_field{"kWh", 6, 3}, power_field{"kW", 2, 3, -3}, voltage_field{"V", 3, 1};
constexpr Field reactive_energy_field{"kvarh", 6, 3}, reactive_power_field{"kvar", 2, 3, -3};
constexpr Field count_field{"", 5, 0};
/// F3(0,0) in the Netherlands. Where the meter sends decimals they are kept, as eMUCS (Belgium)
/// does: parsers for DSMR 5 read both.
constexpr Field current_field{"A", 3, 0};
constexpr int current_decimals_max = 3;
constexpr Field volume_field{"m3", 5, 3};
/// Gigajoule, from kWh: × 0.0036.
constexpr Field thermal_field{"GJ", 5, 3, -4};
constexpr std::int64_t thermal_factor = 36;

/// `value` × 10^decimals, rounded half to even; nothing where it does not fit.
std::optional<std::int64_t> in_units_of(const Decimal& value, int decimals) noexcept {
  std::int64_t mantissa = value.mantissa;
  int steps = value.exponent + decimals;
  for (; steps > 0 && mantissa != 0; --steps)
    if (__builtin_mul_overflow(mantissa, std::int64_t{10}, &mantissa)) return std::nullopt;
  if (steps >= 0) return mantissa;
  std::int64_t last = 0;
  bool is_more = false;  // something behind the last digit
  for (; steps < 0; ++steps) {
    is_more = is_more || last != 0;
    last = mantissa % 10;
    mantissa /= 10;
  }
  const std::int64_t magnitude = last < 0 ? -last : last;
  if (magnitude > 5 || (magnitude == 5 && (is_more || mantissa % 2 != 0)))
    mantissa += last < 0 ? -1 : 1;
  return mantissa;
}

bool says_summer(const DateTime& time) noexcept {
  constexpr std::uint8_t unspecified = 0xff, summer = 0x80;  // Blue Book 4.1.6.1
  return time.status != unspecified && (time.status & summer) != 0;
}

std::optional<Decimal> optional_of(const Decimal* value) noexcept {
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

class Writer {
 public:
  Writer(const P1Content& content, std::string& out) noexcept : content_(content), out_(out) {}
  void write();

 private:
  const Decimal* find(std::string_view name) const noexcept;
  std::optional<Decimal> value_of(std::string_view name) const noexcept {
    return optional_of(find(name));
  }
  void text_line(std::string_view code, std::string_view value);
  void hex_line(std::string_view code, std::string_view text);
  bool number(const Decimal& value, const Field& field);
  bool line(std::string_view code, const std::optional<Decimal>& value, const Field& field);
  void time(const DateTime& time);
  void energies(char direction, std::string_view total, std::span<const std::string_view> tariffs);
  void tariff();
  struct Directions {
    std::optional<Decimal> imported, exported;
  };
  Directions directions(std::string_view import_name, std::string_view export_name,
                        std::string_view net_name) const noexcept;
  void current_line(std::string_view code, std::string_view name);
  void sub_meter(const P1SubMeter& sub_meter);
  void checksum();

  const P1Content& content_;
  std::string& out_;
};

const Decimal* find_in(std::span<const P1Value> values, std::string_view name) noexcept {
  const auto found = std::ranges::find(values, name, &P1Value::name);
  return found == values.end() ? nullptr : &found->value;
}
const Decimal* Writer::find(std::string_view name) const noexcept {
  return find_in(content_.values, name);
}

void Writer::text_line(std::string_view code, std::string_view value) {
  out_.append(code).append("(").append(value).append(")\r\n");
}

/// Sn: two hex digits an octet, 96 at most; of longer ids the end tells them apart.
void Writer::hex_line(std::string_view code, std::string_view text) {
  constexpr std::size_t octets_max = 48;
  if (text.empty()) return;
  if (text.size() > octets_max) text.remove_prefix(text.size() - octets_max);
  std::array<char, 2 * octets_max> digits;
  text_line(code, write_hex(bytes_of(text), digits, hex_upper));
}

/// "(000123.456*kWh)". False, and nothing written: negative, or more digits than any reader knows.
bool Writer::number(const Decimal& value, const Field& field) {
  const auto units = in_units_of(value.scaled(field.power), field.decimals);
  if (!units || *units < 0) return false;
  char digits[std::numeric_limits<std::int64_t>::digits10 + 2];
  const char* const end = std::to_chars(digits, std::end(digits), *units).ptr;
  const int size = static_cast<int>(end - digits), wanted = field.integer_digits + field.decimals;
  if (size > integer_digits_max + field.decimals) return false;
  out_ += '(';
  if (size < wanted) out_.append(static_cast<std::size_t>(wanted - size), '0');
  out_.append(digits, static_cast<std::size_t>(size));
  if (field.decimals > 0)
    out_.insert(out_.size() - static_cast<std::size_t>(field.decimals), 1, '.');
  if (!field.unit.empty()) out_.append("*").append(field.unit);
  out_ += ')';
  return true;
}

/// False, and no line: there is no value, or the field cannot say it.
bool Writer::line(std::string_view code, const std::optional<Decimal>& value, const Field& field) {
  if (!value) return false;
  const std::size_t before = out_.size();
  out_.append(code);
  const bool is_written = number(*value, field);
  if (is_written)
    out_.append("\r\n");
  else
    out_.resize(before);
  return is_written;
}

/// TST: YYMMDDhhmmssX.
void Writer::time(const DateTime& time) {
  out_ += '(';
  for (const unsigned part : {unsigned{time.year} % 100, unsigned{time.month}, unsigned{time.day},
                              unsigned{time.hour}, unsigned{time.minute}, unsigned{time.second}}) {
    out_ += static_cast<char>('0' + part / 10);
    out_ += static_cast<char>('0' + part % 10);
  }
  out_.append(says_summer(time) ? "S)" : "W)");
}

/// A meter without tariffs has all of its energy in tariff 1: Home Assistant, Domoticz and others
/// read nothing but the tariffs, and add them.
void Writer::energies(char direction, std::string_view total,
                      std::span<const std::string_view> tariffs) {
  char code[] = "1-0:1.8.0";
  code[4] = direction;
  const std::optional<Decimal> sum = value_of(total);
  const bool has_sum = line(code, sum, energy_field);
  const bool has_tariffs = std::ranges::any_of(tariffs, [&](auto name) { return find(name); });
  for (std::size_t i = 0; i < tariffs.size(); ++i) {
    code[8] = static_cast<char>('1' + i);
    if (has_tariffs)
      line(code, value_of(tariffs[i]), energy_field);
    else if (has_sum && i < 2)
      line(code, i == 0 ? *sum : Decimal{0, 0}, energy_field);
  }
}

constexpr std::string_view import_tariffs[] = {"energy_import_t1", "energy_import_t2",
                                               "energy_import_t3", "energy_import_t4"};
constexpr std::string_view export_tariffs[] = {"energy_export_t1", "energy_export_t2",
                                               "energy_export_t3", "energy_export_t4"};

/// Where there are no registers of tariffs it says 0001: that is where the energy went.
void Writer::tariff() {
  const auto any = [&](const auto& names) {
    return std::ranges::any_of(names, [&](std::string_view name) { return find(name); });
  };
  const Decimal* const sent = find("tariff");
  std::int64_t number = sent ? in_units_of(*sent, 0).value_or(-1) : -1;
  constexpr std::string_view totals[] = {"energy_import", "energy_export"};
  if (!any(import_tariffs) && !any(export_tariffs) && any(totals)) number = 1;
  if (number < 0 || number > 9) return;
  const char text[] = {'0', '0', '0', static_cast<char>('0' + number)};
  text_line("0-0:96.14.0", {text, sizeof text});
}

/// Meters that send one signed value have it split.
Writer::Directions Writer::directions(std::string_view import_name, std::string_view export_name,
                                      std::string_view net_name) const noexcept {
  const Decimal* const imported = find(import_name);
  const Decimal* const exported = find(export_name);
  const Decimal* net = !imported && !exported ? find(net_name) : nullptr;
  if (imported && imported->mantissa < 0 && !exported) net = imported;
  if (!net) return {optional_of(imported), optional_of(exported)};
  if (net->mantissa == std::numeric_limits<std::int64_t>::min()) return {};
  constexpr Decimal nothing{0, 0};
  if (net->mantissa < 0) return {nothing, Decimal{-net->mantissa, net->exponent}};
  return {*net, nothing};
}

/// DSMR's current has no sign: the direction is that of the phase's power.
void Writer::current_line(std::string_view code, std::string_view name) {
  const Decimal* const sent = find(name);
  if (sent == nullptr || sent->mantissa == std::numeric_limits<std::int64_t>::min()) return;
  const Decimal value{sent->mantissa < 0 ? -sent->mantissa : sent->mantissa, sent->exponent};
  Field field = current_field;
  field.decimals = std::clamp(-int{value.exponent}, 0, current_decimals_max);
  line(code, value, field);
}

bool is_thermal(Medium medium) noexcept {
  switch (medium) {
    case Medium::heat:
    case Medium::heat_inlet:
    case Medium::heat_cooling:
    case Medium::cooling_outlet:
    case Medium::cooling_inlet:
      return true;
    default:
      return false;
  }
}

/// Type, id and the last reading with its time; all of them or none.
void Writer::sub_meter(const P1SubMeter& meter) {
  if (meter.channel < 1 || meter.channel > 9) return;
  const bool thermal = is_thermal(meter.medium);
  const bool has_energy = thermal || meter.medium == Medium::electricity;
  const Decimal* const sent = find_in(meter.values, has_energy ? "energy" : "volume");
  if (sent == nullptr) return;
  Decimal value = *sent;
  if (thermal && __builtin_mul_overflow(value.mantissa, thermal_factor, &value.mantissa)) return;

  const std::size_t before = out_.size();
  char code[] = "0-1:24.1.0";
  code[2] = static_cast<char>('0' + meter.channel);
  const auto type = static_cast<unsigned>(meter.medium);
  const char digits[] = {static_cast<char>('0' + type / 100 % 10),
                         static_cast<char>('0' + type / 10 % 10),
                         static_cast<char>('0' + type % 10)};
  text_line(code, {digits, sizeof digits});
  const std::string_view channel(code, 4);
  out_.append(meter.id.empty() ? "" : channel);
  hex_line("96.1.0", meter.id);

  DateTime captured = meter.capture_time.value_or(content_.time);
  // The same instant by the telegram's clock: one zone for the whole telegram.
  const auto at = captured.to_epoch_us();
  if (at && content_.time.deviation != DateTime::deviation_unspecified) {
    captured = DateTime::from_epoch(*at / 1'000'000, content_.time.deviation);
    captured.status = content_.time.status;
  } else if (captured.status == 0xff) {
    captured.status = content_.time.status;
  }
  out_.append(channel).append("24.2.1");
  time(captured);
  if (number(value, thermal ? thermal_field : has_energy ? energy_field : volume_field))
    out_.append("\r\n");
  else
    out_.resize(before);
}

void Writer::checksum() {
  out_ += '!';
  const std::uint16_t crc = Crc16Arc().add(bytes_of(out_)).value();
  for (int shift = 12; shift >= 0; shift -= 4) out_ += hex_upper[crc >> shift & 15u];
  out_.append("\r\n");
}

struct Row {
  std::string_view code, name;
  const Field& field;
};
/// Lines of one value, in the order of the standard's example.
constexpr Row quality_rows[] = {
    {"0-0:96.7.21", "power_failures", count_field},
    {"0-0:96.7.9", "power_failures_long", count_field},
    {"1-0:32.32.0", "voltage_sags_l1", count_field},
    {"1-0:52.32.0", "voltage_sags_l2", count_field},
    {"1-0:72.32.0", "voltage_sags_l3", count_field},
    {"1-0:32.36.0", "voltage_swells_l1", count_field},
    {"1-0:52.36.0", "voltage_swells_l2", count_field},
    {"1-0:72.36.0", "voltage_swells_l3", count_field},
    {"1-0:32.7.0", "voltage_l1", voltage_field},
    {"1-0:52.7.0", "voltage_l2", voltage_field},
    {"1-0:72.7.0", "voltage_l3", voltage_field},
};
/// Not of DSMR: as Luxembourg and Sweden send them.
constexpr Row reactive_rows[] = {
    {"1-0:3.8.0", "reactive_energy_import", reactive_energy_field},
    {"1-0:4.8.0", "reactive_energy_export", reactive_energy_field},
    {"1-0:3.7.0", "reactive_power_import", reactive_power_field},
    {"1-0:4.7.0", "reactive_power_export", reactive_power_field},
    {"1-0:23.7.0", "reactive_power_import_l1", reactive_power_field},
    {"1-0:43.7.0", "reactive_power_import_l2", reactive_power_field},
    {"1-0:63.7.0", "reactive_power_import_l3", reactive_power_field},
    {"1-0:24.7.0", "reactive_power_export_l1", reactive_power_field},
    {"1-0:44.7.0", "reactive_power_export_l2", reactive_power_field},
    {"1-0:64.7.0", "reactive_power_export_l3", reactive_power_field},
};
struct Phase {
  std::string_view import_code, export_code, import_name, export_name, net_name, current_code,
      current_name;
};
constexpr Phase phases[] = {
    {"1-0:21.7.0", "1-0:22.7.0", "power_import_l1", "power_export_l1", "power_l1", "1-0:31.7.0",
     "current_l1"},
    {"1-0:41.7.0", "1-0:42.7.0", "power_import_l2", "power_export_l2", "power_l2", "1-0:51.7.0",
     "current_l2"},
    {"1-0:61.7.0", "1-0:62.7.0", "power_import_l3", "power_export_l3", "power_l3", "1-0:71.7.0",
     "current_l3"},
};

void Writer::write() {
  out_.assign("/").append(synthetic_identification).append("\r\n\r\n");
  text_line("1-3:0.2.8", "50");
  out_.append("0-0:1.0.0");
  time(content_.time);
  out_.append("\r\n");
  hex_line("0-0:96.1.1", content_.meter_id);
  energies('1', "energy_import", import_tariffs);
  energies('2', "energy_export", export_tariffs);
  tariff();
  const Directions total = directions("power_import", "power_export", "power_net");
  line("1-0:1.7.0", total.imported, power_field);
  line("1-0:2.7.0", total.exported, power_field);
  for (const Row& row : quality_rows) line(row.code, value_of(row.name), row.field);
  for (const Phase& phase : phases) current_line(phase.current_code, phase.current_name);
  std::array<Directions, std::size(phases)> by_phase;
  for (std::size_t i = 0; i < by_phase.size(); ++i)
    by_phase[i] = directions(phases[i].import_name, phases[i].export_name, phases[i].net_name);
  for (std::size_t i = 0; i < by_phase.size(); ++i)
    line(phases[i].import_code, by_phase[i].imported, power_field);
  for (std::size_t i = 0; i < by_phase.size(); ++i)
    line(phases[i].export_code, by_phase[i].exported, power_field);
  for (const Row& row : reactive_rows) line(row.code, value_of(row.name), row.field);
  for (const P1SubMeter& meter : content_.sub_meters) sub_meter(meter);
  checksum();
}

}  // namespace

void write_telegram(const P1Content& content, std::string& out) {
  Writer(content, out).write();
}

}  // namespace meter::p1
