// SPDX-License-Identifier: Apache-2.0
// The capture format as the tools read and write it; smartmeterd's part is held to the same text.
#include "tools/capture_format.hpp"

#include <gtest/gtest.h>

#include <ctime>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "tests/golden_capture.hpp"

namespace tools {
namespace {

using namespace std::chrono_literals;

/// All lines, in pieces of `size`: "line|word|value|octets".
std::vector<std::string> lines_of(std::string_view text, std::size_t size,
                                  CaptureParser&& parser = {}) {
  std::vector<std::string> lines;
  CaptureLine line;
  const auto take = [&] {
    while (parser.next(line)) {
      EXPECT_EQ(line.number, lines.size() + 1);
      lines.push_back(std::string(line.text) + '|' + std::string(line.word) + '|' +
                      std::string(line.value) + '|' + std::to_string(line.octets.size()));
    }
  };
  for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
    parser.add(text.substr(0, size));
    take();
  }
  parser.end();
  take();
  return lines;
}

/// What a capture with these lines behind its first one is refused with; "" where it is taken.
std::string refusal(const std::string& lines) {
  try {
    lines_of("#smartmeter-capture 1\n" + lines, 4096);
  } catch (const CaptureError& error) {
    return error.what();
  }
  return "";
}

TEST(CaptureFormat, WritesTheTextThatSmartmeterdWrites) {
  CaptureWriter writer;
  std::vector<std::byte> octets;
  for (int i = 0; i < 40; ++i) octets.push_back(static_cast<std::byte>(i));
  writer.magic();
  writer.directive("smartmeterd", "1.2.3");
  writer.directive("adapter", "usb-m-bus");
  writer.directive("device", "/dev/ttyUSB0");
  writer.directive("kind", "mbus");
  writer.directive("link", "mbus");
  std::tm start{
      .tm_sec = 0, .tm_min = 20, .tm_hour = 3, .tm_mday = 27, .tm_mon = 10, .tm_year = 126};
  writer.start(timegm(&start) * INT64_C(1'000'000) + 123'456);
  writer.at(0s);
  writer.directive("line", "2400-8E1");
  writer.at(250ms);
  writer.octets(octets);
  writer.at(1500ms);
  writer.directive("error", "framing 2");
  writer.octets(std::vector{std::byte{0x68}});
  writer.at(2s);
  writer.directive("line", "9600-8N1");
  writer.directive("rejected", "bad-checksum 17");
  writer.at(3000001us);
  writer.octets(std::vector{std::byte{0xff}});
  writer.at(61s);
  writer.directive("closed", "unplugged");
  writer.at(65s);
  writer.directive("opened");
  writer.directive("device", "/dev/ttyUSB7");
  writer.directive("line", "2400-8E1");
  writer.directive("end");
  EXPECT_EQ(writer.text(), golden::capture);
}

/// What people read is what programs do.
TEST(CaptureFormat, IsWhatTheManualPageShows) {
  std::ifstream file(CAPTURE_PAGE);
  std::stringstream page;
  page << file.rdbuf();
  EXPECT_NE(page.str().find("\n```\n" + std::string(golden::capture) + "```\n"), std::string::npos);
  // "*#word*", alone or the first or second of a paragraph's head.
  const std::string text = page.str();
  const std::regex head("(^|\n|, )\\*#([a-z-]+)\\*");
  for (std::sregex_iterator word(text.begin(), text.end(), head), end; word != end; ++word)
    EXPECT_TRUE(is_known_directive((*word)[2].str())) << (*word)[2];
  EXPECT_FALSE(is_known_directive("meter"));
  EXPECT_FALSE(is_known_directive(""));
}

TEST(CaptureFormat, AnyLineCanBeWrittenAsItWasRead) {
  CaptureParser parser;
  CaptureWriter writer;
  CaptureLine line;
  parser.add(golden::capture);
  while (parser.next(line)) writer.line(line.text);
  EXPECT_EQ(writer.text(), golden::capture);
}

TEST(CaptureFormat, ReadsTheTextThatSmartmeterdWritesInPiecesOfAnySize) {
  const auto whole = lines_of(golden::capture, golden::capture.size());
  for (const std::size_t size : {1u, 2u, 7u, 64u})
    EXPECT_EQ(lines_of(golden::capture, size), whole);
  EXPECT_EQ(whole.front(), "#smartmeter-capture 1|smartmeter-capture|1|0");
  EXPECT_EQ(whole[10], "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F|||32");
  EXPECT_EQ(whole.back(), "#end|end||0");
}

TEST(CaptureFormat, TellsWhenEachByteArrived) {
  CaptureParser parser;
  CaptureLine line;
  std::vector<std::int64_t> times;
  std::vector<std::byte> octets;
  parser.add(golden::capture);
  while (parser.next(line)) {
    if (line.octets.empty()) continue;
    times.push_back(parser.received_us().value_or(-1));
    octets.insert(octets.end(), line.octets.begin(), line.octets.end());
  }
  std::tm start{
      .tm_sec = 0, .tm_min = 20, .tm_hour = 3, .tm_mday = 27, .tm_mon = 10, .tm_year = 126};
  const std::int64_t start_us = timegm(&start) * INT64_C(1'000'000) + 123'456;
  EXPECT_EQ(parser.start_us(), start_us);
  EXPECT_EQ(times, (std::vector<std::int64_t>{start_us + 250'000, start_us + 250'000,
                                              start_us + 1'500'000, start_us + 3'000'001}));
  ASSERT_EQ(octets.size(), 42u);
  EXPECT_EQ(parser.size(), 42u);
  EXPECT_EQ(octets[39], std::byte{39});
  EXPECT_EQ(octets[41], std::byte{0xff});
  EXPECT_TRUE(parser.is_whole());
}

TEST(CaptureFormat, PassesOverWhatItDoesNotKnow) {
  CaptureParser parser;
  CaptureLine line;
  parser.add(
      "#smartmeter-capture 1.7 beta\r\n# written by hand\r\n\n#weather rain, 4 °C\n"
      "  68 fA\r\n#lost 12\n##\n#lost 3\n16");
  std::vector<CaptureLine::Kind> kinds;
  while (parser.next(line)) kinds.push_back(line.kind);
  parser.end();
  ASSERT_TRUE(parser.next(line));
  EXPECT_EQ(line.octets.size(), 1u);
  EXPECT_FALSE(parser.next(line));
  using enum CaptureLine::Kind;
  EXPECT_EQ(kinds, (std::vector{directive, comment, comment, directive, octets, directive,
                                directive, directive}));
  EXPECT_EQ(parser.lost(), 15u);
  EXPECT_EQ(parser.size(), 3u);
  EXPECT_FALSE(parser.is_whole()) << "something follows";
  EXPECT_EQ(parser.received_us(), std::nullopt) << "no time is said";
}

TEST(CaptureFormat, SaysWhereItIsBroken) {
  EXPECT_EQ(refusal("680\n"), "line 2, column 3: the line ends in the middle of a byte");
  EXPECT_EQ(refusal("#end\n68 x\n"), "line 3, column 4: 'x' is not a hex digit");
  EXPECT_EQ(refusal("\x1b[2J\n"), "line 2, column 1: '\\x1b' is not a hex digit");
  EXPECT_EQ(refusal("#at 1.5\n"),
            "line 2, column 5: the time is written as +1.234567, seconds after the start");
  for (const char* time : {"", "+", "+1.", "+.5", "+1.1234567", "+12345678901", "+-1", "+1e9"})
    EXPECT_NE(refusal(std::string("#at ") + time), "") << time;
  for (const char* time : {"", "2026-11-27", "2026-11-27T03:20:00", "2026-13-01T00:00:00Z",
                           "2026-02-29T00:00:00Z", "2026-11-27T24:00:00Z", "1969-12-31T23:59:59Z",
                           "2026-11-27T03:20:00.Z", "2026-11-27T03:20:00+01:00"})
    EXPECT_NE(refusal(std::string("#start ") + time), "") << time;
  EXPECT_EQ(refusal("#start 2028-02-29T23:59:60Z\n#at +0\n#at +9999999999.999999\n"), "");
  CaptureParser parser;
  CaptureLine line;
  parser.add("#smartmeter-capture 1\n#start 9999-12-31T23:59:59Z\n#at +1\n00\n");
  while (parser.next(line)) {
  }
  EXPECT_EQ(parser.received_us(), std::nullopt) << "no time that can be written";
  EXPECT_NE(refusal("#lost -1\n"), "");
  EXPECT_NE(refusal("#lost 18446744073709551616\n"), "");
  EXPECT_EQ(refusal(std::string(CaptureParser::line_size_max, '1')), "");
  EXPECT_NE(refusal(std::string(CaptureParser::line_size_max + 2, '1')), "");
}

TEST(CaptureFormat, SaysThatANewerVersionNeedsANewerProgram) {
  CaptureLine line;
  for (const std::string version : {"2", "2.1", "99999999999999999999", "0", "x"}) {
    CaptureParser newer;
    newer.add("#smartmeter-capture " + version + "\n");
    try {
      newer.next(line);
      FAIL();
    } catch (const CaptureError& error) {
      const std::string number = version.substr(0, version.find('.'));
      EXPECT_EQ(error.what(), "line 1, column 21: " +
                                  (number == "0" || number == "x"
                                       ? "the version of the format is missing"
                                       : "this capture is of version " + number +
                                             " of the format, and version 1 is read here: read it "
                                             "with a newer release"));
    }
  }
}

TEST(CaptureFormat, NoValueBreaksALine) {
  CaptureWriter writer;
  writer.directive("device", "/dev/x\n68\r\x1b");
  EXPECT_EQ(writer.text(), "#device /dev/x?68??\n");
}

/// A line that does not end must not fill the memory.
TEST(CaptureFormat, ALineWithoutAnEndIsRefused) {
  CaptureParser parser;
  CaptureLine line;
  const std::string block(4096, '0');
  parser.add("#smartmeter-capture 1\n");
  EXPECT_TRUE(parser.next(line));
  std::size_t given = 0;
  EXPECT_THROW(
      for (; given < 100 * CaptureParser::line_size_max; given += block.size()) {
        parser.add(block);
        EXPECT_FALSE(parser.next(line));
      },
      CaptureError);
  EXPECT_LE(given, CaptureParser::line_size_max + block.size());
}

}  // namespace
}  // namespace tools
