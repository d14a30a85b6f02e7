// SPDX-License-Identifier: Apache-2.0
// DataIndex: one pass over the octets, an explicit stack for the open lists.
#include "meter/dlms/axdr.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <utility>

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
  static bool is_scaler_unit(const std::byte* at) noexcept {
    return u8(at[0]) == 0x02 && u8(at[1]) == 2 && u8(at[2]) == 0x0f && u8(at[4]) == 0x16;
  }
  static constexpr std::uint16_t is_open = 0;  ///< as `next`: the items are still to come
  [[gnu::noinline]] bool any(std::size_t depth) noexcept;
  bool compact_array(std::size_t depth) noexcept;
  bool skip_description(Reader& description, std::size_t nesting) noexcept;
  bool packed(Reader& description, std::size_t depth) noexcept;
  bool packed_list(Reader& description, DataTag tag, std::size_t depth) noexcept;
  bool run() noexcept;
  bool untagged() noexcept;
  bool untagged_entry() noexcept;
};

/// The types that push lists are made of stand first, and each advances by its own constant: the
/// processor foresees where the next element begins instead of waiting for its tag. Cursor and
/// count stay in registers meanwhile.
bool DataIndex::Builder::run() noexcept {
  struct Open {
    Element* list;
    std::uint32_t missing;
  };
  constexpr std::ptrdiff_t common_size_max = 8;  // a logical name with tag and length
  Open open[nesting_max];
  std::size_t depth = 0;
  std::uint32_t missing = 1;  // items still to come in the innermost open list
  const std::byte* at = cursor;
  Element* out = elements;
  const auto leaf = [&](DataTag tag, std::size_t header, std::uint32_t size) {
    const auto next = static_cast<std::uint16_t>(out - elements + 1);
    *out++ = {at + header, size, next, tag, static_cast<std::uint8_t>(depth)};
    at += header + size;
  };
  for (;;) {
    while (missing == 0) {
      cursor = at;
      count = static_cast<std::size_t>(out - elements);
      if (depth == 0) return at == end || refuse(Errc::malformed);
      --depth;
      open[depth].list->next = static_cast<std::uint16_t>(count);
      missing = open[depth].missing;
    }
    --missing;
    if (end - at >= common_size_max && out != elements + elements_max) [[likely]] {
      const auto tag = static_cast<DataTag>(*at);
      if (tag == DataTag::octet_string && u8(at[1]) == 6) {
        leaf(tag, 2, 6);
        continue;
      }
      if (tag == DataTag::double_long_unsigned || tag == DataTag::double_long) {
        leaf(tag, 1, 4);
        continue;
      }
      if (tag == DataTag::structure && depth != nesting_max) {
        if (is_scaler_unit(at)) {
          leaf(DataTag::scaler_unit, scaler_unit_size - scaler_unit_content, scaler_unit_content);
          continue;
        }
        const unsigned items = u8(at[1]);
        if (items < 0x80 && end - at >= static_cast<std::ptrdiff_t>(items) + 2) {
          open[depth] = {out, missing};
          missing = items;
          leaf(tag, 2, 0);
          out[-1].size = items;
          ++depth;
          continue;
        }
      }
      if (tag == DataTag::long_unsigned || tag == DataTag::long_integer) {
        leaf(tag, 1, 2);
        continue;
      }
    }
    cursor = at;
    count = static_cast<std::size_t>(out - elements);
    if (!any(depth)) return false;
    at = cursor;
    Element* const added = std::exchange(out, elements + count);
    if (added->next == is_open) {
      open[depth++] = {added, missing};
      missing = added->size;
    }
  }
}

/// One element of any type; of an array or structure only its head, with `next` = is_open.
bool DataIndex::Builder::any(std::size_t depth) noexcept {
  if (cursor == end) return refuse(Errc::truncated);
  const auto tag = static_cast<DataTag>(*cursor);
  const std::uint8_t size = fixed_size(tag);
  if (size == size_unknown) return refuse(Errc::malformed);
  const bool is_list = tag == DataTag::array || tag == DataTag::structure;
  if (is_list && depth == nesting_max) return refuse(Errc::nesting_too_deep);
  if (left() >= scaler_unit_size && is_scaler_unit(cursor)) {
    cursor += scaler_unit_size - scaler_unit_content;
    return take(DataTag::scaler_unit, scaler_unit_content, depth);
  }
  ++cursor;
  if (size <= size_fixed_max) return take(tag, size, depth);
  if (tag == DataTag::compact_array) return compact_array(depth);
  if (!is_list) return string(tag, depth);
  std::uint32_t items;
  if (!length(items)) return false;
  if (items > left()) return refuse(Errc::truncated);  // an item has one octet at least
  if (items > items_max) return refuse(Errc::too_many_elements);
  if (!add(tag, items, depth)) return false;
  elements[count - 1].next = is_open;
  return true;
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

// Sagemcom XT211: structure { enum, array of structure { attribute descriptor, Data } }, where
// the descriptor has neither tag nor count: class-id (2), logical name (6), attribute (1).
constexpr std::size_t descriptor_size = 9, logical_name_size = 6;

/// structure of 2, enum, array of fewer than 128, structure of 2; then the high octet of a class
/// identifier where a tag should be: with tags it would be null-data, which is no descriptor.
bool begins_untagged(Bytes data) noexcept {
  return data.size() > 8 && u8(data[1]) == 2 && u8(data[0]) == 0x02 && u8(data[2]) == 0x16 &&
         u8(data[4]) == 0x01 && u8(data[6]) == 0x02 && u8(data[7]) == 2 && u8(data[8]) == 0x00;
}

/// Indexed as if it had its tags.
bool DataIndex::Builder::untagged() noexcept {
  cursor += 2;
  if (!add(DataTag::structure, 2, 0)) return false;
  ++cursor;
  if (!take(DataTag::enumeration, 1, 1)) return false;
  ++cursor;
  std::uint32_t items;
  if (!length(items)) return false;
  if (items > items_max) return refuse(Errc::too_many_elements);
  const std::size_t list = count;
  if (!add(DataTag::array, items, 1)) return false;
  for (; items != 0; --items)
    if (!untagged_entry()) return false;
  elements[0].next = elements[list].next = static_cast<std::uint16_t>(count);
  return cursor == end || refuse(Errc::malformed);
}

bool DataIndex::Builder::untagged_entry() noexcept {
  constexpr std::size_t depth = 2;
  if (left() < 2 + descriptor_size) return refuse(Errc::truncated);
  if (u8(cursor[0]) != 0x02 || u8(cursor[1]) != 2) return refuse(Errc::malformed);
  cursor += 2;
  const std::size_t entry = count;
  if (!add(DataTag::structure, 2, depth) || !add(DataTag::structure, 3, depth + 1) ||
      !take(DataTag::long_unsigned, sizeof(std::uint16_t), depth + 2) ||
      !take(DataTag::octet_string, logical_name_size, depth + 2) ||
      !take(DataTag::integer, 1, depth + 2))
    return false;
  elements[entry + 1].next = static_cast<std::uint16_t>(count);
  const std::size_t value = count;
  if (!any(depth + 1)) return false;
  if (elements[value].next == is_open) return refuse(Errc::malformed);
  elements[entry].next = static_cast<std::uint16_t>(count);
  return true;
}

Result<void> DataIndex::build_untagged(Bytes data) noexcept {
  Builder builder(*this, data);
  const bool whole = builder.untagged();
  size_ = whole ? builder.count : 0;
  if (!whole) return std::unexpected(builder.why);
  return {};
}

Result<void> DataIndex::build(Bytes data) noexcept {
  if (begins_untagged(data)) [[unlikely]]
    return build_untagged(data);
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
