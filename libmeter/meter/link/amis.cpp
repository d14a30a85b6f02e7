// SPDX-License-Identifier: Apache-2.0
// AMIS frames: 10 40 F0 30 16, and long frames with C 53 or 73, address F0, CI 5B.
#include "meter/link/amis.hpp"

#include <algorithm>

#include "meter/link/mbus.hpp"
#include "meter/link/search.hpp"

namespace meter::link {
namespace {

constexpr std::byte reset_frame[] = {std::byte{0x10}, std::byte{0x40}, std::byte{0xf0},
                                     std::byte{0x30}, std::byte{0x16}};
constexpr std::byte start_octet{0x68}, reader_address{0xf0}, command{0x5b};
constexpr unsigned send_user_data = 0x53, frame_count_bit = 0x20;
constexpr std::size_t header_size = 4;
constexpr std::size_t length_min = 15;  // C, A, CI and the header of twelve octets

Candidate examine_reset(Bytes at_start) noexcept {
  const std::size_t known = std::min(at_start.size(), std::size(reset_frame));
  if (!std::equal(reset_frame, reset_frame + known, at_start.begin())) return no_candidate();
  if (known < std::size(reset_frame)) return incomplete();
  return frame(known, at_start.subspan(1, 2));
}

Candidate examine(Bytes at_start) noexcept {
  if (at_start.front() == reset_frame[0]) return examine_reset(at_start);
  if (at_start.front() != start_octet) return no_candidate();
  if (at_start.size() < header_size + 3) return incomplete();
  const std::size_t length = u8(at_start[1]);
  if (at_start[3] != start_octet || (u8(at_start[4]) & ~frame_count_bit) != send_user_data ||
      at_start[5] != reader_address || at_start[6] != command)
    return no_candidate();
  if (length < length_min) return refused(Errc::bad_length);
  return examine_long_frame(at_start);
}

}  // namespace

Scan scan_amis(Bytes received, std::size_t starts_before) noexcept {
  return search_each<examine>(received, starts_before);
}

}  // namespace meter::link
