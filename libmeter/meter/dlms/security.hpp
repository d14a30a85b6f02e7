// SPDX-License-Identifier: Apache-2.0
// Keys, KeyRing, Decryptor: general-glo-ciphering opened, verified and guarded against replay.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

namespace meter {
class DecodeObserver;
}

namespace meter::dlms {

/// A symmetric key of 16 (suites 0 and 1) or 32 octets (suite 2). Move-only; wiped when it dies.
/// Encryption and authentication keys are different types so that they cannot be confused.
template <class Purpose>
class Key {
 public:
  /// Hex digits as operators print them: spaces, dashes, colons, "0x", line breaks and lower case
  /// are fine. Otherwise a sentence that says what is wrong and where (never the digits
  /// themselves), and no key.
  struct Parsed;
  static Parsed parse(std::string_view text);
  /// 16 or 32 octets that are not all zero, or nothing.
  static std::optional<Key> from_octets(Bytes octets);

  Key(Key&& other) noexcept;
  Key& operator=(Key&& other) noexcept;
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  ~Key();

  Bytes octets() const noexcept { return Bytes(octets_).first(size_); }
  /// First 8 hex digits of the SHA-256 of the key: the only form that may be shown.
  std::string fingerprint() const;

 private:
  Key() noexcept = default;
  std::array<std::byte, 32> octets_{};
  std::size_t size_ = 0;
};
template <class Purpose>
struct Key<Purpose>::Parsed {
  std::optional<Key> key;
  std::string error;  ///< empty when there is a key
};
struct EncryptionPurpose;
struct AuthenticationPurpose;
using EncryptionKey = Key<EncryptionPurpose>;          ///< GUEK, EK, GPK60
using AuthenticationKey = Key<AuthenticationPurpose>;  ///< GAK, AK, GPK61

/// The authentication key of every Luxembourg meter: public, so that its tag proves the encryption
/// key alone (SMARTY P1 specification 1.1.3, 3.2.5; Creos).
inline constexpr std::array<std::uint8_t, 16> smarty_authentication_key = {
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
    0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

/// Security control octet of general-glo-ciphering (Green Book 9.2.7.2.4).
struct SecurityControl {
  std::uint8_t octet = 0;
  constexpr unsigned suite() const noexcept { return octet & 0x0fu; }
  constexpr bool authenticated() const noexcept { return (octet & 0x10) != 0; }
  constexpr bool encrypted() const noexcept { return (octet & 0x20) != 0; }
  constexpr bool broadcast() const noexcept { return (octet & 0x40) != 0; }
  constexpr bool compressed() const noexcept { return (octet & 0x80) != 0; }
};

/// A ciphered APDU taken apart; views into it.
struct GeneralGloCiphering {
  std::optional<SystemTitle> system_title;  ///< nothing when its length is 0
  SecurityControl control;
  std::uint32_t invocation_counter = 0;
  Bytes content;  ///< ciphertext or clear text, without the tag
  Bytes tag;      ///< 12 octets, or empty
  /// DB, title, BER length (any definite form), SC, IC, content. Nothing may follow.
  static Result<GeneralGloCiphering> parse(Bytes apdu) noexcept;
};

/// One configured key, with the authentication keys that may go with it.
struct KeyEntry {
  /// System title (16 hex digits), meter id, or "*": which telegrams it is tried on.
  std::string meter = "*";
  EncryptionKey encryption;
  std::vector<AuthenticationKey> authentication;
  std::string label;  ///< for people; may be empty
};

/// The AES-GCM contexts of one key, made once: a telegram only sets the IV, which is the system
/// title followed by the invocation counter (Green Book 9.2.3.3.7.3).
class Cipher {
 public:
  /// Throws std::runtime_error when OpenSSL has no AES of this size.
  explicit Cipher(const EncryptionKey& key);
  ~Cipher();
  Cipher(Cipher&&) noexcept;

  /// Decrypts without looking at a tag. `clear` takes as many octets as `ciphertext` has.
  void decrypt(const SystemTitle& title, std::uint32_t invocation_counter, Bytes ciphertext,
               std::byte* clear) noexcept;
  /// Decrypts and verifies `tag`, its 12 octets, over `authenticated` and the ciphertext. False
  /// when it does not match: `clear` must not be used then.
  bool open(const SystemTitle& title, std::uint32_t invocation_counter,
            std::span<const Bytes> authenticated, Bytes ciphertext, Bytes tag,
            std::byte* clear) noexcept;
  /// AES-128-CBC without padding: whole blocks, as many octets into `clear`. False with a key of
  /// another size.
  bool decrypt_cbc(std::span<const std::byte, 16> iv, Bytes ciphertext, std::byte* clear) noexcept;

 private:
  struct Contexts;
  std::unique_ptr<Contexts> contexts_;
};

/// The configured keys with their cipher contexts. Its keys never change: a reload makes a new
/// ring. Decoders that share a ring share its contexts: they belong to one thread.
class KeyRing {
 public:
  /// One key and what is derived from it.
  struct Slot {
    explicit Slot(KeyEntry&& configured);
    KeyEntry entry;
    std::array<std::byte, 4> fingerprint;  ///< first octets of the key's SHA-256
    std::optional<SystemTitle> title;      ///< where `entry.meter` is one
    mutable Cipher cipher;
    /// To be tried on telegrams of this title (nothing: the telegram has none) and suite.
    bool fits(const std::optional<SystemTitle>& telegram_title, unsigned suite) const noexcept;
  };

  KeyRing() = default;
  explicit KeyRing(std::vector<KeyEntry> entries);
  bool empty() const noexcept { return slots_.empty(); }
  std::size_t size() const noexcept { return slots_.size(); }
  std::span<const Slot> slots() const noexcept { return slots_; }

 private:
  std::vector<Slot> slots_;
};

/// The last accepted invocation counter of a system title under a key.
struct ReplayBaseline {
  SystemTitle system_title{};
  std::array<std::byte, 4> key_fingerprint{};  ///< first octets of the key's SHA-256
  std::uint32_t invocation_counter = 0;
  friend bool operator==(const ReplayBaseline&, const ReplayBaseline&) = default;
};

/// The rule of the invocation counter: per system title and key it must increase.
class ReplayGuard {
 public:
  static constexpr std::size_t baselines_max = 64;
  /// Without a tag a jump beyond this needs two telegrams in a row before the baseline follows,
  /// so that one damaged counter does not lock a meter out (60 days of a push every 5 s).
  static constexpr std::uint32_t jump_max = 1u << 20;
  enum class Verdict : std::uint8_t { fresh, duplicate, replayed };

  /// An opened telegram; `digest` stands for all of its octets.
  struct Telegram {
    SystemTitle title;
    std::array<std::byte, 4> key_fingerprint;
    std::uint32_t invocation_counter;
    std::uint64_t digest;
    bool verified;
  };
  /// `accept_reset`: a lower counter is a replaced meter, not a replay.
  explicit ReplayGuard(bool accept_reset) noexcept : accept_reset_(accept_reset) {}
  Verdict judge(const Telegram& telegram) const noexcept;
  /// Moves the baseline to a telegram that was judged fresh.
  void accept(const Telegram& telegram) noexcept;

  void restore(const ReplayBaseline& baseline) noexcept;
  std::span<const ReplayBaseline> baselines() const noexcept {
    return std::span(baselines_).first(count_);
  }

 private:
  struct Memory {
    std::uint64_t last_digest = 0;  ///< of the telegram at the baseline; 0: not known
    std::uint64_t used = 0;         ///< the lowest makes room
    std::uint64_t jump_digest = 0;  ///< of the telegram that jumped; 0: none did
    std::uint32_t jump_counter = 0;
  };
  std::size_t find(const Telegram& telegram) const noexcept;
  std::size_t claim() noexcept;

  bool accept_reset_;
  std::size_t count_ = 0;
  std::uint64_t clock_ = 0;
  std::array<ReplayBaseline, baselines_max> baselines_{};
  std::array<Memory, baselines_max> memories_{};
};

/// What is known of a clear text when it is handed on.
struct CipherFacts {
  std::optional<SystemTitle> system_title;
  std::uint32_t invocation_counter = 0;
  Authentication authentication = Authentication::unverified;
  std::uint32_t clear_offset = 0;  ///< of the clear text's first octet in the ciphered APDU
  /// What the replay rule went by; nothing where it was not asked.
  std::optional<ReplayGuard::Telegram> counted = {};
};

/// Takes a clear text and says whether it is one: that is how a key without a tag is recognised.
class ClearTextReader {
 public:
  virtual ~ClearTextReader() = default;
  /// It begins as an APDU does that a decoder knows; cheap, and false for a wrong key's output.
  virtual bool plausible(Bytes clear) const noexcept = 0;
  /// The telegrams come over a link on which meters share `smarty_authentication_key`.
  virtual bool shares_authentication_key() const noexcept { return false; }
  /// Decodes it whole; called for plausible texts only.
  virtual Result<void> read(Bytes clear, const CipherFacts& facts) noexcept = 0;
};

/// Ciphertext of security mode 5 (EN 13757-7): whole blocks of AES-128-CBC, without a tag.
struct CbcTelegram {
  SystemTitle address;  ///< manufacturer, id, version, medium as sent: stands for a system title
  std::uint8_t access_number;
  Bytes ciphertext;
};

/// Opens general-glo-ciphering: picks the key, verifies the tag, keeps the replay rule.
/// Allocates in its constructor only.
class Decryptor {
 public:
  struct Options {
    bool check_replay = true;
    bool accept_counter_reset = false;
  };
  Decryptor(const Options& options, std::size_t apdu_size_max);

  void set_keys(std::shared_ptr<const KeyRing> keys) noexcept;
  /// Hands the clear text to `reader`. The clear text lives until the next call.
  ///
  /// A telegram with a tag: a key with authentication keys must verify it; a key without is taken
  /// when the reader takes the clear text, unverified. Without a tag the same. A tag over nothing
  /// but the ciphertext (some gateways) verifies no authentication key and counts as none.
  /// Once a title's telegrams were verified, those without a verified tag are refused: cutting the
  /// tag off would make any forgery acceptable.
  /// The key that all meters of one kind share verifies too, where the reader says that there may
  /// be such a meter, unless the title's telegrams were verified with a configured one.
  /// Clear content with a tag (security control 10) needs no key to be read, unverified.
  /// Faults: those of GeneralGloCiphering::parse and of the reader, oversize, key_missing,
  /// key_wrong, authentication_key_wrong, bad_tag, tag_missing, replayed, duplicate; the offset
  /// is in `apdu`.
  Result<void> open(Bytes apdu, ClearTextReader& reader, DecodeObserver* observer,
                    std::uint64_t observer_offset) noexcept;
  /// Some key's clear text is plausible to `reader`, whatever the tag says. Changes nothing that
  /// `open` goes by.
  bool opens(Bytes apdu, const ClearTextReader& reader) noexcept;
  /// The same for mode 5: the first key whose clear text is plausible opens it, unverified. Offsets
  /// of the reader's faults count from the ciphertext. Faults: key_missing, key_wrong, oversize and
  /// the reader's.
  Result<void> open_cbc(const CbcTelegram& telegram, ClearTextReader& reader,
                        DecodeObserver* observer, std::uint64_t observer_offset) noexcept;
  /// The title that the last telegram named, whether it was opened or not.
  const std::optional<SystemTitle>& last_title() const noexcept { return last_title_; }

  ReplayGuard& replay_guard() noexcept { return replay_guard_; }
  const ReplayGuard& replay_guard() const noexcept { return replay_guard_; }

 private:
  struct Attempt;
  /// In place of an index: `smarty_authentication_key` verified the telegram.
  static constexpr std::size_t shared_authentication = ~std::size_t{0};
  /// The key that opened the last telegram of a title: tried first.
  struct LastGood {
    SystemTitle title{};
    const KeyRing::Slot* slot = nullptr;
    std::size_t authentication = 0;
    bool verified = false;
    friend bool operator==(const LastGood&, const LastGood&) = default;
  };
  static constexpr std::size_t last_good_max = 8;

  Result<void> try_slots(Attempt& attempt) noexcept;
  Result<void> try_slot(Attempt& attempt, const KeyRing::Slot& slot) noexcept;
  Result<void> accept(Attempt& attempt, const KeyRing::Slot* slot, std::size_t authentication,
                      Bytes clear, bool verified) noexcept;
  Bytes opened_text(const GeneralGloCiphering& parts) const noexcept;
  Errc explain_bad_tag(Attempt& attempt, const KeyRing::Slot& slot) noexcept;
  bool authentication_configured(const Attempt& attempt, const KeyRing::Slot& slot) const noexcept;
  bool verify_shared(const Attempt& attempt, const KeyRing::Slot& slot) noexcept;
  bool verify(const Attempt& attempt, const KeyRing::Slot& slot,
              Bytes authentication_key) noexcept;
  const LastGood* last_good(const SystemTitle& title) const noexcept;
  void remember(const LastGood& good) noexcept;

  bool check_replay_;
  std::size_t clear_size_max_;
  std::unique_ptr<std::byte[]> clear_;
  std::shared_ptr<const KeyRing> keys_;
  ReplayGuard replay_guard_;
  std::array<LastGood, last_good_max> last_good_{};
  std::optional<SystemTitle> last_title_;
  std::size_t last_good_next_ = 0;
};

}  // namespace meter::dlms
