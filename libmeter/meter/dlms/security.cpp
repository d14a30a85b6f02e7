// SPDX-License-Identifier: Apache-2.0
// Keys, general-glo-ciphering and the AES-GCM contexts of a key.
#include "meter/dlms/security.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/sha.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <stdexcept>

#include "meter/base/hex.hpp"
#include "meter/base/reader.hpp"

namespace meter::dlms {
namespace {

constexpr std::size_t key_size_128 = 16, key_size_256 = 32;
constexpr std::size_t block_size = 16;  // AES
constexpr std::size_t tag_size = 12;    // GCM tag, cut to 96 bit (Green Book 9.2.3.3.7.4)
constexpr std::uint8_t tag_general_glo_ciphering = 0xdb;  // Green Book 9.5

unsigned char* octets_of(std::byte* p) noexcept {
  return reinterpret_cast<unsigned char*>(p);
}
const unsigned char* octets_of(const std::byte* p) noexcept {
  return reinterpret_cast<const unsigned char*>(p);
}

bool is_separator(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '-' || c == ':';
}

bool all_zero(Bytes octets) noexcept {
  return std::all_of(octets.begin(), octets.end(), [](std::byte o) { return o == std::byte{0}; });
}

/// What is wrong with a character of a key. Only letters that are mistaken for digits are named:
/// anything else might be part of a secret in the wrong place.
std::string wrong_character(char c, std::size_t position, bool separated) {
  const std::string where =
      " at position " + std::to_string(position) + (separated ? ", blanks not counted," : "");
  if (c == 'O' || c == 'o') return "the letter O" + where + " is probably the digit 0";
  if (c == 'l' || c == 'I' || c == 'i')
    return std::string("the letter ") + c + where + " is probably the digit 1";
  return "the character" + where + " is not a hex digit (0-9, A-F)";
}

std::string wrong_length(std::size_t digits) {
  return "a key has 32 hex digits (64 for AES-256), this one has " + std::to_string(digits);
}

std::array<std::byte, SHA256_DIGEST_LENGTH> sha256(Bytes octets) noexcept {
  std::array<std::byte, SHA256_DIGEST_LENGTH> digest{};
  SHA256(octets_of(octets.data()), octets.size(), octets_of(digest.data()));
  return digest;
}

/// 16 hex digits whose first three octets are capital letters, as every system title has
/// (Green Book 4.3.4). A 16-digit serial number is none.
std::optional<SystemTitle> title_of(std::string_view text) noexcept {
  SystemTitle title{};
  if (text.size() != 2 * title.size()) return std::nullopt;
  for (std::size_t i = 0; i < title.size(); ++i) {
    const int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    title[i] = static_cast<std::byte>(high << 4 | low);
    if (i < 3 && (u8(title[i]) < 'A' || u8(title[i]) > 'Z')) return std::nullopt;
  }
  return title;
}

}  // namespace

template <class Purpose>
typename Key<Purpose>::Parsed Key<Purpose>::parse(std::string_view text) {
  Key key;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (is_separator(c)) continue;
    if (c == '0' && i + 1 < text.size() && (text[i + 1] == 'x' || text[i + 1] == 'X')) {
      ++i;
      continue;
    }
    const int value = hex_value(c);
    if (value < 0) return {std::nullopt, wrong_character(c, digits + 1, digits != i)};
    if (digits < 2 * key.octets_.size()) {
      std::byte& octet = key.octets_[digits / 2];
      octet = octet << 4 | static_cast<std::byte>(value);
    }
    ++digits;
  }
  if (digits == 0) return {std::nullopt, "there is no key"};
  if (digits != 2 * key_size_128 && digits != 2 * key_size_256)
    return {std::nullopt, wrong_length(digits)};
  key.size_ = digits / 2;
  if (all_zero(key.octets())) return {std::nullopt, "the key is all zeros: a placeholder"};
  return {std::move(key), {}};
}

template <class Purpose>
std::optional<Key<Purpose>> Key<Purpose>::from_octets(Bytes octets) {
  if (octets.size() != key_size_128 && octets.size() != key_size_256) return std::nullopt;
  if (all_zero(octets)) return std::nullopt;
  Key key;
  std::copy(octets.begin(), octets.end(), key.octets_.begin());
  key.size_ = octets.size();
  return key;
}

template <class Purpose>
Key<Purpose>::Key(Key&& other) noexcept {
  *this = std::move(other);
}

template <class Purpose>
Key<Purpose>& Key<Purpose>::operator=(Key&& other) noexcept {
  if (this == &other) return *this;
  octets_ = other.octets_;
  size_ = other.size_;
  OPENSSL_cleanse(other.octets_.data(), other.octets_.size());
  other.size_ = 0;
  return *this;
}

template <class Purpose>
Key<Purpose>::~Key() {
  OPENSSL_cleanse(octets_.data(), octets_.size());
}

template <class Purpose>
std::string Key<Purpose>::fingerprint() const {
  const auto digest = sha256(octets());
  char text[8];
  return std::string(write_hex(Bytes(digest).first(4), text, hex_lower));
}

template class Key<EncryptionPurpose>;
template class Key<AuthenticationPurpose>;

Result<GeneralGloCiphering> GeneralGloCiphering::parse(Bytes apdu) noexcept {
  Reader reader(apdu);
  GeneralGloCiphering parsed;
  if (reader.octet() != tag_general_glo_ciphering) return fault(Errc::unsupported_apdu, 0);
  const std::uint8_t title_size = reader.octet();
  const Bytes title = reader.take(title_size);
  if (!reader.ok()) return fault(Errc::truncated, apdu.size());
  if (title_size == std::tuple_size_v<SystemTitle>) {
    std::copy(title.begin(), title.end(), parsed.system_title.emplace().begin());
  } else if (title_size != 0) {
    return fault(Errc::malformed, 1);
  }
  const std::size_t length_at = reader.offset();
  if (reader.peek() == 0x80 || reader.peek() > 0x84) return fault(Errc::malformed, length_at);
  const std::size_t length = reader.ber_length();
  if (!reader.ok() || length > reader.remaining()) return fault(Errc::truncated, apdu.size());
  if (length < reader.remaining()) return fault(Errc::bad_length, reader.offset() + length);
  const std::size_t control_at = reader.offset();
  parsed.control.octet = reader.octet();
  parsed.invocation_counter = reader.be<std::uint32_t>();
  if (!reader.ok()) return fault(Errc::bad_length, length_at);
  if (parsed.control.compressed()) return fault(Errc::unsupported_compression, control_at);
  if (parsed.control.suite() > 2) return fault(Errc::unsupported_suite, control_at);
  if (!parsed.control.authenticated() && !parsed.control.encrypted())
    return fault(Errc::malformed, control_at);
  parsed.content = reader.rest();
  if (parsed.control.authenticated()) {
    if (parsed.content.size() < tag_size) return fault(Errc::bad_length, length_at);
    parsed.tag = parsed.content.last(tag_size);
    parsed.content = parsed.content.first(parsed.content.size() - tag_size);
  }
  return parsed;
}

struct Cipher::Contexts {
  using Context = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

  Contexts(const EncryptionKey& key, const char* block_name, const char* gcm_name)
      : block(make(key, block_name)), gcm(make(key, gcm_name)) {
    EVP_CIPHER_CTX_set_padding(block.get(), 0);
    if (key.octets().size() != key_size_128) return;
    cbc = make(key, "AES-128-CBC");
    EVP_CIPHER_CTX_set_padding(cbc.get(), 0);
  }

  static Context make(const EncryptionKey& key, const char* name) {
    const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> cipher(
        EVP_CIPHER_fetch(nullptr, name, nullptr), EVP_CIPHER_free);
    Context context(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
    // Decryption with GCM; the block cipher makes a key stream and so only encrypts.
    const int encrypts = std::string_view(name).ends_with("ECB") ? 1 : 0;
    if (!cipher || !context ||
        EVP_CipherInit_ex2(context.get(), cipher.get(), octets_of(key.octets().data()), nullptr,
                           encrypts, nullptr) != 1)
      throw std::runtime_error(std::string("OpenSSL offers no ") + name);
    return context;
  }

  Context block;
  Context gcm;
  Context cbc{nullptr, EVP_CIPHER_CTX_free};  ///< AES-128 only
};

Cipher::Cipher(const EncryptionKey& key)
    : contexts_(key.octets().size() == key_size_128
                    ? std::make_unique<Contexts>(key, "AES-128-ECB", "AES-128-GCM")
                    : std::make_unique<Contexts>(key, "AES-256-ECB", "AES-256-GCM")) {}
Cipher::~Cipher() = default;
Cipher::Cipher(Cipher&&) noexcept = default;

namespace {

void write_be(std::uint32_t value, std::byte* octets) noexcept {
  if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
  std::memcpy(octets, &value, sizeof value);
}

/// System title and invocation counter: the 96-bit initialisation vector.
void write_iv(const SystemTitle& title, std::uint32_t invocation_counter, std::byte* iv) noexcept {
  std::memcpy(iv, title.data(), title.size());
  write_be(invocation_counter, iv + title.size());
}

}  // namespace

// GCM's encryption is counter mode from IV || 00000002 (NIST SP 800-38D 6.5, 7.2). The key stream
// is made by the bare block cipher because OpenSSL's counter mode spends more on setting its IV
// than on a whole telegram.
void Cipher::decrypt(const SystemTitle& title, std::uint32_t invocation_counter, Bytes ciphertext,
                     std::byte* clear) noexcept {
  constexpr std::size_t blocks = 32;
  alignas(64) std::byte stream[blocks * block_size];
  std::byte counter_block[block_size]{};
  write_iv(title, invocation_counter, counter_block);
  std::uint32_t counter = 2;
  for (std::size_t at = 0; at < ciphertext.size();) {
    const std::size_t size = std::min(sizeof stream, ciphertext.size() - at);
    const std::size_t padded = (size + block_size - 1) / block_size * block_size;
    for (std::size_t b = 0; b < padded; b += block_size, ++counter) {
      std::memcpy(stream + b, counter_block, block_size);
      write_be(counter, stream + b + 12);
    }
    int written = 0;
    EVP_EncryptUpdate(contexts_->block.get(), octets_of(stream), &written, octets_of(stream),
                      static_cast<int>(padded));
    assert(static_cast<std::size_t>(written) == padded);
    for (std::size_t i = 0; i < size; ++i) clear[at + i] = ciphertext[at + i] ^ stream[i];
    at += size;
  }
}

bool Cipher::open(const SystemTitle& title, std::uint32_t invocation_counter,
                  std::span<const Bytes> authenticated, Bytes ciphertext, Bytes tag,
                  std::byte* clear) noexcept {
  std::byte iv[12];
  write_iv(title, invocation_counter, iv);
  EVP_CIPHER_CTX* gcm = contexts_->gcm.get();
  int written = 0;
  std::byte expected[tag_size];
  std::memcpy(expected, tag.data(), tag_size);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, expected, tag_size),
      OSSL_PARAM_construct_end()};
  if (EVP_DecryptInit_ex2(gcm, nullptr, nullptr, octets_of(iv), parameters) != 1) return false;
  for (Bytes part : authenticated)
    if (EVP_DecryptUpdate(gcm, nullptr, &written, octets_of(part.data()),
                          static_cast<int>(part.size())) != 1)
      return false;
  if (!ciphertext.empty() &&
      EVP_DecryptUpdate(gcm, octets_of(clear), &written, octets_of(ciphertext.data()),
                        static_cast<int>(ciphertext.size())) != 1)
    return false;
  return EVP_DecryptFinal_ex(gcm, octets_of(expected), &written) == 1;
}

bool Cipher::decrypt_cbc(std::span<const std::byte, 16> iv, Bytes ciphertext,
                         std::byte* clear) noexcept {
  EVP_CIPHER_CTX* cbc = contexts_->cbc.get();
  int written = 0;
  return cbc != nullptr && ciphertext.size() % block_size == 0 &&
         EVP_DecryptInit_ex2(cbc, nullptr, nullptr, octets_of(iv.data()), nullptr) == 1 &&
         EVP_DecryptUpdate(cbc, octets_of(clear), &written, octets_of(ciphertext.data()),
                           static_cast<int>(ciphertext.size())) == 1 &&
         static_cast<std::size_t>(written) == ciphertext.size();
}

KeyRing::Slot::Slot(KeyEntry&& configured)
    : entry(std::move(configured)), title(title_of(entry.meter)), cipher(entry.encryption) {
  const auto digest = sha256(entry.encryption.octets());
  std::copy_n(digest.begin(), fingerprint.size(), fingerprint.begin());
}

bool KeyRing::Slot::fits(const std::optional<SystemTitle>& telegram_title,
                         unsigned suite) const noexcept {
  // Suites 0 and 1 use AES-128, suite 2 AES-256 (Green Book 9.2.3.7).
  const std::size_t key_size = suite == 2 ? key_size_256 : key_size_128;
  if (entry.encryption.octets().size() != key_size) return false;
  // A meter id is not known before decryption: such a key is tried on every telegram.
  return !title || !telegram_title || *title == *telegram_title;
}

KeyRing::KeyRing(std::vector<KeyEntry> entries) {
  slots_.reserve(entries.size());
  for (KeyEntry& entry : entries) slots_.emplace_back(std::move(entry));
}

}  // namespace meter::dlms
