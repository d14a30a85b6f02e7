// SPDX-License-Identifier: Apache-2.0
// SML files: open response, lists of registers, close response.
#include "meter/sml/file.hpp"

#include <cstdlib>
#include <optional>

#include "meter/base/crc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/explain_line.hpp"
#include "meter/sml/fields.hpp"
#include "meter/sml/vendor_rules.hpp"

namespace meter::sml {
namespace {

constexpr unsigned message_list = 0x76;  // list of six
// SML 1.03, 7.1: tags of message bodies.
constexpr std::uint64_t open_response = 0x0101, list_response = 0x0701;
constexpr std::size_t obis_size = 6;
constexpr Obis energy_obis = "1-0:1.8.0"_obis, power_obis = "1-0:16.7.0"_obis;
/// Seconds of 2000-01-01 UTC: some meters count seconds and call them a time.
constexpr std::uint64_t clock_min = 946'684'800;
constexpr std::int64_t offset_minutes_max = 1440;

/// One GetList response on its way into a ReadingSet.
struct List {
  ServerId server;
  const VendorRule* rule = nullptr;
  std::uint8_t sub_meter = 0;
  std::size_t first = 0;  ///< of its readings
  std::optional<std::uint64_t> energy_status;
};

class FileReader {
 public:
  FileReader(Bytes file, ReadingSet& out) noexcept : file_(file), in_(file), out_(out) {}
  Result<void> run() noexcept;
  unsigned messages() const noexcept { return messages_; }
  const VendorRule* rule() const noexcept { return rule_; }

 private:
  void message() noexcept;
  void open() noexcept;
  void list() noexcept;
  void identify(List& list) noexcept;
  void entry(List& list) noexcept;
  void add_value(const List& list, const Obis& obis, const Field& value, Unit unit,
                 int scaler) noexcept;
  void add(const List& list, const Reading& reading) noexcept;
  void give_direction(const List& list) noexcept;
  std::optional<DateTime> time() noexcept;
  void check(Bytes message, std::size_t at) noexcept;

  Bytes file_;
  FieldReader in_;
  ReadingSet& out_;
  ServerId opened_;  ///< of the open response
  const VendorRule* rule_ = nullptr;
  unsigned messages_ = 0;
  bool has_list_ = false;
};

Result<void> FileReader::run() noexcept {
  out_.profile = "sml";
  // A fill that its count does not tell of is more ends of message.
  while (in_.ok() && in_.remaining() != 0) {
    if (u8(file_[in_.offset()]) == 0 && messages_ != 0)
      in_.end_of_message();
    else
      message();
  }
  if (!in_.ok()) return std::unexpected(in_.fault());
  if (!has_list_) return meter::fault(Errc::unsupported_apdu, 0);
  if (out_.readings.empty()) return meter::fault(Errc::list_unknown, 0);
  return {};
}

/// transaction id, group, abort on error, body {tag, content}, CRC, end.
void FileReader::message() noexcept {
  const std::size_t begin = in_.offset();
  if (++messages_ > messages_max) return in_.fail(Errc::too_many_elements, begin);
  if (!in_.list(6)) return;
  in_.skip(3);
  if (!in_.list(2)) return;
  const std::size_t tag_at = in_.offset();
  const Field tag = in_.next();
  if (!tag.is_integer()) return in_.fail(Errc::malformed, tag_at);
  switch (tag.as_unsigned()) {
    case open_response:
      open();
      break;
    case list_response:
      list();
      break;
    default:
      in_.skip();
  }
  if (in_.ok()) check(file_.subspan(begin, in_.offset() - begin), in_.offset());
  in_.end_of_message();
}

/// The CRC is sent low octet first and so read with its halves exchanged; leading zeros may be
/// left out. Some firmware of the Holley DTZ541 uses the Kermit form.
void FileReader::check(Bytes message, std::size_t at) noexcept {
  const Field sent = in_.next();
  if (!sent.is_integer() || sent.content.size() > 2) return in_.fail(Errc::malformed, at);
  const auto crc = std::byteswap(static_cast<std::uint16_t>(sent.as_unsigned()));
  if (Crc16X25().add(message).value() != crc && Crc16Kermit().add(message).value() != crc)
    in_.fail(Errc::bad_checksum, at);
}

/// codepage, client id, request file id, server id, reference time, version.
void FileReader::open() noexcept {
  if (!in_.list(6)) return;
  in_.skip(3);
  const Field server = in_.next();
  if (server.type == Type::octets) opened_ = ServerId(server.content);
  in_.skip(server.count + 2);
}

/// client id, server id, list name, sensor time, entries, signature, gateway time.
void FileReader::list() noexcept {
  if (!in_.list(7)) return;
  in_.skip();
  List list;
  const std::size_t server_at = in_.offset();
  const Field server = in_.next();
  if (server.type != Type::octets) return in_.fail(Errc::malformed, server_at);
  list.server = server.absent() ? opened_ : ServerId(server.content);
  identify(list);
  in_.skip();
  const auto sensor_time = time();
  if (sensor_time && !out_.time && list.sub_meter == 0) out_.time = sensor_time;
  const std::size_t entries_at = in_.offset();
  const Field entries = in_.next();
  if (entries.type == Type::list) {
    list.first = out_.readings.size();
    for (std::uint32_t i = 0; i < entries.count && in_.ok(); ++i) entry(list);
    give_direction(list);
  } else if (!entries.absent()) {
    in_.fail(Errc::malformed, entries_at);
  }
  in_.skip(2);
  has_list_ = true;
}

/// The first list is the meter's own; a gateway's others are those of meters behind it.
void FileReader::identify(List& list) noexcept {
  list.rule = find_vendor_rule(list.server);
  const MeterId id = list.server.text();
  if (!has_list_) {
    out_.meter_id = id;
    out_.medium = list.server.medium();
    rule_ = list.rule;
    if (rule_ != nullptr) out_.profile = rule_->name;
    return;
  }
  if (id.empty() || id == out_.meter_id) return;
  for (std::size_t i = 0; i < out_.sub_meters.size(); ++i)
    if (out_.sub_meters[i].id == id) list.sub_meter = static_cast<std::uint8_t>(i + 1);
  if (list.sub_meter != 0) return;
  const auto number = static_cast<std::uint8_t>(out_.sub_meters.size() + 1);
  const SubMeter behind{.id = id, .medium = list.server.medium(), .channel = number};
  if (!out_.sub_meters.push_back(behind)) return in_.fail(Errc::too_many_elements, in_.offset());
  list.sub_meter = number;
}

/// A number of seconds (index since some start, no clock), bare or as choice 1; choice 2: seconds
/// since the epoch; choice 3: the same, then minutes of offset to local time and to its season.
std::optional<DateTime> FileReader::time() noexcept {
  const std::size_t at = in_.offset();
  const Field field = in_.next();
  if (field.absent() || field.is_integer()) return std::nullopt;
  const Field choice = in_.next();
  if (field.count != 2 || !choice.is_integer()) return in_.fail(Errc::malformed, at), std::nullopt;
  Field seconds = in_.next();
  std::int64_t offset = 0;
  if (seconds.type == Type::list && seconds.count == 3) {
    seconds = in_.next();
    const Field local = in_.next(), season = in_.next();
    constexpr std::size_t minutes_size = 2;
    if (local.is_integer() && local.content.size() <= minutes_size && season.is_integer() &&
        season.content.size() <= minutes_size)
      offset = local.as_signed() + season.as_signed();
  }
  if (!seconds.is_integer()) return in_.fail(Errc::malformed, at), std::nullopt;
  const std::uint64_t epoch = seconds.as_unsigned();
  if (choice.as_unsigned() < 2 || epoch < clock_min || epoch > UINT32_MAX ||
      std::abs(offset) > offset_minutes_max)
    return std::nullopt;
  return DateTime::from_epoch(static_cast<std::int64_t>(epoch), static_cast<std::int16_t>(-offset));
}

/// code, status, time, unit, scaler, value, signature.
void FileReader::entry(List& list) noexcept {
  if (!in_.list(7)) return;
  const Field name = in_.next();
  const Field status = in_.next();
  in_.skip();
  const Field unit = in_.next();
  const std::size_t scaler_at = in_.offset();
  const Field scaler = in_.next();
  const Field value = in_.next();
  in_.skip(value.count + 1);
  if (!in_.ok() || name.content.size() != obis_size) return;
  const int power =
      scaler.is_integer() ? static_cast<int>(static_cast<std::int8_t>(scaler.as_unsigned())) : 0;
  if (std::abs(power) > Decimal::exponent_max) return in_.fail(Errc::malformed, scaler_at);
  const auto code = static_cast<std::uint8_t>(unit.is_integer() ? unit.as_unsigned() : 0);
  const Obis obis = Obis::from_octets(name.content.first<obis_size>());
  if (obis == energy_obis && status.is_integer()) list.energy_status = status.as_unsigned();
  add_value(list, obis, value, is_cosem_unit(code) ? static_cast<Unit>(code) : Unit::none, power);
}

void FileReader::add_value(const List& list, const Obis& obis, const Field& value, Unit unit,
                           int scaler) noexcept {
  if (value.type == Type::list || value.content.empty()) return;
  const auto exponent = static_cast<std::int8_t>(scaler);
  if (value.type == Type::boolean)
    return add(list, Reading::number(obis, {value.as_unsigned() != 0 ? 1 : 0, 0}, Unit::none));
  const bool as_signed = value.type == Type::integer &&
                         !(list.rule != nullptr && list.rule->short_power_is_positive &&
                           obis == power_obis && value.content.size() < sizeof(std::uint32_t));
  const bool fits = value.is_integer() && (as_signed || value.as_unsigned() <= INT64_MAX);
  if (!fits) return add(list, Reading::from_octets(obis, value.content));
  const std::int64_t mantissa =
      as_signed ? value.as_signed() : static_cast<std::int64_t>(value.as_unsigned());
  add(list, Reading::number(obis, {mantissa, exponent}, unit));
}

void FileReader::add(const List& list, const Reading& reading) noexcept {
  if (!out_.readings.push_back_made([&] { return reading.of_sub_meter(list.sub_meter); }))
    in_.fail(Errc::too_many_elements, in_.offset());
}

/// Where the status says which way the energy flows: a power of 15.7.0 is kept, and 16.7.0 added
/// with the sign that the meter has not sent; a 16.7.0 that is not negative gets it.
void FileReader::give_direction(const List& list) noexcept {
  if (!in_.ok() || list.rule == nullptr || list.rule->export_bit < 0 || !list.energy_status) return;
  const bool exports = (*list.energy_status >> list.rule->export_bit & 1) != 0;
  Reading* power = nullptr;
  for (std::size_t i = list.first; i < out_.readings.size(); ++i) {
    Reading& reading = out_.readings[i];
    if (reading.kind() != Reading::Kind::number) continue;
    if (reading.obis() == list.rule->unsigned_power)
      power = &reading;
    else if (reading.obis() == power_obis)
      return;  // it has a sign
  }
  if (power == nullptr) return;
  const Decimal value = power->value();
  const Decimal with_sign{exports && value.mantissa > 0 ? -value.mantissa : value.mantissa,
                          value.exponent};
  const Reading net = Reading::number(power_obis, with_sign, power->unit(), Reading::implied_obis);
  if (power->obis() != power_obis)
    add(list, net);
  else if (with_sign != value)
    *power = net.of_sub_meter(list.sub_meter);
}

[[gnu::cold]] void explain(const FileReader& reader, const ReadingSet& out, std::size_t size,
                           DecodeObserver& observer, std::uint64_t offset) noexcept {
  ExplainLine line;
  line.text("SML file of ").number(size).text(" octets, ").number(reader.messages());
  line.text(" messages, server ").text(out.meter_id.view());
  observer.stage("list", offset, line.view());
  const VendorRule* rule = reader.rule();
  observer.stage("list", offset,
                 rule != nullptr
                     ? ExplainLine().text(rule->name).text(": ").text(rule->why).view()
                     : "sml: codes, units and scalers are in the list; no vendor rule applies");
}

}  // namespace

bool begins_file(Bytes file) noexcept {
  return !file.empty() && u8(file[0]) == message_list;
}

Result<void> decode_file(Bytes file, ReadingSet& out, DecodeObserver* observer,
                         std::uint64_t observer_offset) noexcept {
  FileReader reader(file, out);
  const auto read = reader.run();
  if (observer != nullptr && read) explain(reader, out, file.size(), *observer, observer_offset);
  return read;
}

}  // namespace meter::sml
