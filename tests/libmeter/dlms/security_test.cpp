// SPDX-License-Identifier: Apache-2.0
// Ciphering against published vectors (Green Book and the operator Netz NÖ, quoted in
// libmeter/doc/security.md), key selection, the rule of the invocation counter, key texts.
#include "meter/dlms/security.hpp"

#include <gtest/gtest.h>

#include "tests/libmeter/dlms/ciphering.hpp"

namespace meter::dlms {
namespace {

using test::from_hex;
using test::Octets;

constexpr const char* ek_text = "000102030405060708090A0B0C0D0E0F";
constexpr const char* ak_text = "D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF";
constexpr const char* title_text = "4D4D4D0000BC614E";
constexpr const char* clear_text = "C0010000080000010000FF0200";

template <class K>
K key_of(std::string_view text) {
  auto parsed = K::parse(text);
  EXPECT_TRUE(parsed.key) << parsed.error;
  return std::move(*parsed.key);
}

KeyEntry entry(std::string_view ek, std::vector<std::string_view> aks = {}, std::string meter = "*",
               std::string label = "") {
  KeyEntry e{std::move(meter), key_of<EncryptionKey>(ek), {}, std::move(label)};
  for (const auto ak : aks) e.authentication.push_back(key_of<AuthenticationKey>(ak));
  return e;
}

template <class... Entries>
std::shared_ptr<const KeyRing> ring(Entries... entries) {
  std::vector<KeyEntry> all;
  (all.push_back(std::move(entries)), ...);
  return std::make_shared<KeyRing>(std::move(all));
}

/// Takes what begins as the test's clear texts do and has their length, as a real reader would
/// refuse octets behind the text; texts that end in EE have an unknown list.
struct FakeReader final : ClearTextReader {
  bool plausible(Bytes clear) const noexcept override {
    return !clear.empty() && (u8(clear[0]) == 0xc0 || u8(clear[0]) == 0x50);
  }
  Result<void> read(Bytes clear, const CipherFacts& facts_read) noexcept override {
    facts = facts_read;
    text.assign(clear.begin(), clear.end());
    if (u8(clear.back()) == 0xee) return fault(Errc::list_unknown, 3);
    if (clear.size() != 13 && clear.size() != 8) return fault(Errc::malformed, clear.size());
    return {};
  }
  CipherFacts facts;
  Octets text;
};

struct Opening {
  explicit Opening(std::shared_ptr<const KeyRing> keys, Decryptor::Options options = {})
      : decryptor(options, 1024) {
    decryptor.set_keys(std::move(keys));
  }
  /// Success, or the cause.
  std::optional<Errc> open(Bytes apdu) {
    const auto opened = decryptor.open(apdu, reader, nullptr, 0);
    if (opened) return std::nullopt;
    last = opened.error();
    return opened.error().code;
  }
  Decryptor decryptor;
  FakeReader reader;
  Fault last{Errc::line_noise, 0};
};

Octets push(std::uint32_t counter, std::uint8_t control = 0x30, std::string_view text = clear_text,
            std::string_view title = title_text, std::string_view ek = ek_text,
            std::string_view ak = ak_text) {
  const Octets t = from_hex(title);
  return test::general_glo(
      t, test::protected_content(control, counter, t, from_hex(ek), from_hex(ak), from_hex(text)));
}

constexpr Errc none_refused = Errc::line_noise;  // stands for success in expectations below
Errc code(std::optional<Errc> result) {
  return result.value_or(none_refused);
}

// ---- published vectors -------------------------------------------------------------------------

struct Vector {
  const char* content;  // security control, counter, content, tag
  Authentication with_authentication_key;
};
constexpr Vector vectors[] = {
    {"30 01234567 411312FF935A47566827C467BC 7D825C3BE4A77C3FCC056B6B", Authentication::verified},
    {"20 01234567 411312FF935A47566827C467BC", Authentication::unverified},
    {"10 01234567 C0010000080000010000FF0200 06725D910F9221D263877516", Authentication::verified},
};

TEST(GreenBookVectors, AreOpened) {
  for (const Vector& v : vectors) {
    Opening o(ring(entry(ek_text, {ak_text})));
    EXPECT_FALSE(o.open(test::general_glo(from_hex(title_text), from_hex(v.content)))) << v.content;
    EXPECT_EQ(o.reader.text, from_hex(clear_text));
    EXPECT_EQ(o.reader.facts.authentication, v.with_authentication_key);
    EXPECT_EQ(o.reader.facts.invocation_counter, 0x01234567u);
    EXPECT_EQ(o.reader.facts.clear_offset, 16u);
  }
}

TEST(GreenBookVectors, WithoutAuthenticationKeyTheyAreUnverified) {
  for (const Vector& v : vectors) {
    Opening o(ring(entry(ek_text)));
    EXPECT_FALSE(o.open(test::general_glo(from_hex(title_text), from_hex(v.content)))) << v.content;
    EXPECT_EQ(o.reader.text, from_hex(clear_text));
    EXPECT_EQ(o.reader.facts.authentication, Authentication::unverified);
  }
}

TEST(GreenBookVectors, HoldForTheTestsOwnEncoder) {
  for (const Vector& v : vectors) {
    const Octets content = from_hex(v.content);
    const Octets title = from_hex(title_text);
    EXPECT_EQ(test::protected_content(static_cast<std::uint8_t>(u8(content[0])), 0x01234567, title,
                                      from_hex(ek_text), from_hex(ak_text), from_hex(clear_text)),
              content);
  }
}

TEST(GreenBookVectors, GmacOfAChallenge) {
  Opening o(ring(entry(ek_text, {ak_text})));
  const auto content = from_hex("10 00000001 503677524A323146 1A52FE7DD3E72748973C1E28");
  EXPECT_FALSE(o.open(test::general_glo(from_hex("4D4D4D0000000001"), content)));
  EXPECT_EQ(o.reader.facts.authentication, Authentication::verified);
}

TEST(GreenBookVectors, AnyFlippedBitIsRefused) {
  const Octets good = test::general_glo(from_hex(title_text), from_hex(vectors[0].content));
  Opening o(ring(entry(ek_text, {ak_text})));
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    Octets bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    // The broadcast bit is covered by the tag as well.
    EXPECT_TRUE(o.open(bad)) << "bit " << bit;
  }
  EXPECT_FALSE(o.open(good)) << "the good one is read afterwards";
}

TEST(NetzNoe, FirstBlocksOfThePublishedFrame) {
  const auto title = from_hex("4B464D6750000009");
  SystemTitle t{};
  std::copy(title.begin(), title.end(), t.begin());
  Cipher cipher(key_of<EncryptionKey>("36C66639E48A8CA4D6BC8B282A793BBB"));
  const Octets ciphertext = from_hex("88D5AB4F97515AAFC6B88D2F");
  Octets clear(ciphertext.size());
  cipher.decrypt(t, 0x23, ciphertext, clear.data());
  EXPECT_EQ(clear, from_hex("0F8006870E0C07E5091B0109"));
}

TEST(Cipher, CounterModeAgreesWithGcmBeyondItsBuffer) {
  SystemTitle t{};
  Octets text(5000, std::byte{0x5a}), tag, clear(text.size());
  for (const char* key :
       {ek_text, "000102030405060708090A0B0C0D0E0F000102030405060708090A0B0C0D0E0F"}) {
    Octets iv(t.begin(), t.end());
    test::append(iv, test::be32(7));
    const Octets sealed = test::gcm_encrypt(from_hex(key), iv, {}, text, tag);
    Cipher cipher(key_of<EncryptionKey>(key));
    for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 511u, 512u, 513u, 5000u}) {
      cipher.decrypt(t, 7, Bytes(sealed).first(size), clear.data());
      EXPECT_TRUE(std::equal(clear.begin(), clear.begin() + static_cast<std::ptrdiff_t>(size),
                             text.begin()));
    }
  }
}

// ---- layout ------------------------------------------------------------------------------------

Errc parse_error(std::string_view hex, std::uint32_t* offset = nullptr) {
  const auto octets = from_hex(hex);
  const auto parsed = GeneralGloCiphering::parse(octets);
  if (parsed) return none_refused;
  if (offset != nullptr) *offset = parsed.error().offset;
  return parsed.error().code;
}

TEST(Layout, EveryLengthForm) {
  for (const char* length : {"06", "81 06", "82 00 06", "83 00 00 06", "84 00 00 00 06"}) {
    const std::string hex = std::string("DB 08 4D4D4D0000BC614E ") + length + " 20 01234567 41";
    EXPECT_EQ(parse_error(hex), none_refused) << length;
  }
  EXPECT_EQ(parse_error("DB 08 4D4D4D0000BC614E 80 20 01234567 41"), Errc::malformed);
  EXPECT_EQ(parse_error("DB 08 4D4D4D0000BC614E 85 0000000006 20 01234567 41"), Errc::malformed);
}

TEST(Layout, TitleMayBeAbsentButNotShort) {
  EXPECT_EQ(parse_error("DB 00 06 20 01234567 41"), none_refused);
  EXPECT_EQ(parse_error("DB 07 4D4D4D0000BC61 06 20 01234567 41"), Errc::malformed);
}

TEST(Layout, ContentMustFillTheApdu) {
  std::uint32_t offset = 0;
  EXPECT_EQ(parse_error("DB 08 4D4D4D0000BC614E 07 20 01234567 41", &offset), Errc::truncated);
  EXPECT_EQ(offset, 17u);
  EXPECT_EQ(parse_error("DB 08 4D4D4D0000BC614E 05 20 01234567 41", &offset), Errc::bad_length);
  EXPECT_EQ(offset, 16u);
  EXPECT_EQ(parse_error("DB 08 4D4D4D0000BC614E 04 20 012345"), Errc::bad_length);
  EXPECT_EQ(parse_error("DB 08 4D4D4D0000BC614E 10 30 01234567 0102030405060708090A0B"),
            Errc::bad_length)
      << "shorter than a tag";
  EXPECT_EQ(parse_error("DB 08 4D4D4D"), Errc::truncated);
  EXPECT_EQ(parse_error("DB"), Errc::truncated);
  EXPECT_EQ(parse_error(""), Errc::unsupported_apdu);
}

TEST(Layout, UnsupportedProtectionsAreNamed) {
  EXPECT_EQ(parse_error("DB 00 06 A0 01234567 41"), Errc::unsupported_compression);
  EXPECT_EQ(parse_error("DB 00 06 23 01234567 41"), Errc::unsupported_suite);
  EXPECT_EQ(parse_error("DB 00 06 00 01234567 41"), Errc::malformed) << "not protected at all";
}

// ---- which key ---------------------------------------------------------------------------------

TEST(KeySelection, SuitesOneAndTwoAndTheBroadcastKey) {
  Opening o(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(o.open(push(1, 0x21)));
  EXPECT_FALSE(o.open(push(2, 0x31)));
  EXPECT_FALSE(o.open(push(3, 0x70)));
  EXPECT_EQ(o.reader.facts.authentication, Authentication::verified);
  EXPECT_EQ(code(o.open(push(4, 0x22))), Errc::key_wrong) << "AES-256 with a short key";
  const std::string long_key = std::string(ek_text) + ak_text;
  Opening long_one(ring(entry(ek_text), entry(long_key)));
  EXPECT_FALSE(long_one.open(push(1, 0x22, clear_text, title_text, long_key)));
}

TEST(KeySelection, EachFaultHasItsOwnCause) {
  Opening nothing(nullptr);
  EXPECT_EQ(code(nothing.open(push(1))), Errc::key_missing);
  EXPECT_EQ(nothing.last.offset, 16u);
  Opening other_meter(ring(entry(ek_text, {ak_text}, "4D4D4D0000BC614F")));
  EXPECT_EQ(code(other_meter.open(push(1))), Errc::key_missing);
  Opening wrong(ring(entry(ak_text, {ak_text})));
  EXPECT_EQ(code(wrong.open(push(1))), Errc::key_wrong);
  EXPECT_EQ(code(wrong.open(push(1, 0x20))), Errc::key_wrong);
  Opening wrong_authentication(ring(entry(ek_text, {ek_text})));
  EXPECT_EQ(code(wrong_authentication.open(push(1))), Errc::authentication_key_wrong);
  EXPECT_EQ(code(wrong_authentication.open(push(1, 0x10))), Errc::authentication_key_wrong);
  EXPECT_FALSE(wrong_authentication.open(push(1, 0x20))) << "no tag to be wrong";
}

TEST(KeySelection, AfterAGoodTelegramABadTagIsDamage) {
  Opening o(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(o.open(push(1)));
  Octets damaged = push(2);
  damaged[20] ^= std::byte{1};
  EXPECT_EQ(code(o.open(damaged)), Errc::bad_tag);
  EXPECT_FALSE(o.open(push(2)));
}

TEST(KeySelection, EveryKeyWithEveryAuthenticationKey) {
  const char* other = "00112233445566778899AABBCCDDEEFF";
  Opening o(ring(entry(other, {other, ek_text}), entry(ek_text, {other, ak_text}),
                 entry(ak_text, {other})));
  EXPECT_FALSE(o.open(push(1)));
  EXPECT_EQ(o.reader.facts.authentication, Authentication::verified);
  EXPECT_FALSE(o.open(push(2))) << "the last good pair first";
  EXPECT_FALSE(o.open(push(3, 0x30, clear_text, title_text, other, ek_text)))
      << "a meter that was given its next key";
}

TEST(KeySelection, AKeyConfiguredTwiceKeepsItsAuthentication) {
  Opening o(ring(entry(ek_text), entry(ek_text, {ek_text})));
  EXPECT_EQ(code(o.open(push(1))), Errc::authentication_key_wrong);
}

TEST(KeySelection, TitleInAnyCaseOrAMeterIdIsACandidate) {
  for (const char* meter :
       {"4d4d4d0000bc614e", "4D4D4D0000BC614E", "*", "1KFM0200169986", "5706567274389702"}) {
    Opening o(ring(entry(ek_text, {ak_text}, meter)));
    EXPECT_FALSE(o.open(push(1))) << meter;
  }
}

TEST(KeySelection, AbsentTitleIsTheConfiguredOneOrZero) {
  const Octets zero(8);
  Octets apdu = test::general_glo(
      {}, test::protected_content(0x20, 1, zero, from_hex(ek_text), {}, from_hex(clear_text)));
  Opening o(ring(entry(ek_text)));
  EXPECT_FALSE(o.open(apdu));
  EXPECT_FALSE(o.reader.facts.system_title);
  const auto title = from_hex(title_text);
  apdu = test::general_glo(
      {}, test::protected_content(0x20, 1, title, from_hex(ek_text), {}, from_hex(clear_text)));
  Opening configured(ring(entry(ek_text, {}, title_text)));
  EXPECT_FALSE(configured.open(apdu));
}

TEST(KeySelection, ATagOverNoAdditionalDataIsNoProof) {
  const Octets title = from_hex(title_text);
  Octets iv = title, tag;
  test::append(iv, test::be32(1));
  Octets content = from_hex("30 00000001");
  test::append(content, test::gcm_encrypt(from_hex(ek_text), iv, {}, from_hex(clear_text), tag));
  test::append(content, tag);
  Opening o(ring(entry(ek_text)));
  EXPECT_FALSE(o.open(test::general_glo(title, content)));
  EXPECT_EQ(o.reader.facts.authentication, Authentication::unverified);
}

TEST(KeySelection, ClearContentNeedsNoKey) {
  Opening o(nullptr);
  EXPECT_FALSE(o.open(push(1, 0x10)));
  EXPECT_EQ(o.reader.facts.authentication, Authentication::unverified);
}

TEST(KeySelection, NewKeysTakeOverAndOversizeIsRefused) {
  Opening o(ring(entry(ak_text)));
  EXPECT_EQ(code(o.open(push(1, 0x20))), Errc::key_wrong);
  o.decryptor.set_keys(ring(entry(ek_text)));
  EXPECT_FALSE(o.open(push(1, 0x20)));
  const std::string long_text(2 * 1025, 'C');
  EXPECT_EQ(code(o.open(push(2, 0x20, long_text))), Errc::oversize);
}

// ---- replay ------------------------------------------------------------------------------------

TEST(Replay, TheCounterMustIncreaseAndGapsAreNormal) {
  Opening o(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(o.open(push(100)));
  EXPECT_FALSE(o.open(push(101)));
  EXPECT_FALSE(o.open(push(5000)));
  EXPECT_EQ(code(o.open(push(4999))), Errc::replayed);
  EXPECT_FALSE(o.open(push(5001))) << "the next good one is read";
}

TEST(Replay, AnIdenticalRepeatIsIgnoredADifferentOneIsNot) {
  for (const std::uint8_t control : {std::uint8_t{0x20}, std::uint8_t{0x30}}) {
    Opening o(ring(entry(ek_text, {ak_text})));
    EXPECT_FALSE(o.open(push(7, control)));
    EXPECT_EQ(code(o.open(push(7, control))), Errc::duplicate);
    EXPECT_EQ(code(o.open(push(7, control, "C0010000080000010000FF0201"))), Errc::replayed);
    EXPECT_FALSE(o.open(push(8, control)));
    EXPECT_EQ(code(o.open(push(7, control))), Errc::replayed) << "only the last one is a repeat";
  }
}

TEST(Replay, TitlesAndKeysCountOnTheirOwn) {
  const char* other = "00112233445566778899AABBCCDDEEFF";
  Opening o(ring(entry(ek_text, {ak_text}), entry(other, {ak_text})));
  EXPECT_FALSE(o.open(push(100)));
  EXPECT_FALSE(o.open(push(5, 0x30, clear_text, "4D4D4D0000000001")));
  EXPECT_FALSE(o.open(push(1, 0x30, clear_text, title_text, other)));
  EXPECT_EQ(code(o.open(push(99))), Errc::replayed);
  EXPECT_EQ(o.decryptor.replay_guard().baselines().size(), 3u);
}

TEST(Replay, TheBaselineMovesOnlyAfterATagOrAWholeList) {
  Opening o(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(o.open(push(10)));
  Octets forged = push(9999);
  forged[20] ^= std::byte{1};
  EXPECT_EQ(code(o.open(forged)), Errc::bad_tag);
  EXPECT_FALSE(o.open(push(11)));
  Opening without_tag(ring(entry(ek_text)));
  EXPECT_FALSE(without_tag.open(push(11, 0x20)));
  EXPECT_EQ(code(without_tag.open(push(50, 0x20, "C0EE"))), Errc::list_unknown);
  EXPECT_FALSE(without_tag.open(push(12, 0x20))) << "list not decoded: the baseline stayed";
  EXPECT_EQ(code(o.open(push(60, 0x30, "C0EE"))), Errc::list_unknown);
  EXPECT_EQ(code(o.open(push(59))), Errc::replayed) << "a verified tag moved it";
}

TEST(Replay, OnceVerifiedATagCannotBeLeftOut) {
  Opening o(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(o.open(push(1, 0x20))) << "not verified yet: an operator may use no tags";
  EXPECT_FALSE(o.open(push(2)));
  EXPECT_EQ(code(o.open(push(3, 0x20))), Errc::tag_missing);
  EXPECT_EQ(code(o.open(push(0xffff, 0x21))), Errc::tag_missing);
  EXPECT_FALSE(o.open(push(3))) << "what was refused moved no baseline";
  EXPECT_FALSE(o.open(push(1, 0x20, clear_text, "4D4D4D0000000001"))) << "another meter";
}

TEST(Replay, WithoutATagABigJumpNeedsTwoInARow) {
  constexpr std::uint32_t far = 10 + ReplayGuard::jump_max + 1;
  Opening o(ring(entry(ek_text)));
  EXPECT_FALSE(o.open(push(10, 0x20)));
  EXPECT_FALSE(o.open(push(far, 0x20)));
  EXPECT_EQ(code(o.open(push(far, 0x20))), Errc::duplicate);
  EXPECT_FALSE(o.open(push(11, 0x20))) << "one damaged counter does not lock the meter out";
  EXPECT_EQ(code(o.open(push(11, 0x20))), Errc::duplicate);
  EXPECT_FALSE(o.open(push(far, 0x20)));
  EXPECT_FALSE(o.open(push(far + 1, 0x20)));
  EXPECT_EQ(code(o.open(push(12, 0x20))), Errc::replayed) << "two in a row moved the baseline";
  Opening tagged(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(tagged.open(push(10)));
  EXPECT_FALSE(tagged.open(push(far)));
  EXPECT_EQ(code(tagged.open(push(11))), Errc::replayed) << "a tag proves the counter";
}

TEST(Replay, AReplacedMeterIsAnOption) {
  Opening o(ring(entry(ek_text, {ak_text})), {.accept_counter_reset = true});
  EXPECT_FALSE(o.open(push(1000)));
  EXPECT_FALSE(o.open(push(1)));
  EXPECT_FALSE(o.open(push(2)));
  EXPECT_EQ(code(o.open(push(2))), Errc::duplicate);
  Opening off(ring(entry(ek_text, {ak_text})), {.check_replay = false});
  EXPECT_FALSE(off.open(push(2)));
  EXPECT_FALSE(off.open(push(2)));
}

TEST(Replay, TheCounterDoesNotWrap) {
  Opening o(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(o.open(push(0xffffffff)));
  EXPECT_EQ(code(o.open(push(0))), Errc::replayed);
}

TEST(Replay, BaselinesSurviveARestart) {
  Opening before(ring(entry(ek_text, {ak_text})));
  EXPECT_FALSE(before.open(push(500)));
  const auto stored = before.decryptor.replay_guard().baselines();
  ASSERT_EQ(stored.size(), 1u);
  EXPECT_EQ(stored[0].invocation_counter, 500u);
  EXPECT_EQ(Octets(stored[0].system_title.begin(), stored[0].system_title.end()),
            from_hex(title_text));
  Opening after(ring(entry(ek_text, {ak_text})));
  after.decryptor.replay_guard().restore(stored[0]);
  EXPECT_EQ(code(after.open(push(499))), Errc::replayed);
  EXPECT_EQ(code(after.open(push(500))), Errc::duplicate);
  EXPECT_FALSE(after.open(push(501)));
  after.decryptor.replay_guard().restore(stored[0]);
  EXPECT_EQ(after.decryptor.replay_guard().baselines().size(), 1u);
}

TEST(Replay, TheLongestUnusedBaselineMakesRoom) {
  ReplayGuard guard(false);
  const auto telegram = [](std::uint8_t meter, std::uint32_t counter) {
    return ReplayGuard::Telegram{{std::byte{meter}}, {}, counter, counter, true};
  };
  for (std::uint8_t meter = 0; meter < 64; ++meter) guard.accept(telegram(meter, 5));
  guard.accept(telegram(0, 6));
  guard.accept(telegram(100, 1));
  EXPECT_EQ(guard.baselines().size(), ReplayGuard::baselines_max);
  EXPECT_EQ(guard.judge(telegram(0, 3)), ReplayGuard::Verdict::replayed);
  EXPECT_EQ(guard.judge(telegram(100, 0)), ReplayGuard::Verdict::replayed);
  EXPECT_EQ(guard.judge(telegram(1, 3)), ReplayGuard::Verdict::fresh) << "made room";
  EXPECT_EQ(guard.judge(telegram(2, 3)), ReplayGuard::Verdict::replayed);
}

// ---- key texts ---------------------------------------------------------------------------------

TEST(KeyText, FormsOnLetters) {
  const Octets octets = from_hex(ek_text);
  for (const char* text :
       {"000102030405060708090A0B0C0D0E0F", "000102030405060708090a0b0c0d0e0f\n",
        "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f", "00010203-04050607-08090A0B-0C0D0E0F",
        "00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F", "0x000102030405060708090A0B0C0D0E0F",
        "0x00 0x01 0x02 0x03 0x04 0x05 0x06 0x07 0x08 0x09 0x0A 0x0B 0x0C 0x0D 0x0E 0x0F",
        "00010203\r\n04050607\r\n08090A0B\r\n0C0D0E0F"}) {
    const auto parsed = EncryptionKey::parse(text);
    ASSERT_TRUE(parsed.key) << text << ": " << parsed.error;
    EXPECT_TRUE(parsed.error.empty());
    EXPECT_TRUE(std::equal(octets.begin(), octets.end(), parsed.key->octets().begin(),
                           parsed.key->octets().end()));
  }
  EXPECT_EQ(EncryptionKey::parse(std::string(ek_text) + ak_text).key->octets().size(), 32u);
}

TEST(KeyText, MessagesSayWhereAndNeverQuote) {
  const auto error = [](std::string_view text) { return EncryptionKey::parse(text).error; };
  EXPECT_EQ(error("OO0102030405060708090A0B0C0D0E0F"),
            "the letter O at position 1 is probably the digit 0");
  EXPECT_EQ(error("00 0l 02030405060708090A0B0C0D0E0F"),
            "the letter l at position 4, blanks not counted, is probably the digit 1");
  EXPECT_EQ(error("00z102030405060708090A0B0C0D0E0F"),
            "the character at position 3 is not a hex digit (0-9, A-F)");
  EXPECT_EQ(error("0001"), "a key has 32 hex digits (64 for AES-256), this one has 4");
  EXPECT_EQ(error(std::string(ek_text) + "ABC"),
            "a key has 32 hex digits (64 for AES-256), this one has 35");
  EXPECT_EQ(error(std::string(32, '0')), "the key is all zeros: a placeholder");
  EXPECT_EQ(error(" \n"), "there is no key");
}

TEST(KeyText, OnlyTheFingerprintIsShown) {
  // printf '\x00\x01…\x0f' | sha256sum
  EXPECT_EQ(key_of<EncryptionKey>(ek_text).fingerprint(), "be45cb26");
}

TEST(KeyText, OctetsOfAKey) {
  EXPECT_TRUE(AuthenticationKey::from_octets(from_hex(ak_text)));
  EXPECT_FALSE(AuthenticationKey::from_octets(Octets(16)));
  EXPECT_FALSE(AuthenticationKey::from_octets(from_hex("0102")));
}

TEST(Key, IsWipedWhenItMovesAndWhenItDies) {
  alignas(EncryptionKey) std::byte place[sizeof(EncryptionKey)];
  auto* key = new (place) EncryptionKey(key_of<EncryptionKey>(ak_text));
  const auto holds_secret = [&] {
    for (std::size_t i = 0; i + 1 < sizeof place; ++i)
      if (place[i] == std::byte{0xd0} && place[i + 1] == std::byte{0xd1}) return true;
    return false;
  };
  EXPECT_TRUE(holds_secret());
  EncryptionKey moved(std::move(*key));
  EXPECT_FALSE(holds_secret());
  EXPECT_EQ(moved.octets().size(), 16u);
  *key = std::move(moved);
  EXPECT_TRUE(holds_secret());
  key->~Key();
  EXPECT_FALSE(holds_secret());
}

}  // namespace
}  // namespace meter::dlms
