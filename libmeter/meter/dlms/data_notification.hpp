// SPDX-License-Identifier: Apache-2.0
// DataNotification: from a clear APDU to registers.
#pragma once

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/reading.hpp"

namespace meter::dlms {

/// Tag of the DataNotification APDU (Green Book 9.5).
inline constexpr std::uint8_t tag_data_notification = 0x0f;

/// Decodes a whole clear DataNotification (tag 0F) into `out` (readings, time, meter_id, profile);
/// the link and security facts in `out` are left alone, and `out.system_title` may be used as the
/// last resort for meter_id. `out`'s views point into `apdu`. Recursion is bounded, nothing is
/// allocated, and octets left over after the body are refused.
/// Faults: truncated, malformed, nesting_too_deep, too_many_elements, oversize (a string), and
/// list_unknown (the structure is sound but no rule knows its meaning); the offset is in `apdu`.
/// After a fault nothing of the telegram is in `out`. See libmeter/doc/axdr.md and cosem-lists.md.
/// `observer` (may be null) is told the date-time form, the list's shape and the rule that fits it;
/// `observer_offset` is the stream offset of `apdu`.
Result<void> decode_data_notification(Bytes apdu, ReadingSet& out, DecodeObserver* observer,
                                      std::uint64_t observer_offset) noexcept;

}  // namespace meter::dlms
