// SPDX-License-Identifier: Apache-2.0
// Fields: what stands in the values and keys of messages: exact numbers, units, times, codes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "meter/base/decimal.hpp"
#include "meter/date_time.hpp"
#include "meter/obis.hpp"
#include "meter/unit.hpp"
#include "meter_json/document.hpp"

namespace meter::json {

/// A number with the unit that was written behind it.
struct Measured {
  Decimal value;
  std::string_view unit;  ///< "kWh"; empty: none was written
};

/// A token of RFC 8259's grammar, digit by digit: "1.50e3" → 150 × 10^1. Nothing where 18 digits or
/// exponents of ±30 do not hold it.
std::optional<Decimal> parse_number(std::string_view token) noexcept;
/// A number, or text that begins with one: "1.23 kWh". Nothing for anything else.
std::optional<Measured> measured(const Node& node) noexcept;
/// Hex digits of any width, no prefix, to 64 bits; nothing for anything else.
std::optional<std::uint64_t> parse_hex(std::string_view digits) noexcept;

/// "2022-11-07T09:20:08Z", "…+01:00", "2020-10-06 20:53:16" (without a zone the deviation stays
/// unspecified); fractions of seconds are passed over.
std::optional<DateTime> parse_time(std::string_view text) noexcept;
/// Seconds since 1970-01-01 in UTC.
std::optional<DateTime> time_of_epoch(std::int64_t seconds) noexcept;
/// Text of a time, or seconds since 1970 as a number.
std::optional<DateTime> time_of(const Node& node) noexcept;

/// A key that is a code: "1-0:32.7.0", "1.8.0", "1_8_0", "1-0_1_8_0"; without A and B: electricity.
std::optional<Obis> obis_of_key(std::string_view key) noexcept;

/// ASCII letters alone.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;
/// A text that can name a meter: printable, not too long, none of the words that gateways print
/// while they do not know it ("---", "EMPTY", "not available").
bool is_identity(std::string_view text) noexcept;

}  // namespace meter::json
