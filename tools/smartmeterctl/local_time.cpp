// SPDX-License-Identifier: Apache-2.0
// Local time by the C library, which knows one zone for the whole process: enough for a tool.
#include "tools/smartmeterctl/local_time.hpp"

#include <fmt/core.h>
#include <time.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace smartmeterctl {
namespace {

using namespace std::chrono;

constexpr const char* database = "/usr/share/zoneinfo";

tm broken_down(Instant instant) {
  const time_t seconds = instant.time_since_epoch().count();
  tm local{};
  localtime_r(&seconds, &local);
  return local;
}

/// "Europe/Vienna" of "/usr/share/zoneinfo/Europe/Vienna".
std::optional<std::string> name_in_database(const std::string& path) {
  constexpr std::string_view marker = "/zoneinfo/";
  const std::size_t at = path.rfind(marker);
  if (at == path.npos) return std::nullopt;
  return path.substr(at + marker.size());
}

bool is_in_database(const std::string& name) {
  if (name.empty() || name.front() == '/' || name.find("..") != name.npos) return false;
  std::error_code error;
  return std::filesystem::is_regular_file(std::filesystem::path(database) / name, error);
}

}  // namespace

bool use_zone(const std::string& name) {
  if (!is_in_database(name)) return false;
  ::setenv("TZ", name.c_str(), 1);
  ::tzset();
  return true;
}

std::string zone_name() {
  if (const char* set = std::getenv("TZ"); set != nullptr && *set != '\0') {
    const std::string name = *set == ':' ? set + 1 : set;
    const std::string found = name_in_database(name).value_or(name);
    return is_in_database(found) ? found : "";
  }
  std::error_code error;
  const std::filesystem::path link = std::filesystem::read_symlink("/etc/localtime", error);
  if (!error)
    if (const auto name = name_in_database(link)) return *name;
  std::string name;
  std::ifstream("/etc/timezone") >> name;  // Debian's; where the other is a copy
  return is_in_database(name) ? name : "";
}

seconds offset_at(Instant instant) {
  return seconds(broken_down(instant).tm_gmtoff);
}

std::string zone_abbreviation(Instant instant) {
  return broken_down(instant).tm_zone;
}

Local local_of(Instant instant) {
  return Local(instant.time_since_epoch() + offset_at(instant));
}

Instant instant_of(Local local, Twice twice) {
  const Instant as_utc(local.time_since_epoch());
  // No zone changes its clock twice within two days.
  const seconds before = offset_at(as_utc - days(1)), after = offset_at(as_utc + days(1));
  const Instant early = as_utc - before, late = as_utc - after;
  const bool early_is_right = offset_at(early) == before, late_is_right = offset_at(late) == after;
  if (early_is_right && late_is_right) return twice == Twice::first ? early : late;
  return late_is_right ? late : early;
}

bool comes_twice(Instant instant) {
  const Local local = local_of(instant);
  return instant_of(local, Twice::first) != instant_of(local, Twice::last);
}

Instant midnight_of(local_days day) {
  return instant_of(Local(day));
}

local_days monday_of(local_days day) {
  return day - (weekday(day) - Monday);
}

local_days first_of_month(local_days day) {
  const year_month_day date(day);
  return local_days(date.year() / date.month() / 1);
}

local_days plus_months(local_days day, months count) {
  const year_month_day date = year_month_day(day) + count;
  return date.ok() ? local_days(date) : local_days(date.year() / date.month() / last);
}

std::string date_text(local_days day) {
  const year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::string weekday_text(local_days day) {
  constexpr std::array<const char*, 7> names{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  return names[weekday(day).c_encoding()];
}

std::string clock_text(Instant instant) {
  const hh_mm_ss time(local_of(instant) - floor<days>(local_of(instant)));
  return fmt::format("{:02}:{:02}", time.hours().count(), time.minutes().count());
}

std::string iso_text(Instant instant) {
  const Local local = local_of(instant);
  const hh_mm_ss time(local - floor<days>(local));
  const seconds offset = offset_at(instant);
  const auto minutes_off = duration_cast<minutes>(abs(offset)).count();
  return fmt::format("{}T{:02}:{:02}:{:02}{}{:02}:{:02}", date_text(floor<days>(local)),
                     time.hours().count(), time.minutes().count(), time.seconds().count(),
                     offset < seconds(0) ? '-' : '+', minutes_off / 60, minutes_off % 60);
}

}  // namespace smartmeterctl
