// SPDX-License-Identifier: Apache-2.0
// Type-length fields: the examples of SML 1.03, shortened integers, limits.
#include "meter/sml/fields.hpp"

#include <gtest/gtest.h>

#include "tests/libmeter/link/frames.hpp"

namespace meter::sml {
namespace {

using test::from_hex;
using test::Octets;

Field read(const Octets& octets) {
  FieldReader in(octets);
  const Field field = in.next();
  EXPECT_TRUE(in.ok());
  return field;
}

TEST(SmlFields, OctetString) {
  const Octets octets = from_hex("07 01 00 01 08 00 FF");
  const Field field = read(octets);
  EXPECT_EQ(field.type, Type::octets);
  EXPECT_EQ(field.content.size(), 6u);
  EXPECT_FALSE(field.absent());
  EXPECT_TRUE(read(from_hex("01")).absent());
}

/// 83 02: 50 octets with the head, as the public key of an EasyMeter.
TEST(SmlFields, LengthOfTwoOctets) {
  Octets octets = from_hex("83 02");
  octets.resize(50);
  EXPECT_EQ(read(octets).content.size(), 48u);
  Octets list = from_hex("F1 04");
  list.resize(2 + 20);
  EXPECT_EQ(read(list).count, 20u);
}

TEST(SmlFields, IntegersOfOneToEightOctets) {
  struct Case {
    const char* hex;
    std::int64_t value;
  };
  const Case signed_cases[] = {
      {"52 FF", -1},
      {"52 7F", 127},
      {"53 FE FB", -261},
      {"54 FF 00 00", -65536},
      {"55 FF FF F9 14", -1772},
      {"56 80 00 00 00 00", -(1ll << 39)},
      {"57 7F FF FF FF FF FF", (1ll << 47) - 1},
      {"58 80 00 00 00 00 00 00", -(1ll << 55)},
      {"59 80 00 00 00 00 00 00 00", INT64_MIN},
      {"59 FF FF FF FF FF FF FF FB", -5},
  };
  for (const Case& each : signed_cases) {
    const Octets octets = from_hex(each.hex);
    const Field field = read(octets);
    EXPECT_EQ(field.type, Type::integer) << each.hex;
    ASSERT_TRUE(field.is_integer()) << each.hex;
    EXPECT_EQ(field.as_signed(), each.value) << each.hex;
  }
  const Case unsigned_cases[] = {
      {"62 F4", 244},
      {"63 07 01", 0x701},
      {"64 1C 01 04", 0x1c0104},
      {"65 03 3C 93 89", 54301577},
      {"66 01 00 00 00 00", 1ll << 32},
      {"67 01 00 00 00 00 00", 1ll << 40},
      {"68 01 00 00 00 00 00 00", 1ll << 48},
      {"69 00 00 00 00 03 15 2C 45", 0x03152c45},
  };
  for (const Case& each : unsigned_cases) {
    const Octets octets = from_hex(each.hex);
    const Field field = read(octets);
    EXPECT_EQ(field.type, Type::unsigned_integer) << each.hex;
    ASSERT_TRUE(field.is_integer()) << each.hex;
    EXPECT_EQ(field.as_unsigned(), static_cast<std::uint64_t>(each.value)) << each.hex;
  }
  Octets nine = from_hex("5A");
  nine.resize(10);
  EXPECT_FALSE(read(nine).is_integer());
  EXPECT_FALSE(read(from_hex("61")).is_integer());
}

TEST(SmlFields, Refusals) {
  struct Case {
    const char* hex;
    Errc code;
  };
  const Case cases[] = {
      {"", Errc::truncated},           {"07 01 00", Errc::truncated}, {"83", Errc::truncated},
      {"00", Errc::malformed},         {"12 00", Errc::malformed},    {"32 00", Errc::malformed},
      {"81 00", Errc::truncated},      {"73 01", Errc::truncated},    {"80 81", Errc::truncated},
      {"80 80 80 05", Errc::oversize}, {"80 01", Errc::malformed},
  };
  for (const Case& each : cases) {
    const Octets octets = from_hex(each.hex);
    FieldReader in(octets);
    (void)in.next();
    EXPECT_FALSE(in.ok()) << each.hex;
    EXPECT_EQ(in.fault().code, each.code) << each.hex;
    EXPECT_EQ(in.remaining(), 0u);
  }
}

/// Lists in lists, deeper than any stack would bear.
TEST(SmlFields, SkipDoesNotRecurse) {
  Octets octets(1'000'000, std::byte{0x71});
  octets.push_back(std::byte{0x01});
  octets.push_back(std::byte{0x42});
  FieldReader in(octets);
  in.skip();
  EXPECT_TRUE(in.ok());
  EXPECT_EQ(in.remaining(), 1u);
}

TEST(SmlFields, SkipRefusesMoreElementsThanOctets) {
  const Octets octets = from_hex("73 72 71 01 01 01");
  FieldReader in(octets);
  in.skip();
  EXPECT_EQ(in.fault(), (Fault{Errc::truncated, 2}));
}

TEST(SmlFields, TheFirstFaultIsKept) {
  const Octets octets = from_hex("62 01 12 00 62");
  FieldReader in(octets);
  (void)in.next();
  (void)in.next();
  (void)in.next();
  in.end_of_message();
  EXPECT_EQ(in.fault(), (Fault{Errc::malformed, 2}));
}

}  // namespace
}  // namespace meter::sml
