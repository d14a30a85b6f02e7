// SPDX-License-Identifier: Apache-2.0
// Binary, BCD and real32 numbers (EN 13757-3 annex A).
#include "meter/mbus/number.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>

namespace meter::mbus {
namespace {

constexpr std::size_t octets_max = 9;  // 18 digits of BCD: what a Decimal holds

std::uint64_t unsigned_number(Bytes octets) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = octets.size(); i-- > 0;) value = value << 8 | u8(octets[i]);
  return value;
}

std::optional<Decimal> binary_number(Bytes octets, bool is_unsigned) noexcept {
  if (octets.empty() || octets.size() > sizeof(std::int64_t)) return std::nullopt;
  const std::uint64_t value = unsigned_number(octets);
  if (is_unsigned && octets.size() < sizeof(std::int64_t))
    return Decimal{static_cast<std::int64_t>(value), 0};
  // Type B: the lowest number says that the value is not valid.
  if (octets.size() > 1 && value == std::uint64_t{1} << (8 * octets.size() - 1))
    return std::nullopt;
  return Decimal{signed_number(octets), 0};
}

std::optional<Decimal> variable_number(std::uint8_t lvar, Bytes octets,
                                       bool is_unsigned) noexcept {
  const bool positive_bcd = lvar >= 0xc0 && lvar <= 0xc9;
  const bool negative_bcd = lvar >= 0xd0 && lvar <= 0xd9;
  if (positive_bcd || negative_bcd) {
    const auto digits = bcd_number(octets);
    if (!digits) return std::nullopt;
    return Decimal{negative_bcd ? -*digits : *digits, 0};
  }
  if (lvar >= 0xe0 && lvar <= 0xef) return binary_number(octets, is_unsigned);
  return std::nullopt;
}

}  // namespace

std::int64_t signed_number(Bytes octets) noexcept {
  const unsigned unused_bits = 64 - 8 * static_cast<unsigned>(octets.size());
  return static_cast<std::int64_t>(unsigned_number(octets) << unused_bits) >> unused_bits;
}

std::optional<std::int64_t> bcd_number(Bytes octets) noexcept {
  if (octets.empty() || octets.size() > octets_max) return std::nullopt;
  std::int64_t value = 0;
  bool negative = false;
  for (std::size_t i = octets.size(); i-- > 0;) {
    unsigned high = u8(octets[i]) >> 4;
    const unsigned low = u8(octets[i]) & 15;
    if (i + 1 == octets.size() && high == 15) {
      negative = true;
      high = 0;
    }
    if (high > 9 || low > 9) return std::nullopt;
    value = value * 100 + high * 10 + low;
  }
  return negative ? -value : value;
}

std::optional<Decimal> real_number(Bytes octets) noexcept {
  if (octets.size() != sizeof(float)) return std::nullopt;
  const float value = std::bit_cast<float>(static_cast<std::uint32_t>(unsigned_number(octets)));
  if (!std::isfinite(value)) return std::nullopt;
  if (value == 0) return Decimal{};
  char text[32];
  constexpr int digits_after_point = 8;
  const auto end = std::to_chars(text, std::end(text), value, std::chars_format::scientific,
                                 digits_after_point);
  // "-1.23456789e-05"
  Decimal out;
  int exponent = -digits_after_point;
  const char* at = text;
  const bool negative = *at == '-';
  for (at += negative ? 1 : 0; *at != 'e'; ++at)
    if (*at != '.') out.mantissa = out.mantissa * 10 + (*at - '0');
  int written = 0;
  at += at[1] == '+' ? 2 : 1;
  std::from_chars(at, end.ptr, written);
  exponent += written;
  for (; out.mantissa % 10 == 0; ++exponent) out.mantissa /= 10;
  // Whole numbers are written out: 50 is no 5 × 10.
  for (; exponent > 0 && out.mantissa < 1'000'000'000'000; --exponent) out.mantissa *= 10;
  if (exponent < -Decimal::exponent_max || exponent > Decimal::exponent_max) return std::nullopt;
  out.exponent = static_cast<std::int8_t>(exponent);
  if (negative) out.mantissa = -out.mantissa;
  return out;
}

std::optional<Decimal> number_of(const Record& record, NumberFormat format) noexcept {
  Bytes octets = record.data;
  std::byte reversed[octets_max];
  if (format.high_octet_first && octets.size() <= octets_max) {
    std::ranges::reverse_copy(octets, reversed);
    octets = {reversed, octets.size()};
  }
  switch (record.field) {
    case DataField::int8:
    case DataField::int16:
    case DataField::int24:
    case DataField::int32:
    case DataField::int48:
    case DataField::int64:
      return binary_number(octets, format.is_unsigned);
    case DataField::real32:
      return real_number(octets);
    case DataField::bcd2:
    case DataField::bcd4:
    case DataField::bcd6:
    case DataField::bcd8:
    case DataField::bcd12: {
      const auto digits = bcd_number(octets);
      if (!digits) return std::nullopt;
      return Decimal{*digits, 0};
    }
    case DataField::variable:
      return variable_number(record.lvar, octets, format.is_unsigned);
    case DataField::none:
    case DataField::selection:
    case DataField::special:
      break;
  }
  return std::nullopt;
}

}  // namespace meter::mbus
