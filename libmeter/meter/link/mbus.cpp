// SPDX-License-Identifier: Apache-2.0
// M-Bus frames: length, sum, stop octet.
#include "meter/link/mbus.hpp"

#include "meter/link/search.hpp"

namespace meter::link {
namespace {

constexpr std::byte start_octet{0x68};
constexpr std::byte stop_octet{0x16};
constexpr std::size_t header_size = 4;   // 68 L L 68
constexpr std::size_t trailer_size = 2;  // sum, 16
constexpr std::size_t length_min = 3;    // C, A, CI: a control frame
constexpr std::byte short_start_octet{0x10};
constexpr std::size_t short_frame_size = 5;  // 10 C A sum 16
constexpr std::byte acknowledgement{0xe5};

/// The arithmetic sum modulo 256 (EN 13757-2 5.5); an octet-wide sum is what vectorises.
std::byte sum_of(Bytes octets) noexcept {
  std::uint8_t sum = 0;
  for (const std::byte octet : octets) sum = static_cast<std::uint8_t>(sum + u8(octet));
  return std::byte{sum};
}

Candidate examine_short(Bytes at_start) noexcept {
  if (at_start.size() < short_frame_size) return incomplete();
  if (at_start[4] != stop_octet) return refused(Errc::bad_length);
  const Bytes content = at_start.subspan(1, 2);
  if (sum_of(content) != at_start[3]) return refused(Errc::bad_checksum);
  return frame(short_frame_size, content);
}

Candidate examine_any(Bytes at_start) noexcept {
  switch (at_start.front()) {
    case start_octet: return examine_long_frame(at_start);
    case short_start_octet: return examine_short(at_start);
    case acknowledgement: return frame(1, at_start.first(1));
    default: return no_candidate();
  }
}

}  // namespace

Candidate examine_long_frame(Bytes at_start) noexcept {
  if (at_start.size() < header_size) return incomplete();
  if (at_start[3] != start_octet) return no_candidate();
  if (at_start[1] != at_start[2]) return refused(Errc::bad_length);
  std::size_t length = u8(at_start[1]);
  // Sagemcom and Kaifa announce a fragment of 256, 257 or 258 octets modulo 256.
  if (length < length_min) length += 256;
  const std::size_t size = header_size + length + trailer_size;
  if (at_start.size() < size) return incomplete();
  if (at_start[size - 1] != stop_octet) return refused(Errc::bad_length);
  const Bytes content = at_start.subspan(header_size, length);
  if (sum_of(content) != at_start[header_size + length]) return refused(Errc::bad_checksum);
  return frame(size, content);
}

Scan scan_mbus(Bytes received, std::size_t starts_before) noexcept {
  return search<start_octet, false, examine_long_frame>(received, starts_before);
}

Scan scan_mbus_master(Bytes received, std::size_t starts_before) noexcept {
  return search_each<examine_any>(received, starts_before);
}

}  // namespace meter::link
