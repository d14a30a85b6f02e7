// SPDX-License-Identifier: Apache-2.0
// QuarterHour: which readings are kept, exactly, and the text that a row is in the file.
#include "daemon/history/quarter_hour.hpp"

#include <gtest/gtest.h>

#include "tests/daemon/history/rows.hpp"

namespace smartmeterd::history {
namespace {

using meter::Unit;

const QuarterHour::Column* column(QuarterHour& row, std::string_view name) {
  return row.find(name, 0);
}

TEST(QuarterHour, BeginsAtMultiplesOf900Seconds) {
  // date -u -d '2026-11-27 12:15:00' +%s
  EXPECT_EQ(utc("2026-11-27 12:15"), 1795781700);
  EXPECT_EQ(quarter_of(1795781700'000000), 1795781700);
  EXPECT_EQ(quarter_of(1795781699'999999), 1795780800);
  EXPECT_EQ(quarter_of(1795782599'999999), 1795781700);
  EXPECT_EQ(quarter_of(0), 0);
  EXPECT_EQ(quarter_of(-1), -900);
  EXPECT_EQ(quarter_of(-900'000'000), -900);
  EXPECT_EQ(quarter_of(-900'000'001), -1800);
}

TEST(QuarterHour, KeepsRegistersThatGrowForEverAndPowerAndVoltage) {
  QuarterHour row =
      quarter("m", 0,
              {{{"energy_import", "12345.678"},
                {"energy_net", "-3.5"},
                {"current_l1", "1.2", Unit::ampere},
                {"power_import", "600", Unit::watt},
                {"power_factor", "0.9", Unit::none},
                {"voltage_l1", "230.1", Unit::volt},
                {"volume", "17.000", Unit::cubic_metre},
                {"reactive_energy_import", "4.000", Unit::kilovar_hour},
                {"energy_pump", "2.50"},
                {"power_failures", "3", Unit::none},
                {"operating_time", "9", Unit::hour}},
               {{"energy_import", "12345.700"}, {"power_import", "200.5", Unit::watt}},
               {{"power_import", "1000", Unit::watt}, {"voltage_l1", "229.9", Unit::volt}}});
  EXPECT_EQ(row.telegrams, 3u);
  std::vector<std::string> names;
  for (const auto& kept : row.columns) names.push_back(kept.name);
  EXPECT_EQ(names, (std::vector<std::string>{"energy_import", "power_import", "voltage_l1",
                                             "volume", "reactive_energy_import", "energy_pump"}));
  EXPECT_EQ(column(row, "energy_import")->last, decimal("12345.700")) << "digit for digit";
  EXPECT_EQ(column(row, "volume")->last, decimal("17.000"));
  const auto* power = column(row, "power_import");
  EXPECT_EQ(power->count, 3u);
  EXPECT_EQ(power->min, decimal("200.5"));
  EXPECT_EQ(power->max, decimal("1000"));
  EXPECT_EQ(power->sum, decimal("1800.5"));
  EXPECT_EQ(column(row, "voltage_l1")->count, 2u) << "not in each telegram";
}

TEST(QuarterHour, TextsAndTimesAreNotKept) {
  meter::NamedReadings all = readings({{"energy_import", "1"}, {"power_import", "1", Unit::watt}});
  all[0].is_text = true;
  all[1].is_time = true;
  QuarterHour row;
  row.take(all);
  EXPECT_EQ(row.telegrams, 1u);
  EXPECT_TRUE(row.columns.empty());
}

TEST(QuarterHour, WhatCameLaterIsMerged) {
  QuarterHour row = quarter("m", 0,
                            {{{"energy_import", "1.5"}, {"power_import", "10", Unit::watt}},
                             {{"power_import", "30", Unit::watt}}});
  row.merge(quarter("m", 0,
                    {{{"power_import", "-5", Unit::watt},
                      {"energy_import", "1.6"},
                      {"voltage_l1", "230", Unit::volt}}}));
  EXPECT_EQ(row.telegrams, 3u);
  EXPECT_EQ(column(row, "energy_import")->last, decimal("1.6"));
  EXPECT_EQ(column(row, "power_import")->count, 3u);
  EXPECT_EQ(column(row, "power_import")->sum, decimal("35"));
  EXPECT_EQ(column(row, "power_import")->min, decimal("-5"));
  EXPECT_EQ(column(row, "power_import")->max, decimal("30"));
  EXPECT_EQ(column(row, "voltage_l1")->count, 1u);
}

TEST(QuarterHour, IsJsonInTheFile) {
  const QuarterHour row =
      quarter("m", 0,
              {{{"energy_import", "12345.670"}, {"power_import", "-7", Unit::watt}},
               {{"power_import", "12.5", Unit::watt}}});
  const std::vector<std::string> names = {"power_import", "volume", "energy_import"};
  const std::string payload = payload_of(row, names);
  EXPECT_EQ(payload, "[[-7,12.5,5.5,2],null,12345.670]");
  QuarterHour read;
  ASSERT_TRUE(read_payload(payload, names, read));
  ASSERT_EQ(read.columns.size(), 3u);
  EXPECT_FALSE(read.columns[0].is_counter);
  EXPECT_EQ(read.columns[0].count, 2u);
  EXPECT_EQ(read.columns[0].sum, decimal("5.5"));
  EXPECT_EQ(read.columns[1].count, 0u);
  EXPECT_TRUE(read.columns[2].is_counter);
  EXPECT_EQ(read.columns[2].last, decimal("12345.670"));
  EXPECT_EQ(payload_of(read, names), payload);
}

TEST(QuarterHour, OlderRowsHaveFewerNames) {
  const std::vector<std::string> names = {"energy_import", "volume"};
  QuarterHour read;
  ASSERT_TRUE(read_payload("[3]", names, read));
  EXPECT_EQ(read.columns[0].count, 1u);
  EXPECT_EQ(read.columns[1].count, 0u);
  ASSERT_TRUE(read_payload("[]", names, read));
  EXPECT_EQ(read.columns[0].count, 0u);
}

TEST(QuarterHour, AnythingElseIsRefused) {
  const std::vector<std::string> names = {"energy_import", "power_import"};
  for (const char* text : {"", "[", "]", "[1", "[1,2,3]", "[1,]", "[,1]", "[1,[1,2,3]]",
                           "[1,[1,2,3,0]]", "[1,[1,2,3,4]", "[1] ", "[nul]", "[1,[1,2,3,-4]]",
                           "[\"x\"]", "[1e3]", "[1,[1,2,3,99999999999]]", "null", "[--1]"}) {
    QuarterHour read;
    EXPECT_FALSE(read_payload(text, names, read)) << text;
  }
}

TEST(QuarterHour, NoValueIsTooLarge) {
  meter::NamedReadings all = readings({{"power_import", "1", Unit::watt}, {"energy_import", "1"}});
  for (const meter::Decimal value :
       {meter::Decimal{INT64_MAX, 0}, meter::Decimal{INT64_MIN, 0}, meter::Decimal{1, 30},
        meter::Decimal{1, -30}, meter::Decimal{999'999'999'999'999'999, 0},
        meter::Decimal{999'999'999'999'999'999, -18}}) {
    QuarterHour row;
    all[0].value = all[1].value = value;
    for (int i = 0; i < 100; ++i) row.take(all);
    const std::vector<std::string> names = {"energy_import", "power_import"};
    QuarterHour read;
    EXPECT_TRUE(read_payload(payload_of(row, names), names, read)) << payload_of(row, names);
  }
}

}  // namespace
}  // namespace smartmeterd::history
