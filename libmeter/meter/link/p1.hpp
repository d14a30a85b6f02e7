// SPDX-License-Identifier: Apache-2.0
// P1 (DSMR, eMUCS, SMARTY, H1 …): ASCII telegrams with CRC-16, and ciphered ones.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"
#include "meter/p1_text.hpp"

namespace meter::link {

inline constexpr std::size_t p1_frame_size_max = p1_size_max;

/// The scan function of Link::p1; see `Scan`. Payloads:
///   '/' up to and without '!': a telegram whose CRC is right;
///   '/' to '!': one that has no CRC, every line of it sound (not proven);
///   DB 08 …: general-glo-ciphering (SMARTY, Steiermark), whose clear text has a CRC (not proven);
///   00 length …: the same without DB and system title, CRC around it right (Poland).
Scan scan_p1(Bytes received, std::size_t starts_before = everywhere) noexcept;
/// The same where no more bytes follow: the last line end may be missing.
Scan scan_p1_rest(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
