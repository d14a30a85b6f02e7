// SPDX-License-Identifier: Apache-2.0
// The detector against single situations of a line: what it asks for, when, and what it believes.
#include "meter/line_detector.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/libmeter/line/adapter.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter {
namespace {

using namespace std::chrono_literals;
using test::AfterFramingError;
using test::Counting;
using test::Detection;
using test::Octets;
using test::Rendering;
using Time = LineDetector::Time;

constexpr LineFormat mbus_line{2400, 8, 'E'}, ir_line{9600, 8, 'N'}, p1_line{115200, 8, 'N'},
    text_line{9600, 7, 'E'}, sign_on_line{300, 7, 'E'};

/// Octets that look ciphered.
Octets content(std::size_t size, std::uint_fast32_t seed = 1) {
  std::mt19937 random(seed);
  Octets octets;
  while (octets.size() < size) octets.push_back(static_cast<std::byte>(random() & 0xff));
  return octets;
}

Octets mbus_push(std::size_t size = 240) {
  return test::mbus_frame(content(size));
}

Octets octets_of(std::string_view text) {
  Octets octets;
  test::append(octets, bytes_of(text));
  return octets;
}

constexpr std::string_view p1_body =
    "/XMX5LGBBFFB231314239\r\n\r\n1-3:0.2.8(42)\r\n0-0:1.0.0(200426223325S)\r\n"
    "1-0:1.8.1(002130.115*kWh)\r\n1-0:1.8.2(000245.467*kWh)\r\n0-0:96.14.0(0001)\r\n"
    "1-0:1.7.0(00.111*kW)\r\n1-0:2.7.0(00.000*kW)\r\n";

/// A day of the same push every ten seconds, by a meter at `line`.
Rendering rendering_of(Octets push, const LineFormat& line, const LineFormat& first) {
  return {.push = std::move(push),
          .sending = {line},
          .period = 10s,
          .behaviour = AfterFramingError::wait_for_edge,
          .counting = Counting::each,
          .first = first,
          .latency = 4ms,
          .change_time = 2ms,
          .listening_since = 5s};
}

std::vector<LineFormat> lines_of(const Detection& detection) {
  std::vector<LineFormat> lines;
  for (const Detection::Change& change : detection.changes) lines.push_back(change.line);
  return lines;
}

TEST(LineDetector, SettlesTheRightSettingsByTheFirstPush) {
  for (const LineFormat& line : {mbus_line, ir_line, p1_line}) {
    const Detection detection = test::detect(rendering_of(mbus_push(), line, line), 3);
    ASSERT_TRUE(detection.settled);
    EXPECT_EQ(detection.settled->line, line);
    EXPECT_EQ(detection.settled->link, Link::mbus);
    EXPECT_EQ(detection.pushes, 1u);
    EXPECT_EQ(detection.changes.size(), 1u) << "the port was set at the start only";
  }
}

/// The speed is found while the first push is on the line: the second one is received whole.
TEST(LineDetector, GoesDownWithinOnePush) {
  const Detection detection = test::detect(rendering_of(mbus_push(), mbus_line, p1_line), 3);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, mbus_line);
  EXPECT_EQ(detection.pushes, 2u);
  EXPECT_THAT(lines_of(detection), testing::ElementsAre(p1_line, ir_line, mbus_line));
  EXPECT_LT(detection.changes.back().at, 5s + 200ms) << "the push begins after 5 s";
}

TEST(LineDetector, GoesUpWhereNothingLooksLikeAFrame) {
  const Detection detection =
      test::detect(rendering_of(test::p1_frame(bytes_of(p1_body)), p1_line, mbus_line), 3);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, p1_line);
  EXPECT_EQ(detection.settled->link, Link::p1);
  EXPECT_EQ(detection.pushes, 2u);
  EXPECT_THAT(lines_of(detection), testing::ElementsAre(mbus_line, p1_line));
}

/// This receiver gets every octet of 8E1 right as 8N1; only the counter tells.
TEST(LineDetector, BelievesTheDriversCounters) {
  Rendering rendering = rendering_of(mbus_push(), {9600, 8, 'E'}, ir_line);
  Detection detection = test::detect(rendering, 4);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, (LineFormat{9600, 8, 'E'}));
  EXPECT_EQ(detection.pushes, 2u);
  rendering.counting = Counting::nothing;
  detection = test::detect(rendering, 4);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, ir_line);
  EXPECT_TRUE(test::receives_exactly(rendering, ir_line));
}

TEST(LineDetector, FindsTheParityWithoutCounters) {
  Rendering rendering = rendering_of(mbus_push(), {2400, 8, 'N'}, mbus_line);
  rendering.counting = Counting::nothing;
  const Detection detection = test::detect(rendering, 4);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, (LineFormat{2400, 8, 'N'}));
  EXPECT_EQ(detection.pushes, 2u);
}

TEST(LineDetector, TellsSevenBitsByTheirParity) {
  const Octets push = test::p1_frame(bytes_of(p1_body));
  const Detection detection = test::detect(rendering_of(push, text_line, ir_line), 4);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, text_line);
  EXPECT_EQ(detection.settled->link, Link::p1);
  EXPECT_EQ(detection.pushes, 1u) << "no other setting of the port was needed to hear it";
}

TEST(LineDetector, BelievesAFrameWithoutChecksumThatFillsThePush) {
  const Octets push = octets_of(std::string(p1_body) + "!\r\n");
  const Detection detection = test::detect(rendering_of(push, ir_line, ir_line), 4);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, ir_line);
  EXPECT_EQ(detection.settled->link, std::nullopt);
}

/// A meter whose checksums are wrong, at the right settings: nothing is proven.
TEST(LineDetector, NeverBelievesADamagedFrame) {
  Octets push = mbus_push();
  push[100] ^= std::byte{0x01};
  EXPECT_FALSE(test::detect(rendering_of(push, mbus_line, mbus_line), 60).settled);
}

TEST(LineDetector, NeverBelievesNoise) {
  LineDetector detector({.first = mbus_line});
  Time now = 0s;
  detector.start(now);
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    now += std::chrono::milliseconds(random() % 300);
    if (const auto look = detector.next_look(); look && now >= *look) detector.elapsed(now);
    detector.received(content(1 + random() % 100, random()), {}, now);
    ASSERT_FALSE(detector.settled());
  }
}

/// Noise in front of every frame, longer than what the first round waits for.
TEST(LineDetector, BecomesPatientWhereFramesDoNotBeginAPush) {
  Octets push = content(40, 5);
  test::append(push, mbus_push());
  const Detection detection = test::detect(rendering_of(push, mbus_line, ir_line), 30);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, mbus_line);
}

/// One meter, several pushes a second: never silent.
TEST(LineDetector, FindsALineThatIsNeverSilent) {
  Rendering rendering = rendering_of(mbus_push(), p1_line, mbus_line);
  rendering.period = test::duration(rendering.push, rendering.sending) + 30ms;
  rendering.listening_since = 10ms;
  const Detection detection = test::detect(rendering, 1000);
  ASSERT_TRUE(detection.settled);
  EXPECT_EQ(detection.settled->line, p1_line);
}

/// What an adapter held of the old settings says nothing about the new ones.
TEST(LineDetector, IgnoresWhatIsInFlight) {
  LineDetector detector({.first = p1_line});
  detector.start(0s);
  const Octets stretched(20, std::byte{0x00});
  EXPECT_EQ(detector.received(stretched, {}, 1s).line, ir_line);
  EXPECT_EQ(detector.received(stretched, {}, 1s + 10ms).line, std::nullopt);
  EXPECT_EQ(detector.received(stretched, {}, 1s + 60ms).line, mbus_line);
}

TEST(LineDetector, TellsABreakAtTheLowestSpeed) {
  LineDetector detector({.first = mbus_line});
  detector.start(0s);
  EXPECT_EQ(detector.received(Octets(20, std::byte{0x00}), {}, 1s).line, std::nullopt);
  EXPECT_EQ(detector.progress().finding, LineDetector::Finding::line_break);
}

/// A ciphered P1 telegram has no checksum, and behind this one there is noise, so that it does not
/// fill the push. The decoder's word for what its tag proved counts when the push has ended.
TEST(LineDetector, BelievesTheDecoder) {
  Octets telegram = test::from_hex("DB 08 53414767 70000294 82 00C8 30 00000001");
  test::append(telegram, content(195));
  for (const bool accepted : {false, true}) {
    LineDetector detector({.first = p1_line});
    detector.start(0s);
    detector.received(telegram, {}, 1s, accepted ? std::optional(Link::p1) : std::nullopt);
    EXPECT_EQ(detector.received(content(8), {}, 1s + 50ms).settled, false);
    const auto look = detector.next_look();
    ASSERT_TRUE(look);
    EXPECT_EQ(detector.elapsed(*look).settled, accepted);
    EXPECT_EQ(detector.settled().has_value(), accepted);
    EXPECT_EQ(detector.settled().value_or(LineDetector::Settled{}).link,
              accepted ? std::optional(Link::p1) : std::nullopt);
  }
}

/// In one chunk with what follows it: nothing is left that a telegram was made of.
TEST(LineDetector, BelievesTheDecoderWhateverIsBehind) {
  const Octets with_crc = test::p1_frame(bytes_of(p1_body));
  const Octets without = octets_of(std::string(p1_body) + "!\r\n");
  for (const Octets& telegram : {with_crc, without}) {
    for (const std::size_t junk : {9u, 13u, 17u, 21u}) {
      for (const LineFormat& line : {ir_line, p1_line, LineFormat{2400, 8, 'N'}}) {
        SCOPED_TRACE(std::to_string(telegram.size()) + " + " + std::to_string(junk));
        Octets push = telegram;
        test::append(push, octets_of(std::string(junk, 'x')));
        LineDetector detector({.first = line});
        detector.start(0s);
        EXPECT_EQ(detector.received(push, {}, 1s, Link::p1).line, std::nullopt);
        EXPECT_EQ(detector.progress().finding, LineDetector::Finding::frame_whole);
        EXPECT_EQ(detector.progress().line, line);
        EXPECT_TRUE(detector.elapsed(2s).settled);
        ASSERT_TRUE(detector.settled());
        EXPECT_EQ(detector.settled()->line, line);
        EXPECT_EQ(detector.settled()->link, Link::p1);
      }
    }
  }
}

/// Counters that were running before count from the first look on.
TEST(LineDetector, CountsErrorsFromTheStart) {
  LineDetector detector({.first = mbus_line});
  detector.start(0s);
  detector.received(mbus_push(), {.framing = 5'000, .parity = 70}, 1s);
  EXPECT_EQ(detector.progress().errors, 0u);
  EXPECT_TRUE(detector.elapsed(2s).settled);
  EXPECT_EQ(detector.settled()->line, mbus_line);
  EXPECT_EQ(detector.progress().frames, 1u);
  EXPECT_EQ(detector.progress().bytes, mbus_push().size());
}

/// Begins again with what was settled, and finds a line that has become another.
TEST(LineDetector, StartsAgainWithWhatWasSettled) {
  LineDetector detector({.first = p1_line});
  EXPECT_EQ(detector.start(0s).line, p1_line);
  Time now = 1s;
  for (int i = 0; i < 2; ++i, now += 1s) detector.received(Octets(20, std::byte{0}), {}, now);
  EXPECT_EQ(detector.progress().line, mbus_line);
  detector.elapsed(now);
  detector.received(mbus_push(), {}, now + 5s);
  ASSERT_TRUE(detector.elapsed(now + 6s).settled);
  EXPECT_EQ(detector.start(now + 60s).line, mbus_line);
  EXPECT_EQ(detector.settled(), std::nullopt);
  EXPECT_EQ(detector.received(content(60, 9), {}, now + 70s).line, p1_line);
}

class SignOn : public testing::Test {
 protected:
  SignOn() { detector_.start(0s); }
  /// Lets time pass until it asks for something.
  LineDetector::Advice wait() {
    for (;;) {
      const auto look = detector_.next_look();
      if (!look) return {};
      now_ = *look;
      const auto advice = detector_.elapsed(now_);
      if (advice.line || advice.settled) return advice;
    }
  }
  LineDetector detector_{{.first = ir_line, .may_sign_on = true}};
  Time now_{};
};

TEST_F(SignOn, AsksASilentLineAt300Baud) {
  const auto advice = wait();
  EXPECT_GE(now_, Time(15s)) << "no meter that pushes is interrupted";
  EXPECT_EQ(advice.line, sign_on_line);
  EXPECT_EQ(text_of(advice.write), "/?!\r\n");
  detector_.received(bytes_of("/?!\r\n"), {}, now_ + 200ms);  // an optical head gives it back
  EXPECT_FALSE(detector_.settled());
  EXPECT_FALSE(detector_.received(bytes_of("/LGZ4ZMF100"), {}, now_ + 1s).settled);
  EXPECT_TRUE(detector_.received(bytes_of("AC.M23\r\n"), {}, now_ + 1300ms).settled);
  EXPECT_EQ(detector_.settled()->line, sign_on_line);
  EXPECT_EQ(detector_.settled()->link, Link::iec62056_21);
}

/// On a pseudo terminal a millisecond after the request.
TEST_F(SignOn, HearsAnAnswerThatComesAtOnce) {
  EXPECT_EQ(wait().line, sign_on_line);
  EXPECT_TRUE(detector_.received(bytes_of("/LGZ4ZMF100AC.M23\r\n"), {}, now_ + 1ms).settled);
  EXPECT_EQ(detector_.settled()->link, Link::iec62056_21);
}

TEST_F(SignOn, ListensAgainWithoutAnAnswer) {
  EXPECT_EQ(wait().line, sign_on_line);
  const Time asked = now_;
  const auto advice = wait();
  EXPECT_EQ(advice.line, ir_line);
  EXPECT_TRUE(advice.write.empty());
  EXPECT_EQ(now_, asked + 4s);
  EXPECT_EQ(wait().line, sign_on_line);
}

TEST_F(SignOn, DoesNotAskAMeterThatSpeaks) {
  for (; now_ < 100s; now_ += 5s) {
    EXPECT_TRUE(detector_.received(bytes_of("x"), {}, now_).write.empty());
    const auto look = detector_.next_look();
    ASSERT_TRUE(look);
    EXPECT_TRUE(detector_.elapsed(*look).write.empty());
  }
}

TEST(LineDetector, WritesNothingWhereItMayNot) {
  LineDetector detector({.first = ir_line});
  detector.start(0s);
  detector.elapsed(1s);
  EXPECT_EQ(detector.next_look(), std::nullopt) << "a silent line needs no look";
}

}  // namespace
}  // namespace meter
