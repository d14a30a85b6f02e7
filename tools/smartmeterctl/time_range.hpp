// SPDX-License-Identifier: Apache-2.0
// TimeRange: which part of the past a person asks for, and in which rows.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/smartmeterctl/local_time.hpp"

namespace smartmeterctl {

/// How long a row is: so many seconds, or a day, week (from Monday) or month of the calendar.
struct Step {
  enum class Kind { seconds, day, week, month } kind = Kind::seconds;
  std::chrono::seconds length{0};  ///< of Kind::seconds: a multiple of the stored quarter hour
  friend bool operator==(const Step&, const Step&) = default;
};
inline constexpr std::chrono::minutes quarter_hour{15};
inline constexpr Step each_quarter{Step::Kind::seconds, quarter_hour};
inline constexpr Step each_hour{Step::Kind::seconds, std::chrono::hours(1)};
inline constexpr Step each_day{Step::Kind::day}, each_week{Step::Kind::week},
    each_month{Step::Kind::month};

/// Where the day, week or month begins that this instant is in; of seconds the instant itself.
Instant row_begin(Instant instant, const Step& step);
/// Where the last row of the calendar ends that begins before this instant; of seconds the instant.
Instant whole_end(Instant instant, const Step& step);
/// Where the row ends that begins at, or contains, this instant; rows of seconds begin at `origin`.
Instant row_end(Instant instant, const Step& step, Instant origin);
/// "hour", "day", "30 min", "6 h"
std::string step_text(const Step& step);

struct TimeRange {
  Instant from, to;  ///< up to, not including; the last row of seconds may be shorter
  Step step;
  std::string title;  ///< "Fri 2026-11-27", "November 2026", "2026-11-20 14:00 to 2026-11-21 06:00"
};

/// What the command line says; each is empty where it was not given.
struct RangeOptions {
  std::optional<std::string> day, week, month, year;  ///< "": the one that is now
  std::string from, to, step, zone;

  void add_to(CLI::App& command);
  /// The meter's name where an option that may be followed by a date took it for one: "--day
  /// HOUSE".
  std::string take_meter();
};

/// Throws UsageError, with what is expected.
TimeRange range_of(const RangeOptions& options, Instant now);

/// What every --help says of the range.
extern const char* const range_help;

}  // namespace smartmeterctl
