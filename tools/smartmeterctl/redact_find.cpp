// SPDX-License-Identifier: Apache-2.0
// find_ids: which registers, headers and lines of a telegram name a meter or a person.
#include <algorithm>
#include <charconv>

#include "meter/base/hex.hpp"
#include "meter/data_line.hpp"
#include "meter/mbus/application.hpp"
#include "meter/mbus/record.hpp"
#include "meter/p1_text.hpp"
#include "meter/sml/fields.hpp"
#include "meter/sml/vendor_rules.hpp"
#include "tools/smartmeterctl/redact_ids.hpp"

namespace smartmeterctl::redact {
namespace {

using meter::Bytes;
using meter::bytes_of;
using meter::Obis;
using meter::text_of;
using meter::u8;
using Kind = meter::Reading::Kind;

/// Digits of the number of a device on the M-Bus (EN 13757-3 6.6.1).
constexpr std::size_t mbus_digits = 8;
/// Digits at the end of an id that are likely to stand elsewhere alone: the serial number.
constexpr std::size_t serial_digits = 8;

constexpr std::string_view digits = "0123456789";

bool is_text_link(meter::Link link) {
  return link == meter::Link::p1 || link == meter::Link::iec62056_21;
}

bool is_message(const Obis& obis) {
  return obis.c == 96 && obis.d == 13;
}

/// Texts under codes of identifications that tell no meter from another.
bool is_type(const Telegram& telegram, const Obis& obis) {
  // Belgium: version.
  if (telegram.link == meter::Link::p1) return obis == Obis{0, 0, 96, 1, 4, 255};
  return obis == Obis{1, 1, 96, 1, 1, 255} ||  // Kamstrup: type number
         obis == Obis{0, 0, 96, 1, 7, 255};     // Aidon, Kaifa: type
}

/// Codes of identifications (IEC 62056-61, Blue Book 7, national P1 documents).
bool is_id_code(const Telegram& telegram, const Obis& obis) {
  if (!obis.is_standard() || is_type(telegram, obis)) return false;
  if (obis.a <= 15 && obis.c == 96 && (obis.d == 1 || obis.d == 13)) return true;
  if (obis.a == 0 && obis.c == 42 && obis.d == 0) return true;          // logical device name
  if (obis.a <= 15 && obis.c == 0 && obis.d == 0) return true;          // ids of the utility
  return obis.a == 129 && obis.c == 199 && obis.d == 130 && obis.e == 5;  // public key
}

bool is_id_label(std::string_view label) {
  for (const std::string_view start : {"fabrication number", "enhanced identification", "customer"})
    if (label.starts_with(start)) return true;
  // Heat meters: the device's, the owner's, the address.
  return label == "9.20" || label == "9.21" || label == "0.0";
}

std::string_view without_blanks(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \r\n") - begin + 1);
}

Octets octets_of(Bytes octets) {
  return {octets.begin(), octets.end()};
}

/// As next_data_set; one with a code that is none of ours is passed over.
std::optional<meter::DataSet> next_set(std::string_view& line) {
  while (!line.empty()) {
    if (const auto set = meter::next_data_set(line)) return set;
    const std::size_t end = line.find(')');
    line.remove_prefix(end == line.npos ? line.size() : end + 1);
  }
  return std::nullopt;
}

/// The text in hex digits, as P1 sends some; empty: it is none.
Octets hex_text(std::string_view hex) {
  Octets text;
  if (hex.size() % 2 != 0) return {};
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = meter::hex_value(hex[i]), low = meter::hex_value(hex[i + 1]);
    if (high < 0 || low < 0 || !meter::is_printable(static_cast<std::byte>(high << 4 | low)))
      return {};
    text.push_back(static_cast<std::byte>(high << 4 | low));
  }
  return text;
}

std::string_view without_zeros(std::string_view hex) {
  while (hex.starts_with("00")) hex.remove_prefix(2);
  while (hex.ends_with("00")) hex.remove_suffix(2);
  return hex;
}

class Finder {
 public:
  Finder(const Telegram& telegram, const Content& content)
      : telegram_(telegram), content_(content) {}
  std::vector<Found> run();

 private:
  void add(Id id, std::vector<Place> places = {});
  void add_text(Octets text, bool is_message, std::vector<Place> places);
  void add_octets(Bytes octets, std::vector<Place> places);
  void entry(const Entry& entry);
  void identification(std::string_view line);
  void lines();
  void values(const meter::DataSet& set);
  void mbus();
  void sml();
  void server_id(const meter::sml::Field& field);
  void meter_id(std::string_view id);
  std::vector<Place> with_length(Bytes octets) const;
  std::vector<Place> with_tag(std::uint64_t value) const;
  Place place_of(Bytes part) const {
    return {static_cast<std::size_t>(part.data() - content_.octets.data()), part.size()};
  }

  const Telegram& telegram_;
  const Content& content_;
  std::vector<Found> found_;
};

void Finder::add(Id id, std::vector<Place> places) {
  if (!id.is_message && is_blank(id.value)) return;
  found_.push_back({std::move(id), std::move(places)});
}

void Finder::add_text(Octets text, bool is_message, std::vector<Place> places) {
  const auto is_digit = [](std::byte octet) { return u8(octet) >= '0' && u8(octet) <= '9'; };
  const auto count = static_cast<std::size_t>(
      std::find_if_not(text.rbegin(), text.rend(), is_digit) - text.rbegin());
  const Octets serial(text.end() - static_cast<std::ptrdiff_t>(std::min(count, serial_digits)),
                      text.end());
  const bool is_number = count == text.size() && count <= serial_digits;
  if (!is_number && count >= serial_digits && !is_message)
    add({Id::Kind::digits, serial, false, {}});
  add({is_number ? Id::Kind::digits : Id::Kind::text, std::move(text), is_message, {}},
      std::move(places));
}

/// A server id of DIN 43863-5 is also printed, and its number is one of 32 bits.
void Finder::add_octets(Bytes octets, std::vector<Place> places) {
  const meter::sml::ServerId server(octets);
  if (server.is_din()) {
    const std::string text(server.text().view());
    const Octets all = octets_of(bytes_of(text));
    constexpr std::size_t printed_size = 14;
    if (all.size() == printed_size) {
      add({Id::Kind::digits, Octets(all.end() - serial_digits, all.end()), false,
           octets_of(octets)});
      add({Id::Kind::text, all, false, {}});
    }
  }
  add({Id::Kind::octets, octets_of(octets), false, {}}, std::move(places));
}

/// Where these octets stand behind their length: A-XDR 09 and 0A, SML.
std::vector<Place> Finder::with_length(Bytes octets) const {
  std::vector<Place> places;
  if (octets.empty()) return places;
  const std::string_view all = text_of(content_.octets);
  const std::size_t size = octets.size();
  for (std::size_t at = all.find(text_of(octets)); at != all.npos;
       at = all.find(text_of(octets), at + 1)) {
    const auto before = [&](std::size_t back) {
      return at >= back ? u8(content_.octets[at - back]) : 0u;
    };
    const bool is_axdr = before(1) == size && (before(2) == 0x09 || before(2) == 0x0a);
    const bool is_sml = size < 15 ? before(1) == size + 1
                                  : (before(2) & 0xf0) == 0x80 &&
                                        ((before(2) & 15) << 4 | (before(1) & 15)) == size + 2;
    if (is_axdr || is_sml) places.push_back({at, size});
  }
  return places;
}

void Finder::entry(const Entry& entry) {
  if (!is_id(telegram_, entry)) return;
  if (entry.kind == Kind::octets) return add_octets(entry.octets, with_length(entry.octets));
  if (entry.kind == Kind::text) {
    const Octets text = octets_of(bytes_of(without_blanks(text_of(entry.octets))));
    return add_text(text, is_message(entry.obis), with_length(text));
  }
  if (entry.kind != Kind::number || entry.value.exponent != 0 || entry.value.mantissa <= 0) return;
  std::string number = std::to_string(entry.value.mantissa);
  if (entry.label.starts_with("fabrication") && number.size() < mbus_digits)
    number.insert(0, mbus_digits - number.size(), '0');
  add({Id::Kind::digits, octets_of(bytes_of(number)), false, {}},
      with_tag(static_cast<std::uint64_t>(entry.value.mantissa)));
}

/// A number of 32 bits behind its type: A-XDR 05 and 06, SML 55 and 65.
std::vector<Place> Finder::with_tag(std::uint64_t value) const {
  constexpr std::size_t size = 4;
  Octets number;
  for (std::size_t i = size; i-- > 0;)
    number.push_back(static_cast<std::byte>(value >> 8 * i & 0xff));
  std::vector<Place> places;
  const std::string_view all = text_of(content_.octets);
  for (std::size_t at = all.find(text_of(number), 1); at != all.npos;
       at = all.find(text_of(number), at + 1)) {
    const unsigned tag = u8(content_.octets[at - 1]);
    if (tag == 0x05 || tag == 0x06 || tag == 0x55 || tag == 0x65) places.push_back({at, size});
  }
  return places;
}

/// Some meters put their number into it (Sweden: "/ELL5\\253833635_A").
void Finder::identification(std::string_view line) {
  constexpr std::size_t speed_at = 4, digits_min = 6;
  std::size_t at = speed_at + 1;
  if (line.size() > at && line[at] == '\\') at += 2;  // mode (IEC 62056-21 6.3.2)
  while (at < line.size()) {
    const std::size_t begin = line.find_first_of(digits, at);
    if (begin == line.npos) return;
    at = std::min(line.find_first_not_of(digits, begin), line.size());
    const Bytes number = bytes_of(line.substr(begin, at - begin));
    if (number.size() >= digits_min)
      add({Id::Kind::digits, octets_of(number), false, {}}, {place_of(number)});
  }
}

/// P1 and IEC 62056-21: at its place, however short it is.
void Finder::lines() {
  std::string_view rest = text_of(content_.octets);
  if (rest.starts_with('/')) identification(rest.substr(0, rest.find_first_of("\r\n")));
  while (auto line = meter::next_p1_line(rest)) {
    constexpr char start_of_text = 0x02;
    if (line->starts_with(start_of_text)) line->remove_prefix(1);
    while (const auto set = next_set(*line))
      if (is_id_code(telegram_, set->obis) || is_id_label(set->code)) values(*set);
  }
}

void Finder::values(const meter::DataSet& set) {
  meter::ValueGroups values = set.values;
  while (const auto sent = values.next()) {
    std::string_view value = without_blanks(*sent);
    const bool may_be_hex = telegram_.link == meter::Link::p1;
    // Octets 00 fill up a text in hex digits.
    if (may_be_hex && value.size() % 2 == 0 && !hex_text(without_zeros(value)).empty())
      value = without_zeros(value);
    if (value.empty()) continue;
    const Octets text = hex_text(value);
    const bool is_hex = may_be_hex && !text.empty();
    add_text(is_hex ? text : octets_of(bytes_of(value)), is_message(set.obis),
             {place_of(bytes_of(value))});
  }
}

/// The number in a header, and records of ids.
void Finder::mbus() {
  const Bytes message = content_.octets;
  constexpr std::size_t link_header_size = 3, number_size = 4;
  const unsigned control_information = u8(message[2]);
  const auto header = meter::mbus::parse_header(message);
  const bool is_fixed = control_information == 0x73 || control_information == 0x77;
  const bool has_number = is_fixed || (header && !header->identification.empty());
  if (has_number && message.size() >= link_header_size + number_size) {
    const Bytes number = message.subspan(link_header_size, number_size);
    Octets in_order = octets_of(number);
    std::ranges::reverse(in_order);
    char buffer[2 * number_size];
    const std::string_view text = meter::write_hex(in_order, buffer, meter::hex_upper);
    if (text.find_first_not_of(digits) == text.npos)
      add({Id::Kind::digits, octets_of(bytes_of(text)), false, {}}, {place_of(number)});
    else
      add_octets(in_order, {place_of(number)});
  }
  if (!header) return;
  meter::mbus::RecordReader records(message.subspan(header->size));
  meter::mbus::Record record;
  while (records.next(record).value_or(false)) {
    const unsigned vif = record.vif & 0x7fu;
    const unsigned extension = record.vifes.empty() ? 0 : u8(record.vifes[0]) & 0x7fu;
    const bool is_plain = vif == 0x78 || vif == 0x79;
    const bool is_customer = record.vif == 0xfd && (extension == 0x10 || extension == 0x11);
    // Its value is among the registers: here is only where it stands.
    if ((is_plain || is_customer) && !record.data.empty())
      found_.push_back({{}, {place_of(record.data)}});
  }
}

void Finder::server_id(const meter::sml::Field& field) {
  if (field.type == meter::sml::Type::octets && !field.content.empty())
    add_octets(field.content, {place_of(field.content)});
}

/// Open response and lists name the server outside of the registers, too.
void Finder::sml() {
  constexpr std::uint64_t open_response = 0x0101, list_response = 0x0701;  // SML 1.03, 7.1
  meter::sml::FieldReader in(content_.octets);
  while (in.ok() && in.remaining() != 0) {
    if (u8(content_.octets[in.offset()]) == 0) {
      in.end_of_message();
      continue;
    }
    if (!in.list(6)) return;
    in.skip(3);
    if (!in.list(2)) return;
    const meter::sml::Field tag = in.next();
    const std::uint64_t message = tag.is_integer() ? tag.as_unsigned() : 0;
    if (message == open_response && in.list(6)) {
      in.skip(3);
      server_id(in.next());
      in.skip(2);
    } else if (message == list_response && in.list(7)) {
      in.skip();
      server_id(in.next());
      in.skip(5);
    } else {
      in.skip();
    }
    in.skip();
    in.end_of_message();
  }
}

/// As it is shown, unless that is the identification line or octets in hex digits.
void Finder::meter_id(std::string_view id) {
  if (id.empty()) return;
  const std::string identification = "/" + std::string(id);
  if (text_of(content_.octets).find(identification) != std::string_view::npos) return;
  for (const Found& found : found_) {
    const Octets& value = found.id.value;
    std::string hex(2 * value.size(), ' ');
    if (found.id.kind == Id::Kind::octets &&
        meter::write_hex(value, hex, meter::hex_upper).starts_with(id))
      return;
  }
  add_text(octets_of(bytes_of(without_blanks(id))), false, {});
}

std::vector<Found> Finder::run() {
  for (const Entry& each : telegram_.entries) entry(each);
  const bool is_text = !content_.octets.empty() && is_text_link(telegram_.link);
  if (is_text) {
    // Registers have the values as sent, where P1 sends texts in hex digits.
    found_.clear();
    lines();
  }
  if (content_.is_application_message) mbus();
  if (telegram_.link == meter::Link::sml) sml();
  meter_id(telegram_.meter_id);
  for (const std::string& id : telegram_.sub_meter_ids) meter_id(id);
  return std::move(found_);
}

}  // namespace

bool is_id(const Telegram& telegram, const Entry& entry) {
  if (entry.kind == Kind::date_time) return false;
  // Iskraemeco: name of the list, or the logical device name.
  if (entry.obis == Obis{0, 0, 96, 1, 2, 255} && telegram.profile.starts_with("iskraemeco"))
    return text_of(entry.octets).starts_with("ISK");
  // Further values of a line have no code of their own.
  const auto code = telegram.link == meter::Link::iec62056_21
                        ? meter::parse_line_code(entry.label).value_or(entry.obis)
                        : entry.obis;
  return is_id_code(telegram, code) || is_id_label(entry.label);
}

bool is_blank(Bytes value) {
  const auto names_nothing = [](std::byte octet) {
    const unsigned c = u8(octet);
    return c == '0' || c == ' ' || c == '-' || c == 0 || c == 0xff;
  };
  return std::ranges::all_of(value, names_nothing) ||
         std::ranges::all_of(value, [value](std::byte octet) { return octet == value[0]; });
}

std::vector<Found> find_ids(const Telegram& telegram, const Content& content) {
  return Finder(telegram, content).run();
}

}  // namespace smartmeterctl::redact
