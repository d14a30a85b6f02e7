// SPDX-License-Identifier: Apache-2.0
// M-Bus link layer (EN 13757-2, format class FT1.2 of IEC 60870-5-1): what is pushed, and what a
// master hears.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"

namespace meter::link {

/// 68 L L 68 | L octets | sum | 16. A first fragment may be longer than L can say (see
/// libmeter/doc/mbus-link.md): at most 256 + 2 octets.
inline constexpr std::size_t mbus_frame_size_max = 258 + 6;

struct Candidate;
/// What stands at a 68 (search.hpp).
Candidate examine_long_frame(Bytes at_start) noexcept;

/// The scan function of Link::mbus; see `Scan`. Long and control frames.
Scan scan_mbus(Bytes received, std::size_t starts_before = everywhere) noexcept;

/// The scan function of Link::mbus_master: short frames (an echo of what was asked; payload: C A)
/// and E5 (payload: itself) as well. One octet proves nothing: such a link is configured.
Scan scan_mbus_master(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
