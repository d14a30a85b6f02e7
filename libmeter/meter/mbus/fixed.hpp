// SPDX-License-Identifier: Apache-2.0
// The fixed data structure of EN 1434-3: two counters (CI 73 and 77).
#pragma once

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

namespace meter::mbus {

/// Reads number(4) access(1) status(1) units(2) counter(4) counter(4): id, medium and two records.
/// Errc::truncated. Offsets count from the first octet of `data`.
Result<void> read_fixed(Bytes data, bool high_octet_first, ReadingSet& out) noexcept;

}  // namespace meter::mbus
