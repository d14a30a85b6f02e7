// SPDX-License-Identifier: Apache-2.0
// Identification, '!', CRC: where an ASCII telegram begins and ends, and whether it is whole.
#include "meter/p1_text.hpp"

#include <algorithm>
#include <cstring>

#include "meter/base/crc.hpp"
#include "meter/base/hex.hpp"
#include "meter/base/reader.hpp"
#include "meter/data_line.hpp"

namespace meter {
namespace {

using State = P1Text::State;

constexpr std::size_t checksum_digits_max = 4;

constexpr P1Text refused(Errc cause) noexcept { return {.state = State::refused, .cause = cause}; }
constexpr P1Text incomplete() noexcept { return {.state = State::incomplete}; }

bool is_letter(std::byte octet) noexcept {
  const unsigned lower = u8(octet) | 0x20;
  return lower >= 'a' && lower <= 'z';
}
constexpr bool is_line_end(std::byte octet) noexcept {
  return u8(octet) == '\r' || u8(octet) == '\n';
}

/// Offset of the line end behind "/XXX…"; state incomplete or no_candidate without one.
struct Identification {
  State state = State::no_candidate;
  std::size_t end = 0;
};
Identification identification_of(Bytes text) noexcept {
  for (std::size_t at = 1; at < text.size() && at <= p1_identification_size_max; ++at) {
    const std::byte octet = text[at];
    // Behind the maker's letters anything: "\2" became an octet 02 on some way.
    if (at <= 3 ? !is_letter(octet) : is_line_end(octet) || u8(octet) == 0)
      return {is_line_end(octet) && at > 3 ? State::whole : State::no_candidate, at};
  }
  return {text.size() <= p1_identification_size_max ? State::incomplete : State::no_candidate, 0};
}

/// A telegram's lines hold no control characters, and none of them begins with '/': that is the
/// next telegram, and this one lost its end.
std::optional<Errc> fault_in_lines(Bytes text, std::size_t from) noexcept {
  // Piece by piece, so that what is refused at its front costs no look at the rest.
  constexpr std::size_t piece_size = 512;
  while (from < text.size()) {
    const std::size_t end = std::min(from + piece_size, text.size());
    unsigned char controls = 0, starts = 0;  // no early end, one octet wide: this vectorises
    for (std::size_t i = from; i < end; ++i) {
      const unsigned char c = static_cast<unsigned char>(text[i]);
      const unsigned char before = static_cast<unsigned char>(text[i - 1]);
      controls |= static_cast<unsigned char>((c < 0x20) & (c != '\r') & (c != '\n') & (c != '\t'));
      starts |= static_cast<unsigned char>((c == '/') & ((before == '\n') | (before == '\r')));
    }
    if (controls != 0) return Errc::malformed;
    if (starts != 0) return Errc::truncated;
    from = end;
  }
  return std::nullopt;
}

/// Offset of the first '!' at the start of a line, or the size.
std::size_t find_end(Bytes text, std::size_t from) noexcept {
  while (from < text.size()) {
    const void* found = std::memchr(text.data() + from, '!', text.size() - from);
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const std::byte*>(found) - text.data());
    if (is_line_end(text[at - 1])) return at;
    from = at + 1;
  }
  return text.size();
}

bool lines_are_sound(std::string_view lines) noexcept {
  while (const auto line = next_p1_line(lines))
    if (!is_sound_p1_line(*line)) return false;
  return true;
}

/// From '!' on: CRC or none, line end.
P1Text finish(Bytes text, std::size_t identification_end, std::size_t end, bool at_end) noexcept {
  const bool feed_only = u8(text[identification_end]) == '\n';
  std::size_t at = end + 1;
  unsigned sent = 0;
  const std::size_t digits_end = std::min(at + checksum_digits_max, text.size());
  while (at < digits_end) {
    const int digit = hex_value(static_cast<char>(text[at]));
    if (digit < 0) break;
    sent = sent << 4 | static_cast<unsigned>(digit);
    ++at;
  }
  const std::size_t digits = at - end - 1;
  if (digits < checksum_digits_max) {
    if (at == text.size() && !at_end) return incomplete();
    if (at < text.size() && !is_line_end(text[at])) return refused(Errc::malformed);
  }
  P1Text whole{.state = State::whole, .body_size = end, .checked = digits != 0};
  if (digits != 0) {
    const Bytes covered = text.first(end + 1);
    const bool right = Crc16Arc{}.add(covered).value() == sent ||
                       (feed_only && p1_crc_with_carriage_returns(covered) == sent);
    if (!right) return refused(Errc::bad_checksum);
  } else if (!feed_only && at < text.size()) {
    // The whole line end, or LF and the next telegram, so that no damaged digit of a CRC makes a
    // telegram without one.
    const char next = u8(text[at]) == '\r' ? '\n' : '/';
    if (at + 1 == text.size() && !at_end) return incomplete();
    if (at + 1 < text.size() && static_cast<char>(text[at + 1]) != next)
      return refused(Errc::malformed);
  } else if (at < text.size() && u8(text[at]) != '\n') {
    return refused(Errc::malformed);
  }
  if (at < text.size() && u8(text[at]) == '\r') ++at;
  if (at < text.size() && u8(text[at]) == '\n') ++at;
  whole.size = at;
  return whole;
}

/// Poland: 00 length SC FC ciphertext tag in place of the lines, that is general-glo-ciphering
/// without its tag and system title.
P1Text examine_ciphered(Bytes text, std::size_t identification_end, std::size_t begin,
                        bool at_end) noexcept {
  Reader reader(text.subspan(begin));
  reader.skip(1);
  if (reader.remaining() == 0) return incomplete();
  if (reader.peek() != 0x81 && reader.peek() != 0x82) return refused(Errc::malformed);
  const std::size_t content = reader.ber_length();
  if (!reader.ok()) return incomplete();
  const std::size_t size = reader.offset() + content;
  if (begin + size > p1_size_max - 8) return refused(Errc::oversize);
  std::size_t end = begin + size;
  while (end < text.size() && end < begin + size + 2 && is_line_end(text[end])) ++end;
  if (end >= text.size()) return incomplete();
  if (u8(text[end]) != '!') return refused(Errc::bad_length);
  P1Text whole = finish(text, identification_end, end, at_end);
  if (whole.state == State::whole && !whole.checked) return refused(Errc::malformed);
  whole.ciphered_at = begin;
  whole.ciphered_size = size;
  return whole;
}

/// A long text (0-0:96.13.0) goes on in the next line: its bracket is open, and closes there.
bool breaks_within_a_value(std::string_view line, std::string_view rest) noexcept {
  if (line.ends_with('\r')) line.remove_suffix(1);
  if (line.ends_with(')')) return false;
  const std::size_t bracket = line.find_last_of("()");
  if (bracket == std::string_view::npos || line[bracket] == ')') return false;
  const std::size_t next = rest.find_first_of("()");
  return next != std::string_view::npos && rest[next] == ')';
}

}  // namespace

std::uint16_t p1_crc_with_carriage_returns(Bytes text) noexcept {
  Crc16Arc crc;
  while (!text.empty()) {
    const void* found = std::memchr(text.data(), '\n', text.size());
    if (found == nullptr) break;
    const auto at = static_cast<std::size_t>(static_cast<const std::byte*>(found) - text.data());
    crc.add(text.first(at));
    if (at == 0 || u8(text[at - 1]) != '\r') crc.add(bytes_of("\r"));
    crc.add(text.subspan(at, 1));
    text = text.subspan(at + 1);
  }
  return crc.add(text).value();
}

P1Text examine_p1_text(Bytes from_start, bool at_end) noexcept {
  const Identification identification = identification_of(from_start);
  if (identification.state != State::whole) return {.state = identification.state};
  const auto limited = [&](const P1Text& found) {
    const bool too_long = found.state == State::incomplete && from_start.size() >= p1_size_max;
    return too_long || found.size > p1_size_max ? refused(Errc::oversize) : found;
  };
  std::size_t begin = identification.end;
  while (begin < from_start.size() && begin < identification.end + 4 &&
         is_line_end(from_start[begin]))
    ++begin;
  if (begin < from_start.size() && u8(from_start[begin]) == 0)
    return limited(examine_ciphered(from_start, identification.end, begin, at_end));

  const std::size_t end = find_end(from_start, identification.end);
  if (const auto cause = fault_in_lines(from_start.first(end), identification.end))
    return refused(*cause);
  if (end == from_start.size()) return limited(incomplete());
  const P1Text found = finish(from_start, identification.end, end, at_end);
  if (found.state == State::whole && !found.checked &&
      !lines_are_sound(text_of(from_start.first(end).subspan(identification.end))))
    return refused(Errc::malformed);
  return limited(found);
}

std::optional<std::string_view> next_unusual_p1_line(std::string_view& text) noexcept {
  if (text.empty()) return std::nullopt;
  std::size_t end = text.find('\n');
  if (breaks_within_a_value(text.substr(0, end), text.substr(std::min(end, text.size()))))
    end = text.find('\n', text.find(')', end));
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

bool is_sound_p1_line(std::string_view line) noexcept {
  if (line.empty()) return true;
  auto set = next_data_set(line);
  if (!set || !line.empty()) return false;
  while (const auto value = set->values.next())
    if (const DataValue parsed = parse_data_value(*value);
        value->find('*') != std::string_view::npos && !parsed.number)
      return false;
  return true;
}

}  // namespace meter
