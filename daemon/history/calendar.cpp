// SPDX-License-Identifier: Apache-2.0
// Calendar: days, weeks and months of a place, with its summer time. By Abseil, which also knows
// the years for which the zone database has but a rule: those after 2037, or all where its files
// are "slim".
#include "daemon/history/calendar.hpp"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>

#include <utility>

#include "daemon/zone.hpp"

namespace smartmeterd::history {

namespace {

absl::CivilDay first_day(absl::CivilDay day, Period period) {
  switch (period) {
    case Period::day:
      return day;
    case Period::week:
      return absl::PrevWeekday(day + 1, absl::Weekday::monday);
    case Period::month:
      return absl::CivilDay(absl::CivilMonth(day));
  }
  return day;
}

absl::CivilDay first_day_after(absl::CivilDay first, Period period) {
  switch (period) {
    case Period::day:
      return first + 1;
    case Period::week:
      return first + 7;
    case Period::month:
      return absl::CivilDay(absl::CivilMonth(first) + 1);
  }
  return first + 1;
}

}  // namespace

struct Calendar::Zone {
  absl::TimeZone zone;

  /// Midnight; where a clock skips it, the moment at which it does. Where there are two, the first
  /// one, or that after `time`: in some places the evening before came back for a while.
  std::int64_t begin_of(absl::CivilDay day, std::int64_t after) const {
    const absl::TimeZone::TimeInfo info = zone.At(absl::CivilSecond(day));
    if (info.kind == absl::TimeZone::TimeInfo::SKIPPED) return absl::ToUnixSeconds(info.trans);
    const std::int64_t first = absl::ToUnixSeconds(info.pre);
    return first > after ? first : absl::ToUnixSeconds(info.post);
  }
};

Calendar::Calendar(std::unique_ptr<Zone> zone, Period period)
    : zone_(std::move(zone)), period_(period) {}
Calendar::~Calendar() = default;
Calendar::Calendar(Calendar&&) noexcept = default;
Calendar& Calendar::operator=(Calendar&&) noexcept = default;

std::expected<Calendar, std::string> Calendar::of(std::string_view name, Period period) {
  auto zone = std::make_unique<Zone>();
  if (name.empty())
    zone->zone = absl::LocalTimeZone();
  else if (name.size() > zone_name_max)
    return std::unexpected("a time zone's name has at most " + std::to_string(zone_name_max) +
                           " characters, expected one such as \"Europe/Vienna\"");
  // Abseil never forgets a name that it was asked for, were it wrong.
  else if (!(has_zone(name) || name == "UTC") ||
           !absl::LoadTimeZone(std::string(name), &zone->zone))
    return std::unexpected("no time zone \"" + std::string(name) +
                           "\" here, expected one such as \"Europe/Vienna\"");
  return Calendar(std::move(zone), period);
}

Calendar::Span Calendar::around(std::int64_t time_s) const {
  const absl::CivilDay day(zone_->zone.At(absl::FromUnixSeconds(time_s)).cs);
  const absl::CivilDay first = first_day(day, period_);
  return {zone_->begin_of(first, INT64_MIN),
          zone_->begin_of(first_day_after(first, period_), time_s)};
}

}  // namespace smartmeterd::history
