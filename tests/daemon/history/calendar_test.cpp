// SPDX-License-Identifier: Apache-2.0
// Calendar: days, weeks and months of places whose clocks change. The moments are those of Python's
// zoneinfo: datetime(2026, 3, 29, tzinfo=ZoneInfo("Europe/Vienna")).timestamp().
#include "daemon/history/calendar.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <string>

#include "tests/daemon/history/rows.hpp"

namespace smartmeterd::history {
namespace {

Calendar::Span around(const char* zone, Period period, std::int64_t time_s) {
  const auto calendar = Calendar::of(zone, period);
  EXPECT_TRUE(calendar.has_value()) << zone;
  return calendar ? calendar->around(time_s) : Calendar::Span{};
}

struct Case {
  const char* zone;
  Period period;
  std::int64_t begin_s;
  double hours;
};

class Periods : public testing::TestWithParam<Case> {};

TEST_P(Periods, BeginAndEndWhereTheClocksSay) {
  const Case& expected = GetParam();
  const auto end_s = expected.begin_s + static_cast<std::int64_t>(expected.hours * 3600);
  for (std::int64_t time_s = expected.begin_s; time_s < end_s; time_s += quarter_s) {
    const Calendar::Span span = around(expected.zone, expected.period, time_s);
    ASSERT_EQ(span.begin_s, expected.begin_s) << time_s;
    ASSERT_EQ(span.end_s, end_s) << time_s;
  }
  EXPECT_EQ(around(expected.zone, expected.period, expected.begin_s - 1).end_s, expected.begin_s);
  EXPECT_EQ(around(expected.zone, expected.period, end_s).begin_s, end_s);
}

INSTANTIATE_TEST_SUITE_P(
    Calendar, Periods,
    testing::Values(
        Case{"Europe/Vienna", Period::day, 1774652400, 24},          // 28 March 2026
        Case{"Europe/Vienna", Period::day, 1774738800, 23},          // 29 March 2026
        Case{"Europe/Vienna", Period::day, 1792879200, 25},          // 25 October 2026
        Case{"Europe/Vienna", Period::week, 1774220400, 167},        // 23 to 29 March 2026
        Case{"Europe/Vienna", Period::week, 1792360800, 169},        // 19 to 25 October 2026
        Case{"Europe/Vienna", Period::month, 1772319600, 743},       // March 2026
        Case{"Europe/Vienna", Period::month, 1790805600, 745},       // October 2026
        Case{"Europe/Vienna", Period::month, 1769900400, 672},       // February 2026
        Case{"Europe/Vienna", Period::month, 1832972400, 696},       // February 2028
        Case{"Europe/Vienna", Period::day, 2531948400, 23},          // 27 March 2050: a rule alone
        Case{"Australia/Lord_Howe", Period::day, 1775307600, 24.5},  // 5 April 2026
        Case{"Australia/Lord_Howe", Period::day, 1791034200, 23.5},  // 4 October 2026
        Case{"Asia/Kathmandu", Period::day, 1795716900, 24},         // 27 November 2026, +05:45
        Case{"Pacific/Chatham", Period::day, 1790421300, 23},        // 27 September 2026, +12:45
        Case{"Pacific/Chatham", Period::day, 1775297700, 25},        // 5 April 2026
        Case{"America/Havana", Period::day, 1793505600, 25},     // 1 November 2026: two midnights
        Case{"America/Havana", Period::day, 1772946000, 23},     // 8 March 2026: none
        Case{"America/Sao_Paulo", Period::day, 1541300400, 23},  // 4 November 2018: none
        Case{"Pacific/Apia", Period::month, 1322733600, 720},    // December 2011: no 30th
        Case{"UTC", Period::day, 1795737600, 24}));

TEST(Calendar, AnEveningThatCameBackIsPartOfOneDay) {
  // A minute after midnight of 1 November 2009 it was 23:01 again.
  std::int64_t time_s = utc("2009-11-01 02:31") - 2 * 86'400;
  for (int days = 0; days < 5; ++days) {
    const auto span = around("America/St_Johns", Period::day, time_s);
    ASSERT_LE(span.begin_s, time_s);
    ASSERT_GT(span.end_s, time_s);
    time_s = span.end_s;
  }
}

TEST(Calendar, OnlyZonesOfTheDatabase) {
  for (const char* zone :
       {"Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "/usr/share/zoneinfo/UTC",
        "file:/etc/localtime", "Europe/../UTC", "Europe//Vienna", "Europe", "Europe/Vienna\n",
        " "}) {
    const auto calendar = Calendar::of(zone, Period::day);
    ASSERT_FALSE(calendar.has_value()) << zone;
    EXPECT_NE(calendar.error().find("expected one such as"), std::string::npos);
  }
}

/// Whoever may ask must not make the service grow: what is no zone leaves nothing behind.
TEST(Calendar, NamesThatAreNoneCostNoMemory) {
  const auto size = [](int i) {
    const std::string end = std::to_string(i);
    for (const std::string& zone : {std::string(100'000, 'x') + end, "Europe/Vienna" + end,
                                    "Europe" + std::string(static_cast<std::size_t>(i % 40), '/') +
                                        "/Vienna" + end})
      EXPECT_FALSE(Calendar::of(zone, Period::day).has_value());
    return mallinfo2().uordblks;
  };
  const auto before = size(0);
  for (int i = 1; i < 300; ++i) size(i);
  EXPECT_LT(size(300), before + 16'384) << "900 names were asked for";
}

TEST(Calendar, ALongNameIsNotRepeated) {
  const auto calendar = Calendar::of(std::string(65, 'x'), Period::day);
  ASSERT_FALSE(calendar.has_value());
  EXPECT_EQ(calendar.error().find("xx"), std::string::npos);
  EXPECT_NE(calendar.error().find("at most 64 characters"), std::string::npos);
}

TEST(Calendar, WithoutANameItIsTheSystems) {
  setenv("TZ", "Asia/Kathmandu", 1);
  EXPECT_EQ(around("", Period::day, 1795716900 + 3600).begin_s, 1795716900);
  unsetenv("TZ");
  EXPECT_TRUE(Calendar::of("", Period::day).has_value());
}

}  // namespace
}  // namespace smartmeterd::history
