// SPDX-License-Identifier: Apache-2.0
// A DSMR 5 telegram made from any meter's readings, for programs that read nothing but P1.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "meter/base/decimal.hpp"
#include "meter/date_time.hpp"
#include "meter/reading.hpp"

namespace meter::p1 {

/// A named reading in its canonical unit (meter/quantity.hpp).
struct P1Value {
  std::string_view name;
  Decimal value;
};

/// A meter behind the meter. Energy of electricity, heat and cooling is read from "energy" (kWh),
/// everything else from "volume" (m³); without that value the meter is left out.
struct P1SubMeter {
  std::uint8_t channel = 0;  ///< 1 to 9; others are left out
  Medium medium = Medium::unknown;
  std::string_view id;                   ///< may be empty
  std::optional<DateTime> capture_time;  ///< nothing: the telegram's time stands in
  std::span<const P1Value> values;
};

/// What a telegram is made of. Views are read during the call only.
struct P1Content {
  std::string_view meter_id;  ///< the line is left out where it is empty
  /// Local time, with its deviation; summer time is said by bit 7 of `status`.
  DateTime time;
  std::span<const P1Value> values;
  std::span<const P1SubMeter> sub_meters;
};

/// The identification of every synthetic telegram, behind '/'.
inline constexpr std::string_view synthetic_identification = "SMD5\\2smartmeterd";

/// Replaces `out` by the telegram, from '/' to the line end behind its CRC. Allocates only while
/// `out` grows. What is written in place of what the meter does not send, and what is left out:
/// libmeter/doc/p1.md, "Synthetic telegrams".
void write_telegram(const P1Content& content, std::string& out);

}  // namespace meter::p1
