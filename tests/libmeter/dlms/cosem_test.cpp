// SPDX-License-Identifier: Apache-2.0
// Logical names, scaler_unit and what a code says about its value (IEC 62056-61, Blue Book class
// 3).
#include "meter/dlms/cosem.hpp"

#include <gtest/gtest.h>

#include <optional>

#include "tests/libmeter/link/frames.hpp"

namespace meter::dlms {
namespace {

using test::from_hex;

bool is_code(std::string_view hex) {
  const auto octets = from_hex(hex);
  DataIndex index;
  return index.build(octets) && is_logical_name(index[0]);
}

TEST(LogicalName, SixOctetsAreNotAlwaysACode) {
  EXPECT_TRUE(is_code("09 06 0100010800FF"));
  EXPECT_TRUE(is_code("09 06 0000600101FF"));
  EXPECT_TRUE(is_code("09 06 0101000005FF"));
  EXPECT_TRUE(is_code("09 06 010063010001")) << "F counts billing periods";
  EXPECT_FALSE(is_code("09 06 313630343536")) << "the meter number 160456 of an AM550";
  EXPECT_FALSE(is_code("0A 06 0100010800FF")) << "a visible string";
  EXPECT_FALSE(is_code("09 05 0100010800"));
  EXPECT_FALSE(is_code("09 06 0141010800FF")) << "B beyond 64";
  EXPECT_FALSE(is_code("09 06 0100C80800FF")) << "C beyond 199";
  EXPECT_FALSE(is_code("09 06 010001810 0FF")) << "D beyond 128";
  EXPECT_FALSE(is_code("09 06 01000108007F")) << "F between 127 and 254";
}

std::optional<ScalerUnit> scaler_of(std::string_view hex) {
  const auto octets = from_hex(hex);
  DataIndex index;
  if (!index.build(octets) || !is_scaler_unit(index[0])) return std::nullopt;
  return scaler_unit(index[0]);
}

TEST(ScalerUnit, IsAStructureOfIntegerAndEnum) {
  const auto volts = scaler_of("02 02 0F FF 16 23");
  ASSERT_TRUE(volts);
  EXPECT_EQ(volts->scaler, -1);
  EXPECT_EQ(volts->unit, Unit::volt);
  EXPECT_EQ(scaler_of("02 02 0F FD 16 FF")->unit, Unit::none);
  EXPECT_FALSE(scaler_of("01 02 0F FF 16 23")) << "an array";
  EXPECT_FALSE(scaler_of("02 02 11 FF 16 23")) << "an unsigned scaler";
  EXPECT_FALSE(scaler_of("02 02 0F FF 11 23")) << "no enum";
  EXPECT_FALSE(scaler_of("02 03 0F FF 16 23 00"));
  EXPECT_FALSE(scaler_of("02 02 0F 0B 16 23")) << "scaler beyond 10";
  EXPECT_FALSE(scaler_of("02 02 0F 00 16 3A")) << "unit 58 is reserved";
  EXPECT_FALSE(scaler_of("02 01 0F 00"));
}

void expect_implied(Obis obis, Magnitude magnitude, Unit unit) {
  const ImpliedUnit implied = implied_unit(obis);
  char text[Obis::text_size_max];
  EXPECT_EQ(implied.magnitude, magnitude) << obis.to_text(text);
  EXPECT_EQ(implied.unit, unit) << obis.to_text(text);
}

TEST(ImpliedUnit, FollowsGroupsCAndD) {
  expect_implied("1-0:1.8.0"_obis, Magnitude::energy, Unit::watt_hour);
  expect_implied("1-1:2.8.2"_obis, Magnitude::energy, Unit::watt_hour);
  expect_implied("1-0:3.8.0"_obis, Magnitude::energy, Unit::var_hour);
  expect_implied("1-1:8.8.0"_obis, Magnitude::energy, Unit::var_hour);
  expect_implied("1-0:9.8.0"_obis, Magnitude::energy, Unit::volt_ampere_hour);
  expect_implied("1-0:1.7.0"_obis, Magnitude::power, Unit::watt);
  expect_implied("1-0:16.7.0"_obis, Magnitude::power, Unit::watt);
  expect_implied("1-0:61.7.0"_obis, Magnitude::power, Unit::watt);
  expect_implied("1-0:64.7.0"_obis, Magnitude::power, Unit::var);
  expect_implied("1-0:29.7.0"_obis, Magnitude::power, Unit::volt_ampere);
  expect_implied("1-0:32.7.0"_obis, Magnitude::voltage, Unit::volt);
  expect_implied("1-0:72.7.0"_obis, Magnitude::voltage, Unit::volt);
  expect_implied("1-0:51.7.0"_obis, Magnitude::current, Unit::ampere);
  expect_implied("1-0:91.7.0"_obis, Magnitude::current, Unit::ampere);
  expect_implied("1-0:33.7.0"_obis, Magnitude::power_factor, Unit::none);
}

TEST(ImpliedUnit, StatesAndIdentifiersNeedNoScaler) {
  expect_implied("0-0:96.14.0"_obis, Magnitude::unscaled, Unit::none);
  expect_implied("0-0:97.97.0"_obis, Magnitude::unscaled, Unit::none);
  expect_implied("0-1:24.1.0"_obis, Magnitude::unscaled, Unit::none);
  expect_implied("1-1:0.0.1"_obis, Magnitude::unscaled, Unit::none);
}

TEST(ImpliedUnit, SaysNothingElsewhere) {
  expect_implied("0-0:17.0.0"_obis, Magnitude::other, Unit::none);
  expect_implied("0-1:24.2.1"_obis, Magnitude::other, Unit::none);
  expect_implied("1-0:14.7.0"_obis, Magnitude::other, Unit::none);
  expect_implied("1-0:32.32.0"_obis, Magnitude::other, Unit::none);
  expect_implied("1-0:81.7.40"_obis, Magnitude::other, Unit::none);
  expect_implied("7-0:3.0.0"_obis, Magnitude::other, Unit::none);
}

}  // namespace
}  // namespace meter::dlms
