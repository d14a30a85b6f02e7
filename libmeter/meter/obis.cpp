// SPDX-License-Identifier: Apache-2.0
// Text of an OBIS code.
#include "meter/obis.hpp"

#include <cassert>
#include <charconv>

namespace meter {

std::string_view Obis::to_text(std::span<char> buffer) const noexcept {
  assert(buffer.size() >= text_size_max);
  char* out = buffer.data();
  char* const end = out + buffer.size();
  const std::uint8_t group[] = {a, b, c, d, e, f};
  constexpr char separator[] = {'-', ':', '.', '.', '*'};
  const std::size_t count = f == 255 ? 5 : 6;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) *out++ = separator[i - 1];
    out = std::to_chars(out, end, group[i]).ptr;
  }
  return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
}

}  // namespace meter
