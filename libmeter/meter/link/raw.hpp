// SPDX-License-Identifier: Apache-2.0
// A bare APDU stream: no delimiter, no checksum.
#pragma once

#include <cstddef>

#include "meter/link/link_layer.hpp"

namespace meter::link {

/// What no telegram exceeds.
inline constexpr std::size_t raw_frame_size_max = 16 * 1024;

/// The scan function of Link::raw; see `Scan`. An APDU must stand at the front, perhaps behind an
/// LLC header: what has no checksum is not searched for.
Scan scan_raw(Bytes received, std::size_t starts_before = everywhere) noexcept;
/// The same at the end of input: a DataNotification reaches to it.
Scan scan_raw_rest(Bytes received, std::size_t starts_before = everywhere) noexcept;

}  // namespace meter::link
