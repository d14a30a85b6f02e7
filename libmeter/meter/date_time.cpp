// SPDX-License-Identifier: Apache-2.0
// Reading and printing of meters' clocks.
#include "meter/date_time.hpp"

#include <cassert>
#include <chrono>

#include "meter/base/reader.hpp"

namespace meter {
namespace {

constexpr int deviation_minutes_max = 1440;
constexpr std::uint8_t clock_status_summer = 0x80;  // Blue Book 4.1.6.1

bool is_possible(const DateTime& t) noexcept {
  using namespace std::chrono;
  const year_month_day date{year{t.year}, month{t.month}, day{t.day}};
  return t.year >= 1970 && t.year <= 2199 && date.ok() && t.hour < 24 && t.minute < 60 &&
         t.second < 60;
}

char* put(char* out, unsigned value, unsigned digits) noexcept {
  for (unsigned i = digits; i-- > 0; value /= 10) out[i] = static_cast<char>('0' + value % 10);
  return out + digits;
}

}  // namespace

std::optional<DateTime> DateTime::from_cosem(Bytes octets) noexcept {
  constexpr std::size_t size = 12;  // Blue Book 4.1.6.1
  if (octets.size() != size) return std::nullopt;
  Reader in(octets);
  DateTime t;
  t.year = in.be<std::uint16_t>();
  t.month = in.octet();
  t.day = in.octet();
  in.skip(1);  // the day of the week says nothing that the date does not
  t.hour = in.octet();
  t.minute = in.octet();
  t.second = in.octet();
  if (t.second == 0xff) t.second = 0;  // some firmware leaves the seconds open
  t.hundredths = in.octet();
  t.deviation = static_cast<std::int16_t>(in.be<std::uint16_t>());
  t.status = in.octet();
  if (!is_possible(t)) return std::nullopt;
  if (t.hundredths > 99) t.hundredths = 0xff;
  if (t.deviation != deviation_unspecified &&
      (t.deviation < -deviation_minutes_max || t.deviation > deviation_minutes_max))
    return std::nullopt;
  return t;
}

std::optional<DateTime> DateTime::from_p1(std::string_view text) noexcept {
  constexpr std::size_t digits_only = 12, with_season = 13, spelled_out = 17;
  // Where each pair of digits stands: year of the century, month, day, hour, minute, second.
  constexpr std::uint8_t packed[6] = {0, 2, 4, 6, 8, 10}, spelled[6] = {2, 4, 6, 9, 12, 15};
  const bool is_spelled = text.size() == spelled_out;
  if (is_spelled ? text[8] != ' ' || text[11] != ':' || text[14] != ':' || !text.starts_with("20")
                 : text.size() != digits_only && text.size() != with_season)
    return std::nullopt;
  const bool has_season = text.size() == with_season;
  if (has_season && text[12] != 'S' && text[12] != 'W') return std::nullopt;
  unsigned field[6];
  for (std::size_t i = 0; i < 6; ++i) {
    const std::size_t at = is_spelled ? spelled[i] : packed[i];
    const unsigned tens = static_cast<unsigned>(text[at] - '0');
    const unsigned ones = static_cast<unsigned>(text[at + 1] - '0');
    if (tens > 9 || ones > 9) return std::nullopt;
    field[i] = tens * 10 + ones;
  }
  DateTime t;
  t.year = static_cast<std::uint16_t>(2000 + field[0]);
  t.month = static_cast<std::uint8_t>(field[1]);
  t.day = static_cast<std::uint8_t>(field[2]);
  t.hour = static_cast<std::uint8_t>(field[3]);
  t.minute = static_cast<std::uint8_t>(field[4]);
  t.second = static_cast<std::uint8_t>(field[5]);
  if (has_season) t.status = text[12] == 'S' ? clock_status_summer : 0x00;
  if (!is_possible(t)) return std::nullopt;
  return t;
}

DateTime DateTime::from_epoch(std::int64_t seconds, std::int16_t deviation) noexcept {
  using namespace std::chrono;
  const sys_seconds local{std::chrono::seconds(seconds) - minutes(deviation)};
  const sys_days midnight = floor<days>(local);
  const year_month_day date(midnight);
  const hh_mm_ss time(local - midnight);
  DateTime t;
  t.year = static_cast<std::uint16_t>(static_cast<int>(date.year()));
  t.month = static_cast<std::uint8_t>(static_cast<unsigned>(date.month()));
  t.day = static_cast<std::uint8_t>(static_cast<unsigned>(date.day()));
  t.hour = static_cast<std::uint8_t>(time.hours().count());
  t.minute = static_cast<std::uint8_t>(time.minutes().count());
  t.second = static_cast<std::uint8_t>(time.seconds().count());
  t.deviation = deviation;
  return t;
}

std::optional<DateTime> DateTime::from_mbus(Bytes octets) noexcept {
  constexpr std::size_t size_g = 2, size_f = 4, size_i = 6;
  const std::size_t size = octets.size();
  if (size != size_g && size != size_f && size != size_i) return std::nullopt;
  const std::size_t date_at = size == size_g ? 0 : size == size_f ? 2 : 3;
  const unsigned low = u8(octets[date_at]), high = u8(octets[date_at + 1]);
  DateTime t;
  t.day = low & 0x1f;
  t.month = high & 0x0f;
  unsigned year = low >> 5 | (high >> 4) << 3;
  unsigned century = 0;  // not sent, or sent as 0 by meters that do not know of it
  if (size == size_g) {
    t.is_date = true;
  } else if (size == size_f) {
    const unsigned minute = u8(octets[0]), hour = u8(octets[1]);
    if ((minute & 0x80) != 0) return std::nullopt;
    t.minute = minute & 0x3f;
    t.hour = hour & 0x1f;
    century = hour >> 5 & 3;
    // Winter time is not told from a clock that knows no summer time.
    if ((hour & 0x80) != 0) t.status = 0x80;
  } else {
    const unsigned second = u8(octets[0]), minute = u8(octets[1]);
    if ((minute & 0x80) != 0) return std::nullopt;
    t.second = second & 0x3f;
    t.minute = minute & 0x3f;
    t.hour = u8(octets[2]) & 0x1f;
    if ((second & 0x40) != 0)
      t.status = 0x80;
    else
      t.status = 0x00;
  }
  // Annex A: without a century 0 to 80 is 20xx, 81 to 99 is 19xx.
  if (century == 0) century = year <= 80 ? 1 : 0;
  t.year = static_cast<std::uint16_t>(1900 + 100 * century + year);
  if (year > 99 || !is_possible(t)) return std::nullopt;
  return t;
}

DateTime DateTime::with_standard_offset(std::optional<std::int16_t> minutes) const noexcept {
  constexpr int summer_min = 60;
  DateTime t = *this;
  if (!minutes || deviation != deviation_unspecified || status == 0xff) return t;
  const bool summer = (status & clock_status_summer) != 0;
  t.deviation = static_cast<std::int16_t>(-(*minutes + (summer ? summer_min : 0)));
  return t;
}

std::string_view DateTime::to_text(std::span<char> buffer) const noexcept {
  assert(buffer.size() >= text_size_max);
  char* out = put(buffer.data(), year, 4);
  *out++ = '-';
  out = put(out, month, 2);
  *out++ = '-';
  out = put(out, day, 2);
  if (is_date) return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
  *out++ = 'T';
  out = put(out, hour, 2);
  *out++ = ':';
  out = put(out, minute, 2);
  *out++ = ':';
  out = put(out, second, 2);
  if (deviation != deviation_unspecified) {
    const int east = -deviation;  // COSEM counts from local time to UTC, ISO 8601 the other way
    *out++ = east < 0 ? '-' : '+';
    const unsigned minutes = static_cast<unsigned>(east < 0 ? -east : east);
    out = put(out, minutes / 60, 2);
    *out++ = ':';
    out = put(out, minutes % 60, 2);
  }
  return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
}

std::optional<std::int64_t> DateTime::to_epoch_us() const noexcept {
  using namespace std::chrono;
  if (deviation == deviation_unspecified) return std::nullopt;
  const sys_days date = year_month_day{std::chrono::year{year}, std::chrono::month{month},
                                       std::chrono::day{day}};
  const auto local = date + hours{hour} + minutes{minute} + seconds{second};
  const auto utc = local + minutes{deviation};
  return duration_cast<microseconds>(utc.time_since_epoch()).count();
}

}  // namespace meter
