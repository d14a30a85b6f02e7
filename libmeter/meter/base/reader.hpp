// SPDX-License-Identifier: Apache-2.0
// Reader: a bounds-checked cursor that poisons itself.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>

#include "meter/base/bytes.hpp"

namespace meter {

/// Reads big-endian fields from octets. A read past the end yields zero and poisons the reader,
/// so that a decoder reads every field and asks `ok()` once. Never reads outside its octets.
class Reader {
 public:
  constexpr explicit Reader(Bytes octets) noexcept
      : begin_(octets.data()), cursor_(octets.data()), end_(octets.data() + octets.size()) {}

  /// The next unsigned integer, high octet first; 0 and poisoned if fewer octets are left.
  template <std::unsigned_integral T>
  T be() noexcept {
    return number<T, std::endian::big>();
  }
  /// The same, low octet first.
  template <std::unsigned_integral T>
  T le() noexcept {
    return number<T, std::endian::little>();
  }
  std::uint8_t octet() noexcept { return be<std::uint8_t>(); }

  /// The next `count` octets; empty and poisoned if fewer are left.
  constexpr Bytes take(std::size_t count) noexcept {
    if (remaining() < count) [[unlikely]] {
      poison();
      return {};
    }
    Bytes taken{cursor_, count};
    cursor_ += count;
    return taken;
  }
  constexpr void skip(std::size_t count) noexcept { (void)take(count); }

  /// A BER length (X.690 8.1.3, definite form): one octet to 7F, else 81 to 84 and as many octets.
  /// Over-long forms are accepted because meters send them; the indefinite form poisons.
  std::uint32_t ber_length() noexcept {
    const std::uint8_t first = octet();
    if (first < 0x80) return first;
    const unsigned count = first & 0x7fu;
    if (count == 0 || count > 4) {
      poison();
      return 0;
    }
    std::uint32_t value = 0;
    for (unsigned i = 0; i < count; ++i) value = value << 8 | octet();
    return value;
  }

  /// The next octet without moving; 0 at the end, not poisoned.
  constexpr unsigned peek(std::size_t ahead = 0) const noexcept {
    return ahead < remaining() ? u8(cursor_[ahead]) : 0;
  }
  constexpr std::size_t remaining() const noexcept {
    return static_cast<std::size_t>(end_ - cursor_);
  }
  constexpr std::size_t offset() const noexcept {
    return static_cast<std::size_t>(cursor_ - begin_);
  }
  constexpr Bytes rest() const noexcept { return {cursor_, remaining()}; }
  constexpr bool ok() const noexcept { return ok_; }
  /// Everything was read and nothing was missing.
  constexpr bool consumed() const noexcept { return ok_ && cursor_ == end_; }

 private:
  template <class T, std::endian order>
  T number() noexcept {
    if (remaining() < sizeof(T)) [[unlikely]] {
      poison();
      return 0;
    }
    T value;
    std::memcpy(&value, cursor_, sizeof(T));
    cursor_ += sizeof(T);
    if constexpr (std::endian::native != order && sizeof(T) > 1) value = std::byteswap(value);
    return value;
  }
  constexpr void poison() noexcept {
    ok_ = false;
    cursor_ = end_;
  }
  const std::byte* begin_;
  const std::byte* cursor_;
  const std::byte* end_;
  bool ok_ = true;
};

}  // namespace meter
