// SPDX-License-Identifier: Apache-2.0
// HDLC type 3 frames: published headers and frames, every wrong length, addresses, shared flags.
#include "meter/link/hdlc.hpp"

#include <gtest/gtest.h>

#include "tests/libmeter/link/frames.hpp"

namespace meter::link {
namespace {

using test::concatenated;
using test::from_hex;
using test::hdlc_body;
using test::hdlc_frame;
using test::Octets;

/// Both CRCs of this frame were computed by hand.
const Octets clear_push =
    from_hex("7E A0 1A CF 02 23 13 7C 98 E6 E7 00 0F 00 00 00 01 00 02 01 06 00 00 01 F4 6C 2E 7E");
const Octets flag = from_hex("7E");

TEST(Hdlc, WholeFrame) {
  const Scan scan = scan_hdlc(clear_push);
  EXPECT_EQ(scan.discard, 0u);
  EXPECT_EQ(scan.size, clear_push.size() - 1);  // the closing flag stays
  EXPECT_FALSE(scan.refused);
  EXPECT_EQ(scan.payload.data(), clear_push.data() + 1);
  EXPECT_EQ(scan.payload.size(), 0x1au - 2);
}

TEST(Hdlc, WaitsForEveryOctetOfAFrame) {
  for (std::size_t size = 0; size + 1 < clear_push.size(); ++size) {
    const Scan scan = scan_hdlc(Bytes(clear_push).first(size));
    EXPECT_EQ(scan.discard, 0u) << size;
    EXPECT_EQ(scan.size, 0u) << size;
    EXPECT_FALSE(scan.refused) << size;
  }
}

/// First octets of pushes, HCS included, as Landis+Gyr, Iskra, Kaifa, Aidon and Kamstrup send
/// them: the header is believed, and with one flipped bit it is not.
TEST(Hdlc, PublishedHeaders) {
  for (const char* hex :
       {"7E A0 8B CE FF 03 13 EE E1", "7E A8 A4 CF 02 23 03 99 96", "7E A0 79 01 02 01 10 80 93",
        "7E A0 D2 41 08 83 13 82 D6", "7E A1 E9 41 03 13 C6 37"}) {
    Octets header = from_hex(hex);
    EXPECT_EQ(scan_hdlc(header).discard, 0u) << hex;
    EXPECT_FALSE(scan_hdlc(header).refused) << hex;
    for (std::size_t bit = 4 + 8; bit < header.size() * 8; ++bit) {
      Octets damaged = header;
      damaged[bit / 8] ^= static_cast<std::byte>(0x80u >> bit % 8);
      test::append(damaged, Octets(8, std::byte{1}));
      const Scan scan = scan_hdlc(damaged);
      EXPECT_EQ(scan.discard, damaged.size()) << hex << " bit " << bit;
      EXPECT_TRUE(scan.refused);
      EXPECT_EQ(scan.size, 0u);
    }
  }
}

TEST(Hdlc, AddressesOfOneTwoAndFourOctets) {
  const Octets information = from_hex("E6 E7 00 0F");
  for (const char* addresses :
       {"41 03 13", "CE FF 03 13", "CF 02 23 13", "02 01 00 01 10", "CF 00 02 00 23 13",
        "00 02 00 23 CF 13", "00 02 00 23 00 02 00 23 03"}) {
    for (const Octets& content : {information, Octets{}}) {
      const Octets frame = hdlc_frame(from_hex(addresses), content);
      const Scan scan = scan_hdlc(frame);
      EXPECT_EQ(scan.size, frame.size() - 1) << addresses;
      EXPECT_EQ(scan.payload.size(), frame.size() - 4) << addresses;
      for (std::size_t size = 0; size + 1 < frame.size(); ++size) {
        EXPECT_EQ(scan_hdlc(Bytes(frame).first(size)).discard, 0u) << addresses << ' ' << size;
        EXPECT_EQ(scan_hdlc(Bytes(frame).first(size)).size, 0u) << addresses << ' ' << size;
      }
    }
  }
}

TEST(Hdlc, AnAddressThatDoesNotEndIsRefused) {
  const Scan scan = scan_hdlc(from_hex("7E A0 20 02 02 02 02 02"));
  EXPECT_EQ(scan.fault, (Fault{Errc::malformed, 0}));
  EXPECT_EQ(scan.discard, 8u);
}

TEST(Hdlc, WithoutInformationThereIsNoHcs) {
  const Octets frame = from_hex("7E A0 07 03 21 93 0F 01 7E");
  const Scan scan = scan_hdlc(frame);
  EXPECT_EQ(scan.size, 8u);
  EXPECT_EQ(scan.payload.size(), 5u);
}

TEST(Hdlc, SharedAndDoubleFlags) {
  const Octets body = hdlc_body(from_hex("CE FF 03 13"), from_hex("E6 E7 00 7E A0 7E"));
  const Octets wire = concatenated({flag, body, flag, body, flag, flag, body, flag, flag, flag});
  test::Pump pump(*find_link_layer(Link::hdlc));
  std::size_t frames = 0;
  for (const std::byte& octet : wire) pump.feed(Bytes(&octet, 1), [&](Bytes) { ++frames; });
  EXPECT_EQ(frames, 3u);
  EXPECT_EQ(pump.refusals(), 0u);  // flags between frames are no noise
  EXPECT_EQ(pump.held_back(), 1u);
  pump.finish([&](Bytes) { ++frames; });
  EXPECT_EQ(frames, 3u);
  EXPECT_EQ(pump.refusals(), 0u);  // nor is the last one a half-received frame
}

/// The one flag between two frames is damaged: the first frame is whole nevertheless.
TEST(Hdlc, ADamagedSharedFlagCostsOneFrame) {
  const Octets body = hdlc_body(from_hex("CE FF 03 13"), from_hex("E6 E7 00 0F"));
  for (int bit = 0; bit < 8; ++bit) {
    const Octets damaged{std::byte{0x7e} ^ static_cast<std::byte>(1u << bit)};
    const Octets wire = concatenated({flag, body, damaged, body, flag, body, flag});
    test::Pump pump(*find_link_layer(Link::hdlc));
    std::size_t frames = 0;
    pump.feed(wire, [&](Bytes) { ++frames; });
    EXPECT_EQ(frames, 2u) << bit;
  }
}

/// Every length field but the right one, with frames behind it: refused as soon as the header
/// and its HCS are there, so nothing waits for what the length claims.
TEST(Hdlc, EveryWrongLength) {
  for (unsigned length = 0; length < 2048; ++length) {
    if (length == 0x1a) continue;
    Octets wire = clear_push;
    wire[1] = static_cast<std::byte>(0xa0 | length >> 8);
    wire[2] = static_cast<std::byte>(length & 0xff);
    const Scan alone = scan_hdlc(wire);
    EXPECT_EQ(alone.size, 0u) << length;
    EXPECT_EQ(alone.discard, wire.size() - 1) << length;
    EXPECT_EQ(alone.fault.offset, 0u);
    EXPECT_TRUE(alone.fault.code == Errc::bad_length || alone.fault.code == Errc::bad_checksum);
    test::append(wire, clear_push);
    const Scan scan = scan_hdlc(wire);
    EXPECT_EQ(scan.discard, clear_push.size()) << length;
    EXPECT_EQ(scan.size, clear_push.size() - 1) << length;
  }
}

TEST(Hdlc, ALengthWithoutRoomIsBad) {
  EXPECT_EQ(scan_hdlc(from_hex("7E A0 06 03 03 13")).fault.code, Errc::bad_length);
  // Room for the header and an HCS, but not for information behind it.
  EXPECT_EQ(scan_hdlc(from_hex("7E A0 08 03 03 13 00 00")).fault.code, Errc::bad_length);
  EXPECT_EQ(scan_hdlc(from_hex("7E A0 09 03 03 13 00 00")).fault.code, Errc::bad_length);
  EXPECT_EQ(scan_hdlc(from_hex("7E A0 09 CE FF 03 13 00")).fault.code, Errc::bad_length);
}

TEST(Hdlc, TheLongestFrame) {
  const Octets addresses = from_hex("CF 03 13");
  const Octets frame = hdlc_frame(addresses, Octets(2047 - 9, std::byte{0x7e}));
  EXPECT_EQ(frame.size(), hdlc_frame_size_max);
  EXPECT_EQ(scan_hdlc(frame).size, frame.size() - 1);
}

TEST(Hdlc, OtherFrameFormatsAreNoise) {
  for (unsigned type = 0; type < 16; ++type) {
    if (type == 0xa) continue;
    Octets wire = clear_push;
    wire[1] = static_cast<std::byte>(type << 4);
    const Scan scan = scan_hdlc(wire);
    EXPECT_EQ(scan.size, 0u);
    EXPECT_EQ(scan.discard, wire.size() - 1);
    EXPECT_EQ(scan.fault.code, Errc::line_noise);
  }
}

TEST(Hdlc, SilenceReleasesWhatADamagedFrameClaims) {
  const Octets whole = hdlc_frame(from_hex("CE FF 03 13"), Octets(300, std::byte{0x55}));
  const Octets cut(whole.begin(), whole.begin() + 50);
  const Octets wire = concatenated({cut, clear_push});
  EXPECT_EQ(scan_hdlc(wire).size, 0u);
  const Scan scan = scan_rest(*find_link_layer(Link::hdlc), wire);
  EXPECT_EQ(scan.discard, cut.size());
  EXPECT_EQ(scan.size, clear_push.size() - 1);
  EXPECT_EQ(scan.fault, (Fault{Errc::silence, 0}));
}

}  // namespace
}  // namespace meter::link
