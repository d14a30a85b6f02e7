// SPDX-License-Identifier: Apache-2.0
// ExplainLine: the text of one DecodeObserver line, without the heap.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "meter/base/bytes.hpp"
#include "meter/base/hex.hpp"

namespace meter {

/// Joins texts, numbers and hex digits; what does not fit is cut off.
class ExplainLine {
 public:
  ExplainLine& text(std::string_view part) noexcept {
    const std::size_t fits = part.size() < room() ? part.size() : room();
    std::memcpy(text_ + size_, part.data(), fits);
    size_ += fits;
    return *this;
  }
  ExplainLine& number(std::uint64_t value) noexcept {
    const auto end = std::to_chars(text_ + size_, text_ + sizeof text_, value);
    if (end.ec == std::errc()) size_ = static_cast<std::size_t>(end.ptr - text_);
    return *this;
  }
  /// Upper-case hex digits, two an octet.
  ExplainLine& hex(Bytes octets) noexcept {
    for (const std::byte& octet : octets) {
      char pair[2];
      text(write_hex({&octet, 1}, pair, hex_upper));
    }
    return *this;
  }
  ExplainLine& hex(std::uint8_t octet) noexcept {
    const std::byte one[] = {std::byte{octet}};
    return hex(Bytes(one));
  }
  std::string_view view() const noexcept { return {text_, size_}; }

 private:
  std::size_t room() const noexcept { return sizeof text_ - size_; }
  char text_[240];
  std::size_t size_ = 0;
};

}  // namespace meter
