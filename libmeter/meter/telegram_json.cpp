// SPDX-License-Identifier: Apache-2.0
// The telegram JSON, written straight into the caller's string.
#include "meter/telegram_json.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <memory>

#include "meter/base/hex.hpp"

namespace meter {

std::size_t utf8_sequence(std::string_view text) noexcept {
  auto at = [&](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  auto follows = [&](std::size_t i) { return (at(i) & 0xc0u) == 0x80u; };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    const bool overlong = first == 0xe0 && at(1) < 0xa0;
    const bool surrogate = first == 0xed && at(1) > 0x9f;
    return !overlong && !surrogate && follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool overlong = first == 0xf0 && at(1) < 0x90;
    const bool beyond = first == 0xf4 && at(1) > 0x8f;
    return !overlong && !beyond && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

namespace {

void append_escaped(std::string& out, std::string_view text) {
  while (!text.empty()) {
    const char c = text.front();
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char digits[2];
      out += "\\u00";
      out += write_hex(bytes_of({&c, 1}), digits, hex_lower);
    } else if (const std::size_t size = utf8_sequence(text)) {
      out += text.substr(0, size);
      text.remove_prefix(size);
      continue;
    } else {
      out += "\xef\xbf\xbd";
    }
    text.remove_prefix(1);
  }
}

/// What the register is called: its quantity, what the source calls it, or its code.
void write_register_name(const Reading& reading, const ReadingDetail* detail,
                         const QuantityMap& map, JsonWriter& json) {
  const QuantityMap::Match match = map.find(reading);
  if (!match.name.empty())
    json.text(match.name);
  else if (!reading.obis().is_standard() && detail)
    json.text(detail->label);
  else
    json.text(UnknownName(reading.obis()).view());
}

void write_register(const ReadingSet& telegram, const Reading& reading,
                    const ReadingDetail* detail, const QuantityMap& map, JsonWriter& json) {
  std::array<char, Obis::text_size_max> obis_text;
  json.begin_object();
  if (reading.obis().is_standard()) json.key("obis").text(reading.obis().to_text(obis_text));
  json.key("name");
  write_register_name(reading, detail, map, json);
  switch (reading.kind()) {
    case Reading::Kind::number:
      json.key("value").number(reading.value());
      if (const std::string_view unit = symbol(reading.unit()); !unit.empty())
        json.key("unit").text(unit);
      if (reading.has(Reading::scale_unknown)) json.key("scale_unknown").boolean(true);
      break;
    case Reading::Kind::text:
      json.key("text").text(reading.text());
      break;
    case Reading::Kind::date_time: {
      std::array<char, DateTime::text_size_max> buffer;
      if (const auto time = telegram.time_of(reading))
        json.key("text").text(time->to_text(buffer));
      else
        json.key("text").hex(reading.octets());
      break;
    }
    case Reading::Kind::octets:
      json.key("text").hex(reading.octets());
      break;
  }
  if (detail) {
    json.key("quantity").text(detail->label);
    if (detail->is_record) {
      json.key("storage").number(static_cast<std::int64_t>(detail->storage));
      json.key("tariff").number(std::int64_t{detail->tariff});
      json.key("subunit").number(std::int64_t{detail->subunit});
      json.key("function").text(name(detail->function));
    }
  }
  json.end_object();
}

void write_reading(const NamedReading& reading, JsonWriter& json) {
  std::array<char, DateTime::text_size_max> time_text;
  json.key(reading.name);
  if (reading.is_time)
    json.text(reading.time.to_text(time_text));
  else if (reading.is_text)
    json.text(reading.text);
  else
    json.number(reading.value);
}

/// `"sub_meters":[{"meter":…,"medium":"gas","readings":{…}}]`.
void write_sub_meters(const ReadingSet& telegram, const QuantityMap& map, JsonWriter& json) {
  const auto part = std::make_unique<ReadingSet>();
  const auto readings = std::make_unique<NamedReadings>();
  json.key("sub_meters").begin_array();
  for (std::size_t i = 0; i < telegram.sub_meters.size(); ++i) {
    sub_meter_telegram(telegram, i, *part);
    harmonize(*part, map, *readings);
    json.begin_object().key("meter");
    part->meter_id.empty() ? json.null() : json.text(part->meter_id.view());
    json.key("medium").text(name(part->medium)).key("readings").begin_object();
    for (const NamedReading& reading : *readings) write_reading(reading, json);
    json.end_object().end_object();
  }
  json.end_array();
}

void write_authenticated(Authentication authentication, JsonWriter& json) {
  json.key("authenticated");
  if (authentication == Authentication::clear)
    json.null();
  else
    json.boolean(authentication == Authentication::verified);
}

}  // namespace

void JsonWriter::separate() {
  if (comma_) out_ += ',';
  comma_ = true;
}
JsonWriter& JsonWriter::begin_object() {
  separate();
  out_ += '{';
  comma_ = false;
  return *this;
}
JsonWriter& JsonWriter::end_object() {
  out_ += '}';
  comma_ = true;
  return *this;
}
JsonWriter& JsonWriter::begin_array() {
  separate();
  out_ += '[';
  comma_ = false;
  return *this;
}
JsonWriter& JsonWriter::end_array() {
  out_ += ']';
  comma_ = true;
  return *this;
}
JsonWriter& JsonWriter::key(std::string_view name) {
  text(name);
  out_ += ':';
  comma_ = false;
  return *this;
}
JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  out_ += '"';
  append_escaped(out_, value);
  out_ += '"';
  return *this;
}
JsonWriter& JsonWriter::hex(Bytes octets) {
  separate();
  out_ += '"';
  for (const std::byte& octet : octets) {
    char digits[2];
    out_ += write_hex({&octet, 1}, digits, hex_lower);
  }
  out_ += '"';
  return *this;
}
JsonWriter& JsonWriter::number(const Decimal& value) {
  separate();
  std::array<char, Decimal::text_size_max> buffer;
  out_ += value.to_text(buffer);
  return *this;
}
JsonWriter& JsonWriter::number(std::int64_t value) { return number(Decimal{value, 0}); }
JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}
JsonWriter& JsonWriter::null() {
  separate();
  out_ += "null";
  return *this;
}

void write_telegram_json(const ReadingSet& telegram, std::span<const NamedReading> readings,
                         const QuantityMap& map, const TelegramFacts& facts, std::string& out) {
  JsonWriter json(out);
  json.begin_object().key("profile").text(telegram_profile).key("meter");
  facts.meter_id.empty() ? json.null() : json.text(facts.meter_id);
  json.key("time");
  std::array<char, DateTime::text_size_max> time_text;
  telegram.time ? json.text(telegram.time->to_text(time_text)) : json.null();
  json.key("received");
  std::array<char, 32> received_text;
  facts.received_us ? json.text(utc_text(*facts.received_us, received_text)) : json.null();
  json.key("sequence").number(static_cast<std::int64_t>(facts.sequence));
  json.key("link").text(name(telegram.link));
  write_authenticated(telegram.authentication, json);

  json.key("readings").begin_object();
  for (const NamedReading& reading : readings) write_reading(reading, json);
  json.end_object().key("derived").begin_array();
  for (const NamedReading& reading : readings)
    if (reading.derived) json.text(reading.name);
  json.end_array();

  if (!facts.ages.empty()) {
    json.key("ages").begin_object();
    for (const TelegramFacts::Age& age : facts.ages)
      json.key(age.name).number(static_cast<std::int64_t>(age.seconds));
    json.end_object();
  }
  if (facts.with_sub_meters && !telegram.sub_meters.empty()) write_sub_meters(telegram, map, json);
  if (facts.with_registers) {
    json.key("registers").begin_array();
    for (std::size_t i = 0; i < telegram.readings.size(); ++i)
      write_register(telegram, telegram.readings[i],
                     telegram.details.empty() ? nullptr : &telegram.details[i], map, json);
    json.end_array();
  }
  json.end_object();
}

std::string_view utc_text(std::int64_t epoch_us, std::span<char, 32> buffer) noexcept {
  using namespace std::chrono;
  const sys_time<microseconds> time{microseconds{epoch_us}};
  const sys_days date = floor<days>(time);
  const year_month_day ymd{date};
  const hh_mm_ss clock{time - date};
  char* out = buffer.data();
  auto put = [&](std::int64_t value, unsigned digits, char after) {
    for (unsigned i = digits; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
    out += digits;
    *out++ = after;
  };
  put(static_cast<int>(ymd.year()), 4, '-');
  put(static_cast<unsigned>(ymd.month()), 2, '-');
  put(static_cast<unsigned>(ymd.day()), 2, 'T');
  put(clock.hours().count(), 2, ':');
  put(clock.minutes().count(), 2, ':');
  put(clock.seconds().count(), 2, '.');
  put(clock.subseconds().count(), 6, 'Z');
  return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
}

std::optional<std::int64_t> parse_utc(std::string_view text) noexcept {
  using namespace std::chrono;
  constexpr std::string_view form = "dddd-dd-ddTdd:dd:dd";
  if (text.size() <= form.size() || !text.ends_with('Z')) return std::nullopt;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  for (std::size_t i = 0; i < form.size(); ++i)
    if (form[i] == 'd' ? !is_digit(text[i]) : text[i] != form[i]) return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t digits) {
    int value = 0;
    for (const char c : text.substr(at, digits)) value = value * 10 + (c - '0');
    return value;
  };
  const year_month_day date{year{number(0, 4)}, month{static_cast<unsigned>(number(5, 2))},
                            day{static_cast<unsigned>(number(8, 2))}};
  if (!date.ok() || number(11, 2) > 23 || number(14, 2) > 59 || number(17, 2) > 59)
    return std::nullopt;
  std::string_view fraction = text.substr(form.size());
  fraction.remove_suffix(1);
  if (!fraction.empty() && (fraction[0] != '.' || fraction.size() < 2 || fraction.size() > 10))
    return std::nullopt;
  microseconds us{0};
  for (std::size_t i = 1; i <= 6; ++i) {
    us *= 10;
    if (i < fraction.size()) us += microseconds(fraction[i] - '0');
  }
  for (const char c : fraction.substr(fraction.empty() ? 0 : 1))
    if (!is_digit(c)) return std::nullopt;
  const auto time = sys_days(date) + hours(number(11, 2)) + minutes(number(14, 2)) +
                    seconds(number(17, 2)) + us;
  return time.time_since_epoch().count();
}

}  // namespace meter
