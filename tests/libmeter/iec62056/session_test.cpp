// SPDX-License-Identifier: Apache-2.0
// Mode C from sign-on to readings, with the bytes that the norm and readers of meters published.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
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

TEST(ReadoutSession, ModeAReadsAtTheSpeedOfTheSignOn) {
  const auto session = make_session(Link::iec62056_21, {});
  (void)session->on_start();
  const auto action = session->on_frame(bytes_of("/EMH@LZQJ\r\n"), Verdict::progress);
  EXPECT_TRUE(action.write.empty());
  EXPECT_FALSE(action.line);
  EXPECT_EQ(session->interval(), std::chrono::minutes(5));
}

TEST(ReadoutSession, ModeBChangesSpeedWithoutAcknowledgement) {
  const auto session = make_session(Link::iec62056_21, {});
  (void)session->on_start();
  const auto action = session->on_frame(bytes_of("/XXXEmeter\r\n"), Verdict::progress);
  EXPECT_TRUE(action.write.empty());
  EXPECT_EQ(action.line, (LineFormat{9600, 7, 'E'}));
}

TEST(ReadoutSession, ConfiguredAcknowledgement) {
  SessionOptions options;
  options.iec62056.acknowledgement = "051";
  const auto session = make_session(Link::iec62056_21, options);
  (void)session->on_start();
  // Published (Logarex LK13BE): 06 30 35 31 0D 0A.
  EXPECT_EQ(written(session->on_frame(bytes_of("/LOG5LK13BE803049\r\n"), Verdict::progress)),
            "\x06" "051\r\n");
}

TEST(ReadoutSession, AsksOnceMoreAfterAWrongCheckThenGivesUp) {
  const auto session = make_session(Link::iec62056_21, {});
  (void)session->on_start();
  (void)session->on_frame(bytes_of("/LGZ5ZMD120\r\n"), Verdict::progress);
  (void)session->on_timeout();
  EXPECT_EQ(written(session->on_refusal(Errc::bad_checksum)), "\x15");
  const auto second = session->on_refusal(Errc::bad_checksum);
  EXPECT_TRUE(second.write.empty());
  EXPECT_EQ(second.wake_after, std::chrono::seconds(5));
}

TEST(ReadoutSession, SilenceGoesBackToTheSignOnAfterFiveSeconds) {
  const auto session = make_session(Link::iec62056_21, {});
  (void)session->on_start();
  for (int retry = 0; retry < 3; ++retry) {
    const auto pause = session->on_timeout();
    EXPECT_TRUE(pause.write.empty());
    EXPECT_EQ(pause.wake_after, std::chrono::seconds(5));
    EXPECT_EQ(written(session->on_timeout()), "/?!\r\n");
  }
  EXPECT_EQ(session->on_timeout().wake_after, session->interval());
}

TEST(ReadoutSession, AnEchoChangesNothing) {
  const auto session = make_session(Link::iec62056_21, {});
  (void)session->on_start();
  (void)session->on_frame(bytes_of("/LGZ5ZMD120\r\n"), Verdict::progress);
  (void)session->on_timeout();
  for (const char* echo : {"\x01R2\x02" "F001\x03\x16", "\x01" "B0\x03q"}) {
    const auto action = session->on_frame(bytes_of(echo), Verdict::progress);
    EXPECT_TRUE(action.write.empty());
    EXPECT_FALSE(action.line || action.wake_after);
  }
}

TEST(ReadoutSession, ARestartBeginsWithTheSignOn) {
  SessionOptions options;
  options.line = {300, 7, 'E'};
  const auto session = make_session(Link::iec62056_21, options);
  (void)session->on_start();
  (void)session->on_frame(bytes_of("/LGZ5ZMD120\r\n"), Verdict::progress);
  EXPECT_EQ(session->on_timeout().line, (LineFormat{9600, 7, 'E'}));
  EXPECT_EQ(written(session->on_start()), "/?!\r\n");
  EXPECT_EQ(written(session->on_frame(bytes_of("/LGZ5ZMD120\r\n"), Verdict::progress)),
            "\x06" "050\r\n");
}

TEST(ReadoutSession, AsksOneAddressAfterTheOther) {
  SessionOptions options;
  options.addresses = {"11", "22"};
  const auto session = make_session(Link::iec62056_21, options);
  EXPECT_EQ(written(session->on_start()), "/?11!\r\n");
  (void)session->on_frame(bytes_of("/LGZ5ZMD120\r\n"), Verdict::progress);
  (void)session->on_timeout();
  const std::string data = block("0.0.0(1)\r\n!\r\n");
  const auto next = session->on_frame(bytes_of(data), Verdict::telegram);
  EXPECT_EQ(next.wake_after, std::chrono::seconds(5));
  EXPECT_EQ(written(session->on_timeout()), "/?22!\r\n");
}

TEST(ReadoutSession, WakesABatteryPoweredMeter) {
  SessionOptions options;
  options.iec62056.wake_up = true;
  const auto session = make_session(Link::iec62056_21, options);
  const auto action = session->on_start();
  // Annex B: NUL characters for 2.1 to 2.3 s, of 10 bits each at 300 Bd.
  EXPECT_EQ(written(action).find_first_not_of('\0'), std::string::npos);
  EXPECT_GE(action.write.size(), 63u);
  EXPECT_LE(action.write.size(), 69u);
  EXPECT_EQ(written(session->on_timeout()), "/?!\r\n");
  EXPECT_EQ(session->interval(), std::chrono::minutes(15));
}

/// Everything that a reader may ever say: no W, E or P command, no password.
bool is_allowed(const std::string& text, const std::string& register_name) {
  if (text.find_first_not_of('\0') == std::string::npos) return true;
  if (text == "\x06" || text == "\x15" || text == "\x01" "B0\x03q") return true;
  if (text.starts_with("/?") && text.ends_with("!\r\n")) return true;
  if (text.size() == 6 && text[0] == '\x06' && text.ends_with("\r\n"))
    return std::all_of(text.begin() + 1, text.begin() + 4,
                       [](char c) { return c >= '0' && c <= '9'; });
  return !register_name.empty() && text.starts_with("\x01R2\x02" + register_name + "\x03") &&
         text.size() == 4 + register_name.size() + 4;
}

TEST(ReadoutSession, WhateverComesItWritesOnlyWhatReads) {
  const std::string frames[] = {"/LGZ5ZMD120\r\n", "/lgz9x\r\n", "/XXXCb\r\n", "/EMH@a\r\n", "/",
                                "/XXX8r\r\n", "\x01P0\x02(123)\x03\x11", "\x01W1\x02(1)\x03\x11",
                                "\x01" "E2\x02(1)\x03\x11", "\x02", "\x02" "1(1)\r\n\x04\x11",
                                block("0.0.0(1)\r\n!\r\n"), "1.8.0(1)\r\n!\r\n", "(ER01)", ""};
  std::mt19937 random(21);
  for (const std::string& register_name : {std::string(), std::string("F001")})
    for (const bool wake_up : {false, true}) {
      SessionOptions options;
      options.addresses = {"", "12345678"};
      options.iec62056.wake_up = wake_up;
      if (!register_name.empty()) options.iec62056.registers = {register_name};
      const auto session = make_session(Link::iec62056_21, options);
      Session::Action action = session->on_start();
      for (int step = 0; step < 20000; ++step) {
        ASSERT_TRUE(is_allowed(written(action), register_name)) << written(action);
        const std::string& frame = frames[random() % std::size(frames)];
        switch (random() % 4) {
          case 0: action = session->on_timeout(); break;
          case 1:
            action = session->on_refusal(random() % 2 != 0 ? Errc::bad_checksum
                                                           : Errc::line_noise);
            break;
          case 2: action = random() % 64 == 0 ? session->on_start() : session->on_timeout(); break;
          default: action = session->on_frame(bytes_of(frame), Verdict::progress); break;
        }
      }
    }
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
