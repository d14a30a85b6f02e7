// SPDX-License-Identifier: Apache-2.0
// SML transport protocol, version 1 (SML 1.03, 8): an escape sequence, messages, a CRC.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"

namespace meter::link {

/// From the first octet of the start to the CRC. Meters send 200 to 530 octets; a gateway that
/// tells of several meters sends more. Nobody announces a length, so this bounds what is waited
/// for.
inline constexpr std::size_t sml_frame_size_max = 8 * 1024;

/// The scan function of Link::sml; see `Scan`.
Scan scan_sml(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
