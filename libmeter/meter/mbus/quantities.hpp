// SPDX-License-Identifier: Apache-2.0
// The code of a record's quantity: OBIS for electricity meters, our own for the others.
#pragma once

#include "meter/mbus/record.hpp"
#include "meter/mbus/vif.hpp"
#include "meter/obis.hpp"

namespace meter::mbus {

/// The code of the meter's current value; `Obis{}` for history, maxima, other subunits, what has
/// no name, and what a VIFE makes another thing.
Obis code_of(const Record& record, const ValueInformation& information,
             bool is_electricity) noexcept;

}  // namespace meter::mbus
