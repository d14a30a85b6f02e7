// SPDX-License-Identifier: Apache-2.0
// Encoders of the wire formats that meters send.
#include "tools/metersim/wire.hpp"

#include <openssl/evp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>

namespace metersim {
namespace {

void append_be(Octets& out, std::uint64_t value, unsigned octets) {
  for (unsigned shift = octets * 8; shift > 0; shift -= 8)
    out.push_back(static_cast<std::uint8_t>(value >> (shift - 8)));
}

struct LocalTime {
  std::chrono::year_month_day date;
  unsigned weekday;  ///< Monday = 1
  std::chrono::hh_mm_ss<std::chrono::seconds> time;
};

LocalTime local_time(const Clock& clock) {
  using namespace std::chrono;
  const sys_seconds local{seconds(clock.epoch_s) + minutes(clock.offset_min)};
  const auto day = floor<days>(local);
  return {year_month_day(day), weekday(day).iso_encoding(), hh_mm_ss(local - day)};
}

struct CipherDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(what);
}

int size_of(OctetView octets) {
  return static_cast<int>(octets.size());
}

/// AES-128-GCM (NIST SP 800-38D); the tag is cut to 12 octets.
void seal(OctetView key, OctetView iv, OctetView aad, OctetView plaintext, bool with_tag,
          Octets& out) {
  require(key.size() == 16, "an encryption key has 16 octets (32 hex digits)");
  std::unique_ptr<EVP_CIPHER_CTX, CipherDeleter> context(EVP_CIPHER_CTX_new());
  int size = 0;
  require(context && EVP_EncryptInit_ex(context.get(), EVP_aes_128_gcm(), nullptr, key.data(),
                                        iv.data()) == 1,
          "cannot start AES-128-GCM");
  if (!aad.empty())
    require(EVP_EncryptUpdate(context.get(), nullptr, &size, aad.data(), size_of(aad)) == 1,
            "AES-128-GCM refused the additional data");
  const std::size_t start = out.size();
  out.resize(start + plaintext.size());
  if (!plaintext.empty())
    require(EVP_EncryptUpdate(context.get(), out.data() + start, &size, plaintext.data(),
                              size_of(plaintext)) == 1,
            "AES-128-GCM refused the plaintext");
  std::array<std::uint8_t, 16> tag{};
  require(EVP_EncryptFinal_ex(context.get(), tag.data(), &size) == 1 &&
              EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, 16, tag.data()) == 1,
          "AES-128-GCM gave no tag");
  if (with_tag) append(out, OctetView(tag).first(12));
}

}  // namespace

void append(Octets& out, OctetView octets) {
  out.insert(out.end(), octets.begin(), octets.end());
}

std::array<std::uint8_t, 12> Clock::octets() const {
  const LocalTime local = local_time(*this);
  Octets out;
  append_be(out, static_cast<unsigned>(int(local.date.year())), 2);
  out.push_back(static_cast<std::uint8_t>(unsigned(local.date.month())));
  out.push_back(static_cast<std::uint8_t>(unsigned(local.date.day())));
  out.push_back(static_cast<std::uint8_t>(local.weekday));
  out.push_back(static_cast<std::uint8_t>(local.time.hours().count()));
  out.push_back(static_cast<std::uint8_t>(local.time.minutes().count()));
  out.push_back(static_cast<std::uint8_t>(local.time.seconds().count()));
  out.push_back(hundredths);
  // COSEM counts minutes from local time to UTC: negative east of Greenwich.
  append_be(out, send_offset ? static_cast<std::uint64_t>(-offset_min) : 0x8000, 2);
  out.push_back(status);
  std::array<std::uint8_t, 12> octets{};
  std::copy(out.begin(), out.end(), octets.begin());
  return octets;
}

std::string Clock::text() const {
  const LocalTime local = local_time(*this);
  char text[64];
  int size = std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02d",
                           int(local.date.year()), unsigned(local.date.month()),
                           unsigned(local.date.day()), int(local.time.hours().count()),
                           int(local.time.minutes().count()), int(local.time.seconds().count()));
  if (send_offset)
    size += std::snprintf(text + size, sizeof text - static_cast<std::size_t>(size), "%c%02d:%02d",
                          offset_min < 0 ? '-' : '+', std::abs(offset_min) / 60,
                          std::abs(offset_min) % 60);
  return std::string(text, static_cast<std::size_t>(size));
}

Axdr& Axdr::octet_string(OctetView octets) {
  tagged_length(0x09, octets.size());
  append(out_, octets);
  return *this;
}

Axdr& Axdr::octet_string(std::string_view text) {
  return octet_string(OctetView(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

Axdr& Axdr::visible_string(std::string_view text) {
  tagged_length(0x0a, text.size());
  out_.insert(out_.end(), text.begin(), text.end());
  return *this;
}

Axdr& Axdr::number(std::uint8_t tag, std::int64_t value) {
  unsigned octets = 8;
  if (tag == 0x11 || tag == 0x0f) octets = 1;
  if (tag == 0x10 || tag == 0x12) octets = 2;
  if (tag == 0x05 || tag == 0x06) octets = 4;
  return tagged(tag, static_cast<std::uint64_t>(value), octets);
}

Axdr& Axdr::tagged_length(std::uint8_t tag, std::size_t length) {
  out_.push_back(tag);
  append_ber_length(out_, length);
  return *this;
}

Axdr& Axdr::tagged(std::uint8_t tag, std::uint64_t value, unsigned octets) {
  out_.push_back(tag);
  append_be(out_, value, octets);
  return *this;
}

void append_ber_length(Octets& out, std::size_t length, unsigned octets_after_first) {
  unsigned octets = octets_after_first;
  if (octets == 0 && length < 0x80) {
    out.push_back(static_cast<std::uint8_t>(length));
    return;
  }
  while (octets < 8 && (octets == 0 || length >> (8 * octets) != 0)) ++octets;
  out.push_back(static_cast<std::uint8_t>(0x80 | octets));
  append_be(out, length, octets);
}

Octets data_notification(std::uint32_t invoke_id, const Clock& clock, OctetView body) {
  Octets apdu{0x0f};
  append_be(apdu, invoke_id, 4);
  apdu.push_back(12);
  append(apdu, clock.octets());
  append(apdu, body);
  return apdu;
}

Octets general_glo_ciphering(const Security& security, std::uint32_t invocation_counter,
                             OctetView plaintext) {
  const bool authenticated = (security.control & 0x10) != 0;
  const bool encrypted = (security.control & 0x20) != 0;
  require(!authenticated || security.authentication_key.size() == 16,
          "an authentication key has 16 octets (32 hex digits)");
  Octets counter;
  append_be(counter, invocation_counter, 4);
  Octets iv(security.system_title.begin(), security.system_title.end());
  append(iv, counter);
  Octets aad;
  if (authenticated) {
    aad.push_back(security.control);
    append(aad, security.authentication_key);
    if (!encrypted) append(aad, plaintext);
  }
  Octets content{security.control};
  append(content, counter);
  if (!encrypted) append(content, plaintext);
  seal(security.key, iv, aad, encrypted ? plaintext : OctetView{}, authenticated, content);

  Octets apdu;
  apdu.reserve(content.size() + 16);
  apdu.push_back(0xdb);
  apdu.push_back(static_cast<std::uint8_t>(security.system_title.size()));
  append(apdu, security.system_title);
  append_ber_length(apdu, content.size(), security.ber_octets);
  append(apdu, content);
  return apdu;
}

Octets mbus_frame(OctetView content) {
  const auto length = static_cast<std::uint8_t>(content.size() & 0xff);
  Octets frame{0x68, length, length, 0x68};
  append(frame, content);
  unsigned sum = 0;
  for (const std::uint8_t octet : content) sum += octet;
  frame.push_back(static_cast<std::uint8_t>(sum & 0xff));
  frame.push_back(0x16);
  return frame;
}

std::vector<Octets> mbus_frames(OctetView apdu, std::size_t length_max) {
  constexpr std::size_t header_size = 5;  // C, A, CI, STSAP, DTSAP count in L
  std::vector<Octets> frames;
  while (frames.empty() || !apdu.empty()) {
    const OctetView part = apdu.first(std::min(apdu.size(), length_max - header_size));
    apdu = apdu.subspan(part.size());
    const auto fragment =
        static_cast<std::uint8_t>((frames.size() & 0x0f) | (apdu.empty() ? 0x10u : 0u));
    Octets content{0x53, 0xff, fragment, 0x01, 0x67};
    append(content, part);
    frames.push_back(mbus_frame(content));
  }
  return frames;
}

Octets hdlc_frame(OctetView information) {
  constexpr std::size_t header_size = 8;  // format 2, addresses 3, control 1, HCS 2
  const std::size_t length = header_size + information.size() + 2;
  Octets frame{0x7e};
  append_be(frame, 0xa000u | length, 2);
  append(frame, Octets{0xce, 0xff, 0x03, 0x13});
  auto append_crc = [&frame] {
    const std::uint16_t crc = crc16_x25(OctetView(frame).subspan(1));
    frame.push_back(static_cast<std::uint8_t>(crc));
    frame.push_back(static_cast<std::uint8_t>(crc >> 8));
  };
  append_crc();
  append(frame, information);
  append_crc();
  frame.push_back(0x7e);
  return frame;
}

std::vector<Octets> hdlc_block_frames(OctetView apdu) {
  constexpr std::size_t first_block_size = 0x77, block_size = 0x7a;
  std::vector<Octets> frames;
  while (frames.empty() || !apdu.empty()) {
    const OctetView block =
        apdu.first(std::min(apdu.size(), frames.empty() ? first_block_size : block_size));
    apdu = apdu.subspan(block.size());
    Octets information;
    if (frames.empty()) append(information, Octets{0xe6, 0xe7, 0x00});
    information.push_back(0xe0);
    information.push_back(apdu.empty() ? 0xc0 : 0x40);  // last block, streaming
    append_be(information, frames.size() + 1, 2);
    append_be(information, 0, 2);
    append_ber_length(information, block.size());
    append(information, block);
    frames.push_back(hdlc_frame(information));
  }
  return frames;
}

std::vector<Octets> hdlc_frames(OctetView apdu) {
  Octets information{0xe6, 0xe7, 0x00};
  append(information, apdu);
  return {hdlc_frame(information)};
}

std::uint16_t crc16_x25(OctetView octets) {
  unsigned crc = 0xffff;
  for (const std::uint8_t octet : octets) {
    crc ^= octet;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0x8408 : crc >> 1;
  }
  return static_cast<std::uint16_t>(~crc);
}

Octets octets_from_hex(std::string_view text) {
  Octets out;
  unsigned digits = 0, value = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '_' || c == ':' || c == '-')
      continue;
    unsigned digit = 0;
    if (c >= '0' && c <= '9')
      digit = static_cast<unsigned>(c - '0');
    else if (c >= 'a' && c <= 'f')
      digit = static_cast<unsigned>(c - 'a') + 10;
    else if (c >= 'A' && c <= 'F')
      digit = static_cast<unsigned>(c - 'A') + 10;
    else
      throw std::runtime_error("not a hex digit");
    value = value << 4 | digit;
    if (++digits % 2 == 0) {
      out.push_back(static_cast<std::uint8_t>(value));
      value = 0;
    }
  }
  require(digits % 2 == 0, "an odd number of hex digits");
  return out;
}

std::string hex_from_octets(OctetView octets) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string text;
  for (const std::uint8_t octet : octets) {
    text += digits[octet >> 4];
    text += digits[octet & 0x0f];
  }
  return text;
}

}  // namespace metersim
