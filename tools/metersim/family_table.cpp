// SPDX-License-Identifier: Apache-2.0
// The table of meter families, and what their encoders share.
#include "tools/metersim/families.hpp"

#include <algorithm>

namespace metersim {
namespace {

/// The canonical names, in the order of the Quantity enumeration.
constexpr std::array<std::string_view, quantity_count> names = {
    "energy_import",
    "energy_import_t1",
    "energy_import_t2",
    "energy_export",
    "energy_export_t1",
    "energy_export_t2",
    "reactive_energy_import",
    "reactive_energy_import_t1",
    "reactive_energy_import_t2",
    "reactive_energy_export",
    "reactive_energy_export_t1",
    "reactive_energy_export_t2",
    "power_import",
    "power_export",
    "reactive_power_import",
    "reactive_power_export",
    "voltage_l1",
    "voltage_l2",
    "voltage_l3",
    "current_l1",
    "current_l2",
    "current_l3",
    "power_factor",
};

}  // namespace

std::string_view name(Quantity quantity) {
  return names[static_cast<std::size_t>(quantity)];
}

int resolution(Quantity quantity) {
  if (quantity >= Quantity::power_factor) return -3;
  if (quantity >= Quantity::current_l1) return -2;
  if (quantity >= Quantity::voltage_l1) return -1;
  return 0;
}

std::string decimal_text(std::int64_t value, int exponent) {
  const bool negative = value < 0;
  std::string text = std::to_string(negative ? -value : value);
  const auto places = static_cast<std::size_t>(-exponent);
  if (places > 0) {
    if (text.size() <= places) text.insert(0, places + 1 - text.size(), '0');
    text.insert(text.size() - places, ".");
  }
  if (negative) text.insert(0, 1, '-');
  return text;
}

Security security(std::uint8_t control, const Title& title, unsigned ber_octets) {
  return {control, title, test_key(), test_authentication_key(), ber_octets};
}

void append_value(const Values& values, Quantity quantity, std::uint8_t tag, int scaler,
                  Octets& body, Telegram& telegram) {
  std::int64_t value = values[quantity];
  for (int power = resolution(quantity); power < scaler; ++power) value /= 10;
  for (int power = resolution(quantity); power > scaler; --power) value *= 10;
  Axdr(body).number(tag, value);
  const bool energy = quantity < Quantity::power_import;  // published in kWh, kvarh
  telegram.readings.push_back({name(quantity), decimal_text(value, scaler - (energy ? 3 : 0))});
}

Octets test_key() {
  return octets_from_hex("000102030405060708090A0B0C0D0E0F");
}
Octets test_authentication_key() {
  return octets_from_hex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF");
}

std::span<const Family> families() {
  static const std::vector<Family> table = [] {
    std::vector<Family> all;
    for (const auto& some : {cosem_families(), list_families(), json_families(), p1_families(),
                             sml_families(), amis_families(), mbus_families()})
      all.insert(all.end(), some.begin(), some.end());
    return all;
  }();
  return table;
}

const Family* find_family(std::string_view name) {
  const auto table = families();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [name](const Family& family) { return family.name == name; });
  return found == table.end() ? nullptr : &*found;
}

Telegram encode(const Family& family, const Values& values, const Security* security,
                std::uint64_t number, std::uint32_t invocation_counter) {
  Telegram telegram;
  telegram.number = number;
  if (family.encode != nullptr) {
    family.encode(values, security, invocation_counter, telegram);
    return telegram;
  }
  Octets body;
  family.build(values, body, telegram);
  // Bit 31: high priority, as Kaifa and Sagemcom of Netz NÖ send it; the id counts.
  const auto invoke_id = family.invoke_id != 0
                             ? family.invoke_id
                             : 0x80000000u | (static_cast<std::uint32_t>(number) & 0xffffffu);
  Octets apdu = data_notification(invoke_id, values.clock, body);
  if (security != nullptr) {
    telegram.invocation_counter = invocation_counter;
    if (telegram.meter.empty()) telegram.meter = hex_from_octets(security->system_title);
    apdu = general_glo_ciphering(*security, invocation_counter, apdu);
  }
  if (family.link == Link::mbus)
    telegram.frames = mbus_frames(apdu, family.mbus_length_max);
  else
    telegram.frames = family.in_blocks ? hdlc_block_frames(apdu) : hdlc_frames(apdu);
  return telegram;
}

}  // namespace metersim
