// SPDX-License-Identifier: Apache-2.0
// SML files: published entries and checks, vendors' errors, several lists, damage.
#include "meter/sml/file.hpp"

#include <gtest/gtest.h>

#include "meter/quantity.hpp"
#include "meter/sml/vendor_rules.hpp"
#include "tests/libmeter/sml/build.hpp"

namespace meter::sml {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;
using test::SmlList;

// A DZG DVS-7412.2, as published.
const std::string import_entry =
    "77 07 01 00 01 08 00 FF 64 1C 01 04 72 62 01 65 05 E7 48 D7 62 1E 52 FF 65 03 3C 93 89 01";
const std::string export_entry = "77 07 01 00 02 08 00 FF 01 01 62 1E 52 FF 65 0F A4 9A 9E 01";
const std::string power_entry = "77 07 01 00 10 07 00 FF 01 01 62 1B 52 FE 53 8B 28 01";

const std::string server_of_another_dzg = "0B 0A 01 44 5A 47 00 03 9E 20 53";
const std::string emh_server = "0B 06 45 4D 48 01 02 71 56 CD 45";

class SmlFile : public testing::Test {
 protected:
  /// `file_` must outlive the texts.
  Result<void> decode(Octets file) {
    file_ = std::move(file);
    out_.clear();
    return decode_file(file_, out_, nullptr, 0);
  }
  void expect_fault(const Octets& file, Errc code) {
    const auto read = decode(file);
    ASSERT_FALSE(read) << name(code);
    EXPECT_EQ(name(read.error().code), name(code));
    EXPECT_LE(read.error().offset, file.size());
  }
  std::string value(Obis obis, std::uint8_t sub_meter = 0) const {
    char text[Decimal::text_size_max];
    for (const Reading& reading : out_.readings)
      if (reading.obis() == obis && reading.sub_meter() == sub_meter)
        return reading.kind() == Reading::Kind::number
                   ? std::string(reading.value().to_text(text)) +
                         std::string(symbol(reading.unit()))
                   : std::string(reading.text());
    return "none";
  }
  Octets file_;
  ReadingSet out_;
};

TEST_F(SmlFile, PublishedTelegram) {
  ASSERT_TRUE(decode(test::sml_file({import_entry, export_entry, power_entry})));
  EXPECT_EQ(value("1-0:1.8.0"_obis), "5430157.7Wh");
  EXPECT_EQ(value("1-0:2.8.0"_obis), "26244572.6Wh");
  // 8B28 is a positive 35624 that this maker sends as a signed number.
  EXPECT_EQ(value("1-0:16.7.0"_obis), "356.24W");
  EXPECT_EQ(out_.meter_id.view(), "1DZG0042082910");
  EXPECT_EQ(out_.profile, "sml-dzg");
  EXPECT_EQ(out_.medium, Medium::electricity);
  EXPECT_FALSE(out_.time) << "a second index is no clock";
  EXPECT_TRUE(out_.sub_meters.empty());
}

/// The open message of that telegram as published, with the CRC that it came with.
TEST_F(SmlFile, PublishedMessageCheck) {
  const Octets open = from_hex(
      "76 05F12CAD07 6200 6200 72 630101 76 01 01 02 31 0B 0A01445A47000282225E 7262016505E748D7 "
      "62 02 63 955C 00");
  const Octets rest = concatenated({test::sml_list({power_entry}), test::sml_close()});
  ASSERT_TRUE(decode(concatenated({open, rest})));
  for (std::size_t at = 0; at < open.size(); ++at) {
    Octets damaged = open;
    damaged[at] ^= std::byte{0x08};
    EXPECT_FALSE(decode(concatenated({damaged, rest}))) << at;
  }
}

/// Other serial numbers mean what they say, and full length is negative for all.
TEST_F(SmlFile, DzgNegativePower) {
  ASSERT_TRUE(decode(test::sml_file({power_entry}, {.server = server_of_another_dzg})));
  EXPECT_EQ(value("1-0:16.7.0"_obis), "-299.12W");
  EXPECT_EQ(out_.profile, "sml");
  ASSERT_TRUE(
      decode(test::sml_file({"77 07 01 00 10 07 00 FF 01 01 62 1B 52 FE 55 FF FF 8B 28 01"})));
  EXPECT_EQ(value("1-0:16.7.0"_obis), "-299.12W");
}

/// EMH ED300L: status 0182 while importing, 01B0 while exporting.
TEST_F(SmlFile, EmhDirection) {
  const auto energy = [](const char* status) {
    return "77 07 01 00 01 08 00 FF 63" + std::string(status) +
           "01 62 1E 52 FF 56 00 0A 46 F0 0C 01";
  };
  const std::string power = "77 07 01 00 0F 07 00 FF 01 01 62 1B 52 FF 55 00 00 04 F2 01";
  const SmlList emh{.server = emh_server, .time = "01", .list_name = "01"};
  ASSERT_TRUE(decode(test::sml_file({energy("01 82"), power}, emh)));
  EXPECT_EQ(out_.profile, "sml-emh");
  EXPECT_EQ(out_.meter_id.view(), "06454D4801027156CD45");
  EXPECT_EQ(value("1-0:15.7.0"_obis), "126.6W");
  EXPECT_EQ(value("1-0:16.7.0"_obis), "126.6W");
  EXPECT_TRUE(out_.readings.back().has(Reading::implied_obis));
  ASSERT_TRUE(decode(test::sml_file({energy("01 B0"), power}, emh)));
  EXPECT_EQ(value("1-0:15.7.0"_obis), "126.6W");
  EXPECT_EQ(value("1-0:16.7.0"_obis), "-126.6W");
  NamedReadings named;
  harmonize(out_, QuantityMap(), named);
  std::string exported, imported;
  char text[Decimal::text_size_max];
  for (const NamedReading& each : named) {
    if (each.name == "power_export") exported = each.value.to_text(text);
    if (each.name == "power_import") imported = each.value.to_text(text);
  }
  EXPECT_EQ(exported, "126.6");
  EXPECT_EQ(imported, "0.0");
}

/// A meter that sends a signed power needs no rule.
TEST_F(SmlFile, EmhWithSignedPower) {
  const SmlList emh{.server = emh_server, .time = "01", .list_name = "01"};
  ASSERT_TRUE(decode(test::sml_file({"77 07 01 00 01 08 00 FF 63 01 A2 01 62 1E 52 FF 62 01 01",
                                     "77 07 01 00 10 07 00 FF 01 01 62 1B 52 FF 55 FF FF F9 14 01"},
                                    emh)));
  EXPECT_EQ(value("1-0:16.7.0"_obis), "-177.2W");
  EXPECT_EQ(out_.readings.size(), 2u);
}

/// Holley DTZ541: a bare number where a time belongs, the Kermit form of the CRC, bit 11.
TEST_F(SmlFile, Holley) {
  const SmlList holley{.server = "0B 0A 01 48 4C 59 02 00 00 12 34", .time = "65 02 DB 00 01"};
  const std::string power = "77 07 01 00 10 07 00 FF 01 01 62 1B 52 00 52 7B 01";
  const auto energy = [](const char* status) {
    return "77 07 01 00 01 08 00 FF 65" + std::string(status) +
           "65 02 DB 00 01 62 1E 52 FF 65 00 00 00 0A 01";
  };
  Octets list = test::sml_list({energy("00 1C 01 04"), power}, holley);
  unsigned kermit = 0;
  list.resize(list.size() - 4);
  for (const std::byte octet : list)
    for (unsigned bit = 0; bit < 8; ++bit)
      kermit = ((kermit ^ u8(octet) >> bit) & 1) != 0 ? kermit >> 1 ^ 0x8408 : kermit >> 1;
  test::append(list, from_hex("63"));
  list.push_back(static_cast<std::byte>(kermit & 0xff));
  list.push_back(static_cast<std::byte>(kermit >> 8));
  list.push_back(std::byte{0});
  ASSERT_TRUE(decode(concatenated({test::sml_open(), list, test::sml_close()})));
  EXPECT_EQ(out_.profile, "sml-holley");
  EXPECT_EQ(out_.meter_id.view(), "1HLY0200004660");
  EXPECT_EQ(value("1-0:16.7.0"_obis), "123W");
  ASSERT_TRUE(decode(test::sml_file({energy("00 1C 09 04"), power}, holley)));
  EXPECT_EQ(value("1-0:16.7.0"_obis), "-123W");
  EXPECT_EQ(out_.readings.size(), 2u);
}

TEST_F(SmlFile, EveryTypeOfValue) {
  ASSERT_TRUE(decode(test::sml_file({
      "77 07 01 00 60 32 01 01 01 01 01 01 04 44 5A 47 01",  // text
      "77 07 81 81 C7 82 05 FF 01 01 01 01 83 02" +          // public key
          [] {
            std::string key;
            for (int i = 0; i < 48; ++i) key += "E7";
            return key;
          }() +
          "01",
      "77 07 01 00 60 05 00 FF 01 01 01 01 42 01 01",                       // true
      "77 07 01 00 60 05 01 FF 01 01 01 01 01 01",                          // none
      "77 07 01 00 60 05 02 FF 01 01 01 01 72 62 01 62 05 01",              // a list
      "77 07 01 00 60 05 03 FF 01 01 01 01 69 FF 00 00 00 00 00 00 00 01",  // above 63 bits
      "77 07 01 00 60 05 04 FF 01 01 62 00 52 00 59 FF FF FF FF FF FF FF FB 01",
      "77 07 01 00 51 07 01 FF 01 01 62 08 52 00 62 78 01",  // 120 degrees
      "77 07 01 00 01 08 01 FF 01 01 62 1E 52 03 62 07 01",  // 7 × 10^3
      "77 04 01 00 01 01 01 62 1E 52 03 62 07 01",           // a name that is no code
  })));
  EXPECT_EQ(value("1-0:96.50.1*1"_obis), "DZG");
  EXPECT_EQ(value("129-129:199.130.5"_obis), std::string(48, '\xe7'));
  EXPECT_EQ(value("1-0:96.5.0"_obis), "1");
  EXPECT_EQ(value("1-0:96.5.1"_obis), "none");
  EXPECT_EQ(value("1-0:96.5.2"_obis), "none");
  EXPECT_EQ(value("1-0:96.5.3"_obis).size(), 8u) << "kept as octets";
  EXPECT_EQ(value("1-0:96.5.4"_obis), "-5");
  EXPECT_EQ(value("1-0:81.7.1"_obis), "120°");
  EXPECT_EQ(value("1-0:1.8.1"_obis), "7000Wh");
  EXPECT_EQ(out_.readings.size(), 7u);
}

TEST_F(SmlFile, Times) {
  struct Case {
    const char* time;
    const char* text;
  };
  const Case cases[] = {
      {"01", ""},
      {"65 02 DB 00 01", ""},           // bare: Holley
      {"72 62 01 65 5F 00 00 00", ""},  // second index
      {"72 62 02 65 5F 00 00 00", "2020-07-04T04:05:20+00:00"},
      {"72 62 02 65 00 01 00 00", ""},  // not set: seconds since the start
      {"72 62 03 73 65 5F 00 00 00 53 00 3C 53 00 3C", "2020-07-04T06:05:20+02:00"},
      {"72 62 03 73 65 5F 00 00 00 53 7F FF 53 00 3C", ""},
  };
  for (const Case& each : cases) {
    ASSERT_TRUE(decode(test::sml_file({power_entry}, {.time = each.time}))) << each.time;
    char text[DateTime::text_size_max];
    EXPECT_EQ(out_.time ? out_.time->to_text(text) : "", each.text) << each.time;
  }
}

/// A gateway: the first list is its own meter's, the others stand for meters behind it.
TEST_F(SmlFile, ListsOfSeveralServers) {
  const SmlList gas{.server = "0B 0A 07 45 4C 53 04 00 98 96 80"};
  ASSERT_TRUE(decode(concatenated({test::sml_open(), test::sml_list({import_entry}),
                                   test::sml_list({export_entry}, gas),
                                   test::sml_list({power_entry}), test::sml_close()})));
  EXPECT_EQ(value("1-0:1.8.0"_obis), "5430157.7Wh");
  EXPECT_EQ(value("1-0:16.7.0"_obis), "356.24W");
  EXPECT_EQ(value("1-0:2.8.0"_obis), "none");
  ASSERT_EQ(out_.sub_meters.size(), 1u);
  EXPECT_EQ(out_.sub_meters[0].id.view(), "7ELS0410000000");
  EXPECT_EQ(out_.sub_meters[0].medium, Medium::gas);
  EXPECT_EQ(value("1-0:2.8.0"_obis, 1), "26244572.6Wh");
}

/// The server may be named by the open response alone.
TEST_F(SmlFile, ServerOfTheOpenResponse) {
  ASSERT_TRUE(decode(test::sml_file({power_entry}, {.server = "01"})));
  EXPECT_EQ(out_.meter_id.view(), "1DZG0042082910");
  EXPECT_EQ(value("1-0:16.7.0"_obis), "356.24W");
}

TEST_F(SmlFile, TagsOfFourOctetsAndFillAreFine) {
  Octets list = test::sml_message(
      "65 00 00 07 01", "77 01 0B 0A 01 44 5A 47 00 02 82 22 5E 01 01 71" + import_entry + "01 01");
  list.resize(list.size() + 3);
  ASSERT_TRUE(decode(list));
  EXPECT_EQ(value("1-0:1.8.0"_obis), "5430157.7Wh");
}

/// A check whose leading zero was left out. Found by counting the transaction up.
TEST_F(SmlFile, ShortenedCheck) {
  for (unsigned i = 0; i < 0x10000; ++i) {
    Octets message = from_hex("76 05 00 00 00 00 62 00 62 00 72 63 02 01 71 01");
    message[4] = static_cast<std::byte>(i >> 8);
    message[5] = static_cast<std::byte>(i & 0xff);
    const unsigned crc = test::slow_crc_x25(message);
    if ((crc & 0xff) != 0) continue;
    message.push_back(std::byte{0x62});
    message.push_back(static_cast<std::byte>(crc >> 8));
    message.push_back(std::byte{0});
    EXPECT_TRUE(decode(concatenated({test::sml_list({power_entry}), message})));
    return;
  }
  FAIL() << "no such message";
}

TEST_F(SmlFile, Refusals) {
  expect_fault({}, Errc::unsupported_apdu);
  expect_fault(concatenated({test::sml_open(), test::sml_close()}), Errc::unsupported_apdu);
  expect_fault(test::sml_message("63 FF 01", "74 01 01 01 01"), Errc::unsupported_apdu);
  expect_fault(test::sml_file({}), Errc::list_unknown);
  expect_fault(from_hex("75 01 01 01 01 01"), Errc::malformed);
  expect_fault(test::sml_list({"77 07 01 00 01 08 00 FF 01 01 62 1E 52 7F 62 01 01"}),
               Errc::malformed);  // a scaler of 127
  Octets list = test::sml_list({power_entry});
  for (std::size_t size = 1; size < list.size(); ++size)
    expect_fault(Octets(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(size)),
                 Errc::truncated);
  list[list.size() - 2] ^= std::byte{1};
  expect_fault(list, Errc::bad_checksum);
}

TEST_F(SmlFile, Limits) {
  std::string entries;
  for (std::size_t i = 0; i <= ReadingSet::readings_max; ++i)
    entries += "77 07 01 00 01 08 00 FF 01 01 01 01 62 01 01";
  expect_fault(test::sml_message("63 07 01", "77 01 01 01 01 F0 80 81 80 01 01 01"),
               Errc::oversize);
  expect_fault(test::sml_message("63 07 01", "77 01 01 01 01 F1 80 01" + entries + "01 01"),
               Errc::too_many_elements);
  Octets messages;
  for (unsigned i = 0; i <= messages_max; ++i) test::append(messages, test::sml_close());
  expect_fault(messages, Errc::too_many_elements);
}

TEST(SmlServerId, Forms) {
  struct Case {
    const char* hex;
    const char* text;
    const char* manufacturer;
  };
  const Case cases[] = {
      {"0A 01 44 5A 47 00 02 82 22 5E", "1DZG0042082910", "DZG"},
      {"09 01 49 53 4B 00 04 03 DF 63", "1ISK0067362659", "ISK"},
      {"06 45 4D 48 01 02 71 56 CD 45", "06454D4801027156CD45", "EMH"},
      {"30 32 32 38 30 38 31 36", "02280816", ""},
      {"A8 15 98 64 80 02 01 02", "A815986480020102", ""},
      {"0A 01 44 5A 47 00 FF 82 22 5E", "0A01445A4700FF82225E", "DZG"},  // no eight digits
      {"", "", ""},
  };
  for (const Case& each : cases) {
    const Octets octets = from_hex(each.hex);
    const ServerId id(octets);
    EXPECT_EQ(id.text().view(), each.text);
    EXPECT_EQ(id.manufacturer(), each.manufacturer);
  }
  const Octets endless(200, std::byte{0xff});
  EXPECT_EQ(ServerId(endless).text().view().size(), MeterId::capacity);
}

}  // namespace
}  // namespace meter::sml
