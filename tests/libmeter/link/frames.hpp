// SPDX-License-Identifier: Apache-2.0
// Frame encoders for tests, written from the standards and not from the scanners: bitwise CRC,
// no shared helper.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/link/link_layer.hpp"

namespace meter::test {

using Octets = std::vector<std::byte>;

/// Hex digits, anything else between them ignored.
inline Octets from_hex(std::string_view text) {
  Octets octets;
  int high = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) continue;
    if (high >= 0) octets.push_back(static_cast<std::byte>(high << 4 | digit));
    high = high >= 0 ? -1 : digit;
  }
  return octets;
}

inline void append(Octets& to, Bytes octets) {
  to.insert(to.end(), octets.begin(), octets.end());
}

inline Octets concatenated(std::initializer_list<Octets> parts) {
  Octets all;
  for (const Octets& part : parts) append(all, part);
  return all;
}

/// CRC-16/X-25, bit by bit.
inline std::uint16_t slow_crc_x25(Bytes octets) {
  unsigned crc = 0xffff;
  for (const std::byte octet : octets)
    for (unsigned bit = 0; bit < 8; ++bit)
      crc = ((crc ^ u8(octet) >> bit) & 1) != 0 ? crc >> 1 ^ 0x8408 : crc >> 1;
  return static_cast<std::uint16_t>(crc ^ 0xffff);
}

/// 68 L L 68 content sum 16; L is modulo 256, as Sagemcom sends it.
inline Octets mbus_frame(Bytes content) {
  const auto length = static_cast<std::byte>(content.size() & 0xff);
  Octets frame{std::byte{0x68}, length, length, std::byte{0x68}};
  append(frame, content);
  unsigned sum = 0;
  for (const std::byte octet : content) sum += u8(octet);
  frame.push_back(static_cast<std::byte>(sum & 0xff));
  frame.push_back(std::byte{0x16});
  return frame;
}

/// What lies between the flags: format, addresses and control as given, HCS where there is
/// information, FCS.
inline Octets hdlc_body(Bytes addresses_and_control, Bytes information, bool segmented = false) {
  const std::size_t checks = information.empty() ? 2 : 4;
  const std::size_t length = 2 + addresses_and_control.size() + information.size() + checks;
  Octets body{static_cast<std::byte>(0xa0 | (segmented ? 8 : 0) | length >> 8),
              static_cast<std::byte>(length & 0xff)};
  append(body, addresses_and_control);
  const auto append_check = [&body] {
    const unsigned crc = slow_crc_x25(body);
    body.push_back(static_cast<std::byte>(crc & 0xff));
    body.push_back(static_cast<std::byte>(crc >> 8));
  };
  if (!information.empty()) {
    append_check();
    append(body, information);
  }
  append_check();
  return body;
}

inline Octets hdlc_frame(Bytes addresses_and_control, Bytes information, bool segmented = false) {
  Octets frame{std::byte{0x7e}};
  append(frame, hdlc_body(addresses_and_control, information, segmented));
  frame.push_back(std::byte{0x7e});
  return frame;
}

/// Content with every four 1B in a row doubled, as SML sends it.
inline Octets sml_escaped(Bytes content) {
  Octets escaped;
  unsigned run = 0;
  for (const std::byte octet : content) {
    escaped.push_back(octet);
    run = octet == std::byte{0x1b} ? run + 1 : 0;
    if (run < 4) continue;
    escaped.insert(escaped.end(), 4, octet);
    run = 0;
  }
  return escaped;
}

/// SML transport version 1: start, content, fill to whole groups, end, CRC.
inline Octets sml_frame(Bytes content) {
  Octets frame = from_hex("1B 1B 1B 1B 01 01 01 01");
  append(frame, sml_escaped(content));
  const std::size_t fill = (4 - frame.size() % 4) % 4;
  frame.insert(frame.end(), fill, std::byte{0});
  append(frame, from_hex("1B 1B 1B 1B 1A"));
  frame.push_back(static_cast<std::byte>(fill));
  const unsigned crc = slow_crc_x25(frame);
  frame.push_back(static_cast<std::byte>(crc & 0xff));
  frame.push_back(static_cast<std::byte>(crc >> 8));
  return frame;
}

/// CRC-16/ARC, bit by bit.
inline std::uint16_t slow_crc_arc(Bytes octets) {
  unsigned crc = 0;
  for (const std::byte octet : octets)
    for (unsigned bit = 0; bit < 8; ++bit)
      crc = ((crc ^ u8(octet) >> bit) & 1) != 0 ? crc >> 1 ^ 0xa001 : crc >> 1;
  return static_cast<std::uint16_t>(crc);
}

/// `body` is '/' to the last line end; '!', four digits and CR LF follow.
inline Octets p1_frame(Bytes body) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  Octets frame(body.begin(), body.end());
  frame.push_back(std::byte{'!'});
  const unsigned crc = slow_crc_arc(frame);
  for (int shift = 12; shift >= 0; shift -= 4)
    frame.push_back(static_cast<std::byte>(digits[crc >> shift & 15]));
  frame.push_back(std::byte{'\r'});
  frame.push_back(std::byte{'\n'});
  return frame;
}

/// STX lines end, block check character (IEC 62056-21 6.3.4); with even parity in the eighth bit.
inline Octets iec62056_block(Bytes lines, unsigned end, bool parity) {
  Octets frame{std::byte{0x02}};
  append(frame, lines);
  frame.push_back(static_cast<std::byte>(end));
  std::byte check{0};
  for (std::size_t i = 1; i < frame.size(); ++i) check ^= frame[i];
  frame.push_back(check);
  if (!parity) return frame;
  for (std::byte& octet : frame) {
    unsigned ones = 0;
    for (unsigned bit = 0; bit < 7; ++bit) ones += u8(octet) >> bit & 1;
    if (ones % 2 != 0) octet |= std::byte{0x80};
  }
  return frame;
}

/// The receive buffer of a device: takes pieces, hands frames' payloads on.
class Pump {
 public:
  explicit Pump(const link::LinkLayer& layer) : layer_(layer) {}

  template <class OnPayload>
  void feed(Bytes piece, OnPayload on_payload) {
    append(buffer_, piece);
    drain(layer_.scan, on_payload);
  }
  /// The line fell silent.
  template <class OnPayload>
  void finish(OnPayload on_payload) {
    drain([this](Bytes rest) noexcept { return link::scan_rest(layer_, rest); }, on_payload);
  }
  std::size_t held_back() const { return buffer_.size(); }
  std::size_t refusals() const { return refusals_; }
  Errc last_cause() const { return last_cause_; }

 private:
  template <class Scanner, class OnPayload>
  void drain(Scanner scan, OnPayload on_payload) {
    std::size_t at = 0;
    for (;;) {
      // An exact copy on the heap: the address sanitizer sees a read behind it.
      const Octets received(buffer_.begin() + static_cast<std::ptrdiff_t>(at), buffer_.end());
      const link::Scan found = scan(received);
      if (found.refused) {
        ++refusals_;
        last_cause_ = found.fault.code;
      }
      if (found.size != 0) on_payload(found.payload);
      at += found.discard + found.size;
      if (found.size == 0) break;
    }
    buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  const link::LinkLayer& layer_;
  Octets buffer_;
  std::size_t refusals_ = 0;
  Errc last_cause_ = Errc::line_noise;
};

}  // namespace meter::test
