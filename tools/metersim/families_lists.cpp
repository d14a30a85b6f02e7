// SPDX-License-Identifier: Apache-2.0
// Families whose lists have no codes or no scalers, and Aidon's and the AM550's, which have both.
#include "tools/metersim/families.hpp"

namespace metersim {
namespace {

// A-XDR tags.
constexpr std::uint8_t u32 = 0x06, i16 = 0x10, u8 = 0x11, u16 = 0x12;
// COSEM units (Blue Book, class 3 scaler_unit).
constexpr unsigned watt = 27, var = 29, watt_hour = 30, var_hour = 32, ampere = 33, volt = 35;

/// A list in the making.
class List : public Axdr {
 public:
  List(const Values& values, Octets& body, Telegram& telegram)
      : Axdr(body), values_(values), body_(body), telegram_(telegram) {}

  /// Whose telegram it is.
  List& say(const std::string& meter) {
    telegram_.meter = meter;
    telegram_.time = values_.clock.text();
    return *this;
  }
  List& value(Quantity quantity, std::uint8_t tag, int scaler = 0) {
    append_value(values_, quantity, tag, scaler, body_, telegram_);
    return *this;
  }
  List& values(std::initializer_list<Quantity> quantities, std::uint8_t tag, int scaler = 0) {
    for (const Quantity quantity : quantities) value(quantity, tag, scaler);
    return *this;
  }
  /// A value that never changes.
  List& constant(std::string_view name, std::string_view text, std::uint8_t tag,
                 std::int64_t sent) {
    number(tag, sent);
    telegram_.readings.push_back({name, std::string(text)});
    return *this;
  }
  List& pair(const Code& of, Quantity quantity, std::uint8_t tag, int scaler = 0) {
    code(of);
    return value(quantity, tag, scaler);
  }
  List& entry(const Code& of, Quantity quantity, std::uint8_t tag, int scaler, unsigned unit) {
    structure(3).code(of);
    value(quantity, tag, scaler);
    scaler_unit(scaler, unit);
    return *this;
  }

 private:
  const Values& values_;
  Octets& body_;
  Telegram& telegram_;
};

using enum Quantity;

// Kaifa in Norway: power alone, every fifth time a list with names, voltages and currents, every
// tenth time with clock and energies.
void build_kaifa_norway(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  const bool with_energy = telegram.number % 10 == 1, with_names = telegram.number % 5 == 1;
  if (!with_names) {
    list.structure(1);
    list.value(power_import, u32).say("");
    return;
  }
  list.structure(with_energy ? 18 : 13);
  list.octet_string("KFM_001").octet_string(values.serial).octet_string("MA304H4");
  list.values({power_import, power_export, reactive_power_import, reactive_power_export}, u32);
  list.values({current_l1, current_l2, current_l3}, u32, -3);
  list.values({voltage_l1, voltage_l2, voltage_l3}, u32, -1);
  if (with_energy) {
    list.date_time(values.clock);
    list.values({energy_import, energy_export, reactive_energy_import, reactive_energy_export},
                u32);
  }
  list.say(values.serial);
}
void build_kaifa_norway_1_phase(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  const bool with_energy = telegram.number % 2 == 1;
  list.structure(with_energy ? 14 : 9);
  list.octet_string("KFM_001").octet_string(values.serial).octet_string("MA105H2E");
  list.values({power_import, power_export, reactive_power_import, reactive_power_export}, u32);
  list.value(current_l1, u32, -3).value(voltage_l1, u32, -1);
  if (with_energy) {
    list.date_time(values.clock);
    list.values({energy_import, energy_export, reactive_energy_import, reactive_energy_export},
                u32);
  }
  list.say(values.serial);
}

/// A register of a list of pairs.
struct Pair {
  Code code;
  Quantity quantity;
  std::uint8_t tag;
  int scaler;
};

void build_kaifa_sweden(const Values& values, Octets& body, Telegram& telegram) {
  constexpr Pair pairs[] = {
      {{1, 0, 1, 7, 0, 255}, power_import, u32, 0},
      {{1, 0, 2, 7, 0, 255}, power_export, u32, 0},
      {{1, 0, 3, 7, 0, 255}, reactive_power_import, u32, 0},
      {{1, 0, 4, 7, 0, 255}, reactive_power_export, u32, 0},
      {{1, 0, 31, 7, 0, 255}, current_l1, u32, -3},
      {{1, 0, 51, 7, 0, 255}, current_l2, u32, -3},
      {{1, 0, 71, 7, 0, 255}, current_l3, u32, -3},
      {{1, 0, 32, 7, 0, 255}, voltage_l1, u32, -1},
      {{1, 0, 52, 7, 0, 255}, voltage_l2, u32, -1},
      {{1, 0, 72, 7, 0, 255}, voltage_l3, u32, -1},
      {{1, 0, 1, 8, 0, 255}, energy_import, u32, 0},
      {{1, 0, 2, 8, 0, 255}, energy_export, u32, 0},
      {{1, 0, 3, 8, 0, 255}, reactive_energy_import, u32, 0},
      {{1, 0, 4, 8, 0, 255}, reactive_energy_export, u32, 0},
  };
  List list(values, body, telegram);
  list.structure(2 * (4 + std::size(pairs)));
  list.code({1, 0, 0, 2, 129, 255}).octet_string("KFM_001");
  list.code({0, 0, 96, 1, 0, 255}).octet_string(values.serial);
  list.code({0, 0, 96, 1, 7, 255}).octet_string("MA304H4");
  for (const Pair& pair : pairs) list.pair(pair.code, pair.quantity, pair.tag, pair.scaler);
  list.code({0, 0, 1, 0, 0, 255}).date_time(values.clock);
  list.say(values.serial);
}

// Kaifa MA309 of Netz Burgenland over IR.
void build_kaifa_burgenland(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  list.structure(8).date_time(values.clock).octet_string(values.logical_device_name);
  list.values({energy_import, energy_export, power_import, power_export, reactive_energy_import,
               reactive_energy_export},
              u32);
  list.say(values.logical_device_name);
}

// Landis+Gyr E450 of Netz Burgenland over IR, with and without three numbers of unknown meaning.
void build_e450_burgenland(const Values& values, Octets& body, Telegram& telegram, bool whole) {
  List list(values, body, telegram);
  list.structure(whole ? 14 : 11);
  list.values({voltage_l1, voltage_l2, voltage_l3}, u16);
  list.values({current_l1, current_l2, current_l3}, u16, -2);
  list.values({power_import, power_export, energy_import, energy_export}, u32);
  if (whole) list.number(u16, 400).number(u16, 3).number(u16, 288);
  list.octet_string(values.serial);
  list.say(values.serial);
}
void build_e450_burgenland_14(const Values& values, Octets& body, Telegram& telegram) {
  build_e450_burgenland(values, body, telegram, true);
}
void build_e450_burgenland_11(const Values& values, Octets& body, Telegram& telegram) {
  build_e450_burgenland(values, body, telegram, false);
}

void build_wiener_netze(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  list.structure(9).date_time(values.clock);
  list.values({energy_import, energy_export, reactive_energy_import, reactive_energy_export,
               power_import, power_export, reactive_power_import, reactive_power_export},
              u32);
  list.say("");
}

// Siemens IM350 of Wels Strom: no scale is known, so that nothing can be read from it.
void build_wels(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  list.structure(10);
  list.code({0, 0, 96, 1, 0, 255}).octet_string(values.serial);
  list.code({1, 0, 1, 8, 0, 255}).number(u32, values[energy_import]);
  list.code({1, 0, 2, 8, 0, 255}).number(u32, values[energy_export]);
  list.code({1, 0, 1, 7, 0, 255}).number(u32, values[power_import]);
  list.code({1, 0, 2, 7, 0, 255}).number(u32, values[power_export]);
  list.say(values.serial);
}

// Iskraemeco AM550 in Slovenia. The meter's id is ISK and the last eight digits where it sends
// short names, else its logical device name.

std::string last_8(const std::string& text) {
  return text.substr(text.size() - 8);
}
void append_slovenian_energy(List& list, const Values& values) {
  const std::string number = last_8(values.logical_device_name);
  list.structure(4).octet_string(number);
  list.constant("tariff", "0", u8, 0).values({energy_import, energy_export}, u32);
  list.say("ISK" + number);
}
void append_phase_powers(List& list) {
  for (const char* name : {"power_import_l1", "power_import_l2", "power_import_l3",
                           "power_export_l1", "power_export_l2", "power_export_l3"})
    list.constant(name, "0", u32, 0);
}
void append_slovenian_power(List& list, const Values& values, const std::string& second) {
  list.structure(18).octet_string(values.logical_device_name).octet_string(second);
  list.values({power_import, power_export, reactive_power_import, reactive_power_export}, u32);
  list.values({voltage_l1, voltage_l2, voltage_l3}, u16, -1);
  list.values({current_l1, current_l2, current_l3}, u16, -2);
  append_phase_powers(list);
}
/// Power, and energies every fifth time.
void build_slovenia(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  if (telegram.number % 5 == 1) return append_slovenian_energy(list, values);
  const std::string name = "ISK" + last_8(values.logical_device_name);
  append_slovenian_power(list, values, name);
  list.say(name);
}
void build_slovenia_1682(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  if (telegram.number % 5 != 1) {
    append_slovenian_power(list, values, "16820005");
  } else {
    list.structure(12).octet_string(values.logical_device_name).octet_string("16820006");
    list.enumerate(1);
    telegram.readings.push_back({"breaker_state", "1"});
    list.octet_string(Octets{0, 2});
    telegram.readings.push_back({"tariff", "2"});
    list.values({energy_import, energy_import_t1, energy_import_t2, energy_export, energy_export_t1,
                 energy_export_t2, reactive_energy_import, reactive_energy_export},
                u32);
  }
  list.say(values.logical_device_name);
}
void build_celje(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  list.structure(12).octet_string(values.logical_device_name).octet_string("UP_3f");
  list.values({voltage_l1, voltage_l2, voltage_l3}, u16, -1);
  list.values({current_l1, current_l2, current_l3}, u16, -2);
  list.values({power_import, power_export, reactive_power_import, reactive_power_export}, u32);
  list.say(values.logical_device_name);
}
void build_slovenia_1_phase(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  if (telegram.number % 5 == 1) return append_slovenian_energy(list, values);
  const bool with_current = telegram.number % 2 == 1;
  const std::string name = "ISK" + last_8(values.logical_device_name);
  list.structure(with_current ? 10 : 9);
  list.octet_string(values.logical_device_name).octet_string(name);
  list.values({power_import, power_export, reactive_power_import, reactive_power_export}, u32);
  list.value(voltage_l1, u16, -1);
  if (with_current) list.value(current_l1, u16, -2);
  list.constant("power_import_l1", "0", u32, 0).constant("power_export_l1", "0", u32, 0);
  list.say(name);
}
void build_slovenia_tariffs(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  if (telegram.number % 5 == 1) return append_slovenian_energy(list, values);
  list.structure(9).octet_string(values.logical_device_name);
  list.values({power_import, power_export, energy_import, energy_import_t1, energy_import_t2,
               energy_export, energy_export_t1, energy_export_t2},
              u32);
  list.say("ISK" + last_8(values.logical_device_name));
}

void build_croatia(const Values& values, Octets& body, Telegram& telegram) {
  const auto date_time = values.clock.octets();
  List list(values, body, telegram);
  list.structure(33).octet_string(values.serial);
  list.octet_string(OctetView(date_time).subspan(5, 4));
  list.octet_string(OctetView(date_time).first(5));
  list.values({energy_import, energy_import_t1, energy_import_t2, energy_export, energy_export_t1,
               energy_export_t2},
              u32);
  for (const std::int64_t quadrant : {1568471, 1242460, 55658, 1390212}) list.number(u32, quadrant);
  list.values({power_import, power_export}, u32).number(u16, 889);
  append_phase_powers(list);
  list.values({voltage_l1, voltage_l2, voltage_l3}, u16, -1);
  list.values({current_l1, current_l2, current_l3}, u16, -2);
  list.number(u32, 17250);
  for (int limit = 0; limit < 3; ++limit) list.array(1).number(u16, 9400);
  list.boolean(true);
  list.say(values.serial);
}

// Kamstrup.
struct KamstrupType {
  std::string_view name;
  int voltage_scaler, current_scaler;
};

/// The hourly list with clock and energies every fifth time. One phase: the other pairs are null.
void build_kamstrup(const KamstrupType& type, unsigned phases, const Values& values, Octets& body,
                    Telegram& telegram) {
  constexpr Quantity currents[] = {current_l1, current_l2, current_l3};
  constexpr Quantity voltages[] = {voltage_l1, voltage_l2, voltage_l3};
  const bool with_energy = telegram.number % 5 == 0;
  List list(values, body, telegram);
  list.structure(with_energy ? 35 : 25).visible_string("Kamstrup_V0001");
  list.code({1, 1, 0, 0, 5, 255}).visible_string(values.serial);
  list.code({1, 1, 96, 1, 1, 255}).visible_string(type.name);
  list.pair({1, 1, 1, 7, 0, 255}, power_import, u32).pair({1, 1, 2, 7, 0, 255}, power_export, u32);
  list.pair({1, 1, 3, 7, 0, 255}, reactive_power_import, u32);
  list.pair({1, 1, 4, 7, 0, 255}, reactive_power_export, u32);
  const auto phase_pairs = [&](std::uint8_t group_c, const Quantity(&quantities)[3],
                               std::uint8_t tag, int scaler) {
    for (unsigned phase = 0; phase < 3; ++phase) {
      const auto c = static_cast<std::uint8_t>(group_c + 20 * phase);
      if (phase < phases)
        list.pair({1, 1, c, 7, 0, 255}, quantities[phase], tag, scaler);
      else
        list.null_data().null_data();
    }
  };
  phase_pairs(31, currents, u32, type.current_scaler);
  phase_pairs(32, voltages, u16, type.voltage_scaler);
  if (with_energy) {
    list.code({0, 1, 1, 0, 0, 255}).date_time(values.clock);
    list.pair({1, 1, 1, 8, 0, 255}, energy_import, u32, 1);
    list.pair({1, 1, 2, 8, 0, 255}, energy_export, u32, 1);
    list.pair({1, 1, 3, 8, 0, 255}, reactive_energy_import, u32, 1);
    list.pair({1, 1, 4, 8, 0, 255}, reactive_energy_export, u32, 1);
  }
  list.say(values.serial);
}
void build_kamstrup_3_phases(const Values& values, Octets& body, Telegram& telegram) {
  build_kamstrup({"6841131BN243101040", 0, -2}, 3, values, body, telegram);
}
void build_kamstrup_1_phase(const Values& values, Octets& body, Telegram& telegram) {
  build_kamstrup({"6861111BN242101040", 0, -2}, 1, values, body, telegram);
}
void build_kamstrup_transformer(const Values& values, Octets& body, Telegram& telegram) {
  build_kamstrup({"6851131BN243101040", 0, -3}, 3, values, body, telegram);
}
void build_kamstrup_fine_voltage(const Values& values, Octets& body, Telegram& telegram) {
  build_kamstrup({"6841138BN243101010", -2, -2}, 3, values, body, telegram);
}

/// Denmark: every value in each list, and no name but the system title.
void build_kamstrup_denmark(const Values& values, Octets& body, Telegram& telegram) {
  constexpr Pair pairs[] = {
      {{1, 1, 1, 8, 0, 255}, energy_import, u32, 1},
      {{1, 1, 2, 8, 0, 255}, energy_export, u32, 1},
      {{1, 1, 3, 8, 0, 255}, reactive_energy_import, u32, 1},
      {{1, 1, 4, 8, 0, 255}, reactive_energy_export, u32, 1},
      {{1, 1, 1, 7, 0, 255}, power_import, u32, 0},
      {{1, 1, 2, 7, 0, 255}, power_export, u32, 0},
      {{1, 1, 32, 7, 0, 255}, voltage_l1, u16, 0},
      {{1, 1, 52, 7, 0, 255}, voltage_l2, u16, 0},
      {{1, 1, 72, 7, 0, 255}, voltage_l3, u16, 0},
      {{1, 1, 31, 7, 0, 255}, current_l1, u32, -2},
      {{1, 1, 51, 7, 0, 255}, current_l2, u32, -2},
      {{1, 1, 71, 7, 0, 255}, current_l3, u32, -2},
      {{1, 1, 13, 7, 0, 255}, power_factor, u16, -2},
  };
  List list(values, body, telegram);
  list.structure(1 + 2 * (1 + std::size(pairs))).visible_string("Kamstrup_V0001");
  for (const Pair& pair : pairs) list.pair(pair.code, pair.quantity, pair.tag, pair.scaler);
  list.code({0, 1, 1, 0, 0, 255}).date_time(values.clock);
  list.say("");
}

// Aidon: an array of entries with scaler and unit.
void build_aidon(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  if (telegram.number % 4 != 1) {
    list.array(1);
    list.entry({1, 0, 1, 7, 0, 255}, power_import, u32, 0, watt).say("");
    return;
  }
  list.array(18);
  list.structure(2).code({1, 1, 0, 2, 129, 255}).visible_string("AIDON_V0001");
  list.structure(2).code({0, 0, 96, 1, 0, 255}).visible_string(values.serial);
  list.structure(2).code({0, 0, 96, 1, 7, 255}).visible_string("6525");
  list.entry({1, 0, 1, 7, 0, 255}, power_import, u32, 0, watt);
  list.entry({1, 0, 2, 7, 0, 255}, power_export, u32, 0, watt);
  list.entry({1, 0, 3, 7, 0, 255}, reactive_power_import, u32, 0, var);
  list.entry({1, 0, 4, 7, 0, 255}, reactive_power_export, u32, 0, var);
  list.entry({1, 0, 31, 7, 0, 255}, current_l1, i16, -1, ampere);
  list.entry({1, 0, 51, 7, 0, 255}, current_l2, i16, -1, ampere);
  list.entry({1, 0, 71, 7, 0, 255}, current_l3, i16, -1, ampere);
  list.entry({1, 0, 32, 7, 0, 255}, voltage_l1, u16, -1, volt);
  list.entry({1, 0, 52, 7, 0, 255}, voltage_l2, u16, -1, volt);
  list.entry({1, 0, 72, 7, 0, 255}, voltage_l3, u16, -1, volt);
  list.structure(2).code({0, 0, 1, 0, 0, 255}).date_time(values.clock);
  list.entry({1, 0, 1, 8, 0, 255}, energy_import, u32, 1, watt_hour);
  list.entry({1, 0, 2, 8, 0, 255}, energy_export, u32, 1, watt_hour);
  list.entry({1, 0, 3, 8, 0, 255}, reactive_energy_import, u32, 1, var_hour);
  list.entry({1, 0, 4, 8, 0, 255}, reactive_energy_export, u32, 1, var_hour);
  list.say(values.serial);
}

// Iskraemeco AM550 in Austria: a structure of entries; its second name has the length of a code.
void build_am550_austria(const Values& values, Octets& body, Telegram& telegram) {
  List list(values, body, telegram);
  list.structure(12);
  list.structure(2).code({0, 0, 96, 1, 0, 255}).octet_string(values.serial);
  list.structure(2).code({0, 0, 96, 1, 1, 255}).octet_string("160456");
  list.entry({1, 0, 1, 7, 0, 255}, power_import, u32, 0, watt);
  list.entry({1, 0, 2, 7, 0, 255}, power_export, u32, 0, watt);
  list.entry({1, 0, 1, 8, 0, 255}, energy_import, u32, 0, watt_hour);
  list.entry({1, 0, 2, 8, 0, 255}, energy_export, u32, 0, watt_hour);
  list.entry({1, 0, 32, 7, 0, 255}, voltage_l1, u16, -1, volt);
  list.entry({1, 0, 31, 7, 0, 255}, current_l1, u16, -2, ampere);
  list.entry({1, 0, 1, 8, 1, 255}, energy_import_t1, u32, 0, watt_hour);
  list.entry({1, 0, 1, 8, 2, 255}, energy_import_t2, u32, 0, watt_hour);
  list.entry({1, 0, 2, 8, 1, 255}, energy_export_t1, u32, 0, watt_hour);
  list.entry({1, 0, 2, 8, 2, 255}, energy_export_t2, u32, 0, watt_hour);
  list.say(values.serial);
}

// Sagemcom XT211: attribute descriptors without tags.
void build_xt211(const Values& values, Octets& body, Telegram& telegram) {
  constexpr Pair registers[] = {
      {{1, 0, 1, 7, 0, 255}, power_import, u32, 0},
      {{1, 0, 2, 7, 0, 255}, power_export, u32, 0},
      {{1, 0, 1, 8, 0, 255}, energy_import, u32, 0},
      {{1, 0, 1, 8, 1, 255}, energy_import_t1, u32, 0},
      {{1, 0, 1, 8, 2, 255}, energy_import_t2, u32, 0},
      {{1, 0, 2, 8, 0, 255}, energy_export, u32, 0},
  };
  List list(values, body, telegram);
  const auto descriptor = [&](std::uint8_t class_id, const Code& code, std::uint8_t attribute) {
    list.structure(2);
    append(body, Octets{0, class_id});
    append(body, code);
    body.push_back(attribute);
  };
  list.structure(2).enumerate(1).array(2 + std::size(registers));
  descriptor(1, {0, 0, 96, 1, 1, 255}, 2);
  list.octet_string(values.serial);
  descriptor(70, {0, 0, 96, 3, 10, 255}, 3);
  list.enumerate(1);
  telegram.readings.push_back({"breaker_state", "1"});
  for (const Pair& reg : registers) {
    descriptor(3, reg.code, 2);
    list.value(reg.quantity, reg.tag, reg.scaler);
  }
  list.say(values.serial);
}

/// In one HDLC frame a telegram.
Family hdlc(std::string_view name, std::string_view description, const Security& security,
            std::string_view serial, std::string_view logical_device_name,
            void (*build)(const Values&, Octets&, Telegram&), std::uint32_t invoke_id = 0) {
  return {name, description, Link::hdlc, security,  serial, logical_device_name,
          0,    build,       nullptr,    invoke_id, false};
}

}  // namespace

std::vector<Family> list_families() {
  constexpr Title kaifa = {'K', 'F', 'M', 'g', 0x50, 0, 0, 0x11};
  constexpr Title landis_gyr = {'L', 'G', 'Z', 'g', 0, 0, 0, 0x21};
  constexpr Title iskraemeco = {'I', 'S', 'K', 'g', 0x74, 0x9e, 0, 0x01};
  constexpr Title kamstrup = {'K', 'A', 'M', 'E', 0x01, 0xd5, 0, 0x01};
  constexpr Title siemens = {'S', 'M', 'S', 'g', 0, 0, 0, 0x01};
  constexpr Title sagemcom = {'S', 'A', 'G', 'g', 0, 0, 0, 0x01};
  constexpr Title aidon = {'A', 'I', 'D', 'g', 0, 0, 0, 0x01};
  constexpr std::uint32_t norwegian = 0x40000000;
  return {
      hdlc("kaifa-norway", "Kaifa MA304, Norway: KFM_001, three lists", security(0x00, kaifa),
           "6970631400000001", "", build_kaifa_norway, norwegian),
      hdlc("kaifa-norway-1-phase", "Kaifa MA105, Norway: KFM_001, one phase", security(0x00, kaifa),
           "6970631400000101", "", build_kaifa_norway_1_phase, norwegian),
      hdlc("kaifa-sweden", "Kaifa MA304, Sweden: codes and values", security(0x00, kaifa),
           "7340157000000001", "", build_kaifa_sweden, norwegian),
      hdlc("kaifa-burgenland", "Kaifa MA309, Netz Burgenland: IR, encrypted (30)",
           security(0x30, kaifa), "", "KFM1200200300001", build_kaifa_burgenland),
      hdlc("e450-burgenland", "Landis+Gyr E450, Netz Burgenland: IR, encrypted (30)",
           security(0x30, landis_gyr), "30000001", "", build_e450_burgenland_14),
      hdlc("e450-burgenland-short", "The same, 11 elements", security(0x30, landis_gyr), "30000101",
           "", build_e450_burgenland_11),
      hdlc("wiener-netze", "AM550, IM350, E450 of Wiener Netze: IR, encrypted (20)",
           security(0x20, iskraemeco), "", "", build_wiener_netze),
      hdlc("siemens-wels", "Siemens IM350, Wels: codes and values of unknown scale",
           security(0x00, siemens), "10300001", "", build_wels),
      hdlc("am550-slovenia", "Iskraemeco AM550, Slovenia: power (18), energies (4)",
           security(0x00, iskraemeco), "", "ISK1030780000001", build_slovenia),
      hdlc("am550-slovenia-1682", "Iskraemeco AM550, Slovenia: 16820005 (18), 16820006 (12)",
           security(0x00, iskraemeco), "", "ISK1030780000101", build_slovenia_1682),
      hdlc("am550-celje", "Iskraemeco AM550, Elektro Celje: UP_3f (12)", security(0x00, iskraemeco),
           "", "ISK1030780000201", build_celje),
      hdlc("am550-slovenia-1-phase", "Iskraemeco AM550, Slovenia: one phase (10, 9), energies (4)",
           security(0x00, iskraemeco), "", "ISK1020780000301", build_slovenia_1_phase),
      hdlc("am550-slovenia-tariffs", "Iskraemeco AM550, Slovenia: tariffs (9), energies (4)",
           security(0x00, iskraemeco), "", "ISK1030780000401", build_slovenia_tariffs),
      hdlc("am550-austria", "Iskraemeco AM550, Austria: a structure of entries",
           security(0x00, iskraemeco), "84000001", "", build_am550_austria),
      hdlc("ie5-croatia", "Iskraemeco IE.5, Croatia: 33 elements", security(0x00, iskraemeco),
           "92000001", "", build_croatia),
      hdlc("kamstrup", "Kamstrup Omnipower, Norway and Sweden: three phases",
           security(0x00, kamstrup), "5706567200000001", "", build_kamstrup_3_phases),
      hdlc("kamstrup-1-phase", "Kamstrup Omnipower: one phase, null-data for the others",
           security(0x00, kamstrup), "5706567200000101", "", build_kamstrup_1_phase),
      hdlc("kamstrup-transformer", "Kamstrup Omnipower CT (685): currents in mA",
           security(0x00, kamstrup), "5706567200000201", "", build_kamstrup_transformer),
      hdlc("kamstrup-fine-voltage",
           "Kamstrup Omnipower, Denmark: voltages in 0.01 V, encrypted (30)",
           security(0x30, kamstrup), "5706567200000301", "", build_kamstrup_fine_voltage),
      hdlc("kamstrup-denmark", "Kamstrup Omnipower, Denmark: one long list, encrypted (30)",
           security(0x30, kamstrup), "", "", build_kamstrup_denmark),
      hdlc("aidon", "Aidon, Norway: an array of entries", security(0x00, aidon), "7359992800000001",
           "", build_aidon, norwegian),
      hdlc("xt211", "Sagemcom XT211, Czechia: attribute descriptors without tags",
           security(0x00, sagemcom), "5100000001", "", build_xt211),
  };
}

}  // namespace metersim
