// SPDX-License-Identifier: Apache-2.0
// Identification lines, data blocks and commands of IEC 62056-21.
#include "meter/link/iec62056.hpp"

#include <algorithm>
#include <bit>

#include "meter/link/search.hpp"

namespace meter::link {
namespace {

// Control characters (IEC 62056-21 6.3).
constexpr char nul = 0x00, soh = 0x01, stx = 0x02, etx = 0x03, eot = 0x04, ack = 0x06, nak = 0x15;

constexpr std::size_t request_size_max = 2 + 32 + 3;         // "/?", address, "!" CR LF (6.3.1)
constexpr std::size_t identification_size_max = 5 + 48 + 2;  // norm: 16 characters
constexpr std::size_t command_size_max = 256;
constexpr std::size_t code_size_max = 32;  // of `A-B:C.D.E*F`, with room

constexpr char character(std::byte octet) noexcept { return static_cast<char>(u8(octet) & 0x7f); }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) noexcept {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}
constexpr bool is_text(char c) noexcept { return c >= 0x20 && c < 0x7f; }
constexpr bool is_line_end(char c) noexcept { return c == '\r' || c == '\n'; }

/// The eighth bits of one frame: all clear, or all even parity. Any one flipped bit breaks it where
/// there is parity, and a flipped eighth bit where there is none.
class EighthBit {
 public:
  bool take(std::byte octet) noexcept {
    clear_ = clear_ && u8(octet) < 0x80;
    even_ = even_ && std::popcount(u8(octet)) % 2 == 0;
    return clear_ || even_;
  }

 private:
  bool clear_ = true;
  bool even_ = true;
};

/// The form of data lines, `code(value)(value)…`, character by character. It is what tells a block
/// from other bytes between 02 and 03, for which 7 bits of check are too little.
class DataLines {
 public:
  /// False when the character can not stand here.
  bool take(char c) noexcept {
    if (is_line_end(c)) {
      several_lines_ = true;
      carriage_return_ = carriage_return_ || c == '\r';
      at_line_start_ = c == '\n';
      return !in_value_ && code_size_ == 0;
    }
    at_line_start_ = false;
    if (!is_text(c) || ended_) return false;
    if (in_value_) {
      in_value_ = c != ')';
      return c != '(';
    }
    if (c == '!') {
      ended_ = true;
      return code_size_ == 0;
    }
    if (c == '(') {
      in_value_ = has_value_ = true;
      code_size_ = 0;
      return true;
    }
    return c != ')' && c != '/' && ++code_size_ <= code_size_max;
  }
  /// Whole data sets, at least one.
  bool whole() const noexcept { return has_value_ && !in_value_ && code_size_ == 0; }
  bool in_value() const noexcept { return in_value_; }
  /// Of a refusal: without the beginning of a value, an STX is any octet of noise.
  Errc cause() const noexcept { return has_value_ ? Errc::bad_length : Errc::line_noise; }
  /// This block control character may follow. ETX comes behind `!` CR LF, or behind the only data
  /// set of an answer, which has no line end (6.4.5); EOT behind a line's end. What damage made
  /// one of them stands elsewhere, but for the end of the first line.
  bool may_end_with(char c) const noexcept {
    if (!whole()) return false;
    if (c == eot) return at_line_start_ && !ended_;
    return ended_ ? at_line_start_ : !several_lines_;
  }
  /// Damage may have made STX of this character, which would fit here.
  bool may_miss(char c) const noexcept {
    return is_line_end(c) && whole() && !ended_;
  }
  /// `!` was there: nothing but the line's end follows.
  bool ended() const noexcept { return ended_; }
  /// The line ends are LF alone: no meter sends that, a tool for texts wrote it.
  bool was_kept_as_text() const noexcept { return several_lines_ && !carriage_return_; }

 private:
  std::size_t code_size_ = 0;
  bool in_value_ = false;
  bool has_value_ = false;
  bool ended_ = false;
  bool several_lines_ = false;
  bool carriage_return_ = false;
  bool at_line_start_ = false;
};

/// What stands at the front of some bytes, and how many of them it is.
struct Found {
  enum class Kind : std::uint8_t { passed_over, refused, incomplete, frame } kind;
  std::size_t size = 0;
  Errc cause = Errc::line_noise;
  Bytes payload{};
  bool proven = false;
};
constexpr Found passed_over(std::size_t size) noexcept {
  return {.kind = Found::Kind::passed_over, .size = size};
}
constexpr Found refuse(Errc cause, std::size_t size) noexcept {
  return {.kind = Found::Kind::refused, .size = size, .cause = cause};
}
constexpr Found unproven(std::size_t size, Bytes payload) noexcept {
  return {.kind = Found::Kind::frame, .size = size, .payload = payload};
}
/// Waits for more, where more may come.
constexpr Found wait(Bytes at, bool no_more) noexcept {
  if (no_more) return refuse(Errc::silence, at.size());
  return {.kind = Found::Kind::incomplete};
}

/// `/?address!` CR LF (6.3.1): what we or another reader asked. `/` and `?` are there.
Found examine_request(Bytes at, bool no_more) noexcept {
  bool ended = false;
  for (std::size_t i = 2; i < std::min(at.size(), request_size_max); ++i) {
    const char c = character(at[i]);
    if (ended && c == '\n') return passed_over(i + 1);
    if (ended ? c != '\r' : !is_text(c) || c == '/') return refuse(Errc::line_noise, i);
    ended = ended || c == '!';
  }
  if (at.size() >= request_size_max) return refuse(Errc::line_noise, request_size_max);
  return wait(at, no_more);
}

/// `/` and `!` by 6.3.2; brackets, because the rest of a damaged value ends with one.
constexpr bool may_not_identify(char c) noexcept {
  return c == '/' || c == '!' || c == '(' || c == ')';
}

/// `/XXXZ…` CR LF (6.3.2). Text in front of it is dropped, so that a glitch costs nothing.
Found examine_identification(Bytes at, bool no_more) noexcept {
  constexpr std::size_t speed_at = 4;
  EighthBit eighth_bit;
  std::size_t size = 0;
  for (std::size_t i = 0; i < std::min(at.size(), identification_size_max); ++i) {
    const char c = character(at[i]);
    if (!eighth_bit.take(at[i])) return refuse(Errc::line_noise, std::max<std::size_t>(i, 1));
    if (i == 0) continue;
    if (i == 1 && c == '?') return examine_request(at, no_more);
    if (c == '\n' && i > speed_at) return unproven(i + 1, at.first(size != 0 ? size : i));
    if (size != 0) return refuse(Errc::line_noise, i);  // CR without LF
    if (c == '\r' && i > speed_at)
      size = i;
    else if (i < speed_at ? !is_letter(c) : !is_text(c) || may_not_identify(c))
      return refuse(Errc::line_noise, i);
  }
  if (at.size() >= identification_size_max)
    return refuse(Errc::line_noise, identification_size_max);
  return wait(at, no_more);
}

/// STX data ETX BCC (6.3.4 to 6.3.6). A refused block takes its text along: without its check it
/// must not pass for bare data lines.
Found examine_block(Bytes at, bool no_more) noexcept {
  EighthBit eighth_bit;
  DataLines lines;
  unsigned check = 0;
  (void)eighth_bit.take(at[0]);
  for (std::size_t i = 1; i < std::min(at.size(), iec62056_frame_size_max); ++i) {
    const char c = character(at[i]);
    // A line's end that damage made STX begins no block. It shows by the check, which is right
    // behind it only where the sum in front of it is that line end; so is one torn block's in 128.
    if (c == stx) {
      const bool was_line_end =
          lines.may_miss(static_cast<char>(check)) && eighth_bit.take(at[i]);
      return refuse(lines.cause(), was_line_end ? i + 1 : i);
    }
    if (!eighth_bit.take(at[i])) return refuse(Errc::line_noise, i);
    check ^= static_cast<unsigned char>(c);
    if (c == etx || c == eot) {
      if (!lines.may_end_with(c)) return refuse(lines.cause(), i);
      if (i + 1 == at.size()) return wait(at, no_more);
      // The character behind may be the next block's STX, if the check is what got lost.
      if (!eighth_bit.take(at[i + 1]) || (u8(at[i + 1]) & 0x7f) != check)
        return refuse(Errc::bad_checksum, i + 1);
      return {.kind = Found::Kind::frame, .size = i + 2, .payload = at.first(i + 1),
              .proven = true};
    }
    if (!lines.take(c)) return refuse(lines.cause(), i);
  }
  if (at.size() >= iec62056_frame_size_max)
    return refuse(Errc::bad_length, iec62056_frame_size_max);
  // A tool for texts keeps neither ETX nor what follows.
  if (no_more && lines.whole() && lines.ended() && lines.was_kept_as_text())
    return unproven(at.size(), at);
  return wait(at, no_more);
}

/// SOH letter digit [STX data] ETX BCC (6.4).
Found examine_command(Bytes at, bool no_more) noexcept {
  EighthBit eighth_bit;
  unsigned check = 0;
  (void)eighth_bit.take(at[0]);
  for (std::size_t i = 1; i < std::min(at.size(), command_size_max); ++i) {
    const char c = character(at[i]);
    const bool expected = i == 1   ? c == 'P' || c == 'R' || c == 'W' || c == 'E' || c == 'B'
                          : i == 2 ? is_digit(c)
                          : i == 3 ? c == stx || c == etx
                                   : is_text(c) || is_line_end(c) || c == etx;
    if (!expected || !eighth_bit.take(at[i])) return refuse(Errc::line_noise, i);
    check ^= static_cast<unsigned char>(c);
    if (c != etx) continue;
    if (i + 1 == at.size()) return wait(at, no_more);
    if (!eighth_bit.take(at[i + 1]) || (u8(at[i + 1]) & 0x7f) != check)
      return refuse(Errc::bad_checksum, i + 1);
    return unproven(i + 2, at.first(i + 1));
  }
  if (at.size() >= command_size_max) return refuse(Errc::bad_length, command_size_max);
  return wait(at, no_more);
}

/// ACK V Z Y CR LF (6.3.3), or ACK alone between blocks.
Found examine_acknowledgement(Bytes at, bool no_more) noexcept {
  constexpr std::size_t size = 6;
  for (std::size_t i = 1; i < std::min(at.size(), size); ++i) {
    const char c = character(at[i]);
    if (i == 4 ? c != '\r' : i == 5 ? c != '\n' : !is_digit(c) && !is_letter(c))
      return passed_over(1);
  }
  if (at.size() < size) return no_more ? passed_over(1) : wait(at, no_more);
  return passed_over(size);
}

/// Text that no STX announced: one frame or refused as a whole, so that never a part of it is
/// taken for all. ETX behind it says that it is a block whose STX is lost: nothing proves it then.
Found examine_text(Bytes at, bool no_more) noexcept {
  EighthBit eighth_bit;
  DataLines lines;
  bool good = true;
  bool end_mark = false;  // `!` or what follows it, in refused text too
  for (std::size_t i = 0; i < std::min(at.size(), iec62056_frame_size_max); ++i) {
    const char c = character(at[i]);
    const bool in_text = eighth_bit.take(at[i]) && (is_text(c) || is_line_end(c));
    if (!in_text || (c == '/' && !(good && lines.in_value())))
      return refuse(Errc::line_noise, std::max<std::size_t>(i, 1));
    good = good && lines.take(c);
    if (c == '\n' && (good ? lines.ended() : end_mark)) {
      if (!good || !lines.whole()) return refuse(Errc::line_noise, i + 1);
      if (i + 1 == at.size())
        return no_more ? unproven(i + 1, at.first(i + 1)) : wait(at, no_more);
      const char next = character(at[i + 1]);
      if (next == etx || next == eot) return refuse(Errc::line_noise, i + 1);
      return unproven(i + 1, at.first(i + 1));
    }
    end_mark = c == '!' || (end_mark && is_line_end(c));
  }
  if (at.size() >= iec62056_frame_size_max)
    return refuse(Errc::line_noise, iec62056_frame_size_max);
  return wait(at, no_more);
}

Found examine(Bytes at, bool no_more) noexcept {
  const char c = character(at[0]);
  EighthBit eighth_bit;
  if (!eighth_bit.take(at[0])) return refuse(Errc::line_noise, 1);
  switch (c) {
    case '/':
      return examine_identification(at, no_more);
    case stx:
      return examine_block(at, no_more);
    case soh:
      return examine_command(at, no_more);
    case ack:
      return examine_acknowledgement(at, no_more);
    case nul:
    case nak:
    case '\r':
    case '\n':
      return passed_over(1);
    default:
      return is_text(c) ? examine_text(at, no_more) : refuse(Errc::line_noise, 1);
  }
}

Scan scan_with(Bytes received, std::size_t starts_before, bool no_more) noexcept {
  Scan scan;
  const std::size_t end = std::min(received.size(), starts_before);
  while (scan.discard < end) {
    const Found found = examine(received.subspan(scan.discard), no_more);
    if (found.kind == Found::Kind::incomplete) break;
    if (found.kind == Found::Kind::frame) {
      scan.size = found.size;
      scan.payload = found.payload;
      scan.proven = found.proven;
      break;
    }
    if (found.kind == Found::Kind::refused) note_refusal(scan, found.cause, scan.discard);
    scan.discard += found.size;
  }
  return scan;
}

}  // namespace

Scan scan_iec62056(Bytes received, std::size_t starts_before) noexcept {
  return scan_with(received, starts_before, false);
}

Scan scan_iec62056_rest(Bytes received, std::size_t starts_before) noexcept {
  return scan_with(received, starts_before, true);
}

}  // namespace meter::link
