// SPDX-License-Identifier: Apache-2.0
// HDLC type 3 frames: length, header check sequence, frame check sequence.
#include "meter/link/hdlc.hpp"

#include <algorithm>

#include "meter/base/crc.hpp"
#include "meter/link/search.hpp"

namespace meter::link {
namespace {

constexpr std::size_t length_min = 7;        // format, two addresses of one octet, control, FCS
constexpr std::size_t address_size_max = 4;  // IEC 62056-46 6.4.2.2
constexpr std::size_t check_size = 2;        // HCS, FCS

/// HCS and FCS are sent low octet first.
bool check_matches(Bytes check, const Crc16X25& crc) noexcept {
  return (u8(check[0]) | u8(check[1]) << 8) == crc.value();
}

/// Offset behind the two addresses and the control field that start at `at_start[3]`: 0 if more
/// octets are needed, nothing if an address does not end.
struct Header {
  std::size_t end = 0;
  bool endless = false;
};
Header header_of(Bytes at_start) noexcept {
  std::size_t at = 3;
  for (int address = 0; address < 2; ++address) {
    const std::size_t limit = at + address_size_max;
    bool last = false;
    while (!last) {
      if (at == limit) return {.endless = true};
      if (at == at_start.size()) return {};
      last = (u8(at_start[at++]) & 1) != 0;
    }
  }
  return {.end = at < at_start.size() ? at + 1 : 0};
}

/// The closing flag is not asked for: HCS and FCS prove the frame and its end, and where two
/// frames share one flag, its damage must not cost both.
Candidate examine(Bytes at_start) noexcept {
  if (at_start.size() < 2) return incomplete();
  if ((u8(at_start[1]) & 0xf0) != 0xa0) return no_candidate();
  if (at_start.size() < 3) return incomplete();
  const std::size_t length = (u8(at_start[1]) & 7) << 8 | u8(at_start[2]);
  if (length < length_min) return refused(Errc::bad_length);
  const auto [header_end, endless] = header_of(at_start);
  if (endless) return refused(Errc::malformed);
  if (header_end == 0) return incomplete();

  const std::size_t fcs_at = 1 + length - check_size;
  Crc16X25 crc;
  crc.add(at_start.subspan(1, header_end - 1));
  if (header_end != fcs_at) {
    // An information field of at least one octet, hence an HCS. It is checked as soon as it is
    // there, so that a damaged length does not hold back the frames behind it.
    if (header_end + check_size + 1 > fcs_at) return refused(Errc::bad_length);
    if (at_start.size() < header_end + check_size) return incomplete();
    if (!check_matches(at_start.subspan(header_end, check_size), crc))
      return refused(Errc::bad_checksum);
  }
  if (at_start.size() < fcs_at + check_size) return incomplete();
  crc.add(at_start.subspan(header_end, fcs_at - header_end));
  if (!check_matches(at_start.subspan(fcs_at, check_size), crc)) return refused(Errc::bad_checksum);
  return frame(fcs_at + check_size, at_start.subspan(1, fcs_at - 1));
}

}  // namespace

Scan scan_hdlc(Bytes received, std::size_t starts_before) noexcept {
  return search<hdlc_flag, true, examine>(received, starts_before);
}

}  // namespace meter::link
