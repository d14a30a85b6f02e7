// SPDX-License-Identifier: Apache-2.0
// DataIndex: A-XDR Data as a bounded flat index, without a tree and without the heap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "meter/base/bytes.hpp"
#include "meter/base/decimal.hpp"
#include "meter/base/errc.hpp"
#include "meter/base/reader.hpp"

namespace meter::dlms {

/// Tags of the CHOICE Data (Green Book 9.5, IEC 62056-6-2 common data types).
enum class DataTag : std::uint8_t {
  null_data = 0x00,
  array = 0x01,
  structure = 0x02,
  boolean = 0x03,
  bit_string = 0x04,
  double_long = 0x05,
  double_long_unsigned = 0x06,
  octet_string = 0x09,
  visible_string = 0x0a,
  utf8_string = 0x0c,
  bcd = 0x0d,
  integer = 0x0f,
  long_integer = 0x10,
  unsigned_integer = 0x11,
  long_unsigned = 0x12,
  compact_array = 0x13,
  long64 = 0x14,
  long64_unsigned = 0x15,
  enumeration = 0x16,
  float32 = 0x17,
  float64 = 0x18,
  date_time = 0x19,
  date = 0x1a,
  time = 0x1b,
  delta_integer = 0x1c,
  delta_long = 0x1d,
  delta_double_long = 0x1e,
  delta_unsigned = 0x1f,
  delta_long_unsigned = 0x20,
  delta_double_long_unsigned = 0x21,
  scaler_unit = 0xf0,  ///< not on the wire: a structure {integer, enum}, kept as one element
  dont_care = 0xff,
};

/// One Data. The elements of a list follow it in the index; `next` leads past them.
struct Element {
  const std::byte* content;  ///< first octet after tag, length or count
  std::uint32_t size;        ///< octets of content; of an array or structure, the item count
  std::uint16_t next;        ///< index of the element after this one and all that it holds
  DataTag tag;               ///< a compact array appears as the array that it stands for
  std::uint8_t depth;        ///< 0 for the outermost; equal for siblings

  bool is_list() const noexcept { return tag == DataTag::array || tag == DataTag::structure; }
  /// Octet string, visible string or UTF-8 string.
  bool is_string() const noexcept {
    return tag == DataTag::octet_string || tag == DataTag::visible_string ||
           tag == DataTag::utf8_string;
  }
  /// The content of anything but a list; of a scaler_unit the scaler, the tag 16 and the unit.
  /// Lives as long as the indexed octets.
  Bytes octets() const noexcept { return {content, size}; }
};
static_assert(sizeof(Element) <= 16);  // less with pointers of 32 bits

/// Every Data of a notification body in the order of the wire. Holds views into the octets.
class DataIndex {
 public:
  /// More than twice what the longest known push list holds.
  static constexpr std::size_t elements_max = 1024;
  static constexpr std::size_t items_max = 256;         ///< of one list
  static constexpr std::size_t nesting_max = 8;         ///< lists within lists
  static constexpr std::size_t string_size_max = 2048;  ///< octets

  DataIndex() noexcept {}  // the elements are written before they are read

  /// Indexes `data`, which must be exactly one Data with nothing after it. The list of the Sagemcom
  /// XT211, whose attribute descriptors lack their tags, is indexed as if they were there.
  /// Faults (offsets in `data`): truncated; malformed (unknown tag, octets left over, compact
  /// array whose contents do not fit their description); nesting_too_deep; too_many_elements;
  /// oversize (a string beyond string_size_max).
  Result<void> build(Bytes data) noexcept;

  std::size_t size() const noexcept { return size_; }
  const Element& operator[](std::size_t i) const noexcept { return elements_[i]; }

 private:
  struct Builder;
  [[gnu::cold, gnu::noinline]] Result<void> build_untagged(Bytes data) noexcept;
  std::size_t size_ = 0;
  Element elements_[elements_max];
};

/// number() of the types that meters rarely send.
std::optional<Decimal> rare_number(const Element& element) noexcept;

/// The value of an integer, boolean, enum, BCD or float element. Floats yield the shortest
/// decimal that reads back as the same float. Nothing for everything else, for a long64-unsigned
/// above 2^63 − 1, a BCD octet with a digit above 9, a float that is not finite or outside
/// ±10^±30, and for delta types, which say nothing without the row before them.
inline std::optional<Decimal> number(const Element& element) noexcept {
  Reader octets(element.octets());
  switch (element.tag) {
    case DataTag::double_long_unsigned:
      return Decimal{octets.be<std::uint32_t>(), 0};
    case DataTag::long_unsigned:
      return Decimal{octets.be<std::uint16_t>(), 0};
    case DataTag::double_long:
      return Decimal{static_cast<std::int32_t>(octets.be<std::uint32_t>()), 0};
    case DataTag::long_integer:
      return Decimal{static_cast<std::int16_t>(octets.be<std::uint16_t>()), 0};
    default:
      return rare_number(element);
  }
}

}  // namespace meter::dlms
