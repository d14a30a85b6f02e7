// SPDX-License-Identifier: Apache-2.0
// Families that push SML files (SML 1.03) in transport version 1.
#include <stdexcept>

#include "tools/metersim/families.hpp"

namespace metersim {
namespace {

constexpr std::uint8_t watt = 27, watt_hour = 30;  // COSEM units

/// Appends type-length fields.
class Sml {
 public:
  explicit Sml(Octets& out) : out_(out) {}
  Sml& list(std::size_t count) { return head(0x70, count, 0); }
  Sml& octets(OctetView content) {
    head(0x00, content.size(), 1);
    append(out_, content);
    return *this;
  }
  Sml& absent() { return octets({}); }
  /// The `size` lowest octets of a number, as signed (50) or unsigned (60).
  Sml& integer(std::uint8_t type, std::int64_t value, unsigned size) {
    head(type, size, 1);
    for (unsigned i = size; i-- > 0;)
      out_.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> 8 * i & 0xff));
    return *this;
  }
  Sml& unsigned8(unsigned value) { return integer(0x60, value, 1); }
  Sml& raw(OctetView encoded) {
    append(out_, encoded);
    return *this;
  }

 private:
  /// A length counts its own octets too, except of a list.
  Sml& head(std::uint8_t type, std::size_t content, std::size_t own) {
    if (content + own < 16) {
      out_.push_back(static_cast<std::uint8_t>(type | (content + own)));
      return *this;
    }
    const std::size_t length = content + 2 * own;
    if (length > 0xff) throw std::runtime_error("an SML field of more than two length octets");
    out_.push_back(static_cast<std::uint8_t>(0x80 | type | length >> 4));
    out_.push_back(static_cast<std::uint8_t>(length & 0x0f));
    return *this;
  }
  Octets& out_;
};

/// transaction id, group, abort on error, body, CRC, end.
void append_message(Octets& file, std::uint32_t transaction, unsigned tag, OctetView content) {
  Octets message;
  const Octets id = {static_cast<std::uint8_t>(transaction >> 24),
                     static_cast<std::uint8_t>(transaction >> 16 & 0xff),
                     static_cast<std::uint8_t>(transaction >> 8 & 0xff),
                     static_cast<std::uint8_t>(transaction & 0xff)};
  Sml(message)
      .list(6)
      .octets(id)
      .unsigned8(0)
      .unsigned8(0)
      .list(2)
      .integer(0x60, tag, 2)
      .raw(content);
  const unsigned crc = crc16_x25(message);
  Sml(message).integer(0x60, (crc & 0xff) << 8 | crc >> 8, 2);
  message.push_back(0);
  append(file, message);
}

/// Transport: four 1B in a row are doubled, groups of four are filled up.
Octets transport_frame(OctetView file) {
  const Octets escape(4, 0x1b);
  Octets frame = escape;
  append(frame, Octets(4, 0x01));
  unsigned run = 0;
  for (const std::uint8_t octet : file) {
    frame.push_back(octet);
    run = octet == 0x1b ? run + 1 : 0;
    if (run < 4) continue;
    append(frame, escape);
    run = 0;
  }
  const std::size_t fill = (4 - frame.size() % 4) % 4;
  frame.insert(frame.end(), fill, 0);
  append(frame, escape);
  frame.push_back(0x1a);
  frame.push_back(static_cast<std::uint8_t>(fill));
  const std::uint16_t crc = crc16_x25(frame);
  frame.push_back(static_cast<std::uint8_t>(crc & 0xff));
  frame.push_back(static_cast<std::uint8_t>(crc >> 8));
  return frame;
}

/// A file with one list of `count` entries, already encoded.
void finish(const Values& values, OctetView server, std::size_t count, OctetView entries,
            Telegram& telegram) {
  // Meters count seconds from some start of their own.
  const std::int64_t second_index = values.clock.epoch_s & 0x7ffffff;
  const auto transaction = static_cast<std::uint32_t>(telegram.number * 3);
  const Octets file_id = {static_cast<std::uint8_t>(telegram.number >> 8 & 0xff),
                          static_cast<std::uint8_t>(telegram.number & 0xff)};
  Octets file, content;
  Sml(content).list(6).absent().absent().octets(file_id).octets(server).absent().absent();
  append_message(file, transaction, 0x0101, content);
  content.clear();
  Sml list(content);
  list.list(7).absent().octets(server).absent();
  list.list(2).unsigned8(1).integer(0x60, second_index, 4);
  list.list(count).raw(entries).absent().absent();
  append_message(file, transaction + 1, 0x0701, content);
  content.clear();
  Sml(content).list(1).absent();
  append_message(file, transaction + 2, 0x0201, content);
  telegram.frames = {transport_frame(file)};
}

/// code, status, no time, unit, scaler; the value and its signature follow.
Sml begin_entry(Octets& entries, const Code& code, unsigned unit, int scaler,
                std::uint32_t status = 0) {
  Sml entry(entries);
  entry.list(7).octets(code);
  if (status != 0)
    entry.integer(0x60, status, 4);
  else
    entry.absent();
  entry.absent().unsigned8(unit).integer(0x50, scaler, 1);
  return entry;
}

void append_text(Octets& entries, const Code& code, OctetView text) {
  Sml(entries).list(7).octets(code).absent().absent().absent().absent().octets(text).absent();
}

/// 0.1 Wh in five octets.
void append_energy(const Values& values, Quantity quantity, const Code& code, Octets& entries,
                   Telegram& telegram, std::uint32_t status = 0) {
  const std::int64_t value = values[quantity] * 10;
  begin_entry(entries, code, watt_hour, -1, status).integer(0x50, value, 5).absent();
  telegram.readings.push_back({name(quantity), decimal_text(value, -4)});
}

std::int64_t net_power(const Values& values) {
  return values[Quantity::power_import] - values[Quantity::power_export];
}

/// 0A 01, three letters, 00, the serial number; printed as on the meter (DIN 43863-5).
Octets din_server(std::string_view letters, const Values& values, Telegram& telegram) {
  Octets server = {0x0a, 0x01};
  for (const char letter : letters) server.push_back(static_cast<std::uint8_t>(letter));
  server.push_back(0x00);
  const auto serial = static_cast<std::uint32_t>(std::stoul(values.serial));
  for (int shift = 24; shift >= 0; shift -= 8)
    server.push_back(static_cast<std::uint8_t>(serial >> shift & 0xff));
  telegram.meter = "1" + std::string(letters) + "00" + values.serial;
  return server;
}

// EMH ED300L: an id from before DIN 43863-5; the power has no sign, which the status word has.
void encode_emh(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  constexpr std::uint32_t importing = 0x0182, exporting = 0x01b0;
  const Octets maker = {'E', 'M', 'H'};
  Octets server = {0x06, 'E', 'M', 'H', 0x01};
  const std::uint64_t serial = std::stoull(values.serial);
  for (int shift = 32; shift >= 0; shift -= 8)
    server.push_back(static_cast<std::uint8_t>(serial >> shift & 0xff));
  telegram.meter = hex_from_octets(server);
  const std::int64_t net = net_power(values) * 10;
  Octets entries;
  append_text(entries, {0x81, 0x81, 0xc7, 0x82, 0x03, 0xff}, maker);
  append_text(entries, {1, 0, 0, 0, 9, 255}, server);
  append_energy(values, Quantity::energy_import, {1, 0, 1, 8, 0, 255}, entries, telegram,
                net < 0 ? exporting : importing);
  append_energy(values, Quantity::energy_import_t1, {1, 0, 1, 8, 1, 255}, entries, telegram);
  append_energy(values, Quantity::energy_import_t2, {1, 0, 1, 8, 2, 255}, entries, telegram);
  begin_entry(entries, {1, 0, 15, 7, 0, 255}, watt, -1)
      .integer(0x50, net < 0 ? -net : net, 4)
      .absent();
  telegram.readings.push_back({"power_abs", decimal_text(net < 0 ? -net : net, -1)});
  telegram.readings.push_back({"power_net", decimal_text(net, -1)});
  append_text(entries, {0x81, 0x81, 0xc7, 0x82, 0x05, 0xff}, Octets(48, 0x1b));
  finish(values, server, 7, entries, telegram);
}

// DZG DVS74: leading zeros of a positive power are left out, though its type is signed.
void encode_dzg(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const Octets server = din_server("DZG", values, telegram);
  Octets entries;
  append_text(entries, {1, 0, 96, 1, 0, 255}, server);
  append_energy(values, Quantity::energy_import, {1, 0, 1, 8, 0, 255}, entries, telegram, 0x1c0104);
  append_energy(values, Quantity::energy_export, {1, 0, 2, 8, 0, 255}, entries, telegram);
  const std::int64_t power = net_power(values) * 100;
  unsigned size = 1;
  while (size < 4 && (power < 0 || power >> 8 * size != 0)) ++size;
  begin_entry(entries, {1, 0, 16, 7, 0, 255}, watt, -2).integer(0x50, power, size).absent();
  telegram.readings.push_back({"power_net", decimal_text(power, -2)});
  finish(values, server, 4, entries, telegram);
}

// Holley DTZ541: power without a sign; bit 11 of the status has it.
void encode_holley(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  constexpr std::uint32_t importing = 0x1c0104, exporting = 0x1c0904;
  const Octets server = din_server("HLY", values, telegram);
  const std::int64_t net = net_power(values);
  Octets entries;
  append_text(entries, {1, 0, 96, 50, 1, 1}, Octets{'H', 'L', 'Y'});
  append_energy(values, Quantity::energy_import, {1, 0, 1, 8, 0, 255}, entries, telegram,
                net < 0 ? exporting : importing);
  append_energy(values, Quantity::energy_export, {1, 0, 2, 8, 0, 255}, entries, telegram);
  begin_entry(entries, {1, 0, 16, 7, 0, 255}, watt, 0)
      .integer(0x60, net < 0 ? -net : net, 2)
      .absent();
  telegram.readings.push_back({"power_net", decimal_text(net, 0)});
  finish(values, server, 4, entries, telegram);
}

// ISKRA MT691 before its PIN was entered: whole kWh and nothing else.
void encode_iskra_locked(const Values& values, const Security*, std::uint32_t, Telegram& telegram) {
  const Octets server = din_server("ISK", values, telegram);
  Octets entries;
  append_text(entries, {1, 0, 96, 50, 1, 1}, Octets{'I', 'S', 'K'});
  append_text(entries, {1, 0, 96, 1, 0, 255}, server);
  for (const auto& [quantity, code] :
       {std::pair<Quantity, Code>{Quantity::energy_import, {1, 0, 1, 8, 0, 255}},
        std::pair<Quantity, Code>{Quantity::energy_export, {1, 0, 2, 8, 0, 255}}}) {
    const std::int64_t kilowatt_hours = values[quantity] / 1000;
    begin_entry(entries, code, watt_hour, 3).integer(0x60, kilowatt_hours, 4).absent();
    telegram.readings.push_back({name(quantity), decimal_text(kilowatt_hours, 0)});
  }
  finish(values, server, 4, entries, telegram);
}

Family sml_family(std::string_view name, std::string_view description, std::string_view serial,
                  decltype(Family::encode) encode) {
  return {name, description, Link::sml, {.control = 0}, serial, "", 0, nullptr, encode};
}

}  // namespace

std::vector<Family> sml_families() {
  return {
      sml_family("sml-emh", "EMH ED300L: SML, power without a sign", "10491448645", encode_emh),
      sml_family("sml-dzg", "DZG DVS74: SML, positive power shortened", "42082910", encode_dzg),
      sml_family("sml-holley", "Holley DTZ541: SML, power without a sign", "10004660",
                 encode_holley),
      sml_family("sml-iskra-locked", "ISKRA MT691 without PIN: SML, whole kWh", "70409925",
                 encode_iskra_locked),
  };
}

}  // namespace metersim
