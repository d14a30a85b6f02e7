// SPDX-License-Identifier: Apache-2.0
// M-Bus frames: published frames, every wrong length, lengths announced modulo 256.
#include "meter/link/mbus.hpp"

#include <gtest/gtest.h>

#include "tests/libmeter/link/frames.hpp"

namespace meter::link {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;

const Octets clear_push =
    from_hex("68 12 12 68 53 FF 10 01 67 0F 00 00 00 01 00 02 01 06 00 00 01 F4 D8 16");

Octets numbered(std::size_t size) {
  Octets octets(size);
  for (std::size_t i = 0; i < size; ++i) octets[i] = static_cast<std::byte>(i * 7 & 0xff);
  return octets;
}

/// Frames of "The M-Bus: A Documentation" 4.8 and of libmbus.
TEST(Mbus, PublishedFrames) {
  for (const char* hex : {"68 03 03 68 53 FE BD 0E 16", "68 04 04 68 53 FE 50 10 B1 16",
                          "68 0B 0B 68 53 FD 52 78 56 34 12 24 40 01 07 22 16",
                          "68 0B 0B 68 53 FD 52 FF FF FF FF FF FF FF FF 9A 16"}) {
    const Octets frame = from_hex(hex);
    const Scan scan = scan_mbus(frame);
    EXPECT_EQ(scan.discard, 0u) << hex;
    EXPECT_EQ(scan.size, frame.size()) << hex;
    EXPECT_FALSE(scan.refused) << hex;
    EXPECT_EQ(scan.payload.data(), frame.data() + 4) << hex;
    EXPECT_EQ(scan.payload.size(), frame.size() - 6) << hex;
  }
}

TEST(Mbus, WaitsForEveryOctetOfAFrame) {
  for (std::size_t size = 0; size < clear_push.size(); ++size) {
    const Scan scan = scan_mbus(Bytes(clear_push).first(size));
    EXPECT_EQ(scan.discard, 0u) << size;
    EXPECT_EQ(scan.size, 0u) << size;
    EXPECT_FALSE(scan.refused) << size;
  }
  EXPECT_EQ(scan_mbus(clear_push).size, clear_push.size());
}

TEST(Mbus, NoiseIsDiscardedAndNamed) {
  const Octets wire = concatenated({from_hex("00 E5 10 40 01 41 16 FF"), clear_push});
  const Scan scan = scan_mbus(wire);
  EXPECT_EQ(scan.discard, 8u);
  EXPECT_EQ(scan.size, clear_push.size());
  EXPECT_TRUE(scan.refused);
  EXPECT_EQ(scan.fault, (Fault{Errc::line_noise, 0}));
}

TEST(Mbus, TheFirstRefusedFrameIsTheReason) {
  Octets damaged = clear_push;
  damaged[10] ^= std::byte{4};
  const Octets wire = concatenated({from_hex("00 00"), damaged, clear_push});
  const Scan scan = scan_mbus(wire);
  EXPECT_EQ(scan.discard, 2 + damaged.size());
  EXPECT_EQ(scan.size, clear_push.size());
  EXPECT_EQ(scan.fault, (Fault{Errc::bad_checksum, 2}));
}

TEST(Mbus, AStopOctetInsideIsNoEnd) {
  const Octets content = from_hex("53 FF 10 01 67 16 16 68 16");
  const Octets frame = test::mbus_frame(content);
  const Scan scan = scan_mbus(frame);
  EXPECT_EQ(scan.size, frame.size());
}

/// Both length octets wrong in the same way, in every possible way.
TEST(Mbus, EveryWrongLength) {
  for (unsigned length = 0; length < 256; ++length) {
    if (length == clear_push.size() - 6) continue;
    Octets wire = clear_push;
    wire[1] = wire[2] = static_cast<std::byte>(length);
    for (int i = 0; i < 20; ++i) test::append(wire, clear_push);
    Scan scan = scan_mbus(wire);
    EXPECT_EQ(scan.discard, clear_push.size()) << length;
    EXPECT_EQ(scan.size, clear_push.size()) << length;
    EXPECT_TRUE(scan.fault.code == Errc::bad_length || scan.fault.code == Errc::bad_checksum);
    EXPECT_EQ(scan.fault.offset, 0u);
  }
}

TEST(Mbus, DifferentLengthOctetsAreRefusedAtOnce) {
  const Scan scan = scan_mbus(from_hex("68 FA BA 68 53"));
  EXPECT_EQ(scan.fault, (Fault{Errc::bad_length, 0}));
  EXPECT_EQ(scan.discard, 3u);  // the second 68 may start a frame
}

/// Sagemcom T210-D and Kaifa: 256, 257 and 258 octets are announced as 0, 1 and 2.
TEST(Mbus, LengthsModulo256) {
  for (const std::size_t size : {256u, 257u, 258u}) {
    Octets frame = test::mbus_frame(numbered(size));
    EXPECT_EQ(u8(frame[1]), size - 256);
    EXPECT_EQ(scan_mbus(Bytes(frame).first(frame.size() - 1)).size, 0u);
    const Scan scan = scan_mbus(frame);
    EXPECT_EQ(scan.size, size + 6);
    EXPECT_EQ(scan.payload.size(), size);
    EXPECT_LE(frame.size(), mbus_frame_size_max);

    frame[100] ^= std::byte{1};
    const Octets wire = concatenated({frame, clear_push});
    const Scan after = scan_mbus(wire);
    EXPECT_EQ(after.size, clear_push.size());
    EXPECT_EQ(after.fault, (Fault{Errc::bad_checksum, 0}));
  }
}

TEST(Mbus, TheShortFormOfSmallLengthsIsNoFrame) {
  // 68 01 01 68 53 53 16: seven octets that would fit, were L taken as 1.
  const Octets wire = concatenated({from_hex("68 01 01 68 53 53 16"), Octets(300)});
  const Scan scan = scan_mbus(wire);
  EXPECT_EQ(scan.size, 0u);
  EXPECT_EQ(scan.discard, wire.size());
}

TEST(Mbus, AFrameInsideAPendingFrameWaits) {
  const Octets outer = test::mbus_frame(concatenated({from_hex("53 FF 10"), clear_push}));
  EXPECT_EQ(scan_mbus(Bytes(outer).first(outer.size() - 1)).size, 0u);
  EXPECT_EQ(scan_mbus(outer).size, outer.size());
}

TEST(Mbus, SilenceReleasesWhatADamagedFrameClaims) {
  // A frame of which the middle was lost, and a whole one behind it.
  const Octets cut = from_hex("68 FA FA 68 53 FF 00 01 67 DB 08");
  const Octets wire = concatenated({cut, clear_push});
  EXPECT_EQ(scan_mbus(wire).size, 0u);
  const Scan scan = scan_rest(*find_link_layer(Link::mbus), wire);
  EXPECT_EQ(scan.discard, cut.size());
  EXPECT_EQ(scan.size, clear_push.size());
  EXPECT_EQ(scan.fault, (Fault{Errc::silence, 0}));
  const Scan end = scan_rest(*find_link_layer(Link::mbus), Bytes(clear_push).first(9));
  EXPECT_EQ(end.discard, 9u);
  EXPECT_EQ(end.fault, (Fault{Errc::silence, 0}));
}

}  // namespace
}  // namespace meter::link
