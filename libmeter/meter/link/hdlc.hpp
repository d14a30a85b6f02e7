// SPDX-License-Identifier: Apache-2.0
// HDLC link layer (ISO/IEC 13239 as IEC 62056-46 uses it): frame format type 3.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"

namespace meter::link {

inline constexpr std::byte hdlc_flag{0x7e};

/// The length field has 11 bits and counts everything between the flags.
inline constexpr std::size_t hdlc_frame_size_max = 2047 + 2;

/// The scan function of Link::hdlc; see `Scan`.
Scan scan_hdlc(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
