// SPDX-License-Identifier: Apache-2.0
// Exact reading of numbers, units, times and codes.
#include "meter_json/fields.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "meter/base/hex.hpp"
#include "meter/reading.hpp"

namespace meter::json {
namespace {

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Length of the number at the front: [sign] digits [. digits] [e [sign] digits].
std::size_t number_length(std::string_view text) noexcept {
  std::size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  auto digits = [&](std::size_t from) {
    while (from < text.size() && is_digit(text[from])) ++from;
    return from;
  };
  const std::size_t integer = digits(at);
  if (integer == at) return 0;
  at = integer;
  if (at < text.size() && text[at] == '.')
    if (const std::size_t end = digits(at + 1); end > at + 1) at = end;
  if (at < text.size() && lower(text[at]) == 'e') {
    const bool sign = at + 1 < text.size() && (text[at + 1] == '-' || text[at + 1] == '+');
    const std::size_t from = at + (sign ? 2 : 1);
    if (const std::size_t end = digits(from); end > from) at = end;
  }
  return at;
}

/// Two or four decimal digits at the front, taken off.
std::optional<unsigned> take_digits(std::string_view& text, std::size_t count) noexcept {
  unsigned value = 0;
  if (text.size() < count) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    if (!is_digit(text[i])) return std::nullopt;
    value = value * 10 + static_cast<unsigned>(text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}
bool take(std::string_view& text, std::string_view any) noexcept {
  if (text.empty() || any.find(text.front()) == any.npos) return false;
  text.remove_prefix(1);
  return true;
}

/// "Z", "+01:00", "+0100", "" → the deviation.
std::optional<std::int16_t> parse_zone(std::string_view text) noexcept {
  if (text.empty()) return DateTime::deviation_unspecified;
  if (text == "Z" || text == "z") return std::int16_t{0};
  const bool east = text.front() == '+';
  if (!take(text, "+-")) return std::nullopt;
  const auto hours = take_digits(text, 2);
  (void)take(text, ":");
  const auto minutes = take_digits(text, 2);
  if (!hours || !minutes || !text.empty() || *hours > 14 || *minutes > 59) return std::nullopt;
  const int offset = static_cast<int>(*hours * 60 + *minutes);
  return static_cast<std::int16_t>(east ? -offset : offset);
}

bool is_possible(const DateTime& t) noexcept {
  using namespace std::chrono;
  const year_month_day date{year{t.year}, month{t.month}, day{t.day}};
  return date.ok() && t.year >= 1970 && t.hour < 24 && t.minute < 60 && t.second < 60;
}

}  // namespace

std::optional<Decimal> parse_number(std::string_view token) noexcept {
  const std::size_t mark = token.find_first_of("eE");
  auto value = Decimal::parse(token.substr(0, mark));
  if (!value || mark == token.npos) return value;
  std::string_view digits = token.substr(mark + 1);
  if (digits.starts_with('+')) digits.remove_prefix(1);
  int power = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), power);
  if (value->mantissa == 0) return Decimal{};
  if (end.ec != std::errc() || power < -100 || power > 100) return std::nullopt;
  power += value->exponent;
  if (power < -Decimal::exponent_max || power > Decimal::exponent_max) return std::nullopt;
  value->exponent = static_cast<std::int8_t>(power);
  return value;
}

std::optional<Measured> measured(const Node& node) noexcept {
  if (node.kind == Node::Kind::number) {
    const auto value = parse_number(node.text);
    return value ? std::optional(Measured{*value, {}}) : std::nullopt;
  }
  if (node.kind != Node::Kind::text) return std::nullopt;
  std::string_view text = node.text;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::size_t length = number_length(text);
  const auto value = parse_number(text.substr(0, length));
  if (!value) return std::nullopt;
  text.remove_prefix(length);
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  return Measured{*value, text.substr(0, text.find_last_not_of(' ') + 1)};
}

std::optional<std::uint64_t> parse_hex(std::string_view digits) noexcept {
  if (digits.empty()) return std::nullopt;
  std::uint64_t value = 0;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (end.ec != std::errc() || end.ptr != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<DateTime> parse_time(std::string_view text) noexcept {
  DateTime t;
  const auto year = take_digits(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || !take(text, "T ")) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  if (take(text, "."))
    while (!text.empty() && is_digit(text.front())) text.remove_prefix(1);
  const auto zone = parse_zone(text);
  if (!zone) return std::nullopt;
  t.year = static_cast<std::uint16_t>(*year);
  t.month = static_cast<std::uint8_t>(*month);
  t.day = static_cast<std::uint8_t>(*day);
  t.hour = static_cast<std::uint8_t>(*hour);
  t.minute = static_cast<std::uint8_t>(*minute);
  t.second = static_cast<std::uint8_t>(*second);
  t.deviation = *zone;
  return is_possible(t) ? std::optional(t) : std::nullopt;
}

std::optional<DateTime> time_of_epoch(std::int64_t epoch_s) noexcept {
  using namespace std::chrono;
  constexpr std::int64_t latest = 7'258'118'400;  // the year 2200: beyond it no clock is right
  if (epoch_s <= 0 || epoch_s >= latest) return std::nullopt;
  const sys_seconds moment{seconds{epoch_s}};
  const sys_days midnight = floor<days>(moment);
  const year_month_day date{midnight};
  const hh_mm_ss clock{moment - midnight};
  DateTime t;
  t.year = static_cast<std::uint16_t>(static_cast<int>(date.year()));
  t.month = static_cast<std::uint8_t>(static_cast<unsigned>(date.month()));
  t.day = static_cast<std::uint8_t>(static_cast<unsigned>(date.day()));
  t.hour = static_cast<std::uint8_t>(clock.hours().count());
  t.minute = static_cast<std::uint8_t>(clock.minutes().count());
  t.second = static_cast<std::uint8_t>(clock.seconds().count());
  t.deviation = 0;
  return t;
}

std::optional<DateTime> time_of(const Node& node) noexcept {
  if (node.kind == Node::Kind::text) return parse_time(node.text);
  if (node.kind != Node::Kind::number) return std::nullopt;
  std::int64_t epoch_s = 0;  // the digits before a fraction
  const auto end = std::from_chars(node.text.data(), node.text.data() + node.text.size(), epoch_s);
  const bool whole = end.ptr == node.text.data() + node.text.size() || *end.ptr == '.';
  return end.ec == std::errc() && whole ? time_of_epoch(epoch_s) : std::nullopt;
}

std::optional<Obis> obis_of_key(std::string_view key) noexcept {
  unsigned group[6];
  std::size_t groups = 0;
  while (groups < 6) {
    const auto end = std::from_chars(key.data(), key.data() + key.size(), group[groups]);
    if (end.ec != std::errc() || group[groups] > 255) return std::nullopt;
    ++groups;
    key.remove_prefix(static_cast<std::size_t>(end.ptr - key.data()));
    if (key.empty()) break;
    if (!take(key, "-:._*")) return std::nullopt;
  }
  if (!key.empty() || (groups != 3 && groups < 5)) return std::nullopt;
  auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(group[i]); };
  if (groups == 3) return Obis{1, 0, at(0), at(1), at(2), 255};
  return Obis{at(0), at(1), at(2), at(3), at(4), groups == 6 ? at(5) : std::uint8_t{255}};
}

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool is_identity(std::string_view text) noexcept {
  if (text.empty() || text.size() > MeterId::capacity) return false;
  if (!std::ranges::all_of(bytes_of(text), is_printable)) return false;
  if (text.find_first_not_of("-_. 0") == text.npos) return false;
  for (std::string_view word : {"EMPTY", "not available", "n/a", "none", "null", "unknown"})
    if (equal_ignoring_case(text, word)) return false;
  return true;
}

}  // namespace meter::json
