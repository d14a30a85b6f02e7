// SPDX-License-Identifier: Apache-2.0
// Keys, KeyRing, Decryptor: general-glo-ciphering opened, verified and guarded against replay.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "meter/base/bytes.hpp"
#include "meter/base/errc.hpp"
#include "meter/reading.hpp"

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

/// The configured keys with one cipher context each, made once. Immutable while decoders use it:
/// a reload makes a new ring.
class KeyRing {
 public:
  KeyRing();
  explicit KeyRing(std::vector<KeyEntry> entries);
  ~KeyRing();
  KeyRing(KeyRing&&) noexcept;
  KeyRing& operator=(KeyRing&&) noexcept;
  bool empty() const noexcept;
  std::size_t size() const noexcept;

  struct Slot;  ///< one key and its contexts; defined in security.cpp
  const std::vector<std::unique_ptr<Slot>>& slots() const noexcept { return slots_; }

 private:
  std::vector<std::unique_ptr<Slot>> slots_;
};

/// The last accepted invocation counter of a system title under a key.
struct ReplayBaseline {
  SystemTitle system_title{};
  std::array<std::byte, 4> key_fingerprint{};  ///< first octets of the key's SHA-256
  std::uint32_t invocation_counter = 0;
  friend bool operator==(const ReplayBaseline&, const ReplayBaseline&) = default;
};

}  // namespace meter::dlms
