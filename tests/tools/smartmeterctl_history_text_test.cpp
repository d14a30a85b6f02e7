// SPDX-License-Identifier: Apache-2.0
// Ranges as people write them, and rows of the past as tables, CSV and JSON. What days there are in
// Vienna is from the calendar, when its clocks change from the directive 2000/84/EC.
#include "tools/smartmeterctl/history_text.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "tools/smartmeterctl/style.hpp"
#include "tools/smartmeterctl/verbs.hpp"

namespace smartmeterctl {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

/// "2026-10-25T02:00:00+02:00" and so on, as GNU date prints it.
Instant at(int year, unsigned month, unsigned day, int hour, int minute = 0) {
  return sys_days(std::chrono::year(year) / std::chrono::month(month) / std::chrono::day(day)) +
         hours(hour) + minutes(minute);  // UTC
}

class History : public testing::Test {
 protected:
  History() { EXPECT_TRUE(use_zone("Europe/Vienna")); }
  /// Friday, 2026-11-27 14:20 in Vienna.
  const Instant now = at(2026, 11, 27, 13, 20);

  /// "2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00 hour", or what is wrong.
  std::string range(const RangeOptions& options) const {
    try {
      const TimeRange found = range_of(options, now);
      return iso_text(found.from) + " " + iso_text(found.to) + " " + step_text(found.step);
    } catch (const UsageError& error) {
      return error.what();
    }
  }
  std::string day(const std::string& text) const { return range({.day = text}); }
  std::string from_to(const std::string& from, const std::string& to) const {
    return range({.from = from, .to = to});
  }
};

TEST_F(History, DaysWeeksMonthsYears) {
  const std::string today = "2026-11-27T00:00:00+01:00 2026-11-28T00:00:00+01:00 hour";
  EXPECT_EQ(range({}), today);
  EXPECT_EQ(day(""), today);
  EXPECT_EQ(day("today"), today);
  EXPECT_EQ(day("yesterday"), "2026-11-26T00:00:00+01:00 2026-11-27T00:00:00+01:00 hour");
  EXPECT_EQ(day("-7d"), "2026-11-20T00:00:00+01:00 2026-11-21T00:00:00+01:00 hour");
  EXPECT_EQ(day("2026-10-25"), "2026-10-25T00:00:00+02:00 2026-10-26T00:00:00+01:00 hour");
  const std::string october = "2026-10-26T00:00:00+01:00 2026-11-02T00:00:00+01:00 day";
  EXPECT_EQ(range({.week = "2026-10-26"}), october);
  EXPECT_EQ(range({.week = "2026-11-01"}), october);
  EXPECT_EQ(range({.week = "2026-W44"}), october);
  EXPECT_EQ(range({.week = "-1w"}), "2026-11-16T00:00:00+01:00 2026-11-23T00:00:00+01:00 day");
  // 2026 is a year with 53 weeks; the first begins in 2025.
  EXPECT_EQ(range({.week = "2026-W01"}), "2025-12-29T00:00:00+01:00 2026-01-05T00:00:00+01:00 day");
  EXPECT_EQ(range({.month = "2026-03"}), "2026-03-01T00:00:00+01:00 2026-04-01T00:00:00+02:00 day");
  EXPECT_EQ(range({.month = "-1month"}), "2026-10-01T00:00:00+02:00 2026-11-01T00:00:00+01:00 day");
  EXPECT_EQ(range({.year = "2025"}), "2025-01-01T00:00:00+01:00 2026-01-01T00:00:00+01:00 month");
  EXPECT_EQ(range({.year = ""}), "2026-01-01T00:00:00+01:00 2027-01-01T00:00:00+01:00 month");
}

TEST_F(History, FromTo) {
  // The last day is part of it.
  EXPECT_EQ(from_to("2026-10-01", "2026-10-31"),
            "2026-10-01T00:00:00+02:00 2026-11-01T00:00:00+01:00 day");
  EXPECT_EQ(from_to("2026-10", "2026-10"),
            "2026-10-01T00:00:00+02:00 2026-11-01T00:00:00+01:00 day");
  EXPECT_EQ(from_to("-7d", ""), "2026-11-20T00:00:00+01:00 2026-11-28T00:00:00+01:00 day");
  EXPECT_EQ(from_to("-36h", "now"), "2026-11-26T02:15:00+01:00 2026-11-27T14:30:00+01:00 hour");
  EXPECT_EQ(from_to("14:00", ""), "2026-11-27T14:00:00+01:00 2026-11-27T14:30:00+01:00 hour");
  EXPECT_EQ(from_to("2025", "2026-06"),
            "2025-01-01T00:00:00+01:00 2026-07-01T00:00:00+02:00 month");
  // Both are in the hour that comes twice.
  EXPECT_EQ(from_to("2026-10-25 02:30", "2026-10-25 02:30"),
            "2026-10-25T02:30:00+02:00 2026-10-25T02:30:00+01:00 hour");
  EXPECT_EQ(from_to("2026-10-25T02:30+01:00", "2026-10-25T02:30:00Z"),
            "2026-10-25T02:30:00+01:00 2026-10-25T03:30:00+01:00 hour");
  // 02:30 is not on the clock that day.
  EXPECT_EQ(from_to("2026-03-29 02:30", "2026-03-29 04:30"),
            "2026-03-29T03:30:00+02:00 2026-03-29T04:30:00+02:00 hour");
  // Weeks are whole.
  EXPECT_EQ(range({.from = "2026-10-14 11:00", .to = "2026-10-15 11:00", .step = "week"}),
            "2026-10-12T00:00:00+02:00 2026-10-19T00:00:00+02:00 week");
}

TEST_F(History, Steps) {
  const auto step = [this](const std::string& text) {
    const std::string said = range({.day = "2026-11-01", .step = text});
    return said.substr(said.find(' ', said.find(' ') + 1) + 1);
  };
  EXPECT_EQ(step("15m"), "quarter hour");
  EXPECT_EQ(step("30min"), "30 min");
  EXPECT_EQ(step("60m"), "hour");
  EXPECT_EQ(step("1h"), "hour");
  EXPECT_EQ(step("hour"), "hour");
  EXPECT_EQ(step("6h"), "6 h");
  EXPECT_EQ(step("day"), "day");
  EXPECT_EQ(step("1d"), "day");
  EXPECT_EQ(step("week"), "week");
  EXPECT_EQ(step("month"), "month");
}

TEST_F(History, WhatIsWrong) {
  for (const char* text : {"2026-13-01", "2026-02-29", "2026-10", "25.10.2026", "-7", "-d", "x",
                           "14:30", "2026-W44", "-99999999d"})
    EXPECT_EQ(day(text), std::string("--day: \"") + text +
                             "\" is not a day: expected \"2026-10-25\", \"yesterday\" or \"-7d\"");
  for (const char* text : {"2026-W54", "2026-W00", "2026-10"})
    EXPECT_NE(range({.week = text}).find("\"2026-W43\""), std::string::npos);
  for (const char* text : {"0m", "10m", "m", "15", "2d", "2week", "1.5h", "-1h", "9999999h"})
    EXPECT_NE(range({.step = text}).find("a multiple of it"), std::string::npos) << text;
  for (const char* text : {"24:01", "2026-10-25 2:30", "2026-10-25T02:30+1", "2026-10-25 02:30 x"})
    EXPECT_NE(from_to(text, "").find("is not a day or a time: expected"), std::string::npos);
  EXPECT_EQ(from_to("today", "yesterday").substr(0, 47),
            "--from today is not before --to yesterday: expe");
  EXPECT_EQ(range({.day = "", .from = "today"}),
            "--day and --from: expected one of them, for example --day alone");
  EXPECT_EQ(range({.week = "", .year = "2026"}),
            "--week and --year: expected one of them, for example --week alone");
  EXPECT_EQ(from_to("", "today"),
            "--to today without --from: expected for example --from -7d --to today");
  EXPECT_NE(day("2026-11-28").find("has not come yet"), std::string::npos);
}

TEST_F(History, AnyTextIsTakenOrRefused) {
  const std::string letters = "0129-:TZ+ Wdhx";
  unsigned seed = 1;
  for (int i = 0; i < 20'000; ++i) {
    std::string text;
    for (unsigned size = seed % 18; text.size() < size;)
      text += letters[(seed = seed * 1664525 + 1013904223) >> 16 & 0xff % letters.size()];
    seed = seed * 1664525 + 1013904223;
    (void)day(text);
    (void)from_to(text, text);
    (void)range({.step = text});
  }
}

TEST_F(History, MeterBehindAnOptionThatMayHaveADate) {
  for (const char* text : {"House", "181220000009", "1KFM0200169986", "E0047001"}) {
    RangeOptions options{.week = text};
    EXPECT_EQ(options.take_meter(), text);
    EXPECT_EQ(options.week, "");
  }
  for (const char* text :
       {"2026-10-25", "2026-99-99", "2026", "today", "yesterday", "-7d", "2026-W43", ""}) {
    RangeOptions options{.day = text};
    EXPECT_EQ(options.take_meter(), "") << text;
    EXPECT_EQ(options.day, text);
  }
}

TEST_F(History, PiecesAreSmallAndWhole) {
  for (const char* step : {"15m", "1h", "day", "week", "month", "30h"}) {
    const TimeRange range = range_of({.from = "2015-01-01", .step = step}, now);
    const auto pieces = pieces_of(range);
    Instant end = range.from;
    for (const Piece& piece : pieces) {
      EXPECT_EQ(piece.from, end);
      end = piece.to;
      EXPECT_LE(piece.to - piece.from, piece_span_max + days(1));
      std::size_t rows = 0;
      for (Instant at = piece.from; at < piece.to; at = row_end(at, range.step, piece.from)) ++rows;
      EXPECT_LE(rows, piece_rows_max);
      // It ends where a row ends that is counted from the range's begin, too.
      EXPECT_EQ(std::min(row_end(piece.to - 1s, range.step, range.from), range.to), piece.to);
    }
    EXPECT_EQ(end, range.to);
  }
}

/// Two hours and the one after the next, in the night when summer ends; then nothing.
HistoryRows night() {
  const auto row = [](Instant start, std::map<std::string, double, std::less<>> values) {
    return HistoryRow{start, start + 1h, std::move(values)};
  };
  return {
      row(at(2026, 10, 25, 0), {{"energy_import", 1000.5},
                                {"power_import_min", 100},
                                {"power_import_mean", 500},
                                {"power_import_max", 900},
                                {"power_export_min", 0},
                                {"power_export_mean", 0},
                                {"power_export_max", 0},
                                {"energy_export", 7},
                                {"voltage_l1_min", 228.26},
                                {"voltage_l1_max", 231},
                                {"telegrams", 100}}),
      row(at(2026, 10, 25, 1), {{"energy_import", 1000.75},
                                {"energy_import_delta", 0.25},
                                {"power_import_min", 0},
                                {"power_import_mean", 250},
                                {"power_import_max", 700},
                                {"power_export_min", 0},
                                {"power_export_mean", 50},
                                {"power_export_max", 1500},
                                {"energy_export", 7.05},
                                {"energy_export_delta", 0.05},
                                {"voltage_l1_min", 229},
                                {"voltage_l1_max", 231},
                                {"voltage_l2_min", 230},
                                {"voltage_l2_max", 234.5},
                                {"telegrams", 300}}),
      row(at(2026, 10, 25, 4), {{"energy_import", 1002},
                                {"energy_import_delta", 1.25},
                                {"energy_export", 7.05},
                                {"energy_export_delta", 0},
                                {"telegrams", 0}}),
  };
}

Overview overview_of(const HistoryRows& rows) {
  Overview overview;
  for (const HistoryRow& row : rows) overview.add(row);
  return overview;
}

std::string text_of(HistoryTable table, const HistoryRows& rows, Instant until) {
  std::string text = table.head();
  text += table.rows(rows, until);
  return text + table.foot();
}

TEST_F(History, Table) {
  const TimeRange range = range_of({.from = "2026-10-25 02:00", .to = "2026-10-25 08:00"}, now);
  EXPECT_EQ(text_of({range, overview_of(night()), now}, night(), range.to),
            "TIME        IMPORT kWh  EXPORT kWh  MEAN W  MIN W  MAX W    VOLTAGE V\n"
            "02:00 CEST           -           -     500    100    900  228.3–231.0\n"
            "02:00 CET        0.250       0.050     200  -1500    700  229.0–234.5\n"
            "03:00 – 05:00  no data\n"
            "05:00            1.250       0.000       -      -      -            -\n"
            "06:00 – 08:00  no data\n"
            "total            1.500       0.050     275  -1500    900  228.3–234.5\n"
            "What was used while there are no data counts in the row after them.\n");
}

TEST_F(History, TableInPiecesIsTheSame) {
  const TimeRange range = range_of({.from = "2026-10-25 02:00", .to = "2026-10-25 08:00"}, now);
  const HistoryRows rows = night();
  HistoryTable table(range, overview_of(rows), now);
  std::string text = table.head();
  for (Instant at = range.from; at < range.to; at += 1h) {
    HistoryRows piece;
    for (const HistoryRow& row : rows)
      if (row.start == at) piece.push_back(row);
    text += table.rows(piece, at + 1h);
  }
  text += table.foot();
  EXPECT_EQ(text, text_of({range, overview_of(rows), now}, rows, range.to));
}

TEST_F(History, WhatIsToComeIsNotMissed) {
  const TimeRange range = range_of({.day = "today"}, now);
  const HistoryRows rows{
      {at(2026, 11, 27, 11), at(2026, 11, 27, 12), {{"volume", 1}, {"volume_delta", 0.5}}}};
  EXPECT_EQ(text_of({range, overview_of(rows), now}, rows, range.to),
            "TIME   VOLUME m³\n"
            "00:00 – 12:00  no data\n"
            "12:00      0.500\n"
            "13:00 – 15:00  no data\n"
            "total      0.500\n"
            "What was used while there are no data counts in the row after them.\n");
}

TEST_F(History, TableOfDays) {
  const TimeRange range = range_of({.month = "2026-10"}, now);
  const HistoryRows rows{
      {at(2026, 10, 23, 22), at(2026, 10, 24, 22), {{"energy", 12.5}}},
      {at(2026, 10, 24, 22),
       at(2026, 10, 25, 23),
       {{"energy", 13}, {"energy_delta", 0.5}, {"volume", 9}, {"volume_delta", 0.125}}}};
  EXPECT_EQ(text_of({range, overview_of(rows), now}, rows, range.to),
            "FROM            ENERGY kWh  VOLUME m³\n"
            "Thu 2026-10-01 – Fri 2026-10-23  no data\n"
            "Sat 2026-10-24           -          -\n"
            "Sun 2026-10-25       0.500      0.125\n"
            "Mon 2026-10-26 – Sat 2026-10-31  no data\n"
            "total                0.500      0.125\n"
            "What was used while there are no data counts in the row after them.\n");
}

TEST_F(History, NarrowTableLeavesColumnsOut) {
  const TimeRange range = range_of({.from = "2026-10-25 02:00", .to = "2026-10-25 08:00"}, now);
  for (unsigned width = 20; width < 100; ++width) {
    HistoryTable table(range, overview_of(night()), now, width);
    const std::string head = table.head();
    const unsigned least = 22;  // the first column, which stays
    EXPECT_LE(display_width(head.substr(0, head.find('\n'))), std::max(width, least));
    EXPECT_NE(head.find("IMPORT kWh"), std::string::npos);
  }
}

TEST_F(History, Csv) {
  const auto names = overview_of(night()).names();
  EXPECT_EQ(csv_head(names),
            "meter,start,end,energy_import [kWh],energy_import_delta [kWh],energy_export [kWh],"
            "energy_export_delta [kWh],power_import_min [W],power_import_mean [W],"
            "power_import_max [W],power_export_min [W],power_export_mean [W],power_export_max [W],"
            "voltage_l1_min [V],voltage_l1_max [V],voltage_l2_min [V],voltage_l2_max [V],"
            "telegrams\r\n");
  EXPECT_EQ(csv_row("1,\"a\"", night().back(), names),
            "\"1,\"\"a\"\"\",2026-10-25T05:00:00+01:00,2026-10-25T06:00:00+01:00,1002,1.25,7.05,0,"
            ",,,,,,,,,,0\r\n");
  for (const char* id : {"=1+1", "+1", "-1", "@SUM(A1)", "\t=1"})
    EXPECT_TRUE(csv_row(id, night().back(), names).starts_with("'" + std::string(id) + ","));
  EXPECT_TRUE(csv_row("=\"a\"", night().back(), names).starts_with("\"'=\"\"a\"\"\","));
}

TEST_F(History, Json) {
  EXPECT_EQ(json_row("a\"b", night()[2]),
            R"({"meter":"a\"b","start":"2026-10-25T05:00:00+01:00",)"
            R"("end":"2026-10-25T06:00:00+01:00","readings":{"energy_import":1002,)"
            R"("energy_import_delta":1.25,"energy_export":7.05,"energy_export_delta":0,)"
            R"("telegrams":0}})"
            "\n");
  // 0.1 + 0.2 in binary; and no JSON number at all.
  const HistoryRow row{
      at(2026, 1, 1, 0),
      at(2026, 1, 1, 1),
      {{"power_mean", 0.1 + 0.2}, {"power_max", std::numeric_limits<double>::quiet_NaN()}}};
  EXPECT_NE(json_row("", row).find(R"("readings":{"power_mean":0.3}})"), std::string::npos);
}

TEST_F(History, Names) {
  EXPECT_EQ(base_name("power_import_mean"), "power_import");
  // A quantity of that name is there, too; its rows have only the ones with an ending of their own.
  EXPECT_EQ(base_name("power_demand_import_max"), "power_demand_import");
  EXPECT_EQ(base_name("power_demand_import_max_mean"), "power_demand_import_max");
  EXPECT_EQ(unit_of("power_demand_import_max"), "W");
  EXPECT_FALSE(is_register("power_demand_import_max"));
  EXPECT_EQ(base_name("energy_import_delta"), "energy_import");
  EXPECT_EQ(unit_of("energy_import_delta"), "kWh");
  EXPECT_EQ(unit_of("volume"), "m³");
  EXPECT_EQ(unit_of("telegrams"), "");
  EXPECT_TRUE(is_register("energy_import"));
  EXPECT_FALSE(is_register("energy_import_delta"));
  EXPECT_FALSE(is_register("telegrams"));
}

TEST_F(History, MaximumThatIsSpelledLikeAnotherQuantity) {
  const Overview all = overview_of({{at(2026, 1, 1, 0),
                                     at(2026, 1, 1, 1),
                                     {{"power_demand_import_min", 100},
                                      {"power_demand_import_mean", 200},
                                      {"power_demand_import_max", 300},
                                      {"power_demand_import_max_min", 4000},
                                      {"power_demand_import_max_mean", 5000},
                                      {"power_demand_import_max_max", 6000},
                                      {"telegrams", 1}}}});
  EXPECT_EQ(all.max("power_demand_import"), 300);
  EXPECT_EQ(all.max("power_demand_import_max"), 6000);
  EXPECT_EQ(all.min("power_demand_import_max"), 4000);
  EXPECT_EQ(csv_head(all.names()),
            "meter,start,end,power_demand_import_min [W],power_demand_import_mean [W],"
            "power_demand_import_max [W],power_demand_import_max_min [W],"
            "power_demand_import_max_mean [W],power_demand_import_max_max [W],telegrams\r\n");
}

TEST_F(History, NetPowerIsBest) {
  HistoryRow row{at(2026, 1, 1, 0),
                 at(2026, 1, 1, 1),
                 {{"power_net_min", -300},
                  {"power_net_mean", 10},
                  {"power_net_max", 400},
                  {"power_import_mean", 500},
                  {"power_export_mean", 1}}};
  EXPECT_EQ(power_of(row, Of::min), -300);
  EXPECT_EQ(power_of(row, Of::mean), 10);
  row.values = {{"power_export_min", 5}, {"power_export_max", 9}};
  EXPECT_EQ(power_of(row, Of::min), -9);
  EXPECT_EQ(power_of(row, Of::max), -5);
  EXPECT_EQ(power_of(row, Of::mean), std::nullopt);
}

TEST(LocalTime, ZonesByName) {
  EXPECT_FALSE(use_zone("Europe/Nowhere"));
  EXPECT_FALSE(use_zone(""));
  EXPECT_FALSE(use_zone("/etc/localtime"));
  EXPECT_FALSE(use_zone("../zoneinfo/UTC"));
  EXPECT_TRUE(use_zone("Asia/Kathmandu"));
  EXPECT_EQ(zone_name(), "Asia/Kathmandu");
  EXPECT_EQ(iso_text(at(2026, 1, 1, 0)), "2026-01-01T05:45:00+05:45");
  EXPECT_TRUE(use_zone("America/St_Johns"));
  EXPECT_EQ(iso_text(at(2026, 1, 1, 0)), "2025-12-31T20:30:00-03:30");
}

TEST(LocalTime, EveryHourOfAYearComesBack) {
  // Half an hour is moved in the third, midnight in the last.
  for (const char* zone :
       {"Europe/Vienna", "America/New_York", "Australia/Lord_Howe", "UTC", "Africa/Cairo"}) {
    ASSERT_TRUE(use_zone(zone));
    int twice = 0;
    for (Instant instant = at(2026, 1, 1, 0); instant < at(2027, 1, 1, 0); instant += 15min) {
      const Local local = local_of(instant);
      EXPECT_TRUE(instant_of(local, Twice::first) == instant ||
                  instant_of(local, Twice::last) == instant)
          << zone << " " << iso_text(instant);
      twice += comes_twice(instant) ? 1 : 0;
    }
    const std::string name = zone;
    EXPECT_EQ(twice, name == "UTC" ? 0 : name == "Australia/Lord_Howe" ? 4 : 8) << zone;
  }
}

}  // namespace
}  // namespace smartmeterctl
