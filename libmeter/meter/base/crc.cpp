// SPDX-License-Identifier: Apache-2.0
// Slicing-by-16: one table look-up per octet, fourteen of sixteen independent of the register.
#include "meter/base/crc.hpp"

#include <array>

namespace meter {
namespace {

/// table[k][v]: the register that an octet v leaves behind once k zero octets have followed it.
using Tables = std::array<std::array<std::uint16_t, 256>, 16>;

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

/// The register after `count` octets. Only the first two meet the register: the other look-ups
/// need not wait for it.
template <std::size_t count>
std::uint16_t advance(const Tables& tables, unsigned state, const std::byte* octets) noexcept {
  unsigned next = 0;
  for (std::size_t i = 2; i < count; ++i) next ^= tables[count - 1 - i][u8(octets[i])];
  next ^= tables[count - 1][u8(octets[0]) ^ (state & 0xff)];
  next ^= tables[count - 2][u8(octets[1]) ^ state >> 8];
  return static_cast<std::uint16_t>(next);
}

}  // namespace

template <std::uint16_t polynomial>
std::uint16_t crc16_advance(std::uint16_t state, Bytes octets) noexcept {
  constexpr const Tables& tables = tables_of<polynomial>;
  const std::byte* at = octets.data();
  std::size_t left = octets.size();
  for (; left >= 16; at += 16, left -= 16) state = advance<16>(tables, state, at);
  for (; left >= 4; at += 4, left -= 4) state = advance<4>(tables, state, at);
  for (; left != 0; ++at, --left)
    state = static_cast<std::uint16_t>(state >> 8 ^ tables[0][(state ^ u8(*at)) & 0xff]);
  return state;
}

template std::uint16_t crc16_advance<crc_ccitt_reflected>(std::uint16_t, Bytes) noexcept;
template std::uint16_t crc16_advance<crc_16_reflected>(std::uint16_t, Bytes) noexcept;

}  // namespace meter
