// SPDX-License-Identifier: Apache-2.0
// The whole chain on telegrams that are built here, and on published captures where the corpus is
// present: causes of refusal, the next good telegram after each, cuts anywhere, no allocation.
#include "meter/decoder.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <random>
#include <sstream>

#include "tests/libmeter/dlms/ciphering.hpp"

namespace {
std::size_t allocations = 0;
}

// Not under the address sanitizer, which starts up in an allocator of its own.
#if defined(__SANITIZE_ADDRESS__)
#define COUNTS_ALLOCATIONS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COUNTS_ALLOCATIONS 0
#endif
#endif
#ifndef COUNTS_ALLOCATIONS
#define COUNTS_ALLOCATIONS 1
#endif

#if COUNTS_ALLOCATIONS
// OpenSSL and the C++ runtime both end here: what is counted is everything.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* malloc(std::size_t size) noexcept {
  ++allocations;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  ++allocations;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) noexcept {
  ++allocations;
  return __libc_realloc(memory, size);
}
}
#endif

namespace meter {
namespace {

using namespace literals;
using dlms::AuthenticationKey;
using dlms::EncryptionKey;
using dlms::KeyEntry;
using dlms::KeyRing;
using test::concatenated;
using test::from_hex;
using test::Octets;

constexpr const char* ek_text = "000102030405060708090A0B0C0D0E0F";
constexpr const char* ak_text = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";
constexpr const char* noe_key = "36C66639E48A8CA4D6BC8B282A793BBB";
constexpr const char* title_text = "4B464D6750000009";

// ---- telegrams ---------------------------------------------------------------------------------

/// A self-describing list as Austrian meters push it: date-time, energy, power, serial number.
Octets notification(std::uint32_t energy) {
  Octets apdu = from_hex(
      "0F 00000001 0C 07E5091B01092F0F00FF8880 02 0C 09 0C 07E5091B01092F0F00FF8880"
      "09 06 0100010800FF 06");
  test::append(apdu, test::be32(energy));
  test::append(apdu, from_hex("02 02 0F 00 16 1E 09 06 0100010700FF 06 00000221 02 02 0F 00 16 1B"
                              "09 06 0100200700FF 12 0921 02 02 0F FF 16 23"
                              "09 06 0000600100FF 09 0C 313831323230303030303039"));
  return apdu;
}

Octets push(std::uint32_t counter, std::uint8_t control = 0x30, std::uint32_t energy = 12937) {
  const Octets title = from_hex(title_text);
  return test::general_glo(
      title, test::protected_content(control, counter, title, from_hex(ek_text), from_hex(ak_text),
                                     notification(energy)));
}

/// M-Bus fragments of 100 octets, as EN 13757-1 segments them.
Octets over_mbus(Bytes apdu) {
  Octets wire;
  for (std::size_t at = 0, number = 0; at < apdu.size(); at += 100, ++number) {
    const bool last = at + 100 >= apdu.size();
    Octets content = from_hex("53 FF 00 01 67");
    content[2] = static_cast<std::byte>((last ? 0x10 : 0) | number);
    test::append(content, apdu.subspan(at, std::min<std::size_t>(100, apdu.size() - at)));
    test::append(wire, test::mbus_frame(content));
  }
  return wire;
}

/// General block transfer, one block a frame, as Landis+Gyr sends it.
Octets over_hdlc(Bytes apdu) {
  Octets wire;
  const Octets addresses = from_hex("CE FF 03 13");
  for (std::size_t at = 0, number = 1; at < apdu.size(); at += 100, ++number) {
    const std::size_t size = std::min<std::size_t>(100, apdu.size() - at);
    Octets information;
    if (number == 1) information = from_hex("E6 E7 00");
    test::append(information, from_hex("E0 40 0000 0000 00"));
    const std::size_t block = information.size() - 7;
    if (at + size == apdu.size()) information[block + 1] |= std::byte{0x80};
    information[block + 3] = static_cast<std::byte>(number);
    information[block + 6] = static_cast<std::byte>(size);
    test::append(information, apdu.subspan(at, size));
    test::append(wire, test::hdlc_frame(addresses, information));
  }
  return wire;
}

std::shared_ptr<const KeyRing> keys(std::string_view ek, std::vector<std::string_view> aks = {},
                                    std::string meter = "*") {
  std::vector<KeyEntry> entries;
  entries.push_back({"*", std::move(*EncryptionKey::parse(ek).key), {}, {}});
  entries.back().meter = std::move(meter);
  for (const auto ak : aks)
    entries.back().authentication.push_back(std::move(*AuthenticationKey::parse(ak).key));
  return std::make_shared<KeyRing>(std::move(entries));
}

// ---- a device ----------------------------------------------------------------------------------

/// What came out of a telegram, as text: comparable after the buffers are gone.
std::string summary(const ReadingSet& set) {
  std::ostringstream out;
  out << set.meter_id.view() << '/' << name(set.link) << '/' << static_cast<int>(set.authentication)
      << '/' << set.invocation_counter;
  for (const Reading& r : set.readings) {
    char text[Obis::text_size_max + Decimal::text_size_max];
    out << ' ' << r.obis().to_text(text) << '=';
    out << (r.kind() == Reading::Kind::number ? r.value().to_text(text) : r.text());
  }
  return out.str();
}

struct Device {
  explicit Device(std::shared_ptr<const KeyRing> ring, DecoderOptions options = {})
      : decoder(options, std::move(ring)) {}

  /// Takes a piece in; the telegrams that it completed.
  std::vector<std::string> feed(Bytes piece) {
    test::append(buffer, piece);
    return drain();
  }
  std::vector<std::string> drain() {
    std::vector<std::string> telegrams;
    for (;;) {
      // An exact copy on the heap: the address sanitizer sees a read behind it.
      const Octets received = buffer;
      const auto step = decoder.next(received);
      EXPECT_LE(step.consumed, received.size());
      buffer.erase(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(step.consumed));
      if (step.outcome == Decoder::Outcome::telegram)
        telegrams.push_back(summary(decoder.readings()));
      if (step.outcome == Decoder::Outcome::rejected) causes.push_back(step.fault.code);
      if (step.outcome == Decoder::Outcome::rejected) last = step.fault;
      if (step.outcome == Decoder::Outcome::need_more) return telegrams;
    }
  }
  std::vector<std::string> finish() {
    decoder.end_of_input();
    return drain();
  }
  std::uint64_t refused(Errc code) const {
    return decoder.refusals()[static_cast<std::size_t>(code)];
  }

  Decoder decoder;
  Octets buffer;
  std::vector<Errc> causes;
  Fault last{Errc::line_noise, 0};
};

constexpr const char* telegram_texts =
    " 1-0:1.8.0=12937 1-0:1.7.0=545 1-0:32.7.0=233.7 0-0:96.1.0=181220000009";

TEST(Chain, MbusAndHdlcToReadings) {
  Device mbus(keys(ek_text, {ak_text}));
  auto telegrams = mbus.feed(over_mbus(push(1)));
  ASSERT_EQ(telegrams.size(), 1u);
  EXPECT_NE(telegrams[0].find(telegram_texts), std::string::npos) << telegrams[0];
  EXPECT_EQ(telegrams[0].rfind("181220000009/mbus/2/1", 0), 0u) << telegrams[0];
  EXPECT_EQ(mbus.decoder.link(), Link::mbus);
  EXPECT_TRUE(mbus.causes.empty());

  Device hdlc(keys(ek_text));
  telegrams = hdlc.feed(over_hdlc(push(2)));
  ASSERT_EQ(telegrams.size(), 1u);
  EXPECT_EQ(telegrams[0].rfind("181220000009/hdlc/1/2", 0), 0u) << telegrams[0];
  EXPECT_EQ(hdlc.decoder.link(), Link::hdlc);
  EXPECT_EQ(hdlc.decoder.telegrams(), 1u);
}

TEST(Chain, ClearTelegramsNeedNoKey) {
  Device device(nullptr);
  const auto telegrams = device.feed(over_mbus(notification(1)));
  ASSERT_EQ(telegrams.size(), 1u);
  EXPECT_EQ(telegrams[0].rfind("181220000009/mbus/0/0", 0), 0u) << telegrams[0];
}

// ---- each refusal has its own cause, and the next good telegram is read
// --------------------------

struct Refusal {
  const char* what;
  Errc cause;
  Octets wire;
  std::shared_ptr<const KeyRing> keys;
};

std::vector<Refusal> refusals() {
  std::vector<Refusal> all;
  const auto right = keys(ek_text, {ak_text});
  all.push_back({"no key", Errc::key_missing, over_hdlc(push(5)), nullptr});
  all.push_back({"another meter's key", Errc::key_missing, over_hdlc(push(5)),
                 keys(ek_text, {}, "4B464D6750000010")});
  all.push_back({"wrong key", Errc::key_wrong, over_hdlc(push(5)), keys(noe_key, {ak_text})});
  all.push_back({"wrong key, no tag", Errc::key_wrong, over_hdlc(push(5, 0x20)), keys(noe_key)});
  all.push_back({"wrong authentication key", Errc::authentication_key_wrong, over_hdlc(push(5)),
                 keys(ek_text, {noe_key})});
  Octets flipped = push(5);
  flipped[60] ^= std::byte{4};
  all.push_back({"flipped bit, checksums mended", Errc::bad_tag, over_hdlc(flipped), right});
  Octets damaged = over_hdlc(push(5));
  damaged[40] ^= std::byte{4};
  all.push_back({"flipped bit on the line", Errc::bad_checksum, damaged, right});
  all.push_back({"replay", Errc::replayed, over_hdlc(push(3)), right});
  Octets compressed = push(5);
  compressed[12] |= std::byte{0x80};
  all.push_back({"compression", Errc::unsupported_compression, over_hdlc(compressed), right});
  Octets suite = push(5);
  suite[12] |= std::byte{0x0f};
  all.push_back({"suite", Errc::unsupported_suite, over_hdlc(suite), right});
  all.push_back({"noise", Errc::line_noise, from_hex("0102030405"), right});
  return all;
}

TEST(Refusals, EachHasItsOwnCauseAndTheNextGoodTelegramIsRead) {
  const auto right = keys(ek_text, {ak_text});
  for (const Refusal& refusal : refusals()) {
    Device device(right);
    ASSERT_EQ(device.feed(over_hdlc(push(4))).size(), 1u);
    device.decoder.set_keys(refusal.keys);
    if (refusal.cause == Errc::bad_tag) {
      ASSERT_EQ(device.feed(over_hdlc(push(5, 0x30, 1))).size(), 1u);
    }
    EXPECT_TRUE(device.feed(refusal.wire).empty()) << refusal.what;
    EXPECT_GE(device.refused(refusal.cause), 1u) << refusal.what;
    ASSERT_FALSE(device.causes.empty()) << refusal.what;
    EXPECT_EQ(device.causes[0], refusal.cause) << refusal.what << ": " << name(device.causes[0]);
    device.decoder.set_keys(right);
    EXPECT_EQ(device.feed(over_hdlc(push(6))).size(), 1u) << refusal.what;
  }
}

TEST(Refusals, ARepeatIsIgnoredSilently) {
  Device device(keys(ek_text, {ak_text}));
  EXPECT_EQ(device.feed(over_hdlc(push(4))).size(), 1u);
  EXPECT_TRUE(device.feed(over_hdlc(push(4))).empty());
  EXPECT_TRUE(device.causes.empty());
  EXPECT_EQ(device.refused(Errc::duplicate), 1u);
  EXPECT_EQ(device.feed(over_hdlc(push(5))).size(), 1u);
}

TEST(Refusals, OffsetsPointIntoTheGivenBytes) {
  Device device(nullptr);
  // A structure of three elements with room for two.
  const Octets apdu = from_hex("0F 00000001 00 02 03 09 06 0100010800FF 06 00000001");
  const Octets wire = concatenated({from_hex("7E A0 07"), over_mbus(apdu)});
  EXPECT_TRUE(device.feed(wire).empty());
  EXPECT_EQ(device.causes.back(), Errc::truncated);
  EXPECT_EQ(device.last.offset, 4 + 5 + apdu.size()) << "behind M-Bus header and APDU";
}

// ---- links -------------------------------------------------------------------------------------

TEST(Links, TheLayerIsFoundAgainAfterTheAdapterMoved) {
  Device device(nullptr);
  EXPECT_EQ(device.feed(over_mbus(notification(1))).size(), 1u);
  std::size_t telegrams = 0;
  for (int i = 0; i < 100; ++i) telegrams += device.feed(over_hdlc(notification(2))).size();
  EXPECT_EQ(device.decoder.link(), Link::hdlc);
  EXPECT_GE(telegrams, 100 - 8192 / over_hdlc(notification(2)).size() - 2);
}

TEST(Links, AConfiguredLayerIsNeverLeft) {
  Device device(nullptr, {.link = Link::mbus});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(device.feed(over_hdlc(notification(2))).empty());
  EXPECT_EQ(device.feed(over_mbus(notification(1))).size(), 1u);
}

TEST(Links, NoiseIsCountedOnceARun) {
  Device device(nullptr);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(device.feed(from_hex("01 02 03")).empty());
  EXPECT_EQ(device.refused(Errc::line_noise), 1u);
  EXPECT_EQ(device.feed(over_mbus(notification(1))).size(), 1u);
}

TEST(Links, TheCipheredTelegramInADamagedFrameIsNotP1) {
  const Octets mbus = test::mbus_frame(concatenated({from_hex("53 FF 10 01 67"), push(1)}));
  const Octets hdlc =
      test::hdlc_frame(from_hex("CE FF 03 13"), concatenated({from_hex("E6 E7 00"), push(1)}));
  for (const Octets& frame : {mbus, hdlc})
    for (const auto& ring : {keys(ek_text, {ak_text}), std::shared_ptr<const KeyRing>()}) {
      Device device(ring);
      Octets damaged = frame;
      damaged[100] ^= std::byte{0x10};
      EXPECT_TRUE(device.feed(damaged).empty());
      EXPECT_EQ(device.feed(over_mbus(push(2))).size(), ring ? 1u : 0u);
      ASSERT_FALSE(device.causes.empty());
      EXPECT_EQ(device.refused(Errc::bad_checksum), 1u);
      EXPECT_EQ(device.refused(Errc::key_wrong), 0u);
      EXPECT_EQ(device.refused(Errc::key_missing), ring ? 0u : 1u);
    }
}

TEST(BareApdu, IsReadAtTheEndOfInput) {
  for (const Octets& apdu : {notification(12937), push(1, 0x20), push(1),
                             concatenated({from_hex("E6E700"), notification(12937)})}) {
    Device device(keys(ek_text));
    for (const std::byte octet : apdu) EXPECT_TRUE(device.feed({&octet, 1}).empty());
    EXPECT_TRUE(device.causes.empty());
    const auto telegrams = device.finish();
    ASSERT_EQ(telegrams.size(), 1u);
    EXPECT_NE(telegrams[0].find(telegram_texts), std::string::npos);
    EXPECT_EQ(device.decoder.link(), Link::raw);
  }
}

TEST(BareApdu, IsReadAtOnceWhereConfigured) {
  Device device(keys(ek_text), {.link = Link::raw});
  EXPECT_EQ(device.feed(concatenated({push(1), push(2)})).size(), 2u);
}

TEST(BareApdu, DoesNotHoldUpALayerWithAChecksum) {
  Device device(nullptr);
  // The adapter was plugged in within a frame whose rest begins like an APDU.
  EXPECT_EQ(device.feed(concatenated({from_hex("0F 01 02"), over_mbus(notification(1))})).size(),
            1u);
  EXPECT_TRUE(device.buffer.empty());
}

TEST(BareApdu, HoldsBackABoundedAmount) {
  Device device(nullptr);
  Octets stream(Decoder::buffer_size_min + 100, std::byte{0x0f});
  EXPECT_TRUE(device.feed(stream).empty());
  EXPECT_TRUE(device.buffer.empty());
  EXPECT_EQ(device.feed(over_mbus(notification(1))).size(), 1u);
}

TEST(EndOfInput, ACutTelegramHasACause) {
  const Octets wire = over_mbus(notification(1));
  for (std::size_t cut = 1; cut < wire.size(); ++cut) {
    Device device(nullptr);
    EXPECT_TRUE(device.feed(Bytes(wire).first(cut)).empty());
    EXPECT_TRUE(device.finish().empty()) << cut;
    EXPECT_TRUE(cut == 1 || !device.causes.empty()) << cut;
  }
  Device empty(nullptr);
  EXPECT_TRUE(empty.finish().empty());
  EXPECT_TRUE(empty.causes.empty());
}

TEST(EndOfInput, ADamagedLengthDoesNotSwallowTheRest) {
  Device device(nullptr, {.link = Link::mbus});
  EXPECT_TRUE(
      device.feed(concatenated({from_hex("68 FA FA 68"), over_mbus(notification(1))})).empty());
  EXPECT_EQ(device.finish().size(), 1u);
}

TEST(Silence, DropsAHalfReceivedMessageAndTellsSo) {
  const Octets wire = over_mbus(notification(1));
  Device device(nullptr);
  device.feed(Bytes(wire).first(120));
  EXPECT_TRUE(device.decoder.pending());
  device.decoder.silence();
  EXPECT_TRUE(device.drain().empty());
  EXPECT_FALSE(device.decoder.pending());
  EXPECT_TRUE(device.buffer.empty());
  EXPECT_EQ(device.refused(Errc::silence) + device.refused(Errc::lost_fragment), 2u)
      << "half a frame, and the transfer that it belonged to";
  device.decoder.silence();
  EXPECT_TRUE(device.drain().empty());
  EXPECT_EQ(device.causes.size(), 2u) << "nothing was half received";
  EXPECT_EQ(device.feed(wire).size(), 1u);
  Device between_telegrams(nullptr);
  between_telegrams.feed(over_hdlc(notification(1)));
  between_telegrams.decoder.silence();
  between_telegrams.drain();
  EXPECT_EQ(between_telegrams.refused(Errc::silence), 0u) << "a closing flag is no frame";
}

TEST(Silence, AWholeTelegramBehindOneThatLostOctetsComesOut) {
  const Octets wire = over_hdlc(notification(1));
  Device device(nullptr, {.link = Link::hdlc});
  // The header promises octets that the adapter lost: it swallows the next telegram's front.
  Octets bytes(wire.begin(), wire.begin() + 20);
  test::append(bytes, over_hdlc(notification(2)));
  const std::size_t at_once = device.feed(bytes).size();
  device.decoder.silence();
  EXPECT_EQ(at_once + device.drain().size(), 1u);
}

TEST(Silence, DoesNotTakeALiveLineForABareApdu) {
  Device device(nullptr);
  device.feed(from_hex("0F 00 00"));  // as noise, or a telegram joined in its middle
  device.decoder.silence();
  device.drain();
  EXPECT_FALSE(device.decoder.link());
  EXPECT_EQ(device.feed(over_mbus(notification(1))).size(), 1u);
}

// ---- one input after the other -----------------------------------------------------------------

TEST(Restart, NothingIsLeftOfTheInputBefore) {
  Device device(keys(ek_text, {ak_text}));
  const auto next = [&](std::optional<Link> link, const Octets& input) {
    device.buffer.clear();
    device.decoder.restart(link);
    auto telegrams = device.feed(input);
    for (auto& late : device.finish()) telegrams.push_back(std::move(late));
    return telegrams;
  };
  EXPECT_EQ(next({}, over_mbus(push(1))).size(), 1u);
  EXPECT_EQ(next({}, over_hdlc(push(2))).size(), 1u);  // another link, without 8 KiB of noise
  EXPECT_EQ(next({}, push(3)).size(), 1u);             // a bare one, at the front again
  const Octets whole = over_mbus(push(4));
  const auto front = [&](std::size_t size) {
    return Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
  };
  EXPECT_TRUE(next({}, front(whole.size() / 2)).empty());
  EXPECT_TRUE(next({}, Octets(whole.begin() + static_cast<std::ptrdiff_t>(whole.size() / 2),
                              whole.end())).empty());
  EXPECT_EQ(next({}, whole).size(), 1u);
  EXPECT_TRUE(next({}, over_hdlc(push(2))).empty());  // the replay rule goes on
  EXPECT_EQ(device.causes.back(), Errc::replayed);
  EXPECT_TRUE(next(Link::hdlc, over_mbus(push(5))).empty());
  EXPECT_EQ(next(Link::mbus, over_mbus(push(5))).size(), 1u);
}

TEST(Restart, WhoSaidWhoHeIsHasGone) {
  Device device(nullptr);
  const auto octets = [](std::string_view text) {
    const Bytes bytes = bytes_of(text);
    return Octets(bytes.begin(), bytes.end());
  };
  device.decoder.restart(Link::iec62056_21);
  device.feed(octets("/EMH5\\@01LZQJL0014F\r\n"));
  device.finish();
  device.buffer.clear();
  device.decoder.restart(Link::iec62056_21);
  std::string block = "1.8.0(0012.345*kWh)\r\n!\r\n\x03";
  char check = 0;
  for (const char c : block) check = static_cast<char>(check ^ c);
  const auto telegrams = device.feed(octets("\x02" + block + check));
  for (const std::string& telegram : telegrams)
    EXPECT_EQ(telegram.find("LZQJL"), std::string::npos) << telegram;
}

TEST(Keys, AReloadLosesNoHalfReceivedTelegram) {
  const Octets wire = over_hdlc(push(1));
  Device device(nullptr);
  EXPECT_TRUE(device.feed(Bytes(wire).first(wire.size() / 2)).empty());
  device.decoder.set_keys(keys(ek_text, {ak_text}));
  EXPECT_EQ(device.feed(Bytes(wire).subspan(wire.size() / 2)).size(), 1u);
}

TEST(Keys, BaselinesAreStoredAndPutBack) {
  Device before(keys(ek_text));
  before.feed(over_hdlc(push(77)));
  ASSERT_EQ(before.decoder.replay_baselines().size(), 1u);
  Device after(keys(ek_text));
  after.decoder.restore_replay_baseline(before.decoder.replay_baselines()[0]);
  EXPECT_TRUE(after.feed(over_hdlc(push(76))).empty());
  EXPECT_EQ(after.refused(Errc::replayed), 1u);
  EXPECT_EQ(after.feed(over_hdlc(push(78))).size(), 1u);
}

// ---- properties --------------------------------------------------------------------------------

TEST(Property, CutsAnywhereGiveTheSameTelegrams) {
  std::mt19937 random(4711);
  Octets stream = from_hex("00 FF 11 22");
  for (std::uint32_t i = 1; i <= 12; ++i) {
    const Octets telegram = push(i, i % 3 == 0 ? 0x31 : 0x30, i * 1000);
    test::append(stream, over_hdlc(telegram));
    if (i % 4 == 0) test::append(stream, from_hex("FF 7E 00 A0 13"));
  }
  Device whole(keys(ek_text, {ak_text}));
  const auto expected = whole.feed(stream);
  EXPECT_EQ(expected.size(), 12u);
  for (int round = 0; round < 30; ++round) {
    Device device(keys(ek_text, {ak_text}));
    std::vector<std::string> telegrams;
    const std::size_t piece_max = round == 0 ? 1 : 1 + random() % 400;
    for (std::size_t at = 0; at < stream.size();) {
      const std::size_t size = std::min<std::size_t>(1 + random() % piece_max, stream.size() - at);
      for (auto& t : device.feed(Bytes(stream).subspan(at, size)))
        telegrams.push_back(std::move(t));
      at += size;
    }
    EXPECT_EQ(telegrams, expected) << "pieces up to " << piece_max;
  }
}

TEST(Property, NoFlippedBitMakesAWrongReading) {
  const Octets before = over_hdlc(push(1, 0x30, 1)), good = over_hdlc(push(2, 0x30, 2));
  const Octets after = over_hdlc(push(3, 0x30, 3));
  std::vector<std::string> expected;
  for (const Octets& wire : {before, good, after}) {
    Device device(keys(ek_text, {ak_text}));
    expected.push_back(device.feed(wire).at(0));
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Octets bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    Device device(keys(ek_text, {ak_text}));
    const auto telegrams = device.feed(concatenated({before, bad, after, after}));
    ASSERT_GE(telegrams.size(), 2u) << "bit " << bit;
    EXPECT_EQ(telegrams.front(), expected[0]);
    EXPECT_EQ(telegrams.back(), expected[2]);
    EXPECT_TRUE(telegrams.size() == 2 || telegrams[1] == expected[1]) << "bit " << bit;
  }
}

TEST(Property, NothingIsAllocatedFromBytesToReadings) {
  const auto ring = keys(ek_text, {ak_text});
  Decoder decoder({}, ring);
  Octets stream;
  for (std::uint32_t i = 1; i <= 5; ++i) {
    test::append(stream, over_hdlc(push(i, i % 2 == 0 ? 0x20 : 0x30)));
    test::append(stream, over_hdlc(push(i)));
    test::append(stream, from_hex("55 55 7E A0"));
    Octets flipped = push(100);
    flipped[60] ^= std::byte{1};
    test::append(stream, over_hdlc(flipped));
  }
  const std::size_t before = allocations;
  EXPECT_TRUE(!COUNTS_ALLOCATIONS || before > 0) << "the counter counts";
  Bytes rest(stream);
  for (;;) {
    const auto step = decoder.next(rest);
    rest = rest.subspan(step.consumed);
    if (step.outcome == Decoder::Outcome::need_more) break;
  }
  decoder.silence();
  const std::size_t after = allocations;
  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(decoder.telegrams(), 5u);
  if (!COUNTS_ALLOCATIONS) GTEST_SKIP() << "the address sanitizer owns malloc: nothing was counted";
}

// ---- explanations ------------------------------------------------------------------------------

struct Explanation final : DecodeObserver {
  void stage(std::string_view stage, std::uint64_t offset, std::string_view line) override {
    text << stage << ' ' << offset << ' ' << line << '\n';
  }
  std::ostringstream text;
};

TEST(Explain, NamesEveryStageAndNoKey) {
  Explanation explanation;
  Device device(keys(ek_text, {ak_text}), {.observer = &explanation});
  device.feed(concatenated({from_hex("AA BB"), over_mbus(push(9))}));
  const std::string text = explanation.text.str();
  for (const char* part :
       {"link 0 2 octets dropped", "link 2 mbus frame of 111 octets", "address FF", "reassembly",
        "from 2 frames", "ciphering", "system title 4B464D6750000009", "security control 30",
        "invocation counter 9", "key be45cb26: tag verified"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  EXPECT_EQ(text.find("0001020304"), std::string::npos);
  EXPECT_EQ(text.find("D0D1"), std::string::npos);
}

// ---- published captures ------------------------------------------------------------------------

Octets capture(const char* path) {
  const char* corpus = std::getenv("SMARTMETER_CORPUS");
  if (corpus == nullptr) return {};
  std::ifstream file(std::filesystem::path(corpus) / path, std::ios::binary);
  const std::string octets{std::istreambuf_iterator<char>(file), {}};
  return {bytes_of(octets).begin(), bytes_of(octets).end()};
}

TEST(Capture, NetzNoe) {
  const Octets wire = capture("bench/inputs/a1_noe_mbus.bin");
  if (wire.empty()) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  Device device(keys(noe_key));
  ASSERT_EQ(device.feed(wire).size(), 1u);
  const ReadingSet& set = device.decoder.readings();
  EXPECT_EQ(set.meter_id.view(), "181220000009");
  EXPECT_EQ(set.authentication, Authentication::unverified);
  EXPECT_EQ(set.invocation_counter, 0x23u);
  bool energy = false, voltage = false;
  for (const Reading& r : set.readings) {
    if (r.obis() == "1-0:1.8.0"_obis) energy = r.value() == Decimal{12937, 0};
    if (r.obis() == "1-0:32.7.0"_obis) voltage = r.value() == Decimal{2337, -1};
  }
  EXPECT_TRUE(energy);
  EXPECT_TRUE(voltage);
}

TEST(Capture, TinetzAndLandisGyr) {
  const Octets tinetz = capture("bench/inputs/a2_tinetz_mbus.bin");
  if (tinetz.empty()) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  Device a2(keys(ek_text));
  EXPECT_EQ(a2.feed(tinetz).size(), 1u);
  const Octets e450 = capture("bench/inputs/b_e450_hdlc_gbt.bin");
  Device b(keys(ek_text, {ak_text}));
  ASSERT_EQ(b.feed(e450).size(), 1u);
  EXPECT_EQ(b.decoder.readings().authentication, Authentication::verified);
  const Octets clear = capture("bench/inputs/b0_e450_plain_pushlist.bin");
  Device b0(nullptr);
  EXPECT_EQ(b0.feed(clear).size(), 1u);
}

TEST(Capture, LandisGyrWithAMendedFlipIsRefused) {
  Octets wire = capture("bench/inputs/b_e450_hdlc_gbt.bin");
  if (wire.empty()) GTEST_SKIP() << "SMARTMETER_CORPUS is not set";
  const std::size_t length = (u8(wire[1]) & 7) << 8 | u8(wire[2]);
  wire[60] ^= std::byte{0x10};
  const unsigned fcs = test::slow_crc_x25(Bytes(wire).subspan(1, length - 2));
  wire[length - 1] = static_cast<std::byte>(fcs & 0xff);
  wire[length] = static_cast<std::byte>(fcs >> 8);
  Device device(keys(ek_text, {ak_text}));
  EXPECT_TRUE(device.feed(wire).empty());
  ASSERT_FALSE(device.causes.empty());
  EXPECT_TRUE(device.causes[0] == Errc::authentication_key_wrong ||
              device.causes[0] == Errc::bad_tag)
      << name(device.causes[0]);
  EXPECT_EQ(device.feed(capture("bench/inputs/b_e450_hdlc_gbt.bin")).size(), 1u);
}

}  // namespace
}  // namespace meter
