// SPDX-License-Identifier: Apache-2.0
// Identification lines, blocks and commands of IEC 62056-21, with bytes that others published.
#include "meter/link/iec62056.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/libmeter/link/frames.hpp"

namespace meter::link {
namespace {

using test::Octets;

Octets block(std::string_view lines, unsigned end = 0x03, bool parity = false) {
  return test::iec62056_block(bytes_of(lines), end, parity);
}
Octets concatenated(std::string_view text, const Octets& octets) {
  Octets all;
  test::append(all, bytes_of(text));
  test::append(all, octets);
  return all;
}

TEST(Iec62056, PublishedBlockChecksOfCommands) {
  // Siemens TD-351x handbook: F001 and F009; the break of IEC 62056-21 6.4.
  for (const std::string_view hex : {"01 52 32 02 46 30 30 31 03 16",
                                     "01 52 32 02 46 30 30 39 03 1E", "01 42 30 03 71"}) {
    Octets command = test::from_hex(hex);
    const Scan scan = scan_iec62056(command);
    EXPECT_EQ(scan.size, command.size()) << hex;
    EXPECT_FALSE(scan.proven) << hex;
    command.back() ^= std::byte{1};
    EXPECT_EQ(scan_iec62056_rest(command).size, 0u) << hex;
  }
}

TEST(Iec62056, BlocksAreProvenWithAndWithoutParity) {
  for (const bool parity : {false, true}) {
    const Octets frame = block("1.8.0(000219.252*kWh)\r\n!\r\n", 0x03, parity);
    const Scan scan = scan_iec62056(frame);
    EXPECT_EQ(scan.discard, 0u);
    EXPECT_EQ(scan.size, frame.size());
    EXPECT_EQ(scan.payload.size(), frame.size() - 1);
    EXPECT_TRUE(scan.proven);
  }
}

TEST(Iec62056, OneCharacterWithWrongParityRefusesTheBlock) {
  Octets frame = block("1.8.0(000219.252*kWh)\r\n!\r\n", 0x03, true);
  frame[9] ^= std::byte{0x80};
  const Scan scan = scan_iec62056_rest(frame);
  EXPECT_EQ(scan.size, 0u);
  EXPECT_TRUE(scan.refused);
}

TEST(Iec62056, GarbageBeforeTheBlockIsPassedOver) {
  const Octets frame = block("1.8.0(1*kWh)\r\n!\r\n");
  const Octets wire = test::concatenated({test::from_hex("FF 00 7F 55 02 15"), frame});
  const Scan scan = scan_iec62056(wire);
  EXPECT_EQ(scan.discard, 6u);
  EXPECT_EQ(scan.size, frame.size());
  EXPECT_TRUE(scan.refused);
}

TEST(Iec62056, MoreBlocksFollowEndOfTransmission) {
  const Octets frame = block("1.8.0(1*kWh)\r\n", 0x04);
  EXPECT_EQ(scan_iec62056(frame).size, frame.size());
  const Octets within_a_line = block("1.8.0(1*kWh)", 0x04);
  EXPECT_EQ(scan_iec62056_rest(within_a_line).size, 0u);
}

TEST(Iec62056, AnAnswerIsOneDataSetWithoutLineEnd) {
  for (const std::string_view answer : {"(00012345.678*kWh)", "1.8.0(1*kWh)", "(ER01)"}) {
    const Octets frame = block(answer);
    EXPECT_EQ(scan_iec62056(frame).size, frame.size()) << answer;
  }
  // Lines end with '!': anything else is a block that damage ended.
  const Octets ended_early = block("1.8.0(1*kWh)\r\n2.8.0(2*kWh)\r\n");
  EXPECT_EQ(scan_iec62056_rest(ended_early).size, 0u);
}

/// LF (0A) becomes STX (02) by one bit; the check of what follows is right here.
TEST(Iec62056, ALineEndThatBecameStxBeginsNoBlock) {
  const std::string_view first = "1.8.0(0AN)\r\n";
  char sum = 0;
  for (const char c : first) sum = static_cast<char>(sum ^ c);
  ASSERT_EQ(sum, 0);  // the first line adds nothing to the check
  Octets frame = block(std::string(first) + "2.8.0(2*kWh)\r\n!\r\n");
  const std::size_t line_feed = first.size();
  ASSERT_EQ(frame[line_feed], std::byte{'\n'});
  EXPECT_EQ(scan_iec62056(frame).size, frame.size());
  frame[line_feed] = std::byte{0x02};
  EXPECT_EQ(scan_iec62056_rest(frame).size, 0u);
}

TEST(Iec62056, IdentificationThenRequestAndWakeUp) {
  const std::string_view line = "/LGZ4ZMF100AC.M27";
  const Octets wake_up(20, std::byte{0});
  Octets wire = wake_up;
  test::append(wire, bytes_of("/?!\r\n"));
  const std::size_t before = wire.size();
  test::append(wire, bytes_of(std::string(line) + "\r\n"));
  const Scan scan = scan_iec62056(wire);
  EXPECT_EQ(scan.discard, before);
  EXPECT_FALSE(scan.refused);
  EXPECT_EQ(text_of(scan.payload), line);
  EXPECT_FALSE(scan.proven);
}

TEST(Iec62056, BareLinesAreNotProvenAndABlockWithoutStxIsNone) {
  const std::string_view lines = "0.0.0(110002267)\r\n1.8.0(31550.191*kWh)\r\n!\r\n";
  const Scan scan = scan_iec62056_rest(bytes_of(lines));
  EXPECT_EQ(text_of(scan.payload), lines);
  EXPECT_FALSE(scan.proven);
  EXPECT_EQ(scan_iec62056_rest(concatenated(lines, test::from_hex("03 55"))).size, 0u);
}

}  // namespace
}  // namespace meter::link
