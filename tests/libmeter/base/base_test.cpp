// SPDX-License-Identifier: Apache-2.0
// Exactness and text of the small value types.
#include <gtest/gtest.h>

#include <array>
#include <string>

#include "meter/base/decimal.hpp"
#include "meter/base/inline_vector.hpp"
#include "meter/base/reader.hpp"
#include "meter/date_time.hpp"
#include "meter/obis.hpp"
#include "meter/unit.hpp"

namespace meter {
namespace {

std::string text(Decimal value) {
  std::array<char, Decimal::text_size_max> buffer;
  return std::string(value.to_text(buffer));
}
std::string text(Obis obis) {
  std::array<char, Obis::text_size_max> buffer;
  return std::string(obis.to_text(buffer));
}
std::string text(const DateTime& time) {
  std::array<char, DateTime::text_size_max> buffer;
  return std::string(time.to_text(buffer));
}
template <std::size_t N>
std::array<std::byte, N> octets(const unsigned char (&values)[N]) {
  std::array<std::byte, N> out;
  for (std::size_t i = 0; i < N; ++i) out[i] = std::byte{values[i]};
  return out;
}

TEST(Decimal, PrintsTheDigitsAsSent) {
  EXPECT_EQ(text(Decimal{12048950, -3}), "12048.950");
  EXPECT_EQ(text(Decimal{2337, -1}), "233.7");
  EXPECT_EQ(text(Decimal{0, -3}), "0.000");
  EXPECT_EQ(text(Decimal{-5, -3}), "-0.005");
  EXPECT_EQ(text(Decimal{7, 2}), "700");
  EXPECT_EQ(text(Decimal{0, 5}), "0");
  EXPECT_EQ(text(Decimal{INT64_MIN, 0}), "-9223372036854775808");
  EXPECT_EQ(text(Decimal{INT64_MIN, -30}), "-0.000000000009223372036854775808");
  EXPECT_LE(text(Decimal{INT64_MIN, 30}).size(), Decimal::text_size_max);
}

TEST(Decimal, ParsesWhatMetersPrintAndNothingElse) {
  EXPECT_EQ(Decimal::parse("00123.450"), (Decimal{123450, -3}));
  EXPECT_EQ(Decimal::parse("-1.5"), (Decimal{-15, -1}));
  EXPECT_EQ(Decimal::parse("000000000000000000000000012"), (Decimal{12, 0}));
  for (const char* wrong :
       {"", "-", ".5", "5.", "1.2.3", "1e5", "12a", " 1", "1234567890123456789"})
    EXPECT_FALSE(Decimal::parse(wrong)) << wrong;
}

TEST(Decimal, ArithmeticIsExactOrRefused) {
  EXPECT_EQ(Decimal::subtract({5, -1}, {2, -3}), (Decimal{498, -3}));
  EXPECT_EQ(Decimal::add({1, 3}, {1, 0}), (Decimal{1001, 0}));
  EXPECT_FALSE(Decimal::add({INT64_MAX, 0}, {1, 0}));
  EXPECT_FALSE(Decimal::add({1, 30}, {1, -30}));
  EXPECT_EQ(Decimal::compare({10, -1}, {1, 0}), 0);
  EXPECT_LT(Decimal::compare({9, -1}, {1, 0}), 0);
  EXPECT_GT(Decimal::compare({1, 30}, {1, -30}), 0);
  EXPECT_DOUBLE_EQ((Decimal{12937, -3}).to_double(), 12.937);
}

TEST(Obis, ParsesAndPrints) {
  EXPECT_EQ(text("1-0:1.8.0"_obis), "1-0:1.8.0");
  EXPECT_EQ(text("1-0:1.8.0*255"_obis), "1-0:1.8.0");
  EXPECT_EQ(text("1-0:1.8.0*01"_obis), "1-0:1.8.0*1");
  for (const char* wrong :
       {"", "1.8.0", "1-0:1.8", "1-0:1.8.0*", "1-0:256.8.0", "1-0:1.8.0.255", "x"})
    EXPECT_FALSE(Obis::parse(wrong)) << wrong;
}

// The worked examples of libmeter/doc/axdr.md; COSEM counts the deviation from local time to UTC.
TEST(DateTime, ReadsCosemClocks) {
  const auto summer =
      octets({0x07, 0xE5, 0x09, 0x1B, 0x01, 0x09, 0x2F, 0x0F, 0x00, 0xFF, 0x88, 0x80});
  const auto time = DateTime::from_cosem(summer);
  ASSERT_TRUE(time);
  EXPECT_EQ(text(*time), "2021-09-27T09:47:15+02:00");
  EXPECT_EQ(time->to_epoch_us(), 1632728835000000);

  const auto without_zone =
      octets({0x07, 0xE1, 0x09, 0x0F, 0x05, 0x05, 0x21, 0x28, 0xFF, 0x80, 0x00, 0x00});
  ASSERT_TRUE(DateTime::from_cosem(without_zone));
  EXPECT_EQ(text(*DateTime::from_cosem(without_zone)), "2017-09-15T05:33:40");
  EXPECT_FALSE(DateTime::from_cosem(without_zone)->to_epoch_us());
}

TEST(DateTime, RefusesImpossibleClocks) {
  const auto good =
      octets({0x07, 0xE5, 0x09, 0x1B, 0x01, 0x09, 0x2F, 0x0F, 0x00, 0xFF, 0x88, 0x80});
  ASSERT_TRUE(DateTime::from_cosem(good));
  EXPECT_FALSE(DateTime::from_cosem(Bytes(good).first(11)));
  for (std::size_t i : {0u, 2u, 3u, 5u, 6u}) {
    auto unspecified = good;
    unspecified[i] = std::byte{0xff};
    EXPECT_FALSE(DateTime::from_cosem(unspecified)) << i;
  }
  auto february = good;
  february[2] = std::byte{2};
  february[3] = std::byte{30};
  EXPECT_FALSE(DateTime::from_cosem(february));
  auto far_east = good;
  far_east[9] = std::byte{0x10};
  EXPECT_FALSE(DateTime::from_cosem(far_east));
}

TEST(DateTime, ReadsP1TimeStamps) {
  const auto time = DateTime::from_p1("210204163628W");
  ASSERT_TRUE(time);
  EXPECT_EQ(text(*time), "2021-02-04T16:36:28");
  EXPECT_FALSE(DateTime::from_p1("210204163628X"));
  EXPECT_FALSE(DateTime::from_p1("21020416362W"));
  EXPECT_FALSE(DateTime::from_p1("21023016362 W"));
}

TEST(Reader, PoisonsItselfAtTheEnd) {
  const auto data = octets({0x01, 0x02, 0x03});
  Reader in(data);
  EXPECT_EQ(in.be<std::uint16_t>(), 0x0102);
  EXPECT_EQ(in.be<std::uint16_t>(), 0);
  EXPECT_FALSE(in.ok());
  EXPECT_EQ(in.octet(), 0);
  EXPECT_EQ(in.remaining(), 0u);
}

TEST(Reader, ReadsEveryBerLengthForm) {
  const auto forms = octets({0x7f, 0x81, 0xf8, 0x82, 0x00, 0x3c, 0x84, 0x00, 0x00, 0x01, 0x00});
  Reader in(forms);
  EXPECT_EQ(in.ber_length(), 0x7fu);
  EXPECT_EQ(in.ber_length(), 0xf8u);
  EXPECT_EQ(in.ber_length(), 0x3cu);
  EXPECT_EQ(in.ber_length(), 0x100u);
  EXPECT_TRUE(in.consumed());
  for (const std::byte first : {std::byte{0x80}, std::byte{0x85}, std::byte{0xff}}) {
    Reader refused(Bytes(&first, 1));
    (void)refused.ber_length();
    EXPECT_FALSE(refused.ok());
  }
}

TEST(InlineVector, RefusesWhenFull) {
  InlineVector<int, 2> numbers;
  EXPECT_TRUE(numbers.push_back(1));
  EXPECT_TRUE(numbers.push_back(2));
  EXPECT_FALSE(numbers.push_back(3));
  EXPECT_EQ(numbers.size(), 2u);
  EXPECT_EQ(numbers.back(), 2);
  const InlineVector<int, 2> copy = numbers;
  EXPECT_EQ(copy[0], 1);
}

TEST(Unit, SymbolsGoBothWays) {
  EXPECT_EQ(symbol(Unit::watt_hour), "Wh");
  EXPECT_EQ(unit_from_symbol("kWh"), Unit::kilowatt_hour);
  EXPECT_EQ(unit_from_symbol("m3"), Unit::cubic_metre);
  EXPECT_FALSE(unit_from_symbol("furlong"));
  EXPECT_EQ(base_of(Unit::kilowatt_hour).power, 3);
  EXPECT_TRUE(is_cosem_unit(255));
  EXPECT_FALSE(is_cosem_unit(58));
  EXPECT_FALSE(is_cosem_unit(0));
}

}  // namespace
}  // namespace meter
