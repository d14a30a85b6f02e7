// SPDX-License-Identifier: Apache-2.0
// Straight-line decoding of the inputs of meter-bench.
#include "tests/bench/floor.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <stdexcept>

namespace meter::bench {
namespace {

constexpr int wrong = -1;
constexpr int values_max = 64;
/// DataNotification: tag, long-invoke-id, date-time of 12 octets.
constexpr int notification_header = 18;

std::uint32_t be32(const std::uint8_t* p) noexcept {
  std::uint32_t value;
  std::memcpy(&value, p, 4);
  return __builtin_bswap32(value);
}
std::uint16_t be16(const std::uint8_t* p) noexcept {
  return static_cast<std::uint16_t>(p[0] << 8 | p[1]);
}

constexpr std::array<double, 13> powers_of_ten = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1,
                                                  1e1,  1e2,  1e3,  1e4,  1e5,  1e6};
double scaled(double value, std::uint8_t scaler) noexcept {
  const int index = static_cast<std::int8_t>(scaler) + 6;
  return index >= 0 && index < 13 ? value * powers_of_ten[static_cast<unsigned>(index)] : value;
}

/// Reflected CRC-16, eight octets a step.
using Tables = std::array<std::array<std::uint16_t, 256>, 8>;
constexpr Tables tables_of(unsigned polynomial) {
  Tables t{};
  for (unsigned i = 0; i < 256; ++i) {
    unsigned c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? c >> 1 ^ polynomial : c >> 1;
    t[0][i] = static_cast<std::uint16_t>(c);
  }
  for (unsigned k = 1; k < 8; ++k)
    for (unsigned i = 0; i < 256; ++i)
      t[k][i] = static_cast<std::uint16_t>(t[k - 1][i] >> 8 ^ t[0][t[k - 1][i] & 255]);
  return t;
}
constexpr Tables x25_tables = tables_of(0x8408), arc_tables = tables_of(0xa001);
std::uint16_t crc(std::uint16_t c, const std::uint8_t* p, std::size_t n,
                  const Tables& t = x25_tables) noexcept {
  for (; n >= 8; p += 8, n -= 8) {
    std::uint64_t w;
    std::memcpy(&w, p, 8);
    w ^= c;
    c = t[7][w & 255] ^ t[6][w >> 8 & 255] ^ t[5][w >> 16 & 255] ^ t[4][w >> 24 & 255] ^
        t[3][w >> 32 & 255] ^ t[2][w >> 40 & 255] ^ t[1][w >> 48 & 255] ^ t[0][w >> 56];
  }
  for (; n != 0; ++p, --n) c = static_cast<std::uint16_t>(c >> 8 ^ t[0][(c ^ *p) & 255]);
  return c;
}
constexpr std::uint16_t crc_of_good_frame = 0xf0b8;

std::uint8_t sum(const std::uint8_t* p, std::size_t n) noexcept {
  std::uint8_t s = 0;
  for (std::size_t i = 0; i < n; ++i) s = static_cast<std::uint8_t>(s + p[i]);
  return s;
}

std::size_t length_octets(std::uint8_t first) noexcept {
  return first == 0x82 ? 3 : first == 0x81 ? 2 : 1;
}

/// The number at `p` (after its tag); `p` behind it. 0 for tags that are no number.
bool read_number(const std::uint8_t*& p, double& value) noexcept {
  switch (*p) {
    case 0x06:
      value = be32(p + 1);
      p += 5;
      return true;
    case 0x05:
      value = static_cast<std::int32_t>(be32(p + 1));
      p += 5;
      return true;
    case 0x12:
      value = be16(p + 1);
      p += 3;
      return true;
    case 0x10:
      value = static_cast<std::int16_t>(be16(p + 1));
      p += 3;
      return true;
    default:
      return false;
  }
}

EVP_CIPHER_CTX* context(const char* name, Octets key) {
  EVP_CIPHER_CTX* made = EVP_CIPHER_CTX_new();
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
  if (EVP_DecryptInit_ex(made, cipher, nullptr, key.data(), nullptr) != 1)
    throw std::runtime_error(name);
  EVP_CIPHER_free(cipher);
  return made;
}

}  // namespace

Floor::Floor(Octets encryption_key, Octets authentication_key) {
  if (encryption_key.empty()) return;
  counter_mode_.reset(context("AES-128-CTR", encryption_key));
  galois_.reset(context("AES-128-GCM", encryption_key));
  if (!authentication_key.empty())
    std::memcpy(authenticated_ + 1, authentication_key.data(), authentication_key.size());
}

/// Codes followed by values, most of them with scaler and unit behind.
int Floor::read_pairs(const std::uint8_t* p, const std::uint8_t* end) noexcept {
  int count = 0;
  while (p + 8 < end && count < values_max) {
    if (p[0] != 9 || p[1] != 6) {
      p += p[0] == 9 ? 2 + p[1] : p[0] == 2 ? 2 : 1;
      continue;
    }
    Value& v = values_[count++];
    std::memcpy(v.obis, p + 2, 6);
    v.unit = 255;
    p += 8;
    if (*p == 9 || *p == 10) {
      p += 2 + p[1];
      continue;
    }
    if (!read_number(p, v.value)) return wrong;
    if (p + 6 <= end && p[0] == 2 && p[1] == 2 && p[2] == 15) {
      v.value = scaled(v.value, p[3]);
      v.unit = p[5];
      p += 6;
    }
  }
  return count;
}

int Floor::mbus_encrypted(Octets wire) noexcept {
  const std::uint8_t* p = wire.data();
  const std::size_t n = wire.size();
  std::uint8_t iv[16];
  int clear = 0, written = 0;
  for (std::size_t i = 0; i + 6 <= n;) {
    const std::size_t length = p[i + 1];
    if (p[i] != 0x68 || p[i + 2] != length || p[i + 3] != 0x68 || i + length + 6 > n ||
        p[i + length + 5] != 0x16 || sum(p + i + 4, length) != p[i + length + 4])
      return wrong;
    const std::uint8_t* content = p + i + 9;
    int size = static_cast<int>(length) - 5;
    if (i == 0) {
      if (content[0] != 0xdb || content[1] != 8) return wrong;
      const std::size_t control = 10 + length_octets(content[10]);
      std::memcpy(iv, content + 2, 8);
      std::memcpy(iv + 8, content + control + 1, 4);
      iv[12] = iv[13] = iv[14] = 0;
      iv[15] = 2;
      EVP_DecryptInit_ex(counter_mode_.get(), nullptr, nullptr, nullptr, iv);
      content += control + 5;
      size -= static_cast<int>(control) + 5;
    }
    EVP_DecryptUpdate(counter_mode_.get(), clear_ + clear, &written, content, size);
    clear += written;
    i += length + 6;
  }
  if (clear_[0] != 0x0f) return wrong;
  return read_pairs(clear_ + notification_header, clear_ + clear);
}

int Floor::join_blocks(Octets wire) noexcept {
  const std::uint8_t* p = wire.data();
  const std::size_t n = wire.size();
  std::size_t joined = 0;
  for (std::size_t i = 0; i + 9 < n;) {
    const std::size_t length = (p[i + 1] & 7u) << 8 | p[i + 2];
    if (p[i] != 0x7e || i + length + 2 > n || p[i + length + 1] != 0x7e ||
        crc(0xffff, p + i + 1, 8) != crc_of_good_frame ||
        crc(0xffff, p + i + 1, length) != crc_of_good_frame)
      return wrong;
    const std::uint8_t* block = p + i + 9;
    if (block[0] == 0xe6) block += 3;
    if (block[0] != 0xe0) return wrong;
    std::memcpy(joined_ + joined, block + 7, block[6]);
    joined += block[6];
    i += length + 2;
  }
  return static_cast<int>(joined);
}

int Floor::hdlc_authenticated(Octets wire) noexcept {
  const int joined = join_blocks(wire);
  if (joined < 0 || joined_[0] != 0xdb) return wrong;
  std::uint8_t iv[12];
  int written = 0;
  const std::size_t control = 10 + length_octets(joined_[10]);
  std::memcpy(iv, joined_ + 2, 8);
  std::memcpy(iv + 8, joined_ + control + 1, 4);
  const int size = joined - static_cast<int>(control) - 5 - 12;
  EVP_CIPHER_CTX* gcm = galois_.get();
  EVP_DecryptInit_ex(gcm, nullptr, nullptr, nullptr, iv);
  EVP_DecryptUpdate(gcm, nullptr, &written, authenticated_, sizeof authenticated_);
  EVP_DecryptUpdate(gcm, clear_, &written, joined_ + control + 5, size);
  EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_SET_TAG, 12, joined_ + joined - 12);
  if (EVP_DecryptFinal_ex(gcm, clear_ + size, &written) <= 0) return wrong;
  return read_pairs(clear_ + notification_header, clear_ + size);
}

int Floor::hdlc_push_objects(Octets wire) noexcept {
  constexpr std::size_t object_size = 18;  // 02 04 12 cc cc 09 06 obis 0F aa 12 dd dd
  const int joined = join_blocks(wire);
  if (joined < 0 || joined_[0] != 0x0f) return wrong;
  const std::uint8_t* p = joined_ + notification_header;
  const std::uint8_t* const end = joined_ + joined;
  if (p[0] != 2 || p[2] != 1 || p[1] != p[3] || p[3] >= values_max) return wrong;
  const int count = p[3];
  const std::uint8_t* object = p + 4;
  p = object + object_size * static_cast<std::size_t>(count);
  // The first value is the list itself.
  for (int i = 1; i < count; ++i) {
    object += object_size;
    if (p >= end || object[0] != 2 || object[1] != 4 || object[5] != 9 || object[6] != 6)
      return wrong;
    Value& v = values_[i - 1];
    std::memcpy(v.obis, object + 7, 6);
    v.unit = 255;
    if (*p == 9 || *p == 10)
      p += 2 + p[1];
    else if (!read_number(p, v.value))
      return wrong;
  }
  return count - 1;
}

int Floor::p1_text(Octets wire) noexcept {
  const auto* p = wire.data();
  const auto* const all = p + wire.size();
  const auto* mark = static_cast<const std::uint8_t*>(memrchr(p, '!', wire.size()));
  if (*p != '/' || mark == nullptr || all - mark < 5) return wrong;
  unsigned sent = 0;
  for (int i = 1; i <= 4; ++i) {
    const unsigned digit = mark[i];
    sent = sent << 4 | (digit <= '9' ? digit - '0' : digit - 'A' + 10u);
  }
  if (crc(0, p, static_cast<std::size_t>(mark + 1 - p), arc_tables) != sent) return wrong;
  int count = 0;
  while (p < mark && count < values_max) {
    const auto* const end = static_cast<const std::uint8_t*>(
        std::memchr(p, '\n', static_cast<std::size_t>(mark - p)));
    if (end == nullptr) break;
    if (*p >= '0' && *p <= '9') {
      Value& v = values_[count++];
      for (int group = 0; group < 5; ++group) {
        unsigned value = 0;
        for (; *p >= '0' && *p <= '9'; ++p) value = value * 10 + (*p - '0');
        v.obis[group] = static_cast<std::uint8_t>(value);
        ++p;  // the separator, or the bracket
      }
      v.obis[5] = v.unit = 255;
      // The last bracket holds the value.
      for (const std::uint8_t* bracket = p; bracket < end; ++bracket)
        if (*bracket == '(') p = bracket + 1;
      std::int64_t mantissa = 0;
      int exponent = 0;
      bool point = false;
      for (; (*p >= '0' && *p <= '9') || *p == '.'; ++p) {
        if (*p == '.') {
          point = true;
          continue;
        }
        mantissa = mantissa * 10 + (*p - '0');
        exponent -= point ? 1 : 0;
      }
      v.value = scaled(static_cast<double>(mantissa), static_cast<std::uint8_t>(exponent));
      if (*p == '*') v.unit = p[1] == 'k' ? static_cast<std::uint8_t>(p[2] | 0x80) : p[1];
    }
    p = end + 1;
  }
  return count;
}

namespace {

/// Behind an SML field; a list's elements are walked over.
const std::uint8_t* behind(const std::uint8_t* p) noexcept {
  for (int left = 1; left > 0; --left) {
    unsigned length = *p & 15u, octets = 1;
    const bool is_list = (*p & 0x70) == 0x70;
    while ((*p++ & 0x80) != 0) {
      length = length << 4 | (*p & 15u);
      ++octets;
    }
    if (is_list)
      left += static_cast<int>(length);
    else
      p += length - octets;
  }
  return p;
}

/// An SML integer of any length.
std::int64_t integer(const std::uint8_t* p) noexcept {
  const unsigned size = (*p & 15u) - 1;
  std::uint64_t value = 0;
  for (unsigned i = 1; i <= size; ++i) value = value << 8 | p[i];
  const unsigned unused = 64 - 8 * size;
  return (*p & 0x70) == 0x50 ? static_cast<std::int64_t>(value << unused) >> unused
                             : static_cast<std::int64_t>(value);
}

}  // namespace

int Floor::sml_list(Octets wire) noexcept {
  const std::uint8_t* const begin = wire.data();
  const std::size_t n = wire.size();
  if (be32(begin) != 0x1b1b1b1b || be32(begin + 4) != 0x01010101 ||
      be32(begin + n - 8) != 0x1b1b1b1b || begin[n - 4] != 0x1a ||
      crc(0xffff, begin, n) != crc_of_good_frame)
    return wrong;
  int count = 0;
  const std::uint8_t* p = begin + 8;
  for (int message = 0; message < 3; ++message) {
    const std::uint8_t* const start = p;
    if (*p++ != 0x76) return wrong;
    p = behind(behind(behind(p)));
    if (p[0] != 0x72 || p[1] != 0x63) return wrong;
    const unsigned tag = be16(p + 2);
    p += 4;
    if (tag == 0x0701) {
      p = behind(behind(behind(behind(p + 1))));
      const unsigned entries = *p++ & 15u;
      for (unsigned i = 0; i < entries; ++i) {
        Value& v = values_[count++];
        std::memcpy(v.obis, p + 2, 6);
        const std::uint8_t* const unit = behind(behind(p + 8));
        const std::uint8_t* const scaler = behind(unit);
        const std::uint8_t* const value = behind(scaler);
        v.unit = *unit == 0x62 ? unit[1] : 255;
        if ((*value & 0x70) >= 0x50)
          v.value = scaled(static_cast<double>(integer(value)), *scaler == 0x52 ? scaler[1] : 0);
        p = behind(behind(value));
      }
      p = behind(behind(p));
    } else {
      p = behind(p);
    }
    const std::uint16_t sent = static_cast<std::uint16_t>(p[1] | p[2] << 8);
    if (static_cast<std::uint16_t>(~crc(0xffff, start, static_cast<std::size_t>(p - start))) !=
            sent ||
        p[3] != 0)
      return wrong;
    p += 4;
  }
  return count;
}

namespace {

/// A binary number of `size` octets, low octet first, with its sign.
std::int64_t low_first(const std::uint8_t* p, unsigned size) noexcept {
  std::uint64_t value = 0;
  for (unsigned i = size; i-- > 0;) value = value << 8 | p[i];
  const unsigned unused = 64 - 8 * size;
  return size == 0 ? 0 : static_cast<std::int64_t>(value << unused) >> unused;
}

std::int64_t digits(const std::uint8_t* p, unsigned size) noexcept {
  std::int64_t value = 0;
  for (unsigned i = size; i-- > 0;) value = value * 100 + (p[i] >> 4) * 10 + (p[i] & 15);
  return value;
}

/// Unit and power of ten of the VIFs that the inputs use.
struct Scale {
  std::uint8_t unit;
  int power;
};
Scale scale_of(unsigned vif, unsigned vife) noexcept {
  if (vif == 0x7d)
    return vife < 0x50 ? Scale{35, static_cast<int>(vife & 15) - 9}
                       : Scale{33, static_cast<int>(vife & 15) - 12};
  if (vif < 0x08) return {30, static_cast<int>(vif) - 3};
  if (vif < 0x18) return {13, static_cast<int>(vif & 7) - 6};
  if (vif >= 0x28 && vif < 0x30) return {27, static_cast<int>(vif & 7) - 3};
  if (vif >= 0x38 && vif < 0x40) return {14, static_cast<int>(vif & 7) - 6};
  if (vif >= 0x58 && vif < 0x68) return {9, static_cast<int>(vif & 3) - 3};
  return {255, 0};
}

}  // namespace

int Floor::mbus_records(Octets wire) noexcept {
  constexpr std::size_t header = 4 + 3 + 12;
  constexpr std::uint8_t sizes[] = {0, 1, 2, 3, 4, 4, 6, 8, 0, 1, 2, 3, 4, 0, 6, 0};
  const std::uint8_t* p = wire.data();
  const std::size_t length = p[1];
  if (p[0] != 0x68 || p[2] != length || p[3] != 0x68 || wire.size() != length + 6 ||
      p[length + 5] != 0x16 || sum(p + 4, length) != p[length + 4] || p[6] != 0x72)
    return wrong;
  const std::uint8_t* const end = p + 4 + length;
  int count = 0;
  for (p += header; p < end && *p != 0x0f && count < values_max;) {
    Value& v = values_[count++];
    const unsigned field = *p & 15u;
    std::memset(v.obis, 0, sizeof v.obis);
    v.obis[0] = *p;  // function and storage; tariff and subunit behind
    while ((*p++ & 0x80) != 0) v.obis[1] = *p;
    const unsigned vif = *p & 0x7fu;
    const unsigned vife = (*p & 0x80) != 0 ? p[1] & 0x7fu : 0;
    v.obis[2] = static_cast<std::uint8_t>(vif);
    while ((*p++ & 0x80) != 0) v.obis[3] = *p;
    const unsigned size = sizes[field];
    const std::int64_t number = (field & 8) != 0 ? digits(p, size) : low_first(p, size);
    const Scale scale = scale_of(vif, vife);
    v.unit = scale.unit;
    v.value = scaled(static_cast<double>(number), static_cast<std::uint8_t>(scale.power));
    p += size;
  }
  return p <= end ? count : wrong;
}

}  // namespace meter::bench
