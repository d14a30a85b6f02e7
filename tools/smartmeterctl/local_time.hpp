// SPDX-License-Identifier: Apache-2.0
// Local time: the calendar and the clock of the zone that the process shows times in.
#pragma once

#include <chrono>
#include <string>

namespace smartmeterctl {

using Instant = std::chrono::sys_seconds;
/// What calendar and clock on the wall say.
using Local = std::chrono::local_seconds;

/// From now on the zone is this one of the IANA database ("Europe/Vienna"), in place of the one of
/// TZ or the system; false where the database does not have it.
bool use_zone(const std::string& name);
/// The name of the zone in the IANA database; empty where nothing says it.
std::string zone_name();

std::chrono::seconds offset_at(Instant instant);
/// "CEST"
std::string zone_abbreviation(Instant instant);
Local local_of(Instant instant);
/// Of a local time that comes twice the first one, or the last; one that clocks leave out as if
/// they had not yet been moved.
enum class Twice { first, last };
Instant instant_of(Local local, Twice twice = Twice::first);
/// True where the clock shows the same local time twice, as in the night in which summer ends.
bool comes_twice(Instant instant);

Instant midnight_of(std::chrono::local_days day);
/// The Monday of its week.
std::chrono::local_days monday_of(std::chrono::local_days day);
std::chrono::local_days first_of_month(std::chrono::local_days day);
/// A later month's same day, or its last where it is shorter; also backwards.
std::chrono::local_days plus_months(std::chrono::local_days day, std::chrono::months months);

/// "2026-10-25"
std::string date_text(std::chrono::local_days day);
/// "Sun"
std::string weekday_text(std::chrono::local_days day);
/// "02:15"
std::string clock_text(Instant instant);
/// "2026-10-25T02:15:00+02:00" (ISO 8601)
std::string iso_text(Instant instant);

}  // namespace smartmeterctl
