// SPDX-License-Identifier: Apache-2.0
// P1 telegrams through the whole chain: frames, lines, sub-meters, profiles, ciphers.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "tests/libmeter/dlms/ciphering.hpp"

namespace meter {
namespace {

using namespace literals;
using test::from_hex;
using test::Octets;

constexpr std::string_view ek_text = "000102030405060708090A0B0C0D0E0F";
constexpr std::string_view luxembourg_ak = "00112233445566778899AABBCCDDEEFF";

std::string with_crc(std::string body) {
  body += '!';
  char digits[16];
  std::snprintf(digits, sizeof digits, "%04X\r\n", unsigned{test::slow_crc_arc(bytes_of(body))});
  return body + digits;
}
/// A telegram of these lines.
std::string telegram_of(std::string_view lines, std::string_view identification = "/TST5\\DEMO") {
  return with_crc(std::string(identification) + "\r\n\r\n" + std::string(lines));
}

struct Device {
  explicit Device(std::shared_ptr<const dlms::KeyRing> keys = nullptr, DecoderOptions options = {})
      : decoder(options, std::move(keys)) {}
  /// Telegrams that came out; the last one is in `decoder.readings()`.
  int feed(Bytes octets) {
    buffer.insert(buffer.end(), octets.begin(), octets.end());
    return drain();
  }
  int feed(std::string_view text) { return feed(bytes_of(text)); }
  int finish() {
    decoder.end_of_input();
    return drain();
  }
  int drain() {
    int telegrams = 0;
    received = buffer;  // what the views of the last telegram point into
    Bytes rest = received;
    for (;;) {
      const auto step = decoder.next(rest);
      rest = rest.subspan(step.consumed);
      if (step.outcome == Decoder::Outcome::telegram) ++telegrams;
      if (step.outcome == Decoder::Outcome::telegram) taken = keep();
      if (step.outcome == Decoder::Outcome::rejected) causes.push_back(step.fault.code);
      if (step.outcome == Decoder::Outcome::need_more) break;
    }
    buffer.assign(rest.begin(), rest.end());
    return telegrams;
  }
  /// "0-0:42.0.0=… 1-0:1.7.0=0.123 …", "@n" behind the code of a sub-meter's value.
  std::string keep() const {
    std::string all;
    for (const Reading& reading : decoder.readings().readings) {
      char text[Decimal::text_size_max];
      all += " ";
      all += reading.obis().to_text(text);
      if (reading.sub_meter() != 0) all += "@" + std::to_string(reading.sub_meter());
      all += "=";
      const bool number = reading.kind() == Reading::Kind::number;
      all += number ? reading.value().to_text(text) : reading.text();
      if (number) all += symbol(reading.unit());
    }
    return all;
  }
  Decoder decoder;
  Octets buffer, received;
  std::string taken;
  std::vector<Errc> causes;
};

std::shared_ptr<const dlms::KeyRing> keys(std::string_view ek,
                                          std::vector<std::string_view> aks = {}) {
  std::vector<dlms::KeyEntry> entries;
  entries.push_back({"*", std::move(*dlms::EncryptionKey::parse(ek).key), {}, {}});
  for (const auto ak : aks)
    entries.back().authentication.push_back(std::move(*dlms::AuthenticationKey::parse(ak).key));
  return std::make_shared<dlms::KeyRing>(std::move(entries));
}

// ---- frames ------------------------------------------------------------------------------------

TEST(P1Frame, SmallestExampleWithItsPublishedChecksum) {
  Device device;
  EXPECT_EQ(device.feed("/TST5\\DEMO\r\n\r\n1-0:1.7.0(00.123*kW)\r\n!683F\r\n"), 1);
  EXPECT_EQ(device.taken, " 1-0:1.7.0=0.123kW");
  EXPECT_EQ(device.decoder.link(), Link::p1);
  EXPECT_EQ(device.decoder.readings().meter_id.view(), "TST5\\DEMO");
  EXPECT_EQ(device.feed("/TST5\\DEMO\r\n\r\n1-0:1.7.0(00.124*kW)\r\n!683F\r\n"), 0);
  EXPECT_EQ(device.causes, std::vector{Errc::bad_checksum});
}

TEST(P1Frame, LineFeedsAloneAsReceivedOrWithTheCarriageReturnsPutBack) {
  Device device;
  EXPECT_EQ(device.feed("/TST5\\DEMO\n\n1-0:1.7.0(00.123*kW)\n!683F\n"), 1);
  EXPECT_EQ(device.feed(with_crc("/TST5\\DEMO\n\n1-0:1.7.0(00.123*kW)\n")), 1);
}

TEST(P1Frame, FillIsNoNoise) {
  Device device;
  const std::string telegram = telegram_of("1-0:1.7.0(1*W)\r\n");
  EXPECT_EQ(device.feed(std::string("\0 \r\n", 4) + telegram + telegram), 2);
  EXPECT_TRUE(device.causes.empty());
}

TEST(P1Frame, TheNextTelegramEndsOneThatLostItsEnd) {
  Device device;
  const std::string telegram = telegram_of("1-0:1.7.0(1*W)\r\n1-0:2.7.0(2*W)\r\n");
  EXPECT_EQ(device.feed(telegram.substr(0, 31) + telegram), 1);
  EXPECT_EQ(device.causes.size(), 1u);
}

TEST(P1Frame, WithoutChecksumEveryLineMustBeSound) {
  Device device;
  const std::string gas = "0-1:24.1.0(03)\r\n0-1:96.1.0(3238)\r\n";
  EXPECT_EQ(device.feed("/ISk5\\2MT382\r\n\r\n0-0:96.1.1(4B3834)\r\n" + gas +
                        "0-1:24.3.0(121030140000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n"
                        "(00024.123)\r\n!\r\n"),
            1);
  EXPECT_NE(device.taken.find(" 0-1:24.2.1@1=24.123m³"), std::string::npos) << device.taken;
  EXPECT_EQ(device.decoder.readings().profile, "dsmr-2.2");
  EXPECT_EQ(device.feed("/ISk5\\2MT382\r\n\r\n1-0:1.8.1(00#23.1*kWh)\r\n!\r\n"), 0);
}

TEST(P1Frame, APushOfModeDIsNamedSo) {
  Device device;
  EXPECT_EQ(device.feed("/ESY5Q3DA1004 V3.04\r\n\r\n1-0:0.0.0*255(0273011003684)\r\n"
                        "1-0:1.8.0*255(00026107.7034231*kWh)\r\n!\r\n"),
            1);
  EXPECT_EQ(device.decoder.readings().link, Link::iec62056_21);
  EXPECT_EQ(device.decoder.readings().profile, "mode-d");
  EXPECT_EQ(device.decoder.readings().meter_id.view(), "0273011003684");
}

// ---- lines -------------------------------------------------------------------------------------

TEST(P1Lines, BadLinesDoNotTakeAGoodTelegramDown) {
  Device device;
  EXPECT_EQ(device.feed(telegram_of("1-0:4:24.7.0(0.1*kW)\r\ngarbage\r\n1-0:1.7.0(1*W)\r\n")), 1);
  EXPECT_EQ(device.taken, " 1-0:1.7.0=1W");
}

TEST(P1Lines, ALaterLineReplacesAnEarlierOneButNotATextMessage) {
  Device device;
  EXPECT_EQ(device.feed(telegram_of("1-0:1.7.0(1*W)\r\n0-0:96.13.0(41)\r\n1-0:1.7.0(2*W)\r\n"
                                    "0-0:96.13.0(42)\r\n")),
            1);
  EXPECT_EQ(device.taken, " 1-0:1.7.0=2W 0-0:96.13.0=41 0-0:96.13.0=42");
}

TEST(P1Lines, BelgianPeaksByMonth) {
  Device device;
  EXPECT_EQ(
      device.feed(telegram_of(
          "0-0:96.1.4(50217)\r\n1-0:1.6.0(200509134558S)(02.589*kW)\r\n"
          "0-0:98.1.0(3)(1-0:1.6.0)(1-0:1.6.0)"
          "(200501000000S)(200423192538S)(03.695*kW)"
          "(200401000000S)(200305122139S)(05.980*kW)"
          "(200301000000S)(632525252525W)(00.000*kW)\r\n")),
      1);
  EXPECT_NE(device.taken.find(" 1-0:1.6.0=2.589kW 1-0:1.6.0=200509134558S"), std::string::npos);
  EXPECT_NE(device.taken.find(" 1-0:1.6.0*101=3.695kW 1-0:1.6.0*101=200423192538S"),
            std::string::npos);
  EXPECT_NE(device.taken.find(" 1-0:1.6.0*102=5.980kW"), std::string::npos);
  EXPECT_EQ(device.taken.find("*103"), std::string::npos) << "no peak was captured";
  EXPECT_EQ(device.decoder.readings().profile, "emucs");
}

TEST(P1Lines, TimesGetTheOffsetOfTheZone) {
  Device device(nullptr, {.standard_offset_min = 60});
  char text[DateTime::text_size_max];
  EXPECT_EQ(device.feed(telegram_of("0-0:1.0.0(200512135409S)\r\n")), 1);
  EXPECT_EQ(device.decoder.readings().time->to_text(text), "2020-05-12T13:54:09+02:00");
  EXPECT_EQ(device.feed(telegram_of("0-0:1.0.0(101209113020W)\r\n")), 1);
  EXPECT_EQ(device.decoder.readings().time->to_text(text), "2010-12-09T11:30:20+01:00");
  EXPECT_EQ(device.feed(telegram_of("0-0:1.0.0(20240111 09:35:00)\r\n")), 1);
  EXPECT_EQ(device.decoder.readings().time->to_text(text), "2024-01-11T09:35:00");
  EXPECT_EQ(device.feed(telegram_of("0-0:1.0.0(632525252525W)\r\n1-0:1.7.0(1*W)\r\n")), 1);
  EXPECT_FALSE(device.decoder.readings().time);
}

TEST(P1Lines, SubMetersByChannelEmptyOnesIgnored) {
  Device device;
  EXPECT_EQ(device.feed(telegram_of(
                "0-2:24.2.1(101209110000W)(12.34*GJ)\r\n0-2:24.1.0(003)\r\n0-1:24.1.0(000)\r\n"
                "0-1:96.1.0()\r\n0-2:96.1.0(53414731303330373930303032353734)\r\n"
                "0-3:24.1.0(007)\r\n0-3:24.2.1(632525252525W)(00000.000)\r\n")),
            1);
  const ReadingSet& readings = device.decoder.readings();
  ASSERT_EQ(readings.sub_meters.size(), 2u);
  EXPECT_EQ(readings.sub_meters[0].id.view(), "SAG1030790002574");
  EXPECT_EQ(readings.sub_meters[0].medium, Medium::gas);
  EXPECT_EQ(readings.sub_meters[0].channel, 2);
  EXPECT_EQ(readings.sub_meters[1].medium, Medium::water);
  EXPECT_NE(device.taken.find(" 0-2:24.2.1@1=12.34GJ 0-2:24.2.1@1=101209110000W"),
            std::string::npos);
}

TEST(P1Lines, PhasePowerIsANumberAndAnIdIsText) {
  Device device;
  EXPECT_EQ(device.feed(telegram_of("1-0:42.7.0(00.778*kW)\r\n0-0:42.0.0(3132)\r\n")), 1);
  EXPECT_EQ(device.taken, " 1-0:42.7.0=0.778kW 0-0:42.0.0=3132");
  EXPECT_EQ(device.decoder.readings().meter_id.view(), "12");
}

TEST(P1Lines, NoMoreReadingsThanThereIsRoomFor) {
  std::string lines;
  for (int i = 0; i < 300; ++i)
    lines += "1-0:" + std::to_string(i % 200) + ".7." + std::to_string(i / 200) + "(1)\r\n";
  Device device;
  EXPECT_EQ(device.feed(telegram_of(lines)), 0);
  EXPECT_EQ(device.causes, std::vector{Errc::too_many_elements});
}

// ---- ciphered ----------------------------------------------------------------------------------

/// Computed once and published in the description of this format: AES-128-GCM, title
/// 5354584D00000001, counter 1, the smallest telegram.
constexpr std::string_view published =
    "DB 08 5354584D00000001 82003C 30 00000001"
    "C9DC4347A8AF378CFD45E9593D4DC8DA3E953B647BFD7DADE405FB285ABBD345E10493E7BB13B05E93D2AB"
    "DFD831947F3A95178C2F530D";

TEST(P1Ciphered, LuxembourgNeedsNoAuthenticationKey) {
  Device device(keys(ek_text));
  EXPECT_EQ(device.feed(from_hex(published)), 1);
  EXPECT_EQ(device.taken, " 1-0:1.7.0=0.123kW");
  EXPECT_EQ(device.decoder.readings().authentication, Authentication::verified);
  EXPECT_EQ(device.decoder.link(), Link::p1);
}

TEST(P1Ciphered, AConfiguredKeyThatDoesNotFitLeavesTheSharedOne) {
  Device device(keys(ek_text, {"D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"}));
  EXPECT_EQ(device.feed(from_hex(published)), 1);
  EXPECT_EQ(device.decoder.readings().authentication, Authentication::verified);
}

Octets ciphered(std::uint32_t counter, std::string_view ak, std::string_view text) {
  const Octets title = from_hex("5354584D00000001");
  return test::general_glo(
      title, test::protected_content(0x30, counter, title, from_hex(ek_text), from_hex(ak),
                                     bytes_of(text)));
}

TEST(P1Ciphered, TheSharedKeyDoesNotStandInForAMetersOwn) {
  constexpr std::string_view own = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";
  const std::string telegram = telegram_of("1-0:1.7.0(1*W)\r\n");
  Device device(keys(ek_text, {own}));
  EXPECT_EQ(device.feed(ciphered(1, own, telegram)), 1);
  EXPECT_EQ(device.feed(ciphered(2, luxembourg_ak, telegram)), 0);
  EXPECT_EQ(device.feed(ciphered(3, own, telegram)), 1);
}

TEST(P1Ciphered, TheTextIsCheckedAgain) {
  std::string damaged = telegram_of("1-0:1.7.0(1*W)\r\n");
  damaged[damaged.find("(1") + 1] = '2';
  Device device(keys(ek_text), {.link = Link::p1});
  EXPECT_EQ(device.feed(ciphered(1, luxembourg_ak, damaged)), 0);
  EXPECT_EQ(device.causes, std::vector{Errc::bad_checksum});
}

TEST(P1Ciphered, AStreamJoinedInItsMiddle) {
  Octets wire = ciphered(1, luxembourg_ak, telegram_of("1-0:1.7.0(1*W)\r\n"));
  wire.erase(wire.begin(), wire.begin() + 20);
  test::append(wire, ciphered(2, luxembourg_ak, telegram_of("1-0:1.7.0(2*W)\r\n")));
  Device device(keys(ek_text));
  EXPECT_EQ(device.feed(wire), 1);
  EXPECT_EQ(device.taken, " 1-0:1.7.0=2W");
}

TEST(P1Ciphered, AFrameThatLostOctetsDoesNotSwallowTheNext) {
  Octets wire = ciphered(1, luxembourg_ak, telegram_of("1-0:1.7.0(1*W)\r\n"));
  wire.resize(wire.size() - 20);
  test::append(wire, ciphered(2, luxembourg_ak, telegram_of("1-0:1.7.0(2*W)\r\n")));
  Device device(keys(ek_text));
  EXPECT_EQ(device.feed(wire), 1);
  EXPECT_EQ(device.taken, " 1-0:1.7.0=2W");
}

TEST(P1Ciphered, WithoutAKeyTheCauseIsTold) {
  Device device(nullptr, {.link = Link::p1});
  EXPECT_EQ(device.feed(from_hex(published)), 0);
  EXPECT_EQ(device.causes, std::vector{Errc::key_missing});
}

TEST(P1Ciphered, AnApduInAnHdlcFrameIsNotTakenOutOfIt) {
  const Octets apdu = ciphered(1, luxembourg_ak, telegram_of("1-0:1.7.0(1*W)\r\n"));
  const Octets wire = test::hdlc_frame(from_hex("CE FF 03 13"),
                                       test::concatenated({from_hex("E6 E7 00"), apdu}));
  Device device(keys(ek_text));
  for (const std::byte& octet : wire) device.feed(Bytes(&octet, 1));
  EXPECT_NE(device.decoder.link(), Link::p1);
}

}  // namespace
}  // namespace meter
