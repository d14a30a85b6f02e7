// SPDX-License-Identifier: Apache-2.0
// The numbers of data records: binary, BCD, real32, exactly as sent.
#pragma once

#include <optional>

#include "meter/base/decimal.hpp"
#include "meter/mbus/record.hpp"

namespace meter::mbus {

/// How a message orders and signs its numbers.
struct NumberFormat {
  bool high_octet_first = false;  ///< CI 76 and 77 (mode 2 of EN 1434-3)
  bool is_unsigned = false;       ///< 32-bit integers are counters (AMIS)
};

/// The number of a record, without its VIF's scale. Nothing where the data are no number: text,
/// octets, digits A to F of a BCD (an error display), real32 that is not finite, and the lowest
/// binary number, which says that the value is not valid (type B).
std::optional<Decimal> number_of(const Record& record, NumberFormat format) noexcept;

/// Two's complement of 1 to 8 octets, low octet first.
std::int64_t signed_number(Bytes octets) noexcept;
/// Packed digits of 1 to 9 octets, low octet first; a highest digit F is the minus sign.
std::optional<std::int64_t> bcd_number(Bytes octets) noexcept;
/// IEEE 754 single precision, low octet first, with the nine digits that tell any two apart.
std::optional<Decimal> real_number(Bytes octets) noexcept;

}  // namespace meter::mbus
