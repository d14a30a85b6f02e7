// SPDX-License-Identifier: Apache-2.0
// Fragments, segments and blocks: joined in order, refused out of order, restarted on the first.
#include "meter/dlms/reassembler.hpp"

#include <gtest/gtest.h>

#include "tests/libmeter/link/frames.hpp"

namespace meter::dlms {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;

/// What one frame led to: "more", the APDU in hex, or the refusal's name.
std::string take(Reassembler& reassembler, Link link, const Octets& payload) {
  const auto result = reassembler.take(link, payload);
  if (!result) return std::string(name(result.error().code));
  if (!*result) return "more";
  std::string hex;
  for (const std::byte octet : **result) {
    hex += "0123456789ABCDEF"[u8(octet) >> 4];
    hex += "0123456789ABCDEF"[u8(octet) & 15];
  }
  return hex;
}

class MbusFragments : public testing::Test {
 protected:
  /// C A CI STSAP DTSAP data
  std::string fragment(const char* ci, const char* data, const char* saps = "01 67") {
    return take(reassembler, Link::mbus,
                concatenated({from_hex("53 FF"), from_hex(ci), from_hex(saps), from_hex(data)}));
  }
  Reassembler reassembler;
};

TEST_F(MbusFragments, OneFragmentIsAViewIntoTheFrame) {
  const Octets payload = from_hex("53 FF 10 01 67 0F 00 00 00 01 00 02 01 06 00 00 01 F4");
  const auto apdu = reassembler.take(Link::mbus, payload);
  ASSERT_TRUE(apdu && *apdu);
  EXPECT_EQ((*apdu)->data(), payload.data() + 5);
  EXPECT_EQ((*apdu)->size(), payload.size() - 5);
  EXPECT_FALSE(reassembler.pending());
}

TEST_F(MbusFragments, TwoFragments) {
  EXPECT_EQ(fragment("00", "DB 08 4B"), "more");
  EXPECT_TRUE(reassembler.pending());
  EXPECT_EQ(fragment("11", "46 4D"), "DB084B464D");
  EXPECT_FALSE(reassembler.pending());
}

TEST_F(MbusFragments, SixteenFragments) {
  EXPECT_EQ(fragment("00", "DB"), "more");
  for (unsigned number = 1; number < 15; ++number) {
    const char ci[] = {'0', "0123456789ABCDEF"[number], 0};
    EXPECT_EQ(fragment(ci, "55"), "more");
  }
  EXPECT_EQ(fragment("1F", "66"), "DB555555555555555555555555555566");
}

TEST_F(MbusFragments, AGapIsRefusedUntilTheNextFirst) {
  EXPECT_EQ(fragment("00", "DB"), "more");
  EXPECT_EQ(fragment("02", "01"), "lost-fragment");
  EXPECT_FALSE(reassembler.pending());
  EXPECT_EQ(fragment("13", "01"), "lost-fragment");
  EXPECT_EQ(fragment("00", "DB"), "more");
  EXPECT_EQ(fragment("11", "02"), "DB02");
}

TEST_F(MbusFragments, ARepeatedFragmentIsOutOfOrder) {
  EXPECT_EQ(fragment("00", "DB"), "more");
  EXPECT_EQ(fragment("01", "01"), "more");
  EXPECT_EQ(fragment("01", "01"), "lost-fragment");
  EXPECT_EQ(fragment("12", "02"), "lost-fragment");
}

TEST_F(MbusFragments, AContinuationAloneIsRefused) {
  EXPECT_EQ(fragment("11", "01"), "lost-fragment");
}

TEST_F(MbusFragments, ARestartIsReportedAndKept) {
  EXPECT_EQ(fragment("00", "DB 01"), "more");
  EXPECT_EQ(fragment("00", "DB 02"), "lost-fragment");
  EXPECT_TRUE(reassembler.pending());
  EXPECT_EQ(fragment("11", "03"), "DB0203");
}

TEST_F(MbusFragments, AWholeMessageComesFirst) {
  EXPECT_EQ(fragment("00", "DB 01"), "more");
  EXPECT_EQ(fragment("10", "0F 02"), "0F02");
  EXPECT_FALSE(reassembler.pending());
  EXPECT_EQ(fragment("11", "03"), "lost-fragment");
}

TEST_F(MbusFragments, OtherAddressesAreNotJoined) {
  EXPECT_EQ(fragment("00", "DB"), "more");
  EXPECT_EQ(fragment("11", "01", "01 66"), "lost-fragment");
  EXPECT_EQ(fragment("00", "DB"), "more");
  EXPECT_EQ(fragment("11", "01", "02 67"), "lost-fragment");
}

/// Messages of EN 13757-3 come in one frame, and C, A and CI belong to them.
TEST_F(MbusFragments, OtherApplicationsAreWholeMessages) {
  for (const char* ci : {"20", "50", "72", "78", "7A", "BD", "FF"})
    EXPECT_EQ(fragment(ci, "01 02"), "53FF" + std::string(ci) + "01670102") << ci;
}

TEST_F(MbusFragments, ShortFrames) {
  EXPECT_EQ(take(reassembler, Link::mbus, {}), "truncated");
  EXPECT_EQ(take(reassembler, Link::mbus, from_hex("53 FF")), "truncated");
  EXPECT_EQ(take(reassembler, Link::mbus, from_hex("53 FF 10 01")), "truncated");
  EXPECT_EQ(take(reassembler, Link::mbus, from_hex("53 FF 10 01 67")), "truncated");
  EXPECT_EQ(take(reassembler, Link::mbus, from_hex("53 FE BD")), "53FEBD");
}

TEST_F(MbusFragments, ResetDropsWhatIsHalfReceived) {
  EXPECT_FALSE(reassembler.reset());
  EXPECT_EQ(fragment("00", "DB"), "more");
  EXPECT_TRUE(reassembler.reset());
  EXPECT_FALSE(reassembler.reset());
  EXPECT_EQ(fragment("11", "01"), "lost-fragment");
}

class HdlcSegments : public testing::Test {
 protected:
  std::string segment(bool segmented, const char* header, const char* information) {
    const Octets body = test::hdlc_body(from_hex(header), from_hex(information), segmented);
    return take(reassembler, Link::hdlc, Octets(body.begin(), body.end() - 2));
  }
  Reassembler reassembler;
};

TEST_F(HdlcSegments, TheLlcHeaderIsStripped) {
  // The frame of libmeter/doc/hdlc.md.
  EXPECT_EQ(
      take(reassembler, Link::hdlc,
           from_hex("A0 1A CF 02 23 13 7C 98 E6 E7 00 0F 00 00 00 01 00 02 01 06 00 00 01 F4")),
      "0F0000000100020106000001F4");
  EXPECT_EQ(segment(false, "41 03 13", "E6 E6 00 DB 08"), "DB08");
}

TEST_F(HdlcSegments, OneFrameIsAViewIntoIt) {
  const Octets payload = from_hex("A0 0F CF 02 23 13 00 00 E6 E7 00 0F 55");
  const auto apdu = reassembler.take(Link::hdlc, payload);
  ASSERT_TRUE(apdu && *apdu);
  EXPECT_EQ((*apdu)->data(), payload.data() + 11);
}

/// AM550: control 03 while segments follow, 13 in the last one; LLC header in the first.
TEST_F(HdlcSegments, SegmentsOfAnAm550) {
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F 01"), "more");
  EXPECT_EQ(segment(true, "CF 02 23 03", "02 03"), "more");
  EXPECT_EQ(segment(false, "CF 02 23 13", "04"), "0F01020304");
}

TEST_F(HdlcSegments, SegmentsWithoutTheirFirstAreRefused) {
  EXPECT_EQ(segment(true, "CF 02 23 03", "02 03"), "lost-fragment");
  EXPECT_EQ(segment(true, "CF 02 23 03", "0F 03"), "lost-fragment");
  EXPECT_EQ(segment(false, "CF 02 23 13", "04"), "lost-fragment");
  EXPECT_EQ(segment(false, "CF 02 23 13", "E6 E7 00 0F"), "0F");
}

TEST_F(HdlcSegments, ARestartIsReportedAndKept) {
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F 01"), "more");
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F 02"), "lost-fragment");
  EXPECT_EQ(segment(false, "CF 02 23 13", "03"), "0F0203");
}

TEST_F(HdlcSegments, OtherAddressesAndFrameKindsAreNotJoined) {
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F"), "more");
  EXPECT_EQ(segment(false, "CF 02 21 13", "04"), "lost-fragment");
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F"), "more");
  EXPECT_EQ(segment(false, "CF 23 13", "04"), "lost-fragment");
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F"), "more");
  EXPECT_EQ(segment(false, "CF 02 23 10", "04"), "lost-fragment");
}

TEST_F(HdlcSegments, SequenceNumbersOfIFramesMayChange) {
  EXPECT_EQ(segment(true, "CF 02 23 10", "E6 E7 00 0F"), "more");
  EXPECT_EQ(segment(true, "CF 02 23 12", "01"), "more");
  EXPECT_EQ(segment(false, "CF 02 23 34", "02"), "0F0102");
}

TEST_F(HdlcSegments, FramesWithoutInformationAreNoMessage) {
  EXPECT_EQ(segment(true, "CF 02 23 03", "E6 E7 00 0F"), "more");
  EXPECT_EQ(segment(false, "CF 02 23 93", ""), "more");
  EXPECT_EQ(segment(false, "CF 02 23 13", "01"), "0F01");
}

TEST_F(HdlcSegments, ShortFrames) {
  const Octets whole = from_hex("A0 0E CF FE 22 23 13 00 00 E6 E7 00");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == 7) continue;  // a frame without information
    EXPECT_NE(take(reassembler, Link::hdlc,
                   Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))),
              "more")
        << size;
  }
  EXPECT_EQ(take(reassembler, Link::hdlc, whole), "truncated");
}

TEST_F(HdlcSegments, TheLimitIsRefusedByName) {
  const Octets piece(2000, std::byte{0x55});
  const auto frame = [&](const char* front) {
    const Octets body =
        test::hdlc_body(from_hex("CF 02 23 03"), concatenated({from_hex(front), piece}), true);
    return take(reassembler, Link::hdlc, Octets(body.begin(), body.end() - 2));
  };
  EXPECT_EQ(frame("E6 E7 00"), "more");
  for (int i = 1; i < 8; ++i) EXPECT_EQ(frame(""), "more");
  EXPECT_EQ(frame(""), "oversize");
  EXPECT_FALSE(reassembler.pending());
  EXPECT_EQ(frame(""), "lost-fragment");
}

class Blocks : public testing::Test {
 protected:
  std::string block(unsigned number, bool last, const char* data,
                    const char* header = "CE FF 03 13") {
    const Octets content = from_hex(data);
    const Octets apdu =
        concatenated({{std::byte{0xe0}, last ? std::byte{0xc0} : std::byte{0x40},
                       static_cast<std::byte>(number >> 8), static_cast<std::byte>(number & 0xff),
                       std::byte{0}, std::byte{0}, static_cast<std::byte>(content.size())},
                      content});
    const Octets llc = number == 1 ? from_hex("E6 E7 00") : Octets{};
    const Octets body = test::hdlc_body(from_hex(header), concatenated({llc, apdu}));
    return take(reassembler, Link::hdlc, Octets(body.begin(), body.end() - 2));
  }
  Reassembler reassembler;
};

TEST_F(Blocks, AreJoinedUntilTheLast) {
  EXPECT_EQ(block(1, false, "DB 01"), "more");
  EXPECT_TRUE(reassembler.pending());
  EXPECT_EQ(block(2, false, "02"), "more");
  EXPECT_EQ(block(3, true, "03"), "DB010203");
  EXPECT_FALSE(reassembler.pending());
}

TEST_F(Blocks, OneBlockIsAViewIntoTheFrame) {
  EXPECT_EQ(block(1, true, "DB 01"), "DB01");
  const Octets payload = from_hex("A0 16 CE FF 03 13 00 00 E6 E7 00 E0 C0 0001 0000 02 0F 55");
  const auto apdu = reassembler.take(Link::hdlc, payload);
  ASSERT_TRUE(apdu && *apdu);
  EXPECT_EQ((*apdu)->data(), payload.data() + 18);
}

/// Seen on an E450: 1, 2, then a new push 1, 2, 3, 4.
TEST_F(Blocks, ABrokenOffTransferIsDroppedOnBlockOne) {
  EXPECT_EQ(block(1, false, "0F 01"), "more");
  EXPECT_EQ(block(2, false, "02"), "more");
  EXPECT_EQ(block(1, false, "0F 11"), "lost-fragment");
  EXPECT_TRUE(reassembler.pending());
  EXPECT_EQ(block(2, false, "12"), "more");
  EXPECT_EQ(block(3, false, "13"), "more");
  EXPECT_EQ(block(4, true, "14"), "0F11121314");
}

/// Seen on an E450: 1, 2, 2, 4 (last), 3.
TEST_F(Blocks, DisorderIsRefused) {
  EXPECT_EQ(block(1, false, "0F 01"), "more");
  EXPECT_EQ(block(2, false, "02"), "more");
  EXPECT_EQ(block(2, false, "02"), "more");  // identical: ignored
  EXPECT_EQ(block(4, true, "04"), "lost-fragment");
  EXPECT_FALSE(reassembler.pending());
  EXPECT_EQ(block(3, false, "03"), "lost-fragment");
  EXPECT_EQ(block(1, false, "0F 01"), "more");
  EXPECT_EQ(block(2, true, "02"), "0F0102");
}

TEST_F(Blocks, ALowerBlockIsIgnoredOnlyWhereIdentical) {
  EXPECT_EQ(block(1, false, "0F 01"), "more");
  EXPECT_EQ(block(2, false, "02 03"), "more");
  EXPECT_EQ(block(3, false, "04"), "more");
  EXPECT_EQ(block(2, false, "02 03"), "more");
  EXPECT_EQ(block(3, false, "04"), "more");
  EXPECT_EQ(block(4, false, "05"), "more");
  EXPECT_EQ(block(2, false, "02 04"), "lost-fragment");
  EXPECT_EQ(block(5, true, "06"), "lost-fragment");
}

TEST_F(Blocks, OfOtherAddressesAreNotJoined) {
  EXPECT_EQ(block(1, false, "0F 01", "CE 9B 03 13"), "more");
  EXPECT_EQ(block(2, true, "02", "CE FD 03 13"), "lost-fragment");
}

TEST_F(Blocks, BlockZeroAndALateStartAreRefused) {
  EXPECT_EQ(block(0, false, "0F 01"), "lost-fragment");
  EXPECT_EQ(block(2, true, "0F 01"), "lost-fragment");
  EXPECT_EQ(block(1, false, "0F"), "more");
  EXPECT_EQ(block(0, false, "0F"), "lost-fragment");
}

TEST_F(Blocks, AWholeApduBetweenEndsTheTransfer) {
  EXPECT_EQ(block(1, false, "0F 01"), "more");
  EXPECT_EQ(take(reassembler, Link::raw, from_hex("DB 08")), "DB08");
  EXPECT_EQ(block(2, true, "02"), "lost-fragment");
}

TEST_F(Blocks, LengthsAreChecked) {
  for (const char* hex : {"E0", "E0 40 0001 0000", "E0 40 0001 0000 03 0F 01",
                          "E0 40 0001 0000 82 0F 01", "E0 40 0001 0000 80 0F 01"})
    EXPECT_EQ(take(reassembler, Link::raw, from_hex(hex)), "truncated") << hex;
  EXPECT_EQ(take(reassembler, Link::raw, from_hex("E0 40 0001 0000 01 0F 01")), "malformed");
  EXPECT_EQ(take(reassembler, Link::raw, from_hex("E0 40 0001 0000 00")), "malformed");
  EXPECT_EQ(take(reassembler, Link::raw, from_hex("E0 C0 0001 0000 82 00 02 0F 01")), "0F01");
}

TEST_F(Blocks, TheLimitIsRefusedByName) {
  const auto raw_block = [&](unsigned number, std::size_t size) {
    return take(
        reassembler, Link::raw,
        concatenated({from_hex("E0 40"),
                      {static_cast<std::byte>(number >> 8), static_cast<std::byte>(number & 0xff)},
                      from_hex("0000 82"),
                      {static_cast<std::byte>(size >> 8), static_cast<std::byte>(size & 0xff)},
                      Octets(size, std::byte{1})}));
  };
  EXPECT_EQ(raw_block(1, Reassembler::apdu_size_max), "more");
  EXPECT_EQ(raw_block(2, 1), "oversize");
  EXPECT_EQ(raw_block(1, Reassembler::apdu_size_max + 1), "oversize");
  EXPECT_FALSE(reassembler.pending());
  // More blocks than any meter needs, one octet each.
  for (unsigned number = 1; number <= 256; ++number) EXPECT_EQ(raw_block(number, 1), "more");
  EXPECT_EQ(raw_block(257, 1), "oversize");
}

/// Which frames an APDU came in: each frame here is one letter.
class FramesOfApdu : public testing::Test {
 protected:
  /// The frames of the APDU; "more", or the refusal's name.
  std::string take(Link link, const Octets& payload, const char* frame,
                   std::string_view closing = "") {
    const auto result =
        reassembler.take(link, payload, {bytes_of(frame), bytes_of(closing)});
    if (result && *result) return std::string(text_of(reassembler.frames()));
    EXPECT_TRUE(reassembler.frames().empty());
    return result ? "more" : std::string(name(result.error().code));
  }
  std::string fragment(const char* ci, const char* frame) {
    return take(Link::mbus, concatenated({from_hex("53 FF"), from_hex(ci), from_hex("01 67 0F")}),
                frame);
  }
  /// `part` of a block that comes in two HDLC segments; 0: whole.
  std::string block(unsigned number, bool last, const char* frame, unsigned part = 0) {
    const Octets apdu = {std::byte{0xe0}, last ? std::byte{0xc0} : std::byte{0x40}, std::byte{0},
                         static_cast<std::byte>(number), std::byte{0}, std::byte{0}, std::byte{1},
                         std::byte{0x0f}};
    const Octets llc = from_hex("E6 E7 00");
    const auto half = apdu.begin() + 4;
    const Octets piece = part == 0   ? concatenated({llc, apdu})
                         : part == 1 ? concatenated({llc, Octets(apdu.begin(), half)})
                                     : Octets(half, apdu.end());
    const Octets body = test::hdlc_body(from_hex("CE FF 03 13"), piece, part == 1);
    return take(Link::hdlc, Octets(body.begin(), body.end() - 2), frame);
  }
  std::string line(std::string_view text, const char* frame) {
    const Bytes octets = bytes_of(text);
    return take(Link::iec62056_21, Octets(octets.begin(), octets.end()), frame);
  }
  Reassembler reassembler;
};

TEST_F(FramesOfApdu, OneFrameIsAView) {
  const char* const frame = "a";
  EXPECT_EQ(take(Link::raw, from_hex("0F 01"), frame), "a");
  EXPECT_EQ(text_of(reassembler.frames()).data(), frame);
}

TEST_F(FramesOfApdu, WhatClosesAFrameIsBehindIt) {
  EXPECT_EQ(take(Link::raw, from_hex("0F 01"), "a", "~"), "a~");
  EXPECT_EQ(take(Link::raw, from_hex("0F 01"), "b", "~"), "b~");
}

TEST_F(FramesOfApdu, OfFragments) {
  EXPECT_EQ(fragment("00", "a"), "more");
  EXPECT_EQ(fragment("01", "b"), "more");
  EXPECT_EQ(fragment("12", "c"), "abc");
  EXPECT_EQ(fragment("00", "d"), "more");
  EXPECT_EQ(fragment("11", "e"), "de");
}

TEST_F(FramesOfApdu, OfFragmentsThatBeginAnew) {
  EXPECT_EQ(fragment("00", "a"), "more");
  EXPECT_EQ(fragment("00", "b"), "lost-fragment");
  EXPECT_EQ(fragment("11", "c"), "bc");
  EXPECT_EQ(fragment("00", "d"), "more");
  EXPECT_EQ(fragment("02", "e"), "lost-fragment");
  EXPECT_EQ(fragment("10", "f"), "f");
  EXPECT_EQ(fragment("00", "g"), "more");
  EXPECT_EQ(fragment("10", "h"), "h");
}

/// A message of another application between fragments is one by itself.
TEST_F(FramesOfApdu, OfAMessageBetweenFragments) {
  EXPECT_EQ(fragment("00", "a"), "more");
  EXPECT_EQ(fragment("72", "b"), "b");
  EXPECT_EQ(fragment("11", "c"), "ac");
}

TEST_F(FramesOfApdu, OfBlocks) {
  EXPECT_EQ(block(1, false, "a"), "more");
  EXPECT_EQ(block(2, false, "b"), "more");
  EXPECT_EQ(block(2, false, "c"), "more");  // once is enough
  EXPECT_EQ(block(3, true, "d"), "abd");
  EXPECT_EQ(block(1, true, "e"), "e");
}

TEST_F(FramesOfApdu, OfBlocksInSegments) {
  EXPECT_EQ(block(1, false, "a", 1), "more");
  EXPECT_EQ(block(1, false, "b", 2), "more");
  EXPECT_EQ(block(2, false, "c"), "more");
  EXPECT_EQ(block(1, false, "d", 1), "more");
  EXPECT_EQ(block(1, false, "e", 2), "lost-fragment");  // begun anew
  EXPECT_EQ(block(2, true, "f"), "def");
  EXPECT_EQ(block(1, true, "g", 1), "more");
  EXPECT_EQ(block(1, true, "h", 2), "gh");
}

TEST_F(FramesOfApdu, OfAWholeApduBetweenBlocks) {
  EXPECT_EQ(block(1, false, "a"), "more");
  EXPECT_EQ(take(Link::raw, from_hex("0F 01"), "b"), "b");
  EXPECT_EQ(block(2, true, "c"), "lost-fragment");
  EXPECT_EQ(block(1, false, "d"), "more");
  EXPECT_EQ(block(2, true, "e"), "de");
}

TEST_F(FramesOfApdu, OfAReadout) {
  EXPECT_EQ(line("/ESY5Q3D", "a"), "more");
  EXPECT_EQ(line("\x01R1\x02 1.8.0()\x03", "b"), "more");  // a command is not of it
  EXPECT_EQ(line("\x02 1.8.0(1)\r\n\x04", "c"), "more");
  EXPECT_EQ(line("\x02 2.8.0(1)\r\n\x03", "d"), "acd");
  EXPECT_EQ(line("\x02 2.8.0(1)\r\n\x03", "e"), "e");
  EXPECT_EQ(line("/ESY5Q3D", "f"), "more");
  EXPECT_EQ(line("/ESY5Q3D", "g"), "more");
  EXPECT_EQ(line("\x02 1.8.0(1)\r\n\x04", "h"), "more");
  EXPECT_TRUE(reassembler.reset());
  EXPECT_EQ(line("\x02 1.8.0(1)\r\n\x03", "i"), "gi");  // who answered stays known
}

TEST_F(FramesOfApdu, BeyondTheLimitThereAreNone) {
  const Octets large(Reassembler::frames_size_max / 2 + 1, std::byte{0x20});
  const auto piece = [&](const char* ci) {
    const Octets payload =
        concatenated({from_hex("53 FF"), from_hex(ci), from_hex("01 67 0F")});
    return reassembler.take(Link::mbus, payload, {large});
  };
  EXPECT_TRUE(piece("00"));
  const auto whole = piece("11");
  ASSERT_TRUE(whole && *whole);
  EXPECT_TRUE(reassembler.frames().empty());
  EXPECT_EQ(fragment("00", "a"), "more");
  EXPECT_EQ(fragment("11", "b"), "ab");
}

TEST(Reassembler, RawApdusPassThrough) {
  Reassembler reassembler;
  EXPECT_EQ(take(reassembler, Link::raw, from_hex("E6 E7 00 0F 01")), "0F01");
  EXPECT_EQ(take(reassembler, Link::raw, from_hex("DB 01")), "DB01");
  EXPECT_EQ(take(reassembler, Link::raw, {}), "truncated");
  EXPECT_EQ(take(reassembler, Link::glow, from_hex("0F")), "unsupported-apdu");
}

}  // namespace
}  // namespace meter::dlms
