// SPDX-License-Identifier: Apache-2.0
// DataIndex: one pass over the octets, an explicit stack for the open lists.
#include "meter/dlms/axdr.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>

namespace meter::dlms {
namespace {

// Content sizes of the types without a length; the two values beyond are other cases.
constexpr std::uint8_t size_variable = 0xfe;  // has its own length, count or description
constexpr std::uint8_t size_unknown = 0xff;   // no such tag
constexpr std::size_t size_fixed_max = 12;

// A scaler_unit on the wire, and what of it is the element's content.
constexpr std::size_t scaler_unit_size = 6, scaler_unit_content = 3;

constexpr auto fixed_sizes = [] {
  std::array<std::uint8_t, 256> sizes{};
  sizes.fill(size_unknown);
  auto set = [&](std::uint8_t size, auto... tags) {
    ((sizes[static_cast<std::uint8_t>(tags)] = size), ...);
  };
  using enum DataTag;
  set(0, null_data, dont_care);
  set(1, boolean, bcd, integer, unsigned_integer, enumeration, delta_integer, delta_unsigned);
  set(2, long_integer, long_unsigned, delta_long, delta_long_unsigned);
  set(4, double_long, double_long_unsigned, float32, time, delta_double_long,
      delta_double_long_unsigned);
  set(5, date);
  set(8, long64, long64_unsigned, float64);
  set(12, date_time);
  set(size_variable, array, structure, bit_string, octet_string, visible_string, utf8_string,
      compact_array);
  return sizes;
}();

constexpr std::uint8_t fixed_size(DataTag tag) noexcept {
  return fixed_sizes[static_cast<std::uint8_t>(tag)];
}

}  // namespace

/// What one build() needs; its functions return false after noting the fault.
struct DataIndex::Builder {
  explicit Builder(DataIndex& target, Bytes data) noexcept
      : elements(target.elements_),
        begin(data.data()),
        cursor(data.data()),
        end(data.data() + data.size()) {}

  Element* elements;
  const std::byte* begin;
  const std::byte* cursor;
  const std::byte* end;
  std::size_t count = 0;
  Fault why{Errc::truncated, 0};

  std::size_t left() const noexcept { return static_cast<std::size_t>(end - cursor); }
  bool refuse(Errc code) noexcept {
    why = {code, static_cast<std::uint32_t>(cursor - begin)};
    return false;
  }
  bool add(DataTag tag, std::size_t size, std::size_t depth) noexcept {
    if (count == elements_max) [[unlikely]]
      return refuse(Errc::too_many_elements);
    elements[count] = {cursor, static_cast<std::uint32_t>(size),
                       static_cast<std::uint16_t>(count + 1), tag,
                       static_cast<std::uint8_t>(depth)};
    ++count;
    return true;
  }
  bool take(DataTag tag, std::size_t size, std::size_t depth) noexcept {
    if (left() < size) [[unlikely]]
      return refuse(Errc::truncated);
    if (!add(tag, size, depth)) return false;
    cursor += size;
    return true;
  }
  /// A BER length or count (X.690 8.1.3, definite forms).
  bool length(std::uint32_t& value) noexcept {
    if (cursor != end && u8(*cursor) < 0x80) [[likely]] {
      value = u8(*cursor++);
      return true;
    }
    Reader reader({cursor, left()});
    value = reader.ber_length();
    if (!reader.ok())
      return refuse(left() == 0 || u8(*cursor) != 0x80 ? Errc::truncated : Errc::malformed);
    cursor += reader.offset();
    return true;
  }
  bool string(DataTag tag, std::size_t depth) noexcept {
    std::uint32_t size;
    if (!length(size)) return false;
    if (tag == DataTag::bit_string) size = size / 8 + (size % 8 != 0);
    if (size > string_size_max) return refuse(Errc::oversize);
    return take(tag, size, depth);
  }
  /// structure of two, integer, enum: 02 02 0F scaler 16 unit.
  bool is_scaler_unit() const noexcept {
    return left() >= scaler_unit_size && u8(cursor[0]) == 0x02 && u8(cursor[1]) == 2 &&
           u8(cursor[2]) == 0x0f && u8(cursor[4]) == 0x16;
  }
  [[gnu::noinline]] bool rare(DataTag tag, std::size_t depth) noexcept;
  bool compact_array(std::size_t depth) noexcept;
  bool skip_description(Reader& description, std::size_t nesting) noexcept;
  bool packed(Reader& description, std::size_t depth) noexcept;
  bool packed_list(Reader& description, DataTag tag, std::size_t depth) noexcept;
  bool run() noexcept;
};

bool DataIndex::Builder::run() noexcept {
  struct Open {
    std::size_t index;
    std::uint32_t missing;
  };
  Open open[nesting_max];
  std::size_t depth = 0;
  std::uint32_t missing = 1;  // items still to come in the innermost open list
  for (;;) {
    while (missing == 0) {
      if (depth == 0) return cursor == end || refuse(Errc::malformed);
      --depth;
      elements[open[depth].index].next = static_cast<std::uint16_t>(count);
      missing = open[depth].missing;
    }
    --missing;
    if (cursor == end) [[unlikely]]
      return refuse(Errc::truncated);
    const auto tag = static_cast<DataTag>(*cursor);
    const std::uint8_t size = fixed_size(tag);
    if (size <= size_fixed_max) {
      ++cursor;
      if (!take(tag, size, depth)) [[unlikely]]
        return false;
    } else if (tag == DataTag::octet_string) {
      ++cursor;
      if (!string(tag, depth)) [[unlikely]]
        return false;
    } else if (tag == DataTag::structure || tag == DataTag::array) {
      if (depth == nesting_max) return refuse(Errc::nesting_too_deep);
      if (is_scaler_unit()) {
        cursor += scaler_unit_size - scaler_unit_content;
        if (!take(DataTag::scaler_unit, scaler_unit_content, depth)) return false;
        continue;
      }
      ++cursor;
      std::uint32_t items;
      if (!length(items)) return false;
      if (items > left()) return refuse(Errc::truncated);  // an item has one octet at least
      if (items > items_max) return refuse(Errc::too_many_elements);
      open[depth] = {count, missing};
      if (!add(tag, items, depth)) return false;
      ++depth;
      missing = items;
    } else if (!rare(tag, depth)) {
      return false;
    }
  }
}

bool DataIndex::Builder::rare(DataTag tag, std::size_t depth) noexcept {
  if (fixed_size(tag) == size_unknown) return refuse(Errc::malformed);
  ++cursor;
  return tag == DataTag::compact_array ? compact_array(depth) : string(tag, depth);
}

/// contents-description, length, packed contents: indexed as the array that it stands for.
bool DataIndex::Builder::compact_array(std::size_t depth) noexcept {
  if (depth == nesting_max) return refuse(Errc::nesting_too_deep);
  Reader after({cursor, left()});
  if (!skip_description(after, depth + 1)) return false;
  const Bytes description{cursor, after.offset()};
  cursor += after.offset();
  std::uint32_t size;
  if (!length(size)) return false;
  if (size > left()) return refuse(Errc::truncated);
  const std::size_t list = count;
  if (!add(DataTag::array, 0, depth)) return false;
  const std::byte* const outer_end = end;
  end = cursor + size;
  std::uint32_t items = 0;
  while (cursor != end) {
    const std::byte* const before = cursor;
    Reader each(description);
    if (++items > items_max) return refuse(Errc::too_many_elements);
    if (!packed(each, depth + 1)) {
      if (why.code == Errc::truncated) why.code = Errc::malformed;  // its own length was whole
      return false;
    }
    if (cursor == before) return refuse(Errc::malformed);  // items of no size would never end
  }
  end = outer_end;
  elements[list].size = items;
  elements[list].next = static_cast<std::uint16_t>(count);
  return true;
}

/// TypeDescription: a tag; array has Unsigned16 count and one type; structure count and types.
bool DataIndex::Builder::skip_description(Reader& description, std::size_t nesting) noexcept {
  const std::size_t remaining = description.remaining();
  const auto tag = static_cast<DataTag>(description.octet());
  if (remaining == 0) return refuse(Errc::truncated);
  if (tag != DataTag::array && tag != DataTag::structure)
    return (fixed_size(tag) != size_unknown && tag != DataTag::compact_array) ||
           refuse(Errc::malformed);
  if (nesting >= nesting_max) return refuse(Errc::nesting_too_deep);
  std::uint32_t types = 1;
  if (tag == DataTag::array)
    description.skip(2);
  else
    types = description.ber_length();
  if (types > items_max) return refuse(Errc::too_many_elements);
  for (; types != 0; --types)
    if (!skip_description(description, nesting + 1)) return false;
  return description.ok() || refuse(Errc::truncated);
}

/// One value without its tag; the description was checked by skip_description, also its depth.
bool DataIndex::Builder::packed(Reader& description, std::size_t depth) noexcept {
  const auto tag = static_cast<DataTag>(description.octet());
  if (tag == DataTag::array || tag == DataTag::structure)
    return packed_list(description, tag, depth);
  const std::uint8_t size = fixed_size(tag);
  return size == size_variable ? string(tag, depth) : take(tag, size, depth);
}

bool DataIndex::Builder::packed_list(Reader& description, DataTag tag, std::size_t depth) noexcept {
  const bool is_array = tag == DataTag::array;
  const std::uint32_t items = is_array ? description.be<std::uint16_t>() : description.ber_length();
  if (items > items_max) return refuse(Errc::too_many_elements);
  const std::size_t list = count;
  if (!add(tag, items, depth)) return false;
  const Reader item_type = description;
  for (std::uint32_t i = 0; i < items; ++i) {
    if (is_array) description = item_type;
    if (!packed(description, depth + 1)) return false;
  }
  if (is_array && items == 0 && !skip_description(description, depth + 1)) return false;
  elements[list].next = static_cast<std::uint16_t>(count);
  return true;
}

Result<void> DataIndex::build(Bytes data) noexcept {
  Builder builder(*this, data);
  const bool whole = builder.run();
  size_ = whole ? builder.count : 0;
  if (!whole) return std::unexpected(builder.why);
  return {};
}

namespace {

/// The shortest digits that read back as the same value, as mantissa and exponent.
template <class Float>
std::optional<Decimal> shortest(Float value) noexcept {
  if (!std::isfinite(value)) return std::nullopt;
  char text[32];
  const auto printed =
      std::to_chars(text, text + sizeof text, value, std::chars_format::scientific);
  Decimal decimal;
  int exponent = 0;
  bool fraction = false;
  const char* at = text;
  const bool negative = *at == '-';
  if (negative) ++at;
  for (; *at != 'e'; ++at) {
    if (*at == '.') {
      fraction = true;
      continue;
    }
    decimal.mantissa = decimal.mantissa * 10 + (*at - '0');
    exponent -= fraction;
  }
  ++at;
  int power = 0;
  std::from_chars(*at == '+' ? at + 1 : at, printed.ptr, power);
  exponent += power;
  if (decimal.mantissa == 0) return Decimal{0, 0};
  for (; exponent > 0 && decimal.mantissa < 100'000'000'000'000'000; --exponent)
    decimal.mantissa *= 10;
  if (exponent < -Decimal::exponent_max || exponent > Decimal::exponent_max) return std::nullopt;
  decimal.exponent = static_cast<std::int8_t>(exponent);
  if (negative) decimal.mantissa = -decimal.mantissa;
  return decimal;
}

}  // namespace

std::optional<Decimal> rare_number(const Element& element) noexcept {
  Reader octets(element.octets());
  switch (element.tag) {
    case DataTag::integer:
      return Decimal{static_cast<std::int8_t>(octets.octet()), 0};
    case DataTag::boolean:
      return Decimal{octets.octet() != 0, 0};
    case DataTag::unsigned_integer:
    case DataTag::enumeration:
      return Decimal{octets.octet(), 0};
    case DataTag::long64:
      return Decimal{static_cast<std::int64_t>(octets.be<std::uint64_t>()), 0};
    case DataTag::long64_unsigned: {
      const auto value = static_cast<std::int64_t>(octets.be<std::uint64_t>());
      if (value < 0) return std::nullopt;  // above 2^63 − 1
      return Decimal{value, 0};
    }
    case DataTag::bcd: {
      const unsigned high = octets.peek() >> 4, low = octets.peek() & 0x0f;
      if (high > 9 || low > 9) return std::nullopt;
      return Decimal{high * 10 + low, 0};
    }
    case DataTag::float32:
      return shortest(std::bit_cast<float>(octets.be<std::uint32_t>()));
    case DataTag::float64:
      return shortest(std::bit_cast<double>(octets.be<std::uint64_t>()));
    default:
      return std::nullopt;
  }
}

}  // namespace meter::dlms
