// SPDX-License-Identifier: Apache-2.0
// DataNotification to registers: header forms, every pattern of codes and values, push-object
// lists, identity and time. The bodies are built by hand after the vendors' specifications.
#include "meter/dlms/data_notification.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/libmeter/link/frames.hpp"

namespace meter::dlms {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;

struct Lines final : DecodeObserver {
  void stage(std::string_view stage, std::uint64_t offset, std::string_view text) override {
    lines.push_back(std::string(stage) + "@" + std::to_string(offset) + " " + std::string(text));
  }
  std::vector<std::string> lines;
};

/// One decoded notification, readable: "1-0:1.8.0=12937 Wh"; `?` scale unknown, `!` implied code.
struct Decoded {
  std::vector<std::string> registers;
  std::string meter, time, profile, fault;
  bool meter_is_title = false;
  std::size_t fault_offset = 0;
  std::vector<std::string> explained;
};

std::string print(const Reading& reading) {
  char buffer[Decimal::text_size_max];
  std::string line(reading.obis().to_text(buffer));
  line += '=';
  if (reading.kind() == Reading::Kind::number) {
    line += reading.value().to_text(buffer);
    if (const auto unit = symbol(reading.unit()); !unit.empty()) line += " " + std::string(unit);
  } else if (reading.kind() == Reading::Kind::date_time) {
    line += reading.date_time() ? reading.date_time()->to_text(buffer) : "no date";
  } else if (reading.kind() == Reading::Kind::text) {
    line += "\"" + std::string(reading.text()) + "\"";
  } else {
    line += std::to_string(reading.octets().size()) + " octets";
  }
  if (reading.has(Reading::scale_unknown)) line += " ?";
  if (reading.has(Reading::implied_obis)) line += " !";
  return line;
}

Decoded decode(const Octets& apdu, std::string_view title = {}, Link link = Link::hdlc) {
  const auto set = std::make_unique<ReadingSet>();
  set->link = link;
  set->profile = "before";
  (void)set->meter_id.assign("before");
  if (!title.empty()) {
    SystemTitle octets{};
    std::ranges::copy(bytes_of(title), octets.begin());
    set->system_title = octets;
  }
  Lines lines;
  const auto result = decode_data_notification(apdu, *set, &lines, 1000);
  Decoded decoded;
  decoded.explained = lines.lines;
  if (!result) {
    decoded.fault = name(result.error().code);
    decoded.fault_offset = result.error().offset;
    EXPECT_TRUE(set->readings.empty() && set->meter_id.empty() && !set->time &&
                set->profile.empty())
        << "nothing of a refused telegram may stay";
    return decoded;
  }
  for (const Reading& reading : set->readings) decoded.registers.push_back(print(reading));
  decoded.meter = set->meter_id.view();
  decoded.meter_is_title = set->meter_id_is_title;
  decoded.profile = set->profile;
  char buffer[DateTime::text_size_max];
  if (set->time) decoded.time = set->time->to_text(buffer);
  return decoded;
}
/// A notification without date-time around a body.
Octets notification(std::string_view body) {
  return concatenated({from_hex("0F 00000001 00"), from_hex(body)});
}
Decoded decode_body(std::string_view body, std::string_view title = {}) {
  return decode(notification(body), title);
}
using Registers = std::vector<std::string>;

// Codes and scalers of the bodies.
#define ENERGY "0906 0100010800FF "
#define POWER "0906 0100010700FF "
#define VOLTAGE "0906 0100200700FF "
#define CURRENT "0906 01001F0700FF "
#define WH "0202 0F00 161E "
#define WATT "0202 0F00 161B "
#define VOLT "0202 0FFF 1623 "

TEST(DataNotificationHeader, AllThreeFormsOfDateTime) {
  const Octets body = from_hex("02 03 " ENERGY "06 00003289 " WH);
  const auto with = [&](std::string_view header) {
    return decode(concatenated({from_hex(header), body}));
  };
  EXPECT_EQ(with("0F 8006870E 00").time, "");
  EXPECT_EQ(with("0F 8006870E 0C 07E5091B01092F0F00FF8880").time, "2021-09-27T09:47:15+02:00");
  EXPECT_EQ(with("0F 40000000 09 0C 07E1090F05052128FF800000").time, "2017-09-15T05:33:40");
  EXPECT_EQ(with("0F 40000000 09 0C 07E1090F05052128FF800000").registers,
            Registers{"1-0:1.8.0=12937 Wh"});
}

TEST(DataNotificationHeader, UnspecifiedDateTimeIsNone) {
  const auto decoded =
      decode(from_hex("0F 00000001 0C FFFFFFFFFFFFFFFFFF8000FF "
                      "02 03 " ENERGY "06 00003289 " WH));
  EXPECT_EQ(decoded.fault, "");
  EXPECT_EQ(decoded.time, "");
}

TEST(DataNotificationHeader, AnythingElseIsMalformed) {
  const auto refused = [](std::string_view hex) {
    const auto decoded = decode(from_hex(hex));
    return decoded.fault + "@" + std::to_string(decoded.fault_offset);
  };
  EXPECT_EQ(refused("0E 00000001 00 02 00"), "malformed@0");
  EXPECT_EQ(refused("0F 00000001 0B 07E5091B01092F0F00FF88 02 00"), "malformed@5");
  EXPECT_EQ(refused("0F 00000001 09 0B 07E5091B01092F0F00FF88 02 00"), "malformed@6");
  EXPECT_EQ(refused("0F 00000001 0C 07E5"), "truncated@8");
  EXPECT_EQ(refused("0F 0000"), "truncated@3");
  EXPECT_EQ(refused(""), "truncated@0");
  EXPECT_EQ(refused("0F 00000001 00"), "truncated@6");
}

TEST(DataNotification, BodyIsConsumedToItsLastOctet) {
  const auto decoded = decode_body("02 03 " ENERGY "06 00003289 " WH "00");
  EXPECT_EQ(decoded.fault, "malformed");
  EXPECT_EQ(decoded.fault_offset, 6u + 2 + 8 + 5 + 6);
}

TEST(DataNotification, EveryCutIsRefused) {
  const Octets whole = notification("02 04 " ENERGY "06 00003289 " WH "0904 31323334");
  ASSERT_EQ(decode(whole).fault, "");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto decoded =
        decode(Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)));
    EXPECT_EQ(decoded.fault, "truncated") << size;
    EXPECT_LE(decoded.fault_offset, size);
  }
}

// The patterns 1 to 6 of libmeter/doc/cosem-lists.md, in their order.
TEST(Pattern, CodeValueScaler) {
  EXPECT_EQ(decode_body("02 06 " ENERGY "06 00003289 " WH VOLTAGE "12 0921 " VOLT).registers,
            (Registers{"1-0:1.8.0=12937 Wh", "1-0:32.7.0=233.7 V"}));
}
TEST(Pattern, StructureOfCodeValueScaler) {
  EXPECT_EQ(decode_body("01 02  02 03 " ENERGY "06 00003289 " WH " 02 03 " VOLTAGE "12 0921 " VOLT)
                .registers,
            (Registers{"1-0:1.8.0=12937 Wh", "1-0:32.7.0=233.7 V"}));
}
TEST(Pattern, StructureOfCodeAndValue) {
  const auto decoded = decode_body(
      "02 03  02 02 0906 0000600100FF 0904 41424344"
      " 02 02 0906 0000010000FF 090C 07E60B0C0610360000FFC400"
      " 02 02 0906 00002A0000FF 0A03 4C444E");
  EXPECT_EQ(decoded.registers,
            (Registers{"0-0:96.1.0=\"ABCD\"", "0-0:1.0.0=2022-11-12T16:54:00+01:00",
                       "0-0:42.0.0=\"LDN\""}));
}
TEST(Pattern, PairsWithoutScalerMakeNoReading) {
  const auto decoded = decode_body("02 04 " ENERGY "06 00003289 " VOLTAGE "12 00EB");
  EXPECT_EQ(decoded.registers, (Registers{"1-0:1.8.0=12937 ?", "1-0:32.7.0=235 ?"}));
  EXPECT_EQ(decoded.profile, "unscaled");
}
TEST(Pattern, ScalerBeforeValue) {
  EXPECT_EQ(decode_body("02 06 " ENERGY WH "06 00003289 " VOLTAGE VOLT "12 0921").registers,
            (Registers{"1-0:1.8.0=12937 Wh", "1-0:32.7.0=233.7 V"}));
}
TEST(Pattern, DescriptorsAreNoReadings) {
  EXPECT_EQ(decode_body("02 01 01 01 02 04 12 0003 " ENERGY "0F 02 12 0000").fault, "list-unknown");
}
TEST(Pattern, ValueAndScalerInAStructure) {
  EXPECT_EQ(decode_body("02 02 " ENERGY "0202 06 00003289 " WH).registers,
            Registers{"1-0:1.8.0=12937 Wh"});
}
TEST(Pattern, AnyNestingOfAnyPattern) {
  EXPECT_EQ(decode_body("01 01 02 02  01 01 02 03 " ENERGY "06 00003289 " WH " 02 01 02 02 " VOLTAGE
                        "02 01 02 03 " POWER "06 00000007 " WATT)
                .registers,
            (Registers{"1-0:1.8.0=12937 Wh", "1-0:1.7.0=7 W"}));
}

TEST(Pattern, SixOctetTextsAreValues) {
  EXPECT_EQ(decode_body("02 01 02 02 0906 0000600101FF 0906 313630343536").registers,
            Registers{"0-0:96.1.1=\"160456\""});
  // As the value of a pair, even six octets that look like a code.
  EXPECT_EQ(decode_body("02 01 02 02 0906 0000600101FF 0906 0100010800FF").registers,
            Registers{"0-0:96.1.1=6 octets"});
}
TEST(Pattern, CodesWithoutValueAreSkipped) {
  EXPECT_EQ(decode_body("02 05 " POWER "00 " VOLTAGE ENERGY "06 00000001").registers,
            Registers{"1-0:1.8.0=1 ?"});
  // Kamstrup, one phase: null data between the pairs.
  EXPECT_EQ(decode_body("02 06 " POWER "06 00000768 00 00 " ENERGY "06 00000001").registers,
            (Registers{"1-0:1.7.0=1896 ?", "1-0:1.8.0=1 ?"}));
  // The last element of one list and the first of the next are not a pair.
  EXPECT_EQ(decode_body("02 02 02 01 " ENERGY "02 01 06 00000001").fault, "list-unknown");
}

TEST(Values, EveryTypeUnderACode) {
  const auto value = [](std::string_view hex) {
    const auto decoded = decode_body("02 03 " ENERGY + std::string(hex) + " " WH);
    return decoded.registers.empty() ? decoded.fault : decoded.registers[0].substr(10);
  };
  EXPECT_EQ(value("05 FFFFFFFF"), "-1 Wh");
  EXPECT_EQ(value("14 00000000000000FF"), "255 Wh");
  EXPECT_EQ(value("15 8000000000000000"), "8 octets") << "above int64: a register, no reading";
  EXPECT_EQ(value("17 41200000"), "10 Wh");
  EXPECT_EQ(value("18 3FF8000000000000"), "1.5 Wh");
  EXPECT_EQ(value("17 7FC00000"), "4 octets") << "not a number";
  EXPECT_EQ(value("04 08 A5"), "1 octets");
  EXPECT_EQ(value("0D 99"), "99 Wh");
  EXPECT_EQ(value("1E 00000001"), "4 octets") << "a delta";
  EXPECT_EQ(value("19 07E60B0C0610360000FFC400"), "2022-11-12T16:54:00+01:00");
  EXPECT_EQ(value("0A 02 3132"), "\"12\"");
  EXPECT_EQ(value("00"), "list-unknown");
  EXPECT_EQ(value("FF"), "list-unknown");
}
TEST(Values, ScaledFloatOutOfRangeIsNoNumber) {
  // 1e-25 × 10^-10
  EXPECT_EQ(decode_body("02 03 " ENERGY "17 15F79688 0202 0FF6 161E").registers,
            Registers{"1-0:1.8.0=4 octets"});
}
TEST(Values, StatesNeedNoScaler) {
  EXPECT_EQ(
      decode_body("02 06 0906 0000600E00FF 1102  0906 000060030AFF 0301  " ENERGY "1605").registers,
      (Registers{"0-0:96.14.0=2", "0-0:96.3.10=1", "1-0:1.8.0=5"}));
}
TEST(Values, UnitOutsideTheTableIsNoScaler) {
  EXPECT_EQ(decode_body("02 03 " ENERGY "06 00000001 0202 0F00 16C8").registers,
            Registers{"1-0:1.8.0=1 ?"});
}

// Operator's example of Netz NÖ (EVN), shortened in the middle.
TEST(List, EvnNetzNoe) {
  const auto decoded = decode(
      from_hex("0F 8006870E 0C 07E5091B01092F0F00FF8880 02 0B "
               "09 0C 07E5091B01092F0F00FF8880 09 06 0100010800FF 06 00003289 02 02 0F 00 16 1E "
               "09 06 0100200700FF 12 0921 02 02 0F FF 16 23 "
               "09 06 01000D0700FF 12 03E8 02 02 0F FD 16 FF 09 0C 313831323230303030303039"));
  EXPECT_EQ(decoded.registers,
            (Registers{"0-0:1.0.0=2021-09-27T09:47:15+02:00 !", "1-0:1.8.0=12937 Wh",
                       "1-0:32.7.0=233.7 V", "1-0:13.7.0=1.000", "0-0:96.1.0=\"181220000009\" !"}));
  EXPECT_EQ(decoded.meter, "181220000009");
  EXPECT_FALSE(decoded.meter_is_title);
  EXPECT_EQ(decoded.profile, "evn-netz-noe");
  ASSERT_EQ(decoded.explained.size(), 3u);
  EXPECT_EQ(decoded.explained[0],
            "notification@1000 DataNotification, long-invoke-id 8006870E, date-time");
  EXPECT_EQ(decoded.explained[1],
            "list@1000 structure of 11, begins with a date-time; "
            "code, value and scaler one after the other");
  EXPECT_TRUE(decoded.explained[2].starts_with("list@1000 evn-netz-noe: "));
}

TEST(List, TheFirstFittingRuleNamesIt) {
  EXPECT_EQ(decode_body("02 03 0906 0000010000FF 090C 07E60B0C0610360000FFC400 02 03 " VOLTAGE
                        "12 08F4 " VOLT)
                .profile,
            "kaifa-at");
  EXPECT_EQ(decode_body("01 01 02 03 " POWER "06 00000118 " WATT).profile, "array-of-entries");
  EXPECT_EQ(decode_body("02 03 " ENERGY "06 00003289 " WH).profile, "self-describing");
}

TEST(List, E450PairsAreWholeUnitsOfALandisGyr) {
  const char* body =
      "02 05 090C 07E602150111251EFF800000 " ENERGY "06 00434620 " POWER "06 00000B4D";
  const auto known = decode_body(body, "LGZg\x01\x02\x03\x04");
  EXPECT_EQ(known.registers, (Registers{"0-0:1.0.0=2022-02-21T17:37:30 !", "1-0:1.8.0=4408864 Wh",
                                        "1-0:1.7.0=2893 W"}));
  EXPECT_EQ(known.profile, "landis-gyr-e450-pairs");
  EXPECT_EQ(known.meter, "4C475A6701020304");
  EXPECT_TRUE(known.meter_is_title);
  EXPECT_EQ(decode_body(body, "XYZg\x01\x02\x03\x04").registers[1], "1-0:1.8.0=4408864 ?");
}

TEST(List, KaifaSwedenHasFixedScales) {
  const auto decoded =
      decode_body("02 0A 0906 0100000281FF 0907 4B464D5F303031 " ENERGY "06 009482A3 " POWER
                  "06 00000129 " VOLTAGE "06 00000932 " CURRENT "06 00000268");
  EXPECT_EQ(decoded.registers,
            (Registers{"1-0:0.2.129=\"KFM_001\"", "1-0:1.8.0=9732771 Wh", "1-0:1.7.0=297 W",
                       "1-0:32.7.0=235.4 V", "1-0:31.7.0=0.616 A"}));
  EXPECT_EQ(decoded.profile, "kaifa-se");
}

// Lists without codes. Texts of the bodies.
#define KFM_001 "0907 4B464D5F303031 "
#define GS1_NUMBER "0910 36393730363331343031373533393835 "
#define MODEL "0908 4D41333034483345 "

// The capture of a MA304H3E in Norway: three phases without neutral.
TEST(Positions, KaifaNorwayList2) {
  const auto decoded = decode(from_hex(
      "0F 40000000 090C 07E1090F05052128FF800000 02 0D " KFM_001 GS1_NUMBER MODEL
      "06 000003B4 06 00000000 06 00000000 06 00000040 06 00000588 06 00000CA9 06 00000C2F "
      "06 00000951 06 00000000 06 00000955"));
  EXPECT_EQ(decoded.registers,
            (Registers{"1-0:0.2.129=\"KFM_001\" !", "0-0:96.1.0=\"6970631401753985\" !",
                       "0-0:96.1.7=\"MA304H3E\" !", "1-0:1.7.0=948 W !", "1-0:2.7.0=0 W !",
                       "1-0:3.7.0=0 var !", "1-0:4.7.0=64 var !", "1-0:31.7.0=1.416 A !",
                       "1-0:51.7.0=3.241 A !", "1-0:71.7.0=3.119 A !", "1-0:32.7.0=238.5 V !",
                       "1-0:52.7.0=0.0 V !", "1-0:72.7.0=238.9 V !"}));
  EXPECT_EQ(decoded.meter, "6970631401753985");
  EXPECT_EQ(decoded.time, "2017-09-15T05:33:40");
  EXPECT_EQ(decoded.profile, "kaifa-norway");
  ASSERT_EQ(decoded.explained.size(), 2u);
  EXPECT_EQ(decoded.explained[1],
            "list@1000 kaifa-norway: 13 elements without codes, first text(7) KFM_: "
            "Kaifa MA105 and MA304 in Norway");
}
TEST(Positions, KaifaNorwayList3OfOnePhaseWithWideEnergies) {
  const auto decoded = decode_body(
      "02 0E " KFM_001 GS1_NUMBER MODEL
      "06 00000677 06 00000000 06 00000000 06 0000000C 06 00001B28 06 00000978 "
      "090C 07E605050415000AFF800000 15 0000000001867F8D 06 00000000 06 003F5D1E 06 00065FBB");
  EXPECT_EQ(decoded.profile, "kaifa-norway-1-phase");
  EXPECT_EQ(decoded.registers[8], "1-0:32.7.0=242.4 V !");
  EXPECT_EQ(decoded.registers[10], "1-0:1.8.0=25591693 Wh !");
  EXPECT_EQ(decoded.time, "2022-05-05T21:00:10");
}
TEST(Positions, KaifaNorwayWithoutAPhaseIsStillOne) {
  const std::string head = "02 0D " KFM_001 GS1_NUMBER MODEL
                           "06 000003B4 06 00 000000 06 00000000 "
                           "06 00000040 06 00000588 ";
  const std::string tail = " 06 00000C2F 06 00000951 00 06 00000955";
  const auto decoded = decode_body(head + "00" + tail);
  EXPECT_EQ(decoded.profile, "kaifa-norway");
  EXPECT_EQ(decoded.registers.size(), 11u);
}

TEST(Positions, OneNumberCountsOnlyFromAKaifaBehindAChecksum) {
  const auto power = [](std::string_view header, Link link) {
    const auto decoded =
        decode(concatenated({from_hex(header), from_hex("02 01 06 00000527")}), {}, link);
    return decoded.fault.empty() ? decoded.registers.at(0) + " " + decoded.meter : decoded.fault;
  };
  EXPECT_EQ(power("0F 40000000 090C 07E1090C0217122CFF800000", Link::hdlc), "1-0:1.7.0=1319 W ! ");
  EXPECT_EQ(power("0F 40000000 0C 07E1090C0217122CFF800000", Link::mbus), "1-0:1.7.0=1319 W ! ");
  EXPECT_EQ(power("0F 40000000 0C 07E1090C0217122CFF800000", Link::raw), "list-unknown");
  EXPECT_EQ(power("0F 40000000 00", Link::hdlc), "list-unknown");
  EXPECT_EQ(power("0F 80000001 0C 07E1090C0217122CFF800000", Link::hdlc), "list-unknown");
}
TEST(Positions, WhatKeepsAListFromMatchingIsSaid) {
  const auto decoded =
      decode(from_hex("0F 40000000 0C 07E1090C0217122CFF800000 02 01 06 00000527"), {}, Link::raw);
  EXPECT_EQ(decoded.fault, "list-unknown");
  ASSERT_EQ(decoded.explained.size(), 4u);
  EXPECT_EQ(decoded.explained[1],
            "list@1000 kaifa-norway-power: so short a list counts only where the link layer has a "
            "checksum");
  EXPECT_EQ(decoded.explained[2], "list@1000 structure of 1: u32");
}

// Capture of Netz Burgenland, decrypted; its values as published.
TEST(Positions, LandisGyrE450OfNetzBurgenland) {
  const std::string values =
      "12 00EC 12 00EC 12 00EC 12 0000 12 002E 12 001A 06 0000007D 06 00000000 06 01A96EBD "
      "06 00001DC3 ";
  const auto decoded = decode_body("02 0E " + values +
                                   "12 0190 12 0003 12 0120 "
                                   "0908 3330313337313831");
  const Registers expected = {
      "1-0:32.7.0=236 V !",  "1-0:52.7.0=236 V !",       "1-0:72.7.0=236 V !",
      "1-0:31.7.0=0.00 A !", "1-0:51.7.0=0.46 A !",      "1-0:71.7.0=0.26 A !",
      "1-0:1.7.0=125 W !",   "1-0:2.7.0=0 W !",          "1-0:1.8.0=27881149 Wh !",
      "1-0:2.8.0=7619 Wh !", "0-0:96.1.0=\"30137181\" !"};
  EXPECT_EQ(decoded.registers, expected);
  EXPECT_EQ(decoded.meter, "30137181");
  EXPECT_EQ(decoded.profile, "landis-gyr-burgenland");
  const auto shorter = decode_body("02 0B " + values + "0908 3330313337313831");
  EXPECT_EQ(shorter.registers, expected);
  EXPECT_EQ(shorter.profile, "landis-gyr-burgenland-short");
}

TEST(Positions, WienerNetze) {
  const auto decoded = decode_body(
      "02 09 090C 07E7030B060D1B2FFF800000 06 004C4B40 06 00000000 06 000F4240 06 0007A120 "
      "06 000000E6 06 00000000 06 00000058 06 00000015",
      "ISKg\x74\x9E\x00\x01");
  EXPECT_EQ(
      decoded.registers,
      (Registers{"0-0:1.0.0=2023-03-11T13:27:47 !", "1-0:1.8.0=5000000 Wh !", "1-0:2.8.0=0 Wh !",
                 "1-0:3.8.0=1000000 varh !", "1-0:4.8.0=500000 varh !", "1-0:1.7.0=230 W !",
                 "1-0:2.7.0=0 W !", "1-0:3.7.0=88 var !", "1-0:4.7.0=21 var !"}));
  EXPECT_EQ(decoded.profile, "wiener-netze");
  EXPECT_TRUE(decoded.meter_is_title);
}

#define DEVICE_NAME "0910 49534B31303330373839333735363036 "  // ISK1030789375606

// Captures of Elektro Ljubljana.
TEST(Positions, SloveniaThreePhases) {
  const auto decoded = decode_body(
      "02 12 " DEVICE_NAME
      "0908 3136383230303035 06 00000571 06 00000000 06 00000000 06 000002E2 "
      "12 094B 12 094B 12 08F8 12 0067 12 007D 12 0255 06 00000010 06 00000033 06 0000052D "
      "06 00000000 06 00000000 06 00000000");
  EXPECT_EQ(decoded.profile, "iskraemeco-slovenia-16820005");
  EXPECT_EQ(decoded.meter, "ISK1030789375606");
  EXPECT_EQ(decoded.registers[2], "1-0:1.7.0=1393 W !");
  EXPECT_EQ(decoded.registers[8], "1-0:72.7.0=229.6 V !");
  EXPECT_EQ(decoded.registers[11], "1-0:71.7.0=5.97 A !");
  EXPECT_EQ(decoded.registers[14], "1-0:61.7.0=1325 W !");
}
TEST(Positions, SloveniaTariffsAddUp) {
  const auto with_total = [](std::string_view total) {
    return decode_body("02 0C " DEVICE_NAME "0908 3136383230303036 16 01 0902 0001 06 " +
                       std::string(total) +
                       " 06 00003519 06 0000994C 06 0002B707 06 00013317 06 000183F0 "
                       "06 0001A56A 06 0000A8F5");
  };
  const auto decoded = with_total("0000CE65");
  EXPECT_EQ(decoded.profile, "iskraemeco-slovenia-16820006");
  EXPECT_EQ(decoded.registers[2], "0-0:96.3.10=1 !");
  EXPECT_EQ(decoded.registers[3], "0-0:96.14.0=1 !");
  EXPECT_EQ(decoded.registers[4], "1-0:1.8.0=52837 Wh !");
  EXPECT_EQ(decoded.registers[6], "1-0:1.8.2=39244 Wh !");
  // Each register is cut to whole Wh: the sum may be off by one for each tariff.
  EXPECT_EQ(with_total("0000CE67").fault, "");
  EXPECT_EQ(with_total("0000CE63").fault, "");
  const auto wrong = with_total("0000CE68");
  EXPECT_EQ(wrong.fault, "list-unknown");
  EXPECT_EQ(wrong.explained[1],
            "list@1000 iskraemeco-slovenia-16820006: the tariffs do not add up to the total");
}
// One meter, whose lists name it differently.
TEST(Positions, SlovenianMeterHasOneId) {
  const auto power = decode_body(
      "02 09 0910 49534B31303230373834363035383837 090B 49534B3834363035383837 06 00000175 "
      "06 00000000 06 00000000 06 00000000 12 08FD 06 00000000 06 00000000");
  EXPECT_EQ(power.profile, "iskraemeco-slovenia-1-phase-no-current");
  EXPECT_EQ(power.registers[2], "1-0:1.7.0=373 W !");
  EXPECT_EQ(power.registers[6], "1-0:32.7.0=230.1 V !");
  EXPECT_EQ(power.meter, "ISK84605887");
  const auto energy = decode_body("02 04 0908 3834363035383837 11 00 06 0078EBA1 06 00000000");
  EXPECT_EQ(energy.profile, "iskraemeco-slovenia-energy");
  EXPECT_EQ(energy.registers[2], "1-0:1.8.0=7924641 Wh !");
  EXPECT_EQ(energy.meter, "ISK84605887");
  const auto tariffs = decode_body(
      "02 09 0910 49534B31303330373737343738353836 06 00000271 06 00000000 06 00C328BE "
      "06 005779E6 06 006BAED8 06 000000FA 06 00000070 06 0000008A");
  EXPECT_EQ(tariffs.profile, "iskraemeco-slovenia-tariffs");
  EXPECT_EQ(tariffs.registers[3], "1-0:1.8.0=12789950 Wh !");
  EXPECT_EQ(tariffs.meter, "ISK77478586");
}
TEST(Positions, ElektroCelje) {
  const auto decoded =
      decode_body("02 0C " DEVICE_NAME
                  "0905 55505F3366 12 090A 12 08FF 12 092C 12 01C3 12 020D 12 0058 "
                  "06 0000095F 06 00000000 06 00000004 06 00000108");
  EXPECT_EQ(decoded.profile, "iskraemeco-celje");
  EXPECT_EQ(decoded.registers[2], "1-0:32.7.0=231.4 V !");
  EXPECT_EQ(decoded.registers[7], "1-0:71.7.0=0.88 A !");
  EXPECT_EQ(decoded.registers[8], "1-0:1.7.0=2399 W !");
}

TEST(Positions, NothingElseIsTakenForOne) {
  // A text that is another's, one element too many, a number of another width, a code.
  const std::string four = "0908 3834363035383837 11 00 06 0078EBA1 06 00000000";
  EXPECT_EQ(decode_body("02 04 " + four).fault, "");
  EXPECT_EQ(decode_body("01 04 " + four).fault, "list-unknown");
  EXPECT_EQ(decode_body("02 05 " + four + " 06 00000000").fault, "list-unknown");
  EXPECT_EQ(decode_body("02 04 0908 3834363035383837 12 0000 06 0078EBA1 06 00000000").fault,
            "list-unknown");
  EXPECT_EQ(decode_body("02 04 0908 8034363035383837 11 00 06 0078EBA1 06 00000000").fault,
            "list-unknown");
  EXPECT_EQ(decode_body("02 04 " ENERGY "11 00 06 0078EBA1 06 00000000").profile, "unscaled");
}
TEST(Positions, WhatNobodyKnowsIsDescribed) {
  const auto decoded = decode_body("02 08 " DEVICE_NAME
                                   "0902 0001 090C 07E7030B060D1B2FFF800000 12 0001 06 00000001 "
                                   "06 00000002 00 01 01 12 0001");
  EXPECT_EQ(decoded.fault, "list-unknown");
  ASSERT_EQ(decoded.explained.size(), 3u);
  EXPECT_EQ(decoded.explained[1],
            "list@1000 structure of 8: text(16) ISK1, octets(2), date-time, u16, u32 x2, null, "
            "array");
}

// Kamstrup: HAN-NVE example values of a capture, three and one phase.
#define KAMSTRUP "0A0E 4B616D73747275705F5630303031 "
#define KAMSTRUP_NUMBER "0906 0101000005FF 0A10 35373035373035373035373035373032 "
TEST(List, KamstrupHasFixedScales) {
  const auto decoded =
      decode_body("02 23 " KAMSTRUP KAMSTRUP_NUMBER
                  "0906 0101600101FF 0A12 36383631313131424E323432313031303430 "
                  "0906 0101010700FF 06 00002742 0906 0101020700FF 06 00000000 "
                  "0906 0101030700FF 06 00000000 0906 0101040700FF 06 00000117 "
                  "0906 01011F0700FF 06 000011A0 00 00 00 00 0906 0101200700FF 12 00DF 00 00 00 00 "
                  "0906 0001010000FF 090C 07E50B1803000019FF800000 "
                  "0906 0101010800FF 06 00762EE2 0906 0101020800FF 06 00000000 "
                  "0906 0101030800FF 06 000035A3 0906 0101040800FF 06 00116B53");
  EXPECT_EQ(decoded.fault, "");
  EXPECT_EQ(decoded.profile, "kamstrup");
  EXPECT_EQ(decoded.meter, "5705705705705702");
  EXPECT_EQ(decoded.time, "2021-11-24T00:00:25");
  EXPECT_EQ(decoded.registers,
            (Registers{"1-1:0.0.5=\"5705705705705702\"", "1-1:96.1.1=\"6861111BN242101040\"",
                       "1-1:1.7.0=10050 W", "1-1:2.7.0=0 W", "1-1:3.7.0=0 var", "1-1:4.7.0=279 var",
                       "1-1:31.7.0=45.12 A", "1-1:32.7.0=223 V", "0-1:1.0.0=2021-11-24T00:00:25",
                       "1-1:1.8.0=77452500 Wh", "1-1:2.8.0=0 Wh", "1-1:3.8.0=137310 varh",
                       "1-1:4.8.0=11415870 varh", "1-1:0.2.129=\"Kamstrup_V0001\" !"}));
}
TEST(List, KamstrupMeterTypeDecidesTheScale) {
  const auto values = [](std::string_view type, std::string_view voltage) {
    const auto decoded = decode_body("02 07 " KAMSTRUP "0906 0101600101FF 0A05 " +
                                     std::string(type) + "0906 01011F0700FF 06 000003E8 " +
                                     "0906 0101200700FF 12 " + std::string(voltage));
    return decoded.profile + ": " + decoded.registers[1] + ", " + decoded.registers[2];
  };
  const std::string direct = "3638343131 ", transformer = "3638353131 ";
  EXPECT_EQ(values(direct, "00E8"), "kamstrup: 1-1:31.7.0=10.00 A, 1-1:32.7.0=232 V");
  EXPECT_EQ(values(transformer, "00E8"),
            "kamstrup-transformer: 1-1:31.7.0=1.000 A, 1-1:32.7.0=232 V");
  EXPECT_EQ(values(direct, "56B7"),
            "kamstrup-fine-voltage: 1-1:31.7.0=10.00 A, 1-1:32.7.0=221.99 V");
  EXPECT_EQ(values(transformer, "56B7"),
            "kamstrup-transformer: 1-1:31.7.0=1.000 A, 1-1:32.7.0=22199 V");
}
TEST(List, WelsIsNamedAndItsScalesAreNotKnown) {
  const auto decoded =
      decode_body("02 0A 0906 0000600100FF 0904 31323334 " ENERGY "06 00003289 " POWER
                  "06 00000129 " ENERGY "06 00003289 " POWER "06 00000129");
  EXPECT_EQ(decoded.profile, "siemens-wels");
  EXPECT_EQ(decoded.registers[1], "1-0:1.8.0=12937 ?");
}

// Sagemcom XT211: attribute descriptors without tags; values of a capture.
TEST(List, Xt211HasDescriptorsWithoutTags) {
  const auto decoded =
      decode(from_hex("0F 8000F1D5 00 0202 1601 0105 "
                      "0202 0001 0000600101FF 02 090A 35313030303035313439 "
                      "0202 0046 00006003 0AFF 03 1601 "
                      "0202 0047 0000110000FF 03 06 00000000 "
                      "0202 0003 0100010700FF 02 06 000007A4 "
                      "0202 0003 0100010800FF 02 06 004AFA82"));
  EXPECT_EQ(decoded.registers,
            (Registers{"0-0:96.1.1=\"5100005149\"", "0-0:96.3.10=1", "0-0:17.0.0=0 ?",
                       "1-0:1.7.0=1956 W", "1-0:1.8.0=4913794 Wh"}));
  EXPECT_EQ(decoded.meter, "5100005149");
  EXPECT_EQ(decoded.profile, "sagemcom-xt211");
}
TEST(List, Xt211CutOrWithAListIsRefused) {
  const Octets whole = notification(
      "0202 1601 0102 0202 0003 0100010700FF 02 06 000007A4 0202 0003 0100010800FF 02 06 004AFA82");
  ASSERT_EQ(decode(whole).fault, "");
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(
        decode(Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))).fault,
        "truncated")
        << size;
  EXPECT_EQ(decode_body("0202 1601 0101 0202 0003 0100010700FF 02 0201 1100").fault, "malformed");
  EXPECT_EQ(decode_body("0202 1601 0101 0202 0003 0100010700FF 02 1100 00").fault, "malformed");
  EXPECT_EQ(decode_body("0202 1601 0102 0202 0003 0100010700FF 02 1100 0203 0003 0100010700FF 02 "
                        "1100")
                .fault,
            "malformed");
}
TEST(Pattern, AttributeDescriptorAndValue) {
  EXPECT_EQ(decode_body("01 02 02 02 02 03 12 0003 " ENERGY "0F 02 06 00003289 "
                        "02 02 02 03 12 0003 " POWER "0F 03 06 00000007")
                .registers,
            Registers{"1-0:1.8.0=12937 ?"});
}

/// A push-object list: descriptors {class, code, attribute} and the values after the first.
std::string push_list(std::string_view setup, std::vector<std::array<std::string, 3>> objects,
                      std::string_view values) {
  const auto count = [&](std::size_t n) {
    char text[8];
    std::snprintf(text, sizeof text, "%02zX ", n);
    return std::string(text);
  };
  std::string body = "02 " + count(objects.size() + 1) + "01 " + count(objects.size() + 1);
  body += "02 04 12 0028 0906 " + std::string(setup) + " 0F 02 12 0000 ";
  for (const auto& [id, code, attribute] : objects)
    body += "02 04 12 " + id + " 0906 " + code + " 0F " + attribute + " 12 0000 ";
  return body + std::string(values);
}

const std::vector<std::array<std::string, 3>> common_objects = {
    {"0028", "0008190900FF", "01"}, {"0001", "00002A0000FF", "02"}, {"0008", "0000010000FF", "02"},
    {"0003", "0101010800FF", "02"}, {"0003", "0100200700FF", "02"}, {"0003", "01001F0700FF", "02"},
    {"0003", "01000D0700FF", "02"}};
constexpr const char* common_values =
    "0906 0008190900FF 0910 4C475A31303330363533353230393637 090C 07EA0504010B2715FF800081 "
    "06 00075E7B 12 00EC 12 0009 12 03AD";

TEST(PushObjects, E450) {
  const auto decoded = decode_body(push_list("0008190900FF", common_objects, common_values));
  EXPECT_EQ(decoded.registers,
            (Registers{"0-0:42.0.0=\"LGZ1030653520967\"", "0-0:1.0.0=2026-05-04T11:39:21",
                       "1-1:1.8.0=482939 Wh", "1-0:32.7.0=236 V", "1-0:31.7.0=0.09 A",
                       "1-0:13.7.0=0.941"}));
  EXPECT_EQ(decoded.meter, "LGZ1030653520967");
  EXPECT_EQ(decoded.time, "2026-05-04T11:39:21");
  EXPECT_EQ(decoded.profile, "landis-gyr-e450");
}
TEST(PushObjects, E360AndAm550HaveTenthsOfVolts) {
  const auto decoded = decode_body(push_list("0006190900FF", common_objects, common_values));
  EXPECT_EQ(decoded.registers[3], "1-0:32.7.0=23.6 V");
  EXPECT_EQ(decoded.profile, "landis-gyr-e360");
}
TEST(PushObjects, E570HasWideIntegersAndUnknownCurrents) {
  std::string values = common_values;
  values.replace(values.find("06 00075E7B"), 11, "14 0000000000075E7B");
  const auto decoded = decode_body(push_list("0008190900FF", common_objects, values));
  EXPECT_EQ(decoded.profile, "landis-gyr-e570");
  EXPECT_EQ(decoded.registers[2], "1-1:1.8.0=482939 Wh");
  EXPECT_EQ(decoded.registers[4], "1-0:31.7.0=9 ?");
}
TEST(PushObjects, UnknownSetupHasNoScales) {
  const auto decoded = decode_body(push_list("0005190900FF", common_objects, common_values));
  EXPECT_EQ(decoded.profile, "push-objects");
  EXPECT_EQ(decoded.registers[2], "1-1:1.8.0=482939 ?");
}
TEST(PushObjects, ScalerOfAttribute3IsApplied) {
  // E450 list 4: an M-Bus channel.
  const auto decoded = decode_body(push_list("0008190900FF",
                                             {{"0048", "0001180100FF", "09"},
                                              {"0004", "0001180201FF", "02"},
                                              {"0004", "0001180201FF", "05"},
                                              {"0004", "0001180201FF", "03"},
                                              {"0001", "0001600100FF", "02"}},
                                             "11 03 05 000001C8 090C 07EA0504010B2715FF800081 "
                                             "0202 0FFE 160D 0904 31323334"));
  EXPECT_EQ(decoded.registers,
            (Registers{"0-1:24.1.0=3", "0-1:24.2.1=4.56 m³", "0-1:96.1.0=\"1234\""}));
  EXPECT_EQ(decoded.meter, "") << "a sub-meter's id is not the meter's";
}
TEST(PushObjects, OtherAttributesAreNoReadings) {
  EXPECT_EQ(decode_body(push_list("0008190900FF",
                                  {{"0003", "0100010800FF", "02"}, {"0007", "0100630100FF", "02"}},
                                  "06 00000001 06 00000002"))
                .registers,
            Registers{"1-0:1.8.0=1 Wh"});
}
TEST(PushObjects, OneValueTooFewIsUnknown) {
  std::string list = push_list("0008190900FF", {{"0003", "0100010800FF", "02"}}, "06 00000001");
  list.replace(0, 5, "02 03");
  EXPECT_EQ(decode_body(list + " 06 00000002").fault, "list-unknown");
}

TEST(Identity, OrderOfSources) {
  const std::string entry = "02 03 " ENERGY "06 00000001 " WH;
  const auto id = [&](std::string_view pairs, std::string_view title = "") {
    return decode_body("02 02 " + entry + std::string(pairs), title).meter;
  };
  const std::string device_name = "02 02 0906 00002A0000FF 0903 4C444E ",
                    serial = "02 02 0906 0000600100FF 0903 534552 ",
                    number = "02 02 0906 0101000005FF 0A03 4E554D ",
                    other = "02 02 0906 0000600101FF 0903 4F5448 ",
                    type = "02 02 0906 0000600107FF 0903 545950 ", trailing = "0903 54524C ";
  EXPECT_EQ(id(device_name), "LDN");
  EXPECT_EQ(id(serial), "SER");
  EXPECT_EQ(id(number), "NUM");
  EXPECT_EQ(id(other), "OTH");
  EXPECT_EQ(id(type), "");
  EXPECT_EQ(id(trailing), "TRL");
  EXPECT_EQ(id(type, "KFMg\x01\x02\x03\x04"), "4B464D6701020304");
  EXPECT_EQ(decode_body("02 05 " + trailing + other + serial + device_name + entry).meter, "LDN");
  EXPECT_EQ(decode_body("02 05 " + type + other + number + entry + trailing).meter, "NUM");
  EXPECT_EQ(decode_body("02 03 " + other + entry + trailing).meter, "OTH");
}
TEST(Identity, BlanksAreCutAndBinaryNamesAreHex) {
  const auto id = [](std::string_view value) {
    return decode_body("02 02 02 02 0906 00002A0000FF " + std::string(value) +
                       " 02 03 " ENERGY "06 00000001 " WH)
        .meter;
  };
  EXPECT_EQ(id("0906 204142432020"), "ABC");
  EXPECT_EQ(id("0908 4C475A6701020304"), "4C475A6701020304");
  EXPECT_EQ(id("0902 2020"), "");
}

TEST(Time, ClockObjectThenHeaderThenBareDateTime) {
  const std::string entry = "02 03 " ENERGY "06 00000001 " WH;
  const std::string clock = "02 02 0906 0000010000FF 090C 07EA0504010B2715FF800081 ";
  const std::string bare = "090C 07E60B0C0610360000FFC400 ";
  const auto time = [](std::string_view date_time, const std::string& body) {
    return decode(concatenated({from_hex("0F 00000001"), from_hex(date_time), from_hex(body)}))
        .time;
  };
  constexpr const char* header = "0C 07EA0504010B2714FF800000";
  EXPECT_EQ(time(header, "02 03 " + bare + clock + entry), "2026-05-04T11:39:21");
  EXPECT_EQ(time(header, "02 02 " + bare + entry), "2026-05-04T11:39:20");
  EXPECT_EQ(time("00", "02 02 " + bare + entry), "2022-11-12T16:54:00+01:00");
  EXPECT_EQ(time("00", "02 01 " + entry), "");
}

TEST(Limits, RegistersBeyondTheSetAreRefused) {
  std::string body = "02 02 ";
  for (int half = 0; half < 2; ++half) {
    body += "02 82 0100 ";
    for (int i = 0; i < 128; ++i) body += ENERGY "1101 ";
  }
  EXPECT_EQ(decode_body(body).registers.size(), 256u);
  body.replace(0, 5, "02 03");
  EXPECT_EQ(decode_body(body + "02 02 " ENERGY "1101").fault, "too-many-elements");
}

}  // namespace
}  // namespace meter::dlms
