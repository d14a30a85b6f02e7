// SPDX-License-Identifier: Apache-2.0
// Data readouts of IEC 62056-21: from data lines to registers.
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/decode_observer.hpp"
#include "meter/reading.hpp"

namespace meter::iec62056 {

/// Reads `[/XXXZ… CR LF] data lines [!]`, characters of seven bits (libmeter/doc/iec62056-21.md):
/// every value a register with its code as printed in `details`, number and clock of the meter from
/// the codes that say them; the identification is the meter's id where no line has one. Texts are
/// views into `message`. Refuses what holds no value: `list_unknown` where the meter answered with
/// an error ("(ER01)"), `truncated` where nothing is in it, `too_many_elements` beyond
/// ReadingSet::readings_max.
Result<void> decode_data_readout(Bytes message, ReadingSet& out, DecodeObserver* observer,
                                 std::uint64_t observer_offset) noexcept;

}  // namespace meter::iec62056
