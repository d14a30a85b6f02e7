// SPDX-License-Identifier: Apache-2.0
// A capture that smartmeterd writes and the tools read: both are held to this text.
#pragma once

#include <string_view>

namespace golden {

/// Begun 2026-11-27 03:20:00.123456 UTC on an adapter whose port is open. 40 octets 00 to 27 at
/// 0.25 s; two framing errors with 68 at 1.5 s; 9600-8N1 at 2 s; a refusal; FF at 3.000001 s; the
/// adapter is pulled at 61 s, comes back at 65 s as /dev/ttyUSB7 and 2400-8E1, and is removed.
inline constexpr std::string_view capture =
    "#smartmeter-capture 1\n"
    "#smartmeterd 1.2.3\n"
    "#adapter usb-m-bus\n"
    "#device /dev/ttyUSB0\n"
    "#kind mbus\n"
    "#link mbus\n"
    "#start 2026-11-27T03:20:00.123456Z\n"
    "#at +0.000000\n"
    "#line 2400-8E1\n"
    "#at +0.250000\n"
    "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n"
    "2021222324252627\n"
    "#at +1.500000\n"
    "#error framing 2\n"
    "68\n"
    "#at +2.000000\n"
    "#line 9600-8N1\n"
    "#rejected bad-checksum 17\n"
    "#at +3.000001\n"
    "FF\n"
    "#at +61.000000\n"
    "#closed unplugged\n"
    "#at +65.000000\n"
    "#opened\n"
    "#device /dev/ttyUSB7\n"
    "#line 2400-8E1\n"
    "#end\n";

}  // namespace golden
