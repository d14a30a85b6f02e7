// SPDX-License-Identifier: Apache-2.0
// What a Siemens AMIS meter sends to the reader at address F0: SND_NKE and SND_UD of EN 13757-2.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"

namespace meter::link {

/// 68 L L 68 | L octets | sum | 16.
inline constexpr std::size_t amis_frame_size_max = 255 + 6;

/// The scan function of Link::amis; see `Scan`. Frames for other addresses, and other commands
/// than these two, are none. Payload: C field to the last octet of user data; C and A of SND_NKE.
Scan scan_amis(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
