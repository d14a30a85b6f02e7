// SPDX-License-Identifier: Apache-2.0
// CRCs against the check values of the catalogue and against bit-by-bit division.
#include "meter/base/crc.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace meter {
namespace {

TEST(Crc16, CheckValues) {
  const Bytes digits = bytes_of("123456789");
  EXPECT_EQ(Crc16X25().add(digits).value(), 0x906e);
  EXPECT_EQ(Crc16Arc().add(digits).value(), 0xbb3d);
  EXPECT_EQ(Crc16Kermit().add(digits).value(), 0x2189);
}

TEST(Crc16, X25OfThePublishedPair) {
  constexpr std::byte octets[] = {std::byte{0x03}, std::byte{0x3f}};
  EXPECT_EQ(Crc16X25().add(octets).value(), 0xec5b);
}

TEST(Crc16, NothingAddedIsTheInitialValue) {
  EXPECT_EQ(Crc16X25().value(), 0);
  EXPECT_EQ(Crc16X25().add({}).value(), 0);
  EXPECT_EQ(Crc16Arc().value(), 0);
}

template <std::uint16_t polynomial>
std::uint16_t bit_by_bit(unsigned state, Bytes octets) {
  for (const std::byte octet : octets) {
    state ^= u8(octet);
    for (int bit = 0; bit < 8; ++bit)
      state = (state & 1) != 0 ? state >> 1 ^ polynomial : state >> 1;
  }
  return static_cast<std::uint16_t>(state);
}

/// Every length around the eight-octet steps, every alignment, every split.
TEST(Crc16, EqualsDivisionBitByBit) {
  std::mt19937 random(1);
  std::vector<std::byte> octets(80);
  for (std::byte& octet : octets) octet = static_cast<std::byte>(random() & 0xff);
  for (std::size_t at = 0; at < 8; ++at)
    for (std::size_t size = 0; size <= 64; ++size) {
      const Bytes piece = Bytes(octets).subspan(at, size);
      const auto state = static_cast<std::uint16_t>(random() & 0xffff);
      EXPECT_EQ(crc16_advance<crc_ccitt_reflected>(state, piece),
                bit_by_bit<crc_ccitt_reflected>(state, piece));
      EXPECT_EQ(crc16_advance<crc_16_reflected>(state, piece),
                bit_by_bit<crc_16_reflected>(state, piece));
      const std::size_t cut = size / 3;
      EXPECT_EQ(Crc16X25().add(piece.first(cut)).add(piece.subspan(cut)).value(),
                Crc16X25().add(piece).value());
    }
}

}  // namespace
}  // namespace meter
