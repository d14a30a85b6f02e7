// SPDX-License-Identifier: Apache-2.0
// SML files (SML 1.03, 7): messages of a meter's push, and the registers in them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

namespace meter {
class DecodeObserver;
}

namespace meter::sml {

/// Messages of one file: a meter sends three, a gateway one more for every meter.
inline constexpr unsigned messages_max = 64;

/// The file begins with a message: a list of six elements.
bool begins_file(Bytes file) noexcept;

/// One file becomes one telegram: every register of its GetList responses. The meter is the one
/// that the first of them names; those of other servers become `sub_meters`. `out.profile` is the
/// vendor rule that applied, or "sml". Integers are big-endian; value × 10^scaler in the COSEM
/// unit that was sent. Texts and octet strings are views into `file`.
///
/// `out` has been cleared; its content is only good when there is no fault. Faults: truncated,
/// malformed, oversize (a head of more than three octets), too_many_elements, bad_checksum (a
/// message's own CRC is neither X-25 nor Kermit), unsupported_apdu (no GetList response),
/// list_unknown (none of its entries has a value); the offset is in `file`.
Result<void> decode_file(Bytes file, ReadingSet& out, DecodeObserver* observer,
                         std::uint64_t observer_offset) noexcept;

}  // namespace meter::sml
