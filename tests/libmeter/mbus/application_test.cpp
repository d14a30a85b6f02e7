// SPDX-License-Identifier: Apache-2.0
// Records of EN 13757-3: published telegrams, every type of number, dates, VIFEs, refusals, limits.
#include "meter/mbus/application.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "meter/mbus/amis.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter::mbus {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;
using Function = ReadingDetail::Function;
using Kind = Reading::Kind;

// M-Bus documentation 4.8, 6.2 and 6.5, without the link layer's octets.
constexpr const char* published_fixed = "08 05 73 78 56 34 12 0A 00 E9 7E 01 00 00 00 35 01 00 00";
constexpr const char* published_records =
    "08 02 72 78 56 34 12 24 40 01 07 55 00 00 00"
    "03 13 15 31 00  DA 02 3B 13 01  8B 60 04 37 18 02";

/// Header of a water meter 12345678 of PAD, and of its electricity meter.
constexpr const char* water = "08 02 72 78 56 34 12 24 40 01 07 55 00 00 00";
constexpr const char* electricity = "08 02 72 78 56 34 12 24 40 01 02 55 00 00 00";
constexpr std::size_t header_size = 15;

/// What a message says; views into `octets`.
struct Said {
  explicit Said(Octets message) : octets(std::move(message)) {
    const auto read = decode(octets, set, nullptr, 0);
    if (!read) fault = read.error();
  }
  Said(const char* header, const char* records)
      : Said(concatenated({from_hex(header), from_hex(records)})) {}
  explicit Said(const char* records) : Said(water, records) {}

  const Reading& reading(std::size_t at = 0) const { return set.readings[at]; }
  const ReadingDetail& detail(std::size_t at = 0) const { return set.details[at]; }
  std::string label(std::size_t at = 0) const { return std::string(detail(at).label); }
  /// "12.565 m³", a text as it is, "#" and hex digits for octets, a date-time in ISO 8601.
  std::string value(std::size_t at = 0) const {
    const Reading& said = reading(at);
    char text[Decimal::text_size_max];
    switch (said.kind()) {
      case Kind::number: {
        std::string out(said.value().to_text(text));
        if (said.unit() != Unit::none) out.append(" ").append(symbol(said.unit()));
        return out;
      }
      case Kind::text:
        return std::string(said.text());
      case Kind::date_time: {
        const auto time = said.date_time();
        return time ? std::string(time->to_text(text)) : "invalid";
      }
      case Kind::octets:
        break;
    }
    std::string out = "#";
    constexpr const char* digits = "0123456789ABCDEF";
    for (const std::byte octet : said.octets()) {
      out.push_back(digits[u8(octet) >> 4]);
      out.push_back(digits[u8(octet) & 15]);
    }
    return out;
  }
  /// The message's records, without what the header says.
  std::size_t records() const {
    return static_cast<std::size_t>(std::ranges::count_if(set.details, &ReadingDetail::is_record));
  }

  Octets octets;
  ReadingSet set;
  Fault fault{};
};

std::string value_of(const char* records) {
  return Said(records).value();
}

TEST(MbusRecords, PublishedTelegram) {
  const Said said(from_hex(published_records));
  ASSERT_EQ(said.set.readings.size(), 5u);
  ASSERT_EQ(said.set.details.size(), 5u);
  EXPECT_EQ(said.set.meter_id.view(), "12345678");
  EXPECT_EQ(said.set.manufacturer.view(), "PAD");
  EXPECT_EQ(said.set.medium, Medium::water);
  EXPECT_EQ(said.set.profile, "mbus-records");
  EXPECT_EQ(said.set.link, Link::mbus_master);

  EXPECT_EQ(said.label(0), "volume");
  EXPECT_EQ(said.value(0), "12.565 m³");
  EXPECT_NE(said.reading(0).obis(), Obis{}) << "a water meter's current volume has a name";
  EXPECT_EQ(said.detail(0).storage, 0u);

  EXPECT_EQ(said.label(1), "volume flow");
  EXPECT_EQ(said.value(1), "0.113 m³/h");
  EXPECT_EQ(said.detail(1).storage, 5u);
  EXPECT_EQ(said.detail(1).function, Function::maximum);
  EXPECT_EQ(said.reading(1).obis(), Obis{}) << "a maximum of the past";

  EXPECT_EQ(said.label(2), "energy");
  EXPECT_EQ(said.value(2), "218370 Wh");
  EXPECT_EQ(said.detail(2).tariff, 2u);
  EXPECT_EQ(said.detail(2).subunit, 1u);
  EXPECT_EQ(said.detail(2).storage, 0u);
  EXPECT_EQ(said.reading(2).obis(), Obis{}) << "another subunit's";

  EXPECT_EQ(said.label(3), "access number");
  EXPECT_EQ(said.value(3), "85");
  EXPECT_EQ(said.label(4), "status");
  EXPECT_EQ(said.value(4), "0");
}

TEST(MbusFixed, PublishedTelegram) {
  const Said said(from_hex(published_fixed));
  ASSERT_EQ(said.records(), 2u);
  EXPECT_EQ(said.set.meter_id.view(), "12345678");
  EXPECT_EQ(said.set.medium, Medium::water);
  EXPECT_EQ(said.set.profile, "mbus-fixed");
  EXPECT_EQ(said.value(0), "0.001 m³");
  EXPECT_EQ(said.detail(0).storage, 0u);
  EXPECT_EQ(said.value(1), "0.135 m³") << "same unit but historic";
  EXPECT_EQ(said.detail(1).storage, 1u);
  EXPECT_EQ(said.reading(1).obis(), Obis{});
  EXPECT_EQ(said.label(2), "access number");
  EXPECT_EQ(said.value(2), "10");
}

TEST(MbusFixed, StatusUnitsAndMedium) {
  const auto fixed = [](std::size_t at, unsigned octet) {
    Octets message = from_hex(published_fixed);
    message[at] = static_cast<std::byte>(octet);
    return Said(std::move(message));
  };
  constexpr std::size_t status = 8, first_unit = 9, second_unit = 10, second_counter = 15;
  EXPECT_EQ(fixed(status, 0x01).value(1), "0.309 m³") << "binary: 135 hex";
  const Said stored = fixed(status, 0x02);
  EXPECT_EQ(stored.detail(0).storage, 1u) << "stored at a fixed date";
  EXPECT_EQ(stored.detail(1).storage, 1u);
  EXPECT_EQ(fixed(first_unit, 0xc5).value(0), "1000 Wh") << "kWh";
  EXPECT_EQ(fixed(first_unit, 0xc6).value(0), "10000 Wh");
  EXPECT_EQ(fixed(first_unit, 0xce).value(0), "1000000 J") << "MJ";
  EXPECT_EQ(fixed(first_unit, 0xd7).value(0), "1000 W") << "kW";
  EXPECT_EQ(fixed(first_unit, 0xec).value(0), "1 m³");
  EXPECT_EQ(fixed(first_unit, 0xf2).value(0), "0.001 m³/h");
  EXPECT_EQ(fixed(first_unit, 0xf2).value(1), "0.135 m³/h");
  EXPECT_EQ(fixed(first_unit, 0xff).value(0), "1") << "without a unit";
  // Bits 7 and 6 of the second unit, then of the first.
  EXPECT_EQ(fixed(second_unit, 0xbe).set.medium, Medium::heat) << "1011: of mode 2";
  EXPECT_EQ(fixed(first_unit, 0xa9).set.medium, Medium::warm_water);
  EXPECT_EQ(fixed(second_counter, 0xef).value(1), "#EF010000") << "an error display";
  const Octets whole = from_hex(published_fixed);
  for (std::size_t size = 3; size < whole.size(); ++size) {
    const Said said(Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_EQ(said.fault.code, Errc::truncated) << size;
  }
  const Said longer(concatenated({from_hex(published_fixed), from_hex("00")}));
  EXPECT_EQ(longer.fault.code, Errc::malformed);
  EXPECT_EQ(longer.fault.offset, 19u);
}

/// Netz Oberösterreich, version 05.11.2021: read by position and record by record it is the same.
TEST(MbusRecords, AmisAsByPosition) {
  const Octets clear = from_hex(
      "2F2F 066D 5F0C48C1171B 0403 00720A00 04833C 84F90100 8410FB8273 1E760500"
      "8410FB82F33C 263E0100 042B 00000000 04AB3C 75000000 04FB14 00000000 04FB943C 00000000"
      "0483FF04 14000000 2F2F");
  ReadingSet by_position;
  ASSERT_TRUE(decode_amis(clear, by_position, nullptr, 0));
  const Octets header = from_hex("53 F0 5B 00 00 00 00 2D 4C 01 0E 0D 00 00 00");
  const Said said(concatenated({header, clear}));
  EXPECT_EQ(said.records(), 10u);
  EXPECT_EQ(said.set.profile, "amis-td351x");
  EXPECT_EQ(said.set.medium, Medium::electricity);
  ASSERT_TRUE(said.set.time);
  EXPECT_EQ(said.set.time, by_position.time);
  for (const Reading& expected : by_position.readings) {
    // With its only tariff the meter's total is said: that the list knows, not the records.
    if (expected.obis() == "1-0:3.8.0"_obis || expected.obis() == "1-0:4.8.0"_obis) continue;
    const auto* found = std::ranges::find(said.set.readings, expected.obis(), &Reading::obis);
    ASSERT_NE(found, said.set.readings.end());
    EXPECT_EQ(Decimal::compare(found->value(), expected.value()), 0);
    EXPECT_EQ(found->unit(), expected.unit());
  }
}

TEST(MbusRecords, Dates) {
  EXPECT_EQ(value_of("06 6D 5F 0C 48 C1 17 1B"), "2014-07-01T08:12:31");
  const Said clock("06 6D 5F 0C 48 C1 17 1B");
  ASSERT_TRUE(clock.set.time);
  EXPECT_EQ(clock.set.time->status, 0x80) << "summer";
  EXPECT_EQ(value_of("04 6D 1E 0E 98 16"), "2012-06-24T14:30:00");
  EXPECT_EQ(value_of("02 6C 98 16"), "2012-06-24");
  EXPECT_EQ(value_of("02 6C 38 A6"), "1981-06-24") << "above 80";
  EXPECT_EQ(value_of("02 6C 18 A6"), "2080-06-24");
  EXPECT_EQ(value_of("02 6C FF FF"), "invalid");
  EXPECT_EQ(value_of("04 6D 9E 0E 98 16"), "invalid");
  EXPECT_EQ(value_of("06 6D 5F 8C 48 C1 17 1B"), "invalid");
  EXPECT_FALSE(Said("04 6D 9E 0E 98 16").set.time);
  EXPECT_FALSE(Said("44 6D 1E 0E 98 16").set.time) << "of storage 1";
}

TEST(MbusRecords, BinaryNumbers) {
  EXPECT_EQ(value_of("00 13"), "#") << "no data";
  EXPECT_EQ(value_of("01 13 FF"), "-0.001 m³");
  EXPECT_EQ(value_of("02 13 FE FF"), "-0.002 m³");
  EXPECT_EQ(value_of("03 13 FF FF 7F"), "8388.607 m³");
  EXPECT_EQ(value_of("04 13 FF FF FF FF"), "-0.001 m³");
  EXPECT_EQ(value_of("06 13 00 00 00 00 01 00"), "4294967.296 m³");
  EXPECT_EQ(value_of("07 13 00 00 00 00 00 00 00 40"), "4611686018427387.904 m³");
  EXPECT_EQ(value_of("02 13 00 80"), "#8000") << "type B: not valid";
}

TEST(MbusRecords, DecimalDigits) {
  EXPECT_EQ(value_of("09 13 12"), "0.012 m³");
  EXPECT_EQ(value_of("0A 13 34 12"), "1.234 m³");
  EXPECT_EQ(value_of("0B 13 56 34 12"), "123.456 m³");
  EXPECT_EQ(value_of("0C 13 78 56 34 12"), "12345.678 m³");
  EXPECT_EQ(value_of("0E 13 12 90 78 56 34 12"), "123456789.012 m³");
  EXPECT_EQ(value_of("0A 13 23 F1"), "-0.123 m³");
  EXPECT_EQ(value_of("0C 5A 45 00 00 F0"), "-4.5 °C");
  EXPECT_EQ(value_of("0A 13 23 E1"), "#E123") << "an error display";
  EXPECT_EQ(value_of("0A 13 F3 11"), "#11F3") << "F below the highest digit";
  EXPECT_EQ(Said("0A 13 23 E1").reading().obis(), Obis{});
}

TEST(MbusRecords, Real) {
  EXPECT_EQ(value_of("05 5B 00 00 AC 41"), "21.5 °C");
  EXPECT_EQ(value_of("05 5B 00 00 00 C0"), "-2 °C");
  EXPECT_EQ(value_of("05 5B 00 00 00 00"), "0 °C");
  EXPECT_EQ(value_of("05 5B 00 00 C0 7F"), "#7FC00000") << "not a number";
  EXPECT_EQ(value_of("05 5B 00 00 80 FF"), "#FF800000") << "infinity";
}

TEST(MbusRecords, VariableLength) {
  EXPECT_EQ(value_of("0D 78 04 34 33 32 31"), "1234") << "text, last character first";
  EXPECT_EQ(Said("0D 78 04 34 33 32 31").label(), "fabrication number");
  EXPECT_EQ(value_of("0D 78 00"), "");
  EXPECT_EQ(value_of("0D 13 C3 56 34 12"), "123.456 m³");
  EXPECT_EQ(value_of("0D 13 D3 56 34 12"), "-123.456 m³");
  EXPECT_EQ(value_of("0D 13 C1 1E"), "#1E");
  EXPECT_EQ(value_of("0D 13 E2 FE FF"), "-0.002 m³");
  EXPECT_EQ(value_of("0D 13 EA 00 01 02 03 04 05 06 07 08 09"), "#09080706050403020100");
  for (const char* reserved : {"0D 13 CA 00", "0D 13 DA 00", "0D 13 FB 00", "0D 13 FF 00"}) {
    const Said said(reserved);
    EXPECT_EQ(said.fault.code, Errc::malformed) << reserved;
    EXPECT_EQ(said.fault.offset, header_size + 2);
    EXPECT_TRUE(said.set.readings.empty());
  }
}

/// Elvaco, as the value is published: 33.96 %RH.
TEST(MbusRecords, UnitAsText) {
  const Said said("02 FC 03 48 52 25 74 44 0D");
  EXPECT_EQ(said.label(), "%RH");
  EXPECT_EQ(said.value(), "33.96 %");
  const Said plain("01 7C 03 74 73 70 05");
  EXPECT_EQ(plain.label(), "pst");
  EXPECT_EQ(plain.value(), "5");
  const Said cut("01 7C 40 74 73 70 05");
  EXPECT_EQ(cut.fault.code, Errc::truncated);
}

TEST(MbusRecords, PrimaryTable) {
  EXPECT_EQ(value_of("01 07 02"), "20000 Wh");
  EXPECT_EQ(value_of("01 08 02"), "2 J");
  EXPECT_EQ(value_of("01 18 02"), "0.002 kg");
  EXPECT_EQ(value_of("01 26 02"), "2 h");
  EXPECT_EQ(value_of("01 2B 02"), "2 W");
  EXPECT_EQ(value_of("01 5E 02"), "0.2 °C");
  EXPECT_EQ(Said("01 5E 02").label(), "return temperature");
  EXPECT_EQ(value_of("01 61 02"), "0.02 K");
  EXPECT_EQ(value_of("01 69 02"), "0.02 bar");
  EXPECT_EQ(value_of("01 47 01"), "60 m³/h") << "1 m³/min";
  EXPECT_EQ(value_of("01 4F 01"), "36.00 m³/h") << "0.01 m³/s";
  EXPECT_EQ(Said("01 6F 01").label(), "reserved VIF");
  EXPECT_TRUE(Said("01 6F 01").reading().has(Reading::scale_unknown));
}

TEST(MbusRecords, ExtensionTables) {
  EXPECT_EQ(value_of("02 FD 48 FC 08"), "230.0 V");
  EXPECT_EQ(value_of("02 FD 59 FC 08"), "2.300 A");
  EXPECT_EQ(Said("01 FD 17 00").label(), "error flags");
  EXPECT_EQ(Said("0C FD 10 78 56 34 12").label(), "customer location");
  EXPECT_EQ(value_of("02 FD 74 0A 00"), "10 d");
  EXPECT_EQ(value_of("01 FB 00 02"), "200000 Wh") << "0.1 MWh";
  EXPECT_EQ(value_of("01 FB 08 02"), "200000000 J") << "0.1 GJ";
  EXPECT_EQ(value_of("01 FB 02 02"), "2000 varh");
  EXPECT_EQ(value_of("01 FB 14 02"), "2 var");
  EXPECT_EQ(value_of("01 FB 1A 02"), "0.2 %");
  EXPECT_EQ(value_of("02 FB 2D 84 13"), "49.96 Hz");
  EXPECT_EQ(Said("01 FD 7F 00").label(), "reserved VIF");
}

TEST(MbusRecords, Direction) {
  const Said both(electricity, "04 03 0A 00 00 00  04 83 3B 0B 00 00 00  04 83 3C 0C 00 00 00");
  EXPECT_EQ(both.reading(0).obis(), "1-0:1.8.0"_obis);
  EXPECT_EQ(both.reading(1).obis(), "1-0:1.8.0"_obis);
  EXPECT_EQ(both.reading(2).obis(), "1-0:2.8.0"_obis);
  EXPECT_EQ(both.value(2), "12 Wh");
  EXPECT_EQ(both.label(2), "energy (negative only)");
  const Said net(electricity, "02 2B FE FF");
  EXPECT_EQ(net.reading().obis(), "1-0:16.7.0"_obis);
  EXPECT_EQ(net.value(), "-2 W");
  const Said pair(electricity, "02 2B 07 00  02 AB 3C 08 00");
  EXPECT_EQ(pair.reading(0).obis(), "1-0:1.7.0"_obis);
  EXPECT_EQ(pair.reading(1).obis(), "1-0:2.7.0"_obis);
  const Said tariff(electricity, "84 20 03 0A 00 00 00");
  EXPECT_EQ(tariff.reading().obis(), "1-0:1.8.2"_obis);
}

TEST(MbusRecords, Phases) {
  const Said said(electricity,
                  "02 FD C8 FC 01 FC 08  02 FD C8 FC 02 FD 08  02 FD C8 FC 03 FE 08"
                  "02 FD C8 FC 05 A0 0F");
  EXPECT_EQ(said.reading(0).obis(), "1-0:32.7.0"_obis);
  EXPECT_EQ(said.value(0), "230.0 V");
  EXPECT_EQ(said.label(0), "voltage (L1)");
  EXPECT_EQ(said.reading(1).obis(), "1-0:52.7.0"_obis);
  EXPECT_EQ(said.reading(2).obis(), "1-0:72.7.0"_obis);
  EXPECT_EQ(said.value(3), "400.0 V");
  EXPECT_EQ(said.label(3), "voltage (L1 to L2)");
  EXPECT_EQ(said.reading(3).obis(), Obis{});
}

TEST(MbusRecords, CombinableVifes) {
  EXPECT_EQ(value_of("01 93 74 02"), "0.00002 m³") << "multiplied by 0.01";
  EXPECT_EQ(value_of("01 93 7D 02"), "2 m³") << "multiplied by 1000";
  const Said uncorrected("01 93 3A 02");
  EXPECT_EQ(uncorrected.label(), "volume (uncorrected)");
  EXPECT_EQ(uncorrected.reading().obis(), Obis{});
  const Said failed("01 93 15 02");
  EXPECT_EQ(failed.label(), "volume (no data available)");
  EXPECT_EQ(failed.value(), "#02") << "no number comes of a record error";
  EXPECT_EQ(Said("01 93 FF 01 02").label(), "volume (manufacturer specific)");
}

TEST(MbusRecords, FillersAndEnds) {
  const Said filled("2F 2F 01 13 02 2F 01 13 03 2F 2F");
  ASSERT_EQ(filled.records(), 2u);
  EXPECT_EQ(filled.value(1), "0.003 m³");
  EXPECT_FALSE(more_records_follow(filled.octets));
  const Said more("01 13 02 1F");
  EXPECT_EQ(more.records(), 1u);
  EXPECT_TRUE(more_records_follow(more.octets));
  const Said own("01 13 02 0F 13 FF 80");
  EXPECT_EQ(own.records(), 1u);
  EXPECT_EQ(own.label(1), "manufacturer data");
  EXPECT_EQ(own.value(1), "#13FF80");
  EXPECT_FALSE(more_records_follow(own.octets));
  EXPECT_FALSE(more_records_follow(from_hex(published_fixed)));
  EXPECT_EQ(Said("01 13 02 3F").fault.code, Errc::malformed) << "a reserved special function";
}

TEST(MbusRecords, Headers) {
  const Said none(from_hex("08 01 78 01 13 02"));
  EXPECT_EQ(none.value(), "0.002 m³");
  EXPECT_TRUE(none.set.meter_id.empty());
  EXPECT_EQ(none.set.readings.size(), 1u) << "no access number, no status";
  const Said brief(from_hex("08 01 7A 55 10 00 00 01 13 02"));
  EXPECT_EQ(brief.set.readings.size(), 3u);
  EXPECT_EQ(brief.value(2), "16");
  const Said mode_2(from_hex("08 01 76 78 56 34 12 24 40 01 07 55 00 00 00 02 13 00 02"));
  EXPECT_EQ(mode_2.value(), "0.002 m³") << "the high octet first";
  EXPECT_EQ(Said(from_hex("08 01 51 01 13 02")).fault.code, Errc::unsupported_apdu);
  // The highest bit of the manufacturer's word is no letter.
  EXPECT_EQ(
      Said("08 02 72 78 56 34 12 24 C0 01 07 55 00 00 00", "01 13 02").set.manufacturer.view(),
      "PAD");
}

TEST(MbusRecords, Refusals) {
  const Said error(from_hex("08 05 70 08"));
  EXPECT_EQ(error.fault.code, Errc::device_error);
  EXPECT_EQ(error.fault.offset, 3u);
  EXPECT_EQ(Said(from_hex("08 05 70")).fault.code, Errc::device_error);
  const Said mode_5("08 02 72 78 56 34 12 24 40 01 07 55 00 10 05",
                    "00 11 22 33 44 55 66 77 88 99 AA BB CC DD EE FF");
  EXPECT_EQ(mode_5.fault.code, Errc::key_missing);
  EXPECT_EQ(mode_5.fault.offset, 13u);
  EXPECT_TRUE(mode_5.set.readings.empty());
  EXPECT_FALSE(more_records_follow(mode_5.octets));
  const Said mode_7("08 02 72 78 56 34 12 24 40 01 07 55 00 10 07",
                    "00 11 22 33 44 55 66 77 88 99 AA BB CC DD EE FF");
  EXPECT_EQ(mode_7.fault.code, Errc::unsupported_suite);
}

/// Each cut in octets of its own, so that a read behind them is seen.
TEST(MbusRecords, EveryCut) {
  for (const char* hex : {published_records, published_fixed,
                          "08 02 72 78 56 34 12 24 40 01 02 55 00 00 00"
                          "02 FC 03 48 52 25 74 44 0D 0D FD 0E 04 34 33 32 31 84 80 40 83 3C"
                          "01 02 03 04 02 FD C8 FC 01 FC 08 05 5B 00 00 AC 41"}) {
    const Octets whole = from_hex(hex);
    const std::size_t all = Said(whole).set.readings.size();
    ASSERT_GT(all, 0u);
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Said said(Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
      EXPECT_LT(said.set.readings.size(), all) << size;
      EXPECT_LE(said.fault.offset, size);
      EXPECT_FALSE(more_records_follow(said.octets));
    }
  }
  EXPECT_EQ(Said("03 13 15 31").fault.code, Errc::truncated);
  EXPECT_EQ(Said("01 13 02 03 13 15 31").fault.offset, header_size + 3)
      << "where its record begins";
}

TEST(MbusRecords, Limits) {
  // Access number and status take two places.
  const auto counted = [](std::size_t records) {
    Octets message = from_hex(water);
    for (std::size_t i = 0; i < records; ++i) test::append(message, from_hex("01 13 02"));
    return Said(std::move(message));
  };
  EXPECT_EQ(counted(ReadingSet::readings_max - 2).set.readings.size(), ReadingSet::readings_max);
  const Said many = counted(ReadingSet::readings_max - 1);
  EXPECT_EQ(many.fault.code, Errc::too_many_elements);
  EXPECT_TRUE(many.set.readings.empty());
  EXPECT_EQ(counted(ReadingSet::readings_max + 1).fault.code, Errc::too_many_elements);
  // Ten DIFEs and ten VIFEs are the most.
  EXPECT_EQ(Said("81 80 80 80 80 80 80 80 80 80 00 13 02").records(), 1u);
  EXPECT_EQ(Said("81 80 80 80 80 80 80 80 80 80 80 00 13 02").fault.code, Errc::malformed);
  EXPECT_EQ(Said("01 93 BA BA BA BA BA BA BA BA BA 3A 02").records(), 1u);
  EXPECT_EQ(Said("01 93 BA BA BA BA BA BA BA BA BA BA 3A 02").fault.code, Errc::malformed);
  // The highest storage number, subunit and tariff.
  const Said highest("C1 FF FF FF FF FF FF FF FF FF 7F 13 02");
  EXPECT_EQ(highest.detail().storage, 0x1ffffffffffu);
  EXPECT_EQ(highest.detail().tariff, 0xfffffu);
  EXPECT_EQ(highest.detail().subunit, 0x3ffu);
}

}  // namespace
}  // namespace meter::mbus
