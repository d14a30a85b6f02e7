// SPDX-License-Identifier: Apache-2.0
// P1 telegrams of all countries, and mode D pushes of IEC 62056-21: from lines to registers.
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/reading.hpp"

namespace meter::p1 {

/// The clear text of a ciphered telegram begins so: '/' and three letters.
bool plausible_telegram(Bytes message) noexcept;

/// Reads a telegram into `out`, whose `authentication` says how it came:
///   clear: the link layer's payload, '/' up to '!', with the '!' where it had no CRC;
///   else:  a deciphered text, '!' and CRC included, which are checked here.
/// Registers keep what the line says (ids and text messages in hex digits, as sent); `meter_id` and
/// the ids of `sub_meters` are decoded. A line that breaks the grammar is left out and explained
/// where a CRC was right; without a CRC it refuses the telegram.
/// A telegram without CRC and without any of DSMR's own codes is a mode D push: `out.link` is
/// iec62056_21 then. Date-times have no offset: the caller knows the zone.
/// Texts are views into `message`. Faults: bad_checksum, malformed, truncated, too_many_elements;
/// nothing is left in `out.readings` then.
Result<void> decode_telegram(Bytes message, ReadingSet& out, DecodeObserver* observer,
                             std::uint64_t observer_offset) noexcept;

}  // namespace meter::p1
