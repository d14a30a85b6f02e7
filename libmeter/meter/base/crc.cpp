// SPDX-License-Identifier: Apache-2.0
// Slicing-by-8: one table look-up per octet, eight of them independent of each other.
#include "meter/base/crc.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace meter {
namespace {

/// table[k][v]: the register that an octet v leaves behind once k zero octets have followed it.
using Tables = std::array<std::array<std::uint16_t, 256>, 8>;

consteval Tables make_tables(std::uint16_t polynomial) {
  Tables tables{};
  for (unsigned v = 0; v < 256; ++v) {
    unsigned state = v;
    for (int bit = 0; bit < 8; ++bit)
      state = (state & 1) != 0 ? state >> 1 ^ polynomial : state >> 1;
    tables[0][v] = static_cast<std::uint16_t>(state);
  }
  for (std::size_t k = 1; k < tables.size(); ++k)
    for (std::size_t v = 0; v < 256; ++v) {
      const unsigned state = tables[k - 1][v];
      tables[k][v] = static_cast<std::uint16_t>(state >> 8 ^ tables[0][state & 0xff]);
    }
  return tables;
}

template <std::uint16_t polynomial>
constexpr Tables tables_of = make_tables(polynomial);

std::uint64_t little_endian_64(const std::byte* octets) noexcept {
  std::uint64_t word;
  std::memcpy(&word, octets, sizeof word);
  return std::endian::native == std::endian::little ? word : std::byteswap(word);
}

}  // namespace

template <std::uint16_t polynomial>
std::uint16_t crc16_advance(std::uint16_t state, Bytes octets) noexcept {
  constexpr const Tables& t = tables_of<polynomial>;
  const std::byte* at = octets.data();
  std::size_t left = octets.size();
  for (; left >= 8; at += 8, left -= 8) {
    const std::uint64_t w = little_endian_64(at) ^ state;
    // The six octets that the register does not touch first: they need not wait for it.
    const unsigned ahead = t[5][w >> 16 & 0xff] ^ t[4][w >> 24 & 0xff] ^ t[3][w >> 32 & 0xff] ^
                           t[2][w >> 40 & 0xff] ^ t[1][w >> 48 & 0xff] ^ t[0][w >> 56];
    state = static_cast<std::uint16_t>(ahead ^ t[7][w & 0xff] ^ t[6][w >> 8 & 0xff]);
  }
  for (; left != 0; ++at, --left)
    state = static_cast<std::uint16_t>(state >> 8 ^ t[0][(state ^ u8(*at)) & 0xff]);
  return state;
}

template std::uint16_t crc16_advance<crc_ccitt_reflected>(std::uint16_t, Bytes) noexcept;
template std::uint16_t crc16_advance<crc_16_reflected>(std::uint16_t, Bytes) noexcept;

}  // namespace meter
