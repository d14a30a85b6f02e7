// SPDX-License-Identifier: Apache-2.0
// Gateways that send JSON over MQTT: one message a line, without its topic.
#include <cstdio>

#include "tools/metersim/families.hpp"

namespace metersim {
namespace {

/// "name":{…} and "name":value, with commas where they belong.
class Json {
 public:
  Json& begin(std::string_view key = {}) {
    name(key);
    text_ += '{';
    comma_ = false;
    return *this;
  }
  Json& end() {
    text_ += '}';
    comma_ = true;
    return *this;
  }
  Json& raw(std::string_view key, std::string_view value) {
    name(key);
    text_ += value;
    return *this;
  }
  Json& text(std::string_view key, std::string_view value) {
    return raw(key, '"' + std::string(value) + '"');
  }
  /// Hex digits of that many octets, as Zigbee attributes are printed.
  Json& hex(std::string_view key, std::int64_t value, int octets) {
    char digits[20];
    const auto mask = (std::uint64_t{1} << octets * 8) - 1;
    std::snprintf(digits, sizeof digits, "%0*llX", octets * 2,
                  static_cast<unsigned long long>(static_cast<std::uint64_t>(value) & mask));
    return text(key, digits);
  }
  void send(Telegram& telegram) const {
    Octets line(text_.begin(), text_.end());
    line.push_back('\n');
    telegram.frames = {std::move(line)};
  }

 private:
  void name(std::string_view key) {
    if (comma_) text_ += ',';
    comma_ = true;
    if (!key.empty()) text_ += '"' + std::string(key) + "\":";
  }
  std::string text_;
  bool comma_ = false;
};

std::string kilo(std::int64_t value) {
  return decimal_text(value, -3);
}
std::int64_t net_power(const Values& values) {
  return values[Quantity::power_import] - values[Quantity::power_export];
}
/// What of a counter counts as today's, this week's and this month's share.
struct History {
  std::int64_t day, week, month;
};
History history(std::int64_t total) {
  return {total % 20'000, total % 140'000, total % 600'000};
}
void say(Telegram& telegram, std::string_view name, std::string value) {
  telegram.readings.push_back({name, std::move(value)});
}
void say_history(Telegram& telegram, const History& history) {
  say(telegram, "energy_import_day", kilo(history.day));
  say(telegram, "energy_import_week", kilo(history.week));
  say(telegram, "energy_import_month", kilo(history.month));
}
/// A quantity as it stands in `Values`.
void say(Telegram& telegram, const Values& values, Quantity quantity) {
  const bool energy = quantity <= Quantity::reactive_energy_export_t2;
  say(telegram, name(quantity), decimal_text(values[quantity], energy ? -3 : resolution(quantity)));
}
Clock in_utc(Clock clock) {
  clock.offset_min = 0;
  clock.send_offset = true;
  return clock;
}
Clock without_zone(Clock clock) {
  clock.send_offset = false;
  return clock;
}

// Hildebrand Glow, first generation: attributes of the electricity meter and, as its mirror sends
// them, of a gas meter that stands still.
void encode_glow_zcl(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const History shares = history(values[Quantity::energy_import]);
  Json json;
  json.begin().begin("elecMtr").begin("0702");
  json.begin("03").hex("01", 1, 4).hex("04", 0, 1).hex("02", 1000, 4).text("07", values.serial);
  json.hex("03", 0x2b, 1).text("08", "").hex("00", 0, 1).hex("06", 0, 1).end();
  json.begin("00").hex("00", values[Quantity::energy_import], 6);
  json.hex("01", values[Quantity::energy_export], 6).hex("14", 2, 1).end();
  json.begin("04").hex("00", net_power(values), 4).hex("01", shares.day, 3);
  json.hex("30", shares.week, 3).hex("40", shares.month, 3).end();
  json.end().end();
  json.begin("gasMtr").begin("0702");
  json.begin("03").hex("01", 1, 4).hex("02", 1000, 4).hex("00", 1, 1).hex("06", 0x80, 1);
  json.hex("12", 0, 1).text("07", "EMPTY").end();
  json.begin("00").hex("00", 2'282'363, 6).end().begin("0C").hex("01", 39'452, 3).end();
  json.end().end();
  json.hex("time", values.clock.epoch_s, 4).raw("gmtime", std::to_string(values.clock.epoch_s));
  json.begin("pan").text("rssi", "BF").text("status", "joined").text("lqi", "8C").end();
  json.text("gid", "0123456789ABCDEF").end().send(telegram);

  telegram.meter = values.serial;
  telegram.time = in_utc(values.clock).text();
  say(telegram, values, Quantity::energy_import);
  say(telegram, values, Quantity::energy_export);
  say(telegram, "power_net", std::to_string(net_power(values)));
  say_history(telegram, shares);
  say(telegram, "supply_status", "2");
  say(telegram, "link_rssi", "-65");
  say(telegram, "link_lqi", "140");
}

// … second generation: scaled values with units.
void encode_glow_ihd(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const History shares = history(values[Quantity::energy_import]);
  std::string time = in_utc(values.clock).text();
  time.replace(time.find('+'), 6, "Z");
  Json json;
  json.begin().begin("electricitymeter").text("timestamp", time).begin("energy");
  json.begin("export").raw("cumulative", kilo(values[Quantity::energy_export]));
  json.text("units", "kWh").end();
  json.begin("import").raw("cumulative", kilo(values[Quantity::energy_import]));
  json.raw("day", kilo(shares.day)).raw("week", kilo(shares.week)).raw("month", kilo(shares.month));
  json.text("units", "kWh").text("mpan", values.serial).text("supplier", "Supplier");
  json.begin("price").raw("unitrate", "0.25710").raw("standingcharge", "0.41200").end();
  json.end().end();
  json.begin("power").raw("value", kilo(net_power(values))).text("units", "kW").end();
  json.end().end().send(telegram);

  telegram.meter = values.serial;
  telegram.time = in_utc(values.clock).text();
  say(telegram, values, Quantity::energy_import);
  say(telegram, values, Quantity::energy_export);
  say(telegram, "power_net", std::to_string(net_power(values)));
  say_history(telegram, shares);
  say(telegram, "price_import_unit", "0.25710");
  say(telegram, "standing_charge", "0.41200");
}

struct Key {
  std::string_view key;
  Quantity quantity;
};

// gPlug: a Tasmota script's object; P in kW, everything else in the unit of `Values`.
void encode_gplug(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  constexpr Key keys[] = {
      {"Pi", Quantity::power_import},
      {"Po", Quantity::power_export},
      {"V1", Quantity::voltage_l1},
      {"V2", Quantity::voltage_l2},
      {"V3", Quantity::voltage_l3},
      {"I1", Quantity::current_l1},
      {"I2", Quantity::current_l2},
      {"I3", Quantity::current_l3},
      {"Ei", Quantity::energy_import},
      {"Eo", Quantity::energy_export},
      {"Ei1", Quantity::energy_import_t1},
      {"Ei2", Quantity::energy_import_t2},
      {"Eo1", Quantity::energy_export_t1},
      {"Eo2", Quantity::energy_export_t2},
      {"rPi", Quantity::reactive_power_import},
      {"rPo", Quantity::reactive_power_export},
      {"pf", Quantity::power_factor},
  };
  const std::string time = without_zone(values.clock).text();
  Json json;
  json.begin().text("Time", time).begin("z").text("SMid", values.serial);
  for (const Key& row : keys) {
    const bool in_kilo = row.quantity <= Quantity::power_export;
    json.raw(row.key, decimal_text(values[row.quantity], in_kilo ? -3 : resolution(row.quantity)));
    say(telegram, values, row.quantity);
  }
  json.end().text("TempUnit", "C").end().send(telegram);
  telegram.meter = values.serial;
  telegram.time = time;
}

// whatwatt Go: a report whose local time is marked "Z".
void encode_whatwatt(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const auto total = [&](Json& json, std::string_view key, Quantity quantity) {
    json.begin(key).raw("total", kilo(values[quantity]));
    say(telegram, values, quantity);
  };
  const std::string time = without_zone(values.clock).text();
  Json json;
  json.begin().begin("report").raw("id", "1").raw("interval", "5.0").text("date_time", time + "Z");
  json.begin("instantaneous_power").begin("active");
  total(json, "positive", Quantity::power_import);
  json.end();
  total(json, "negative", Quantity::power_export);
  json.end().end().end().begin("voltage");
  constexpr Key voltages[] = {
      {"l1", Quantity::voltage_l1}, {"l2", Quantity::voltage_l2}, {"l3", Quantity::voltage_l3}};
  constexpr Key currents[] = {
      {"l1", Quantity::current_l1}, {"l2", Quantity::current_l2}, {"l3", Quantity::current_l3}};
  const auto plain = [&](const Key& row) {
    json.raw(row.key, decimal_text(values[row.quantity], resolution(row.quantity)));
    say(telegram, values, row.quantity);
  };
  for (const Key& row : voltages) plain(row);
  json.end().begin("current");
  for (const Key& row : currents) plain(row);
  json.end().begin("energy").begin("active");
  total(json, "positive", Quantity::energy_import);
  json.raw("t1", kilo(values[Quantity::energy_import_t1]));
  json.raw("t2", kilo(values[Quantity::energy_import_t2])).end();
  say(telegram, values, Quantity::energy_import_t1);
  say(telegram, values, Quantity::energy_import_t2);
  total(json, "negative", Quantity::energy_export);
  json.end().end().end().raw("conv_factor", "1").end();
  json.begin("meter").text("status", "OK").text("interface", "MBUS").text("id", values.serial);
  json.end().end().send(telegram);
  telegram.meter = values.serial;
  telegram.time = time;
}

}  // namespace

std::vector<Family> json_families() {
  const auto family = [](std::string_view name, std::string_view description,
                         std::string_view serial, std::string_view topic, auto* encode) {
    Family made{name, description, Link::json, security(0x00, {}), serial, "",
                0,    nullptr,     encode};
    made.topic = topic;
    return made;
  };
  return {
      family("glow-zcl", "Hildebrand Glow: raw Zigbee attributes as JSON", "1200012345678",
             "SMART/HILD/+", encode_glow_zcl),
      family("glow-ihd", "Hildebrand Glow: local MQTT, JSON", "1200012345679",
             "glow/+/SENSOR/electricitymeter", encode_glow_ihd),
      family("gplug", "gPlug (Tasmota): JSON of a script", "34000113", "tele/+/SENSOR",
             encode_gplug),
      family("whatwatt", "whatwatt Go: JSON report", "34000114", "whatwatt/+", encode_whatwatt),
  };
}

}  // namespace metersim
