// SPDX-License-Identifier: Apache-2.0
// The rendering of a line against patterns that were worked out bit by bit on paper.
#include "tests/libmeter/line/uart.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/libmeter/link/frames.hpp"

namespace meter::test {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using enum AfterFramingError;

constexpr LineFormat slow{2400, 8, 'N'}, plain{9600, 8, 'N'}, even{9600, 8, 'E'},
    seven{9600, 7, 'E'};

SerialLine line_of(std::string_view hex, const Sending& sending) {
  SerialLine line;
  line.send(from_hex(hex), sending, 1s);
  return line;
}

/// "78f 3c": octets in hex; f framing error, p parity error, b break.
std::string received(const SerialLine& line, const LineFormat& format,
                     AfterFramingError behaviour) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const Character& character : receive_all(line, format, behaviour)) {
    if (!text.empty()) text += ' ';
    text += digits[u8(character.octet) >> 4];
    text += digits[u8(character.octet) & 15];
    if (character.framing_error) text += 'f';
    if (character.parity_error) text += 'p';
    if (character.is_break) text += 'b';
  }
  return text;
}

/// 55 alternates: start 0, then 1 0 1 0 1 0 1 0 from the lowest bit, stop 1.
TEST(SerialLine, SendsTheLowestBitFirst) {
  const SerialLine line = line_of("55", {{1000, 8, 'N'}});
  EXPECT_THAT(line.edges(), ElementsAre(1000ms, 1001ms, 1002ms, 1003ms, 1004ms, 1005ms, 1006ms,
                                        1007ms, 1008ms, 1009ms));
}

/// Four ones: the parity bit is 0, as the highest data bit.
TEST(SerialLine, SendsEvenParity) {
  const SerialLine line = line_of("55", {{1000, 8, 'E'}});
  EXPECT_THAT(line.edges(), ElementsAre(1000ms, 1001ms, 1002ms, 1003ms, 1004ms, 1005ms, 1006ms,
                                        1007ms, 1008ms, 1010ms));
}

TEST(SerialLine, TakesTenBitsForACharacterAndElevenWithParity) {
  SerialLine line;
  EXPECT_EQ(line.send(from_hex("00 00 00"), {{1000, 8, 'N'}}, 0s), 30ms);
  EXPECT_EQ(line.send(from_hex("00 00 00"), {{1000, 8, 'E'}}, 1s), 1033ms);
  EXPECT_EQ(line.send(from_hex("00 00 00"), {{1000, 7, 'E'}}, 2s), 2030ms);
  EXPECT_EQ(line.send(from_hex("00 00 00"), {{1000, 8, 'N'}, 0, 4}, 3s), 3038ms);
}

TEST(UartReceiver, ReceivesWhatWasSent) {
  for (const LineFormat& format : {slow, plain, even})
    for (const double error : {-0.02, 0.0, 0.02})
      for (const unsigned gap : {0u, 1u, 7u}) {
        const SerialLine line = line_of("00 ff 55 aa 68 16 80 01", {format, error, gap});
        EXPECT_EQ(received(line, format, start_there), "00 ff 55 aa 68 16 80 01");
        EXPECT_EQ(received(line, format, wait_for_edge), "00 ff 55 aa 68 16 80 01");
      }
}

/// Each bit of 55 is four bits long. Behind the first octet the line is low: one receiver goes on
/// from there, the other waits for the next falling edge, which is a start of four bits again.
TEST(UartReceiver, StretchesWhatIsSlower) {
  const SerialLine line = line_of("55", {slow});
  EXPECT_EQ(received(line, plain, start_there), "78f 3cf 1ef 0f");
  EXPECT_EQ(received(line, plain, wait_for_edge), "78f 78f f8");
}

/// 00 at 2400 is nine bits low, 36 at 9600: a break, and one octet for all of it.
TEST(UartReceiver, ReceivesABreakOnce) {
  const SerialLine line = line_of("00", {slow});
  EXPECT_EQ(received(line, plain, start_there), "00b");
  EXPECT_EQ(received(line, plain, wait_for_edge), "00b");
}

/// 01 has parity 1, which passes for a stop bit. 03 has parity 0: a low stop bit. Taken for a
/// start, it is followed by 1 (stop), 0 (start) and six data bits of 41, then two more.
TEST(UartReceiver, TakesParityForAStopBit) {
  EXPECT_EQ(received(line_of("01", {even}), plain, start_there), "01");
  const SerialLine line = line_of("03 41", {even});
  EXPECT_EQ(received(line, plain, start_there), "03f 05 fe");
  EXPECT_EQ(received(line, plain, wait_for_edge), "03f 41f");
}

/// The stop bit passes for a parity of 1, which 41 and 42 do not have, and the next start bit for a
/// low stop bit.
TEST(UartReceiver, TakesAStopBitForParity) {
  const SerialLine line = line_of("41 42", {plain});
  EXPECT_EQ(received(line, even, start_there), "41fp 42p");
  const SerialLine with_gaps = line_of("41 42 43", {plain, 0, 1});
  EXPECT_EQ(received(with_gaps, even, start_there), "41p 42p 43");
  EXPECT_EQ(received(with_gaps, even, wait_for_edge), "41p 42p 43");
}

TEST(UartReceiver, ReceivesParityOfSevenBitsAsTheEighth) {
  const SerialLine line = line_of("41 43 2f", {seven});
  EXPECT_EQ(received(line, plain, start_there), "41 c3 af");
  EXPECT_EQ(received(line, seven, wait_for_edge), "41 43 2f");
}

/// From the middle of a character on, a falling edge inside it passes for a start bit.
TEST(UartReceiver, LosesACharacterWhenItIsSet) {
  const SerialLine line = line_of("55 41", {{1000, 8, 'N'}, 0, 20});
  UartReceiver receiver(line, wait_for_edge);
  receiver.set({1000, 8, 'N'}, 1s + 4500us);
  const auto first = receiver.peek();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->octet, std::byte{0xfd});  // from 1006 ms on: 0 | 1 0 1 1 1 1 1 1
  receiver.take(*first);
  ASSERT_TRUE(receiver.peek());
  EXPECT_EQ(receiver.peek()->octet, std::byte{0x41});
}

}  // namespace
}  // namespace meter::test
