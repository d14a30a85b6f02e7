// SPDX-License-Identifier: Apache-2.0
// The simulator's encoder against bytes that others published: it must build them from values.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "tools/metersim/meter.hpp"
#include "tools/metersim/wire.hpp"

namespace metersim {
namespace {

constexpr Title green_book_title = {0x4d, 0x4d, 0x4d, 0x00, 0x00, 0xbc, 0x61, 0x4e};
constexpr std::uint32_t green_book_counter = 0x01234567;
const char* const green_book_plaintext = "C0010000080000010000FF0200";

std::string ciphered(std::uint8_t control) {
  const Security security{control, green_book_title, test_key(), test_authentication_key(), 0};
  return hex_from_octets(
      general_glo_ciphering(security, green_book_counter, octets_from_hex(green_book_plaintext)));
}

// DLMS UA Green Book, table of the security example: key 00…0F, authentication key D0…DF.
TEST(Ciphering, encrypted_and_authenticated) {
  EXPECT_EQ(ciphered(0x30),
            "DB084D4D4D0000BC614E1E3001234567"
            "411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B");
}
TEST(Ciphering, encrypted_only) {
  EXPECT_EQ(ciphered(0x20), "DB084D4D4D0000BC614E122001234567411312FF935A47566827C467BC");
}
TEST(Ciphering, authenticated_only) {
  EXPECT_EQ(ciphered(0x10),
            "DB084D4D4D0000BC614E1E1001234567"
            "C0010000080000010000FF020006725D910F9221D263877516");
}

TEST(BerLength, every_form) {
  auto length = [](std::size_t value, unsigned octets) {
    Octets out;
    append_ber_length(out, value, octets);
    return hex_from_octets(out);
  };
  EXPECT_EQ(length(0x7f, 0), "7F");
  EXPECT_EQ(length(248, 0), "81F8");
  EXPECT_EQ(length(341, 0), "820155");
  EXPECT_EQ(length(60, 2), "82003C");
}

TEST(Crc, check_value) {
  const std::string_view text = "123456789";
  EXPECT_EQ(crc16_x25(Octets(text.begin(), text.end())), 0x906e);
}

TEST(Mbus, single_frame) {
  const auto frames = mbus_frames(octets_from_hex("0F000000010002010600 0001F4"));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(hex_from_octets(frames[0]), "6812126853FF1001670F0000000100020106000001F4D816");
}

// 257 does not fit into the length field: 68 01 01 68, as the Sagemcom T210-D sends it.
TEST(Mbus, length_beyond_one_octet) {
  const auto frames = mbus_frames(Octets(260, 0xaa), 0x101);
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].size(), 263u);
  EXPECT_EQ(hex_from_octets(OctetView(frames[0]).first(9)), "6801016853FF000167");
  EXPECT_EQ(hex_from_octets(OctetView(frames[1]).first(9)), "680D0D6853FF110167");
}

// The E450's three blocks of a telegram of 272 octets, with its header checksums.
TEST(Hdlc, blocks_of_the_e450) {
  const auto frames = hdlc_block_frames(Octets(272, 0xaa));
  ASSERT_EQ(frames.size(), 3u);
  auto head = [&](std::size_t i, std::size_t size) {
    return hex_from_octets(OctetView(frames[i]).first(size));
  };
  EXPECT_EQ(head(0, 19), "7EA08BCEFF0313EEE1E6E700E0400001000077");
  EXPECT_EQ(head(1, 16), "7EA08BCEFF0313EEE1E040000200007A");
  EXPECT_EQ(head(2, 16), "7EA030CEFF031386F8E0C0000300001F");
}

/// What the operator Netz NÖ published: 2021-09-27 09:47:15, 12937 Wh, 233.7 V, meter
/// 181220000009, long-invoke-id 8006870E, counter 23 hex.
Octets published_noe_apdu() {
  Values values;
  values.clock = {1632728835, 120, true, 0x00, 0x80};
  values.serial = "181220000009";
  values[Quantity::energy_import] = 12937;
  values[Quantity::voltage_l1] = 2337;
  values[Quantity::power_factor] = 1000;
  Octets body;
  Telegram telegram;
  find_family("kaifa-noe")->build(values, body, telegram);
  Security security = find_family("kaifa-noe")->security;
  security.key = octets_from_hex("36C66639E48A8CA4D6BC8B282A793BBB");
  return general_glo_ciphering(security, 0x23, data_notification(0x8006870e, values.clock, body));
}

TEST(Families, kaifa_noe_as_the_operator_published_it) {
  const auto frames = mbus_frames(published_noe_apdu());
  ASSERT_EQ(frames.size(), 2u);
  const std::string first = hex_from_octets(frames[0]), second = hex_from_octets(frames[1]);
  EXPECT_EQ(first.substr(0, 60), "68FAFA6853FF000167DB084B464D675000000981F8200000002388D5AB4F");
  EXPECT_EQ(first.substr(first.size() - 4), "1716");
  EXPECT_EQ(second.substr(0, 18), "6814146853FF110167");
  EXPECT_EQ(second.substr(second.size() - 4), "8316");
}

TEST(Families, kaifa_noe_byte_for_byte) {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  const auto path =
      std::filesystem::path(corpus != nullptr ? corpus : "") / "bench/inputs/a1_noe_mbus.bin";
  std::ifstream file(path, std::ios::binary);
  if (corpus == nullptr || !file) GTEST_SKIP() << "no corpus: " << path;
  const Octets published{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  Telegram telegram;
  telegram.frames = mbus_frames(published_noe_apdu());
  EXPECT_EQ(hex_from_octets(telegram.octets()), hex_from_octets(published));
}

TEST(Clock, cosem_octets) {
  // Blue Book 4.1.6.1; the deviation counts from local time to UTC: −120 is CEST.
  const Clock clock{1632728835, 120, true, 0x00, 0x80};
  EXPECT_EQ(hex_from_octets(clock.octets()), "07E5091B01092F0F00FF8880");
  EXPECT_EQ(clock.text(), "2021-09-27T09:47:15+02:00");
}

TEST(Meter, counts_on_and_repeats_for_a_seed) {
  const Family& family = *find_family("kaifa-noe");
  MeterOptions options;
  options.start.epoch_s = 1763636405;
  options.invocation_counter = 35;
  Meter one(family, options), same(family, options);
  std::int64_t energy = 0;
  for (std::uint32_t i = 0; i < 50; ++i) {
    const Telegram telegram = one.next();
    EXPECT_EQ(telegram.octets(), same.next().octets());
    EXPECT_EQ(telegram.invocation_counter, 35 + i);
    EXPECT_EQ(telegram.number, i + 1);
    std::string digits = telegram.readings.at(0).value;
    std::erase(digits, '.');
    EXPECT_GE(std::stoll(digits), energy) << "energy never counts back";
    energy = std::stoll(digits);
  }
}

TEST(Meter, units_differ_in_id_and_title) {
  MeterOptions options;
  std::set<std::string> ids;
  for (options.unit_number = 0; options.unit_number < 20; ++options.unit_number)
    ids.insert(Meter(*find_family("kaifa-noe"), options).next().meter);
  EXPECT_EQ(ids.size(), 20u);
  EXPECT_THAT(ids, testing::Contains("181220000010"));
}

}  // namespace
}  // namespace metersim
