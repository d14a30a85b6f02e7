// SPDX-License-Identifier: Apache-2.0
// Decryptor: which key opens a telegram, and whether it may be believed.
#include <openssl/crypto.h>

#include <cstring>

#include "meter/decoder.hpp"
#include "meter/dlms/security.hpp"
#include "meter/explain_line.hpp"

namespace meter::dlms {
namespace {

/// Tells one APDU from another. Not a cryptographic digest: a telegram that has the digest of the
/// last one is dropped just as one that has not, it is only counted differently.
std::uint64_t digest_of(Bytes octets) noexcept {
  constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;  // 2^64 / golden ratio
  std::uint64_t lanes[4] = {octets.size(), 1, 2, 3};
  std::uint64_t words[4];
  const auto mix = [&](const std::byte* from) {
    std::memcpy(words, from, sizeof words);
    for (unsigned i = 0; i < 4; ++i) {
      lanes[i] = (lanes[i] ^ words[i]) * odd;
      lanes[i] ^= lanes[i] >> 32;
    }
  };
  std::size_t at = 0;
  for (; at + sizeof words <= octets.size(); at += sizeof words) mix(octets.data() + at);
  if (octets.size() >= sizeof words)
    mix(octets.data() + octets.size() - sizeof words);  // what is left, and some of it twice
  else
    for (; at < octets.size(); ++at) lanes[at & 3] = (lanes[at & 3] ^ u8(octets[at])) * odd + 1;
  std::uint64_t digest = 0;
  for (std::uint64_t lane : lanes) digest = (digest ^ lane ^ lane >> 29) * odd;
  return digest | 1;  // 0 stands for "not known"
}

/// Where the telegram names no title, its key's own counts.
SystemTitle title_of(const GeneralGloCiphering& parts, const KeyRing::Slot* slot) noexcept {
  if (parts.system_title) return *parts.system_title;
  return slot != nullptr && slot->title ? *slot->title : SystemTitle{};
}

}  // namespace

/// One telegram on its way through the keys.
struct Decryptor::Attempt {
  Bytes apdu;
  const GeneralGloCiphering& parts;
  ClearTextReader& reader;
  DecodeObserver* observer;
  std::uint64_t observer_offset;
  const LastGood* good;  ///< of this title, or null
  Fault failure;         ///< the most telling one so far

  std::size_t content_offset() const noexcept {
    return static_cast<std::size_t>(parts.content.data() - apdu.data());
  }
  SystemTitle title(const KeyRing::Slot* slot) const noexcept { return title_of(parts, slot); }
  void explain(std::string_view text) const {
    if (observer != nullptr) observer->stage("ciphering", observer_offset, text);
  }
  /// Keeps the cause that says most: a wrong authentication key means that the other key is right.
  Result<void> fail(Errc code) noexcept {
    if (failure.code == Errc::key_missing || code != Errc::key_wrong)
      failure = {code, static_cast<std::uint32_t>(content_offset())};
    return std::unexpected(failure);
  }
};

Decryptor::Decryptor(const Options& options, std::size_t apdu_size_max)
    : check_replay_(options.check_replay),
      clear_size_max_(apdu_size_max),
      clear_(std::make_unique_for_overwrite<std::byte[]>(apdu_size_max)),
      replay_guard_(options.accept_counter_reset) {}

void Decryptor::set_keys(std::shared_ptr<const KeyRing> keys) noexcept {
  keys_ = std::move(keys);
  last_good_.fill({});
}

const Decryptor::LastGood* Decryptor::last_good(const SystemTitle& title) const noexcept {
  for (const LastGood& good : last_good_)
    if (good.slot != nullptr && good.title == title) return &good;
  return nullptr;
}

void Decryptor::remember(const LastGood& good) noexcept {
  for (LastGood& known : last_good_) {
    if (known.slot == nullptr || known.title != good.title) continue;
    known = good;
    return;
  }
  last_good_[last_good_next_] = good;
  last_good_next_ = (last_good_next_ + 1) % last_good_max;
}

Result<void> Decryptor::open(Bytes apdu, ClearTextReader& reader, DecodeObserver* observer,
                             std::uint64_t observer_offset) noexcept {
  const auto parts = GeneralGloCiphering::parse(apdu);
  if (!parts) return std::unexpected(parts.error());
  last_title_ = parts->system_title;
  Attempt attempt{apdu,
                  *parts,
                  reader,
                  observer,
                  observer_offset,
                  parts->system_title ? last_good(*parts->system_title) : nullptr,
                  {Errc::key_missing, 0}};
  if (parts->content.size() > clear_size_max_)
    return fault(Errc::oversize, attempt.content_offset());
  if (observer != nullptr) {
    const SecurityControl control = parts->control;
    ExplainLine line;
    line.text("system title ");
    if (parts->system_title)
      line.hex(*parts->system_title);
    else
      line.text("absent");
    line.text(", security control ").hex(control.octet);
    line.text(" (suite ").number(control.suite());
    line.text(control.authenticated() ? ", tag" : ", no tag");
    line.text(control.encrypted() ? ", encrypted" : ", clear");
    line.text(control.broadcast() ? ", broadcast key)" : ")");
    line.text(", invocation counter ").number(parts->invocation_counter);
    attempt.explain(line.text(", ").number(parts->content.size()).text(" octets").view());
  }
  const auto opened = try_slots(attempt);
  if (!opened) attempt.explain(describe(opened.error().code));
  return opened;
}

bool Decryptor::opens(Bytes apdu, const ClearTextReader& reader) noexcept {
  const auto parts = GeneralGloCiphering::parse(apdu);
  if (!parts || parts->content.size() > clear_size_max_) return false;
  if (!parts->control.encrypted()) return reader.plausible(parts->content);
  if (keys_ == nullptr) return false;
  for (const KeyRing::Slot& slot : keys_->slots()) {
    if (!slot.fits(parts->system_title, parts->control.suite())) continue;
    slot.cipher.decrypt(title_of(*parts, &slot), parts->invocation_counter, parts->content,
                        clear_.get());
    if (reader.plausible(Bytes(clear_.get(), parts->content.size()))) return true;
  }
  return false;
}

/// The last good key first, then all of them.
Result<void> Decryptor::try_slots(Attempt& attempt) noexcept {
  attempt.failure.offset = static_cast<std::uint32_t>(attempt.content_offset());
  const auto& title = attempt.parts.system_title;
  const unsigned suite = attempt.parts.control.suite();
  const auto settled = [&](const Result<void>& result) {
    // Only these leave a chance to another key.
    return result ||
           (result.error().code != Errc::key_wrong && result.error().code != Errc::key_missing &&
            result.error().code != Errc::bad_tag &&
            result.error().code != Errc::authentication_key_wrong);
  };
  const KeyRing::Slot* first = attempt.good != nullptr ? attempt.good->slot : nullptr;
  if (first != nullptr && first->fits(title, suite)) {
    const auto result = try_slot(attempt, *first);
    if (settled(result)) return result;
  }
  if (keys_ != nullptr)
    for (const KeyRing::Slot& slot : keys_->slots()) {
      if (&slot == first || !slot.fits(title, suite)) continue;
      const auto result = try_slot(attempt, slot);
      if (settled(result)) return result;
    }
  if (!attempt.parts.control.encrypted() && attempt.failure.code == Errc::key_missing)
    return accept(attempt, nullptr, 0, attempt.parts.content, false);
  // A key was configured for this title, but not of the suite's size.
  if (attempt.failure.code == Errc::key_missing && keys_ != nullptr)
    for (const KeyRing::Slot& slot : keys_->slots())
      if (slot.fits(title, suite == 2 ? 0 : 2)) return attempt.fail(Errc::key_wrong);
  return std::unexpected(attempt.failure);
}

/// What the tag just vouched for.
Bytes Decryptor::opened_text(const GeneralGloCiphering& parts) const noexcept {
  return parts.control.encrypted() ? Bytes(clear_.get(), parts.content.size()) : parts.content;
}

Result<void> Decryptor::try_slot(Attempt& attempt, const KeyRing::Slot& slot) noexcept {
  const GeneralGloCiphering& parts = attempt.parts;
  const auto& keys = slot.entry.authentication;
  if (!parts.tag.empty() && !keys.empty()) {
    const LastGood* good = attempt.good;
    const bool known = good != nullptr && good->slot == &slot &&
                       good->authentication != shared_authentication;
    const std::size_t first = known ? good->authentication : 0;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::size_t k = (first + i) % keys.size();
      if (!verify(attempt, slot, keys[k].octets())) continue;
      return accept(attempt, &slot, k, opened_text(parts), true);
    }
  }
  if (!parts.tag.empty() && verify_shared(attempt, slot))
    return accept(attempt, &slot, shared_authentication, opened_text(parts), true);
  if (!parts.tag.empty() && !keys.empty()) return attempt.fail(explain_bad_tag(attempt, slot));
  // The same key may be configured twice, with and without authentication keys: with wins.
  if (!parts.tag.empty() && authentication_configured(attempt, slot))
    return std::unexpected(attempt.failure);
  // Clear content without an authentication key says nothing about any key.
  if (!parts.control.encrypted()) return std::unexpected(attempt.failure);
  slot.cipher.decrypt(attempt.title(&slot), parts.invocation_counter, parts.content, clear_.get());
  const Bytes clear(clear_.get(), parts.content.size());
  if (!attempt.reader.plausible(clear)) return attempt.fail(Errc::key_wrong);
  return accept(attempt, &slot, 0, clear, false);
}

/// With the key that all meters of a kind share, which must not stand in for a meter's own one.
bool Decryptor::verify_shared(const Attempt& attempt, const KeyRing::Slot& slot) noexcept {
  const LastGood* good = attempt.good;
  if (good != nullptr && good->verified && good->authentication != shared_authentication)
    return false;
  return attempt.reader.shares_authentication_key() &&
         verify(attempt, slot, std::as_bytes(std::span(smarty_authentication_key)));
}

bool Decryptor::verify(const Attempt& attempt, const KeyRing::Slot& slot,
                       Bytes authentication_key) noexcept {
  // Additional data: SC || AK, and the content too where it stays clear (Green Book 9.2.7.2.4).
  const GeneralGloCiphering& parts = attempt.parts;
  std::array<std::byte, 33> control_and_key;
  control_and_key[0] = std::byte{parts.control.octet};
  std::memcpy(control_and_key.data() + 1, authentication_key.data(), authentication_key.size());
  const bool encrypted = parts.control.encrypted();
  const Bytes authenticated[] = {Bytes(control_and_key).first(1 + authentication_key.size()),
                                 parts.content};
  const bool verified =
      slot.cipher.open(attempt.title(&slot), parts.invocation_counter,
                       std::span(authenticated).first(encrypted ? 1 : 2),
                       encrypted ? parts.content : Bytes(), parts.tag, clear_.get());
  OPENSSL_cleanse(control_and_key.data(), control_and_key.size());
  return verified;
}

/// The tag did not verify: because of the encryption key, the authentication key, or damage?
Errc Decryptor::explain_bad_tag(Attempt& attempt, const KeyRing::Slot& slot) noexcept {
  const GeneralGloCiphering& parts = attempt.parts;
  const LastGood* good = attempt.good;
  if (good != nullptr && good->slot == &slot && good->verified) return Errc::bad_tag;
  if (!parts.control.encrypted()) return Errc::authentication_key_wrong;
  slot.cipher.decrypt(attempt.title(&slot), parts.invocation_counter, parts.content, clear_.get());
  const Bytes clear(clear_.get(), parts.content.size());
  if (!attempt.reader.plausible(clear)) return Errc::key_wrong;
  const auto read = attempt.reader.read(clear, {});
  const bool whole = read || read.error().code == Errc::list_unknown;
  return whole ? Errc::authentication_key_wrong : Errc::bad_tag;
}

bool Decryptor::authentication_configured(const Attempt& attempt,
                                          const KeyRing::Slot& slot) const noexcept {
  for (const KeyRing::Slot& other : keys_->slots())
    if (other.fingerprint == slot.fingerprint && !other.entry.authentication.empty() &&
        other.fits(attempt.parts.system_title, attempt.parts.control.suite()))
      return true;
  return false;
}

/// The clear text is right as far as keys can tell: the reader's word and the replay rule decide.
Result<void> Decryptor::accept(Attempt& attempt, const KeyRing::Slot* slot,
                               std::size_t authentication, Bytes clear, bool verified) noexcept {
  const GeneralGloCiphering& parts = attempt.parts;
  if (attempt.observer != nullptr) {
    ExplainLine line;
    if (slot != nullptr) {
      line.text("key ").text(slot->entry.encryption.fingerprint());
      if (!slot->entry.label.empty()) line.text(" (").text(slot->entry.label).text(")");
      line.text(verified ? ": tag verified" : ": decrypted, not verified");
    } else {
      line.text("clear content, tag not verified");
    }
    if (verified && authentication == shared_authentication)
      line.text(" with the authentication key that all meters of Luxembourg share");
    else if (verified)
      line.text(" with authentication key ")
          .text(slot->entry.authentication[authentication].fingerprint());
    attempt.explain(line.view());
  }
  if (!verified && attempt.good != nullptr && attempt.good->verified)
    return fault(Errc::tag_missing, attempt.content_offset());
  const ReplayGuard::Telegram telegram{
      attempt.title(slot), slot != nullptr ? slot->fingerprint : std::array<std::byte, 4>{},
      parts.invocation_counter, check_replay_ ? digest_of(attempt.apdu) : 0, verified};
  const LastGood opened{telegram.title, slot, authentication, verified};
  if (slot != nullptr && (attempt.good == nullptr || *attempt.good != opened)) remember(opened);
  if (check_replay_) {
    const auto verdict = replay_guard_.judge(telegram);
    if (verdict == ReplayGuard::Verdict::duplicate)
      return fault(Errc::duplicate, attempt.content_offset());
    if (verdict == ReplayGuard::Verdict::replayed)
      return fault(Errc::replayed, attempt.content_offset());
    if (verified) replay_guard_.accept(telegram);
  }
  const CipherFacts facts{parts.system_title, parts.invocation_counter,
                          verified ? Authentication::verified : Authentication::unverified,
                          static_cast<std::uint32_t>(attempt.content_offset()),
                          check_replay_ ? std::optional(telegram) : std::nullopt};
  const auto read = attempt.reader.read(clear, facts);
  if (!read) return fault(read.error().code, attempt.content_offset() + read.error().offset);
  if (check_replay_ && !verified) replay_guard_.accept(telegram);
  return {};
}

}  // namespace meter::dlms
