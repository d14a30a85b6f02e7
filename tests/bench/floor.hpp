// SPDX-License-Identifier: Apache-2.0
// The floor: what straight-line code with OpenSSL takes for one known telegram.
//
// Each function knows the layout of its input in advance, checks every checksum and tag, takes
// out every value with its scaler, and does nothing else: no search for frames, no other layout,
// no error but "wrong". It shares nothing with libmeter.
#pragma once

#include <openssl/evp.h>

#include <cstdint>
#include <memory>
#include <span>

namespace meter::bench {

using Octets = std::span<const std::uint8_t>;

struct Value {
  std::uint8_t obis[6];
  std::uint8_t unit;
  double value;
};

class Floor {
 public:
  /// Keys of 16 octets, or empty.
  Floor(Octets encryption_key, Octets authentication_key);

  /// M-Bus fragments, general-glo-ciphering without tag; the number of values, −1 if wrong.
  int mbus_encrypted(Octets wire) noexcept;
  /// HDLC, general block transfer, general-glo-ciphering with tag.
  int hdlc_authenticated(Octets wire) noexcept;
  /// HDLC, general block transfer, clear: a list of push objects, then their values.
  int hdlc_push_objects(Octets wire) noexcept;

  /// A P1 telegram with its CRC, lines of `A-B:C.D.E(…)(number*unit)`.
  int p1_text(Octets wire) noexcept;
  /// SML transport, three messages, the second with a list.
  int sml_list(Octets wire) noexcept;
  /// An M-Bus long frame with the long header and records of EN 13757-3.
  int mbus_records(Octets wire) noexcept;

  const Value* values() const noexcept { return values_; }

 private:
  using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;
  int join_blocks(Octets wire) noexcept;
  int read_pairs(const std::uint8_t* at, const std::uint8_t* end) noexcept;

  Context counter_mode_{nullptr, EVP_CIPHER_CTX_free};
  Context galois_{nullptr, EVP_CIPHER_CTX_free};
  std::uint8_t authenticated_[17] = {0x30};  // security control, authentication key
  std::uint8_t joined_[2048];
  std::uint8_t clear_[2048];
  Value values_[64];
};

}  // namespace meter::bench
