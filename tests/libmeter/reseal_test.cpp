// SPDX-License-Identifier: Apache-2.0
// Frames whose octets were changed in place: with the checksums put right the link layer takes them
// again, and changed back they are what the simulator (whose checksums are its own) sent.
#include "meter/reseal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "meter/link/link_layer.hpp"
#include "tools/metersim/meter.hpp"

namespace meter {
namespace {

using Octets = std::vector<std::byte>;

struct SentFrame {
  Link link;
  Octets octets;
};

/// The link frames of some telegrams, as the decoder takes them.
std::vector<SentFrame> frames_of(const metersim::Family& family) {
  metersim::MeterOptions options;
  options.start.epoch_s = 1795172405;
  metersim::Meter meter(family, options);
  Octets received;
  for (int i = 0; i < 5; ++i)
    for (const std::uint8_t octet : meter.next().octets())
      received.push_back(static_cast<std::byte>(octet));
  std::vector<SentFrame> frames;
  Decoder decoder({.check_replay = false}, nullptr);
  decoder.end_of_input();
  for (Bytes rest = received;;) {
    const auto step = decoder.next(rest);
    if (!step.frame.empty() && decoder.link())
      frames.push_back({*decoder.link(), {step.frame.begin(), step.frame.end()}});
    rest = rest.subspan(step.consumed);
    if (step.outcome == Decoder::Outcome::need_more) return frames;
  }
}

bool is_digit(std::byte octet) {
  return u8(octet) >= '0' && u8(octet) <= '9';
}

/// Where a digit stands among others: no length, no type, no group of a code.
std::size_t place_of_digit(const Octets& frame) {
  for (std::size_t i = frame.size() / 3; i + 8 < frame.size(); ++i)
    if (std::all_of(&frame[i - 1], &frame[i + 3], is_digit)) return i;
  return 0;
}

class Reseal : public testing::TestWithParam<std::size_t> {};

TEST_P(Reseal, IsTakenAgainAndBackAsItWas) {
  for (const SentFrame& sent : frames_of(metersim::families()[GetParam()])) {
    const std::size_t at = place_of_digit(sent.octets);
    const auto scan = [&sent](const Octets& frame) {
      return link::scan_rest(*link::find_link_layer(sent.link), frame);
    };
    // Without a checksum a frame may need what follows it.
    if (at == 0 || scan(sent.octets).size != sent.octets.size()) continue;
    Octets changed = sent.octets;
    changed[at] = changed[at] == std::byte{'7'} ? std::byte{'4'} : std::byte{'7'};
    ASSERT_TRUE(reseal(sent.link, sent.octets, changed));
    const link::Scan found = scan(changed);
    EXPECT_EQ(found.discard, 0u);
    EXPECT_EQ(found.size, changed.size());
    Octets back = changed;
    back[at] = sent.octets[at];
    ASSERT_TRUE(reseal(sent.link, changed, back));
    // Without a CRC's leading zeros the transaction id was chosen.
    if (sent.link != Link::sml) {
      EXPECT_EQ(back, sent.octets);
    }
  }
}

std::vector<std::size_t> wire_families() {
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < metersim::families().size(); ++i)
    if (metersim::families()[i].link != metersim::Link::json) indices.push_back(i);
  return indices;
}
INSTANTIATE_TEST_SUITE_P(Every, Reseal, testing::ValuesIn(wire_families()), [](const auto& each) {
  std::string name(metersim::families()[each.param].name);
  std::ranges::replace_if(name, [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});

Octets octets_of(std::string_view text) {
  return {bytes_of(text).begin(), bytes_of(text).end()};
}

/// IEC 62056-21 6.5: the sum behind ETX, with even parity where every character has it.
TEST(Reseal, BlockCheckInSevenAndEightBits) {
  Octets block = octets_of("\x02"
                           "C.1.0(12345678)\r\n!\r\n\x03?");
  Octets sealed = block;
  ASSERT_TRUE(reseal(Link::iec62056_21, block, sealed));
  unsigned sum = 0;
  for (std::size_t i = 1; i + 1 < sealed.size(); ++i) sum ^= u8(sealed[i]);
  EXPECT_EQ(u8(sealed.back()), sum);
  for (std::byte& octet : block)
    if (std::popcount(u8(octet)) % 2 != 0) octet |= std::byte{0x80};
  sealed = block;
  ASSERT_TRUE(reseal(Link::iec62056_21, block, sealed));
  EXPECT_EQ(u8(sealed.back()) & 0x7f, sum);
  EXPECT_EQ(std::popcount(u8(sealed.back())) % 2, 0);
}

TEST(Reseal, RefusesWhatIsNoFrame) {
  Octets nothing, short_frame = octets_of("~");
  EXPECT_FALSE(reseal(Link::mbus, nothing, nothing));
  EXPECT_FALSE(reseal(Link::hdlc, short_frame, short_frame));
  EXPECT_FALSE(reseal(Link::sml, octets_of("\x1b\x1b"), short_frame));
}

/// Four 1B are sent as eight; fewer are themselves.
TEST(Reseal, SmlContentWithoutDoubledEscapes) {
  const auto kept = [](std::size_t run) {
    Octets payload(run + 2, std::byte{0x1b});
    payload.front() = payload.back() = std::byte{0x76};
    return sml_content_offsets(payload).size() - 2;
  };
  EXPECT_EQ(kept(3), 3u);
  EXPECT_EQ(kept(8), 4u);
  EXPECT_EQ(kept(11), 7u);
  EXPECT_EQ(kept(96), 48u);
}

}  // namespace
}  // namespace meter
