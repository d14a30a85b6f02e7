// SPDX-License-Identifier: Apache-2.0
// P1Text: the limits and the checksum of an ASCII telegram, on the line and after decryption.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"

namespace meter {

/// More than the longest known telegram (eMUCS with peaks: 3 to 5 kB; a text message of 2 kB).
inline constexpr std::size_t p1_size_max = 16 * 1024;
/// "/XXX5" and an identification: 16 characters in IEC 62056-21 6.3.2, up to twice that in the
/// field.
inline constexpr std::size_t p1_identification_size_max = 64;

/// What stands at a '/': identification, data lines, '!', CRC.
struct P1Text {
  enum class State : std::uint8_t {
    no_candidate,  ///< no identification begins here
    refused,       ///< it does, but the telegram is damaged: see `cause`
    incomplete,    ///< with more octets it can still become a telegram
    whole,
  };
  State state = State::no_candidate;
  Errc cause = Errc::line_noise;
  std::size_t body_size = 0;  ///< '/' up to and without '!'
  std::size_t size = 0;       ///< with '!', CRC and line end
  bool checked = false;       ///< there is a CRC, and it is right
  /// Of a telegram whose content is ciphered (Poland): where in the body, else empty.
  std::size_t ciphered_at = 0;
  std::size_t ciphered_size = 0;
};

/// Looks at the octets from a '/' on. The CRC (DSMR P1 5.2: CRC-16/ARC over '/' to '!', up to four
/// hex digits) is taken over the octets as received; where lines end with LF alone also over CR LF,
/// because bridges drop the CR. `checked` false: no CRC was sent, and every line is sound.
/// `at_end`: nothing follows, so that a last line end may be missing.
P1Text examine_p1_text(Bytes from_start, bool at_end) noexcept;

/// CRC-16/ARC over '/' to '!' as if every line ended with CR LF; for text whose lines end with LF.
std::uint16_t p1_crc_with_carriage_returns(Bytes text) noexcept;

/// Takes the line at the front of `text`, without its line end; with the lines that follow, as far
/// as a value goes on in them. Nothing when `text` is empty.
inline std::optional<std::string_view> next_p1_line(std::string_view& text) noexcept;

/// A line as the grammar has it (data_line.hpp), each unit behind a number; an empty one, or values
/// that continue the line before.
bool is_sound_p1_line(std::string_view line) noexcept;

/// `next_p1_line` for every line; the inline one has a short way for nearly all.
std::optional<std::string_view> next_unusual_p1_line(std::string_view& text) noexcept;

std::optional<std::string_view> next_p1_line(std::string_view& text) noexcept {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || end < 2 || text[end - 1] != '\r' || text[end - 2] != ')')
    return next_unusual_p1_line(text);
  const std::string_view line = text.substr(0, end - 1);
  text.remove_prefix(end + 1);
  return line;
}

}  // namespace meter
