// SPDX-License-Identifier: Apache-2.0
// What every link layer with a checksum promises, tried with frames of this test's own encoders:
// however the bytes are cut and whatever lies between, no clean frame is lost; one flipped bit
// costs at most one frame; damage within the check's guarantee never yields another payload;
// nothing is allocated and never more than the longest frame is held back.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "meter/dlms/reassembler.hpp"
#include "tests/counted_new.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter {
namespace {

using test::Octets;

/// The same numbers with every standard library.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : engine_(seed) {}
  std::size_t roll(std::size_t low, std::size_t high) { return low + engine_() % (high - low + 1); }
  std::byte octet() { return static_cast<std::byte>(engine_() >> 7 & 0xff); }
  Octets octets(std::size_t size) {
    Octets octets(size);
    for (std::byte& octet : octets) octet = this->octet();
    return octets;
  }

 private:
  std::mt19937 engine_;
};

/// A frame and what must come of it.
struct Sent {
  Octets frame;
  Octets payload;
};

Sent make_mbus(Dice& dice) {
  const std::size_t size = dice.roll(0, 9) == 0 ? dice.roll(256, 258) : dice.roll(3, 255);
  const Octets content = dice.octets(size);
  return {test::mbus_frame(content), content};
}

Sent make_hdlc(Dice& dice) {
  Octets header;
  for (int address = 0; address < 2; ++address) {
    const std::size_t size = std::size_t{1} << dice.roll(0, 2);
    for (std::size_t i = 1; i < size; ++i) header.push_back(dice.octet() & std::byte{0xfe});
    header.push_back(dice.octet() | std::byte{1});
  }
  header.push_back(dice.octet());
  const std::size_t size = dice.roll(0, 9) == 0 ? 0 : dice.roll(1, dice.roll(2, 2000));
  Octets information = dice.octets(size);
  // Flags and frame starts inside the information must not disturb.
  for (std::size_t i = 0; i + 1 < size; i += 1 + dice.roll(0, 40)) {
    information[i] = std::byte{0x7e};
    information[i + 1] = std::byte{0xa0};
  }
  const Octets frame = test::hdlc_frame(header, information, dice.roll(0, 1) == 1);
  return {frame, Octets(frame.begin() + 1, frame.end() - 3)};
}

Sent make_sml(Dice& dice) {
  Octets content = dice.octets(dice.roll(1, dice.roll(2, 1500)));
  // Runs of the escape octet, before what follows an escape sequence too.
  for (std::size_t at = dice.roll(0, 60); at < content.size(); at += dice.roll(1, 300)) {
    constexpr std::byte behind[] = {std::byte{0x1a}, std::byte{0x01}, std::byte{0x1b}};
    for (std::size_t run = dice.roll(1, 9); run > 0 && at < content.size(); --run)
      content[at++] = std::byte{0x1b};
    const std::byte next = behind[dice.roll(0, 2)];
    for (std::size_t run = dice.roll(1, 4); run > 0 && at < content.size(); --run)
      content[at++] = next;
  }
  return {test::sml_frame(content), test::sml_escaped(content)};
}

/// Lines of digits and texts, in which '!' and '/' stand too, but not at the start of a line.
Sent make_p1(Dice& dice) {
  const auto letters = [&dice](Octets& to, std::size_t count, std::string_view from) {
    for (std::size_t i = 0; i < count; ++i)
      to.push_back(static_cast<std::byte>(from[dice.roll(0, from.size() - 1)]));
  };
  Octets body{std::byte{'/'}};
  letters(body, 3, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  letters(body, dice.roll(1, 20), "0123456789\\-_ MT");
  test::append(body, bytes_of("\r\n\r\n"));
  const std::size_t lines = dice.roll(0, 9) == 0 ? dice.roll(40, 100) : dice.roll(1, 12);
  for (std::size_t i = 0; i < lines; ++i) {
    letters(body, 1, "01");
    letters(body, dice.roll(1, 40), "0123456789-:.()*kWhvarm!/ABCDEFsS");
    test::append(body, bytes_of("\r\n"));
  }
  // Without the last line end, because without it a telegram is whole too.
  Octets frame = test::p1_frame(body);
  frame.erase(frame.end() - 2, frame.end());
  return {frame, body};
}

Sent make_amis(Dice& dice) {
  if (dice.roll(0, 4) == 0)
    return {test::from_hex("10 40 F0 30 16"), test::from_hex("40 F0")};
  Octets content = dice.octets(dice.roll(15, dice.roll(16, 255)));
  content[0] = dice.roll(0, 1) == 0 ? std::byte{0x53} : std::byte{0x73};
  content[1] = std::byte{0xf0};
  content[2] = std::byte{0x5b};
  return {test::mbus_frame(content), content};
}

/// Blocks of IEC 62056-21 with and without parity, now and then one that more blocks follow.
Sent make_iec62056(Dice& dice) {
  const auto letters = [&dice](Octets& to, std::size_t count, std::string_view from) {
    for (std::size_t i = 0; i < count; ++i)
      to.push_back(static_cast<std::byte>(from[dice.roll(0, from.size() - 1)]));
  };
  Octets lines;
  const std::size_t count = dice.roll(0, 9) == 0 ? dice.roll(40, 100) : dice.roll(1, 8);
  for (std::size_t i = 0; i < count; ++i) {
    if (dice.roll(0, 1) == 0) test::append(lines, bytes_of("1-0:"));
    letters(lines, 1, "0123456789CFLP");
    for (std::size_t group = dice.roll(1, 2); group > 0; --group) {
      letters(lines, 1, ".");
      letters(lines, dice.roll(1, 2), "0123456789");
    }
    for (std::size_t value = dice.roll(1, 3) / 3; value < 2; ++value) {
      letters(lines, 1, "(");
      letters(lines, dice.roll(0, 20), "0123456789.:-*kWhBC!/ \"");
      letters(lines, 1, ")");
    }
    test::append(lines, bytes_of("\r\n"));
  }
  const bool more = dice.roll(0, 9) == 0;
  if (!more) test::append(lines, bytes_of("!\r\n"));
  const Octets frame = test::iec62056_block(lines, more ? 0x04 : 0x03, dice.roll(0, 1) == 0);
  return {frame, Octets(frame.begin(), frame.end() - 1)};
}

/// How this test makes a layer's frames, and what its check promises to find.
struct Maker {
  Link link;
  Sent (*make)(Dice&);
  std::size_t delimiter_size;  ///< octets that two frames may share
  std::size_t detected_bits;   ///< any so many flipped bits
  std::size_t detected_burst;  ///< any damage within so many consecutive bits
  std::byte start;
};
constexpr Maker makers[] = {
    // Sum modulo 256: one flipped bit, or one changed octet.
    {Link::mbus, make_mbus, 0, 1, 8, std::byte{0x68}},
    // CRC-16/X-25 up to 32767 bits: three flipped bits, or a burst of 16.
    {Link::hdlc, make_hdlc, 1, 3, 16, std::byte{0x7e}},
    {Link::amis, make_amis, 0, 1, 8, std::byte{0x68}},
    {Link::sml, make_sml, 0, 3, 16, std::byte{0x1b}},
    // CRC-16/ARC up to 32751 bits: three flipped bits, or a burst of 16.
    {Link::p1, make_p1, 0, 3, 16, std::byte{'/'}},
    // Seven bits of XOR and the grammar of data lines: one flipped bit, or one changed character
    // (which becomes STX within a code, or EOT, with a right check, once in millions).
    {Link::iec62056_21, make_iec62056, 0, 1, 8, std::byte{0x02}},
};

const Maker& maker_of(Link link) {
  return *std::ranges::find(makers, link, &Maker::link);
}

class LinkProperty : public testing::TestWithParam<link::LinkLayer> {
 protected:
  const link::LinkLayer& layer() const { return *link::find_link_layer(GetParam().link); }
  const Maker& maker() const { return maker_of(GetParam().link); }

  /// Line noise: random octets, start octets, now and then the beginning of a frame.
  Octets noise(Dice& dice, bool with_torn_frames) const {
    switch (dice.roll(0, with_torn_frames ? 3 : 2)) {
      case 0:
        return {};
      case 1:
        return dice.octets(dice.roll(1, 30));
      case 2:
        return Octets(dice.roll(1, 5), maker().start);
      default: {
        Octets torn = maker().make(dice).frame;
        // Without its closing flag an HDLC frame would still be whole.
        torn.resize(dice.roll(1, torn.size() - 1 - maker().delimiter_size));
        return torn;
      }
    }
  }

  /// Everything that comes of the wire when it arrives in random pieces.
  std::vector<Octets> receive(const Octets& wire, Dice& dice) const {
    std::vector<Octets> payloads;
    const auto take = [&](Bytes payload) { payloads.emplace_back(payload.begin(), payload.end()); };
    test::Pump pump(layer());
    const std::size_t piece_max = dice.roll(0, 3) == 0 ? 3 : 600;
    for (std::size_t at = 0; at < wire.size();) {
      const std::size_t size = std::min(dice.roll(1, piece_max), wire.size() - at);
      pump.feed(Bytes(wire).subspan(at, size), take);
      at += size;
      EXPECT_LE(pump.held_back(), layer().frame_size_max);
    }
    pump.finish(take);
    EXPECT_EQ(pump.held_back(), 0u);
    return payloads;
  }
};

struct Wire {
  Octets octets;
  std::vector<Octets> payloads;
};

TEST_P(LinkProperty, NoCleanFrameIsLost) {
  Dice dice(1);
  for (int round = 0; round < 400; ++round) {
    Wire wire;
    for (int i = 0; i < 12; ++i) {
      test::append(wire.octets, noise(dice, true));
      const Sent sent = maker().make(dice);
      test::append(wire.octets, sent.frame);
      wire.payloads.push_back(sent.payload);
    }
    test::append(wire.octets, noise(dice, true));
    const std::vector<Octets> received = receive(wire.octets, dice);
    ASSERT_EQ(received.size(), wire.payloads.size()) << "round " << round;
    ASSERT_TRUE(received == wire.payloads) << "round " << round;
  }
}

/// Frames back to back, with one delimiter between them where the layer allows it.
TEST_P(LinkProperty, OneFlippedBitCostsAtMostOneFrame) {
  Dice dice(2);
  for (int round = 0; round < 1500; ++round) {
    Wire wire;
    const bool with_noise = dice.roll(0, 1) == 1;
    for (int i = 0; i < 8; ++i) {
      if (with_noise) test::append(wire.octets, noise(dice, false));
      const Sent sent = maker().make(dice);
      const bool share = i != 0 && !with_noise && dice.roll(0, 1) == 1;
      test::append(wire.octets, Bytes(sent.frame).subspan(share ? maker().delimiter_size : 0));
      wire.payloads.push_back(sent.payload);
    }
    const std::size_t bit = dice.roll(0, wire.octets.size() * 8 - 1);
    wire.octets[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    const std::vector<Octets> received = receive(wire.octets, dice);
    ASSERT_GE(received.size() + 1, wire.payloads.size()) << "round " << round << " bit " << bit;
    // In order, and nothing that was not sent.
    auto next = wire.payloads.begin();
    for (const Octets& payload : received) {
      next = std::find(next, wire.payloads.end(), payload);
      ASSERT_NE(next, wire.payloads.end()) << "round " << round << " bit " << bit;
      ++next;
    }
  }
}

/// Every single bit of short frames, exhaustively, between two clean ones.
TEST_P(LinkProperty, EverySingleBit) {
  Dice dice(3);
  for (int round = 0; round < 10; ++round) {
    const Sent before = maker().make(dice), after = maker().make(dice);
    Sent sent = maker().make(dice);
    while (sent.frame.size() > 120) sent = maker().make(dice);
    for (std::size_t bit = 0; bit < sent.frame.size() * 8; ++bit) {
      Octets wire = before.frame;
      test::append(wire, sent.frame);
      wire[before.frame.size() + bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
      test::append(wire, after.frame);
      const std::vector<Octets> received = receive(wire, dice);
      ASSERT_GE(received.size(), 2u) << bit;
      ASSERT_EQ(received.front(), before.payload) << bit;
      ASSERT_EQ(received.back(), after.payload) << bit;
      ASSERT_TRUE(received.size() == 2 || received[1] == sent.payload) << bit;
    }
  }
}

/// As many flipped bits, or as long a burst, as the check finds for certain.
TEST_P(LinkProperty, DamageWithinTheGuaranteeYieldsNoOtherPayload) {
  Dice dice(4);
  for (int round = 0; round < 20000; ++round) {
    const Sent sent = maker().make(dice);
    Octets wire = sent.frame;
    const std::size_t bits = wire.size() * 8;
    if (dice.roll(0, 1) == 1) {
      for (std::size_t i = dice.roll(1, maker().detected_bits); i > 0; --i) {
        const std::size_t bit = dice.roll(0, bits - 1);
        wire[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
      }
    } else {
      // Bursts start at an octet, so that a sum's burst is one octet.
      const std::size_t first = dice.roll(0, bits / 8 - maker().detected_burst / 8) * 8;
      for (std::size_t bit = first; bit < first + maker().detected_burst; ++bit)
        wire[bit / 8] ^= static_cast<std::byte>(dice.roll(0, 1) << bit % 8);
    }
    const link::Scan scan = link::scan_rest(layer(), wire);
    ASSERT_TRUE(scan.size == 0 || std::ranges::equal(scan.payload, sent.payload))
        << "round " << round;
  }
}

TEST_P(LinkProperty, NoiseIsNotHeldBack) {
  Dice dice(5);
  for (int round = 0; round < 50; ++round) {
    Octets wire = dice.octets(16 * 1024);
    // Rich in start octets and in what follows them.
    for (std::byte& octet : wire)
      if (dice.roll(0, 2) == 0) octet = dice.roll(0, 1) == 0 ? maker().start : std::byte{0xa7};
    const link::Scan scan = layer().scan(wire);
    ASSERT_EQ(scan.size, 0u);
    ASSERT_LE(wire.size() - scan.discard, layer().frame_size_max);
    ASSERT_TRUE(scan.refused);
  }
}

TEST_P(LinkProperty, NothingIsAllocated) {
  Dice dice(6);
  dlms::Reassembler reassembler;
  Octets wire;
  for (int i = 0; i < 100; ++i) {
    test::append(wire, noise(dice, true));
    test::append(wire, maker().make(dice).frame);
  }
  const std::size_t before = allocations;
  std::size_t frames = 0;
  for (std::size_t at = 0; at < wire.size();) {
    const link::Scan scan = link::scan_rest(layer(), Bytes(wire).subspan(at));
    if (scan.size == 0) break;
    (void)reassembler.take(layer().link, scan.payload);
    at += scan.discard + scan.size;
    ++frames;
  }
  EXPECT_EQ(allocations, before);
  EXPECT_EQ(frames, 100u);
}

std::vector<link::LinkLayer> layers_with_checksum() {
  std::vector<link::LinkLayer> layers;
  for (const link::LinkLayer& layer : link::link_layers())
    if (layer.has_checksum) layers.push_back(layer);
  return layers;
}

INSTANTIATE_TEST_SUITE_P(AllLayers, LinkProperty, testing::ValuesIn(layers_with_checksum()),
                         [](const auto& tested) {
                           std::string text(name(tested.param.link));
                           std::ranges::replace(text, '-', '_');
                           return text;
                         });

/// The master's link takes single characters and short frames too, which random octets can be:
/// they carry no reading, and are left out here. Answers behave as on every other link.
TEST(MbusMaster, OneFlippedBitCostsAtMostOneAnswer) {
  constexpr std::size_t header_size = 3;  // C, A, CI
  const link::LinkLayer& layer = *link::find_link_layer(Link::mbus_master);
  Dice dice(7);
  for (int round = 0; round < 1500; ++round) {
    Wire wire;
    for (int i = 0; i < 8; ++i) {
      if (dice.roll(0, 1) == 0) test::append(wire.octets, test::from_hex("10 5B 01 5C 16 E5"));
      Octets content = dice.octets(dice.roll(header_size, dice.roll(header_size + 1, 255)));
      content[0] = std::byte{0x08};
      content[2] = dice.roll(0, 3) == 0 ? std::byte{0x73} : std::byte{0x72};
      test::append(wire.octets, test::mbus_frame(content));
      wire.payloads.push_back(content);
    }
    const bool damaged = dice.roll(0, 3) != 0;
    const std::size_t bit = dice.roll(0, wire.octets.size() * 8 - 1);
    if (damaged) wire.octets[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    std::vector<Octets> received;
    const auto take = [&](Bytes payload) {
      if (payload.size() >= header_size) received.emplace_back(payload.begin(), payload.end());
    };
    test::Pump pump(layer);
    for (std::size_t at = 0; at < wire.octets.size();) {
      const std::size_t size = std::min(dice.roll(1, 300), wire.octets.size() - at);
      pump.feed(Bytes(wire.octets).subspan(at, size), take);
      EXPECT_LE(pump.held_back(), layer.frame_size_max);
      at += size;
    }
    pump.finish(take);
    ASSERT_GE(received.size() + (damaged ? 1 : 0), wire.payloads.size()) << "round " << round;
    auto next = wire.payloads.begin();
    for (const Octets& payload : received) {
      next = std::find(next, wire.payloads.end(), payload);
      ASSERT_NE(next, wire.payloads.end()) << "round " << round << " bit " << bit;
      ++next;
    }
  }
}

TEST(LinkLayers, TheTableIsComplete) {
  for (const link::LinkLayer& layer : link::link_layers()) {
    EXPECT_EQ(link::find_link_layer(layer.link), &layer);
    // An M-Bus acknowledgement is one octet: its link is configured, never found from the bytes.
    EXPECT_EQ(layer.has_checksum, layer.link != Link::raw && layer.link != Link::mbus_master);
    EXPECT_TRUE(!layer.has_checksum ||
                std::ranges::find(makers, layer.link, &Maker::link) != std::end(makers))
        << "no frame maker for " << name(layer.link);
    EXPECT_EQ(layer.scan({}).discard, 0u);
    EXPECT_EQ(link::scan_rest(layer, {}).discard, 0u);
  }
  EXPECT_EQ(link::find_link_layer(Link::glow), nullptr);
}

}  // namespace
}  // namespace meter
