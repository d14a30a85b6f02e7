// SPDX-License-Identifier: Apache-2.0
// SML transport: published checks, fill, doubled escapes, lost ends, and joining in Reassembler.
#include "meter/link/sml.hpp"

#include <gtest/gtest.h>

#include "meter/dlms/reassembler.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter::link {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;

const Octets content = from_hex("76 05 F1 2C AD 07 62 00 62 00 72 63 01 01 71 01 63 95 5C 00");

bool same(Bytes a, const Octets& b) {
  return std::ranges::equal(a, b);
}

TEST(Sml, FrameAndFill) {
  for (std::size_t size = 1; size <= content.size(); ++size) {
    const Octets part(content.begin(), content.begin() + static_cast<std::ptrdiff_t>(size));
    const Octets frame = test::sml_frame(part);
    EXPECT_EQ(frame.size() % 4, 0u);
    const Scan scan = scan_sml(frame);
    EXPECT_EQ(scan.discard, 0u);
    EXPECT_EQ(scan.size, frame.size());
    EXPECT_TRUE(same(scan.payload, part)) << size;
    EXPECT_FALSE(scan.refused);
    EXPECT_TRUE(scan.proven);
  }
}

TEST(Sml, WaitsForEveryOctetOfAFrame) {
  const Octets frame = test::sml_frame(content);
  for (std::size_t size = 0; size < frame.size(); ++size) {
    const Scan scan = scan_sml(Bytes(frame).first(size));
    EXPECT_EQ(scan.size, 0u);
    EXPECT_EQ(scan.discard, 0u) << size;
  }
}

/// A whole group of fill, as one firmware of DZG sends it (1A 04).
TEST(Sml, FourFillOctets) {
  Octets frame = concatenated(
      {from_hex("1B1B1B1B 01010101"), content, from_hex("00 00 00 00 1B1B1B1B 1A 04")});
  const unsigned crc = test::slow_crc_x25(frame);
  frame.push_back(static_cast<std::byte>(crc & 0xff));
  frame.push_back(static_cast<std::byte>(crc >> 8));
  EXPECT_TRUE(same(scan_sml(frame).payload, content));
}

TEST(Sml, MoreFillThanContentIsRefused) {
  for (const char* hex :
       {"1B1B1B1B 01010101 00 00 00 00 1B1B1B1B 1A 05", "1B1B1B1B 01010101 1B1B1B1B 1A 01"}) {
    Octets frame = from_hex(hex);
    const unsigned crc = test::slow_crc_x25(frame);
    frame.push_back(static_cast<std::byte>(crc & 0xff));
    frame.push_back(static_cast<std::byte>(crc >> 8));
    const Scan scan = scan_sml(frame);
    EXPECT_TRUE(scan.refused);
    EXPECT_EQ(scan.fault.code, Errc::bad_length);
    EXPECT_EQ(scan.size, 0u);
  }
}

/// Up to twelve 1B at each place in a group: as many come out of the reassembler.
TEST(Sml, DoubledEscapes) {
  dlms::Reassembler reassembler;
  for (std::size_t before = 0; before < 5; ++before)
    for (std::size_t run = 1; run <= 12; ++run)
      for (const char* behind : {"", "1A", "1A 00 00 00", "01 01 01 01", "02"}) {
        Octets clear(before, std::byte{0x76});
        clear.insert(clear.end(), run, std::byte{0x1b});
        test::append(clear, from_hex(behind));
        const Octets frame = test::sml_frame(clear);
        const Scan scan = scan_sml(frame);
        ASSERT_EQ(scan.size, frame.size()) << before << ' ' << run << ' ' << behind;
        const auto joined = reassembler.take(Link::sml, scan.payload);
        ASSERT_TRUE(joined && *joined);
        EXPECT_TRUE(same(**joined, clear)) << before << ' ' << run << ' ' << behind;
        const bool in_place = (**joined).data() == scan.payload.data();
        EXPECT_EQ(in_place, run < 4) << "a copy only where octets are left out";
      }
}

/// Four 1B that do not begin a group are not doubled by encoders that look at groups.
TEST(Sml, EscapeOctetsThatWereNotDoubled) {
  Octets frame = from_hex("1B1B1B1B 01010101 76 05 1B 1B 1B 1B 62 00 1B1B1B1B 1A 00");
  const unsigned crc = test::slow_crc_x25(frame);
  frame.push_back(static_cast<std::byte>(crc & 0xff));
  frame.push_back(static_cast<std::byte>(crc >> 8));
  const Octets clear = from_hex("76 05 1B 1B 1B 1B 62 00");
  EXPECT_TRUE(same(scan_sml(frame).payload, clear));
  dlms::Reassembler reassembler;
  EXPECT_TRUE(same(**reassembler.take(Link::sml, clear), clear));
}

/// The head needs no group of its own: what stood before it may end with 1B.
TEST(Sml, StartBehindEscapeOctets) {
  const Octets frame = test::sml_frame(content);
  for (std::size_t run = 1; run <= 9; ++run) {
    const Octets wire = concatenated({Octets(run, std::byte{0x1b}), frame});
    const Scan scan = scan_sml(wire);
    EXPECT_EQ(scan.discard, run);
    EXPECT_TRUE(same(scan.payload, content));
  }
}

TEST(Sml, LostEndCostsOneFrame) {
  const Octets frame = test::sml_frame(content);
  const Octets torn(frame.begin(), frame.end() - 8);
  const Octets wire = concatenated({torn, frame});
  const Scan scan = scan_sml(wire);
  EXPECT_EQ(scan.discard, torn.size());
  EXPECT_EQ(scan.fault.code, Errc::bad_length);
  EXPECT_TRUE(same(scan.payload, content));
}

TEST(Sml, DamageIsRefusedAtOnce) {
  Octets frame = test::sml_frame(content);
  frame[12] ^= std::byte{0x40};
  const Scan scan = scan_sml(frame);
  EXPECT_EQ(scan.fault, (Fault{Errc::bad_checksum, 0}));
  EXPECT_EQ(scan.size, 0u);
}

TEST(Sml, NoEndWithinTheLimit) {
  Octets wire = from_hex("1B1B1B1B 01010101");
  wire.resize(sml_frame_size_max - 1);
  EXPECT_EQ(scan_sml(wire).discard, 0u);
  wire.resize(sml_frame_size_max);
  const Scan scan = scan_sml(wire);
  EXPECT_EQ(scan.fault.code, Errc::oversize);
  EXPECT_EQ(scan.discard, wire.size());
}

}  // namespace
}  // namespace meter::link
