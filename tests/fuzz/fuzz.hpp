// SPDX-License-Identifier: Apache-2.0
// What every fuzz target is built from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "meter/base/bytes.hpp"

/// The entry that libFuzzer, and fuzz_main.cpp in its place, calls with each input.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace meter::fuzz {

/// A promise that no input may break.
inline void require(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// Deals an input out: control octets and pieces whose sizes the input itself chooses.
class Dealer {
 public:
  Dealer(const std::uint8_t* data, std::size_t size)
      : left_(std::as_bytes(std::span(data, size))) {}
  bool empty() const { return left_.empty(); }
  unsigned octet() {
    const Bytes taken = piece(1);
    return taken.empty() ? 0 : u8(taken[0]);
  }
  /// At most `size` octets: what is there.
  Bytes piece(std::size_t size) {
    const Bytes taken = left_.first(size < left_.size() ? size : left_.size());
    left_ = left_.subspan(taken.size());
    return taken;
  }
  Bytes rest() { return piece(left_.size()); }

 private:
  Bytes left_;
};

}  // namespace meter::fuzz
