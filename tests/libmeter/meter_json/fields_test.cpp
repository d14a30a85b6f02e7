// SPDX-License-Identifier: Apache-2.0
// Exact numbers, units behind numbers, times, keys that are codes, names of meters.
#include "meter_json/fields.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace meter::json {
namespace {

std::string printed(std::optional<Decimal> value) {
  std::array<char, Decimal::text_size_max> buffer;
  return value ? std::string(value->to_text(buffer)) : "none";
}
std::string printed(std::optional<DateTime> time) {
  std::array<char, DateTime::text_size_max> buffer;
  return time ? std::string(time->to_text(buffer)) : "none";
}

TEST(Number, KeepsEveryDigit) {
  EXPECT_EQ(printed(parse_number("15254.827")), "15254.827");
  EXPECT_EQ(printed(parse_number("0.1")), "0.1");
  EXPECT_EQ(printed(parse_number("-8388.608")), "-8388.608");
  EXPECT_EQ(printed(parse_number("9007199254740993")), "9007199254740993") << "2^53 + 1";
  EXPECT_EQ(printed(parse_number("2.50")), "2.50");
}

TEST(Number, TakesExponents) {
  EXPECT_EQ(printed(parse_number("1.5e3")), "1500");
  EXPECT_EQ(printed(parse_number("12E-3")), "0.012");
  EXPECT_EQ(printed(parse_number("1e+2")), "100");
  EXPECT_EQ(printed(parse_number("0e999999999999")), "0");
}

TEST(Number, RefusesWhatItCannotHold) {
  for (const char* token : {"1e400", "1e-400", "1e99999999999999999999", "1234567890123456789",
                            "0.1234567890123456789", "", "-", "x"})
    EXPECT_EQ(printed(parse_number(token)), "none") << token;
}

TEST(MeasuredValue, MayHaveItsUnitBehindIt) {
  const auto of_text = [](std::string_view text) {
    Node node;
    node.kind = Node::Kind::text;
    node.text = text;
    return measured(node);
  };
  for (const char* text : {"1.23 kWh", "1.23kWh", " 1.23  kWh "}) {
    ASSERT_TRUE(of_text(text)) << text;
    EXPECT_EQ(printed(of_text(text)->value), "1.23");
    EXPECT_EQ(of_text(text)->unit, "kWh");
  }
  EXPECT_EQ(of_text("+5")->unit, "");
  EXPECT_EQ(printed(of_text("5.")->value), "5");
  for (const char* text : {"", "kWh", "nan", "--", "-", "on"}) EXPECT_FALSE(of_text(text)) << text;
}

TEST(Time, InTheFormsOfGateways) {
  EXPECT_EQ(printed(parse_time("2022-11-07T09:20:08Z")), "2022-11-07T09:20:08+00:00");
  EXPECT_EQ(printed(parse_time("2020-10-06 20:53:16")), "2020-10-06T20:53:16");
  EXPECT_EQ(printed(parse_time("2022-11-07T09:20:08.123+01:00")), "2022-11-07T09:20:08+01:00");
  EXPECT_EQ(printed(parse_time("2022-11-07T09:20:08-0330")), "2022-11-07T09:20:08-03:30");
  for (const char* text :
       {"", "2022-02-30T00:00:00", "2022-11-07", "2022-11-07T24:00:00", "2022-11-07T09:20:08X",
        "2022-11-07T09:20:08+99:00", "0000-01-01T00:00:00", "22-11-07T09:20:08"})
    EXPECT_EQ(printed(parse_time(text)), "none") << text;
}

TEST(Time, OfSecondsSince1970) {
  // Glow prints the same moment as 5F7CD93C, 1602017596 and 2020-10-06 20:53:16.
  EXPECT_EQ(printed(time_of_epoch(0x5F7CD93C)), "2020-10-06T20:53:16+00:00");
  for (const std::int64_t wrong : {std::int64_t{0}, std::int64_t{-1}, INT64_MAX, INT64_MIN})
    EXPECT_FALSE(time_of_epoch(wrong));
}

TEST(KeyAsCode, IsReadInEverySpelling) {
  EXPECT_EQ(obis_of_key("1-0:32.7.0"), "1-0:32.7.0"_obis);
  EXPECT_EQ(obis_of_key("1_8_0"), "1-0:1.8.0"_obis);
  EXPECT_EQ(obis_of_key("1.7.0"), "1-0:1.7.0"_obis);
  EXPECT_EQ(obis_of_key("1-1:1.8.0*255"), "1-1:1.8.0"_obis);
  for (const char* key :
       {"", "1", "1.8", "1.8.0.1", "300.8.0", "1.8.0 ", "1.8.x", "-1.8.0", "1-0:1.8.0*255*1", "Pi"})
    EXPECT_FALSE(obis_of_key(key)) << key;
}

TEST(Identity, IsNoPlaceholder) {
  for (const char* text : {"1416293100004", "abcd", "19K0181107", "LGZ1030655933512"})
    EXPECT_TRUE(is_identity(text)) << text;
  // What the corpus and its sources show in place of an MPAN or MPRN, and what could follow.
  for (const char* text :
       {"", "EMPTY", "---", "not available", "null", "0000000000", "a\nb", "\x01"})
    EXPECT_FALSE(is_identity(text)) << text;
  EXPECT_FALSE(is_identity(std::string(65, '1')));
}

}  // namespace
}  // namespace meter::json
