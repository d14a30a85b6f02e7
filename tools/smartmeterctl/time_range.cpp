// SPDX-License-Identifier: Apache-2.0
// Reads days, times and steps as people write them.
#include "tools/smartmeterctl/time_range.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {

using namespace std::chrono;

const char* const range_help =
    R"(DATE is a day ("2026-10-25", "today", "yesterday"), a month ("2026-10"), a year ("2026"),
or so much ago: "-7d", "-2w", "-3month", "-1y", each the whole day that was then. TIME is that
too, or "14:30" of today, "2026-10-25 14:30", with an offset where the clock shows it twice
("2026-10-25T02:30+01:00"), "now", "-90min" or "-36h". A DATE after --to is still part of what
is shown. Days, weeks (from Monday) and months are those of the calendar, with 23 or 25 hours
where the clock changes; --zone sets whose.)";

namespace {

/// What one DATE or TIME names; an instant is an empty one.
struct Interval {
  Instant begin, end;
};

Interval day_at(local_days day) {
  return {midnight_of(day), midnight_of(day + days(1))};
}

/// The whole of `text` as a number of `size` digits; any number of up to 6 where `size` is 0.
std::optional<int> number(std::string_view text, std::size_t size) {
  int value = 0;
  const char* const end = text.data() + text.size();
  if (text.empty() || text.size() > 6 || (size != 0 && text.size() != size)) return std::nullopt;
  for (const char c : text)
    if (c < '0' || c > '9') return std::nullopt;
  return std::from_chars(text.data(), end, value).ptr == end ? std::optional(value) : std::nullopt;
}

/// "2026-10-25"
std::optional<local_days> read_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto y = number(text.substr(0, 4), 4), m = number(text.substr(5, 2), 2),
             d = number(text.substr(8), 2);
  if (!y || !m || !d) return std::nullopt;
  const year_month_day date =
      year(*y) / month(static_cast<unsigned>(*m)) / day(static_cast<unsigned>(*d));
  return date.ok() ? std::optional(local_days(date)) : std::nullopt;
}

/// "2026-10" or "2026": its first day and the day after its last one.
std::optional<std::pair<local_days, local_days>> read_month_or_year(std::string_view text) {
  const auto y = number(text.substr(0, 4), 4);
  if (!y) return std::nullopt;
  const local_days new_year(year(*y) / 1 / 1);
  if (text.size() == 4) return std::pair(new_year, plus_months(new_year, months(12)));
  if (text.size() != 7 || text[4] != '-') return std::nullopt;
  const auto m = number(text.substr(5), 2);
  if (!m || *m < 1 || *m > 12) return std::nullopt;
  const local_days first = plus_months(new_year, months(*m - 1));
  return std::pair(first, plus_months(first, months(1)));
}

/// "2026-W43": its Monday (ISO 8601: the first week has the year's first Thursday).
std::optional<local_days> read_week(std::string_view text) {
  if (text.size() != 8 || text.substr(4, 2) != "-W") return std::nullopt;
  const auto y = number(text.substr(0, 4), 4), w = number(text.substr(6), 2);
  if (!y || !w || *w < 1) return std::nullopt;
  const auto first_of = [](int of) { return monday_of(local_days(year(of) / 1 / 4)); };
  const local_days found = first_of(*y) + weeks(*w - 1);
  return found < first_of(*y + 1) ? std::optional(found) : std::nullopt;
}

/// "14:30" or "14:30:05"
std::optional<seconds> read_clock(std::string_view text) {
  if ((text.size() != 5 && text.size() != 8) || text[2] != ':') return std::nullopt;
  const auto h = number(text.substr(0, 2), 2), m = number(text.substr(3, 2), 2);
  auto s = std::optional(0);
  if (text.size() == 8) s = text[5] == ':' ? number(text.substr(6), 2) : std::nullopt;
  const bool is_good = h && m && s && *m < 60 && *s < 60 && (*h < 24 || (*h == 24 && *m + *s == 0));
  return is_good ? std::optional(hours(*h) + minutes(*m) + seconds(*s)) : std::nullopt;
}

/// "Z", "+01:00", "+0100"
std::optional<seconds> read_offset(std::string_view text) {
  if (text == "Z") return seconds(0);
  if (text.size() < 5 || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const auto h = number(text.substr(1, 2), 2);
  const auto m = number(text.substr(text.size() == 6 && text[3] == ':' ? 4 : 3), 2);
  if (!h || !m || *h > 14 || *m > 59) return std::nullopt;
  const seconds offset = hours(*h) + minutes(*m);
  return text[0] == '-' ? -offset : offset;
}

/// "2026-10-25 14:30", "2026-10-25T02:30:00+01:00"
std::optional<Instant> read_day_and_clock(std::string_view text, Twice twice) {
  if (text.size() < 16 || (text[10] != ' ' && text[10] != 'T')) return std::nullopt;
  const auto day = read_day(text.substr(0, 10));
  const std::size_t zone = std::min(text.find_first_of("Z+-", 11), text.size());
  const auto clock = read_clock(text.substr(11, zone - 11));
  if (!day || !clock) return std::nullopt;
  if (zone == text.size()) return instant_of(Local(*day) + *clock, twice);
  const auto offset = read_offset(text.substr(zone));
  if (!offset) return std::nullopt;
  return Instant((Local(*day) + *clock).time_since_epoch()) - *offset;
}

/// "-7d", "-36h"
std::optional<Interval> read_ago(std::string_view text, Instant now) {
  if (text.size() < 3 || text[0] != '-') return std::nullopt;
  const std::size_t unit_at = std::min(text.find_first_not_of("0123456789", 1), text.size());
  const auto count = number(text.substr(1, unit_at - 1), 0);
  const std::string_view unit = text.substr(unit_at);
  if (!count) return std::nullopt;
  const auto is = [unit](std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, unit) != names.end();
  };
  if (is({"min", "minute", "minutes"}))
    return Interval{now - minutes(*count), now - minutes(*count)};
  if (is({"h", "hour", "hours"})) return Interval{now - hours(*count), now - hours(*count)};
  const local_days today = floor<days>(local_of(now));
  constexpr int months_max = 12 * 1000;
  if (is({"d", "day", "days"})) return day_at(today - days(*count));
  if (is({"w", "week", "weeks"})) return day_at(today - weeks(std::min(*count, months_max)));
  if (is({"month", "months"}))
    return day_at(plus_months(today, -months(std::min(*count, months_max))));
  if (is({"y", "year", "years"}))
    return day_at(plus_months(today, -months(std::min(*count, months_max / 12) * 12)));
  return std::nullopt;
}

std::optional<Interval> read_moment(std::string_view text, Instant now, Twice twice) {
  const auto at = [](Instant instant) { return Interval{instant, instant}; };
  const local_days today = floor<days>(local_of(now));
  if (text == "now") return at(now);
  if (text == "today") return day_at(today);
  if (text == "yesterday") return day_at(today - days(1));
  if (const auto ago = read_ago(text, now)) return ago;
  if (const auto day = read_day(text)) return day_at(*day);
  if (const auto clock = read_clock(text)) return at(instant_of(Local(today) + *clock, twice));
  if (const auto instant = read_day_and_clock(text, twice)) return at(*instant);
  if (const auto month = read_month_or_year(text))
    return Interval{midnight_of(month->first), midnight_of(month->second)};
  return std::nullopt;
}

[[noreturn]] void refuse(std::string_view option, std::string_view text,
                         std::string_view expected) {
  throw UsageError(fmt::format("{}: \"{}\" is not {}", option, text, expected));
}

/// A day, however it was written; for --week also "2026-W43".
local_days day_of(std::string_view option, const std::string& text, Instant now,
                  std::string_view expected) {
  if (text.empty()) return floor<days>(local_of(now));
  if (const auto week = read_week(text); week && option == "--week") return *week;
  const auto found = read_moment(text, now, Twice::first);
  if (!found || found->begin == found->end) refuse(option, text, expected);
  const bool is_day = found->end - found->begin < days(2);
  const bool is_month = found->end - found->begin < days(32);
  if ((option == "--day" || option == "--week") && !is_day) refuse(option, text, expected);
  if (option == "--month" && !is_month) refuse(option, text, expected);
  return floor<days>(local_of(found->begin));
}

std::string month_text(local_days day) {
  constexpr std::array<const char*, 12> names{"January",   "February", "March",    "April",
                                              "May",       "June",     "July",     "August",
                                              "September", "October",  "November", "December"};
  const year_month_day date(day);
  return fmt::format("{} {}", names[static_cast<unsigned>(date.month()) - 1],
                     static_cast<int>(date.year()));
}

/// "2026-11-20" at midnight, else "2026-11-20 14:30".
std::string moment_text(Instant instant) {
  const local_days day = floor<days>(local_of(instant));
  if (instant == midnight_of(day)) return date_text(day);
  return fmt::format("{} {}{}", date_text(day), clock_text(instant),
                     comes_twice(instant) ? " " + zone_abbreviation(instant) : "");
}

/// "2026-11-20 to 2026-11-22" with the last day that is part of it, or with times.
std::string title_of(Instant from, Instant to) {
  const bool is_of_days = from == midnight_of(floor<days>(local_of(from))) &&
                          to == midnight_of(floor<days>(local_of(to)));
  if (!is_of_days) return fmt::format("{} to {}", moment_text(from), moment_text(to));
  const local_days first = floor<days>(local_of(from)), last = floor<days>(local_of(to)) - days(1);
  if (first == last) return weekday_text(first) + " " + date_text(first);
  return fmt::format("{} to {}", date_text(first), date_text(last));
}

Step read_step(const std::string& text) {
  const std::size_t unit_at = std::min(text.find_first_not_of("0123456789"), text.size());
  const int count = unit_at == 0 ? 1 : number(text.substr(0, unit_at), 0).value_or(0);
  const std::string unit = text.substr(unit_at);
  const auto is = [&unit](std::initializer_list<std::string_view> names) {
    return std::ranges::find(names, unit) != names.end();
  };
  seconds length{0};
  if (is({"m", "min", "minute", "minutes"}) && unit_at > 0) length = minutes(count);
  if (is({"h", "hour", "hours"})) length = hours(count);
  constexpr seconds length_max = days(366);
  if (length > seconds(0) && length <= length_max && length % quarter_hour == seconds(0))
    return {Step::Kind::seconds, length};
  if (count == 1 && is({"d", "day"})) return each_day;
  if (count == 1 && is({"w", "week"})) return each_week;
  if (count == 1 && is({"month"})) return each_month;
  refuse("--step", text,
         "a step: expected \"15m\" or a multiple of it (\"30m\", \"1h\", \"6h\"), \"day\", "
         "\"week\" or \"month\"");
}

/// So many rows that they can be looked at.
Step usual_step(Instant from, Instant to) {
  if (to - from <= days(2)) return each_hour;
  return to - from <= days(93) ? each_day : each_month;
}

/// Throws where options contradict each other.
void check_together(const RangeOptions& options) {
  const std::array<std::pair<const char*, bool>, 5> ranges{{
      {"--day", options.day.has_value()},
      {"--week", options.week.has_value()},
      {"--month", options.month.has_value()},
      {"--year", options.year.has_value()},
      {"--from", !options.from.empty()},
  }};
  const char* first = nullptr;
  for (const auto& [name, is_given] : ranges) {
    if (is_given && first != nullptr)
      throw UsageError(
          fmt::format("{} and {}: expected one of them, for example {} alone", first, name, first));
    if (is_given) first = name;
  }
  if (!options.to.empty() && options.from.empty())
    throw UsageError(fmt::format("--to {} without --from: expected for example --from -7d --to {}",
                                 options.to, options.to));
}

TimeRange from_to(const RangeOptions& options, Instant now) {
  constexpr const char* expected =
      "a day or a time: expected for example \"2026-10-01\", \"2026-10\", \"2026-10-25 14:30\", "
      "\"yesterday\", \"-7d\" or \"-36h\"";
  const auto from = read_moment(options.from, now, Twice::first);
  if (!from) refuse("--from", options.from, expected);
  const auto to =
      options.to.empty() ? Interval{now, now} : read_moment(options.to, now, Twice::last);
  if (!to) refuse("--to", options.to, expected);
  const auto earliest = Instant(sys_days(year(1970) / 1 / 2));
  const Instant begin = std::max(floor<minutes>(from->begin), floor<minutes>(earliest));
  using Quarters = duration<std::int64_t, std::ratio<900>>;
  if (from->begin >= to->end)
    throw UsageError(fmt::format(
        "--from {} is not before {}: expected for example --from -7d, or --from 2026-10-01 --to "
        "2026-10-31",
        options.from, options.to.empty() ? "now" : "--to " + options.to));
  return {floor<Quarters>(begin), ceil<Quarters>(to->end), usual_step(begin, to->end), {}};
}

}  // namespace

Instant row_begin(Instant instant, const Step& step) {
  const local_days day = floor<days>(local_of(instant));
  switch (step.kind) {
    case Step::Kind::day:
      return midnight_of(day);
    case Step::Kind::week:
      return midnight_of(monday_of(day));
    case Step::Kind::month:
      return midnight_of(first_of_month(day));
    case Step::Kind::seconds:
      break;
  }
  return instant;
}

Instant whole_end(Instant instant, const Step& step) {
  return step.kind == Step::Kind::seconds ? instant : row_end(instant - seconds(1), step, instant);
}

Instant row_end(Instant instant, const Step& step, Instant origin) {
  const local_days day = floor<days>(local_of(instant));
  switch (step.kind) {
    case Step::Kind::day:
      return midnight_of(day + days(1));
    case Step::Kind::week:
      return midnight_of(monday_of(day) + weeks(1));
    case Step::Kind::month:
      return midnight_of(plus_months(first_of_month(day), months(1)));
    case Step::Kind::seconds:
      break;
  }
  return origin + ((instant - origin) / step.length + 1) * step.length;
}

std::string step_text(const Step& step) {
  if (step == each_day) return "day";
  if (step == each_week) return "week";
  if (step == each_month) return "month";
  if (step == each_hour) return "hour";
  if (step == each_quarter) return "quarter hour";
  const auto length = duration_cast<minutes>(step.length).count();
  return length % 60 == 0 ? fmt::format("{} h", length / 60) : fmt::format("{} min", length);
}

void RangeOptions::add_to(CLI::App& command) {
  const auto unit = [&command](const char* name, std::optional<std::string>& value,
                               const char* help) {
    const auto take = [&value](const std::vector<std::string>& given) {
      value = given.empty() ? "" : given.front();
    };
    command.add_option_function<std::vector<std::string>>(name, take, help)
        ->expected(0, 1)
        ->allow_extra_args(false)
        ->type_name("[DATE]");
  };
  unit("--day", day, "this day, by the hour; today without DATE, and without any range");
  unit("--week", week, "the week of this day, by the day; also \"2026-W43\"");
  unit("--month", month, "this month (\"2026-10\"), by the day");
  unit("--year", year, "this year (\"2026\"), by the month");
  const CLI::Validator not_empty(
      [](const std::string& text) {
        return std::string(text.empty() ? "a value is expected, and it is empty" : "");
      },
      "");
  command.add_option("--from", from, "from then on")->type_name("TIME")->check(not_empty);
  command.add_option("--to", to, "until then, with --from; now without it")
      ->type_name("TIME")
      ->check(not_empty);
  command.add_option("--step", step, "length of a row: 15m or a multiple, day, week or month")
      ->type_name("STEP")
      ->check(not_empty);
  command.add_option("--zone", zone, "whose clock and calendar; this machine's without it")
      ->type_name("ZONE")
      ->check(not_empty);
}

std::string RangeOptions::take_meter() {
  for (std::optional<std::string>* given : {&day, &week, &month, &year}) {
    if (!*given || (*given)->empty()) continue;
    // What looks like a date is one, however wrong.
    const bool is_date = (*given)->find_first_not_of("0123456789-W:T +Z") == std::string::npos &&
                         ((*given)->size() == 4 || (*given)->find('-') != std::string::npos);
    const bool is_word = **given == "today" || **given == "yesterday" || (*given)->front() == '-';
    if (!is_date && !is_word) return std::exchange(**given, "");
  }
  return {};
}

TimeRange range_of(const RangeOptions& options, Instant now) {
  check_together(options);
  TimeRange range;
  if (!options.from.empty()) {
    range = from_to(options, now);
  } else if (options.week) {
    const local_days monday = monday_of(day_of(
        "--week", *options.week, now,
        "a week: expected any day of it (\"2026-10-25\"), its number (\"2026-W43\") or \"-1w\""));
    range = {midnight_of(monday), midnight_of(monday + weeks(1)), each_day,
             fmt::format("week of {} {}", weekday_text(monday), date_text(monday))};
  } else if (options.month) {
    const local_days first = first_of_month(
        day_of("--month", *options.month, now, "a month: expected \"2026-10\" or \"-1month\""));
    range = {midnight_of(first), midnight_of(plus_months(first, months(1))), each_day,
             month_text(first)};
  } else if (options.year) {
    const year_month_day date(
        day_of("--year", *options.year, now, "a year: expected \"2026\" or \"-1y\""));
    const local_days first(date.year() / 1 / 1);
    range = {midnight_of(first), midnight_of(plus_months(first, months(12))), each_month,
             fmt::format("{}", static_cast<int>(date.year()))};
  } else {
    const local_days day = day_of("--day", options.day.value_or(""), now,
                                  "a day: expected \"2026-10-25\", \"yesterday\" or \"-7d\"");
    range = {midnight_of(day), midnight_of(day + days(1)), each_hour,
             weekday_text(day) + " " + date_text(day)};
  }
  if (!options.step.empty()) range.step = read_step(options.step);
  const auto epoch = Instant(seconds(0));
  if (range.from < epoch)
    throw UsageError(fmt::format(
        "{}: nothing is older than 1970: expected for example --year 2026", range.title));
  range.from = std::max(row_begin(range.from, range.step), epoch);
  range.to = whole_end(range.to, range.step);
  if (range.title.empty()) range.title = title_of(range.from, range.to);
  if (range.from > now)
    throw UsageError(
        fmt::format("{} has not come yet: expected for example --day yesterday", range.title));
  return range;
}

}  // namespace smartmeterctl
