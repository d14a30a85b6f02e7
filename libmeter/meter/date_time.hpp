// SPDX-License-Identifier: Apache-2.0
// DateTime: what a meter's clock said, with what it left unsaid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "meter/base/bytes.hpp"

namespace meter {

/// A meter's local time. `deviation` is COSEM's: minutes from local time to UTC, negative east of
/// Greenwich (UTC = local + deviation; CEST = −120).
struct DateTime {
  static constexpr std::int16_t deviation_unspecified = -0x8000;

  std::uint16_t year = 0;
  std::uint8_t month = 0, day = 0, hour = 0, minute = 0, second = 0;
  std::uint8_t hundredths = 0xff;  ///< 0xff: not specified
  std::int16_t deviation = deviation_unspecified;
  std::uint8_t status = 0xff;      ///< COSEM clock status; bit 7 = daylight saving; ff unspecified
  bool is_date = false;            ///< a day without a time (M-Bus type G); the time is midnight

  friend constexpr bool operator==(const DateTime&, const DateTime&) = default;

  /// 12 octets: year(2) month day weekday hour minute second hundredths deviation(2) status
  /// (Blue Book 4.1.6.1). Nothing if date or time is unspecified or impossible, or the deviation
  /// is beyond ±1440 minutes.
  static std::optional<DateTime> from_cosem(Bytes octets) noexcept;
  /// "210204163628W": DSMR P1 TST, W winter, S summer; without the letter in DSMR 2.2 and 3;
  /// "20210204 16:36:28" of NES. The deviation stays unspecified.
  static std::optional<DateTime> from_p1(std::string_view text) noexcept;

  /// Seconds since the epoch, shown at `deviation`. The year must be within 1970 to 2199.
  static DateTime from_epoch(std::int64_t seconds, std::int16_t deviation = 0) noexcept;
  /// With the deviation that follows from standard time's minutes east of Greenwich, where the
  /// clock told summer (one hour more) from winter and gave no deviation; else the same.
  DateTime with_standard_offset(std::optional<std::int16_t> minutes) const noexcept;
  /// Types G (2 octets, a date), F (4) and I (6) of EN 13757-3 annex A, low octet first. Nothing if
  /// the meter marked it invalid, or if it is a pattern ("every month") or impossible.
  static std::optional<DateTime> from_mbus(Bytes octets) noexcept;

  static constexpr std::size_t text_size_max = 32;
  /// "2021-09-27T09:47:15+02:00"; without an offset when the deviation is unspecified, "2021-09-27"
  /// for a date.
  std::string_view to_text(std::span<char> buffer) const noexcept;
  /// Microseconds since the epoch; nothing when the deviation is unspecified.
  std::optional<std::int64_t> to_epoch_us() const noexcept;
};

}  // namespace meter
