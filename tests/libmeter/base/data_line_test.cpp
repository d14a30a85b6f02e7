// SPDX-License-Identifier: Apache-2.0
// Data lines of P1 and IEC 62056-21: codes, values, units.
#include "meter/data_line.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace meter {
namespace {

std::string text_of_code(std::string_view code) {
  const auto obis = parse_line_code(code);
  if (!obis) return "refused";
  std::array<char, Obis::text_size_max> buffer;
  return std::string(obis->to_text(buffer));
}

TEST(LineCode, WholeCodes) {
  EXPECT_EQ(text_of_code("1-0:1.8.0"), "1-0:1.8.0");
  EXPECT_EQ(text_of_code("0-1:24.2.1"), "0-1:24.2.1");
  EXPECT_EQ(text_of_code("1-0:1.8.0*255"), "1-0:1.8.0");
  EXPECT_EQ(text_of_code("1-0:1.8.0.255"), "1-0:1.8.0");
  EXPECT_EQ(text_of_code("0-0:96.1.255*255"), "0-0:96.1.255");
}

TEST(LineCode, ReducedCodesAreElectricityUnlessAbstract) {
  EXPECT_EQ(text_of_code("1.8.1"), "1-0:1.8.1");
  EXPECT_EQ(text_of_code("0.9.1"), "1-0:0.9.1");
  EXPECT_EQ(text_of_code("0.0"), "1-0:0.0.0");
  EXPECT_EQ(text_of_code("1.6.1*01"), "1-0:1.6.1*1");
  EXPECT_EQ(text_of_code("1.6.1&12"), "1-0:1.6.1*12");
  EXPECT_EQ(text_of_code("C.5.0"), "0-0:96.5.0");
  EXPECT_EQ(text_of_code("F.F"), "0-0:97.97.0");
  EXPECT_EQ(text_of_code("F.F.1"), "0-0:97.97.1");
  EXPECT_EQ(text_of_code("L.1.0"), "1-0:98.1.0");
  EXPECT_EQ(text_of_code("P.01"), "1-0:99.1.0");
}

TEST(LineCode, MisprintOfDsmr42) {
  EXPECT_EQ(text_of_code("1-0:72:32.0"), "1-0:72.32.0");
  EXPECT_EQ(text_of_code("1-0:4:24.7.0"), "refused");  // old Kamstrup: unknown what it means
}

TEST(LineCode, Refused) {
  for (const char* code : {"", "1", "1.", "1.8.", "1-0:", "1-0:1", "A-9:1.8.0", "1-0:256.8.0",
                           "1-0:1.8.0*", "1-0:1.8.0*2x", "1-0:1.8.0 ", " 1.8.0", "C-0:1.8.0",
                           "1-0:1.8.0*255*1", "0001.8.0", "1.8.0.1.2"})
    EXPECT_EQ(text_of_code(code), "refused") << code;
}

TEST(DataSet, ValuesInOrder) {
  std::string_view line = "0-1:24.2.1(101209112500W)(12785.123*m3)";
  auto set = next_data_set(line);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->obis, "0-1:24.2.1"_obis);
  EXPECT_EQ(set->code, "0-1:24.2.1");
  EXPECT_EQ(set->values.next(), "101209112500W");
  EXPECT_EQ(set->values.rest(), "(12785.123*m3)");
  EXPECT_EQ(set->values.next(), "12785.123*m3");
  EXPECT_EQ(set->values.next(), std::nullopt);
  EXPECT_TRUE(line.empty());
}

TEST(DataSet, EmptyValueSeveralSetsAndContinuation) {
  std::string_view line = "0-1:96.1.1()(1)0.0.0(5)(00024.123)";
  auto set = next_data_set(line);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->values.next(), "");
  EXPECT_EQ(set->values.next(), "1");
  set = next_data_set(line);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->obis, "1-0:0.0.0"_obis);
  line = "(00024.123)";
  set = next_data_set(line);
  ASSERT_TRUE(set);
  EXPECT_EQ(set->code, "");
  EXPECT_EQ(set->obis, Obis{});
  EXPECT_EQ(set->values.next(), "00024.123");
}

TEST(DataSet, UnsoundLinesStayWhereTheyAre) {
  for (const std::string_view unsound :
       {"", "1-0:1.8.0", "1-0:1.7.0(", "1-0:1.7.0(00.123*kW", "1-0:1.7.0((ER11))",
        "1-0:1.7.0(1(2*kW))", "1-0:1.7.0 (1)", "garbage(1)", "A-9:1.7.0(1)"}) {
    std::string_view line = unsound;
    EXPECT_FALSE(next_data_set(line)) << unsound;
    EXPECT_EQ(line, unsound);
  }
  std::string_view trailing = "1-0:1.7.0(1*kW) trailing";
  EXPECT_TRUE(next_data_set(trailing));
  EXPECT_EQ(trailing, " trailing");
}

TEST(DataValue, NumbersKeepTheirDigits) {
  const DataValue energy = parse_data_value("012048.950*kWh");
  EXPECT_EQ(energy.number, (Decimal{12048950, -3}));
  EXPECT_EQ(energy.unit, Unit::kilowatt_hour);
  EXPECT_EQ(parse_data_value("-00.5*kVArh").number, (Decimal{-5, -1}));
  EXPECT_EQ(parse_data_value("0002").number, (Decimal{2, 0}));
  EXPECT_EQ(parse_data_value("0002").unit, Unit::none);
  EXPECT_FALSE(parse_data_value("101209112500W").number);
  EXPECT_EQ(parse_data_value("101209112500W").text, "101209112500W");
  EXPECT_FALSE(parse_data_value("").number);
}

TEST(DataValue, LongAndOddNumbers) {
  EXPECT_EQ(parse_data_value("123456789012345678*Wh").number, (Decimal{123456789012345678, 0}));
  EXPECT_EQ(parse_data_value("00000000000000000001.5*Wh").number, (Decimal{15, -1}));
  EXPECT_EQ(parse_data_value("00032549.5061662*kWh").number, (Decimal{325495061662, -7}));
  for (const char* text : {".5", "5.", "1.2.3", "1..2", "1,5", ".", "*kWh", "1234567890123456789"})
    EXPECT_FALSE(parse_data_value(text).number) << text;
}

TEST(DataValue, UnitsInAnyCase) {
  EXPECT_EQ(parse_data_value("1*kVArh").unit, Unit::kilovar_hour);
  EXPECT_EQ(parse_data_value("1*KWH").unit, Unit::kilowatt_hour);
  EXPECT_EQ(parse_data_value("1*kw").unit, Unit::kilowatt);
  EXPECT_EQ(parse_data_value("1*Wh").unit, Unit::watt_hour);
  EXPECT_EQ(parse_data_value("1*varh").unit, Unit::var_hour);
  EXPECT_EQ(parse_data_value("1*M3").unit, Unit::cubic_metre);
  EXPECT_EQ(parse_data_value("1*m\xc2\xb3").unit, Unit::cubic_metre);
  EXPECT_EQ(parse_data_value("1*GJ").unit, Unit::gigajoule);
  EXPECT_EQ(parse_data_value("1*dm3").unit, Unit::litre);
  EXPECT_EQ(parse_data_value("1*furlong").unit, Unit::other);
  EXPECT_EQ(parse_data_value("1*").unit, Unit::none);
}

TEST(DataValue, UnitsThatCosemLacksAreScaledExactly) {
  const DataValue heat = parse_data_value("12.345*MWh");
  EXPECT_EQ(heat.unit, Unit::kilowatt_hour);
  EXPECT_EQ(heat.number, (Decimal{12345, 0}));
  const DataValue flow = parse_data_value("250*l/h");
  EXPECT_EQ(flow.unit, Unit::cubic_metre_per_hour);
  EXPECT_EQ(flow.number, (Decimal{250, -3}));
}

}  // namespace
}  // namespace meter
