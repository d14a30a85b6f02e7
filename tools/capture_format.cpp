// SPDX-License-Identifier: Apache-2.0
// The capture format: lines, their words and times.
#include "tools/capture_format.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "meter/base/hex.hpp"

namespace tools {
namespace {

constexpr std::int64_t us_per_s = 1'000'000;
/// Digits of the whole seconds of #at: three hundred years, and far from an overflow.
constexpr std::size_t second_digits_max = 10;
constexpr std::size_t fraction_digits_max = 6;
/// The end of the year 9999: a later time cannot be written.
constexpr std::int64_t received_us_max = 253'402'300'799'999'999;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// All of `text` as a number without a sign.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// "123456" of "1.123456": µs, where fewer digits are tenths, hundredths …
std::optional<std::int64_t> fraction_us(std::string_view digits) {
  if (digits.empty() || digits.size() > fraction_digits_max) return std::nullopt;
  std::string all(digits);
  all.resize(fraction_digits_max, '0');
  const auto value = number(all);
  return value ? std::optional(static_cast<std::int64_t>(*value)) : std::nullopt;
}

/// "12.345678": µs.
std::optional<std::int64_t> seconds_us(std::string_view text) {
  const std::size_t point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  if (whole.size() > second_digits_max) return std::nullopt;
  const auto seconds = number(whole);
  if (!seconds) return std::nullopt;
  const auto fraction =
      point == text.npos ? std::optional<std::int64_t>(0) : fraction_us(text.substr(point + 1));
  if (!fraction) return std::nullopt;
  return static_cast<std::int64_t>(*seconds) * us_per_s + *fraction;
}

/// "2026-11-27T03:20:00.123456Z" (RFC 3339, UTC): µs since 1970.
std::optional<std::int64_t> epoch_us(std::string_view text) {
  using namespace std::chrono;
  constexpr std::string_view pattern = "0000-00-00T00:00:00";
  if (text.size() <= pattern.size() || text.back() != 'Z') return std::nullopt;
  for (std::size_t i = 0; i < pattern.size(); ++i)
    if (pattern[i] == '0' ? !is_digit(text[i]) : text[i] != pattern[i]) return std::nullopt;
  const auto part = [text](std::size_t at, std::size_t size) {
    return static_cast<unsigned>(number(text.substr(at, size)).value_or(0));
  };
  const year_month_day day{year(static_cast<int>(part(0, 4))), month(part(5, 2)),
                           std::chrono::day(part(8, 2))};
  const unsigned hours = part(11, 2), minutes = part(14, 2), seconds = part(17, 2);
  // 60: a leap second.
  if (!day.ok() || day.year() < year(1970) || hours > 23 || minutes > 59 || seconds > 60)
    return std::nullopt;
  text.remove_prefix(pattern.size());
  text.remove_suffix(1);
  std::optional<std::int64_t> fraction = 0;
  if (!text.empty()) fraction = text[0] == '.' ? fraction_us(text.substr(1)) : std::nullopt;
  if (!fraction) return std::nullopt;
  const std::int64_t days = sys_days(day).time_since_epoch().count();
  return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * us_per_s + *fraction;
}

/// Two or more digits.
void append_padded(std::string& out, std::uint64_t value, std::size_t width) {
  const std::string digits = std::to_string(value);
  out.append(width - std::min(width, digits.size()), '0');
  out += digits;
}

}  // namespace

std::string capture_position(std::uint64_t line, std::uint64_t column, char c) {
  std::string text = "line " + std::to_string(line) + ", column " + std::to_string(column) + ": '";
  if (c >= ' ' && c <= '~') {
    text += c;
  } else {
    const auto value = static_cast<unsigned char>(c);
    text += "\\x";
    text += meter::hex_lower[value >> 4];
    text += meter::hex_lower[value & 15];
  }
  return text + "'";
}

bool is_known_directive(std::string_view word) {
  static constexpr std::string_view known[] = {
      "smartmeterd", "adapter",  "device", "kind",   "link",   "start",    "at", "line",
      "error",       "rejected", "lost",   "opened", "closed", "redacted", "end"};
  return word == capture_magic.substr(1) || std::ranges::find(known, word) != std::end(known);
}

void CaptureParser::fail(std::size_t column, const std::string& what) const {
  throw CaptureError("line " + std::to_string(number_) + ", column " + std::to_string(column) +
                     ": " + what);
}

void CaptureParser::fail_at_value(const CaptureLine& line, const std::string& what) const {
  fail(static_cast<std::size_t>(line.value.data() - line.text.data()) + 1, what);
}

std::optional<std::int64_t> CaptureParser::received_us() const {
  if (!start_us_ || !at_ || *start_us_ + at_->count() > received_us_max) return std::nullopt;
  return *start_us_ + at_->count();
}

void CaptureParser::add(std::string_view text) {
  text_.erase(0, std::exchange(begin_, 0));
  text_ += text;
}

bool CaptureParser::next(CaptureLine& line) {
  const std::string_view rest = std::string_view(text_).substr(begin_);
  const std::size_t end = rest.find('\n');
  const std::string_view text = rest.substr(0, end);
  const bool is_too_long = text.size() > line_size_max;
  if (end == rest.npos && !is_too_long && (!is_over_ || rest.empty())) return false;
  ++number_;
  if (is_too_long)
    fail(line_size_max + 1, "the line is too long: this is no capture, or break it between bytes");
  line = {.number = number_, .text = text};
  begin_ += std::min(rest.size(), text.size() + 1);
  if (text.ends_with('\r')) line.text.remove_suffix(1);
  parse(line);
  return true;
}

void CaptureParser::parse(CaptureLine& line) {
  if (number_ == 1 && !is_capture(line.text))
    fail(1, "a capture begins with \"" + std::string(capture_magic) + " 1\"");
  const std::string_view text = trimmed(line.text);
  if (text.empty()) return;
  is_whole_ = false;
  if (!text.starts_with('#')) return parse_octets(line);
  const auto* end = std::find_if(text.begin() + 1, text.end(), is_blank);
  line.word = std::string_view(text.begin() + 1, end);
  if (line.word.empty()) return;
  line.kind = CaptureLine::Kind::directive;
  line.value = trimmed(std::string_view(end, text.end()));
  parse_directive(line);
}

void CaptureParser::parse_octets(CaptureLine& line) {
  octets_.clear();
  int half = -1;
  for (std::size_t i = 0; i < line.text.size(); ++i) {
    const char c = line.text[i];
    const int digit = meter::hex_value(c);
    if (digit >= 0 && half >= 0) {
      octets_.push_back(static_cast<std::byte>(half << 4 | digit));
      half = -1;
    } else if (digit >= 0) {
      half = digit;
    } else if (!is_blank(c)) {
      throw CaptureError(capture_position(number_, i + 1, c) + " is not a hex digit");
    }
  }
  if (half >= 0) fail(line.text.size(), "the line ends in the middle of a byte");
  line.kind = CaptureLine::Kind::octets;
  line.octets = octets_;
  size_ += octets_.size();
}

void CaptureParser::parse_directive(const CaptureLine& line) {
  if (line.word == capture_magic.substr(1)) {
    const std::string_view version = line.value.substr(0, line.value.find('.'));
    const auto value = number(version);
    const bool is_number =
        !version.empty() && version.find_first_not_of("0123456789") == version.npos;
    if (!is_number || value == 0) fail_at_value(line, "the version of the format is missing");
    if (!value || *value > capture_version)
      fail_at_value(line, "this capture is of version " + std::string(version.substr(0, 20)) +
                              " of the format, and version " + std::to_string(capture_version) +
                              " is read here: read it with a newer release");
  } else if (line.word == "start") {
    start_us_ = epoch_us(line.value);
    at_.reset();
    if (!start_us_) fail_at_value(line, "the start is written as 2026-11-27T03:20:00.123456Z");
  } else if (line.word == "at") {
    const auto us = line.value.starts_with('+') ? seconds_us(line.value.substr(1)) : std::nullopt;
    if (!us) fail_at_value(line, "the time is written as +1.234567, seconds after the start");
    at_ = Microseconds(*us);
  } else if (line.word == "lost") {
    const auto count = number(line.value);
    if (!count) fail_at_value(line, "a number of bytes is expected here");
    lost_ += *count;
  } else if (line.word == "end") {
    is_whole_ = true;
  }
}

void CaptureWriter::magic() {
  directive(capture_magic.substr(1), std::to_string(capture_version));
}

void CaptureWriter::directive(std::string_view word, std::string_view value) {
  text_ += '#';
  text_ += word;
  if (!value.empty()) text_ += ' ';
  line(value);
}

void CaptureWriter::start(std::int64_t epoch_us) {
  using namespace std::chrono;
  const sys_time<microseconds> time{microseconds(epoch_us)};
  const auto midnight = floor<days>(time);
  const year_month_day day(midnight);
  const hh_mm_ss clock(time - midnight);
  std::string text;
  append_padded(text, static_cast<std::uint64_t>(std::max(0, int(day.year()))), 4);
  append_padded(text += '-', unsigned(day.month()), 2);
  append_padded(text += '-', unsigned(day.day()), 2);
  append_padded(text += 'T', static_cast<std::uint64_t>(clock.hours().count()), 2);
  append_padded(text += ':', static_cast<std::uint64_t>(clock.minutes().count()), 2);
  append_padded(text += ':', static_cast<std::uint64_t>(clock.seconds().count()), 2);
  append_padded(text += '.', static_cast<std::uint64_t>(clock.subseconds().count()), 6);
  directive("start", text += 'Z');
}

void CaptureWriter::at(std::chrono::microseconds since_start) {
  const auto us = static_cast<std::uint64_t>(std::max<std::int64_t>(0, since_start.count()));
  std::string text = "+" + std::to_string(us / us_per_s);
  append_padded(text += '.', us % us_per_s, fraction_digits_max);
  directive("at", text);
}

void CaptureWriter::octets(meter::Bytes octets) {
  while (!octets.empty()) {
    const meter::Bytes part = octets.first(std::min(octets.size(), octets_per_line));
    octets = octets.subspan(part.size());
    char digits[2 * octets_per_line];
    text_ += meter::write_hex(part, digits, meter::hex_upper);
    text_ += '\n';
  }
}

void CaptureWriter::line(std::string_view text) {
  for (const char c : text) text_ += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  text_ += '\n';
}

}  // namespace tools
