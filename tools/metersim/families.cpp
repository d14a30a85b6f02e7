// SPDX-License-Identifier: Apache-2.0
// Families that push DLMS/COSEM lists, element by element.
#include <algorithm>
#include <stdexcept>

#include "tools/metersim/families.hpp"

namespace metersim {
namespace {

// A-XDR tags and COSEM units (Blue Book, class 3 scaler_unit).
constexpr std::uint8_t double_long_unsigned = 0x06, long_unsigned = 0x12, long64 = 0x14;
constexpr unsigned watt = 27, var = 29, watt_hour = 30, var_hour = 32, ampere = 33, volt = 35,
                   no_unit = 255;

/// A register of a list: value × 10^scaler in `unit`.
struct Register {
  Code code;
  Quantity quantity;
  std::uint8_t tag;
  int scaler;
  unsigned unit;
};

void append_value(const Values& values, const Register& reg, Octets& body, Telegram& telegram) {
  append_value(values, reg.quantity, reg.tag, reg.scaler, body, telegram);
}

void say_identity(const std::string& meter, const Values& values, Telegram& telegram) {
  telegram.meter = meter;
  telegram.time = values.clock.text();
}

// Kaifa MA309 and Sagemcom T210-D of Netz NÖ: clock, 12 × (code, value, scaler and unit), serial.
constexpr Register noe_registers[] = {
    {{1, 0, 1, 8, 0, 255}, Quantity::energy_import, double_long_unsigned, 0, watt_hour},
    {{1, 0, 2, 8, 0, 255}, Quantity::energy_export, double_long_unsigned, 0, watt_hour},
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, double_long_unsigned, 0, watt},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, double_long_unsigned, 0, watt},
    {{1, 0, 32, 7, 0, 255}, Quantity::voltage_l1, long_unsigned, -1, volt},
    {{1, 0, 52, 7, 0, 255}, Quantity::voltage_l2, long_unsigned, -1, volt},
    {{1, 0, 72, 7, 0, 255}, Quantity::voltage_l3, long_unsigned, -1, volt},
    {{1, 0, 31, 7, 0, 255}, Quantity::current_l1, long_unsigned, -2, ampere},
    {{1, 0, 51, 7, 0, 255}, Quantity::current_l2, long_unsigned, -2, ampere},
    {{1, 0, 71, 7, 0, 255}, Quantity::current_l3, long_unsigned, -2, ampere},
    {{1, 0, 13, 7, 0, 255}, Quantity::power_factor, long_unsigned, -3, no_unit},
};

void build_noe(const Values& values, Octets& body, Telegram& telegram) {
  Axdr list(body);
  list.structure(2 + 3 * std::size(noe_registers)).date_time(values.clock);
  for (const Register& reg : noe_registers) {
    list.code(reg.code);
    append_value(values, reg, body, telegram);
    list.scaler_unit(reg.scaler, reg.unit);
  }
  list.octet_string(values.serial);
  say_identity(values.serial, values, telegram);
}

// Kaifa MA309 of TINETZ, Salzburg Netz, Vorarlberg: clock, two pairs, 12 triples.
constexpr Register tinetz_registers[] = {
    {{1, 0, 32, 7, 0, 255}, Quantity::voltage_l1, long_unsigned, -1, volt},
    {{1, 0, 52, 7, 0, 255}, Quantity::voltage_l2, long_unsigned, -1, volt},
    {{1, 0, 72, 7, 0, 255}, Quantity::voltage_l3, long_unsigned, -1, volt},
    {{1, 0, 31, 7, 0, 255}, Quantity::current_l1, long_unsigned, -2, ampere},
    {{1, 0, 51, 7, 0, 255}, Quantity::current_l2, long_unsigned, -2, ampere},
    {{1, 0, 71, 7, 0, 255}, Quantity::current_l3, long_unsigned, -2, ampere},
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, double_long_unsigned, 0, watt},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, double_long_unsigned, 0, watt},
    {{1, 0, 1, 8, 0, 255}, Quantity::energy_import, double_long_unsigned, 0, watt_hour},
    {{1, 0, 2, 8, 0, 255}, Quantity::energy_export, double_long_unsigned, 0, watt_hour},
    {{1, 0, 3, 8, 0, 255}, Quantity::reactive_energy_import, double_long_unsigned, 0, var_hour},
    {{1, 0, 4, 8, 0, 255}, Quantity::reactive_energy_export, double_long_unsigned, 0, var_hour},
};

void build_tinetz(const Values& values, Octets& body, Telegram& telegram) {
  Axdr list(body);
  list.structure(4 + std::size(tinetz_registers));
  list.code({0, 0, 1, 0, 0, 255}).date_time(values.clock);
  list.structure(2).code({0, 0, 96, 1, 0, 255}).octet_string(values.serial);
  list.structure(2).code({0, 0, 42, 0, 0, 255}).octet_string(values.logical_device_name);
  for (const Register& reg : tinetz_registers) {
    list.structure(3).code(reg.code);
    append_value(values, reg, body, telegram);
    list.scaler_unit(reg.scaler, reg.unit);
  }
  say_identity(values.logical_device_name, values, telegram);
}

// Landis+Gyr E450: values behind a list of push-object descriptors, without scalers.

/// structure { class, code, attribute, data index } of a push-object list (Blue Book class 40).
void append_descriptor(Axdr& list, std::int64_t cosem_class, const Code& code, int attribute) {
  list.structure(4)
      .number(long_unsigned, cosem_class)
      .code(code)
      .integer8(attribute)
      .number(long_unsigned, 0);
}

constexpr std::int64_t class_data = 1, class_register = 3, class_clock = 8, class_push_setup = 40;

/// The two descriptors with which every list of the E450 begins.
void append_push_setup(Axdr& list, const Code& list_code) {
  append_descriptor(list, class_push_setup, list_code, 2);
  append_descriptor(list, class_push_setup, list_code, 1);
}

constexpr Register e450_registers[] = {
    {{1, 1, 1, 8, 0, 255}, Quantity::energy_import, double_long_unsigned, 0, watt_hour},
    {{1, 1, 2, 8, 0, 255}, Quantity::energy_export, double_long_unsigned, 0, watt_hour},
    {{1, 1, 3, 8, 0, 255}, Quantity::reactive_energy_import, double_long_unsigned, 0, var_hour},
    {{1, 1, 4, 8, 0, 255}, Quantity::reactive_energy_export, double_long_unsigned, 0, var_hour},
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, double_long_unsigned, 0, watt},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, double_long_unsigned, 0, watt},
    {{1, 0, 32, 7, 0, 255}, Quantity::voltage_l1, long_unsigned, 0, volt},
    {{1, 0, 52, 7, 0, 255}, Quantity::voltage_l2, long_unsigned, 0, volt},
    {{1, 0, 72, 7, 0, 255}, Quantity::voltage_l3, long_unsigned, 0, volt},
    {{1, 0, 31, 7, 0, 255}, Quantity::current_l1, long_unsigned, -2, ampere},
    {{1, 0, 51, 7, 0, 255}, Quantity::current_l2, long_unsigned, -2, ampere},
    {{1, 0, 71, 7, 0, 255}, Quantity::current_l3, long_unsigned, -2, ampere},
};

// Landis+Gyr E360 and the AM550 of Switzerland: the same list with tenths of volts.
constexpr Register e360_registers[] = {
    {{1, 1, 1, 8, 0, 255}, Quantity::energy_import, double_long_unsigned, 0, watt_hour},
    {{1, 1, 2, 8, 0, 255}, Quantity::energy_export, double_long_unsigned, 0, watt_hour},
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, double_long_unsigned, 0, watt},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, double_long_unsigned, 0, watt},
    {{1, 0, 32, 7, 0, 255}, Quantity::voltage_l1, long_unsigned, -1, volt},
    {{1, 0, 72, 7, 0, 255}, Quantity::voltage_l3, long_unsigned, -1, volt},
    {{1, 0, 52, 7, 0, 255}, Quantity::voltage_l2, long_unsigned, -1, volt},
    {{1, 0, 31, 7, 0, 255}, Quantity::current_l1, long_unsigned, -2, ampere},
    {{1, 0, 51, 7, 0, 255}, Quantity::current_l2, long_unsigned, -2, ampere},
    {{1, 0, 71, 7, 0, 255}, Quantity::current_l3, long_unsigned, -2, ampere},
    {{1, 0, 13, 7, 0, 255}, Quantity::power_factor, long_unsigned, -3, no_unit},
};
// Landis+Gyr E570: 64-bit integers, and no currents, whose scale depends on its transformers.
constexpr Register e570_registers[] = {
    {{1, 1, 1, 8, 0, 255}, Quantity::energy_import, long64, 0, watt_hour},
    {{1, 1, 2, 8, 0, 255}, Quantity::energy_export, long64, 0, watt_hour},
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, long64, 0, watt},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, long64, 0, watt},
    {{1, 0, 32, 7, 0, 255}, Quantity::voltage_l1, long_unsigned, 0, volt},
    {{1, 0, 52, 7, 0, 255}, Quantity::voltage_l2, long_unsigned, 0, volt},
    {{1, 0, 72, 7, 0, 255}, Quantity::voltage_l3, long_unsigned, 0, volt},
};

/// Names, clock and registers; group B of the push setup object says whose list it is.
void build_push_list(std::uint8_t channel, std::span<const Register> registers,
                     const Values& values, Octets& body, Telegram& telegram) {
  const Code list_code = {0, channel, 25, 9, 0, 255};
  const std::size_t count = 5 + registers.size();
  Axdr list(body);
  list.structure(count).array(count);
  append_push_setup(list, list_code);
  append_descriptor(list, class_data, {0, 0, 42, 0, 0, 255}, 2);
  append_descriptor(list, class_data, {0, 0, 96, 1, 1, 255}, 2);
  append_descriptor(list, class_clock, {0, 0, 1, 0, 0, 255}, 2);
  for (const Register& reg : registers) append_descriptor(list, class_register, reg.code, 2);
  list.code(list_code).octet_string(values.logical_device_name).octet_string(values.serial);
  list.date_time(values.clock);
  for (const Register& reg : registers) append_value(values, reg, body, telegram);
  say_identity(values.logical_device_name, values, telegram);
}
void build_e450(const Values& values, Octets& body, Telegram& telegram) {
  build_push_list(8, e450_registers, values, body, telegram);
}
void build_e360(const Values& values, Octets& body, Telegram& telegram) {
  build_push_list(6, e360_registers, values, body, telegram);
}
void build_e570(const Values& values, Octets& body, Telegram& telegram) {
  build_push_list(8, e570_registers, values, body, telegram);
}

// Landis+Gyr E450 with two lists: power every time, tariffs every twelfth time (5 s and 60 s).
constexpr Register e450_power_registers[] = {
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, double_long_unsigned, 0, watt},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, double_long_unsigned, 0, watt},
    {{1, 1, 1, 8, 0, 255}, Quantity::energy_import, double_long_unsigned, 0, watt_hour},
    {{1, 1, 2, 8, 0, 255}, Quantity::energy_export, double_long_unsigned, 0, watt_hour},
};
constexpr Register e450_tariff_registers[] = {
    {{1, 1, 1, 8, 1, 255}, Quantity::energy_import_t1, double_long_unsigned, 0, watt_hour},
    {{1, 1, 1, 8, 2, 255}, Quantity::energy_import_t2, double_long_unsigned, 0, watt_hour},
    {{1, 1, 2, 8, 1, 255}, Quantity::energy_export_t1, double_long_unsigned, 0, watt_hour},
    {{1, 1, 2, 8, 2, 255}, Quantity::energy_export_t2, double_long_unsigned, 0, watt_hour},
};

void build_e450_two_lists(const Values& values, Octets& body, Telegram& telegram) {
  const bool tariffs = telegram.number % 12 == 0;
  const Code list_code = {0, static_cast<std::uint8_t>(tariffs ? 9 : 8), 25, 9, 0, 255};
  const std::span<const Register> registers = tariffs
                                                  ? std::span<const Register>(e450_tariff_registers)
                                                  : std::span<const Register>(e450_power_registers);
  const std::size_t count = 3 + registers.size();
  Axdr list(body);
  list.structure(count).array(count);
  append_push_setup(list, list_code);
  append_descriptor(list, class_data, {0, 0, 96, 1, 0, 255}, 2);
  for (const Register& reg : registers) append_descriptor(list, class_register, reg.code, 2);
  list.code(list_code).octet_string(values.serial);
  for (const Register& reg : registers) append_value(values, reg, body, telegram);
  say_identity(values.serial, values, telegram);
}

// Landis+Gyr E450, encrypted list: clock, then pairs of code and value, neither id nor scalers.
constexpr Register e450_pair_registers[] = {
    {{1, 0, 1, 8, 0, 255}, Quantity::energy_import, double_long_unsigned, 0, watt_hour},
    {{1, 0, 1, 8, 1, 255}, Quantity::energy_import_t1, double_long_unsigned, 0, watt_hour},
    {{1, 0, 1, 8, 2, 255}, Quantity::energy_import_t2, double_long_unsigned, 0, watt_hour},
    {{1, 0, 1, 7, 0, 255}, Quantity::power_import, double_long_unsigned, 0, watt},
    {{1, 0, 2, 8, 0, 255}, Quantity::energy_export, double_long_unsigned, 0, watt_hour},
    {{1, 0, 2, 8, 1, 255}, Quantity::energy_export_t1, double_long_unsigned, 0, watt_hour},
    {{1, 0, 2, 8, 2, 255}, Quantity::energy_export_t2, double_long_unsigned, 0, watt_hour},
    {{1, 0, 2, 7, 0, 255}, Quantity::power_export, double_long_unsigned, 0, watt},
    {{1, 0, 3, 8, 0, 255}, Quantity::reactive_energy_import, double_long_unsigned, 0, var_hour},
    {{1, 0, 3, 8, 1, 255}, Quantity::reactive_energy_import_t1, double_long_unsigned, 0, var_hour},
    {{1, 0, 3, 8, 2, 255}, Quantity::reactive_energy_import_t2, double_long_unsigned, 0, var_hour},
    {{1, 0, 3, 7, 0, 255}, Quantity::reactive_power_import, double_long_unsigned, 0, var},
    {{1, 0, 4, 8, 0, 255}, Quantity::reactive_energy_export, double_long_unsigned, 0, var_hour},
    {{1, 0, 4, 8, 1, 255}, Quantity::reactive_energy_export_t1, double_long_unsigned, 0, var_hour},
    {{1, 0, 4, 8, 2, 255}, Quantity::reactive_energy_export_t2, double_long_unsigned, 0, var_hour},
    {{1, 0, 4, 7, 0, 255}, Quantity::reactive_power_export, double_long_unsigned, 0, var},
};

void build_e450_pairs(const Values& values, Octets& body, Telegram& telegram) {
  Axdr list(body);
  list.structure(1 + 2 * std::size(e450_pair_registers)).date_time(values.clock);
  for (const Register& reg : e450_pair_registers) {
    list.code(reg.code);
    append_value(values, reg, body, telegram);
  }
  say_identity("", values, telegram);
}

}  // namespace

std::vector<Family> cosem_families() {
  constexpr Title kaifa_noe = {'K', 'F', 'M', 'g', 0x50, 0, 0, 0x09};
  constexpr Title kaifa_tinetz = {'K', 'F', 'M', 0x10, 0x20, 0, 0, 0x01};
  constexpr Title sagemcom = {'S', 'A', 'G', 'Y', 0x05, 0, 0, 0x01};
  constexpr Title landis_gyr = {'L', 'G', 'Z', 'g', 0, 0, 0, 0x01};
  return {
      {"kaifa-noe", "Kaifa MA309, EVN / Netz NÖ: M-Bus, encrypted (20)", Link::mbus,
       security(0x20, kaifa_noe), "181220000009", "", 0xfa, build_noe},
      {"kaifa-tinetz", "Kaifa MA309, TINETZ, Salzburg Netz, Vorarlberg: M-Bus, encrypted (21)",
       Link::mbus, security(0x21, kaifa_tinetz, 2), "1KFM0200169986", "KFM1200200169986", 0xfa,
       build_tinetz},
      {"sagemcom-noe", "Sagemcom T210-D, Netz NÖ: M-Bus with length 257, encrypted (20)",
       Link::mbus, security(0x20, sagemcom), "184670000001", "", 0x101, build_noe},
      {"e450", "Landis+Gyr E450: HDLC with block transfer, push-object list, in clear", Link::hdlc,
       security(0x00, landis_gyr), "1909113", "LGZ1030653520967", 0, build_e450},
      {"e450-two-lists", "Landis+Gyr E450: power every time, tariffs every 12th, in clear",
       Link::hdlc, security(0x00, landis_gyr), "44337811", "", 0, build_e450_two_lists},
      {"e450-pairs", "Landis+Gyr E450: list of code and value, encrypted and authenticated (30)",
       Link::hdlc, security(0x30, landis_gyr), "", "", 0, build_e450_pairs},
      {"e360", "Landis+Gyr E360, Switzerland: push-object list, in clear", Link::hdlc,
       security(0x00, landis_gyr), "57391402", "LGZ1030784839173", 0, build_e360},
      {"e570", "Landis+Gyr E570, Switzerland: push-object list with 64-bit integers, in clear",
       Link::hdlc, security(0x00, landis_gyr), "63120045", "LGZ1030690000045", 0, build_e570},
  };
}

}  // namespace metersim
