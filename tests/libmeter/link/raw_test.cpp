// SPDX-License-Identifier: Apache-2.0
// Bare APDUs: lengths, LLC headers, what is refused.
#include "meter/link/raw.hpp"

#include <gtest/gtest.h>

#include "tests/libmeter/link/frames.hpp"

namespace meter::link {
namespace {

using test::concatenated;
using test::from_hex;
using test::Octets;

const Octets ciphered = from_hex("DB 08 4B464D6750000009 0A 20 00000023 88D5AB4F97");  // 21 octets
const Octets notification = from_hex("0F 00 00 00 01 00 02 01 06 00 00 01 F4");

TEST(Raw, CipheredApdusByTheirLength) {
  const Octets wire = concatenated({ciphered, ciphered});
  const Scan scan = scan_raw(wire);
  EXPECT_EQ(scan.discard, 0u);
  EXPECT_EQ(scan.size, ciphered.size());
  EXPECT_EQ(scan.payload.size(), ciphered.size());
  for (std::size_t size = 0; size < ciphered.size(); ++size) {
    EXPECT_EQ(scan_raw(Bytes(ciphered).first(size)).size, 0u) << size;
    EXPECT_EQ(scan_raw(Bytes(ciphered).first(size)).discard, 0u) << size;
  }
}

TEST(Raw, LlcHeadersAreLeftOut) {
  for (const char* llc : {"E6 E7 00", "E6 E6 00"}) {
    const Octets wire = concatenated({from_hex(llc), ciphered});
    const Scan scan = scan_raw(wire);
    EXPECT_EQ(scan.size, wire.size());
    EXPECT_EQ(scan.payload.data(), wire.data() + 3);
    for (std::size_t size = 0; size < wire.size(); ++size)
      EXPECT_EQ(scan_raw(Bytes(wire).first(size)).discard, 0u) << size;
  }
}

TEST(Raw, EveryLengthForm) {
  for (const char* hex : {"81 0A", "82 00 0A", "83 00 00 0A", "84 00 00 00 0A"}) {
    const Octets wire = concatenated(
        {from_hex("DB 08 4B464D6750000009"), from_hex(hex), from_hex("20 00000023 88D5AB4F97")});
    EXPECT_EQ(scan_raw(wire).size, wire.size()) << hex;
  }
  for (const char* hex : {"80", "85 00 00 00 00 0A", "04", "82 7F FF", "84 FF FF FF FF"}) {
    const Octets wire = concatenated(
        {from_hex("DB 08 4B464D6750000009"), from_hex(hex), from_hex("20 00000023 88D5AB4F97")});
    EXPECT_EQ(scan_raw(wire).size, 0u) << hex;
    EXPECT_EQ(scan_raw(wire).discard, wire.size()) << hex;
    EXPECT_TRUE(scan_raw(wire).refused) << hex;
  }
}

TEST(Raw, ANotificationEndsWithTheInput) {
  EXPECT_EQ(scan_raw(notification).size, 0u);
  EXPECT_EQ(scan_raw(notification).discard, 0u);
  const LinkLayer& layer = *find_link_layer(Link::raw);
  const Scan scan = scan_rest(layer, notification);
  EXPECT_EQ(scan.size, notification.size());
  EXPECT_EQ(scan.payload.size(), notification.size());
  const Octets with_llc = concatenated({from_hex("E6 E7 00"), notification});
  EXPECT_EQ(scan_rest(layer, with_llc).payload.size(), notification.size());
  EXPECT_EQ(scan_rest(layer, ciphered).size, ciphered.size());
  EXPECT_EQ(scan_rest(layer, Bytes(ciphered).first(15)).fault.code, Errc::silence);
  EXPECT_EQ(scan_rest(layer, Bytes(ciphered).first(15)).discard, 15u);
  EXPECT_EQ(scan_rest(layer, {}).discard, 0u);
}

TEST(Raw, AnythingElseAtTheFrontIsRefusedWhole) {
  // A notification further back is not searched for: nothing would prove it.
  const Octets wire = concatenated({from_hex("7D A1 8A E6 E7 00"), notification});
  const Scan scan = scan_raw(wire);
  EXPECT_EQ(scan.discard, wire.size());
  EXPECT_EQ(scan.size, 0u);
  EXPECT_EQ(scan.fault, (Fault{Errc::line_noise, 0}));
  EXPECT_EQ(scan_raw(from_hex("DB 07 00")).fault.code, Errc::malformed);
}

TEST(Raw, NeverWaitsBeyondTheLimit) {
  Octets wire = notification;
  wire.resize(raw_frame_size_max);
  EXPECT_EQ(scan_raw(wire).discard, wire.size());
  EXPECT_EQ(scan_raw(wire).fault.code, Errc::oversize);
}

}  // namespace
}  // namespace meter::link
