// SPDX-License-Identifier: Apache-2.0
// Meters on a wired M-Bus: their answers RSP_UD with records of EN 13757-3 or the fixed structure.
#include <chrono>
#include <string>

#include "tools/metersim/families.hpp"

namespace metersim {

void append_mbus_integer(Octets& out, std::int64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i)
    out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> 8 * i & 0xff));
}

void append_mbus_minute(Octets& out, const Clock& clock) {
  using namespace std::chrono;
  const sys_seconds local{seconds(clock.epoch_s) + minutes(clock.offset_min)};
  const sys_days midnight = floor<days>(local);
  const year_month_day date(midnight);
  const hh_mm_ss time(local - midnight);
  const auto year = static_cast<unsigned>(static_cast<int>(date.year()) - 2000);
  const unsigned octets[] = {static_cast<unsigned>(time.minutes().count()),
                             static_cast<unsigned>(time.hours().count()),
                             static_cast<unsigned>(date.day()) | (year & 7) << 5,
                             static_cast<unsigned>(date.month()) | (year >> 3) << 4};
  for (const unsigned octet : octets) out.push_back(static_cast<std::uint8_t>(octet));
}

namespace {

/// Media of EN 13757-3 table 6.
constexpr std::uint8_t electricity = 0x02, heat = 0x04, water = 0x07;
constexpr std::uint8_t rsp_ud = 0x08;

/// `size` octets of packed decimal digits, low octet first (type A).
void append_bcd(Octets& out, std::int64_t value, unsigned size) {
  for (unsigned i = 0; i < size; ++i, value /= 100)
    out.push_back(static_cast<std::uint8_t>(value / 10 % 10 << 4 | value % 10));
}

/// RSP_UD with records behind the long header, and what they say.
class Answer {
 public:
  Answer(std::string_view manufacturer, std::uint8_t version, std::uint8_t medium,
         const Values& values, Telegram& telegram)
      : values_(values), telegram_(telegram) {
    const std::int64_t serial = std::stoll(values.serial);
    std::int64_t letters = 0;
    for (const char letter : manufacturer) letters = letters << 5 | (letter - '@');
    constexpr std::uint8_t primary_address = 1, variable_data = 0x72;
    content_ = {rsp_ud, primary_address, variable_data};
    append_bcd(content_, serial, 4);
    append_mbus_integer(content_, letters, 2);
    const auto access_number = static_cast<std::uint8_t>(telegram.number & 0xff);
    append(content_, Octets{version, medium, access_number, 0, 0, 0});
    telegram.meter = values.serial;
  }
  /// A number of as many octets or digits as the DIF in `head` says; it is not named.
  Answer& record(const Octets& head, std::int64_t value) {
    append(content_, head);
    const unsigned field = head[0] & 0x0fu;
    if ((field & 0x08) != 0)
      append_bcd(content_, value, field - 8);
    else
      append_mbus_integer(content_, value, field);
    return *this;
  }
  /// The meter's current value: value × 10^exponent is what is published, in its unit.
  Answer& named(const Octets& head, std::string_view name, std::int64_t value, int exponent) {
    record(head, value);
    for (; exponent > 0; --exponent) value *= 10;
    telegram_.readings.push_back({name, decimal_text(value, exponent)});
    return *this;
  }
  Answer& named(const Octets& head, Quantity quantity) {
    const bool energy = quantity < Quantity::power_import;  // published in kWh, kvarh
    return named(head, name(quantity), values_[quantity], energy ? -3 : resolution(quantity));
  }
  /// Date and time, type F: to the minute. Only summer time is marked.
  Answer& clock() {
    const bool summer = (values_.clock.status & 0x80) != 0;
    append(content_, Octets{0x04, 0x6d});
    append_mbus_minute(content_, values_.clock);
    if (summer) content_[content_.size() - 3] |= 0x80;
    Clock minute = values_.clock;
    minute.epoch_s -= minute.epoch_s % 60;
    minute.send_offset = summer;
    telegram_.time = minute.text();
    return *this;
  }
  /// The day to which storage 1 belongs, type G: the last of 2025.
  Answer& set_day() {
    append(content_, Octets{0x42, 0x6c, 0x3f, 0x3c});
    return *this;
  }
  void finish() { telegram_.frames = {mbus_frame(content_)}; }

 private:
  const Values& values_;
  Telegram& telegram_;
  Octets content_;
};

/// As a Multical: whole kWh, 0.01 m³, 100 W, l/h, 0.01 °C, and the energy at the last set day.
void encode_heat(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const std::int64_t energy_kwh = values[Quantity::energy_import] / 1000;
  const std::int64_t power_w = values[Quantity::power_import];
  // 1 m³ that cools down by 25 K gives 29 kWh.
  constexpr std::int64_t difference_k = 25, kwh_per_m3 = 29;
  const std::int64_t flow_temperature = 6500 + power_w % 700;
  Answer("KAM", 0x30, heat, values, telegram)
      .record({0x0c, 0x78}, std::stoll(values.serial))
      .named({0x04, 0x06}, "energy", energy_kwh, 0)
      .named({0x04, 0x14}, "volume", energy_kwh * 100 / kwh_per_m3, -2)
      .named({0x04, 0x2d}, "power", power_w / 100, 2)
      .named({0x04, 0x3b}, "volume_flow", power_w / kwh_per_m3, -3)
      .named({0x02, 0x59}, "flow_temperature", flow_temperature, -2)
      .named({0x02, 0x5d}, "return_temperature", flow_temperature - 100 * difference_k, -2)
      .named({0x02, 0x61}, "temperature_difference", 100 * difference_k, -2)
      .clock()
      .record({0x44, 0x06}, energy_kwh - energy_kwh % 5000)
      .set_day()
      .finish();
}

/// As a Cyble: litres in digits, and those of the last set day.
void encode_water(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const std::int64_t litres = values[Quantity::energy_import] / 100;
  Answer("ACW", 0x14, water, values, telegram)
      .record({0x0c, 0x78}, std::stoll(values.serial))
      .clock()
      .named({0x0c, 0x13}, "volume", litres, -3)
      .named({0x0b, 0x3b}, "volume_flow", values[Quantity::power_import] / 10, -3)
      .record({0x4c, 0x13}, litres - litres % 50'000)
      .set_day()
      .finish();
}

/// Directions by VIFE 3C, phases by the second table of VIFEs.
void encode_electricity(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  Answer answer("EMH", 0x01, electricity, values, telegram);
  answer.named({0x06, 0x03}, Quantity::energy_import)
      .named({0x86, 0x10, 0x03}, Quantity::energy_import_t1)
      .named({0x86, 0x20, 0x03}, Quantity::energy_import_t2)
      .named({0x06, 0x83, 0x3c}, Quantity::energy_export)
      .named({0x04, 0xfb, 0x82, 0x73}, Quantity::reactive_energy_import)
      .named({0x04, 0xfb, 0x82, 0xf3, 0x3c}, Quantity::reactive_energy_export)
      .named({0x04, 0x2b}, Quantity::power_import)
      .named({0x04, 0xab, 0x3c}, Quantity::power_export);
  for (std::uint8_t phase = 1; phase <= 3; ++phase) {
    const auto of_phase = [phase](Quantity first) {
      return static_cast<Quantity>(static_cast<unsigned>(first) + phase - 1);
    };
    answer.named({0x02, 0xfd, 0xc8, 0xfc, phase}, of_phase(Quantity::voltage_l1))
        .named({0x03, 0xfd, 0xda, 0xfc, phase}, of_phase(Quantity::current_l1));
  }
  answer.finish();
}

/// Two counters of litres in digits, the second one that of the last set day.
void encode_fixed_water(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  // Medium water in bits 7 and 6; litres, and "the same, but historic".
  constexpr std::uint8_t litre_of_water = 0xe9, historic = 0x7e;
  constexpr std::uint8_t primary_address = 5, fixed_data = 0x73, in_digits = 0;
  const std::int64_t litres = values[Quantity::energy_import] / 100;
  Octets content = {rsp_ud, primary_address, fixed_data};
  append_bcd(content, std::stoll(values.serial), 4);
  const auto access_number = static_cast<std::uint8_t>(telegram.number & 0xff);
  append(content, Octets{access_number, in_digits, litre_of_water, historic});
  append_bcd(content, litres, 4);
  append_bcd(content, litres - litres % 50'000, 4);
  telegram.meter = values.serial;
  telegram.readings = {{"volume", decimal_text(litres, -3)}};
  telegram.frames = {mbus_frame(content)};
}

Family family(std::string_view name, std::string_view description, std::string_view serial,
              decltype(Family::encode) encode) {
  Family made{.name = name,
              .description = description,
              .link = Link::mbus,
              .security = security(0x00, {}),
              .serial = serial,
              .logical_device_name = "",
              .build = nullptr};
  made.encode = encode;
  return made;
}

}  // namespace

std::vector<Family> mbus_families() {
  return {
      family("mbus-heat", "heat meter on a wired M-Bus, as Kamstrup Multical: records", "67415823",
             encode_heat),
      family("mbus-water", "water meter on a wired M-Bus, as Itron Cyble: records", "11350462",
             encode_water),
      family("mbus-electricity", "electricity meter on a wired M-Bus, both directions: records",
             "04837156", encode_electricity),
      family("mbus-fixed", "water meter on a wired M-Bus: the fixed data structure", "12345678",
             encode_fixed_water),
  };
}

}  // namespace metersim
