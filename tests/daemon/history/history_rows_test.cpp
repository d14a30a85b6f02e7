// SPDX-License-Identifier: Apache-2.0
// HistoryRows: rows by step and calendar, their last values, growth, and means.
#include "daemon/history/history_rows.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/history/rows.hpp"

namespace smartmeterd::history {
namespace {

using meter::Unit;
using std::chrono::days;

const std::int64_t noon = utc("2026-11-27 12:00");

HistoryRows by_step(std::int64_t step_s, std::int64_t from_s = noon) {
  return {from_s, step_s, std::nullopt};
}

HistoryRows by_calendar(Period period, std::string_view zone) {
  auto calendar = Calendar::of(zone, period);
  EXPECT_TRUE(calendar.has_value());
  return {0, quarter_s, std::move(*calendar)};
}

Rows finish(HistoryRows&& rows) {
  return rows_of(std::move(rows).finish());
}

QuarterHour energy(std::int64_t start_s, std::string_view value) {
  return quarter("m", start_s, {{{"energy_import", value}}});
}

TEST(HistoryRows, AQuarterHourIsARow) {
  HistoryRows rows = by_step(quarter_s);
  rows.before(energy(noon - 900, "10.5"));
  EXPECT_TRUE(rows.add(quarter("m", noon,
                               {{{"energy_import", "10.6"},
                                 {"power_import", "100", Unit::watt},
                                 {"voltage_l1", "230.1", Unit::volt}},
                                {{"power_import", "-50", Unit::watt}}})));
  EXPECT_TRUE(rows.add(energy(noon + 1800, "10.85")));
  EXPECT_EQ(finish(std::move(rows)),
            (Rows{{noon,
                   {{"energy_import", 10.6},
                    {"energy_import_delta", 0.1},  // exactly: decimals are subtracted
                    {"power_import_min", -50},
                    {"power_import_mean", 25},
                    {"power_import_max", 100},
                    {"voltage_l1_min", 230.1},
                    {"voltage_l1_mean", 230.1},
                    {"voltage_l1_max", 230.1},
                    {"telegrams", 2}}},
                  {noon + 1800,
                   {{"energy_import", 10.85}, {"energy_import_delta", 0.25}, {"telegrams", 1}}}}));
}

TEST(HistoryRows, ALongerStepMergesThem) {
  HistoryRows rows = by_step(3600);
  rows.before(energy(noon - 900, "1"));
  for (int i = 0; i < 10; ++i) {
    const std::string power = std::to_string(100 * i);
    rows.add(
        quarter("m", noon + i * 900,
                {{{"energy_import", std::to_string(i + 2)}, {"power_import", power, Unit::watt}}}));
  }
  const Rows got = finish(std::move(rows));
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[1].first, noon + 3600);
  EXPECT_EQ(got[1].second, (Values{{"energy_import", 9},
                                   {"energy_import_delta", 4},
                                   {"power_import_min", 400},
                                   {"power_import_mean", 550},
                                   {"power_import_max", 700},
                                   {"telegrams", 4}}));
  EXPECT_EQ(got[2].first, noon + 7200);
  EXPECT_EQ(got[2].second.at("telegrams"), 2);
  EXPECT_EQ(got[2].second.at("energy_import_delta"), 2);
}

TEST(HistoryRows, StepsAreCountedFromTheBeginning) {
  HistoryRows rows = by_step(2700, noon + 900);
  rows.add(energy(noon + 900 + 2 * 2700 + 1800, "1"));
  rows.add(energy(noon + 900 + 3 * 2700, "2"));
  const Rows got = finish(std::move(rows));
  ASSERT_EQ(got.size(), 2u) << "rows without data are not there";
  EXPECT_EQ(got[0].first, noon + 900 + 2 * 2700);
  EXPECT_EQ(got[1].first, noon + 900 + 3 * 2700);
}

TEST(HistoryRows, MeansAreThoseOfTheTelegrams) {
  HistoryRows rows = by_step(1800);
  rows.add(quarter("m", noon, {{{"power", "100", Unit::watt}}}));
  rows.add(
      quarter("m", noon + 900, {{{"power", "400", Unit::watt}}, {{"power", "400", Unit::watt}}}));
  EXPECT_EQ(finish(std::move(rows))[0].second.at("power_mean"), 300);
}

TEST(HistoryRows, WithoutAValueBeforeThereIsNoGrowth) {
  HistoryRows rows = by_step(quarter_s);
  rows.add(energy(noon, "5"));
  rows.add(quarter("m", noon + 900, {{{"power", "1", Unit::watt}}}));
  rows.add(quarter("m", noon + 1800, {{{"energy_import", "7"}, {"energy_export", "1"}}}));
  const Rows got = finish(std::move(rows));
  EXPECT_FALSE(got[0].second.contains("energy_import_delta"));
  EXPECT_FALSE(got[1].second.contains("energy_import"));
  EXPECT_EQ(got[2].second.at("energy_import_delta"), 2) << "since the last value, over a gap";
  EXPECT_FALSE(got[2].second.contains("energy_export_delta"));
}

std::vector<double> growth(std::initializer_list<const char*> values, std::int64_t step_s = 900) {
  HistoryRows rows = by_step(step_s);
  std::int64_t start_s = noon;
  for (const char* value : values) {
    rows.add(energy(start_s, value));
    start_s += 900;
  }
  std::vector<double> deltas;
  for (const auto& [start, got] : finish(std::move(rows))) {
    const auto found = got.find("energy_import_delta");
    deltas.push_back(found == got.end() ? -1 : found->second);
  }
  return deltas;
}

using Deltas = std::vector<double>;

TEST(HistoryRows, ANewMeterIsNoGrowth) {
  EXPECT_EQ(growth({"1000", "1001", "3", "5", "6"}), (Deltas{-1, 1, -1, 2, 1}));
  EXPECT_EQ(growth({"1000", "0", "0", "0.5", "0.7"}), (Deltas{-1, -1, -1, 0.5, 0.2}));
  EXPECT_EQ(growth({"1000", "1001", "3", "5", "6", "8"}, 1800), (Deltas{1, -1, 3}))
      << "in the middle of a row";
}

TEST(HistoryRows, AWrongValueIsNoGrowthEither) {
  EXPECT_EQ(growth({"1000", "1001", "0", "1002", "1003"}), (Deltas{-1, 1, -1, 1, 1}));
  EXPECT_EQ(growth({"1000", "0", "0", "1002", "1003"}), (Deltas{-1, -1, -1, 2, 1}));
  EXPECT_EQ(growth({"1000", "1001", "0", "1002", "1003", "1005"}, 1800), (Deltas{1, 1, 3}))
      << "in the middle of a row";
  EXPECT_EQ(growth({"1000", "5", "3", "1002"}), (Deltas{-1, -1, -1, 2}));
}

TEST(HistoryRows, WhatWasBeforeTheFirstRowIsUnderstoodToo) {
  HistoryRows rows = by_step(quarter_s);
  rows.before(energy(noon - 1800, "1000"));
  rows.before(energy(noon - 900, "0"));
  rows.add(energy(noon, "1002"));
  EXPECT_EQ(finish(std::move(rows))[0].second.at("energy_import_delta"), 2);

  HistoryRows replaced = by_step(quarter_s);
  replaced.before(energy(noon - 1800, "1000"));
  replaced.before(energy(noon - 900, "2"));
  replaced.add(energy(noon, "3"));
  EXPECT_EQ(finish(std::move(replaced))[0].second.at("energy_import_delta"), 1);
}

TEST(HistoryRows, DaysHaveTheHoursThatTheyHave) {
  HistoryRows rows = by_calendar(Period::day, "Europe/Vienna");
  // 0.1 kWh in each quarter hour of three days, the second of which has 23 hours.
  const std::int64_t begin_s = 1774652400;  // 28 March 2026 in Vienna (zoneinfo)
  int count = 0;
  for (std::int64_t time_s = begin_s - 900; time_s < begin_s + (24 + 23 + 24) * 3600;
       time_s += 900) {
    const meter::Decimal value{1000 + count++, -1};
    QuarterHour row = energy(time_s, "0");
    row.columns[0].last = value;
    time_s < begin_s ? rows.before(row) : void(rows.add(row));
  }
  const Rows got = finish(std::move(rows));
  ASSERT_EQ(got.size(), 3u);
  const double hours[] = {24, 23, 24};
  std::int64_t expected_s = begin_s;
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(got[i].first, expected_s);
    EXPECT_EQ(got[i].second.at("telegrams"), hours[i] * 4);
    EXPECT_NEAR(got[i].second.at("energy_import_delta"), hours[i] * 0.4, 1e-9);
    expected_s += static_cast<std::int64_t>(hours[i] * 3600);
  }
}

TEST(HistoryRows, NoRowIsShownTwice) {
  // 1 November 2009 in Newfoundland: the last hour of October came back after midnight.
  HistoryRows rows = by_calendar(Period::day, "America/St_Johns");
  const std::int64_t begin_s = utc("2009-10-31 02:30");
  for (std::int64_t time_s = begin_s; time_s < begin_s + 3 * 86'400; time_s += 900)
    rows.add(energy(time_s, "1"));
  const Rows got = finish(std::move(rows));
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].first, begin_s);
  EXPECT_EQ(got[0].second.at("telegrams"), 96) << "until midnight, the first one";
  EXPECT_EQ(got[1].second.at("telegrams"), 100) << "25 hours";
  for (std::size_t i = 1; i < got.size(); ++i) EXPECT_GT(got[i].first, got[i - 1].first);
}

TEST(HistoryRows, ANewMeterThatGrowsInTheRowOfTheFallIsNoGrowth) {
  HistoryRows rows = by_step(8 * quarter_s);
  const std::int64_t start_s = noon - noon % (8 * quarter_s);
  rows.before(energy(start_s - 900, "5000"));
  std::int64_t time_s = start_s;
  for (const char* value : {"5001", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "1.7"}) {
    ASSERT_TRUE(rows.add(energy(time_s, value)));
    time_s += 900;
  }
  const Rows got = finish(std::move(rows));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_FALSE(got[0].second.contains("energy_import_delta"));
  EXPECT_EQ(got[1].second.at("energy_import_delta"), 1);
}

TEST(HistoryRows, TheFirstRowThereEverWasGrowsFromItsFirstValue) {
  HistoryRows rows = by_step(4 * quarter_s);
  const std::int64_t start_s = noon - noon % (4 * quarter_s);
  const char* const values[] = {"100", "101.5", "103", "103", "104"};
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rows.add(energy(start_s + i * 900, values[i])));
  const Rows got = finish(std::move(rows));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].second.at("energy_import_delta"), 3);
  EXPECT_EQ(got[1].second.at("energy_import_delta"), 1);

  HistoryRows single = by_step(quarter_s);
  ASSERT_TRUE(single.add(energy(noon, "100")));
  EXPECT_FALSE(finish(std::move(single))[0].second.contains("energy_import_delta"));
}

TEST(HistoryRows, WhatNoMessageHoldsIsNotCollected) {
  QuarterHour row = energy(noon, "1");
  for (int i = 0; i < 500; ++i)
    row.take(readings({{"power_" + std::to_string(i), "1", meter::Unit::watt}}));
  HistoryRows rows = by_step(quarter_s);
  std::size_t taken = 0;
  while (rows.add(row)) row.start_s = noon + static_cast<std::int64_t>(++taken) * 900;
  EXPECT_NEAR(static_cast<double>(taken), HistoryRows::values_max / 1503.0, 3);
}

TEST(HistoryRows, AnAnswerHasAnEnd) {
  HistoryRows rows = by_step(quarter_s);
  for (std::size_t i = 0; i < HistoryRows::rows_max; ++i)
    ASSERT_TRUE(rows.add(energy(noon + static_cast<std::int64_t>(i) * 900, "1")));
  HistoryRows more = by_step(quarter_s);
  std::size_t taken = 0;
  while (more.add(energy(noon + static_cast<std::int64_t>(taken) * 900, "1"))) ++taken;
  EXPECT_EQ(taken, HistoryRows::rows_max);
  EXPECT_EQ(finish(std::move(rows)).size(), HistoryRows::rows_max);
}

}  // namespace
}  // namespace smartmeterd::history
