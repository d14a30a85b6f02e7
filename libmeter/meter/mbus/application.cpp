// SPDX-License-Identifier: Apache-2.0
// Messages of EN 13757-3: header, records, the meter's refusals.
#include "meter/mbus/application.hpp"

#include <algorithm>
#include <array>

#include "meter/base/hex.hpp"
#include "meter/base/reader.hpp"
#include "meter/explain_line.hpp"
#include "meter/mbus/fixed.hpp"
#include "meter/mbus/number.hpp"
#include "meter/mbus/quantities.hpp"
#include "meter/mbus/record.hpp"
#include "meter/mbus/vif.hpp"

namespace meter::mbus {
namespace {

constexpr std::size_t link_header_size = 3;  // C, A, CI
constexpr std::size_t identification_size = 8;
constexpr std::uint16_t manufacturer_amis = 0x4c2d;  // SAM
constexpr std::string_view profile_records = "mbus-records";
constexpr std::string_view profile_fixed = "mbus-fixed";
constexpr std::string_view profile_amis = "amis-td351x";

enum class Form : std::uint8_t { unknown, long_header, short_header, no_header, fixed, error };

struct ControlInformation {
  std::uint8_t value;
  Form form;
  bool is_command;
  bool high_octet_first;
};
/// EN 13757-7 table 2.
constexpr auto control_informations = std::to_array<ControlInformation>({
    {0x53, Form::long_header, true, false},
    {0x5a, Form::short_header, true, false},
    {0x5b, Form::long_header, true, false},
    {0x70, Form::error, false, false},
    {0x72, Form::long_header, false, false},
    {0x73, Form::fixed, false, false},
    {0x76, Form::long_header, false, true},
    {0x77, Form::fixed, false, true},
    {0x78, Form::no_header, false, false},
    {0x7a, Form::short_header, false, false},
});

constexpr ControlInformation find_control_information(std::uint8_t value) noexcept {
  for (const ControlInformation& row : control_informations)
    if (row.value == value) return row;
  return {value, Form::unknown, false, false};
}

/// Texts of application errors (M-Bus documentation 6.6).
constexpr std::array<std::string_view, 10> error_words = {
    "unspecified error",
    "unimplemented CI field",
    "buffer too long",
    "too many records",
    "premature end of record",
    "more than 10 DIFEs",
    "more than 10 VIFEs",
    "reserved",
    "application too busy for readout",
    "too many readouts",
};

/// Puts what one message says into a ReadingSet.
class Collector {
 public:
  Collector(ReadingSet& out, const Header& header, NumberFormat format) noexcept
      : out_(out),
        format_(format),
        manufacturer_(header.manufacturer()),
        is_amis_(header.is_command() && manufacturer_ == manufacturer_amis) {}

  /// Errc::too_many_elements when the set is full.
  Result<void> add(const Record& record) noexcept;
  Result<void> add_octets(std::string_view label, Bytes octets) noexcept {
    return push(Reading::from_octets({}, octets), {.label = label});
  }
  Result<void> add_number(std::string_view label, std::int64_t value) noexcept {
    return push(Reading::number({}, {value, 0}, Unit::none), {.label = label});
  }
  void finish() noexcept;

 private:
  bool is_electricity() const noexcept { return out_.medium == Medium::electricity; }
  Result<void> push(const Reading& reading, const ReadingDetail& detail) noexcept {
    if (!out_.readings.push_back(reading) || !out_.details.push_back(detail))
      return fault(Errc::too_many_elements);
    return {};
  }
  Reading reading_of(const Record& record, const ValueInformation& information, Obis code,
                     bool is_unsigned) noexcept;
  Reading octets_of(const Record& record, Obis code) noexcept;
  std::string_view label_of(const Record& record, const ValueInformation& information) noexcept;
  Bytes reversed(Bytes octets) noexcept;

  ReadingSet& out_;
  NumberFormat format_;
  std::uint16_t manufacturer_;
  bool is_amis_;
};

/// A copy, last octet first. Texts of a message always fit: see `label_of`.
Bytes Collector::reversed(Bytes octets) noexcept {
  const std::size_t begin = out_.reordered.size();
  for (std::size_t i = octets.size(); i-- > 0;)
    if (!out_.reordered.push_back(octets[i])) return {};
  return {out_.reordered.data() + begin, octets.size()};
}

/// "energy (negative only, L1)". Where the room gets scarce only texts of the message still go in.
std::string_view Collector::label_of(const Record& record,
                                     const ValueInformation& information) noexcept {
  std::string_view label = information.label;
  if (label.empty())
    label = text_of(format_.high_octet_first ? record.text : reversed(record.text));
  if (information.remarks.empty()) return label;
  constexpr std::size_t kept_for_texts = 256;  // no message is longer
  std::size_t size = label.size() + 2;
  for (const std::string_view words : information.remarks) size += words.size() + 2;
  const std::size_t begin = out_.reordered.size();
  if (begin + size + kept_for_texts > decltype(out_.reordered)::capacity) return label;
  const auto put = [&](std::string_view text) {
    for (const std::byte character : bytes_of(text)) (void)out_.reordered.push_back(character);
  };
  put(label);
  std::string_view before = " (";
  for (const std::string_view words : information.remarks) {
    put(before);
    put(words);
    before = ", ";
  }
  put(")");
  return text_of({out_.reordered.data() + begin, out_.reordered.size() - begin});
}

/// What is no number, in the order in which people read it: the high octet or first letter first.
Reading Collector::octets_of(const Record& record, Obis code) noexcept {
  const bool as_sent = format_.high_octet_first || record.data.size() <= 1;
  const Bytes octets = as_sent ? record.data : reversed(record.data);
  const bool is_text = record.field == DataField::variable && record.lvar <= 0xbf;
  if (is_text) return Reading::from_octets(code, octets);
  return Reading::octets(code, octets);
}

Reading Collector::reading_of(const Record& record, const ValueInformation& information, Obis code,
                              bool is_unsigned) noexcept {
  if (information.failed) return octets_of(record, {});
  if (information.measured == Measured::date || information.measured == Measured::date_time)
    return Reading::date_time(code, format_.high_octet_first ? reversed(record.data) : record.data);
  NumberFormat format = format_;
  format.is_unsigned = is_unsigned;
  const auto number = number_of(record, format);
  if (!number) return octets_of(record, {});
  Decimal value = *number;
  const int exponent = value.exponent + information.power;
  constexpr std::int64_t limit = INT64_MAX / 3600;
  const bool fits = information.factor == 1 || (value.mantissa < limit && value.mantissa > -limit);
  if (!fits || exponent < -Decimal::exponent_max || exponent > Decimal::exponent_max)
    return octets_of(record, {});
  value = {value.mantissa * information.factor, static_cast<std::int8_t>(exponent)};
  Unit unit = information.unit;
  if (information.label.empty() && record.text.size() == 3 && text_of(record.text) == "HR%")
    unit = Unit::percent;
  return Reading::number(code, value, unit, information.scale_known ? 0 : Reading::scale_unknown);
}

Result<void> Collector::add(const Record& record) noexcept {
  ValueInformation information = value_information(record.vif, record.vifes, manufacturer_);
  apply_subunit(record.subunit, manufacturer_, information);
  Obis code = code_of(record, information, is_electricity());
  bool is_unsigned = is_amis_;
  // AMIS: "1.128.0", the collecting register, Wh behind the manufacturer's VIFE 04; it has a sign.
  if (is_amis_ && record.vif == 0x83 && record.vifes.size() == 2 && u8(record.vifes[0]) == 0xff &&
      u8(record.vifes[1]) == 0x04) {
    code = "1-0:1.128.0"_obis;
    is_unsigned = false;
  }
  const Reading reading = reading_of(record, information, code, is_unsigned);
  if (reading.obis() == "0-0:1.0.0"_obis && !out_.time) out_.time = reading.date_time();
  return push(reading, {.label = label_of(record, information),
                        .storage = record.storage,
                        .tariff = record.tariff,
                        .subunit = record.subunit,
                        .function = record.function,
                        .is_record = true});
}

/// Power without a direction is the net power, but where the exported power stands beside it, it
/// is the imported one.
void Collector::finish() noexcept {
  constexpr Obis net = "1-0:16.7.0"_obis, imported = "1-0:1.7.0"_obis, exported = "1-0:2.7.0"_obis;
  if (std::ranges::find(out_.readings, exported, &Reading::obis) == out_.readings.end()) return;
  const auto found = std::ranges::find(out_.readings, net, &Reading::obis);
  if (found != out_.readings.end() && found->kind() == Reading::Kind::number)
    *found = Reading::number(imported, found->value(), found->unit());
}

void read_identity(const Header& header, ReadingSet& out) noexcept {
  if (header.identification.empty()) return;
  if (const std::uint16_t word = header.manufacturer(); word != 0) {
    const char letters[] = {static_cast<char>(64 + (word >> 10 & 31)),
                            static_cast<char>(64 + (word >> 5 & 31)),
                            static_cast<char>(64 + (word & 31))};
    (void)out.manufacturer.assign({letters, sizeof letters});
  }
  out.medium = static_cast<Medium>(header.identification[7]);
  if (header.is_command()) {
    // The number is that of the device which is spoken to. AMIS meters are electricity meters.
    if (header.manufacturer() == manufacturer_amis) out.medium = Medium::electricity;
    return;
  }
  std::array<std::byte, 4> number;
  std::ranges::reverse_copy(header.identification.first(4), number.begin());
  std::array<char, 8> digits;
  (void)out.meter_id.assign(write_hex(number, digits, hex_upper));
}

void explain(DecodeObserver* observer, std::uint64_t offset, const ReadingSet& out,
             std::uint8_t control_information, std::size_t records) {
  if (observer == nullptr) return;
  ExplainLine line;
  line.text(out.profile).text(", CI ").hex(control_information).text(": ");
  if (!out.manufacturer.empty())
    line.text("manufacturer ").text(out.manufacturer.view()).text(", ");
  if (!out.meter_id.empty()) line.text("number ").text(out.meter_id.view()).text(", ");
  line.text(name(out.medium)).text(", ").number(records);
  observer->stage("list", offset, line.text(records == 1 ? " record" : " records").view());
}

Result<void> collect(const Header& header, Bytes records, ReadingSet& out) noexcept {
  const NumberFormat format{
      .high_octet_first = find_control_information(header.control_information).high_octet_first};
  Collector collector(out, header, format);
  RecordReader reader(records);
  Record record;
  for (;;) {
    const auto more = reader.next(record);
    if (!more) return std::unexpected(more.error());
    if (!*more) break;
    if (const auto added = collector.add(record); !added) return added;
  }
  if (!reader.manufacturer_data().empty())
    if (const auto added = collector.add_octets("manufacturer data", reader.manufacturer_data());
        !added)
      return added;
  collector.finish();
  if (header.size > link_header_size) {
    for (const auto& [label, value] :
         {std::pair<std::string_view, std::uint8_t>{"access number", header.access_number},
          {"status", header.status}})
      if (const auto added = collector.add_number(label, value); !added) return added;
  }
  return {};
}

/// What was filled in is taken back.
Result<void> refuse(ReadingSet& out, Fault why) noexcept {
  const Link link = out.link;
  out.clear();
  out.link = link;
  return std::unexpected(why);
}

Result<void> decode_error(Bytes message, DecodeObserver* observer, std::uint64_t observer_offset) {
  const std::size_t code = message.size() > link_header_size ? u8(message[link_header_size]) : 0;
  if (observer != nullptr) {
    ExplainLine line;
    line.text("the meter refuses: ");
    line.text(error_words[code < error_words.size() ? code : 0]);
    observer->stage("list", observer_offset + link_header_size, line.view());
  }
  return fault(Errc::device_error, link_header_size);
}

Result<void> decode_fixed(Bytes message, ReadingSet& out, DecodeObserver* observer,
                          std::uint64_t observer_offset) {
  const std::uint8_t control_information = static_cast<std::uint8_t>(message[2]);
  const bool high_octet_first = find_control_information(control_information).high_octet_first;
  out.link = Link::mbus_master;
  out.profile = profile_fixed;
  const auto read = read_fixed(message.subspan(link_header_size), high_octet_first, out);
  if (!read)
    return refuse(out, fault(read.error().code, read.error().offset + link_header_size).error());
  explain(observer, observer_offset, out, control_information, 2);
  return {};
}

}  // namespace

bool Header::is_encrypted() const noexcept {
  switch (mode()) {
    case 2:   // DES
    case 3:   // DES, initialisation vector from the date
    case 4:   // AES, no initialisation vector
    case 5:   // AES-128 CBC
    case 7:   // AES-128 CBC, ephemeral key
    case 8:   // AES-128 CTR
    case 9:   // AES-128 GCM
    case 10:  // AES-128 CCM
    case 13:  // TLS
      return blocks() != 0;
    default:
      return false;
  }
}

bool Header::is_command() const noexcept {
  return find_control_information(control_information).is_command;
}

std::uint16_t Header::manufacturer() const noexcept {
  if (identification.size() < identification_size) return 0;
  constexpr unsigned letters = 0x7fff;  // some meters set the highest bit
  return Reader(identification.subspan(4)).le<std::uint16_t>() & letters;
}

bool is_application_message(Bytes message) noexcept {
  return message.size() >= link_header_size &&
         find_control_information(static_cast<std::uint8_t>(message[2])).form != Form::unknown;
}

Result<Header> parse_header(Bytes message) noexcept {
  Reader reader(message);
  reader.skip(2);
  Header header;
  header.control_information = reader.octet();
  const Form form = find_control_information(header.control_information).form;
  if (form == Form::unknown || form == Form::fixed || form == Form::error)
    return fault(Errc::unsupported_apdu, 2);
  if (form == Form::long_header) header.identification = reader.take(identification_size);
  if (form != Form::no_header) {
    header.access_number = reader.octet();
    header.status = reader.octet();
    header.configuration = reader.le<std::uint16_t>();
  }
  if (!reader.ok()) return fault(Errc::truncated, message.size());
  header.size = reader.offset();
  return header;
}

Result<void> decode(Bytes message, ReadingSet& out, DecodeObserver* observer,
                    std::uint64_t observer_offset) noexcept {
  if (!is_application_message(message)) return fault(Errc::unsupported_apdu, 0);
  const Form form = find_control_information(static_cast<std::uint8_t>(message[2])).form;
  if (form == Form::error) return decode_error(message, observer, observer_offset);
  if (form == Form::fixed) return decode_fixed(message, out, observer, observer_offset);
  const auto header = parse_header(message);
  if (!header) return std::unexpected(header.error());
  if (header->is_encrypted())
    return fault(header->mode() == 5 ? Errc::key_missing : Errc::unsupported_suite,
                 header->size - 2);
  const auto read = decode_records(*header, message.subspan(header->size), out, observer,
                                   observer_offset + header->size);
  if (!read) return fault(read.error().code, read.error().offset + header->size);
  return {};
}

Result<void> decode_records(const Header& header, Bytes records, ReadingSet& out,
                            DecodeObserver* observer, std::uint64_t observer_offset) noexcept {
  out.link = header.is_command() ? Link::amis : Link::mbus_master;
  out.profile = header.is_command() && header.manufacturer() == manufacturer_amis ? profile_amis
                                                                                  : profile_records;
  read_identity(header, out);
  if (const auto collected = collect(header, records, out); !collected)
    return refuse(out, collected.error());
  explain(observer, observer_offset, out, header.control_information,
          static_cast<std::size_t>(std::ranges::count_if(out.details, &ReadingDetail::is_record)));
  return {};
}

bool more_records_follow(Bytes message) noexcept {
  const auto header = parse_header(message);
  if (!header || header->is_encrypted()) return false;
  RecordReader reader(message.subspan(header->size));
  Record record;
  for (;;) {
    const auto more = reader.next(record);
    if (!more) return false;
    if (!*more) return reader.more_follow();
  }
}

}  // namespace meter::mbus
