// SPDX-License-Identifier: Apache-2.0
// QuarterHour: what is kept of one meter over a quarter hour.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/decimal.hpp"
#include "meter/quantity.hpp"

namespace smartmeterd::history {

inline constexpr std::int64_t quarter_s = 900;

/// Start of the quarter hour that a moment (µs of CLOCK_REALTIME) is in, seconds since the epoch.
/// Every zone's midnight of today is the start of one.
std::int64_t quarter_of(std::int64_t realtime_us) noexcept;

/// Of energy and volume registers the last value; of each power (W) and voltage (V) the smallest,
/// largest and mean one.
struct QuarterHour {
  struct Column {
    std::string name;
    bool is_counter = false;  ///< has `last`, otherwise `min`, `max` and `sum`
    std::uint32_t count = 0;  ///< readings; 0: there was none
    meter::Decimal last;
    meter::Decimal min;
    meter::Decimal max;
    meter::Decimal sum;

    void take(const meter::Decimal& value);
    void merge(const Column& later);
  };

  std::string meter;         ///< its id
  std::int64_t start_s = 0;  ///< since the epoch
  std::uint32_t telegrams = 0;
  std::vector<Column> columns;

  /// One telegram more.
  void take(const meter::NamedReadings& readings);
  /// What came later in the same quarter hour, or in the same row of an answer.
  void merge(const QuarterHour& later);
  /// The column of that name, probably at `hint`; null: there is none.
  Column* find(std::string_view name, std::size_t hint) noexcept;
};

/// "[12345.678,[0,1200,98765,360],null]": JSON, in the order of `names`. A register's value, exact;
/// smallest, largest, sum and number of a power or voltage; null where there was none.
std::string payload_of(const QuarterHour& row, std::span<const std::string> names);
/// The reverse: a column for each name. False where the text is something else.
bool read_payload(std::string_view payload, std::span<const std::string> names, QuarterHour& row);

}  // namespace smartmeterd::history
