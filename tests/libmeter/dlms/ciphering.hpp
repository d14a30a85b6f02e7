// SPDX-License-Identifier: Apache-2.0
// General-glo-ciphering encoder for tests: OpenSSL's GCM used the plain way, nothing shared with
// the code under test. Its output is held against published vectors.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

#include "tests/libmeter/link/frames.hpp"

namespace meter::test {

inline Octets gcm_encrypt(Bytes key, Bytes iv, Bytes authenticated, Bytes clear, Octets& tag) {
  const auto octets = [](auto* p) { return reinterpret_cast<const unsigned char*>(p); };
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  EVP_CIPHER_CTX* c = context.get();
  Octets cipher(clear.size() + 16);
  auto* out = reinterpret_cast<unsigned char*>(cipher.data());
  tag.resize(12);
  int size = 0, last = 0;
  bool ok = EVP_EncryptInit_ex(c, key.size() == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), nullptr,
                               octets(key.data()), octets(iv.data())) == 1;
  ok = ok && EVP_EncryptUpdate(c, nullptr, &last, octets(authenticated.data()),
                               static_cast<int>(authenticated.size())) == 1;
  ok = ok && (clear.empty() || EVP_EncryptUpdate(c, out, &size, octets(clear.data()),
                                                 static_cast<int>(clear.size())) == 1);
  ok = ok && EVP_EncryptFinal_ex(c, out + size, &last) == 1 &&
       EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 12, tag.data()) == 1;
  if (!ok) throw std::runtime_error("OpenSSL does not encrypt");
  cipher.resize(static_cast<std::size_t>(size));
  return cipher;
}

inline Octets be32(std::uint32_t value) {
  return {static_cast<std::byte>(value >> 24), static_cast<std::byte>(value >> 16),
          static_cast<std::byte>(value >> 8), static_cast<std::byte>(value)};
}

/// Security control, invocation counter, content, tag.
inline Octets protected_content(std::uint8_t control, std::uint32_t counter, Bytes title, Bytes key,
                                Bytes authentication_key, Bytes clear) {
  const Octets counter_octets = be32(counter);
  Octets iv(title.begin(), title.end());
  append(iv, counter_octets);
  Octets authenticated, tag, content(clear.begin(), clear.end());
  if ((control & 0x10) != 0) {
    authenticated.push_back(std::byte{control});
    append(authenticated, authentication_key);
    if ((control & 0x20) == 0) append(authenticated, clear);
  }
  const Octets cipher =
      gcm_encrypt(key, iv, authenticated, (control & 0x20) != 0 ? clear : Bytes(), tag);
  if ((control & 0x20) != 0) content = cipher;
  if ((control & 0x10) == 0) tag.clear();
  return concatenated({Octets(1, std::byte{control}), counter_octets, content, tag});
}

/// DB, title, length in its shortest form, protected content.
inline Octets general_glo(Bytes title, Bytes content) {
  Octets apdu{std::byte{0xdb}, static_cast<std::byte>(title.size())};
  append(apdu, title);
  if (content.size() > 0xff) {
    apdu.push_back(std::byte{0x82});
    apdu.push_back(static_cast<std::byte>(content.size() >> 8));
  } else if (content.size() > 0x7f) {
    apdu.push_back(std::byte{0x81});
  }
  apdu.push_back(static_cast<std::byte>(content.size() & 0xff));
  append(apdu, content);
  return apdu;
}

}  // namespace meter::test
