// SPDX-License-Identifier: Apache-2.0
// SML transport, version 1: 1B1B1B1B 01010101 | messages, fill | 1B1B1B1B 1A fill-count CRC.
#include "meter/link/sml.hpp"

#include <algorithm>
#include <cstring>

#include "meter/base/crc.hpp"
#include "meter/link/search.hpp"

namespace meter::link {
namespace {

constexpr std::byte escape_octet{0x1b};
constexpr std::byte version_octet{0x01};
constexpr std::byte end_octet{0x1a};
constexpr std::size_t group_size = 4;  // escape sequences and what they announce
constexpr std::size_t start_size = 2 * group_size;
/// Up to three octets of 00 fill the last group; one firmware of DZG fills a whole one.
constexpr std::size_t fill_max = 4;

constexpr std::byte start[start_size] = {escape_octet,  escape_octet,  escape_octet,
                                         escape_octet,  version_octet, version_octet,
                                         version_octet, version_octet};

std::size_t find_escape_octet(Bytes octets, std::size_t from) noexcept {
  const void* found =
      std::memchr(octets.data() + from, static_cast<int>(escape_octet), octets.size() - from);
  if (found == nullptr) return octets.size();
  return static_cast<std::size_t>(static_cast<const std::byte*>(found) - octets.data());
}

/// Of a run of so many 1B the last four are an escape sequence. Four of the content are sent as
/// eight, and content may end with up to three before an escape sequence.
constexpr bool ends_with_escape(std::size_t run) noexcept {
  return run % (2 * group_size) >= group_size;
}

/// 1A, the number of fill octets, CRC-16/X-25 over everything before it, low octet first.
Candidate end_of(Bytes at_start, std::size_t end_at) noexcept {
  if (at_start.size() < end_at + group_size) return incomplete();
  const std::size_t check_at = end_at + 2;
  const unsigned check = u8(at_start[check_at]) | u8(at_start[check_at + 1]) << 8;
  if (Crc16X25().add(at_start.first(check_at)).value() != check) return refused(Errc::bad_checksum);
  const std::size_t fill = u8(at_start[end_at + 1]);
  const Bytes content = at_start.subspan(start_size, end_at - group_size - start_size);
  if (fill > fill_max || fill > content.size()) return refused(Errc::bad_length);
  return frame(end_at + group_size, content.first(content.size() - fill));
}

Candidate examine(Bytes at_start) noexcept {
  const std::size_t known = std::min(at_start.size(), start_size);
  if (!std::equal(start, start + known, at_start.begin())) return no_candidate();
  if (known < start_size) return incomplete();
  const Bytes seen = at_start.first(std::min(at_start.size(), sml_frame_size_max));
  const Candidate unfinished =
      seen.size() < sml_frame_size_max ? incomplete() : refused(Errc::oversize);
  for (std::size_t at = start_size;;) {
    const std::size_t run_at = at = find_escape_octet(seen, at);
    while (at < seen.size() && seen[at] == escape_octet) ++at;
    if (at == seen.size()) return unfinished;
    if (!ends_with_escape(at - run_at)) continue;
    if (seen[at] == end_octet) {
      const Candidate end = end_of(seen, at);
      return end.verdict == Candidate::Verdict::incomplete ? unfinished : end;
    }
    // Another start: this one's end was lost. Anything else is four 1B that were not doubled.
    const Bytes next = seen.subspan(at, std::min(group_size, seen.size() - at));
    const bool starts = std::ranges::all_of(next, [](std::byte o) { return o == version_octet; });
    if (!starts) continue;
    return next.size() == group_size ? refused(Errc::bad_length) : unfinished;
  }
}

}  // namespace

Scan scan_sml(Bytes received, std::size_t starts_before) noexcept {
  return search<escape_octet, false, examine>(received, starts_before);
}

}  // namespace meter::link
