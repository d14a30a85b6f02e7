// SPDX-License-Identifier: Apache-2.0
// Mode C from sign-on to readings, with the bytes that the norm and readers of meters published.
#include <gtest/gtest.h>

#include <string>

#include "meter/decoder.hpp"
#include "meter/session.hpp"

namespace meter {
namespace {

using Verdict = Session::Verdict;
using Outcome = Decoder::Outcome;

std::string written(const Session::Action& action) {
  return std::string(text_of(action.write));
}
std::string block(std::string content) {
  char check = 0;
  for (const char c : content) check = static_cast<char>(check ^ c);
  check = static_cast<char>(check ^ 3);
  return "\x02" + content + "\x03" + check;
}

TEST(ReadoutSession, ModeC) {
  const auto session = make_session(Link::iec62056_21, {});
  const auto request = session->on_start();
  EXPECT_EQ(written(request), "/?!\r\n");
  EXPECT_EQ(request.line, (LineFormat{300, 7, 'E'}));
  const auto answer = session->on_frame(bytes_of("/LGZ5ZMD120\r\n"), Verdict::progress);
  EXPECT_EQ(written(answer), "\x06" "050\r\n");  // published: 06 30 35 30 0D 0A
  EXPECT_EQ(session->on_timeout().line, (LineFormat{9600, 7, 'E'}));
  EXPECT_EQ(written(session->on_refusal(Errc::bad_checksum)), "\x15");
  const std::string data = block("0.0.0(1)\r\n!\r\n");
  EXPECT_EQ(session->on_frame(bytes_of(data), Verdict::telegram).wake_after,
            std::chrono::seconds(60));
  EXPECT_EQ(session->on_timeout().line, (LineFormat{300, 7, 'E'}));
}

TEST(ReadoutSession, ReadsARegisterInProgrammingMode) {
  SessionOptions options;
  options.iec62056.registers = {"F001"};
  const auto session = make_session(Link::iec62056_21, options);
  (void)session->on_start();
  EXPECT_EQ(written(session->on_frame(bytes_of("/SAT6TD\r\n"), Verdict::progress)),
            "\x06" "061\r\n");
  (void)session->on_timeout();
  EXPECT_EQ(written(session->on_frame(bytes_of("\x01P0\x02()\x03\x60"), Verdict::progress)),
            "\x01R2\x02" "F001\x03\x16\r\n");  // published check character
  EXPECT_EQ(written(session->on_frame(bytes_of(block("1.8.0(1*kWh)\r\n!\r\n")),
                                      Verdict::telegram)),
            "\x01" "B0\x03q");
}

TEST(Readout, BlockWithGarbageAndEcho) {
  Decoder decoder({.link = Link::iec62056_21}, nullptr);
  const std::string wire = "/?!\r\n/LGZ4ZMF100AC.M27\r\n\x06" "040\r\n\x7f" +
                           block("C.1.0(18438636)\r\n1.8.0(000219.252*kWh)\r\n"
                                 "0.9.1(21:10:29)\r\n0.9.2(24-03-21)\r\n!\r\n");
  Bytes rest = bytes_of(wire);
  Outcome outcome;
  do {
    const auto step = decoder.next(rest);
    rest = rest.subspan(step.consumed);
    outcome = step.outcome;
  } while (outcome == Outcome::progress || outcome == Outcome::rejected);
  ASSERT_EQ(outcome, Outcome::telegram);
  EXPECT_EQ(decoder.readings().meter_id.view(), "18438636");
  char text[DateTime::text_size_max];
  ASSERT_TRUE(decoder.readings().time);
  EXPECT_EQ(decoder.readings().time->to_text(text), "2024-03-21T21:10:29");
  EXPECT_EQ(decoder.readings().readings[1].value(), (Decimal{219252, -3}));
}

TEST(Readout, AWrongCheckGivesNothing) {
  Decoder decoder({.link = Link::iec62056_21}, nullptr);
  std::string wire = block("0.0.0(1)\r\n1.8.0(000219.252*kWh)\r\n!\r\n");
  wire[20] ^= 1;
  Bytes rest = bytes_of(wire);
  decoder.end_of_input();
  for (Outcome outcome = Outcome::progress; outcome != Outcome::need_more;) {
    const auto step = decoder.next(rest);
    rest = rest.subspan(step.consumed);
    outcome = step.outcome;
    EXPECT_NE(outcome, Outcome::telegram);
  }
}

}  // namespace
}  // namespace meter
