// SPDX-License-Identifier: Apache-2.0
// What an adversary sends to keep the decoder busy: rows of starts that are never a frame. The
// work stays near the number of bytes: without that these tests last for hours, and the test's
// time-out ends them. And no start is examined behind the limit that the caller sets.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "meter/decoder.hpp"
#include "meter/line_detector.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter {
namespace {

using test::Octets;

struct Row {
  std::string_view name;
  Octets unit;
};

Octets text(std::string_view characters) {
  const Bytes octets = bytes_of(characters);
  return {octets.begin(), octets.end()};
}

Octets repeated(Bytes unit, std::size_t size) {
  Octets octets;
  while (octets.size() < size) test::append(octets, unit);
  octets.resize(size);
  return octets;
}

/// An HDLC header whose check is right, for 2047 octets that never come.
Octets hdlc_header() {
  Octets header = test::hdlc_frame(test::from_hex("03 03 13"), Octets(2047 - 9), true);
  header.resize(9);
  return header;
}

/// Starts of telegrams within one line, up to an end whose CRC is wrong for all of them.
Octets p1_starts() {
  Octets octets = repeated(text("a/ABC5\n"), 14'000);
  test::append(octets, text("\n!0000\r\n"));
  return octets;
}

/// SML starts that look doubled to the one before, up to an end that is wrong for all.
Octets sml_starts() {
  Octets octets = repeated(test::from_hex("1B1B1B1B 1B1B1B1B 01010101"), 8'000);
  test::append(octets, test::from_hex("1B1B1B1B 1A000000"));
  return octets;
}

Octets mixed() {
  Octets octets = text("/ABC5\n");
  test::append(octets, test::from_hex("68FFFF68 7EA7FF 1B1B1B1B01010101 02 DB08"));
  test::append(octets, text("/?!\r\n"));
  return octets;
}

std::vector<Row> rows() {
  return {{"identifications", text("/ABC5\n")},
          {"identifications in a line", text("a/ABC5\n")},
          {"empty telegrams", text("/ABC5\r\n!\r\n")},
          {"telegrams' starts and an end", p1_starts()},
          {"mbus", test::from_hex("68 FF FF 68")},
          {"mbus stop octets", test::from_hex("68 16 16 68 16")},
          {"hdlc", test::from_hex("7E A7 FF")},
          {"hdlc headers", hdlc_header()},
          {"sml", test::from_hex("1B1B1B1B 01010101")},
          {"sml doubled", test::from_hex("1B1B1B1B 1B1B1B1B 01010101")},
          {"sml starts and an end", sml_starts()},
          {"stx", test::from_hex("02")},
          {"requests without end", text("/?!")},
          {"requests", text("/?!\r\n")},
          {"ciphered", test::from_hex("DB 08")},
          {"ciphered headers", test::from_hex("DB08 4142430000000001 823F00 30")},
          {"amis", test::from_hex("10 40 F0 30 16")},
          {"mixed", mixed()}};
}

/// Everything goes through, and no more is kept than a frame may have.
void decode(const Octets& wire, std::size_t piece_size, std::optional<Link> link) {
  Decoder decoder({.link = link}, nullptr);
  std::size_t done = 0;
  const auto drain = [&](std::size_t end) {
    for (;;) {
      const auto step = decoder.next(Bytes(wire).subspan(done, end - done));
      done += step.consumed;
      if (step.outcome == Decoder::Outcome::need_more) break;
    }
    EXPECT_LT(end - done, Decoder::buffer_size_min);
  };
  for (std::size_t at = 0; at < wire.size(); at += piece_size)
    drain(std::min(at + piece_size, wire.size()));
  decoder.silence();
  drain(wire.size());
  EXPECT_EQ(done, wire.size());
}

TEST(BoundedWork, WhateverIsSentAtOnce) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    const Octets wire = repeated(row.unit, 64 * 1024);
    decode(wire, wire.size(), std::nullopt);
    for (const link::LinkLayer& layer : link::link_layers()) decode(wire, wire.size(), layer.link);
  }
}

TEST(BoundedWork, WhateverIsSentInPieces) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    decode(repeated(row.unit, 32 * 1024), 16, std::nullopt);
    decode(repeated(row.unit, 4 * 1024), 1, std::nullopt);
  }
}

TEST(BoundedWork, OfTheLineDetector) {
  using namespace std::chrono_literals;
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    const Octets wire = repeated(row.unit, 32 * 1024);
    for (const std::size_t piece_size : {wire.size(), std::size_t{16}}) {
      LineDetector detector({});
      LineDetector::Time now = 1s;
      (void)detector.start(now);
      now += 1s;
      for (std::size_t at = 0; at < wire.size(); at += piece_size) {
        now += 1ms;
        (void)detector.received(Bytes(wire).subspan(at, std::min(piece_size, wire.size() - at)), {},
                                now);
      }
      now += 1s;
      (void)detector.elapsed(now);
      EXPECT_EQ(detector.progress().bytes, wire.size());
    }
  }
}

/// Where a limit is, a scan says of the starts before it what the unlimited one says.
TEST(BoundedWork, OfAScanWithALimit) {
  for (const Row& row : rows()) {
    const Octets wire = repeated(row.unit, 4 * 1024);
    for (const link::LinkLayer& layer : link::link_layers()) {
      if (!layer.has_checksum) continue;
      const link::Scan all = layer.scan(wire);
      for (const std::size_t limit : {0u, 1u, 2u, 5u, 16u, 100u, 1000u, 4096u}) {
        SCOPED_TRACE(testing::Message() << row.name << ' ' << name(layer.link) << ' ' << limit);
        const link::Scan part = layer.scan(wire, limit);
        if (all.discard < limit) {
          EXPECT_EQ(part.discard, all.discard);
          EXPECT_EQ(part.size, all.size);
          continue;
        }
        EXPECT_EQ(part.size, 0u);
        EXPECT_GE(part.discard, limit);
        EXPECT_LE(part.discard, all.discard);
      }
    }
  }
}

/// Bytes that the caller dropped do not hide a frame in the next ones.
TEST(BoundedWork, OfOtherBytesNothingIsKept) {
  Octets waiting = test::from_hex("7E A0 7F");
  waiting.resize(20, std::byte{0x01});
  Octets frame = test::iec62056_block(text("1.8.0(000123.4*kWh)\r\n!\r\n"), 0x03, false);
  Decoder decoder({}, nullptr);
  (void)decoder.next(waiting);
  EXPECT_EQ(decoder.next(frame).outcome, Decoder::Outcome::telegram);
}

}  // namespace
}  // namespace meter
