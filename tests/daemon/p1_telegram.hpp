// SPDX-License-Identifier: Apache-2.0
// A telegram of a P1 port, written down from DSMR 5.0.2: readable, with a checksum, without a key.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

namespace smartmeterd::test {

/// DSMR 5.0.2 section 5.2: CRC-16, polynomial x16+x15+x2+1, least significant bit first, from 0,
/// over everything from '/' to '!', as four hexadecimal digits.
inline std::string p1_telegram() {
  std::string text =
      "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n0-0:1.0.0(261120120005W)\r\n"
      "0-0:96.1.1(4530303434303037313233343536373839)\r\n1-0:1.8.1(001234.567*kWh)\r\n"
      "1-0:1.7.0(00.545*kW)\r\n!";
  std::uint16_t crc = 0;
  for (const char c : text) {
    crc = static_cast<std::uint16_t>(crc ^ static_cast<unsigned char>(c));
    for (int bit = 0; bit < 8; ++bit)
      crc = static_cast<std::uint16_t>(crc & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
  }
  char checksum[5];
  std::snprintf(checksum, sizeof checksum, "%04X", crc);
  return text + checksum + "\r\n";
}

}  // namespace smartmeterd::test
