// SPDX-License-Identifier: Apache-2.0
// Siemens AMIS TD-351x: the operator's published telegram, keys, repetitions, acknowledgements.
#include "meter/mbus/amis.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "meter/decoder.hpp"
#include "meter/quantity.hpp"
#include "meter/session.hpp"
#include "tests/libmeter/link/frames.hpp"

namespace meter::mbus {
namespace {

using test::from_hex;
using test::Octets;

// Netz Oberösterreich, "AMIS-Zähler Kundenschnittstelle", version 05.11.2021.
constexpr const char* published_key = "00112233445566778899AABBCCDDEEFF";
const Octets published = from_hex(
    "68 5F 5F 68 53 F0 5B 00 00 00 00 2D 4C 01 0E 0D 00 50 05"
    "3F D0 FE B7 26 76 0C C7 AA F0 B5 2B 41 F0 C5 41 BD 63 06 DC D8 B9 1B 3D A2 31 1E F1 3D 25 14"
    "D0 96 00 82 16 1E FE C4 B6 CB 1E 0B 33 28 BE 61 77 DC A5 94 C1 28 00 24 A8 35 F1 D6 55 BA 71"
    "82 B2 56 E9 4B D3 3A C0 A6 B0 8D A4 67 81 EB 4E 91 E0 12 16");
const Octets published_clear = from_hex(
    "2F2F 066D 5F0C48C1171B 0403 00720A00 04833C 84F90100 8410FB8273 1E760500"
    "8410FB82F33C 263E0100 042B 00000000 04AB3C 75000000 04FB14 00000000 04FB943C 00000000"
    "0483FF04 14000000 2F2F");
const Octets reset = from_hex("10 40 F0 30 16");

std::shared_ptr<const dlms::KeyRing> key_ring(std::string_view key) {
  std::vector<dlms::KeyEntry> entries;
  entries.push_back({"*", std::move(*dlms::EncryptionKey::parse(key).key), {}, {}});
  return std::make_shared<dlms::KeyRing>(std::move(entries));
}

std::map<std::string, std::string> named(const ReadingSet& set) {
  NamedReadings readings;
  harmonize(set, QuantityMap(), readings);
  std::map<std::string, std::string> texts;
  char text[Decimal::text_size_max];
  for (const NamedReading& each : readings) texts.emplace(each.name, each.value.to_text(text));
  return texts;
}

void expect_published(const ReadingSet& set) {
  const std::map<std::string, std::string> expected = {
      {"energy_import", "684.544"},
      {"energy_export", "129.412"},
      {"reactive_energy_import", "357.918"},
      {"reactive_energy_import_t1", "357.918"},
      {"reactive_energy_export", "81.446"},
      {"reactive_energy_export_t1", "81.446"},
      {"power_import", "0"},
      {"power_export", "117"},
      {"power_net", "-117"},
      {"reactive_power_import", "0"},
      {"reactive_power_export", "0"},
      {"energy_collect", "0.020"},
  };
  EXPECT_EQ(named(set), expected);
  EXPECT_EQ(set.profile, "amis-td351x");
  ASSERT_TRUE(set.time);
  EXPECT_EQ(set.time->hour, 8);
  EXPECT_EQ(set.time->minute, 12);
  EXPECT_EQ(set.time->second, 31);
  EXPECT_EQ(set.time->year, 2014);
  EXPECT_EQ(set.time->month, 7);
  EXPECT_EQ(set.time->day, 1);
  EXPECT_EQ(set.time->status, 0x80) << "summer";
}

Errc refusal(Decoder& decoder, Bytes wire) {
  const auto step = decoder.next(wire);
  EXPECT_EQ(step.outcome, Decoder::Outcome::rejected);
  return step.fault.code;
}

TEST(Amis, PublishedTelegram) {
  for (const std::optional<Link> link : {std::optional(Link::amis), std::optional<Link>()}) {
    Decoder decoder({.link = link}, key_ring(published_key));
    const auto step = decoder.next(published);
    ASSERT_EQ(step.outcome, Decoder::Outcome::telegram);
    EXPECT_EQ(step.frame.size(), published.size());
    expect_published(decoder.readings());
    EXPECT_EQ(decoder.readings().link, Link::amis);
    EXPECT_EQ(decoder.readings().authentication, Authentication::unverified);
    EXPECT_TRUE(decoder.readings().meter_id.empty());
  }
}

TEST(Amis, Keys) {
  Decoder none({}, nullptr);
  EXPECT_EQ(refusal(none, published), Errc::key_missing);
  ASSERT_TRUE(none.system_title());
  EXPECT_EQ(describe(*none.system_title()), "with system title 2D4C00000000010E");
  Decoder wrong({}, key_ring("00112233445566778899AABBCCDDEEFE"));
  EXPECT_EQ(refusal(wrong, published), Errc::key_wrong);
  Decoder longer({}, key_ring("00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF"));
  EXPECT_EQ(refusal(longer, published), Errc::key_missing);
}

/// What was not acknowledged comes again, with the same frame count bit.
TEST(Amis, Repetition) {
  Decoder decoder({}, key_ring(published_key));
  EXPECT_EQ(decoder.next(published).outcome, Decoder::Outcome::telegram);
  EXPECT_EQ(decoder.next(published).outcome, Decoder::Outcome::duplicate);
  Octets content(published.begin() + 4, published.end() - 2);
  content[0] = std::byte{0x73};
  EXPECT_EQ(decoder.next(test::mbus_frame(content)).outcome, Decoder::Outcome::telegram);
}

TEST(Amis, ClearText) {
  Octets content = from_hex("53 F0 5B 00 00 00 00 2D 4C 01 0E 0D 00 00 00");
  test::append(content, published_clear);
  Decoder decoder({}, nullptr);
  const Octets wire = test::mbus_frame(content);
  EXPECT_EQ(decoder.next(wire).outcome, Decoder::Outcome::telegram);
  expect_published(decoder.readings());
  EXPECT_EQ(decoder.readings().authentication, Authentication::clear);
}

/// Any damage to the structure, and every cut: no half of a telegram comes out.
TEST(Amis, StructureIsTheOnlyProof) {
  ReadingSet out;
  for (std::size_t size = 0; size + 2 < published_clear.size(); ++size) {
    out.clear();
    EXPECT_FALSE(decode_amis(Bytes(published_clear).first(size), out, nullptr, 0)) << size;
  }
  for (const std::size_t at : {0u, 1u, 2u, 3u, 10u, 11u, 16u, 18u, 23u, 27u, 32u, 37u}) {
    Octets damaged = published_clear;
    damaged[at] ^= std::byte{0x01};
    out.clear();
    EXPECT_FALSE(decode_amis(damaged, out, nullptr, 0)) << at;
  }
}

TEST(Amis, HeaderRefusals) {
  Octets content(published.begin() + 4, published.end() - 2);
  Decoder decoder({}, key_ring(published_key));
  Octets mode_7 = content;
  mode_7[14] = std::byte{0x07};
  EXPECT_EQ(refusal(decoder, test::mbus_frame(mode_7)), Errc::unsupported_suite);
  Octets blocks = content;
  blocks[13] = std::byte{0x60};
  EXPECT_EQ(refusal(decoder, test::mbus_frame(blocks)), Errc::malformed);
}

/// E5 for what came undamaged, nothing for anything else, nothing by itself.
TEST(AmisSession, AcknowledgesWhatTheLinkLayerLetsThrough) {
  const auto session = make_session(Link::amis, {});
  ASSERT_TRUE(session);
  EXPECT_TRUE(session->on_start().write.empty());
  EXPECT_FALSE(session->on_start().wake_after);
  Decoder decoder({.link = Link::amis}, key_ring(published_key));
  Octets damaged = published;
  damaged[40] ^= std::byte{0x04};
  const Octets other_reader =
      test::mbus_frame(from_hex("53 F1 5B 00 00 00 00 2D 4C 01 0E 0D 00 00 00"));
  const Octets echo = from_hex("E5");
  unsigned acknowledged = 0;
  for (const Octets& sent : {reset, published, published, damaged, other_reader, echo}) {
    const auto step = decoder.next(sent);
    if (step.frame.empty()) continue;
    const auto verdict = step.outcome == Decoder::Outcome::rejected ? Session::Verdict::rejected
                                                                    : Session::Verdict::progress;
    const auto action = session->on_frame(step.frame, verdict);
    ASSERT_EQ(action.write.size(), 1u);
    EXPECT_EQ(action.write[0], std::byte{0xe5});
    EXPECT_FALSE(action.line);
    ++acknowledged;
  }
  EXPECT_EQ(acknowledged, 3u);
  EXPECT_TRUE(session->on_timeout().write.empty());
}

/// Without the key too: only so the meter goes on sending, and the missing key is seen.
TEST(AmisSession, AcknowledgesWhatItCannotRead) {
  const auto session = make_session(Link::amis, {});
  EXPECT_EQ(session->on_frame(published, Session::Verdict::rejected).write.size(), 1u);
}

}  // namespace
}  // namespace meter::mbus
