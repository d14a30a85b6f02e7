// SPDX-License-Identifier: Apache-2.0
// Crc16: the reflected 16-bit CRCs of meters, sixteen octets at a time.
#pragma once

#include <cstdint>

#include "meter/base/bytes.hpp"

namespace meter {

/// Polynomials as the CRC register sees them: reflected, x^0 in the highest bit.
inline constexpr std::uint16_t crc_ccitt_reflected = 0x8408;  ///< x^16 + x^12 + x^5 + 1
inline constexpr std::uint16_t crc_16_reflected = 0xa001;     ///< x^16 + x^15 + x^2 + 1

/// The CRC register after `octets`, starting from `state`. Defined for the polynomials above.
template <std::uint16_t polynomial>
std::uint16_t crc16_advance(std::uint16_t state, Bytes octets) noexcept;

/// A running CRC; `add` as often as there are pieces, `value` at any time.
template <std::uint16_t polynomial, std::uint16_t initial, std::uint16_t final_xor>
class Crc16 {
 public:
  Crc16& add(Bytes octets) noexcept {
    state_ = crc16_advance<polynomial>(state_, octets);
    return *this;
  }
  std::uint16_t value() const noexcept { return state_ ^ final_xor; }

 private:
  std::uint16_t state_ = initial;
};

/// HDLC's HCS and FCS (ISO/IEC 13239), SML; sent low octet first. "123456789" → 906E.
using Crc16X25 = Crc16<crc_ccitt_reflected, 0xffff, 0xffff>;
/// DSMR P1 (5.2 of the P1 companion standard). "123456789" → BB3D.
using Crc16Arc = Crc16<crc_16_reflected, 0, 0>;
/// SML of some older meters. "123456789" → 2189.
using Crc16Kermit = Crc16<crc_ccitt_reflected, 0, 0>;

}  // namespace meter
